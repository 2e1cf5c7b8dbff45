"""A thread that checks, one step after the other; a new order ends what runs and takes the place of what waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coursecli.check.events import Event
from coursecli.check.run import check_lesson
from coursecli.check.stop import Stop
from coursecli.progress.evidence import Evidence, gather

if TYPE_CHECKING:
    from coursecli.check.results import CheckResult
    from coursecli.course.catalogue import Course, Lesson
    from coursecli.warm.background import Background

START_SECONDS = 30.0
"""How long a check waits for the background process to be ready; starting one of its own would take as long."""


@dataclass(frozen=True)
class Step:
    """One check."""

    lesson: Lesson
    tasks: frozenset[str] | None = None
    """Their ids; None: all of the lesson."""
    again: bool = False
    """An earlier lesson that had passed: only a failure is worth a word."""


@dataclass(frozen=True)
class Began:
    order: int
    step: Step


@dataclass(frozen=True)
class Told:
    order: int
    event: Event


@dataclass(frozen=True)
class Done:
    order: int
    step: Step
    result: CheckResult
    evidence: Evidence
    last: bool
    """Nothing more of this order is to come."""


@dataclass(frozen=True)
class Failed:
    """The check could not be made."""

    order: int
    error: Exception


Message = Began | Told | Done | Failed


def steps_for(lesson: Lesson, changed: set[str]) -> list[Step]:
    """What a save of these files can change: the tasks in them first, then the lesson as a whole."""
    first = frozenset(task.id for task in lesson.tasks if task.file in changed)
    if not first or len(first) == len(lesson.tasks):
        return [Step(lesson)]
    return [Step(lesson, first), Step(lesson)]


class Checker:
    """Posts what happens to `post`; nothing of a check that was ended on the way."""

    def __init__(self, course: Course, package: Path, workers: Background | None, post: Callable[[Message], None]):
        self._course = course
        self._package = package
        self._workers = workers
        self._post = post
        self._change = threading.Condition()
        self._waiting: list[Step] = []
        self._stop: Stop | None = None
        self._closed = False
        self.current = 0
        """The number of the last order. Messages of an earlier one are out of date."""
        self._thread = threading.Thread(target=self._live, name="checker", daemon=True)
        self._thread.start()

    def order(self, steps: list[Step]) -> None:
        """Check these; what runs or waits is out of date."""
        with self._change:
            self._waiting = list(steps)
            self.current += 1
            if self._stop is not None:
                self._stop.ask()
            self._change.notify()

    def add(self, steps: list[Step]) -> None:
        """Check these as well, when all that was ordered is done."""
        with self._change:
            self._waiting += steps
            self._change.notify()

    def close(self, seconds: float) -> None:
        """End what runs, and wait until nothing of it is left."""
        with self._change:
            self._closed = True
        self.order([])
        self._thread.join(seconds)
        if self._workers is not None:
            self._workers.release()

    def _live(self) -> None:
        while True:
            with self._change:
                self._stop = None
                while not self._waiting and not self._closed:
                    self._change.wait()
                if self._closed:
                    return
                step, order = self._waiting.pop(0), self.current
                stop = self._stop = Stop()
            try:
                self._check(step, order, stop)
            except Exception as error:
                self._post(Failed(order, error))

    def _check(self, step: Step, order: int, stop: Stop) -> None:
        self._post(Began(order, step))
        if self._workers is not None:
            self._workers.hold(START_SECONDS, given_up=lambda: stop.asked)
        evidence = gather(self._course, step.lesson, self._package)
        result = check_lesson(
            self._course,
            step.lesson,
            self._package.parent,
            tasks=set(step.tasks) if step.tasks else None,
            workers=self._workers,
            listener=lambda event: self._post(Told(order, event)),
            stop=stop,
        )
        if not stop.asked:
            with self._change:
                last = not self._waiting
            self._post(Done(order, step, result, evidence, last))
