"""Every screen as a picture, at three sizes, driven by keys. Look at a change, then take it with --snapshot-update."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot

from coursecli.check.run import check_lesson
from coursecli.progress.recorded import Recorded
from coursecli.tui.messages import CheckSaid
from coursecli.tui.widgets.rich_view import RichView
from coursecli.watch.messages import Done, Step
from tests.conftest import Learner
from tests.tui.conftest import FAILING, Running, desk_of, home_of, settled, until, write_run

SIZES = [(80, 24), (120, 40), (200, 50)]
SCREENS: list[tuple[str, list[str]]] = [
    ("course", []),
    ("check", ["5"]),
    ("code", ["4"]),
    ("hints", ["3"]),
    ("lesson", ["2"]),
    ("solution", ["8"]),
    ("notes", ["9"]),
    ("runs", ["6"]),
    ("chat", ["7"]),
    ("help", ["escape", "question_mark"]),
    ("palette", ["escape", "ctrl+p"]),
    ("task", ["escape", "down", "enter"]),
    ("locked", ["escape", "left", "left", "down"]),
]
"""Names, and the keys that lead from each screen to the next."""
FOR_INSTRUCTORS = {"solution", "notes"}
Checked = tuple[Learner, Recorded]


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory, started: Path) -> Checked:
    """A learner whose first task shows a known mistake, and what the check made of it."""
    learner = Learner(tmp_path_factory.mktemp("pictures"))
    shutil.copytree(started, learner.workspace)
    learner.write("discount", FAILING)
    assert learner("hint", "discount").code == 0
    write_run(learner.workspace / "runs", "first", updates=2000)
    write_run(learner.workspace / "runs", "longer", updates=600, state="stopped", created="2026-01-01")
    desk = desk_of(learner)
    return learner, Recorded(check_lesson(desk.course, desk.course.lessons[0], learner.workspace))


async def press(pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot, moved=key in ("up", "down", "left", "right"))
    if home_of(pilot).page.name == "runs":
        await until(pilot, lambda: "updates" in home_of(pilot).query_one("#run", RichView).text)
        await settled(pilot)


async def take(pilot: Pilot[None], checked: Checked) -> None:
    """As if the check had just ended."""
    home = home_of(pilot)
    step = Step(home.desk.course.lessons[0])
    home.post_message(CheckSaid(Done(0, step, checked[1], last=True, after_failure=False)))
    await pilot.pause()
    await settled(pilot)


@pytest.fixture
def picture(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(SVGImageExtension)


@pytest.mark.parametrize("instructor", [False, True], ids=["learner", "instructor"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_screens(
    size: tuple[int, int], instructor: bool, checked: Checked, opened: Running, picture: SnapshotAssertion
) -> None:
    async with opened(desk_of(checked[0], instructor=instructor), size) as pilot:
        await take(pilot, checked)
        for name, keys in SCREENS:
            if (name in FOR_INSTRUCTORS) == instructor:
                await press(pilot, *keys)
                assert pilot.app.export_screenshot() == picture(name=name), name


async def test_the_light_theme(checked: Checked, opened: Running, picture: SnapshotAssertion) -> None:
    async with opened(desk_of(checked[0])) as pilot:
        await take(pilot, checked)
        await press(pilot, "5", "t")
        assert pilot.app.export_screenshot() == picture


async def test_without_colour(
    checked: Checked, opened: Running, picture: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(desk_of(checked[0])) as pilot:
        await take(pilot, checked)
        await press(pilot, "5", "tab", "shift+tab")
        assert pilot.app.export_screenshot() == picture


async def test_a_window_that_is_too_small(checked: Checked, opened: Running, picture: SnapshotAssertion) -> None:
    async with opened(desk_of(checked[0]), (50, 12)) as pilot:
        assert pilot.app.export_screenshot() == picture
