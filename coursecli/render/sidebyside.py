"""Two sources next to each other, aligned line by line; one above the other where the terminal is narrow."""

from __future__ import annotations

from difflib import SequenceMatcher

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from coursecli.render.console import visible

STACK_BELOW = 90

Row = tuple[int | None, int | None]
"""Line numbers, from 0, of one row: None where the other side has lines that this one lacks."""


def side_by_side(left: str, right: str, *, titles: tuple[str, str], width: int) -> RenderableType:
    """`left` and `right` with their lines aligned, and a mark at those that differ; neither where they are stacked."""
    ours, theirs = visible(left).splitlines(), visible(right).splitlines()
    if width < STACK_BELOW:
        return Group(_listing(ours, titles[0]), Text(), _listing(theirs, titles[1]))
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), show_header=True, header_style="title")
    for title in titles:
        table.add_column("", justify="right", style="quiet", no_wrap=True, width=4)
        table.add_column(Text(title), ratio=1, overflow="fold")
    for a, b in align(ours, theirs):
        same = a is not None and b is not None and ours[a] == theirs[b]
        table.add_row(*_cells(ours, a, same), *_cells(theirs, b, same))
    return table


def align(left: list[str], right: list[str]) -> list[Row]:
    """Pairs of line numbers, so that equal lines stand in one row.

    >>> align(["a", "b"], ["a", "x", "b"])
    [(0, 0), (None, 1), (1, 2)]
    """
    rows: list[Row] = []
    matcher = SequenceMatcher(None, [line.rstrip() for line in left], [line.rstrip() for line in right], autojunk=False)
    for _, a1, a2, b1, b2 in matcher.get_opcodes():
        for offset in range(max(a2 - a1, b2 - b1)):
            a, b = a1 + offset, b1 + offset
            rows.append((a if a < a2 else None, b if b < b2 else None))
    return rows


def _cells(lines: list[str], index: int | None, same: bool) -> tuple[Text, Text]:
    if index is None:
        return Text(""), Text("")
    mark = " " if same else "│"
    return Text(f"{index + 1}{mark}"), Text(lines[index], style="" if same else "mark")


def _listing(lines: list[str], title: str) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(justify="right", style="quiet", no_wrap=True, width=3)
    table.add_column(ratio=1, overflow="fold")
    for number, line in enumerate(lines, start=1):
        table.add_row(Text(str(number)), Text(line))
    return Group(Text(title, style="title"), table)
