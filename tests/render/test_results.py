"""A result on the screen: what is shown whole, what in a line, and that nothing of the learner's steers anything."""

import pytest

from coursecli.check.results import CheckResult, Frame, LearnerError, Problem, Suspect, TestResult
from coursecli.course.catalogue import load_course
from coursecli.course.mistakes import load_mistakes
from coursecli.expect.payload import Failure
from coursecli.render.console import make_console
from coursecli.render.results import SIGNS, ResultView
from coursecli.render.source import definitions, excerpt, places

SOURCE = '''import math


def discount(price, percent):
    """The price after
    the discount."""
    rate = percent / 100
    return price * rate


class Basket:
    def __init__(self):
        self.items = []

    def add(self, name):
        """Put in."""
        self.items.append(name)
'''


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "toyshop"
    folder.mkdir()
    (folder / "prices.py").write_text(SOURCE)
    return folder


def result(*tests: TestResult, **fields) -> CheckResult:
    scope = ["discount", "average", "basket-add", "basket-total"]
    given = {"scope": scope, "whole_lesson": True} | fields
    return CheckResult(
        course="toyshop", lesson="lesson01_prices", passed=False, seconds=1.0, tests=list(tests), **given
    )


def of(outcome: str, task: str = "discount", name: str = "one", **fields) -> TestResult:
    return TestResult(
        id=f"basic::test_{name}", suite="basic", task=task, title=f"Test {name}.", outcome=outcome, **fields
    )


def shown(toy, package, checked: CheckResult, *, show_all: bool = False, width: int = 100) -> str:
    lesson = load_course(toy).lessons[0]
    view = ResultView(checked, lesson, load_mistakes(lesson), package, width=width)
    first = next((test for test in checked.tests if test.outcome not in ("passed", "blocked", "not_run")), None)
    console = make_console(width=width)
    with console.capture() as capture:
        console.print(view.failing(first, show_all=show_all))
    text = capture.get()
    assert max(map(len, text.splitlines())) <= width
    return " ".join(text.split())


def test_a_mistake_is_named_and_explained(toy, package):
    failure = Failure(kind="values", what="discount(80, 25)", summary="Expected 60.", mistake="the-part-taken-off")
    text = shown(toy, package, result(of("failed", failure=failure)))
    assert "A known mistake: returns what is taken off" in text
    assert "The customer asked what there is to pay." in text
    assert "Your code: toyshop/prices.py:7 in discount" in text


def test_an_unknown_mistake_is_no_error(toy, package):
    failure = Failure(kind="values", what="x", summary="Expected 60.", mistake="nobody-knows")
    assert "Expected 60." in shown(toy, package, result(of("failed", failure=failure)))


@pytest.mark.parametrize("outcome", [outcome for outcome in SIGNS if outcome != "passed"])
@pytest.mark.parametrize("width", [40, 100])
def test_every_outcome_can_be_shown(toy, package, outcome, width):
    error = LearnerError("ValueError", "lesson01 · discount", [Frame("toyshop/prices.py", 8, "discount", "return 1")])
    test = of(outcome, error=error, note="did not finish within 3 s", output="printed\n")
    text = shown(toy, package, result(test, of("passed", name="two")), show_all=True, width=width)
    assert "1 of 2 tests pass." in text
    assert SIGNS[outcome][1] in text


@pytest.mark.parametrize("outcome", ["timeout", "crashed"])
def test_an_end_without_a_line_leads_to_the_code_of_the_task(toy, package, outcome):
    error = LearnerError("Crash", "ended the process that watches over the check")
    text = shown(toy, package, result(of(outcome, error=error, note=error.message)))
    assert "It ended the process that watches over the check. Your code: toyshop/prices.py:7 in discount" in text


def test_a_recursion_without_end_has_each_caller_once(toy, package):
    frames = [Frame("toyshop/prices.py", 12, "total"), *[Frame("toyshop/prices.py", 8, "discount")] * 11]
    text = shown(toy, package, result(of("error", error=LearnerError("RecursionError", "too deep", frames))))
    assert text.count("called from toyshop/prices.py:8 in discount") == 1
    assert "called from toyshop/prices.py:12 in total" in text


def test_stubs_alone_are_not_worth_a_longer_list(toy, package):
    error = LearnerError("NotImplementedError", "lesson01 · discount", [Frame("toyshop/prices.py", 8, "discount")])
    stubs = [of("not_written", name=str(number), error=error) for number in range(3)]
    assert "--all" not in shown(toy, package, result(*stubs))
    failure = Failure(kind="values", what="x", summary="y")
    assert "--all" in shown(toy, package, result(*stubs, of("failed", "average", failure=failure)))


def test_tests_that_did_not_run_are_counted(toy, package):
    waiting = [of("blocked", "basket-total", f"b{number}") for number in range(3)]
    waiting += [of("not_run", "average", f"a{number}") for number in range(2)]
    failure = Failure(kind="values", what="x", summary="y")
    checked = result(of("failed", failure=failure), *waiting, of("error", "basket-add", "own"))
    text = shown(toy, package, checked)
    assert "waits for another task: 3 tests" in text
    assert "not run: 2 tests" in text
    assert "Test own. raised an error" in text
    assert "Test b1." not in text
    assert "Test b1. waits for another task" in shown(toy, package, checked, show_all=True)


def test_of_many_failing_tests_the_first_are_listed(toy, package):
    failure = Failure(kind="values", what="x", summary="y")
    checked = result(*(of("failed", name=f"n{number}", failure=failure) for number in range(20)))
    text = shown(toy, package, checked)
    assert "Test n6. failed" in text and "Test n7. failed" not in text
    assert "and 13 more that fail" in text
    assert "Test n19. failed" in shown(toy, package, checked, show_all=True)


def test_cases_of_one_test_are_told_apart(toy, package):
    failure = Failure(kind="values", what="x", summary="y")
    cases = [of("failed", name=f"one[{case}]", failure=failure) for case in ("80.0-25.0", "12.5-40.0")]
    assert "(12.5-40.0) failed" in shown(toy, package, result(*cases))


def test_a_problem_is_shown_alone(toy, package):
    problem = Problem(
        kind="syntax", summary="It does not parse.", remedy="Close it.", frame=Frame("toyshop/prices.py", 1)
    )
    text = shown(toy, package, result(of("not_run"), problem=problem))
    assert text.startswith("It does not parse. Your code: toyshop/prices.py:1 > 1 import math 2 3")
    assert text.endswith("Close it.")


def test_the_guilty_earlier_part_is_named(toy, package):
    failure = Failure(kind="values", what="x", summary="y")
    checked = result(
        of("failed", failure=failure, integration=True), suspects=[Suspect("lesson03_ffn", "swiglu", "SwiGLU")]
    )
    text = shown(toy, package, checked)
    assert "with the reference in place of lesson03's SwiGLU, the test passes" in text
    assert text.endswith("A hint: intro2llm hint swiglu")


def test_hostile_text_is_literal_wherever_it_comes_from(toy, package):
    evil = "\x1b[2J[/b][link=x]"
    error = LearnerError(evil, evil, [Frame("toyshop/prices.py", 99, evil, evil)])
    problem = Problem(kind="import", summary=evil, detail=evil, remedy=evil)
    checked = result(of("error", error=error, output=evil, note=evil), problem=problem)
    text = shown(toy, package, checked)
    assert "\x1b" not in text
    assert text.count(r"\x1b[2J[/b][link=x]") >= 7


def test_an_excerpt_marks_the_line_and_shows_two_around_it(package):
    console = make_console(width=80)
    with console.capture() as capture:
        console.print(excerpt(package / "prices.py", 4))
        console.print(excerpt(package / "gone.py", 4, fallback="as it was"))
    lines = [line.split() for line in capture.get().splitlines()]
    assert [line[0] for line in lines[:5]] == ["2", "3", ">", "5", "6"]
    assert lines[5] == [">", "4", "as", "it", "was"]


def test_where_the_code_of_a_task_is(package):
    assert places(package / "prices.py", ["discount"]) == [("discount", 7)]
    assert places(package / "prices.py", ["Basket"]) == [("Basket.add", 17)]
    assert places(package / "prices.py", ["Basket.__init__"]) == [("Basket.__init__", 13)]
    assert places(package / "gone.py", ["discount"]) == []


def test_definitions_are_cut_out_whole():
    assert definitions(SOURCE, ["Basket.add"]).splitlines()[0] == "class Basket:"
    assert definitions(SOURCE, ["Basket", "Basket.add"]).count("def add") == 1
    assert definitions("def broken(:", ["broken"]) == "def broken(:"
