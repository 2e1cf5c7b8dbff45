"""Naming a misconception: which of the known wrong values is the one that came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from coursecli.expect import numeric
from coursecli.expect.numeric import Numeric

Lookalikes = Mapping[str, Any] | None


def value_of(candidate: Any) -> Any:
    """A lookalike's value: functions of no arguments are called. A class, or a tensor, is a value itself."""
    is_value = isinstance(candidate, type) or numeric.family(candidate) != ""
    return candidate() if callable(candidate) and not is_value else candidate


def first_match(lookalikes: Lookalikes, matches: Callable[[Any], bool]) -> str | None:
    """The first mistake whose value matches; one that raises is passed over."""
    for mistake, candidate in (lookalikes or {}).items():
        try:
            if matches(value_of(candidate)):
                return mistake
        except Exception:
            continue
    return None


def closest(lookalikes: Lookalikes, actual: Numeric, expected: Numeric, rtol: float, atol: float) -> str | None:
    """The mistake whose numeric value is within tolerance of `actual` and nearest to it.

    A lookalike that agrees with `expected` as well tells nothing and cannot match; neither can one of another shape
    than `actual`. Where the dtype is what differs, it is the lookalike's dtype that must be the actual one.
    """
    by_dtype = actual.shape == expected.shape and actual.dtype != expected.dtype
    best: tuple[float, str] | None = None
    for mistake, candidate in (lookalikes or {}).items():
        try:
            value = numeric.read(value_of(candidate))
            if not _agree(value, actual, rtol, atol):
                continue
            if _agree(value, expected, rtol, atol) and not (by_dtype and value.dtype == actual.dtype):
                continue
            distance = _distance(actual.data, value.data)
        except Exception:
            continue
        if best is None or distance < best[0]:
            best = (distance, mistake)
    return best[1] if best else None


def _agree(one: Numeric, other: Numeric, rtol: float, atol: float) -> bool:
    return one.shape == other.shape and bool(numeric.agree(one.data, other.data, rtol, atol).all())


def _distance(actual: Any, value: Any) -> float:
    import numpy

    with numeric.quiet():
        gap = numpy.abs(actual.astype(complex) - value.astype(complex))
        gap = gap[numpy.isfinite(gap)]
        return float(gap.max()) if gap.size else 0.0
