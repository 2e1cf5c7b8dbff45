"""Checks in the dashboard: the same verdict, stored the same way; a hung one never takes a key."""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from coursecli.progress.store import Attempt, Store
from coursecli.tui import checks
from coursecli.tui.watcher import EVERY_SECONDS
from coursecli.tui.widgets.course_tree import CourseTree
from coursecli.tui.widgets.rich_view import RichView
from coursecli.warm import place
from coursecli.warm.background import Background, status
from coursecli.watch import checker
from tests.checking import wait_until
from tests.conftest import Learner
from tests.tui.conftest import FAILING, RIGHT, Running, desk_of, home_of, said, settled, shown, until

HANGS = "while True:\n    pass"
BROKEN_AVERAGE = "_average = average\n\n\ndef average(prices):\n    return _average(prices) + 1\n"


def attempts(learner: Learner) -> list[Attempt]:
    with Store.open(learner.workspace / ".intro2llm" / "progress.db", read_only=True) as store:
        return store.attempts()


async def test_the_verdict_is_that_of_the_command_and_stored_alike(learner: Learner, opened: Running) -> None:
    learner.write("discount", FAILING)
    command = learner("check")
    async with opened(desk_of(learner), (120, 50)) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: "0 of 11 tests pass" in said(pilot))
        await settled(pilot)
        verdict = shown(pilot, "verdict")
    for words in (
        "A known mistake: returns what is taken off",
        "Expected 60.0, but it is 20.0.",
        "toyshop/prices.py:16",
    ):
        assert words in verdict and words in command.text
    by_command, by_dashboard = attempts(learner)
    for name in ("lesson", "whole_lesson", "passed", "problem", "evidence", "versions", "tasks"):
        assert getattr(by_command, name) == getattr(by_dashboard, name)


async def test_one_task_is_checked_alone(learner: Learner, opened: Running) -> None:
    learner.write("discount", RIGHT)
    async with opened(desk_of(learner)) as pilot:
        await pilot.press("down")
        await settled(pilot, moved=True)
        await pilot.press("c")
        await until(pilot, lambda: "A discount: passed" in said(pilot))
        await settled(pilot)
        assert "1 of 4 tasks of lesson01 pass" in shown(pilot, "verdict")
    assert attempts(learner)[-1].tasks == {"discount": "passed"}


async def test_a_hung_check_takes_no_key_and_x_stops_it(learner: Learner, opened: Running) -> None:
    learner.write("discount", HANGS)
    async with opened(desk_of(learner)) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: "1/11" in said(pilot))
        await pilot.press("1", "down", "down")
        await pilot.pause()
        target = home_of(pilot).query_one(CourseTree).target
        assert target is not None and target.task is not None and target.task.id == "average"
        await pilot.press("2")
        await until(pilot, lambda: "their sum divided by n" in shown(pilot, "reader"))
        assert "1/11" in said(pilot), "the check still runs"
        await pilot.press("x")
        await until(pilot, lambda: "Stopped" in said(pilot))
    assert attempts(learner) == []


async def test_a_save_is_checked_and_ends_the_check_of_what_was_there_before(learner: Learner, opened: Running) -> None:
    learner.write("discount", HANGS)
    async with opened(desk_of(learner)) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: "1/11" in said(pilot))
        file = learner.file("prices.py")
        file.write_text(
            file.read_text(encoding="utf-8").replace("    while True:\n        pass", f"    {FAILING}"), "utf-8"
        )
        await until(pilot, lambda: "0 of 11" in said(pilot))
        await settled(pilot)
        verdict = shown(pilot, "verdict")
        assert "returns what is taken off" in verdict and "0 of 7 tests pass" in verdict, "of the tasks in prices.py"
        other = file.with_suffix(".new")  # as editors do: write beside, then rename
        other.write_text(file.read_text(encoding="utf-8").replace(FAILING, RIGHT.replace("\n", "\n    ")), "utf-8")
        other.replace(file)
        await until(pilot, lambda: "2 of 11" in said(pilot))
    stored = attempts(learner)
    assert [attempt.whole_lesson for attempt in stored] == [False, True, False, True], "its tasks, then the lesson"
    assert [attempt.tasks["discount"] for attempt in stored] == ["failed", "failed", "undecided", "undecided"]
    assert [attempt.problem for attempt in stored] == [None] * 4


async def test_a_save_that_completes_a_lesson_says_what_it_opens(learner: Learner, opened: Running) -> None:
    async with opened(desk_of(learner)) as pilot:
        learner.solve("1")
        await until(pilot, lambda: "Prices: passed" in said(pilot))
        await settled(pilot)
        assert "Lesson 02 · Baskets" in shown(pilot, "verdict")


async def test_an_edit_that_breaks_an_earlier_lesson_is_told(learner: Learner, opened: Running) -> None:
    learner.solve("1")
    assert learner("check").code == 0
    assert learner("start", "02").code == 0
    learner.solve("2")
    async with opened(desk_of(learner)) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: "Baskets: passed" in said(pilot))
        file = learner.file("prices.py")
        file.write_text(file.read_text(encoding="utf-8") + BROKEN_AVERAGE, "utf-8")
        await until(pilot, lambda: "lesson01 passed before and fails now: prices.py changed since;" in said(pilot))
    assert [(attempt.lesson[:8], attempt.passed) for attempt in attempts(learner)[-2:]] == [
        ("lesson02", True),
        ("lesson01", False),
    ]


@pytest.mark.parametrize("mistake", ["", BROKEN_AVERAGE], ids=["still right", "broken"])
async def test_what_was_edited_elsewhere_is_checked_when_there_is_nothing_to_do(
    learner: Learner, opened: Running, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    monkeypatch.setattr(checker, "IDLE_SECONDS", 0.2)
    learner.solve("1")
    assert learner("check").code == 0
    file = learner.file("prices.py")
    file.write_text(file.read_text(encoding="utf-8") + "# an edit\n" + mistake, "utf-8")
    async with opened(desk_of(learner)) as pilot:
        await until(pilot, lambda: len(attempts(learner)) == 2)
        await settled(pilot)
        regressed = "lesson01 passed before and fails now: prices.py changed since." if mistake else ""
        assert regressed in said(pilot) if mistake else said(pilot) == ""
        await pilot.pause(1.0)
    assert [attempt.passed for attempt in attempts(learner)] == [True, not mistake], "and not again and again"


async def test_an_instructor_who_looks_on_records_nothing(
    learner: Learner, opened: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "IDLE_SECONDS", 0.1)
    learner.solve("1")
    assert learner("check").code == 0
    learner.file("prices.py").open("a", encoding="utf-8").write("# an edit\n")
    async with opened(desk_of(learner, instructor=True)) as pilot:
        await pilot.pause(1.0)
    assert len(attempts(learner)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the process is a fork there, and is ready at once")
async def test_the_background_process_is_held_while_the_dashboard_is_open(
    learner: Learner, opened: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INTRO2LLM_COLD")
    monkeypatch.setattr(checks, "Background", partial(Background, idle_seconds=0.3))
    with tempfile.TemporaryDirectory(prefix="w-") as private:  # the path of a socket is short
        monkeypatch.setenv("XDG_RUNTIME_DIR", private)
        async with opened(desk_of(learner)) as pilot:
            await until(pilot, lambda: (record := place.current(learner.workspace)) and status(record) is not None)
            await pilot.pause(1.5)
            assert place.current(learner.workspace) is not None
        assert wait_until(lambda: place.current(learner.workspace) is None)


async def test_w_leaves_saves_alone(learner: Learner, opened: Running) -> None:
    async with opened(desk_of(learner)) as pilot:
        await pilot.press("w")
        learner.write("discount", FAILING)
        await pilot.pause(4 * EVERY_SECONDS)
        assert home_of(pilot).checks.running is None
    assert attempts(learner) == []


async def test_what_the_learner_prints_is_data(learner: Learner, opened: Running) -> None:
    learner.write("discount", r"print('\x1b[2J[red]loud[/red] [@click=app.quit]x[/]')" + f"\n{FAILING}")
    async with opened(desk_of(learner), (120, 60)) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: "0 of 11" in said(pilot))
        await settled(pilot)
        assert r"\x1b[2J[red]loud[/red] [@click=app.quit]x[/]" in shown(pilot, "verdict")


async def test_the_code_page_shows_the_line_that_raised(learner: Learner, opened: Running) -> None:
    learner.write("discount", "rest = 1 - percent / 100\nreturn prise * rest")
    async with opened(desk_of(learner), (80, 24)) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: "of 11" in said(pilot))
        await pilot.press("4")
        await settled(pilot)
        assert "❱ 17 return prise * rest" in shown(pilot, "reader")


async def test_hints_and_code_are_about_the_same_task_when_nothing_was_checked_yet(
    learner: Learner, opened: Running
) -> None:
    learner.write("discount", RIGHT)
    assert learner("check", "discount").code == 0
    async with opened(desk_of(learner), (80, 24)) as pilot:
        await pilot.press("3")
        await settled(pilot)
        assert "The average price" in shown(pilot, "reader")
        await pilot.press("4")
        await settled(pilot)
        assert re.search(r'❱ \d+ raise NotImplementedError\("lesson01 · average"\)', shown(pilot, "reader"))


async def test_the_code_page_goes_to_that_line_from_a_page_that_needs_no_scrollbar(
    learner: Learner, opened: Running
) -> None:
    learner.write("discount", "rest = 1 - percent / 100\n" + "# far down\n" * 80 + "return prise * rest")
    async with opened(desk_of(learner), (110, 34)) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: "of 11" in said(pilot))
        await pilot.press("3")
        await settled(pilot)
        await pilot.resize_terminal(80, 24)
        await pilot.press("4")
        await settled(pilot)
        reader = home_of(pilot).query_one("#reader", RichView)
        row = next(row for row, text in enumerate(reader.text.splitlines()) if text.startswith("❱"))
        assert 0 <= row - reader.scroll_offset.y < reader.size.height


@pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc")
async def test_leaving_during_a_check_leaves_no_process(learner: Learner, opened: Running) -> None:
    learner.write("discount", HANGS)
    package = str(learner.workspace)
    async with opened(desk_of(learner)) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: "1/11" in said(pilot))
        assert working_in(package)
        await pilot.press("q")
    assert wait_until(lambda: not working_in(package))


def working_in(folder: str) -> list[int]:
    """The processes whose current folder this is."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str((entry / "cwd").readlink()) == folder:
                found.append(int(entry.name))
    return found
