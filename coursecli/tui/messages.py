"""What the parts of the dashboard tell each other. Threads post them too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from coursecli.course.catalogue import Lesson
    from coursecli.course.writer import FileChange
    from coursecli.errors import CourseError
    from coursecli.progress.recorded import Recorded
    from coursecli.progress.state import CourseState
    from coursecli.tui.desk import Target


@dataclass
class StateRead(Message):
    """The progress, as it is now."""

    state: CourseState


@dataclass
class Trouble(Message):
    """Something that the user can understand and mend."""

    error: CourseError


@dataclass
class CheckBegan(Message):
    target: Target


@dataclass
class CheckMoved(Message):
    """What a running check does at the moment, in a few words."""

    target: Target
    doing: str


@dataclass
class CheckEnded(Message):
    """A check has its verdict, or was stopped."""

    target: Target
    recorded: Recorded
    again: bool = False
    """It looked again at a lesson that had passed before."""


@dataclass
class ChecksRest(Message):
    """No check runs, and none is waiting."""

    stopped: bool
    """The last one did not come to its end."""


@dataclass
class LessonStarted(Message):
    """The files of a lesson are in the workspace."""

    lesson: Lesson
    changes: list[FileChange]


@dataclass
class FilesChanged(Message):
    """The learner has saved something."""


@dataclass
class ProgressChanged(Message):
    """Somebody has recorded something: another terminal, perhaps."""


@dataclass
class WorkspaceGone(Message):
    """The folder is not there any more, or is there again."""

    gone: bool
