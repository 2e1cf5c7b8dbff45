"""`RecipeRun`: one recipe from its start to its end. What it says comes as events, a bad end as a `CourseError`."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from coursecli.check.interpreter import python
from coursecli.course.catalogue import Course
from coursecli.course.workspace import Workspace
from coursecli.errors import UsageError
from coursecli.isolate import Job, Limits, launch
from coursecli.isolate.launcher import EVENTS
from coursecli.recipes.endings import bad_end, failure, wrong_package
from coursecli.recipes.events import VARIABLE, Assignment, Bound, Event, Failed, Finished, decoder

SPARE_BYTES = 512 << 20
"""Memory of the machine that a recipe leaves to everything else."""


class RecipeRun:
    """A recipe in a process of its own. Use it in a `with`: leaving it kills whatever still runs.

    Args:
        command: the name of the command, for messages: `generate`.
        recipe: the module in the package's `recipes`.
        arguments: for the recipe's `main`, as they would be typed by hand.
        printed: gets what the learner's code prints, at once: text from a program, to be cleaned before it is shown.
        listens: the recipe reads lines on its stdin, sent with `send`.
        variables: for its environment, unless the user has set them.

    Raises:
        EnvironmentProblem: no process can be started.
        UsageError: an argument is not text.
    """

    def __init__(
        self,
        course: Course,
        workspace: Workspace,
        command: str,
        recipe: str,
        arguments: Sequence[str],
        *,
        printed: Callable[[str], None],
        listens: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.course = course
        self.workspace = workspace
        self.command = command
        self._finished = False
        self._printed = _Printed(printed)
        told = Assignment(
            root=str(workspace.root),
            package=workspace.settings.package,
            recipe=recipe,
            arguments=list(arguments),
            preload=course.manifest.worker.preload,
        )
        self._running = launch(
            Job(
                python("from coursecli.recipes.process import main; main()"),
                workspace.root,
                {**(variables or {}), **_environment()},
                Limits(seconds=None, memory_bytes=_machine_memory()),
                _encoded(told),
                listens=listens,
            ),
            output=self._printed,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def events(self) -> Iterator[Event]:
        """What the recipe says, as it says it, until nothing of it is left.

        Raises:
            CourseError: it could not come to its end. A `LearnerFailure` has the exception and the learner's lines.
            KeyboardInterrupt: `stop` ended it.
        """
        expected = self.workspace.package
        for line in self._running.lines():
            try:
                event = decoder.decode(line)
            except (msgspec.DecodeError, RecursionError):
                continue  # not one of ours: learner's code wrote into a descriptor that it does not know
            match event:
                case Bound():
                    if Path(event.package) != expected:
                        self._running.close()
                        raise wrong_package(expected, event.package)
                case Failed():
                    self._running.close()
                    self._printed.end()
                    raise failure(event, self.course, self.workspace, self.command)
                case _:
                    self._finished = self._finished or isinstance(event, Finished)
                    yield event
        self._printed.end()
        assert self._running.ended is not None
        if self._running.ended.cause == "interrupted":
            raise KeyboardInterrupt
        if not self._finished:
            raise bad_end(self._running.ended, self.course, self.workspace, self.command)

    def send(self, line: str) -> None:
        """Say a line to a recipe that listens."""
        self._running.send(line.encode(errors="replace") + b"\n")

    def end_input(self) -> None:
        """There will be no more lines: the recipe is to end."""
        self._running.end_input()

    def interrupt(self) -> None:
        """Pass on Ctrl-C: the recipe stops what it is doing, and may go on."""
        self._running.interrupt()

    def stop(self) -> None:
        """End the recipe and everything that it started."""
        self._running.kill("interrupted")


class _Printed:
    """A sink that passes text on as it comes, in whole characters."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> None:
        if text := self._decoder.decode(data):
            self._show(text)

    def end(self) -> None:
        if text := self._decoder.decode(b"", final=True):
            self._show(text)


def _encoded(told: Assignment) -> bytes:
    try:
        return msgspec.json.encode(told)
    except UnicodeEncodeError as error:  # bytes of the command line that mean no character
        raise UsageError("What was typed is not UTF-8 text.", "Give a prompt from a file: --prompt - < FILE") from error


def _environment() -> dict[str, str]:
    """The user's own, without what redirects Python or pytest: devices and threads are as the machine has them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    return {**kept, "PYTHONHASHSEED": "0", VARIABLE: str(EVENTS)}  # the hash: the same seed gives the same text


def _machine_memory() -> int | None:
    """What the machine has, less a little: beyond it, the system would choose for itself what to kill."""
    if sys.platform != "linux":
        return None
    return max(SPARE_BYTES, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") - SPARE_BYTES)
