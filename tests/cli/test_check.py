"""What `check` shows and returns: one failing test, whole; JSON; problems before any test; Ctrl-C."""

import json
import os
import sqlite3

import pytest


def attempts(learner) -> int:
    with sqlite3.connect(learner.workspace / ".intro2llm" / "progress.db") as database:
        return database.execute("SELECT count(*) FROM attempts").fetchone()[0]


def test_the_first_failure_is_shown_whole_and_the_others_in_a_line(learner):
    learner.write("discount", "return 1")
    learner.write("average", "return 'x'")
    shown = learner("check")
    assert "A discount failed A discount of some per cent leaves the rest of the price." in shown.text
    assert "Your code: toyshop/prices.py:" in shown.text
    assert shown.out.count("Your code:") == 1
    assert "✗ The average is the sum divided by how many there are.  failed" in shown.out
    assert "0 of 11 tests pass." in shown.text or "of 11 tests pass." in shown.text
    assert "intro2llm check lesson01 --all" in shown.text
    assert learner("check", "--all").out.count("Your code:") > 1


def test_an_error_in_the_learners_code_shows_their_line(learner):
    learner.write("discount", "rate = percnt / 100\nreturn price * (1 - rate)")
    shown = learner("check")
    assert "NameError: name 'percnt' is not defined" in shown.text
    number = next(i for i, line in enumerate(learner.file("prices.py").read_text().splitlines(), 1) if "percnt" in line)
    assert f"Your code: toyshop/prices.py:{number} in discount" in shown.text
    assert f"> {number}     rate = percnt / 100" in shown.out
    assert "site-packages" not in shown.text


def test_json_is_the_whole_of_stdout(learner):
    learner.write("discount", "print('{}')\nreturn 1")
    shown = learner("check", "--json")
    result = json.loads(shown.out)
    assert shown.code == 1
    assert result["passed"] is False
    assert result["lesson"] == "lesson01_prices"
    assert result["scope"] == ["discount", "average", "basket-add", "basket-total"]
    outcomes = {test["id"]: test["outcome"] for test in result["tests"]}
    assert outcomes["basic::test_average_of_three_prices"] == "not_written"
    assert any(test.get("output") == "{}\n" for test in result["tests"])
    assert attempts(learner) == 1


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text.replace("def discount(", "def discount(("), "prices.py"),
        (lambda text: text.replace("def discount(", "def discuont("), "found `discuont`: renamed?"),
        (lambda text: "import nothing_of_this_name\n" + text, "No module named 'nothing_of_this_name'"),
        (lambda text: text.encode("utf-16"), "UTF-16"),
        (lambda text: None, "prices.py is missing"),
    ],
    ids=["syntax", "renamed", "import", "encoding", "missing"],
)
def test_what_keeps_the_tests_from_running_is_said_in_one_line(learner, damage, words):
    file = learner.file("prices.py")
    damaged = damage(file.read_text())
    if damaged is None:
        file.unlink()
    else:
        file.write_bytes(damaged if isinstance(damaged, bytes) else damaged.encode())
    shown = learner("check")
    assert shown.code == 1
    assert words in shown.out.splitlines()[0]
    assert "Traceback" not in shown.out + shown.err
    assert "not run" not in shown.text


def test_printed_text_is_shown_under_its_test_and_capped(learner):
    learner.write("discount", "for line in range(500): print('line', line)\nreturn 1")
    shown = learner("check")
    assert "Your code printed: line 0 line 1 line 2" in shown.text
    assert "line 499" not in shown.text
    assert "more lines" in shown.text


def test_ctrl_c_ends_the_check_and_keeps_progress(learner):
    learner.write("discount", "import time\ntime.sleep(60)")
    before = attempts(learner)
    pressed = []

    def press(terminal: int, said: str) -> None:
        if "some per cent" in said and not pressed:
            pressed.append(True)
            os.write(terminal, b"\x03")

    stopped = learner.terminal("check", act=press)
    assert pressed
    assert stopped.code == 130
    assert "Stopped." in stopped.text
    assert "Traceback" not in stopped.text
    assert attempts(learner) == before
    assert learner("status").code == 0


def test_a_terminal_shows_which_test_runs_and_takes_the_line_away(learner):
    learner.write("discount", "return 1")
    shown = learner.terminal("check")
    assert "Checking lesson01: 1/" in shown.text
    assert "A discount of some per cent leaves the rest" in shown.text
    assert shown.out.count("\x1b[?25l") == shown.out.count("\x1b[?25h"), "the cursor is visible again"


def test_without_a_name_a_check_is_of_the_lesson_whose_pass_is_in_doubt(learner):
    for number in ("01", "02"):
        learner("start", number)
        learner.solve(number)
        assert learner("check").code == 0
    file = learner.file("prices.py")
    file.write_text(file.read_text() + "\n# an afterthought\n")
    assert "Lesson 01 · Prices: passed" in learner("check").text
