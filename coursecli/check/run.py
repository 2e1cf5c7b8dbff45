"""Check a lesson: a static look first, then the suites in a worker process, then the verdict, and whose fault it is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from coursecli.check.preflight import preflight
from coursecli.check.results import CheckResult
from coursecli.check.session import Listener, Session
from coursecli.check.suspects import find_suspects, only_integration_fails
from coursecli.check.verdict import judge
from coursecli.course.catalogue import Course, Lesson

if TYPE_CHECKING:
    from coursecli.check.template import Template


def check_lesson(
    course: Course,
    lesson: Lesson,
    root: Path,
    *,
    tasks: set[str] | None = None,
    listener: Listener | None = None,
    template: Template | None = None,
    gates: bool = True,
) -> CheckResult:
    """Run the lesson's suites, or those tests that belong to `tasks`, against the package in `root`.

    With a template the worker is a fork of it; the verdict is the same. A fault of the learner's code is in the
    result, never an exception; so is Ctrl-C. Without gates every test runs, also those that would wait for others.

    Raises:
        ContentError: the lesson itself is broken.
        EnvironmentProblem: no worker can be started here.
    """
    begun = time.monotonic()
    scope = [task.id for task in lesson.tasks if tasks is None or task.id in tasks]

    def check(folder: Path, *, listener: Listener | None = None, integration_only: bool = False) -> CheckResult:
        return _check(course, lesson, folder, scope, listener, template, gates, integration_only)

    result = check(root, listener=listener)
    if only_integration_fails(result):
        suspects = find_suspects(course, lesson, root, lambda folder: check(folder, integration_only=True))
        result = msgspec.structs.replace(result, suspects=suspects)
    return msgspec.structs.replace(result, seconds=round(time.monotonic() - begun, 3))


def _check(
    course: Course,
    lesson: Lesson,
    root: Path,
    scope: list[str],
    listener: Listener | None,
    template: Template | None,
    gates: bool,
    integration_only: bool,
) -> CheckResult:
    begun = time.monotonic()
    root = root.resolve()
    session = Session(course, lesson, root, scope, listener or (lambda event: None), gates, integration_only)
    problem = preflight(course, lesson, root, set(scope))
    if problem is None:
        problem = session.go(template.start if template else None)
    tests, problem, passed = judge(session.run, session.expected, problem)
    return CheckResult(
        course=course.id,
        lesson=lesson.id,
        scope=scope,
        whole_lesson=len(scope) == len(lesson.tasks),
        passed=passed,
        seconds=round(time.monotonic() - begun, 3),
        problem=problem,
        tests=tests,
        versions=session.run.hello.versions if session.run.hello else {},
    )
