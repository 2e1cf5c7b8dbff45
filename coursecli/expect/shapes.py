"""Two shapes side by side, axis by axis, and the likely reason why they differ."""

from __future__ import annotations

from coursecli.expect.payload import ShapePart

Shape = tuple[int, ...]


def axis_names(dims: str | None, count: int) -> list[str]:
    """The names of `count` axes: from `dims` ("B T C"), else "axis 0", "axis 1", …"""
    names = (dims or "").replace(",", " ").split()
    return names if len(names) == count else [f"axis {axis}" for axis in range(count)]


def lay_out(actual: Shape, expected: Shape, names: list[str]) -> list[ShapePart]:
    """Each axis of both shapes."""
    rows = max(len(actual), len(expected))
    return [
        ShapePart(
            name=names[axis] if axis < len(names) else f"axis {axis}",
            expected=expected[axis] if axis < len(expected) else None,
            actual=actual[axis] if axis < len(actual) else None,
        )
        for axis in range(rows)
    ]


def explain(actual: Shape, expected: Shape, names: list[str]) -> list[str]:
    """Why the shapes may differ, as sentences, the likeliest first."""
    return []
