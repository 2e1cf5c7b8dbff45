"""Blocks of text that know their base line, and how to join them: typesetting for `mathematics`, without LaTeX."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len

TALL = {
    "(": "⎛⎜⎝",
    ")": "⎞⎟⎠",
    "[": "⎡⎢⎣",
    "]": "⎤⎥⎦",
    "{": "⎧⎨⎩",
    "}": "⎫⎬⎭",
    "|": "│││",
    "‖": "║║║",
}


@dataclass(frozen=True)
class Box:
    """Rows of equal width; `base` is the row on which neighbours stand."""

    rows: tuple[str, ...]
    base: int = 0

    @property
    def width(self) -> int:
        return cell_len(self.rows[0])

    @property
    def height(self) -> int:
        return len(self.rows)

    @property
    def flat(self) -> bool:
        return len(self.rows) == 1


def line(text: str) -> Box:
    return Box((text,))


def beside(boxes: list[Box]) -> Box:
    """The boxes from left to right, their base lines in one row."""
    boxes = [box for box in boxes if box.width or not box.flat]
    if not boxes:
        return line("")
    above = max(box.base for box in boxes)
    below = max(box.height - box.base for box in boxes)
    rows = ["".join(_row(box, y + box.base) for box in boxes) for y in range(-above, below)]
    return Box(tuple(rows), above)


def stacked(boxes: list[Box], base: int, *, align: str = "center") -> Box:
    """The boxes from top to bottom; the base line is that of box number `base`."""
    width = max(box.width for box in boxes)
    rows = [pad(row, width, align) for box in boxes for row in box.rows]
    return Box(tuple(rows), sum(box.height for box in boxes[:base]) + boxes[base].base)


def fraction(top: Box, bottom: Box) -> Box:
    return stacked([top, line("─" * (max(top.width, bottom.width) + 2)), bottom], 1)


def raised(base: Box, upper: Box | None, lower: Box | None) -> Box:
    """`base` with a superscript above its right edge and a subscript below it."""
    parts = [box for box in (upper, line(""), lower) if box is not None]
    scripts = stacked(parts, 0 if upper is None else 1, align="left")
    up = upper.height if upper else 0
    down = lower.height if lower else 0
    middle = Box(tuple([" " * scripts.width] * base.height), base.base)
    rows = (*scripts.rows[:up], *middle.rows, *scripts.rows[up + 1 :][:down])
    return beside([base, Box(rows, up + base.base)])


def fenced(left: str, box: Box, right: str) -> Box:
    """`box` between delimiters as tall as it is; an empty delimiter is left out."""
    return beside([_fence(left, box), box, _fence(right, box)])


def table(cells: list[list[Box]], *, aligns: str, gap: int) -> Box:
    """Cells in columns; `aligns` gives l, c or r for each column, the last one repeating."""
    columns = max(len(row) for row in cells)
    filled = [row + [line("")] * (columns - len(row)) for row in cells]
    widths = [max(row[column].width for row in filled) for column in range(columns)]
    names = {"l": "left", "c": "center", "r": "right"}
    rows: list[str] = []
    for row in filled:
        padded = []
        for column, box in enumerate(row):
            align = names[aligns[min(column, len(aligns) - 1)]]
            lines = tuple(pad(text, widths[column], align) for text in box.rows)
            padded += [Box(lines, box.base), line(" " * gap if column < columns - 1 else "")]
        rows += beside(padded).rows
    return Box(tuple(rows), len(rows) // 2)


def pad(text: str, width: int, align: str) -> str:
    space = width - cell_len(text)
    if align == "left":
        return text + " " * space
    if align == "right":
        return " " * space + text
    return " " * (space // 2) + text + " " * (space - space // 2)


def _row(box: Box, index: int) -> str:
    return box.rows[index] if 0 <= index < box.height else " " * box.width


def _fence(mark: str, box: Box) -> Box:
    if box.flat or not mark:
        return line(mark)
    if mark not in TALL:
        return Box(tuple(mark if y == box.base else " " for y in range(box.height)), box.base)
    top, middle, bottom = tuple(TALL[mark])
    rows = [top, *[middle] * (box.height - 2), bottom]
    if mark in "{}" and box.height > 2:
        rows = [top, *["⎪"] * (box.height - 2), bottom]
        rows[box.height // 2] = middle
    return Box(tuple(rows), box.base)
