"""A number that means something: 2.828 is √8, 1.143 is 8/7. Names a factor, with the axis whose size it comes from."""

from __future__ import annotations

import math
from collections.abc import Iterator

from coursecli.expect.words import pair

PRECISION = 2e-5
"""How near, relatively, a factor must be to a form to be called by it."""


def name_factor(factor: float, sizes: dict[str, int] | None = None) -> str:
    """`2.828 (√8, and D is 8)`: the factor in digits, and the simplest form that it is."""
    form = simplest(factor, sizes)
    sign = "−" if factor < 0 else ""
    if form.isdigit():
        return sign + form
    digits = sign + pair(1.0, abs(factor))[1].removesuffix(".0")
    return f"{digits} ({form})" if form else digits


def simplest(factor: float, sizes: dict[str, int] | None = None) -> str:
    """The simplest form of |factor|, preferring one that uses the size of an axis; empty when there is none."""
    value = abs(factor)
    if not math.isfinite(value) or value == 0:
        return ""
    for name, n in reversed((sizes or {}).items()):
        if n < 3:
            continue  # 1 and 2 would explain too much
        for form, candidate in _forms(n):
            if math.isclose(value, candidate, rel_tol=PRECISION) and not _whole_root(form, n):
                return f"{form}, and {name} is {n}"
    if math.isclose(value, 1.0, rel_tol=PRECISION):
        return ""
    if value < 1000 and math.isclose(value, round(value), rel_tol=PRECISION):
        return str(round(value))
    return next((form for form, candidate in _plain_forms() if math.isclose(value, candidate, rel_tol=PRECISION)), "")


def _whole_root(form: str, n: int) -> bool:
    """√9 is 3: a factor of 3 does not point to a root."""
    return form in (f"√{n}", f"1/√{n}") and math.isqrt(n) ** 2 == n


def _forms(n: int) -> Iterator[tuple[str, float]]:
    yield f"{n}", n
    yield f"1/{n}", 1 / n
    yield f"√{n}", math.sqrt(n)
    yield f"1/√{n}", 1 / math.sqrt(n)
    yield f"{n}/{n - 1}", n / (n - 1)
    yield f"{n - 1}/{n}", (n - 1) / n
    yield f"√({n}/{n - 1})", math.sqrt(n / (n - 1))
    yield f"√({n - 1}/{n})", math.sqrt((n - 1) / n)


def _plain_forms() -> Iterator[tuple[str, float]]:
    for n in range(2, 129):
        yield f"1/{n}", 1 / n
        yield f"√{n}", math.sqrt(n)
        yield f"1/√{n}", 1 / math.sqrt(n)
    yield from (("ln 2", math.log(2)), ("1/ln 2", 1 / math.log(2)), ("e", math.e), ("1/e", 1 / math.e))
    yield from (("π", math.pi), ("2π", 2 * math.pi), ("ln 10", math.log(10)))
    for n in range(3, 33):
        yield from list(_forms(n))[4:]
