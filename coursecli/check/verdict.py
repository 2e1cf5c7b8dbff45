"""From events to a verdict, and the one failing test to show first.

A pass is a record "passed" for every expected test, and the footer; nothing else is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from coursecli.check.events import Collected, Event, Finished, Footer, Halted, Hello, Started
from coursecli.check.results import CheckResult, Outcome, Problem, TestResult
from coursecli.course.suites import TestCase

FAILING: frozenset[Outcome] = frozenset({"failed", "error", "not_written", "timeout", "crashed", "tampered"})


@dataclass
class Run:
    """What the worker said, in order."""

    hello: Hello | None = None
    collected: list[str] | None = None
    running: str | None = None
    """The test that has started and has not finished."""
    results: list[TestResult] = field(default_factory=list)
    halted: Problem | None = None
    footer: Footer | None = None

    def take(self, event: Event) -> None:
        match event:
            case Hello():
                self.hello = event
            case Collected():
                self.collected = event.tests
            case Started():
                self.running = event.id
            case Finished():
                self.running = None
                self.results.append(event.result)
            case Halted():
                self.halted = self.halted or event.problem
            case Footer():
                self.footer = event


def judge(run: Run, expected: list[TestCase], problem: Problem | None) -> tuple[list[TestResult], Problem | None, bool]:
    """The tests in order, each expected one present; the problem, if any; and whether the check passed."""
    collected = run.collected or []
    problem = problem or run.halted or _record_problem(run, collected)
    results = {result.id: result for result in run.results}
    functions = {(case.suite, case.function): case for case in expected}
    tests = [results.get(id_) or _unrun(functions.get(function_of(id_)), id_) for id_ in collected]
    tests += [result for id_, result in results.items() if id_ not in collected]
    seen = {function_of(test.id) for test in tests}
    missing = [case for key, case in functions.items() if key not in seen]
    tests += [_unrun(case, f"{case.suite}::{case.function}") for case in missing]
    complete = run.footer is not None and run.footer.finished == len(collected) == len(run.results)
    passed = problem is None and complete and bool(tests) and all(test.outcome == "passed" for test in tests)
    if not passed and problem is None and not any(test.outcome in FAILING for test in tests):
        problem = _incomplete(missing)
    return tests, problem, passed


def function_of(test_id: str) -> tuple[str, str]:
    """Suite and function of `suite::function[case]`."""
    suite, _, name = test_id.partition("::")
    return suite, name.partition("[")[0]


def first_failure(result: CheckResult) -> TestResult | None:
    """In the first task that fails, the first test whose failure names a mistake, else the first that fails."""
    failing = [test for test in result.tests if test.outcome in FAILING]
    for task in dict.fromkeys([*result.scope, *(test.task for test in failing)]):
        of_task = [test for test in failing if test.task == task]
        if of_task:
            return next((test for test in of_task if test.failure is not None and test.failure.mistake), of_task[0])
    return None


def _record_problem(run: Run, collected: list[str]) -> Problem | None:
    counts = Counter(result.id for result in run.results)
    odd = next((id_ for id_, count in counts.items() if count > 1 or id_ not in collected), None)
    if odd is None:
        return None
    return Problem(kind="tampered", summary=f"There is more than one record of {odd}, or one that was not announced.")


def _incomplete(missing: list[TestCase]) -> Problem:
    if missing:
        names = ", ".join(case.function for case in missing[:3])
        return Problem(kind="incomplete", summary=f"Some tests did not run: {names}{' …' if len(missing) > 3 else ''}.")
    return Problem(kind="incomplete", summary="The tests ended before the last one had its record.")


def _unrun(case: TestCase | None, id_: str) -> TestResult:
    suite, function = function_of(id_)
    return TestResult(
        id=id_,
        suite=suite,
        task=case.task if case else "",
        title=case.title if case and case.title else function,
        outcome="not_run",
        integration=case.integration if case else False,
        note="the run ended before its turn",
    )
