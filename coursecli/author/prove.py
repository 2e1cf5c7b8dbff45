"""`dev check`: proof that a lesson's suites accept right code, refuse wrong code, and name each misconception.

For each lesson: the reference passes; every test fails on the stubs; every entry of mistakes.yaml is caught, and the
failure that a learner would see first names it; every alternative passes. Each is a run of the real worker.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from coursecli.check.results import CheckResult
from coursecli.check.run import check_lesson
from coursecli.check.template import Template, open_template
from coursecli.check.verdict import first_failure
from coursecli.course.build import build_solved, build_stubbed, build_variant
from coursecli.course.catalogue import Course, Lesson
from coursecli.course.manifest import Alternative, Mistake, Variant
from coursecli.course.mistakes import load_mistakes
from coursecli.course.validate import lesson_problems

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
    late: bool = False
    """A time limit ended the run, or one of its tests."""


@dataclass
class LessonProof:
    """Everything that was proved, or not, about one lesson."""

    lesson: str
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
) -> list[LessonProof]:
    """Prove the lessons, a run for each core at a time, from one warm template where the system can fork safely."""
    with tempfile.TemporaryDirectory(prefix="dev-check-") as scratch:
        with open_template(course) as template, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return [_prove_lesson(course, lesson, Path(scratch), template, pool, listener) for lesson in lessons]


def _prove_lesson(
    course: Course,
    lesson: Lesson,
    scratch: Path,
    template: Template | None,
    pool: ThreadPoolExecutor,
    listener: Callable[[Verdict], None],
) -> LessonProof:
    proof = LessonProof(lesson.id)
    problems = lesson_problems(course, lesson)
    for problem in problems:
        verdict = Verdict(lesson.id, "manifest", lesson.id, ok=False, detail=problem)
        proof.verdicts.append(verdict)
        listener(verdict)
    if problems:  # runs would say the same, less clearly
        return proof
    bench = _Bench(course, lesson, scratch, template)
    catalogue = load_mistakes(lesson)
    runs: list[Callable[[], Verdict]] = [bench.reference, bench.stubs]
    runs += [partial(bench.mistake, mistake) for mistake in catalogue.mistakes]
    runs += [partial(bench.alternative, alternative) for alternative in catalogue.accept]
    for verdict in pool.map(_settled, runs):
        proof.verdicts.append(verdict)
        listener(verdict)
    proof.tests = bench.tests
    return proof


def _settled(run: Callable[[], Verdict]) -> Verdict:
    """The verdict of a run. One that failed at a time limit is not believed at once: the machine may have been busy."""
    verdict = run()
    return run() if verdict.late and not verdict.ok else verdict


@dataclass
class _Bench:
    """Builds one package after the other for a lesson, and checks it."""

    course: Course
    lesson: Lesson
    scratch: Path
    template: Template | None
    tests: int = 0

    def reference(self) -> Verdict:
        root = self._folder("reference")
        build_solved(self.course, root)
        result = self._check(root)
        self.tests = len(result.tests)
        return self._verdict("reference", "the reference passes", result, result.passed)

    def stubs(self) -> Verdict:
        """As shipped, no test of any task passes: a test that does would reward an empty file."""
        root = self._folder("stubs")
        build_stubbed(self.course, root, self.lesson)
        result = self._check(root, gates=False)
        passing = [test.id for test in result.tests if test.outcome == "passed"]
        ok = not passing and result.problem is None and bool(result.tests)
        instead = f"passes on the stubs: {', '.join(passing[:4])}" if passing else ""
        return self._verdict("stubs", "every test fails on the stubs", result, ok, instead)

    def mistake(self, mistake: Mistake) -> Verdict:
        result = self._check_variant(mistake)
        shown = first_failure(result)
        named = shown.failure.mistake if shown and shown.failure else None
        caught = not result.passed
        instead = f"caught, but named {named}: {_first_words(result)}" if caught else "passes: no test catches it"
        verdict = self._verdict("mistake", mistake.id, result, caught and named == mistake.id, instead)
        return replace(verdict, caught=caught)

    def alternative(self, alternative: Alternative) -> Verdict:
        result = self._check_variant(alternative)
        return self._verdict("alternative", alternative.id, result, result.passed)

    def _check_variant(self, variant: Variant) -> CheckResult:
        root = self._folder(variant.id)
        build_variant(self.course, root, self.lesson, variant)
        return self._check(root)

    def _check(self, root: Path, *, gates: bool = True) -> CheckResult:
        result = check_lesson(self.course, self.lesson, root, workers=self.template, gates=gates)
        shutil.rmtree(root, ignore_errors=True)
        return result

    def _folder(self, name: str) -> Path:
        folder = self.scratch / self.lesson.id / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _verdict(self, kind: Kind, name: str, result: CheckResult, ok: bool, instead: str = "") -> Verdict:
        """`instead` is what happened when it is not ok: without it, what a learner would read first."""
        problem = result.problem
        late = problem is not None and problem.kind == "timeout"
        late = late or any(test.outcome == "timeout" for test in result.tests)
        return Verdict(self.lesson.id, kind, name, ok, "" if ok else instead or _first_words(result), late=late)


def _first_words(result: CheckResult) -> str:
    """What a learner would read first, in one line."""
    if result.problem is not None:
        frame = result.problem.frame
        return f"{result.problem.kind}: {result.problem.summary}" + (f" ({frame.file}:{frame.line})" if frame else "")
    shown = first_failure(result)
    if shown is None:
        return "passes" if result.passed else "fails without a failing test"
    if shown.failure is not None:
        return f"{shown.id}: {shown.failure.summary}"
    if shown.error is not None:
        return f"{shown.id}: {shown.error.type}: {shown.error.message.partition(chr(10))[0]}"
    return f"{shown.id}: {shown.outcome} {shown.note}"
