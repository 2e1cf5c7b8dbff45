"""A course of three lessons about nothing, a workspace for it, and results as a check would make them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from coursecli.check.results import CheckResult, Outcome, TestResult
from coursecli.course.catalogue import Course, Lesson, load_course
from coursecli.course.workspace import Settings, Workspace
from coursecli.expect.payload import Failure

COURSE = """
id: toy
title: Toy
package: {name: toy, path: ../toy, solutions: ../answers}
worker: {preload: [msgspec]}
stages:
  - {id: stage01, title: One, lessons: [lesson01_counting, lesson02_adding, lesson03_sorting]}
"""

LESSONS = {
    "lesson01_counting": """
needs: []
tasks:
  - {id: count, title: Count, file: count.py, symbols: [count]}
  - {id: tally, title: Tally, file: tally.py, symbols: [tally]}
unlocks: {features: [abacus], learned: a, can_now: b}
""",
    "lesson02_adding": """
needs: [lesson01_counting]
tasks:
  - {id: plus, title: Plus, file: add/plus.py, symbols: [plus]}
  - {id: total, title: Total, file: add/total.py, symbols: [total], needs: [plus]}
unlocks: {features: [till], learned: a, can_now: b}
""",
    "lesson03_sorting": """
needs: [lesson02_adding]
tasks:
  - {id: order, title: Order, file: order.py, symbols: [order]}
unlocks: {learned: a, can_now: b}
""",
}


@pytest.fixture
def course(tmp_path: Path) -> Course:
    root = tmp_path / "lessons"
    for name, body in LESSONS.items():
        folder = root / "stage01" / name
        (folder / "testcases").mkdir(parents=True)
        title = name.partition("_")[2].title()
        (folder / "lesson.yaml").write_text(f"id: {name}\ntitle: {title}\nsummary: s\nminutes: 1\n{body}")
        for suite in ("basic", "advanced"):
            (folder / "testcases" / f"{suite}_test.py").write_text("def test_it(): ...\n")
    (root / "course.yaml").write_text(COURSE)
    return load_course(root)


@pytest.fixture
def workspace(tmp_path: Path, course: Course) -> Workspace:
    workspace = Workspace(tmp_path / "mine", Settings(course="toy", package="toy"))
    for lesson in course.lessons:
        for name in lesson.files:
            path = workspace.package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# {name}\n")
    workspace.state.mkdir()
    return workspace


@pytest.fixture
def make_result() -> Callable[..., CheckResult]:
    def make(lesson: Lesson, *, only: list[str] | None = None, **outcomes: Outcome) -> CheckResult:
        """A check in which every task has one test: passed, unless `outcomes` says otherwise."""
        scope = only or [task.id for task in lesson.tasks]
        tests = [
            TestResult(
                id=f"basic::test_{task}",
                suite="basic",
                task=task,
                title=f"{task} works",
                outcome=outcomes.get(task, "passed"),
                seconds=0.25,
                failure=Failure(kind="values", what="w", summary="s", mistake=f"{task}-mistake")
                if outcomes.get(task) == "failed"
                else None,
            )
            for task in scope
        ]
        return CheckResult(
            course="toy",
            lesson=lesson.id,
            scope=scope,
            whole_lesson=only is None,
            passed=all(test.outcome == "passed" for test in tests),
            seconds=1.5,
            tests=tests,
            versions={"python": "3.11.2"},
        )

    return make
