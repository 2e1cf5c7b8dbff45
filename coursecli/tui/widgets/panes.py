"""`Panes`: the panes beside each other, as many as fit, each with what its page is about."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal

from coursecli.tui import views
from coursecli.tui.desk import Desk, Target
from coursecli.tui.pages import Page, panes_shown
from coursecli.tui.views import Verdict
from coursecli.tui.widgets.chat_pane import ChatPane
from coursecli.tui.widgets.course_tree import CourseTree
from coursecli.tui.widgets.rich_view import RichView
from coursecli.tui.widgets.runs_pane import RunsPane

if TYPE_CHECKING:
    from coursecli.progress.state import CourseState


class Panes(Horizontal):
    """
    Args:
        first, reads: the page to begin with, and the one that the reader shows until it is asked for another.
    """

    def __init__(self, desk: Desk, first: Page, reads: Page) -> None:
        super().__init__(id="panes")
        self._desk = desk
        self._page = first
        self._reads = reads
        self._all_failures = False

    def compose(self) -> ComposeResult:
        yield CourseTree(id="tree")
        yield RichView(id="reader", classes="pane")
        yield RichView(id="verdict", classes="pane")
        yield RunsPane(self._desk.workspace.runs)
        yield ChatPane(self._desk)

    @property
    def _shown(self) -> set[str]:
        return panes_shown(self._page, self.app.size.width)

    def show_page(self, page: Page) -> None:
        """Show the page's pane, and what fits beside it."""
        self._page = page
        if page.pane == "reader":
            self._reads = page
        for pane in self.children:
            pane.display = pane.id in self._shown
        self.screen.set_class(len(self._shown) > 1, "-several")

    def focus_page(self) -> None:
        pane = self.query_one(f"#{self._page.pane}")
        (pane.query_one("#run-list") if self._page.pane == "runs" else pane).focus()

    def turn_failures(self) -> None:
        """All of them whole, or only the first, from now on."""
        self._all_failures = not self._all_failures

    def fill(self, target: Target, state: CourseState, verdict: Verdict | None) -> None:
        """Fill the panes that are on the screen with what is known of a lesson or task."""
        if "reader" in self._shown:
            self._fill_reader(target, state, verdict)
        if "verdict" in self._shown:
            self._fill_verdict(target, state, verdict)

    def _fill_reader(self, target: Target, state: CourseState, verdict: Verdict | None) -> None:
        reader, desk, name = self.query_one("#reader", RichView), self._desk, self._reads.name
        place = f"{name} {target.name}"
        match name:
            case "lesson":
                reader.show(lambda width: views.safe(partial(views.lesson_page, target, width)), place=place)
            case "hints":
                entry = state.lesson(target.lesson)
                task = views.task_in_hand(target, entry, verdict)
                make = partial(views.hints_page, desk, entry, task, views.hints_seen(entry, task))
                reader.show(lambda width: views.safe(partial(make, width)), place=f"hints {task.id}")
            case "code":
                entry = state.lesson(target.lesson)
                where, dark = views.place_of(desk, target, entry, verdict), self.app.current_theme.dark
                reader.show(
                    lambda width: views.safe(partial(views.code_page, where, dark=dark)),
                    place=f"code {where.file}",
                    at=views.POINTER,
                )
            case "solution":
                reader.show(lambda width: views.safe(partial(views.solution_page, desk, target, width)), place=place)
            case "notes":
                reader.show(lambda width: views.safe(partial(views.notes_page, desk, target)), place=place)

    def _fill_verdict(self, target: Target, state: CourseState, verdict: Verdict | None) -> None:
        pane = self.query_one("#verdict", RichView)
        if verdict is None:
            entry = state.lesson(target.lesson)
            pane.show(lambda width: views.overview_page(entry, state), place=f"overview {target.lesson.id}")
            return
        show_all = self._all_failures
        make = partial(views.verdict_page, self._desk, verdict, show_all=show_all)
        pane.show(lambda width: views.safe(partial(make, width)), place=f"verdict {id(verdict)} {show_all}")
