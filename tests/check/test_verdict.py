"""What counts as a pass, on events made up here; and which failing test is shown first."""

from __future__ import annotations

import pytest

from coursecli.check.events import Collected, Finished, Footer, Halted, Started
from coursecli.check.results import CheckResult, Outcome, Problem, TestResult
from coursecli.check.verdict import Run, first_failure, judge
from coursecli.course.suites import TestCase
from coursecli.expect.payload import Failure

EXPECTED = [
    TestCase("basic", "test_one", "first", "One.", False, 1),
    TestCase("basic", "test_two", "second", "Two.", False, 9),
]
IDS = ["basic::test_one[a]", "basic::test_one[b]", "basic::test_two"]


def record(id_: str, outcome: Outcome = "passed", *, task: str = "first", mistake: str | None = None) -> TestResult:
    failure = Failure(kind="values", what="", summary="", mistake=mistake) if outcome == "failed" else None
    return TestResult(id=id_, suite="basic", task=task, title="", outcome=outcome, failure=failure)


def run(results: list[TestResult], *, collected: list[str] | None = None, footer: int | None = None) -> Run:
    made = Run()
    made.take(Collected(token="", tests=IDS if collected is None else collected))
    for result in results:
        made.take(Started(token="", id=result.id))
        made.take(Finished(token="", result=result))
    made.take(Footer(token="", finished=len(results) if footer is None else footer))
    return made


def passes(made: Run) -> bool:
    tests, problem, passed = judge(made, EXPECTED, None)
    assert passed or problem is not None or any(test.outcome != "passed" for test in tests), "no reason is given"
    return passed


def test_every_record_and_the_footer_are_a_pass():
    assert passes(run([record(id_) for id_ in IDS]))


def test_without_the_footer_it_is_none():
    made = run([record(id_) for id_ in IDS])
    made.footer = None
    assert not passes(made)


def test_a_footer_with_another_count_is_none():
    assert not passes(run([record(id_) for id_ in IDS], footer=4))


def test_a_collected_test_without_a_record_is_none():
    made = run([record(id_) for id_ in IDS[:2]])
    assert not passes(made)
    tests, problem, _ = judge(made, EXPECTED, None)
    assert tests[-1].outcome == "not_run"
    assert problem is not None
    assert problem.kind == "incomplete"


def test_a_function_that_was_not_collected_is_none():
    made = run([record(id_) for id_ in IDS[:2]], collected=IDS[:2])
    assert not passes(made)
    tests, problem, _ = judge(made, EXPECTED, None)
    assert [test.id for test in tests] == IDS
    assert problem is not None
    assert "test_two" in problem.summary


@pytest.mark.parametrize("extra", [IDS[0], "basic::test_other"], ids=["twice", "never-announced"])
def test_a_record_too_many_is_tampering(extra: str):
    made = run([*(record(id_) for id_ in IDS), record(extra)])
    assert not passes(made)
    assert judge(made, EXPECTED, None)[1].kind == "tampered"  # type: ignore[union-attr]


def test_nothing_expected_is_no_pass():
    made = run([], collected=[])
    assert not judge(made, [], None)[2]


def test_a_halt_is_no_pass_although_every_record_is_there():
    made = run([record(id_) for id_ in IDS])
    made.take(Halted(token="", problem=Problem(kind="tampered", summary="s")))
    assert not passes(made)


def shown(*tests: TestResult) -> str | None:
    result = CheckResult(
        course="", lesson="", scope=["first", "second"], whole_lesson=True, passed=False, seconds=0, tests=list(tests)
    )
    found = first_failure(result)
    return found.id if found else None


def test_the_first_task_comes_first_and_in_it_the_test_that_names_a_mistake():
    assert (
        shown(
            record("a", "failed", task="second", mistake="known"),
            record("b", "failed"),
            record("c", "error"),
            record("d", "failed", mistake="known"),
            record("e", "failed", mistake="other"),
        )
        == "d"
    )


def test_without_a_named_mistake_the_first_failing_test_is_shown():
    assert shown(record("a"), record("b", "blocked"), record("c", "error"), record("d", "failed")) == "c"


def test_when_nothing_fails_there_is_nothing_to_show():
    assert shown(record("a"), record("b", "not_run")) is None
