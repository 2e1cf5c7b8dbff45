"""`reset`, `solution`, `skip`: they ask, keep a backup and say where; `read`, `doctor` and what instructors see."""

import os
import re
import shutil

import pytest


def backup_in(learner, text: str) -> str:
    """The content of the backup that the output names."""
    name = re.search(r"as it was before: (\S+)", text)
    assert name, text
    return (learner.workspace / name[1]).read_text()


def answer(words: bytes):
    given = []

    def act(terminal: int, said: str) -> None:
        if "[y/N]" in said and not given:
            given.append(True)
            os.write(terminal, words + b"\n")

    return act


def test_reset_asks_keeps_a_backup_and_says_where(learner):
    learner.write("discount", "return 12345")
    mine = learner.file("prices.py").read_text()
    unasked = learner("reset", "discount")
    assert unasked.code == 2
    assert "--yes" in unasked.err
    declined = learner.terminal("reset", "discount", act=answer(b"n"))
    assert declined.code == 1
    assert "Nothing was changed." in declined.text
    assert learner.file("prices.py").read_text() == mine
    accepted = learner.terminal("reset", "discount", act=answer(b"y"))
    assert accepted.code == 0
    assert "12345" not in learner.file("prices.py").read_text()
    assert backup_in(learner, accepted.text) == mine


def test_the_question_ends_before_the_answer_begins(learner):
    asked = learner.terminal("reset", "discount", act=answer(b"n")).out
    assert "[y/N]" in [line.strip()[:5] for line in asked.splitlines()]


@pytest.mark.parametrize(
    ("name", "near"), [("price.py", "prices.py"), ("baskets", "basket"), ("total", "basket-total"), ("x.py", "Files: ")]
)
def test_reset_of_what_is_not_there_names_what_is_near(learner, name, near):
    unknown = learner("reset", name)
    assert unknown.code == 2
    assert near in unknown.err.splitlines()[1]


@pytest.mark.parametrize("name", ["prices.py", "toyshop/prices.py"])
def test_reset_of_a_file(learner, name):
    as_given = learner.file("prices.py").read_text()
    learner.file("prices.py").write_text("ruined")
    done = learner("reset", name, "--yes")
    assert done.code == 0
    assert learner.file("prices.py").read_text() == as_given
    assert backup_in(learner, done.text) == "ruined"


def test_the_solution_opens_after_passing(learner):
    closed = learner("solution", "01")
    assert closed.code == 4
    assert "1 - percent / 100" not in closed.text
    assert "intro2llm skip 01" in closed.err
    learner.solve("01")
    assert learner("check").code == 0
    file = learner.file("prices.py")
    file.write_text(
        file.read_text().replace("return price * (1 - percent / 100)", "return price - price * percent / 100")
    )
    wide = learner("solution", "01", COLUMNS="120")
    assert wide.code == 0
    row = next(line for line in wide.out.splitlines() if "price - price * percent" in line)
    assert "return price * (1 - percent / 100)" in row, "side by side"
    narrow = learner("solution", "01", COLUMNS="80")
    row = next(line for line in narrow.out.splitlines() if "price - price * percent" in line)
    assert "1 - percent / 100" not in row, "stacked"
    assert "_require_some" in wide.text, "helpers are shown"


def test_skip_puts_the_reference_in_place_and_is_shown(learner):
    learner.write("discount", "return 12345")
    mine = learner.file("prices.py").read_text()
    assert learner("skip", "01").code == 2
    skipped = learner("skip", "01", "--yes")
    assert skipped.code == 0
    assert backup_in(learner, skipped.text) == mine
    assert "intro2llm start lesson02" in skipped.text
    assert "skipped" in learner("list").text
    assert learner("start", "02").code == 0
    assert learner("check", "01").code == 0
    assert learner("skip", "01", "--yes").code == 2, "passed by now"


def test_reading_a_lesson(learner):
    shown = learner("read")
    assert "Lesson 1 · Prices" in shown.out
    assert "With a price p and a discount of d per cent" in shown.text
    block = [line.rstrip() for line in shown.out.splitlines()]
    bar = next(i for i, line in enumerate(block) if "─────" in line)
    assert "d" in block[bar - 1]
    assert "100" in block[bar + 1]
    assert 'add("ball", 5.0, count=2)   [car 80.00 × 1, ball 5.00 × 2]' in shown.out
    assert "Lesson 1 · Prices" in learner.terminal("read", "1").text


def test_reading_about_a_task(learner):
    shown = learner("read", "basket-add").text
    assert shown.startswith("Putting things in")
    assert "Lesson 1 · Prices" not in shown
    assert "The total" not in shown


def test_instructors_see_hints_misconceptions_references_and_attempts(learner):
    learner.write("discount", "return price * percent / 100")
    learner("check")
    hint = learner("hint", "discount", "--instructor").text
    for words in (
        "Hint 1 of 3",
        "Hint 3 of 3",
        "takes percent for a fraction",
        "25 hundredths",
        "return price * (1 - percent)",
    ):
        assert words in hint
    listed = learner("list", "--instructor").text
    assert "Ask what discount(80, 25) should be" in listed
    assert "finds the dearest item" in listed
    assert "1 attempt" in listed
    checked = learner("check", "--instructor").text
    assert "Hint 3 of 3" in checked
    assert "reference" in checked
    solution = learner("solution", "02", "--instructor").text
    assert "best = self.items[0]" in solution
    assert "No attempts yet." in solution
    assert "Hint 1 of 3" in learner("hint", "discount").text, "an instructor's look is not recorded as a hint"


def test_doctor_finds_nothing_wrong_here(learner):
    report = learner("doctor")
    assert report.code == 0
    assert "Nothing is wrong." in report.text
    for subject in ("python", "packages", "course", "workspace", "progress", "worker", "isolation", "terminal"):
        assert f"✓ {subject} " in report.text
    assert "".join(str(learner.workspace).split()) in "".join(report.out.split())  # a long path is wrapped


def test_doctor_says_what_is_wrong_and_how_to_mend_it(learner, tmp_path, toy):
    broken = tmp_path / "broken"
    shutil.copytree(toy, broken)
    manifest = broken / "course.yaml"
    manifest.write_text(manifest.read_text() + "python: '9.1'\nworker: {preload: [nothing_of_this_name]}\n")
    (broken / "stage01_shop" / "lesson01_prices" / "mistakes.yaml").write_text("mistakes: 3")
    shutil.rmtree(learner.workspace / "toyshop")
    report = learner("doctor", "--course", str(broken))
    assert report.code == 7
    for words in (
        "9.1 or newer is needed",
        "nothing_of_this_name",
        "mistakes.yaml",
        "toyshop is missing",
        "intro2llm init",
    ):
        assert words in report.text
    assert "4 things are wrong." in report.text


def test_doctor_without_a_workspace_says_how_to_make_one(newcomer):
    report = newcomer("doctor")
    assert report.code == 0
    assert "intro2llm init my-llm" in report.text
