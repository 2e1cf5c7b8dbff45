"""`Desk`: the course, the workspace and the progress, as the dashboard needs them. No widget; any thread may ask it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coursecli.course.scaffold import start_lesson
from coursecli.course.workspace import open_workspace, remember
from coursecli.progress.state import CourseState, course_state
from coursecli.progress.store import Attempt, Store

if TYPE_CHECKING:
    from coursecli.course.catalogue import Course, Lesson
    from coursecli.course.manifest import Task
    from coursecli.course.workspace import Workspace
    from coursecli.course.writer import FileChange


@dataclass(frozen=True)
class Target:
    """What is looked at or checked: a lesson, or one task of it."""

    lesson: Lesson
    task: Task | None = None

    @property
    def name(self) -> str:
        """As it is typed."""
        return self.task.id if self.task else self.lesson.short

    @property
    def title(self) -> str:
        return self.task.title if self.task else self.lesson.heading


@dataclass(frozen=True)
class Desk:
    """Each method opens the progress for itself, so that no connection is shared between threads."""

    course: Course
    workspace: Workspace
    instructor: bool = False

    def state(self) -> CourseState:
        """What has been started, passed and unlocked, as it is now. Nothing is written.

        Raises:
            WorkspaceError: the workspace is gone.
            StoreError: the progress cannot be read.
        """
        open_workspace(self.workspace.root)
        with Store.open(self.workspace.database, read_only=True) as store:
            return course_state(self.course, self.workspace, store)

    def attempts(self, lesson: Lesson) -> list[Attempt]:
        with Store.open(self.workspace.database, read_only=True) as store:
            return store.attempts(lesson.id)

    def start(self, lesson: Lesson) -> list[FileChange]:
        """Put the lesson's files into the workspace, and note that it is started."""
        with self._writing() as store:
            changes = start_lesson(self.course, self.workspace, lesson)
            store.record_start(lesson.id)
        return changes

    def see_hint(self, task: Task, level: int) -> None:
        """Record that the learner has seen the hint of this level."""
        with self._writing() as store:
            if level > store.hint_level(task.id):
                store.record_hint(task.id, level)

    @contextmanager
    def _writing(self) -> Iterator[Store]:
        remember(self.workspace)
        with Store.open(self.workspace.database) as store:
            yield store
