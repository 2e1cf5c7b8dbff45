"""How work grows with size: counted steps or bytes over several sizes, never time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from coursecli.expect.outcome import failed, passed
from coursecli.expect.payload import Failure
from coursecli.expect.words import number
from coursecli.expect.work import TooMuchWork, count_steps, peak_bytes

SLACK = 50
"""How far over the permitted growth, from the first size on, before counting stops early."""
FLOOR = 2_000_000
"""Steps below which counting never stops early."""


def expect_growth(
    function: Callable[[Any], Any],
    sizes: Sequence[int],
    *,
    at_most: float,
    what: str,
    measure: Literal["steps", "memory"] = "steps",
    prepare: Callable[[int], Any] | None = None,
    mistake: str | None = None,
) -> None:
    """The work of `function(size)` grows at most like size^`at_most`, by the least-squares slope of the logarithms.

    `prepare(size)`, when given, makes the argument of `function` outside the count. "steps" are executed lines of
    Python outside the standard library and installed packages; work inside a built-in such as `list.index` is one step.
    "memory" is the peak of bytes held during the call, in Python and in tensors: the call is made twice.
    """
    __tracebackhide__ = True
    amounts: list[int] = []
    complete = True
    for size in sizes:
        argument = prepare(size) if prepare else size
        if measure == "memory":
            amounts.append(max(1, peak_bytes(function, argument)))
            continue
        permitted = amounts[0] * (size / sizes[0]) ** max(at_most, 0) if amounts else 0
        limit = max(FLOOR, int(SLACK * permitted))
        try:
            amounts.append(max(1, count_steps(function, argument, limit)))
        except TooMuchWork:
            amounts.append(limit)
            complete = False
            break
    exponent = slope(sizes[: len(amounts)], amounts) if len(amounts) > 1 else math.inf
    if complete and exponent <= at_most:
        passed()
        return
    word, unit = ("work", "steps") if measure == "steps" else ("memory", "bytes")
    least = "" if complete else "at least "
    counted = {f"n = {size}": f"{amount:,} {unit}" for size, amount in zip(sizes, amounts)}
    if not complete:
        counted[f"n = {sizes[len(amounts) - 1]}"] = f"more than {amounts[-1]:,} {unit}; stopped there"
    found = f"{least}n^{exponent:.2f}" if len(amounts) > 1 else f"more than {amounts[-1]:,} {unit}"
    grows = f"grows {least}like n^{exponent:.2f}" if len(amounts) > 1 else "is too much already at the smallest size"
    failed(
        Failure(
            kind="growth",
            what=what,
            summary=f"The {word} {grows}; at most n^{number(at_most).removesuffix('.0')} is expected.",
            expected=f"n^{number(at_most).removesuffix('.0')} at most",
            actual=found,
            facts=counted,
            diagnosis=_diagnosis(exponent, measure),
            mistake=mistake,
        )
    )


def slope(sizes: Sequence[int], amounts: Sequence[int]) -> float:
    """The least-squares slope of log amount over log size: the exponent of growth."""
    xs, ys = [math.log(size) for size in sizes], [math.log(amount) for amount in amounts]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys)) / sum((a - x) ** 2 for a in xs)


def _diagnosis(exponent: float, measure: str) -> list[str]:
    if measure == "steps" and 1.7 < exponent < 2.3:
        return ["An exponent near 2 is what a pass over everything inside a pass over everything gives."]
    if measure == "memory" and 1.7 < exponent < 2.3:
        return ["An exponent near 2 is what a value for every pair of positions gives."]
    if measure == "memory" and 0.7 < exponent < 1.3:
        return ["An exponent near 1 is what keeping a value for every item gives."]
    return []
