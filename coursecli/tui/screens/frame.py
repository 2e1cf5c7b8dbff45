"""`Frame`: the bar, the panes and the line below them; which page is shown, where the cursor is, what is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.events import Resize
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Static

from coursecli.errors import CourseError
from coursecli.tui.desk import Desk, Target
from coursecli.tui.messages import StateRead, Trouble
from coursecli.tui.pages import LEAST_COLUMNS, LEAST_ROWS, is_too_small, pages_for
from coursecli.tui.views import Verdict
from coursecli.tui.widgets.chat_pane import ChatPane
from coursecli.tui.widgets.course_tree import CourseTree
from coursecli.tui.widgets.key_line import KeyLine
from coursecli.tui.widgets.page_bar import PageBar, PageTab
from coursecli.tui.widgets.panes import Panes
from coursecli.tui.widgets.runs_pane import RunsPane

if TYPE_CHECKING:
    from coursecli.progress.state import CourseState, LessonState

SETTLE_SECONDS = 0.15
"""How long the cursor rests on an entry before it is laid out."""


class Frame(Screen[None]):
    """What can be looked at. It does nothing to the workspace."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.pages = pages_for(instructor=desk.instructor)
        self.page = self.pages[0]
        self.state: CourseState | None = None
        self.target: Target | None = None
        """What the cursor is on."""
        self.verdicts: dict[str, Verdict] = {}
        """By lesson, since the dashboard was opened."""
        self._settling: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Static("", id="too-small")
        yield PageBar([(page.name, page.title) for page in self.pages])
        yield Panes(self.desk, self.pages[0], self.pages[1])
        yield Static("", id="doing")
        yield KeyLine()

    def on_mount(self) -> None:
        self.read_state()
        self.go_to_page("course")

    # What is known, and where it is shown

    def read_state(self) -> None:
        """Ask for the progress as it is now, in a thread."""
        self.run_worker(self._read_state, group="state", exclusive=True, thread=True)

    def _read_state(self) -> None:
        try:
            self.post_message(StateRead(self.desk.state()))
        except CourseError as error:
            self.post_message(Trouble(error))

    def on_state_read(self, event: StateRead) -> None:
        self.state = event.state
        tree = self.query_one(CourseTree)
        tree.take(event.state)
        self.target = self.target or tree.first  # the cursor gets there a moment later; a key may come before
        done = sum(entry.done for entry in event.state.lessons)
        self.query_one(PageBar).tell(Text(f"{done} of {len(event.state.lessons)} lessons"))
        self.query_one(ChatPane).take(event.state)
        self.refresh_bindings()
        self.refresh_panes()

    @property
    def entry(self) -> LessonState | None:
        """The state of the lesson that the cursor is in."""
        return self.state.lesson(self.target.lesson) if self.state and self.target else None

    @property
    def verdict(self) -> Verdict | None:
        """The last one on this lesson."""
        return self.verdicts.get(self.target.lesson.id) if self.target else None

    def refresh_panes(self) -> None:
        if self.target is not None and self.state is not None:
            self.query_one(Panes).fill(self.target, self.state, self.verdict)

    def say(self, line: Text) -> None:
        """One line about what goes on."""
        line.no_wrap = True
        line.overflow = "ellipsis"
        self.query_one("#doing", Static).update(line)

    # Where the cursor is, and the page

    @on(CourseTree.Looked)
    def _look(self, event: CourseTree.Looked) -> None:
        self.target = event.target
        self.refresh_bindings()
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(SETTLE_SECONDS, self.refresh_panes)

    @on(CourseTree.Chosen)
    def _choose(self, event: CourseTree.Chosen) -> None:
        self.target = event.target
        self.go_to_page("lesson")

    def go_to_page(self, name: str) -> None:
        self.page = next(page for page in self.pages if page.name == name)
        self._arrange()
        self.refresh_bindings()
        self.query_one(Panes).focus_page()

    def go_to(self, target: Target) -> None:
        """Put the cursor on a lesson or task, and read about it."""
        self.query_one(CourseTree).go_to(target)
        self.target = target
        self.go_to_page("lesson")

    @on(RunsPane.Talk)
    def _talk(self, event: RunsPane.Talk) -> None:
        self.query_one(ChatPane).talk_to(event.run)
        self.go_to_page("chat")

    def action_page_number(self, number: int) -> None:
        if number <= len(self.pages):
            self.go_to_page(self.pages[number - 1].name)

    @on(PageTab.Clicked)
    def _clicked(self, event: PageTab.Clicked) -> None:
        self.go_to_page(event.page)

    def on_resize(self, event: Resize) -> None:
        self._arrange()

    def _arrange(self) -> None:
        columns, rows = self.app.size
        self.set_class(is_too_small(columns, rows), "-too-small")
        self.query_one("#too-small", Static).update(
            f"This window has {columns} × {rows} characters.\nThe dashboard needs {LEAST_COLUMNS} × {LEAST_ROWS}."
        )
        self.query_one(Panes).show_page(self.page)
        self.query_one(PageBar).choose(self.page.name)
        self.refresh_panes()
