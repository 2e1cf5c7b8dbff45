"""The pattern in wrong values, as sentences that are true of them.

Each detector proposes a sentence with the array that it predicts; a proposal is told only when that array agrees with
what came out. Where the differences are is described by `whereabouts`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from coursecli.expect import numeric
from coursecli.expect.factors import name_factor, simplest
from coursecli.expect.whereabouts import differences, not_finite
from coursecli.expect.words import number

LARGEST = 1_000_000
"""Elements above which only the place of the differences is described."""
MOST = 3
SMALL = {*map(str, range(2, 13)), "ln 2"}
Proposal = tuple[str, Any]


def describe(actual: Any, expected: Any, agreeing: Any, rtol: float, atol: float, names: list[str]) -> list[str]:
    """At most three sentences about where and how `actual` differs from `expected`, the most specific first."""
    with numeric.quiet():
        sentences = not_finite(actual, expected, agreeing, names)
        if not sentences and expected.size <= LARGEST:
            whole = first_true(_whole(actual, expected, names), actual, agreeing, rtol, atol)
            if whole:
                return [whole]
        if sentences:
            return sentences[:MOST]
        place = differences(agreeing, names)
        if place:
            sentences.append(place)
            wrong = ~agreeing
            there = first_true(_values(actual[wrong], expected[wrong], {}), actual[wrong], agreeing[wrong], rtol, atol)
            if there:
                return [place, f"There, {there[0].lower()}{there[1:]}"]
        if expected.size <= LARGEST:
            lines = first_true(_by_lines(actual, expected, names), actual, agreeing, rtol, atol)
            sentences += [lines] if lines else []
        return sentences or _in_general(actual, expected, names)


def first_true(proposals: Iterator[Proposal], actual: Any, agreeing: Any, rtol: float, atol: float) -> str | None:
    """The first proposed sentence whose array agrees with `actual` everywhere."""
    import numpy

    rtol = max(rtol, 1e-6)
    wrong = numpy.argwhere(~agreeing)[:16]
    sample = tuple(wrong.T) if agreeing.ndim else ()
    for sentence, predicted in proposals:
        if predicted.shape != actual.shape:
            continue
        if not numeric.agree(actual[sample], predicted[sample], rtol, atol).all():
            continue
        if numeric.agree(actual, predicted, rtol, atol).all():
            return sentence
    return None


def _whole(actual: Any, expected: Any, names: list[str]) -> Iterator[Proposal]:
    """What could have happened to the values as a whole."""
    sizes = dict(zip(names, expected.shape))
    yield from _values(actual, expected, sizes)
    yield from _arrangements(expected, names)
    yield from _repetitions(actual, expected, names)
    if expected.dtype.kind != "c":
        yield from _functions(expected, names)


def _values(actual: Any, expected: Any, sizes: dict[str, int]) -> Iterator[Proposal]:
    """Patterns that look at each value alone: constants, signs, factors, offsets."""
    import numpy

    if not actual.size:
        return
    first = actual.flat[0].item()
    every = ", everywhere" if sizes else ""
    if not first:
        yield "Actual is 0 everywhere.", numpy.zeros_like(actual)
    if expected.dtype.kind == "b" and actual.dtype.kind == "b":
        yield "Actual is the opposite of expected: True and False are exchanged.", ~expected
        if actual.size > 1:
            yield f"Actual is {first} everywhere.", numpy.full_like(actual, first)
        return
    if actual.size > 1 and first:
        yield f"Actual is {number(first)} everywhere.", numpy.full_like(actual, first)
    kind = complex if "c" in (actual.dtype.kind, expected.dtype.kind) else float
    got, whole = actual.astype(kind), expected.astype(kind)
    yield "The sign is flipped: actual is −1 times expected.", -whole
    if kind is complex:
        yield "Actual is the complex conjugate of expected.", whole.conj()
        return
    finite = numpy.isfinite(got) & numpy.isfinite(whole)
    got, wanted = numpy.where(finite, got, 0.0), numpy.where(finite, whole, 0.0)
    square = float((wanted * wanted).sum())
    varied = int(numpy.unique(numpy.round(wanted[numpy.abs(wanted) > 0], 12)).size)
    simple = actual.size < 3 or varied < 3
    if square > 0:
        factor = float((got * wanted).sum()) / square
        if not simple or _telling(simplest(factor, sizes)):
            yield f"Actual is {name_factor(factor, sizes)} times expected{every}.", whole * factor
    if actual.size > 2:
        offset = float((got - wanted).sum()) / max(1, int(finite.sum()))
        word = "larger" if offset > 0 else "smaller"
        yield f"Actual is {word} than expected by {number(abs(offset))}{every}.", whole + offset


def _telling(form: str) -> bool:
    """Whether a factor of only one or two values is more than chance: a small number, a root, the size of an axis."""
    return form.removeprefix("1/") in SMALL or "√" in form or ", and " in form


def _arrangements(expected: Any, names: list[str]) -> Iterator[Proposal]:
    """The right values in the wrong places."""
    import numpy

    axes = range(expected.ndim)
    for axis in axes:
        yield f"Actual is expected reversed along {names[axis]}.", numpy.flip(expected, axis)
    for one, other in itertools.combinations(axes, 2):
        if expected.shape[one] == expected.shape[other]:
            yield (
                f"Actual is expected transposed: {names[one]} and {names[other]} are exchanged.",
                expected.swapaxes(one, other),
            )
    for axis in axes:
        size = expected.shape[axis]
        for step in (1, -1, 2, -2) if size > 3 else (1, -1):
            word = f"{'one place' if abs(step) == 1 else 'two places'} {'later' if step > 0 else 'earlier'}"
            if size > abs(step):
                rolled = numpy.roll(expected, step, axis)
                yield f"Actual is expected shifted by {word} along {names[axis]}, wrapped around.", rolled
    if 2 < expected.ndim <= 4:
        for order in itertools.permutations(axes):
            if order != tuple(axes):
                words = ", ".join(names[axis] for axis in order)
                yield f"Actual is expected with its axes in another order: {words}.", expected.transpose(order)
    if expected.ndim > 1:
        yield from _split_last_axis(expected, names)
    for one, other in itertools.combinations(axes, 2):
        if 1 not in (expected.shape[one], expected.shape[other]):
            moved = expected.swapaxes(one, other)
            yield (
                f"The values stand as if {names[one]} and {names[other]} had been exchanged, then reshaped back: "
                "reshape does not transpose.",
                moved.reshape(expected.shape),
            )
            yield (
                f"The values stand as if {names[one]} and {names[other]} had been exchanged by a reshape: "
                "reshape does not transpose.",
                expected.reshape(moved.shape).swapaxes(one, other),
            )


def _split_last_axis(expected: Any, names: list[str]) -> Iterator[Proposal]:
    """The last axis as heads × head size, merged or interleaved in the wrong order."""
    *lead, rows, size = expected.shape
    for parts in range(2, min(size, 65)):
        if size % parts:
            continue
        split = expected.reshape(*lead, rows, parts, size // parts)
        cut = f"{names[-1]} = {parts} × {size // parts}"
        if rows > 1:
            merged = split.swapaxes(-3, -2).reshape(expected.shape)
            yield (
                f"With {cut}: the {parts} parts were merged standing before {names[-2]}; a transpose is missing.",
                merged,
            )
            unmerged = expected.reshape(*lead, parts, rows, size // parts).swapaxes(-3, -2).reshape(expected.shape)
            yield f"With {cut}: {names[-2]} and the {parts} parts are mixed up; a transpose is one too many.", unmerged
        yield (
            f"Along {names[-1]} the values are interleaved: read as {cut}, with the two exchanged.",
            (split.swapaxes(-2, -1).reshape(expected.shape)),
        )


def _repetitions(actual: Any, expected: Any, names: list[str]) -> Iterator[Proposal]:
    """Slices moved along an axis, or one slice repeated along it."""
    import numpy

    for axis in range(expected.ndim):
        size = expected.shape[axis]
        if size < 2:
            continue
        for step in (1, -1):
            kept = numpy.take(expected, range(size - 1) if step > 0 else range(1, size), axis)
            if size < 3 or not _varies(kept, axis):
                continue
            edge = numpy.take(actual, [0] if step > 0 else [-1], axis)
            moved = numpy.concatenate([edge, kept] if step > 0 else [kept, edge], axis)
            word = "later" if step > 0 else "earlier"
            yield f"Actual is expected shifted by one place {word} along {names[axis]}.", moved
        for index, which in ((0, "first"), (size - 1, "last")):
            one = numpy.take(expected, [index], axis)
            same = numpy.broadcast_to(one, expected.shape)
            yield f"Every slice along {names[axis]} is equal to the {which} one of expected.", same
    for axis in range(expected.ndim):
        if expected.shape[axis] > 1 and _varies(expected, axis):
            one = numpy.take(actual, [0], axis)
            yield (
                f"Actual is the same at every index of {names[axis]}; expected is not.",
                numpy.broadcast_to(one, actual.shape),
            )


def _varies(values: Any, axis: int) -> bool:
    import numpy

    return not bool(numeric.agree(values, numpy.take(values, [0], axis), 1e-6, 1e-9).all())


def _functions(expected: Any, names: list[str]) -> Iterator[Proposal]:
    """Another function of the right values."""
    import numpy

    if expected.size < 3 or expected.dtype.kind == "b":
        return
    wide = expected.astype(float)
    if expected.dtype.kind == "f":
        half = wide.astype(numpy.float16).astype(float)
        yield "Actual is expected rounded to float16.", half
        yield "Actual is expected rounded to bfloat16.", _bfloat16(wide)
        yield "Actual is expected rounded to whole numbers.", numpy.round(wide)
        yield "Actual is expected without its fraction: it was truncated to whole numbers.", numpy.trunc(wide)
    functions: list[tuple[str, Callable[[Any], Any]]] = [
        ("the absolute value of expected", numpy.abs),
        ("the square of expected", numpy.square),
        ("the square root of expected", numpy.sqrt),
        ("1 divided by expected", numpy.reciprocal),
        ("1 minus expected", lambda x: 1 - x),
        ("the logarithm of expected", numpy.log),
        ("e to the power of expected", numpy.exp),
        ("expected with everything negative set to 0", lambda x: numpy.maximum(x, 0)),
        ("expected limited to the range from −1 to 1", lambda x: numpy.clip(x, -1, 1)),
    ]
    for words, function in functions:
        yield f"Actual is {words}.", function(wide)
    for axis in range(expected.ndim):
        yield f"Actual is expected sorted along {names[axis]}.", numpy.sort(wide, axis)


def _bfloat16(values: Any) -> Any:
    """Round to the nearest bfloat16, ties to even, on the bits of a float32."""
    import numpy

    bits = values.astype(numpy.float32).view(numpy.uint32).astype(numpy.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return bits.astype(numpy.uint32).view(numpy.float32).astype(float)


def _by_lines(actual: Any, expected: Any, names: list[str]) -> Iterator[Proposal]:
    """A factor or an offset that is constant along one axis, and another one for each line."""
    import numpy

    if "c" in (actual.dtype.kind, expected.dtype.kind) or expected.dtype.kind == "b":
        return
    got, wanted = actual.astype(float), expected.astype(float)
    if not (numpy.isfinite(got).all() and numpy.isfinite(wanted).all()):
        return
    for axis in reversed(range(expected.ndim)):
        if expected.shape[axis] < 3 or expected.size == expected.shape[axis] or not _varies(expected, axis):
            continue
        square = (wanted * wanted).sum(axis, keepdims=True)
        factor = (got * wanted).sum(axis, keepdims=True) / numpy.where(square > 0, square, 1)
        yield (
            f"Each line along {names[axis]} is expected times a factor of its own "
            f"(from {number(float(factor.min()))} to {number(float(factor.max()))}).",
            wanted * factor,
        )
        offset = (got - wanted).mean(axis, keepdims=True)
        yield (
            f"Each line along {names[axis]} is off by a constant of its own "
            f"(from {number(float(offset.min()))} to {number(float(offset.max()))}).",
            wanted + offset,
        )


def _in_general(actual: Any, expected: Any, names: list[str]) -> list[str]:
    """When there is no pattern: how far off it is, and whether the values are only out of order."""
    import numpy

    if actual.size < 3 or "c" in (actual.dtype.kind, expected.dtype.kind) or expected.dtype.kind == "b":
        return []
    got, wanted = actual.astype(float), expected.astype(float)
    if not (numpy.isfinite(got).all() and numpy.isfinite(wanted).all()):
        return []
    if numeric.agree(numpy.sort(got, None), numpy.sort(wanted, None), 1e-6, 0).all():
        return ["The values are right, but in another order."]
    for axis in range(expected.ndim):
        if expected.shape[axis] > 1 and numeric.agree(numpy.sort(got, axis), numpy.sort(wanted, axis), 1e-6, 0).all():
            return [f"Along {names[axis]} the values are right, but in another order."]
    largest, error = float(numpy.abs(wanted).max()), float(numpy.abs(got - wanted).max())
    if 0 < error < 0.01 * largest:
        share = number(100 * error / largest)
        return [
            f"The errors are small, at most {share} % of the largest value: look for a small term (an epsilon, a bias) "
            "or for lost precision rather than for another formula."
        ]
    return []
