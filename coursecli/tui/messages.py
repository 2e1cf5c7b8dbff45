"""What the parts of the dashboard tell each other. Threads post them too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from coursecli.course.catalogue import Lesson
    from coursecli.course.writer import FileChange
    from coursecli.errors import CourseError
    from coursecli.progress.state import CourseState
    from coursecli.watch import messages


@dataclass
class StateRead(Message):
    """The progress, as it is now."""

    state: CourseState


@dataclass
class Trouble(Message):
    """Something that the user can understand and mend."""

    error: CourseError


@dataclass
class CheckSaid(Message):
    """Word of the checker."""

    said: messages.Message


@dataclass
class LessonStarted(Message):
    """The files of a lesson are in the workspace."""

    lesson: Lesson
    changes: list[FileChange]


@dataclass
class FilesChanged(Message):
    """The learner has saved these, which are named as in the package."""

    files: set[str]


@dataclass
class ProgressChanged(Message):
    """Somebody has recorded something: another terminal, perhaps."""


@dataclass
class WorkspaceGone(Message):
    """The folder is not there any more, or is there again."""

    gone: bool
