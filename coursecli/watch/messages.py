"""What a `Checker` is asked for, in steps, and what it says meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from coursecli.check.events import Event
from coursecli.progress.recorded import Recorded

if TYPE_CHECKING:
    from coursecli.course.catalogue import Lesson
    from coursecli.course.manifest import Task
    from coursecli.progress.state import LessonState


@dataclass(frozen=True)
class Step:
    """One check."""

    lesson: Lesson
    tasks: frozenset[str] | None = None
    """Their ids; None: all of the lesson."""
    again: LessonState | None = None
    """Nobody asked for it: this is a pass in doubt, and only a failure is worth a word."""

    @property
    def task(self) -> Task | None:
        """When it is about one alone."""
        return self.lesson.task(next(iter(self.tasks))) if self.tasks and len(self.tasks) == 1 else None


@dataclass(frozen=True)
class Began:
    """Not of a step that nobody asked for."""

    order: int
    step: Step


@dataclass(frozen=True)
class Told:
    """Neither."""

    order: int
    event: Event


@dataclass(frozen=True)
class Done:
    order: int
    step: Step
    recorded: Recorded
    last: bool
    """Nothing more of this order is to come."""
    after_failure: bool
    """An earlier step of this order has failed, which is what there is to mend."""


@dataclass(frozen=True)
class Failed:
    """The check could not be made; the rest of the order is dropped."""

    order: int
    error: Exception


@dataclass(frozen=True)
class Rests:
    """What was ordered has come to its end, or was stopped on the way."""

    order: int
    stopped: bool


Message = Began | Told | Done | Failed | Rests


def steps_for(lesson: Lesson, changed: set[str]) -> list[Step]:
    """What a save of these files can change: the tasks in them first, then the lesson as a whole."""
    first = frozenset(task.id for task in lesson.tasks if task.file in changed)
    if not first or len(first) == len(lesson.tasks):
        return [Step(lesson)]
    return [Step(lesson, first), Step(lesson)]
