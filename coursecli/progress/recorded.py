"""Check and record the attempt: the one way in which `check`, `watch` and the dashboard come to a stored verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from coursecli.check.results import CheckResult
from coursecli.check.run import check_lesson
from coursecli.errors import CourseError
from coursecli.progress.evidence import Evidence, gather, needed_lessons

if TYPE_CHECKING:
    from coursecli.check.session import Listener
    from coursecli.check.stop import Stop
    from coursecli.check.waiting import Workers
    from coursecli.course.catalogue import Course, Lesson
    from coursecli.course.workspace import Workspace
    from coursecli.progress.state import CourseState, LessonState


class Recorded(NamedTuple):
    """A check, and why it could not be stored, if so: it is worth showing all the same."""

    result: CheckResult
    unsaved: CourseError | None = None


def recorded_check(
    course: Course,
    lesson: Lesson,
    workspace: Workspace,
    *,
    record: Callable[[CheckResult, Evidence], object],
    tasks: set[str] | None = None,
    listener: Listener | None = None,
    workers: Workers | None = None,
    stop: Stop | None = None,
) -> Recorded:
    """Check a lesson, or some of its tasks, and `record` the attempt, unless it was interrupted.

    The evidence is gathered first: an edit during the check counts as later.

    Raises:
        ContentError: the lesson itself is broken.
        EnvironmentProblem: no worker can be started here.
    """
    evidence = gather(course, lesson, workspace.package)
    result = check_lesson(course, lesson, workspace.root, tasks=tasks, listener=listener, workers=workers, stop=stop)
    if result.interrupted:
        return Recorded(result)
    try:
        record(result, evidence)
    except CourseError as error:
        return Recorded(result, error)
    return Recorded(result)


def doubtful(course: Course, state: CourseState) -> list[LessonState]:
    """The lessons that passed before something changed, and now may or may not.

    One that builds on a lesson that fails now is left out: that one comes first.
    """
    fails = {entry.lesson.id for entry in state.lessons if entry.passes_now is False}
    return [
        entry
        for entry in state.lessons
        if entry.ever_passed
        and entry.passes_now is None
        and fails.isdisjoint(lesson.id for lesson in needed_lessons(course, entry.lesson))
    ]
