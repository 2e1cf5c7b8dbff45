"""The right values in the wrong places: reversed, transposed, shifted, repeated, merged without a transpose.

Each function proposes sentences, each with the array that `actual` would then be; `patterns` tells those that are true.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from coursecli.expect import numeric

Proposal = tuple[str, Any]
"""A sentence, and the array that it predicts."""


def arrangements(expected: Any, names: list[str]) -> Iterator[Proposal]:
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
            split.swapaxes(-2, -1).reshape(expected.shape),
        )


def repetitions(actual: Any, expected: Any, names: list[str]) -> Iterator[Proposal]:
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
