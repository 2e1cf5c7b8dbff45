"""Right values that went through something: a factor, an offset, another function, a rounding.

Each function proposes sentences, each with the array that `actual` would then be; `patterns` tells those that are true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from coursecli.expect.arrangements import Proposal
from coursecli.expect.factors import name_factor, simplest
from coursecli.expect.words import number

SMALL = {*map(str, range(2, 13)), "ln 2"}
"""Factors that are no chance, even in a single value."""


def elementwise(actual: Any, expected: Any, sizes: dict[str, int]) -> Iterator[Proposal]:
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


def functions(expected: Any, names: list[str]) -> Iterator[Proposal]:
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
    others: list[tuple[str, Callable[[Any], Any]]] = [
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
    for words, function in others:
        yield f"Actual is {words}.", function(wide)
    for axis in range(expected.ndim):
        yield f"Actual is expected sorted along {names[axis]}.", numpy.sort(wide, axis)


def _bfloat16(values: Any) -> Any:
    """Round to the nearest bfloat16, ties to even, on the bits of a float32."""
    import numpy

    bits = values.astype(numpy.float32).view(numpy.uint32).astype(numpy.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return bits.astype(numpy.uint32).view(numpy.float32).astype(float)


def by_lines(actual: Any, expected: Any, names: list[str]) -> Iterator[Proposal]:
    """A factor or an offset that differs from index to index of the last axis, or from line to line along an axis."""
    import numpy

    if "c" in (actual.dtype.kind, expected.dtype.kind) or expected.dtype.kind == "b":
        return
    got, wanted = actual.astype(float), expected.astype(float)
    if not (numpy.isfinite(got).all() and numpy.isfinite(wanted).all()):
        return
    last = expected.ndim - 1
    if expected.ndim > 1 and expected.shape[last] > 1:
        others = tuple(range(last))
        yield from _fitted(got, wanted, others, f"At each index of {names[last]}, actual is", f"along {names[last]}")
    for axis in reversed(range(expected.ndim)):
        if expected.size > expected.shape[axis]:
            yield from _fitted(got, wanted, (axis,), f"Each line along {names[axis]} is", "")


def _fitted(got: Any, wanted: Any, axes: tuple[int, ...], subject: str, owner: str) -> Iterator[Proposal]:
    """The best factor, offset, or both, for each group of values along `axes`; needs more values than it fits."""
    count = _distinct(wanted, axes)
    mean, actual_mean = wanted.mean(axes, keepdims=True), got.mean(axes, keepdims=True)
    centred = wanted - mean
    spread = (centred * centred).sum(axes, keepdims=True)
    if count < 3 or not (spread > 1e-12 * (wanted * wanted).sum(axes, keepdims=True)).all():
        return
    factor = (got * wanted).sum(axes, keepdims=True) / (wanted * wanted).sum(axes, keepdims=True)
    weight = f", as a weight {owner} would do" if owner else ""
    yield f"{subject} expected times a factor of its own ({_range(factor)}){weight}.", wanted * factor
    offset = actual_mean - mean
    bias = f", as a bias {owner} would be" if owner else ""
    yield f"{subject} off by a constant of its own ({_range(offset)}){bias}.", wanted + offset
    if count > 3:
        slope = ((got - actual_mean) * centred).sum(axes, keepdims=True) / spread
        both = f", as a weight and a bias {owner} would do" if owner else ""
        yield (
            f"{subject} expected times a factor ({_range(slope)}) and off by a constant of its own{both}.",
            actual_mean + slope * centred,
        )


def _distinct(wanted: Any, axes: tuple[int, ...]) -> int:
    """How many different values the poorest group along `axes` has: a line through two points proves nothing."""
    import numpy

    size = int(numpy.prod([wanted.shape[axis] for axis in axes]))
    groups = numpy.moveaxis(wanted, axes, range(len(axes))).reshape(size, -1)  # a column for each group
    steps = numpy.diff(numpy.sort(groups, axis=0), axis=0) > 1e-9 * (numpy.abs(wanted).max() or 1.0)
    return 1 + int(steps.sum(axis=0).min())


def _range(values: Any) -> str:
    return f"from {number(float(values.min()))} to {number(float(values.max()))}"
