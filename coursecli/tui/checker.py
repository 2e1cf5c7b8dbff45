"""`Checker`: one check at a time, in a thread, so that keys stay alive whatever the code does.

A new check ends the one that runs: its files are not what they were.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from coursecli.check.events import Collected, Event, Finished, Hello, Started
from coursecli.check.stop import Stop
from coursecli.course.suites import read_suites
from coursecli.errors import CourseError
from coursecli.progress.recorded import doubtful
from coursecli.tui.desk import Desk, Target
from coursecli.tui.messages import CheckBegan, CheckEnded, CheckMoved, ChecksRest, Trouble
from coursecli.warm.background import Background, wanted
from coursecli.watch.checker import START_SECONDS

if TYPE_CHECKING:
    from textual.message import Message

CLOSE_SECONDS = 12.0
"""How long a process may resist being killed before the dashboard ends without having seen its end."""


class Checker:
    """Posts what happens; begins with the first `start`."""

    def __init__(self, desk: Desk, post: Callable[[Message], object]) -> None:
        self._desk = desk
        self._post = post
        self._workers = Background(desk.course, desk.workspace.root) if wanted() else None
        self._turn = threading.Condition()
        self._wanted: Target | None = None
        self._stop = Stop()
        self._closed = False
        self._thread: threading.Thread | None = None
        self.running: Target | None = None

    def warm_up(self) -> None:
        """Get ready for a check that is likely to come."""
        if self._workers is not None:
            self._workers.ensure()

    def start(self, target: Target) -> None:
        """Check this next. What runs now is stopped."""
        with self._turn:
            if self._closed:
                return
            self._wanted = target
            self._stop.ask()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="checks", daemon=True)
                self._thread.start()
            self._turn.notify()

    def cancel(self) -> bool:
        """Stop what runs, and forget what waits. Returns whether there was anything."""
        with self._turn:
            busy = self.running is not None or self._wanted is not None
            self._wanted = None
            self._stop.ask()
        return busy

    def close(self) -> None:
        """Stop everything, processes included."""
        self.cancel()
        with self._turn:
            self._closed = True
            self._turn.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
        if self._workers is not None:
            self._workers.release()

    def _work(self) -> None:
        stopped = False
        while True:
            with self._turn:
                self.running = None
                if self._wanted is None:
                    self._post(ChecksRest(stopped=stopped))
                while self._wanted is None:
                    if self._closed:
                        return
                    self._turn.wait()
                target, self._wanted = self._wanted, None
                self.running, stop = target, Stop()
                self._stop = stop
            try:
                self._check(target, stop)
            except CourseError as error:
                self._post(Trouble(error))
            stopped = stop.asked

    def _check(self, target: Target, stop: Stop) -> None:
        self._post(CheckBegan(target))
        passed = self._run(target, stop)
        if not passed:
            return
        for lesson in doubtful(self._desk.state(), target.lesson):  # passes that this edit may have broken
            if not stop.asked:
                self._run(Target(lesson), stop, again=True)

    def _run(self, target: Target, stop: Stop, *, again: bool = False) -> bool:
        if self._workers is not None:
            self._workers.hold(START_SECONDS, given_up=lambda: stop.asked)
        listener = _Listener(target, self._post)
        recorded = self._desk.check(target, listener=listener, workers=self._workers, stop=stop)
        self._post(CheckEnded(target, recorded, again))
        return recorded.result.passed


class _Listener:
    """Turns a check's events into a few words."""

    def __init__(self, target: Target, post: Callable[[Message], object]) -> None:
        self._target = target
        self._post = post
        self._titles = {f"{case.suite}::{case.function}": case.title for case in read_suites(target.lesson)}
        self._count = self._done = 0

    def __call__(self, event: Event) -> None:
        match event:
            case Hello():
                doing = "reading your code"
            case Collected():
                self._count = len(event.tests)
                return
            case Started():
                title = self._titles.get(event.id.partition("[")[0], event.id)
                doing = f"{self._done + 1}/{self._count} {title}"
            case Finished():
                self._done += 1
                return
            case _:
                return
        self._post(CheckMoved(self._target, doing))
