"""The keys and the signs, on one screen."""

from __future__ import annotations

from typing import ClassVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from coursecli.tui.widgets.rich_view import RichView

KEYS = {
    "Getting about": [
        ("1 … 9", "the pages in the bar at the top; a click does the same"),
        ("↑ ↓ ← →", "move in the course, open and close a branch"),
        ("Enter", "read the lesson, or what it says about the task"),
        ("Tab", "the next pane"),
        ("Space, PgUp, PgDn", "scroll"),
        ("Esc", "stop what runs; when nothing runs, back to the course"),
    ],
    "The loop": [
        ("s", "start the lesson, or when it is done the next: you get its files"),
        ("e, v", "open the line in question in your editor, in VS Code"),
        ("c", "check what the cursor is on; C checks its whole lesson"),
        ("a", "every failing test whole, or only the first"),
        ("h", "the next hint for the task in hand"),
        ("x", "stop the check"),
        ("w", "check again at every save, or not"),
    ],
    "The rest": [
        ("Ctrl+P", "every command, by its name"),
        ("t", "light or dark"),
        ("?", "this help"),
        ("Ctrl+C", "copy what the mouse has selected; when nothing is, quit"),
        ("Ctrl+Z", "back to the shell for a while: fg brings the dashboard back"),
        ("q", "quit; what runs is stopped, nothing is lost"),
    ],
}
SIGNS = [
    ("✓", "passed"),
    ("≈", "passed, and something has changed since"),
    ("✗", "does not pass"),
    ("▸", "started"),
    ("○", "open, or to write"),
    ("»", "skipped"),
    ("·", "locked"),
]


class Help(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        with Vertical(id="help"):
            yield Static("Help", id="help-title")
            yield RichView(id="help-text")
            yield Static("Esc closes this.", id="help-foot")

    def on_mount(self) -> None:
        self.query_one(RichView).show(lambda width: help_text(), place="help")
        self.query_one(RichView).focus()


def help_text() -> RenderableType:
    parts: list[RenderableType] = []
    for title, rows in [*KEYS.items(), ("Signs", SIGNS)]:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=17, style="command")
        table.add_column()
        for key, meaning in rows:
            table.add_row(Text(key), Text(meaning))
        parts += [Text(title, style="title"), table, Text()]
    return Group(*parts[:-1])
