"""`dev check`: proof that a lesson's suites accept right code, refuse wrong code, and name each misconception.

For each lesson: the reference passes; every test fails on the stubs; every entry of mistakes.yaml is caught, and the failure
that a learner would see first names it; every alternative passes. Nothing here is shown by assertion: each line is a run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from coursecli.check.results import CheckResult
from coursecli.check.run import check_lesson
from coursecli.check.template import Template, open_template
from coursecli.check.verdict import first_failure
from coursecli.course.catalogue import Course, Lesson
from coursecli.course.mistakes import load_mistakes
from coursecli.course.scaffold import build_solved, build_stubbed, build_variant

Kind = Literal["manifest", "reference", "stubs", "mistake", "alternative"]


@dataclass(frozen=True)
class Verdict:
    """One run, and whether it came out as it must."""

    lesson: str
    kind: Kind
    name: str
    ok: bool
    detail: str = ""
    """When not ok: what happened instead, in one line."""
    caught: bool = False
    """For a mistake: the suites failed, whether or not they named it."""
    seconds: float = 0.0


@dataclass
class LessonProof:
    """Everything that was proved, or not, about one lesson."""

    lesson: str
    title: str
    tests: int = 0
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(verdict.ok for verdict in self.verdicts)

    def of(self, kind: Kind) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.kind == kind]


def prove(
    course: Course,
    lessons: list[Lesson],
    *,
    listener: Callable[[Verdict], None] = lambda verdict: None,
    cold: bool = False,
) -> list[LessonProof]:
    """Prove the lessons, two or more runs at a time, from one warm template where the system can fork safely."""
    with tempfile.TemporaryDirectory(prefix="dev-check-") as scratch:
        with open_template(course, cold=cold) as template, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return [_prove_lesson(course, lesson, Path(scratch), template, pool, listener) for lesson in lessons]


def _prove_lesson(
    course: Course,
    lesson: Lesson,
    scratch: Path,
    template: Template | None,
    pool: ThreadPoolExecutor,
    listener: Callable[[Verdict], None],
) -> LessonProof:
    proof = LessonProof(lesson.id, lesson.title)
    runs = list(_runs(course, lesson, scratch / lesson.id, template))
    for verdict in pool.map(lambda run: run(), runs):
        proof.verdicts.append(verdict)
        listener(verdict)
    return proof


def _runs(course: Course, lesson: Lesson, scratch: Path, template: Template | None) -> Iterator[Callable[[], Verdict]]:
    raise NotImplementedError
