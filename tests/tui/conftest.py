"""The dashboard without a terminal: an application on the toy course, and ways to wait until nothing moves any more."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from coursecli.course.catalogue import load_course
from coursecli.course.workspace import open_workspace
from coursecli.tui.app import Dashboard
from coursecli.tui.desk import Desk
from coursecli.tui.screens.frame import SETTLE_SECONDS
from coursecli.tui.screens.home import Home
from coursecli.tui.widgets.rich_view import RichView
from tests.conftest import TOY, Learner

PATIENCE_SECONDS = 60.0
"""When something that should happen has failed to for certain."""
FAILING = "return price * percent / 100"
RIGHT = "if not 0 <= percent <= 100:\n    raise ValueError(percent)\nreturn price * (1 - percent / 100)"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """An async test runs in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's settings nor the user's terminal reach the pictures."""
    monkeypatch.setenv("INTRO2LLM_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("INTRO2LLM_COLD", "1")  # no process is left behind
    monkeypatch.setattr(Input, "_toggle_cursor", lambda self: None)  # a picture does not blink
    for name in ("NO_COLOR", "COLORFGBG", "VISUAL", "EDITOR", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)


def desk_of(learner: Learner, *, course: Path = TOY, instructor: bool = False) -> Desk:
    return Desk(load_course(course), open_workspace(learner.workspace), instructor=instructor)


Running = Callable[..., AbstractAsyncContextManager[Pilot[None]]]


@pytest.fixture
def opened() -> Running:
    """`async with opened(desk, size=(80, 24)) as pilot`: the dashboard of this desk, when it has come to rest."""

    @asynccontextmanager
    async def run(desk: Desk, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Pilot[None]]:
        app = Dashboard(desk, dark=True)
        async with app.run_test(size=size) as pilot:
            await settled(pilot, moved=True)
            yield pilot

    return run


async def settled(pilot: Pilot[None], *, moved: bool = False) -> None:
    """Until the progress is read, no check runs, and every pane shows what it is to show.

    Args:
        moved: the cursor was moved, so that the panes follow after a moment.
    """
    if moved:
        await pilot.pause(1.5 * SETTLE_SECONDS)
    app = pilot.app
    await until(pilot, lambda: home_of(pilot).state is not None and home_of(pilot).checks.running is None)
    await until(pilot, lambda: all(worker.is_finished for worker in app.workers))
    await pilot.pause()
    await until(pilot, lambda: all(view.at_rest for screen in app.screen_stack for view in screen.query(RichView)))


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    for _ in range(int(PATIENCE_SECONDS / 0.02)):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError(f"it has not happened; the last line said: {said(pilot)}")


def home_of(pilot: Pilot[None]) -> Home:
    home = pilot.app.home  # type: ignore[attr-defined]
    assert isinstance(home, Home)
    return home


def shown(pilot: Pilot[None], pane: str) -> str:
    """What a pane shows, with single spaces."""
    return " ".join(home_of(pilot).query_one(f"#{pane}", RichView).text.split())


def said(pilot: Pilot[None]) -> str:
    """The line that says what goes on."""
    return str(home_of(pilot).query_one("#doing").render())


def write_run(runs: Path, name: str, *, updates: int, state: str = "finished", created: str = "2026-01-02") -> Path:
    """A run on disk, with a curve that any machine draws alike."""
    folder = runs / name
    folder.mkdir(parents=True)
    info = {"kind": "pretrain", "created": f"{created}T03:04:05", "preset": "nano", "data": "storyworld", "seed": 0}
    info |= {"steps": 2000, "step": updates, "parameters": 1234567, "floor": 0.71, "state": state, "device": "cpu"}
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as stream:
        for step in range(10, updates + 1, 10):
            bits = round(0.8 + 3 * math.exp(-step / 200), 4)
            stream.write(json.dumps({"step": step, "loss": bits * 2, "bits_per_byte": bits}) + "\n")
            if step % 500 == 0:
                stream.write(
                    json.dumps({"step": step, "eval_loss": bits * 2.1, "eval_bits_per_byte": bits * 1.05}) + "\n"
                )
    sample = {"step": updates, "prompt": "Once upon a time", "text": " there was a cat who liked [red]mice[/red]."}
    (folder / "samples.jsonl").write_text(json.dumps(sample) + "\n", encoding="utf-8")
    return folder
