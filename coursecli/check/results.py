"""What a check found. The same structures are stored, printed as `--json`, and rendered."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from coursecli.expect.payload import Failure

Outcome = Literal["passed", "failed", "error", "not_written", "timeout", "crashed", "tampered", "blocked", "not_run"]
"""One test's outcome. Only "passed" is a pass.

failed: an expectation failed. error: the learner's code raised. not_written: it raised the stub's NotImplementedError.
timeout, crashed: the worker had to be killed, or died, during this test. tampered: the code skipped, exited or replaced
the test's tools. blocked: a task that this one builds on failed. not_run: the run ended, or the basic suite failed,
before its turn.
"""

ProblemKind = Literal[
    "encoding",  # the file is not UTF-8 text
    "syntax",  # the file does not parse
    "missing_file",
    "missing_symbol",  # a class or function that the task needs is not there (perhaps renamed)
    "forbidden",  # a shortcut that the lesson rules out
    "import",  # importing the learner's module raised
    "binding",  # the worker imported the package from some other place
    "timeout",  # the run as a whole took too long, or hung outside any test
    "memory",
    "crashed",  # segmentation fault, os._exit, killed
    "tampered",
    "incomplete",  # the worker ended without its footer, or an expected test has no record
    "interrupted",  # Ctrl-C
]


class Frame(msgspec.Struct, frozen=True):
    """A line of the learner's code."""

    file: str
    """Relative to the workspace, with forward slashes."""
    line: int
    function: str = ""
    source: str = ""


class LearnerError(msgspec.Struct, frozen=True, omit_defaults=True):
    """An exception that left the learner's code. Frames of pytest, torch and the kit are left out."""

    type: str
    message: str
    frames: list[Frame] = []
    """Outermost first; the last one is the line to look at."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that kept the tests from running, or from finishing."""

    kind: ProblemKind
    summary: str
    """One line: what happened, and where."""
    detail: str = ""
    remedy: str = ""
    frame: Frame | None = None


class TestResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One test's record."""

    __test__: ClassVar[bool] = False
    """It is not a test class, though pytest goes by the name."""

    id: str
    """`suite::function` or `suite::function[case]`."""
    suite: str
    task: str
    title: str
    """What is being checked, in words: the first line of the test's docstring."""
    outcome: Outcome
    integration: bool = False
    seconds: float = 0.0
    failure: Failure | None = None
    error: LearnerError | None = None
    note: str = ""
    """Why it is blocked, not run, tampered or timed out."""
    output: str = ""
    """What the code printed during this test, control characters included: whoever shows it must clean it."""
    output_cut: int = 0
    """How many bytes were dropped from `output`."""


class Suspect(msgspec.Struct, frozen=True):
    """An earlier part whose replacement by the reference makes the integration test pass."""

    lesson: str
    task: str
    title: str


class CheckResult(msgspec.Struct, kw_only=True):
    """A whole check of one lesson, or of one task of it."""

    schema_version: int = 1
    course: str
    lesson: str
    scope: list[str]
    """The ids of the tasks that were checked."""
    whole_lesson: bool
    passed: bool
    """Every expected test has its own record "passed", and the footer arrived."""
    seconds: float
    problem: Problem | None = None
    tests: list[TestResult] = []
    suspects: list[Suspect] = []
    versions: dict[str, str] = {}

    @property
    def interrupted(self) -> bool:
        """Somebody ended the check: it says nothing about the code, so it is not stored."""
        return self.problem is not None and self.problem.kind == "interrupted"

    def task_passed(self, task: str) -> bool:
        """Whether every test of the task passed (and it has one)."""
        outcomes = [test.outcome for test in self.tests if test.task == task]
        return self.problem is None and bool(outcomes) and all(outcome == "passed" for outcome in outcomes)
