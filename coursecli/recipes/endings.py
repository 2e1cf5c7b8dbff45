"""A recipe that did not come to its end, told as a `CourseError`: what it needs, what broke, and the next command."""

from __future__ import annotations

import shlex
import signal

from coursecli.check.endings import signal_name
from coursecli.check.frames import dumped_frames
from coursecli.check.results import Frame, LearnerError
from coursecli.course.catalogue import Course
from coursecli.course.stubs import owners, task_files
from coursecli.course.workspace import Workspace
from coursecli.errors import CourseError, EnvironmentProblem, LockedError, UsageError, WorkspaceError
from coursecli.isolate import Ended
from coursecli.recipes.events import Failed


class LearnerFailure(CourseError):  # noqa: N818
    """The learner's code raised, or crashed: with the lines to look at."""

    exit_code = 1

    def __init__(self, message: str, frames: list[Frame], remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.frames = frames
        """Outermost first; the last one is the line to look at."""


def failure(event: Failed, course: Course, workspace: Workspace, command: str) -> CourseError:
    """What a recipe's own last word means."""
    match event.kind:
        case "refused":
            return UsageError(event.message, event.remedy)
        case "unwritten":
            return _unwritten(event, course, command)
        case "missing":
            return _missing(event, course, workspace, command)
        case "error":
            return _error(event.error, workspace)


def _unwritten(event: Failed, course: Course, command: str) -> CourseError:
    """A stub has been called. It says: `lesson04 · CausalLM.generate`."""
    short, _, symbol = event.message.partition(" · ")
    lesson = next((lesson for lesson in course.lessons if lesson.short == short), None)
    if lesson is None:
        return LearnerFailure(f"{event.error.type}: {event.message}", event.error.frames)
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
        if file in task_files(course):
            lesson = min((owner.lesson for owner in owners(course, file)), key=lambda lesson: lesson.number)
            return LockedError(
                f"{command} needs {package}/{file} (lesson {lesson.number:02d}), which is not there.",
                f"Type: intro2llm start {lesson.number:02d}",
            )
        if (course.package_dir / file).is_file():
            return WorkspaceError(
                f"{command} needs {package}/{file}, which is not there.",
                f"Bring back what is given with: intro2llm init {shlex.quote(str(workspace.root))}",
            )
    return _error(event.error, workspace)


def _error(error: LearnerError, workspace: Workspace) -> CourseError:
    if error.type == "SystemExit":
        return LearnerFailure("The code ended the program with sys.exit.", _own(error.frames, workspace))
    message = f"{error.type}: {error.message}" if error.message else error.type
    return LearnerFailure(message, _own(error.frames, workspace))


def _own(frames: list[Frame], workspace: Workspace) -> list[Frame]:
    """Without the lines of the recipe itself, which is given, if there are others."""
    recipes = f"{workspace.settings.package}/recipes/"
    return [frame for frame in frames if not frame.file.startswith(recipes)] or frames


def wrong_package(expected: object, bound: str) -> CourseError:
    return EnvironmentProblem(
        f"Python found the package in {bound or 'no place'}, not in {expected}, so nothing was run.",
        "Type: intro2llm doctor",
    )


def bad_end(ended: Ended, workspace: Workspace, command: str) -> CourseError:
    """What the end of the process means when no event has told it."""
    frames = _own(dumped_frames(ended.trace, workspace.root), workspace)
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
    return LearnerFailure(f"{command} did not come to its end. {what}", frames)
