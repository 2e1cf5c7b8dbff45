"""What commands stand on: the global options; course, workspace, store and console, each made on demand."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from coursecli.errors import LockedError, UsageError, WorkspaceError

if TYPE_CHECKING:
    from rich.console import Console

    from coursecli.course.catalogue import Course, Lesson
    from coursecli.course.manifest import Task
    from coursecli.course.workspace import Workspace
    from coursecli.progress.state import CourseState, LessonState
    from coursecli.progress.store import Store

WORKSPACE_VARIABLE = "INTRO2LLM_WORKSPACE"
INSTRUCTOR_VARIABLE = "INTRO2LLM_INSTRUCTOR"

Action = Callable[[], int]
"""What a parsed command line asks for: it does the work and returns the exit code."""


@dataclass(frozen=True)
class Options:
    """The options that every command takes."""

    course: str | None = None
    workspace: str | None = None
    plain: bool = False
    instructor: bool = False
    debug: bool = False


def is_instructor(options: Options) -> bool:
    return options.instructor or os.environ.get(INSTRUCTOR_VARIABLE, "").lower() not in ("", "0", "false", "no")


@dataclass
class Context:
    """One command's surroundings. Nothing is read from disk before it is asked for."""

    options: Options = field(default_factory=Options)
    writes: bool = False
    """Whether the command records anything: commands that only look open the store for reading."""

    @cached_property
    def console(self) -> Console:
        from coursecli.render.console import make_console

        return make_console(plain=self.options.plain)

    @property
    def instructor(self) -> bool:
        return is_instructor(self.options)

    @cached_property
    def course(self) -> Course:
        from coursecli.course.catalogue import load_course

        return load_course(Path(self.options.course) if self.options.course else None)

    @property
    def chosen_workspace(self) -> str | None:
        """What --workspace or $INTRO2LLM_WORKSPACE names."""
        return self.options.workspace or os.environ.get(WORKSPACE_VARIABLE)

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace of --workspace, $INTRO2LLM_WORKSPACE, the current folder, or the one used last.

        Raises:
            WorkspaceError: there is none, or it belongs to another course.
        """
        from coursecli.course.workspace import find_workspace, open_workspace

        chosen = self.chosen_workspace
        workspace = open_workspace(Path(chosen)) if chosen else find_workspace()
        if workspace.settings.course != self.course.id:
            raise WorkspaceError(
                f"{workspace.root} belongs to the course {workspace.settings.course!r}, not to {self.course.id!r}.",
                "Name its course with --course DIR, or set INTRO2LLM_COURSE.",
            )
        return workspace

    @cached_property
    def store(self) -> Store:
        """The progress of the workspace; what had to be done to open it is said at once."""
        from coursecli.progress.store import Store

        store = Store.open(self.workspace.database, read_only=not self.writes)
        for notice in store.notices:
            self.say(notice.message, notice.remedy)
        return store

    def state(self) -> CourseState:
        """What has been started, passed and unlocked, as it is now."""
        from coursecli.progress.state import course_state

        return course_state(self.course, self.workspace, self.store)

    def say(self, *lines: str) -> None:
        """Tell the person something that is not the command's result: on standard error."""
        from coursecli.render.console import clean, make_console

        console = make_console(sys.stderr, plain=self.options.plain)
        for line in lines:
            if line:
                console.print(clean(line), soft_wrap=not console.is_terminal)

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Ask before something is destroyed.

        Raises:
            UsageError: nobody is there to answer, and --yes was not given.
        """
        if yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError(f"{question} Nobody is there to answer.", "Add --yes to go on without asking.")
        self.say(question)
        try:
            answer = input("[y/N] ")
        except EOFError:  # Ctrl-D
            return False
        return answer.strip().lower() in ("y", "yes")

    def pick(self, reference: str | None) -> tuple[Lesson, Task | None]:
        """The lesson or task that was named; without a name, the current lesson.

        When every lesson is done, the current one is the first whose pass is in doubt, else the last.

        Raises:
            UsageError: there is no such lesson or task.
        """
        if reference:
            return self.course.resolve(reference)
        state = self.state()
        doubtful = [entry.lesson for entry in state.lessons if entry.ever_passed and not entry.passes_now]
        return state.current or next(iter(doubtful), state.lessons[-1].lesson), None

    def progress_of(self, lesson: Lesson) -> LessonState:
        return next(entry for entry in self.state().lessons if entry.lesson.id == lesson.id)

    def require_started(self, lesson: Lesson) -> LessonState:
        """The progress of a lesson that has been started.

        Raises:
            LockedError: it is locked, or has not been started.
        """
        entry = self.progress_of(lesson)
        if entry.started or entry.skipped:
            return entry
        self.require_unlocked(entry)
        raise LockedError(f"{lesson.short} has not been started.", f"Type: intro2llm start {lesson.number:02d}")

    def require_unlocked(self, entry: LessonState) -> None:
        """Raises LockedError, which says what is missing and the next command."""
        if entry.locked_by:
            missing = " and ".join(f"{lesson.short} ({lesson.title})" for lesson in entry.locked_by)
            raise LockedError(
                f"{entry.lesson.short} is locked: {missing} must be passed first.",
                f"Type: {self.state().next_command}",
            )
