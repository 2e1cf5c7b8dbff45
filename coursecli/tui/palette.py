"""The command palette: every action of the dashboard by its name, and every lesson and task to go to or to check."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.types import IgnoreReturnCallbackType

from coursecli.tui.desk import Target
from coursecli.tui.screens.home import Home

if TYPE_CHECKING:
    from coursecli.tui.app import Dashboard


class Command(NamedTuple):
    name: str
    help: str
    act: IgnoreReturnCallbackType
    always: bool = True
    """It is offered before anything is typed."""


class Commands(Provider):
    async def discover(self) -> Hits:
        for command in self._commands():
            if command.always:
                yield DiscoveryHit(command.name, command.act, help=command.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in self._commands():
            if (score := matcher.match(command.name)) > 0:
                yield Hit(score, matcher.highlight(command.name), command.act, help=command.help)

    def _commands(self) -> Iterator[Command]:
        app: Dashboard = self.app  # type: ignore[assignment]
        home = app.home
        if home is None:
            return
        yield Command("Check", "What the cursor is on: c", home.action_check)
        yield Command("Check the whole lesson", "C", home.action_check_lesson)
        if home.check_action("stop", ()):
            yield Command("Stop the check", "x", home.action_stop)
        if home.check_action("start", ()):
            yield Command("Start this lesson", "s", home.action_start)
        yield Command("Next hint", "h", home.action_hint)
        yield Command("Open in the editor", "At the line in question: e", home.action_edit)
        yield Command("Open in VS Code", "At the line in question: v", home.action_edit_in_vs_code)
        yield Command("Every failing test, or only the first", "a", home.action_show_all)
        yield Command("Check at every save, or not", "w", home.action_watch)
        for number, page in enumerate(home.pages, start=1):
            yield Command(f"Page: {page.title}", f"{number}", partial(home.go_to_page, page.name))
        yield Command("Light or dark", "t", app.action_turn_theme)
        yield Command("Help", "?", app.action_help)
        yield Command("Quit", "q", app.exit)
        yield from _places(home)


def _places(home: Home) -> Iterator[Command]:
    for lesson in home.desk.course.lessons:
        yield Command(f"Go to {lesson.heading}", lesson.manifest.summary, partial(home.go_to, Target(lesson)), False)
        for task in lesson.tasks:
            where = f"{lesson.short}, in {task.file}"
            yield Command(f"Go to {task.title}", where, partial(home.go_to, Target(lesson, task)), False)
