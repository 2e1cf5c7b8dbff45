"""The pages of the dashboard, and which panes of them fit beside each other in how many columns."""

from __future__ import annotations

from typing import NamedTuple

LEAST_COLUMNS, LEAST_ROWS = 60, 15
TWO_PANES, THREE_PANES = 100, 140
"""From so many columns on."""


class Page(NamedTuple):
    name: str
    title: str
    pane: str
    """The pane that the page is about, and that has the focus."""


PAGES = [
    Page("course", "Course", "tree"),
    Page("lesson", "Lesson", "reader"),
    Page("hints", "Hints", "reader"),
    Page("code", "Code", "reader"),
    Page("check", "Check", "verdict"),
    Page("runs", "Runs", "runs"),
    Page("chat", "Chat", "chat"),
]
FOR_INSTRUCTORS = [Page("solution", "Solution", "reader"), Page("notes", "Notes", "reader")]


def pages_for(*, instructor: bool) -> list[Page]:
    return [*PAGES, *(FOR_INSTRUCTORS if instructor else [])]


def is_too_small(columns: int, rows: int) -> bool:
    return columns < LEAST_COLUMNS or rows < LEAST_ROWS


def panes_shown(page: Page, columns: int) -> set[str]:
    """The page's own pane; where there is room, the course beside it, and then the verdict.

    >>> sorted(panes_shown(PAGES[1], 120))
    ['reader', 'tree']
    """
    if page.pane in ("runs", "chat") or columns < TWO_PANES:
        return {page.pane}
    if columns < THREE_PANES:
        return {"tree", "reader" if page.pane == "tree" else page.pane}
    return {"tree", "reader", "verdict"}
