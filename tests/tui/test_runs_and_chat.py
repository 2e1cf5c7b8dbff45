"""Runs and the chat: what is on disk and what the learner's model says, as it comes."""

from __future__ import annotations

import json
import sys
import uuid

import pytest
from textual.widgets import Input, OptionList, Static

from coursecli.errors import UsageError
from coursecli.tui.talk import Printed, Silent
from coursecli.tui.widgets.chat_pane import ChatPane
from coursecli.tui.widgets.rich_view import RichView
from tests.checking import marked, wait_until
from tests.conftest import Learner
from tests.recipe_shop import Seller
from tests.tui.conftest import Running, desk_of, home_of, settled, shown, until, write_run


@pytest.fixture
def seller(tmp_path) -> Seller:
    return Seller(tmp_path)


async def test_runs_appear_and_their_curves_grow(learner: Learner, opened: Running) -> None:
    runs = learner.workspace / "runs"
    async with opened(desk_of(learner)) as pilot:
        await pilot.press("6")
        await until(pilot, lambda: "No runs yet" in shown(pilot, "run"))
        folder = write_run(runs, "first", updates=300, state="stopped")
        await until(pilot, lambda: "Bits per byte" in shown(pilot, "run"))
        assert "300/2000" in shown(pilot, "run") and "[red]mice[/red]" in shown(pilot, "run")
        before = home_of(pilot).query_one("#run", RichView).text
        with (folder / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.writelines(
                json.dumps({"step": step, "loss": 1.7, "bits_per_byte": 0.85}) + "\n" for step in range(310, 1200, 10)
            )
        await until(
            pilot, lambda: "1000" in shown(pilot, "run") and home_of(pilot).query_one("#run", RichView).text != before
        )
        write_run(runs, "second", updates=100, created="2026-02-02")
        options = home_of(pilot).query_one(OptionList)
        await until(pilot, lambda: options.option_count == 2)
        await settled(pilot)
        assert options.highlighted_option is not None and options.highlighted_option.id == "first", "it stays chosen"


def turns(pilot) -> str:
    return "\n".join(str(each.render()) for each in home_of(pilot).query(".turn").results(Static))


async def test_a_talk_with_the_learners_model(seller: Seller, opened: Running) -> None:
    write_run(seller.workspace / "runs", "first", updates=100)
    async with opened(desk_of(seller, course=seller.course.root), (80, 24)) as pilot:
        await pilot.press("6")
        await until(pilot, lambda: home_of(pilot).query_one(OptionList).option_count == 1)
        await pilot.press("m")
        await settled(pilot)
        assert "the run first" in str(home_of(pilot).query_one("#talk-about", Static).render())
        await pilot.press("3", "enter")
        await until(pilot, lambda: "3 tokens" in turns(pilot))
        assert "You    3" in turns(pilot) and "Model  100 99 98" in turns(pilot)
        await pilot.press("2", "enter")
        await until(pilot, lambda: "2 tokens" in turns(pilot))


async def test_what_an_ended_chat_has_still_said_does_not_reach_the_next(seller: Seller, opened: Running) -> None:
    async with opened(desk_of(seller, course=seller.course.root), (80, 24)) as pilot:
        await pilot.press("7", "3", "enter")
        await until(pilot, lambda: "3 tokens" in turns(pilot))
        pane = home_of(pilot).query_one(ChatPane)
        ended = pane._talk
        assert ended is not None
        pane.action_begin_again()
        pane.post_message(Printed(ended, "late words"))
        pane.post_message(Silent(ended, UsageError("late error", "")))
        await pilot.press("2", "enter")
        await until(pilot, lambda: "2 tokens" in turns(pilot))
        assert "late" not in turns(pilot)


async def test_an_answer_can_be_stopped_and_what_the_code_does_wrong_is_told(seller: Seller, opened: Running) -> None:
    seller.replace("discount", "import time; time.sleep(0.05); return 1.5")
    async with opened(desk_of(seller, course=seller.course.root), (80, 24)) as pilot:
        await pilot.press("7", "9", "9", "9", "enter")
        await until(pilot, lambda: "1.5 1.5" in turns(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: "tokens/s" in turns(pilot))
        assert "999 tokens" not in turns(pilot)
        assert home_of(pilot).page.name == "chat"
        await pilot.press("ctrl+n")
        await until(pilot, lambda: turns(pilot) == "")
        seller.replace("discount", "raise KeyError('price')")
        await pilot.press("5", "enter")
        await until(pilot, lambda: len(list(home_of(pilot).query(".turn"))) == 3)
        pane = home_of(pilot).query_one(ChatPane)
        await until(pilot, lambda: pane._talk is None)


SLEEPING = "import pathlib, time; pathlib.Path('begun').touch(); time.sleep(0 if percent else 600); return price"
DEAF = """
import pathlib, time
while True:
    try:
        pathlib.Path("begun").touch()
        time.sleep(0.01)
    except BaseException:
        pathlib.Path("heard").touch()
"""


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """In the environment of what the dashboard starts, by which it is counted."""
    mark = f"mark-{uuid.uuid4().hex}"
    monkeypatch.setenv("MARK", mark)
    return mark


only_linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc")


@only_linux
async def test_escape_stops_a_model_that_hangs_before_its_first_word(
    seller: Seller, opened: Running, mark: str
) -> None:
    seller.replace("discount", SLEEPING)
    async with opened(desk_of(seller, course=seller.course.root), (80, 24)) as pilot:
        await pilot.press("7", "3", "enter")
        await until(pilot, (seller.workspace / "begun").exists)
        await pilot.press("escape")
        await until(pilot, lambda: "0 tokens" in turns(pilot))
        assert home_of(pilot).page.name == "chat", "Esc meant the answer"
        assert marked(mark), "the chat goes on"
        await pilot.press("escape")
        assert home_of(pilot).page.name == "course", "without an answer it means the page"
    assert wait_until(lambda: not marked(mark))


@only_linux
async def test_a_second_escape_ends_a_model_that_is_deaf_to_the_first(
    seller: Seller, opened: Running, mark: str
) -> None:
    seller.replace("discount", DEAF)
    async with opened(desk_of(seller, course=seller.course.root), (80, 24)) as pilot:
        await pilot.press("7", "3", "enter")
        await until(pilot, (seller.workspace / "begun").exists)
        await pilot.press("escape")
        await until(pilot, (seller.workspace / "heard").exists)
        await until(pilot, lambda: "Esc again ends it" in turns(pilot))
        assert marked(mark)
        await pilot.press("escape")
        await until(pilot, lambda: "was ended" in turns(pilot))
        await until(pilot, lambda: not marked(mark))
        assert home_of(pilot).page.name == "chat"
        seller.replace("discount", "return price")
        await pilot.press("2", "enter")
        await until(pilot, lambda: "2 tokens" in turns(pilot))


@only_linux
async def test_the_dashboard_is_left_while_a_deaf_model_hangs(seller: Seller, opened: Running, mark: str) -> None:
    seller.replace("discount", DEAF)
    async with opened(desk_of(seller, course=seller.course.root), (80, 24)) as pilot:
        await pilot.press("7", "3", "enter")
        await until(pilot, (seller.workspace / "begun").exists)
        await pilot.press("escape")
        await until(pilot, (seller.workspace / "heard").exists)
        assert marked(mark)
        await pilot.press("ctrl+c")
        await until(pilot, lambda: not pilot.app.is_running)
    assert not marked(mark), "it is gone when the dashboard is"


async def test_what_is_locked_is_said(learner: Learner, opened: Running) -> None:
    async with opened(desk_of(learner), (80, 24)) as pilot:
        await pilot.press("7")
        await settled(pilot)
        assert "has no chat" in str(home_of(pilot).query_one("#talk-about", Static).render())
        assert home_of(pilot).query_one(Input).disabled
        await pilot.press("1")
        assert home_of(pilot).page.name == "course"
