"""Check and record the attempt: the one way in which `check`, the watch and the dashboard come to a stored verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from coursecli.check.results import CheckResult
from coursecli.check.run import check_lesson
from coursecli.errors import CourseError
from coursecli.progress.evidence import Evidence, gather

if TYPE_CHECKING:
    from coursecli.check.session import Listener
    from coursecli.check.stop import Stop
    from coursecli.check.template import Template
    from coursecli.course.catalogue import Course, Lesson
    from coursecli.course.workspace import Workspace


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
    template: Template | None = None,
    stop: Stop | None = None,
) -> Recorded:
    """Check a lesson, or some of its tasks, and `record` the attempt, unless it was interrupted.

    The evidence is gathered first: an edit during the check counts as later.

    Raises:
        ContentError: the lesson itself is broken.
        EnvironmentProblem: no worker can be started here.
    """
    evidence = gather(course, lesson, workspace.package)
    result = check_lesson(course, lesson, workspace.root, tasks=tasks, listener=listener, template=template, stop=stop)
    if result.interrupted:
        return Recorded(result)
    try:
        record(result, evidence)
    except CourseError as error:
        return Recorded(result, error)
    return Recorded(result)
