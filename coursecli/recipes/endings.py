"""A recipe that did not come to its end, told as a `CourseError`: what it needs, what broke, and the next command."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path

from coursecli.check.endings import signal_name
from coursecli.check.frames import dumped_frames
from coursecli.check.results import Frame, LearnerError
from coursecli.course.catalogue import Course
from coursecli.course.stubs import task_files, written
from coursecli.course.workspace import Workspace
from coursecli.errors import CourseError, EnvironmentProblem, LockedError, UsageError, WorkspaceError
from coursecli.isolate import Ended
from coursecli.recipes.events import Failed


class LearnerFailure(CourseError):  # noqa: N818
    """The learner's code raised, or crashed: with the lines to look at."""

    exit_code = 1

    def __init__(self, message: str, frames: list[Frame], *, given: bool = False) -> None:
        super().__init__(message)
        self.frames = frames
        """Outermost first; the last one is the line to look at."""
        self.given = given
        """The lines are of the given code, which called the learner's: there are none of theirs."""


def failure(event: Failed, course: Course, workspace: Workspace, command: str) -> CourseError:
    """What a recipe's own last word means."""
    match event.kind:
        case "refused":
            return UsageError(event.message, event.remedy)
        case "unwritable":
            return WorkspaceError(event.message, event.remedy)
        case "unwritten":
            return _unwritten(event, course, workspace, command)
        case "missing":
            return _missing(event, course, workspace, command)
        case "error":
            return _error(event.error, course, workspace)


def _unwritten(event: Failed, course: Course, workspace: Workspace, command: str) -> CourseError:
    """A stub has been called. It says: `lesson04 · CausalLM.generate`."""
    short, _, symbol = event.message.partition(" · ")
    lesson = next((lesson for lesson in course.lessons if lesson.short == short), None)
    if lesson is None:
        return _error(event.error, course, workspace)
    task = next((task for task in lesson.tasks if symbol in task.symbols), None)
    task = task or next((task for task in lesson.tasks if symbol.partition(".")[0] in task.symbols), None)
    return LockedError(
        f"{command} needs {symbol} (lesson {lesson.number:02d}), which is still to be written.",
        f"Write it, then type: intro2llm check {task.id if task else lesson.short}",
    )


def _missing(event: Failed, course: Course, workspace: Workspace, command: str) -> CourseError:
    """A module of the package is not there: a lesson that has not been started, or a file that was lost."""
    inside = event.message.partition(".")[2].replace(".", "/")
    package = workspace.settings.package
    for file in (f"{inside}.py", f"{inside}/__init__.py"):
        bringing = [each for each in written(course) if file in (*each.files, *each.manifest.given)]
        if bringing:
            lesson = min(bringing, key=lambda lesson: lesson.number)
            return LockedError(
                f"{command} needs {package}/{file} (lesson {lesson.number:02d}), which is not there.",
                f"Type: intro2llm start {lesson.number:02d}",
            )
        if (course.package_dir / file).is_file():
            return WorkspaceError(
                f"{command} needs {package}/{file}, which is not there.",
                f"Bring back what is given with: intro2llm init {shlex.quote(str(workspace.root))}",
            )
    return _error(event.error, course, workspace)


def _error(error: LearnerError, course: Course, workspace: Workspace) -> CourseError:
    message = f"{error.type}: {error.message}" if error.message else error.type
    if error.type == "SystemExit":
        message = "The code ended the program with sys.exit."
    return _learners(message, error.frames, course, workspace)


def _learners(message: str, frames: list[Frame], course: Course, workspace: Workspace) -> LearnerFailure:
    """With the lines of the learner's own code, if there are any: what is given is not where to look."""
    tasks, package = task_files(course), f"{workspace.settings.package}/"

    def given(frame: Frame) -> bool:
        inside = frame.file.removeprefix(package)
        return inside not in tasks and (course.package_dir / inside).is_file()

    own = [frame for frame in frames if not given(frame)]
    return LearnerFailure(message, own or frames, given=not own)


def wrong_package(expected: Path, bound: str) -> CourseError:
    if not expected.is_dir():
        return WorkspaceError(f"{expected} is not there any more.", "Was the workspace moved, or deleted?")
    return EnvironmentProblem(
        f"Python found the package in {bound or 'no place'}, not in {expected}, so nothing was run.",
        "Type: intro2llm doctor",
    )


def bad_end(ended: Ended, course: Course, workspace: Workspace, command: str) -> CourseError:
    """What the end of the process means when no event has told it."""
    match ended.cause:
        case "memory":
            what = "It needed more memory than this machine has, and was stopped."
        case "processes":
            what = "It started processes without end, and was stopped."
        case "signal" if ended.signal == signal.SIGKILL:
            what = "The system killed it, most often because the memory was full."
        case "signal":
            what = f"The code crashed the process ({signal_name(ended.signal or 0)})."
        case "exited":
            what = f"The code ended the process (exit code {ended.code})."
        case _:
            what = "The process that watches over it has ended."
    frames = dumped_frames(ended.trace, workspace.root)
    return _learners(f"{command} did not come to its end. {what}", frames, course, workspace)
