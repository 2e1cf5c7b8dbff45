"""Check a lesson: a static look first, then the suites in a worker process, then the verdict, and whose fault it is."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from coursecli.check.endings import interrupted
from coursecli.check.events import Event
from coursecli.check.preflight import preflight
from coursecli.check.results import CheckResult
from coursecli.check.session import Listener, Session
from coursecli.check.stop import Stop
from coursecli.check.suspects import find_suspects, only_integration_fails
from coursecli.check.verdict import judge
from coursecli.course.catalogue import Course, Lesson
from coursecli.isolate.launcher import Starter

if TYPE_CHECKING:
    from coursecli.check.waiting import Workers


def check_lesson(
    course: Course,
    lesson: Lesson,
    root: Path,
    *,
    tasks: set[str] | None = None,
    listener: Listener | None = None,
    workers: Workers | None = None,
    gates: bool = True,
    stop: Stop | None = None,
) -> CheckResult:
    """Run the lesson's suites, or those tests that belong to `tasks`, against the package in `root`.

    With `workers` a process that has done the preload already does the work; the verdict is the same. A fault of the
    learner's code is in the result, never an exception; so is Ctrl-C, and a `stop` from another thread. Without gates
    every test runs, also those that would wait for others.

    Raises:
        ContentError: the lesson itself is broken.
        EnvironmentProblem: no worker can be started here.
    """
    begun = time.monotonic()
    scope = [task.id for task in lesson.tasks if tasks is None or task.id in tasks]
    starter = workers.start if workers else None
    stop = stop or Stop()

    def session(folder: Path, *, integration_only: bool = False) -> Session:
        return Session(course, lesson, folder.resolve(), scope, gates=gates, integration_only=integration_only)

    result = _check(session(root), starter, listener or _nobody, stop)
    if only_integration_fails(result) and not stop.asked:
        again = partial(session, integration_only=True)
        suspects = find_suspects(course, lesson, root, lambda folder: _check(again(folder), starter, _nobody, stop))
        result = msgspec.structs.replace(result, suspects=suspects)
    if stop.asked:
        result = msgspec.structs.replace(result, passed=False, problem=interrupted())
    return msgspec.structs.replace(result, seconds=round(time.monotonic() - begun, 3))


def _check(session: Session, starter: Starter | None, listener: Listener, stop: Stop) -> CheckResult:
    problem = preflight(session.course, session.lesson, session.root, set(session.scope))
    if problem is None:
        problem = session.go(starter, listener, stop)
        if session.lost_before_it_began:  # no code of the learner's has run: a new process can start over
            session = session.afresh()
            problem = session.go(None, listener, stop)
    tests, problem, passed = judge(session.run, session.expected, problem)
    return CheckResult(
        course=session.course.id,
        lesson=session.lesson.id,
        scope=session.scope,
        whole_lesson=len(session.scope) == len(session.lesson.tasks),
        passed=passed,
        seconds=0.0,
        problem=problem,
        tests=tests,
        versions=session.run.hello.versions if session.run.hello else {},
    )


def _nobody(event: Event) -> None:
    """Listens to no event."""
