"""Two numeric values of equal shape that differ, as a failure: the largest error, its neighbourhood, the pattern."""

from __future__ import annotations

import math
from typing import Any

from coursecli.expect import numeric
from coursecli.expect.numeric import Numeric
from coursecli.expect.patterns import describe
from coursecli.expect.payload import Failure
from coursecli.expect.window import position, window
from coursecli.expect.words import number, pair


def value_failure(
    got: Numeric,
    wanted: Numeric,
    agreeing: Any,
    *,
    what: str,
    rtol: float,
    atol: float,
    names: list[str],
    mistake: str | None,
    kind: str = "values",
) -> Failure:
    """The failure; `agreeing` says which elements are within tolerance, and `names` are those of the axes."""
    worst, error = _worst(got.data, wanted.data, agreeing)
    right, left = pair(wanted.data[worst].item(), got.data[worst].item())
    place = f" at {position(worst)}" if worst else ""
    is_bool = wanted.data.dtype.kind == "b"
    facts = {"largest error": f"{number(error)}{place}"} if math.isfinite(error) and not is_bool else {}
    if agreeing.ndim:
        facts["differing"] = f"{int(agreeing.size - agreeing.sum())} of {agreeing.size}"
    if not is_bool:
        facts["allowed"] = f"{number(atol)} + {number(rtol)} · |expected|" if rtol or atol else "no difference"
    return Failure(
        kind=kind,
        what=what,
        summary=f"Expected {right}{place}, but it is {left}.",
        expected=right,
        actual=left,
        facts=facts,
        diagnosis=describe(got.data, wanted.data, agreeing, rtol, atol, names),
        grid=window(got.data, wanted.data, agreeing, worst, names),
        mistake=mistake,
    )


def _worst(actual: Any, expected: Any, agreeing: Any) -> tuple[tuple[int, ...], float]:
    """Where the largest error is, and how large; NaN counts as the largest."""
    import numpy

    wide = complex if "c" in (actual.dtype.kind, expected.dtype.kind) else float
    with numeric.quiet():
        gap = numpy.abs(actual.astype(wide) - expected.astype(wide))
        gap = numpy.where(agreeing, -1.0, numpy.where(numpy.isnan(gap), numpy.inf, gap))
    worst = tuple(int(index) for index in numpy.unravel_index(int(gap.argmax()), gap.shape))
    return worst, float(gap[worst])
