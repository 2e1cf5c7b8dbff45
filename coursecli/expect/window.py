"""The neighbourhood of the largest error: a small window on both values, as text."""

from __future__ import annotations

import math
from typing import Any

from coursecli.expect.payload import Cell, Grid
from coursecli.expect.words import number, pair

ROWS, COLUMNS = 5, 5
Entry = tuple[complex, complex, bool]
"""A cell: expected, actual, and whether they differ."""


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

    def cells(row: int) -> list[Entry]:
        indices = [(*lead, row, column) if matrix else (column,) for column in columns]
        return [(expected[index].item(), actual[index].item(), not bool(agreeing[index])) for index in indices]

    parts = [f"{names[axis]} = {lead[axis]}" for axis in range(len(lead))]
    if matrix:
        parts.append(_span(names[-2], rows, expected.shape[-2]))
    parts.append(_span(names[-1], columns, expected.shape[-1]))
    return Grid(
        title=", ".join(parts),
        row_labels=[str(row) for row in rows] if matrix else [""],
        column_labels=[str(column) for column in columns],
        rows=_written([cells(row) for row in rows]),
        row=centre[-2] - rows[0] if matrix else 0,
        column=centre[-1] - columns[0],
    )


def _written(rows: list[list[Entry]]) -> list[list[Cell]]:
    """The cells as text: decimal points below each other where the numbers allow it, digits enough to tell apart."""
    numbers: list[Any] = [value for row in rows for wanted, got, _ in row for value in (wanted, got)]
    largest = max((abs(value) for value in numbers if type(value) is float and math.isfinite(value)), default=0.0)
    if 0.01 <= largest < 1e5 and all(type(value) is float for value in numbers):
        whole = all(value == round(value, 1) for value in numbers if math.isfinite(value))
        for decimals in range(1 if whole else max(1, 3 - math.floor(math.log10(largest))), 9):
            cells = [[_fixed(entry, decimals) for entry in row] for row in rows]
            if all(cell.expected != cell.actual for row in cells for cell in row if cell.differs):
                return cells
    return [[_cell(entry) for entry in row] for row in rows]


def _fixed(entry: Entry, decimals: int) -> Cell:
    wanted, got, differs = entry
    return Cell(expected=f"{wanted:.{decimals}f}", actual=f"{got:.{decimals}f}", differs=differs)


def _cell(entry: Entry) -> Cell:
    wanted, got, differs = entry
    left, right = pair(wanted, got) if differs else (number(wanted), number(got))
    return Cell(expected=left, actual=right, differs=differs)


def _around(centre: int, size: int, width: int) -> range:
    start = max(0, min(centre - width // 2, size - width))
    return range(start, min(size, start + width))


def _span(name: str, part: range, size: int) -> str:
    if len(part) == size:
        return f"{name} = 0–{size - 1}" if size > 1 else f"{name} = 0"
    return f"{name} = {part[0]}–{part[-1]} of {size}"
