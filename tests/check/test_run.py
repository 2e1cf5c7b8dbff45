"""What a check says of right code, of stubs, and of code that is wrong in an ordinary way."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from coursecli.check.events import Collected, Event, Finished, Footer, Hello, Started
from coursecli.check.verdict import first_failure
from coursecli.course.build import build_stubbed
from tests.checking import Shop, only


def outcomes(result) -> dict[str, str]:
    return {test.id: test.outcome for test in result.tests}


def test_the_reference_passes_every_test(shop: Shop):
    result = shop.check(shop.package())
    assert result.passed
    assert result.problem is None
    assert result.whole_lesson
    assert [test.outcome for test in result.tests] == ["passed"] * 11
    assert result.versions["python"]
    assert all(result.task_passed(task) for task in result.scope)


def test_tests_come_in_the_order_of_the_tasks_and_the_basic_suite_first(shop: Shop):
    result = shop.check(shop.package())
    order = ["discount", "average", "basket-add", "basket-total"]
    for suite in ("basic", "advanced"):
        tasks = [test.task for test in result.tests if test.suite == suite]
        assert tasks == sorted(tasks, key=order.index)
    suites = [test.suite for test in result.tests]
    assert suites == sorted(suites, key=["basic", "advanced"].index)


def test_stubs_are_not_written_and_what_waits_for_them_is_said(shop: Shop, tmp_path: Path):
    root = tmp_path / "stubs"
    build_stubbed(shop.course, root)
    result = shop.check(root)
    assert not result.passed
    assert result.problem is None
    total = only(result, "test_total_counts_every_piece")
    assert (total.outcome, total.note) == ("blocked", "waits for “A discount”")
    assert only(result, "test_average_of_three_prices").outcome == "not_written"
    assert {test.outcome for test in result.tests if test.suite == "advanced"} == {"not_run"}


def test_without_gates_every_stub_is_run(shop: Shop, tmp_path: Path):
    root = tmp_path / "stubs"
    build_stubbed(shop.course, root)
    result = shop.check(root, gates=False)
    assert {test.outcome for test in result.tests} == {"not_written"}


def test_a_wrong_value_is_a_failure_that_names_its_mistake(shop: Shop):
    result = shop.check(shop.package(discount="return price * percent / 100"))
    shown = first_failure(result)
    assert shown is not None
    assert shown.id == "basic::test_discount_takes_a_part_off[80.0-25.0-60.0]"
    assert shown.title == "A discount of some per cent leaves the rest of the price."
    assert shown.failure is not None
    assert shown.failure.mistake == "the-part-taken-off"


def test_the_advanced_suite_waits_for_the_basic_one(shop: Shop):
    result = shop.check(shop.package(average="return 0.0"))
    assert only(result, "test_average_of_nothing").outcome == "not_run"
    assert only(result, "test_total_counts_every_piece").outcome == "passed"


def test_an_error_shows_the_learners_lines_and_no_others(shop: Shop):
    root = shop.package(average="helper = {}\nreturn sum(prices) / helper['count']")
    test = only(shop.check(root), "test_average_of_three_prices")
    assert test.outcome == "error"
    assert test.error is not None
    assert (test.error.type, test.error.message) == ("KeyError", "'count'")
    assert [(frame.file, frame.source) for frame in test.error.frames] == [
        ("toyshop/prices.py", "return sum(prices) / helper['count']")
    ]


def test_an_error_in_the_test_itself_says_what_the_test_evaluated(shop: Shop):
    root = shop.package(Basket__add="self.items = None")
    test = only(shop.check(root), "test_add_puts_items_at_the_end")
    assert test.error is not None
    assert test.error.frames == []
    assert "basket" in test.note


def test_bare_assertions_and_fixtures_of_pytest_work(shop: Shop):
    suite = shop.course.lesson("1").suites[0]
    with suite.open("a", encoding="utf-8") as file:
        file.write(
            '\n\n@pytest.mark.task("average")\ndef test_bare(tmp_path, monkeypatch, capsys):\n    """Bare."""\n'
            '    print("x")\n    assert capsys.readouterr().out == "x\\n"\n    assert average([1.0]) == 1.0\n'
            '\n\n@pytest.mark.task("average")\n@pytest.mark.parametrize("case", [1.0, 2.0])\n'
            'def test_failing(case):\n    """Fails."""\n    import warnings\n    warnings.warn("x")\n'
            "    assert average([case]) == 1.0\n"
        )
    result = shop.check(shop.package())
    assert only(result, "test_bare").outcome == "passed"
    assert only(result, "test_failing[1.0]").outcome == "passed"
    failed = only(result, "test_failing[2.0]")
    assert failed.outcome == "failed"
    assert failed.failure is not None
    assert "average([case]) == 1.0" in failed.failure.summary


def test_a_test_without_any_expectation_is_no_pass(shop: Shop):
    suite = shop.course.lesson("1").suites[0]
    with suite.open("a", encoding="utf-8") as file:
        file.write('\n\n@pytest.mark.task("average")\ndef test_nothing():\n    """Nothing."""\n    average([1.0])\n')
    result = shop.check(shop.package())
    assert not result.passed
    assert only(result, "test_nothing").outcome == "tampered"
    assert "without evaluating a single expectation" in only(result, "test_nothing").note


def test_a_test_that_the_suite_itself_skips_is_no_pass(shop: Shop):
    suite = shop.course.lesson("1").suites[0]
    with suite.open("a", encoding="utf-8") as file:
        file.write(
            '\n\n@pytest.mark.task("average")\n@pytest.mark.skip(reason="why")\ndef test_later():\n    """Later."""\n'
        )
    result = shop.check(shop.package())
    assert not result.passed
    assert (only(result, "test_later").outcome, only(result, "test_later").note) == (
        "not_run",
        "the suite itself skipped it: why",
    )


def test_a_task_alone(shop: Shop):
    result = shop.check(shop.package(discount="return 0.0"), tasks={"average"})
    assert result.passed
    assert result.scope == ["average"]
    assert not result.whole_lesson
    assert {test.task for test in result.tests} == {"average"}


def test_what_is_printed_is_shown_under_the_test_that_printed_it(shop: Shop):
    code = "import os, sys\nprint('from average', prices)\nos.write(2, b'raw words\\n')\nreturn 4.5"
    root = shop.package(average=code, prices_py="print('while importing')")
    result = shop.check(root, gates=False)
    assert only(result, "test_average_of_three_prices").output == "from average [2.0, 3.0, 8.5]\nraw words\n"
    assert only(result, "test_add_puts_items_at_the_end").output == ""


def test_events_come_in_order_and_carry_the_output(shop: Shop):
    heard: list[Event] = []
    result = shop.check(shop.package(average="print('hello')\nreturn 4.5"), listener=heard.append)
    kinds = [type(event) for event in heard]
    assert kinds[:2] == [Hello, Collected]
    assert kinds[-1] is Footer
    ran = [test.id for test in result.tests if test.outcome not in ("not_run", "blocked")]
    assert [event.id for event in heard if isinstance(event, Started)] == ran
    finished = {event.result.id: event.result for event in heard if isinstance(event, Finished)}
    assert finished["basic::test_average_of_three_prices"].output == "hello\n"
    assert list(finished.values()) == result.tests


def test_the_learners_folder_may_have_any_name(shop: Shop, tmp_path: Path):
    root = shop.package().rename(tmp_path / "mein Übungs-Ordner 学习 [1]")
    assert shop.check(root).passed


def test_another_package_of_the_same_name_is_refused(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The learner's folder has the files but is not a package, and an installed one of that name would be taken."""
    root = shop.package()
    (root / "toyshop" / "__init__.py").unlink()
    result = shop.check(root)
    assert not result.passed
    assert result.problem is not None
    assert result.problem.kind == "binding"


def test_a_fresh_edit_is_seen_even_within_the_same_second(shop: Shop):
    """Cached byte code is compared by size and second: an edit of equal size within that second would be missed."""
    root = shop.package(average="return 4.5 + 0")
    path = root / "toyshop" / "prices.py"
    assert only(shop.check(root), "test_average_of_three_prices").outcome == "passed"
    compile_it(path)
    path.write_text(path.read_text(encoding="utf-8").replace("4.5 + 0", "4.5 + 1"), encoding="utf-8")
    stamp(path)
    assert only(shop.check(root), "test_average_of_three_prices").outcome == "failed"


HOSTILE = {
    "half-a-character": "raise ValueError('\\ud800 half')",
    "half-a-character-returned": "return '\\ud800 half'",
    "half-a-character-printed": "print('\\ud800 half')\nreturn 0.0",
    "broken-message": "pass\nclass E(Exception):\n    def __str__(self): raise self\nraise E",
    "broken-repr": "pass\nclass F(float):\n    def __repr__(self): raise RuntimeError\n"
    "    __str__ = __format__ = __repr__\nreturn F(3.0)",
    "enormous-message": "raise ValueError('x' * 30_000_000)",
    "enormous-value": "return 'x' * 30_000_000",
    "terminal-codes": "raise ValueError('\\x1b[2J\\x1b]8;;http://x\\x07[/b]\\x00')",
    "closes-everything": "import os\nos.closerange(0, 256)\nreturn 0.0",
    "exception-group": "raise ExceptionGroup('many', [ValueError(1), KeyError(2)])",
    "exception-without-class-name": "raise type('', (Exception,), {})",
}


@pytest.mark.parametrize("code", HOSTILE.values(), ids=HOSTILE)
def test_values_that_are_hard_to_tell_are_told(shop: Shop, code: str):
    result = shop.check(shop.package(average=code))
    test = only(result, "test_average_of_three_prices")
    assert test.outcome in ("failed", "error", "crashed")
    assert len(msgspec.json.encode(result)) < 4_000_000


def compile_it(path: Path) -> None:
    import py_compile

    stamp(path)
    assert py_compile.compile(str(path), doraise=True)


def stamp(path: Path) -> None:
    import os

    os.utime(path, (1_700_000_000, 1_700_000_000))


def test_an_exception_that_names_a_mistake_keeps_the_learners_line(shop: Shop):
    suite = shop.course.lesson("1").suites[0]
    suite.write_text(
        suite.read_text(encoding="utf-8")
        + """

from coursecli.expect import diagnosing

@pytest.mark.task("average")
def test_average_of_one():
    \"\"\"Of one price the average is the price.\"\"\"
    with diagnosing("average-floor", TypeError):
        average([2.0])
""",
        encoding="utf-8",
    )
    result = shop.check(shop.package(average="return prices / len(prices)"))
    test = only(result, "test_average_of_one")
    assert test.outcome == "failed"
    assert test.failure is not None and test.failure.mistake == "average-floor"
    assert test.error is not None
    assert (test.error.frames[-1].file, test.error.frames[-1].source) == (
        "toyshop/prices.py",
        "return prices / len(prices)",
    )
