"""The pattern in wrong values, as sentences that are true of them.

Each detector proposes a sentence with the array that it predicts; a proposal is told only when that array agrees with
what came out. Where the differences are is described by `whereabouts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coursecli.expect import numeric
from coursecli.expect.arrangements import Proposal, arrangements, repetitions
from coursecli.expect.relations import by_lines, elementwise, functions
from coursecli.expect.whereabouts import differences, not_finite
from coursecli.expect.words import number

LARGEST = 1_000_000
"""Elements above which only the place of the differences is described."""
MOST = 3


def describe(actual: Any, expected: Any, agreeing: Any, rtol: float, atol: float, names: list[str]) -> list[str]:
    """At most three sentences about where and how `actual` differs from `expected`, the most specific first."""

    def true_of(proposals: Iterator[Proposal], where: Any = ...) -> str | None:
        return _first_true(proposals, actual[where], expected[where], agreeing[where], rtol, atol)

    with numeric.quiet():
        sentences = not_finite(actual, expected, agreeing, names)
        if sentences:
            return sentences[:MOST]
        whole = true_of(_whole(actual, expected, names)) if expected.size <= LARGEST else None
        if whole:
            return [whole]
        place = differences(agreeing, names)
        if place:
            wrong = ~agreeing
            there = true_of(elementwise(actual[wrong], expected[wrong], {}), wrong)
            if there:
                return [place, f"There, {there[0].lower()}{there[1:]}"]
        lines = true_of(by_lines(actual, expected, names)) if expected.size <= LARGEST else None
        return [sentence for sentence in (place, lines) if sentence] or _in_general(actual, expected, names)


def _first_true(
    proposals: Iterator[Proposal], actual: Any, expected: Any, agreeing: Any, rtol: float, atol: float
) -> str | None:
    """The first proposed sentence whose array agrees with `actual` everywhere, and not with `expected`."""
    import numpy

    rtol = max(rtol, 1e-6)
    wrong = numpy.argwhere(~agreeing)[:16]
    sample = tuple(wrong.T) if agreeing.ndim else ()
    for sentence, predicted in proposals:
        if predicted.shape != actual.shape:
            continue
        if not numeric.agree(actual[sample], predicted[sample], rtol, atol).all():
            continue
        if numeric.agree(expected[sample], predicted[sample], rtol, atol).all():
            continue
        if numeric.agree(actual, predicted, rtol, atol).all():
            return sentence
    return None


def _whole(actual: Any, expected: Any, names: list[str]) -> Iterator[Proposal]:
    """What could have happened to the values as a whole."""
    sizes = dict(zip(names, expected.shape))
    yield from elementwise(actual, expected, sizes)
    yield from arrangements(expected, names)
    yield from repetitions(actual, expected, names)
    if expected.dtype.kind != "c":
        yield from functions(expected, names)


def _in_general(actual: Any, expected: Any, names: list[str]) -> list[str]:
    """When there is no pattern: whether it is nearly right, or only out of order."""
    import numpy

    if actual.size < 3 or "c" in (actual.dtype.kind, expected.dtype.kind) or expected.dtype.kind == "b":
        return []
    got, wanted = actual.astype(float), expected.astype(float)
    if not (numpy.isfinite(got).all() and numpy.isfinite(wanted).all()):
        return []
    largest, error = float(numpy.abs(wanted).max()), float(numpy.abs(got - wanted).max())
    if 0 < error < 0.01 * largest:
        share = number(100 * error / largest)
        return [
            f"The errors are small, at most {share} % of the largest value: look for a small term (an epsilon, a bias) "
            "or for lost precision rather than for another formula."
        ]
    if numeric.agree(numpy.sort(got, None), numpy.sort(wanted, None), 1e-6, 0).all():
        return ["The values are right, but in another order."]
    for axis in range(expected.ndim):
        if expected.shape[axis] > 1 and numeric.agree(numpy.sort(got, axis), numpy.sort(wanted, axis), 1e-6, 0).all():
            return [f"Along {names[axis]} the values are right, but in another order."]
    return []
