"""`Talk`: a chat with the learner's own model, in a process of its own, seen from a thread. No widget."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from coursecli.errors import CourseError, LockedError, UsageError
from coursecli.recipes.events import Event, Ready
from coursecli.recipes.run import RecipeRun
from coursecli.recipes.runs import run_names
from coursecli.tui.desk import Desk

if TYPE_CHECKING:
    from coursecli.progress.state import CourseState

CLOSE_SECONDS = 12.0


@dataclass
class Heard(Message):
    """What the recipe says."""

    talk: Talk
    event: Event


@dataclass
class Printed(Message):
    """What the learner's code prints meanwhile."""

    talk: Talk
    text: str


@dataclass
class Silent(Message):
    """The process has ended; with an error, if it did not come to its end."""

    talk: Talk
    error: CourseError | None


class Talk:
    """One chat, from the first line to its end. Lines that come before the model is ready wait their turn."""

    def __init__(self, desk: Desk, run: str | None, post: Callable[[Message], object]) -> None:
        self._desk = desk
        self._name = run
        self._post = post
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._run: RecipeRun | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._live, name="chat", daemon=True)
        self._thread.start()

    def say(self, line: str) -> None:
        self._lines.put(line)

    def interrupt(self) -> None:
        """End the answer that is being written."""
        with self._lock:
            if self._run is not None:
                self._run.interrupt()

    def close(self) -> None:
        """End the process, whatever it does."""
        with self._lock:
            self._closed = True
            if self._run is not None:
                self._run.stop()
        self._lines.put(None)

    def wait(self) -> None:
        """Until nothing of it is left."""
        self._thread.join(CLOSE_SECONDS)

    def _live(self) -> None:
        error: CourseError | None = None
        try:
            self._listen()
        except CourseError as problem:
            error = problem
        except KeyboardInterrupt:  # `close` has ended it
            pass
        self._post(Silent(self, error))

    def _listen(self) -> None:
        which = ["--random"] if self._name is None else [f"--run={self._name}"]
        desk = self._desk
        with RecipeRun(desk.course, desk.workspace, "chat", "chat", which, printed=self._printed, listens=True) as run:
            with self._lock:
                self._run = run
                if self._closed:
                    run.stop()
            try:
                for event in run.events():
                    self._post(Heard(self, event))
                    if isinstance(event, Ready):
                        line = self._lines.get()
                        if line is None:
                            run.end_input()
                        else:
                            run.send(line)
            finally:
                with self._lock:
                    self._run = None

    def _printed(self, text: str) -> None:
        self._post(Printed(self, text))


def model_for(desk: Desk, state: CourseState, wanted: str | None) -> str | None:
    """The run to talk to: the one that is wanted, else the newest with a model; None for random weights.

    Raises:
        UsageError: this course has no chat.
        LockedError: the lesson that opens it is still to come.
    """
    if not (desk.course.package_dir / "recipes" / "chat.py").is_file():
        raise UsageError(f"The course {desk.course.manifest.title!r} has no chat.")
    for entry in state.lessons:
        opens = "chat" in entry.lesson.manifest.unlocks.features
        if opens and not (entry.done or entry.started or desk.workspace.settings.unlock_all):
            lesson = entry.lesson
            raise LockedError(f"The chat needs lesson {lesson.number:02d} ({lesson.title}), which is still to come.")
    names = run_names(desk.workspace.runs)
    if wanted in names:
        return wanted
    return newest(desk, names)


def newest(desk: Desk, names: list[str]) -> str | None:
    """The run whose run.json was written last."""
    runs = desk.workspace.runs

    def written(name: str) -> float:
        try:
            return (runs / name / "run.json").stat().st_mtime
        except OSError:
            return 0.0

    return max(names, key=written, default=None)
