"""Runs and the chat: what is on disk and what the learner's model says, as it comes."""

from __future__ import annotations

import json

import pytest
from textual.widgets import Input, OptionList, Static

from coursecli.tui.widgets.chat_pane import ChatPane
from coursecli.tui.widgets.rich_view import RichView
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


async def test_an_answer_can_be_stopped_and_what_the_code_does_wrong_is_told(seller: Seller, opened: Running) -> None:
    seller.replace("discount", "import time; time.sleep(0.05); return 1.5")
    async with opened(desk_of(seller, course=seller.course.root), (80, 24)) as pilot:
        await pilot.press("7", "9", "9", "9", "enter")
        await until(pilot, lambda: "1.5 1.5" in turns(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: "tokens/s" in turns(pilot))
        assert home_of(pilot).page.name == "chat"
        await pilot.press("ctrl+n")
        await until(pilot, lambda: turns(pilot) == "")
        seller.replace("discount", "raise KeyError('price')")
        await pilot.press("5", "enter")
        await until(pilot, lambda: len(list(home_of(pilot).query(".turn"))) == 3)
        pane = home_of(pilot).query_one(ChatPane)
        await until(pilot, lambda: pane._talk is None)


async def test_what_is_locked_is_said(learner: Learner, opened: Running) -> None:
    async with opened(desk_of(learner), (80, 24)) as pilot:
        await pilot.press("7")
        await settled(pilot)
        assert "has no chat" in str(home_of(pilot).query_one("#talk-about", Static).render())
        assert home_of(pilot).query_one(Input).disabled
        await pilot.press("1")
        assert home_of(pilot).page.name == "course"
