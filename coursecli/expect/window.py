"""The neighbourhood of the largest error: a small window on both values, as text."""

from __future__ import annotations

from typing import Any

from coursecli.expect.payload import Cell, Grid
from coursecli.expect.words import number, pair

ROWS, COLUMNS = 5, 5


def position(index: tuple[int, ...]) -> str:
    """`[1, 0, 3]`"""
    return f"[{', '.join(str(part) for part in index)}]"


def window(actual: Any, expected: Any, agreeing: Any, centre: tuple[int, ...], names: list[str]) -> Grid | None:
    """The rows and columns around `centre` in its slice of the last two axes; None for a single number."""
    if not centre:
        return None
    matrix = len(centre) > 1
    rows = _around(centre[-2], expected.shape[-2], ROWS) if matrix else range(1)
    columns = _around(centre[-1], expected.shape[-1], COLUMNS)
    lead = centre[:-2] if matrix else ()

    def cell(row: int, column: int) -> Cell:
        index = (*lead, row, column) if matrix else (column,)
        wanted, got = expected[index].item(), actual[index].item()
        differs = not bool(agreeing[index])
        left, right = pair(wanted, got) if differs else (number(wanted), number(got))
        return Cell(expected=left, actual=right, differs=differs)

    parts = [f"{names[axis]} = {lead[axis]}" for axis in range(len(lead))]
    if matrix:
        parts.append(_span(names[-2], rows, expected.shape[-2]))
    parts.append(_span(names[-1], columns, expected.shape[-1]))
    return Grid(
        title=", ".join(parts),
        row_labels=[str(row) for row in rows] if matrix else [""],
        column_labels=[str(column) for column in columns],
        rows=[[cell(row, column) for column in columns] for row in rows],
        row=centre[-2] - rows[0] if matrix else 0,
        column=centre[-1] - columns[0],
    )


def _around(centre: int, size: int, width: int) -> range:
    start = max(0, min(centre - width // 2, size - width))
    return range(start, min(size, start + width))


def _span(name: str, part: range, size: int) -> str:
    if len(part) == size:
        return f"{name} = 0–{size - 1}" if size > 1 else f"{name} = 0"
    return f"{name} = {part[0]}–{part[-1]} of {size}"
