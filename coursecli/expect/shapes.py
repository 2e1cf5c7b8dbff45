"""Two shapes side by side, axis by axis, and the likely reason why they differ."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from coursecli.expect.payload import ShapePart
from coursecli.expect.words import listed, plural

Shape = tuple[int, ...]


def axis_names(dims: str | None, count: int) -> list[str]:
    """The names of `count` axes: from `dims` ("B T C"), else "axis 0", "axis 1", …"""
    names = (dims or "").replace(",", " ").split()
    return names if len(names) == count else [f"axis {axis}" for axis in range(count)]


def match_axes(actual: Shape, expected: Shape, names: list[str]) -> list[ShapePart]:
    """Each axis of both shapes, equal sizes opposite each other where one shape has more axes."""
    if len(actual) > 12 or len(expected) > 12:
        return []
    rows = max(len(actual), len(expected))
    left, right = _spread(expected, actual, rows), _spread(actual, expected, rows)
    rest = iter(names)
    return [
        ShapePart(name="(extra)" if one is None else next(rest), expected=one, actual=other)
        for one, other in zip(left, right)
    ]


def _spread(shape: Shape, other: Shape, rows: int) -> list[int | None]:
    """`shape` with gaps, so that as many of its sizes as possible stand opposite an equal one in the longer shape."""
    if len(shape) == rows:
        return list(shape)
    places = max(
        itertools.combinations(range(rows), len(shape)),
        key=lambda places: sum(size == other[place] for size, place in zip(shape, places)),
    )
    spread: list[int | None] = [None] * rows
    for size, place in zip(shape, places):
        spread[place] = size
    return spread


def explain(actual: Shape, expected: Shape, names: list[str]) -> list[str]:
    """Why the shapes may differ, as sentences, the likeliest first."""
    if len(actual) > 12 or len(expected) > 12:
        return [f"It has {len(actual)} axes instead of {len(expected)}."]
    reasons = list(_reasons(actual, expected, names))
    if math.prod(actual) == math.prod(expected) and not reasons:
        reasons.append(f"The number of elements is right ({math.prod(expected)}): only the division into axes differs.")
    return reasons[:2]


def _reasons(actual: Shape, expected: Shape, names: list[str]) -> Iterator[str]:
    if not actual:
        yield "It is a single number: something reduced over every axis."
        return
    if not expected:
        yield "A single number is expected: the axes are still there, so a sum or a mean over them is missing."
        return
    if len(actual) == len(expected):
        yield from _same_rank(actual, expected, names)
    elif len(actual) < len(expected):
        yield from _fewer(actual, expected, names)
    else:
        yield from _more(actual, expected, names)


def _same_rank(actual: Shape, expected: Shape, names: list[str]) -> Iterator[str]:
    wrong = [axis for axis, (got, wanted) in enumerate(zip(actual, expected)) if got != wanted]
    if sorted(actual) == sorted(expected):
        if len(wrong) == 2:
            yield f"{names[wrong[0]]} and {names[wrong[1]]} are exchanged: a transpose is missing, or one too many."
        else:
            yield f"The sizes of {listed(names[axis] for axis in wrong)} are right, but in another order."
        return
    for axis in wrong if len(wrong) == 1 else []:
        got, wanted, name = actual[axis], expected[axis], names[axis]
        if wanted == 1:
            yield (
                f"Only {name} differs: {got} instead of 1. A sum or a mean with keepdim=True is missing, or two shapes "
                "were broadcast against each other."
            )
        elif got == 0:
            yield f"{name} is empty."
        elif got == 1:
            yield f"{name} was reduced to size 1: a sum, a mean or an index ran along it."
        elif abs(got - wanted) == 1:
            yield f"Only {name} differs: it is one too {'long' if got > wanted else 'short'}."
        elif wanted and got % wanted == 0:
            yield f"Only {name} differs: it is {got // wanted} times as long as it should be."
        elif got and wanted % got == 0:
            yield f"Only {name} differs: {wanted} is {wanted // got} times {got}."
        else:
            yield f"Only {name} differs: its size is {got}, not {wanted}."
    if len(wrong) > 1 and math.prod(actual) != math.prod(expected):
        yield f"{listed(names[axis] for axis in wrong)} differ; {_rest(len(expected) - len(wrong))}."


def _rest(count: int) -> str:
    return "no axis is right" if not count else "the other axis is right" if count == 1 else "the other axes are right"


def _fewer(actual: Shape, expected: Shape, names: list[str]) -> Iterator[str]:
    if len(actual) + 1 == len(expected):
        for axis in range(len(expected)):
            if expected[:axis] + expected[axis + 1 :] == actual:
                name = f"{names[axis]}, the batch axis," if axis == 0 and names[0] == "B" else names[axis]
                lost = (
                    "keepdim=True or an unsqueeze puts it back"
                    if expected[axis] == 1
                    else "summed over, indexed or squeezed"
                )
                yield f"{name} is missing (size {expected[axis]}): {lost}."
                return
        for axis in range(len(expected) - 1):
            merged = (*expected[:axis], expected[axis] * expected[axis + 1], *expected[axis + 2 :])
            if merged == actual:
                yield (
                    f"{names[axis]} and {names[axis + 1]} are merged into one axis: "
                    f"{expected[axis]} × {expected[axis + 1]} = {merged[axis]}."
                )
                return
    if math.prod(actual) != math.prod(expected):
        yield f"It has {plural(len(expected) - len(actual), 'axis', 'axes')} fewer than expected."


def _more(actual: Shape, expected: Shape, names: list[str]) -> Iterator[str]:
    if len(actual) == len(expected) + 1:
        for axis in range(len(actual)):
            if actual[:axis] + actual[axis + 1 :] == expected:
                cause = "a sum, a mean or an index over it is missing"
                if actual[axis] == 1:
                    cause = "a keepdim=True or an unsqueeze was left over"
                yield f"There is an extra axis of size {actual[axis]} at position {axis}: {cause}."
                return
        for (one, first), (other, second) in itertools.combinations(enumerate(actual), 2):
            rest = [size for axis, size in enumerate(actual) if axis not in (one, other)]
            for axis, size in enumerate(expected):
                if (
                    first * second == size
                    and sorted(rest) == sorted(expected[:axis] + expected[axis + 1 :])
                    and first > 1 < second
                ):
                    apart = "" if other == one + 1 else ", after a transpose that brings them together"
                    parts = f"{first} × {second}"
                    yield f"{names[axis]} = {size} is still split into {parts}: they have to be merged{apart}."
                    return
    if math.prod(actual) != math.prod(expected):
        yield f"It has {plural(len(actual) - len(expected), 'axis', 'axes')} more than expected."
