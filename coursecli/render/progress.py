"""What a check does at the moment, in a line: `CheckWords` has the words, `CheckProgress` shows them in a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

from coursecli.check.events import Collected, Event, Finished, Hello, Started
from coursecli.render.console import clean

if TYPE_CHECKING:
    from coursecli.course.suites import TestCase


class CheckWords:
    """Listens to a check's events.

    Args:
        title: of what is checked.
        cases: every test that may run, with its title.
    """

    def __init__(self, title: str, cases: list[TestCase]) -> None:
        self._title = title
        self._titles = {f"{case.suite}::{case.function}": case.title for case in cases}
        self._count = self._done = 0
        self._doing = "starting Python"

    def __call__(self, event: Event) -> None:
        match event:
            case Hello():
                self._doing = "reading your code"
            case Collected():
                self._count = len(event.tests)
            case Started():
                title = self._titles.get(event.id.partition("[")[0], event.id)
                self._doing = f"{self._done + 1}/{self._count} {title}"
            case Finished():
                self._done += 1

    @property
    def line(self) -> Text:
        return clean(f"Checking {self._title}: {self._doing}")


class CheckProgress:
    """Listens to a check's events. Enter it to show the line, leave it to take the line away."""

    def __init__(self, console: Console, title: str, cases: list[TestCase]) -> None:
        self._console = console
        self._words = CheckWords(title, cases)
        self._status = Status(self._line, console=console) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.update(self._line)  # for the width that there is now
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, event: Event) -> None:
        self._words(event)
        if self._status is not None:
            self._status.update(self._line)

    @property
    def _line(self) -> Text:
        line = self._words.line
        line.no_wrap = True
        line.truncate(max(20, self._console.width - 4), overflow="ellipsis")
        return line
