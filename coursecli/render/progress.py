"""One line that says which test is running, while a check runs in a terminal; nothing anywhere else."""

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


class CheckProgress:
    """Listens to a check's events. Enter it to show the line, leave it to take the line away."""

    def __init__(self, console: Console, title: str, cases: list[TestCase]) -> None:
        self._console = console
        self._title = title
        self._titles = {f"{case.suite}::{case.function}": case.title for case in cases}
        self._count = 0
        self._done = 0
        self._status = Status(self._line("starting Python"), console=console) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, event: Event) -> None:
        match event:
            case Hello():
                doing = "reading your code"
            case Collected():
                self._count = len(event.tests)
                doing = ""
            case Started():
                doing = self._titles.get(event.id.partition("[")[0], event.id)
            case Finished():
                self._done += 1
                return
            case _:
                return
        if self._status is not None:
            self._status.update(self._line(doing))

    def _line(self, doing: str) -> Text:
        of = f" {self._done + 1}/{self._count}" if self._count and doing else ""
        line = clean(f"Checking {self._title}{of} {doing}")
        line.no_wrap = True
        line.truncate(max(20, self._console.width - 4), overflow="ellipsis")
        return line
