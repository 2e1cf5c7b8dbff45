"""The course, hints, starting a lesson: what keys do, what is written, and what is not."""

from __future__ import annotations

from textual.pilot import Pilot

from coursecli.progress.store import Store
from coursecli.tui.widgets.course_tree import CourseTree
from coursecli.tui.widgets.key_line import KeyLine
from tests.conftest import Learner
from tests.tui.conftest import RIGHT, Running, desk_of, home_of, said, settled, shown, until


def labels(pilot: Pilot[None]) -> list[str]:
    tree = home_of(pilot).query_one(CourseTree)
    return [" ".join(str(node.label).split()) for node in tree._branches()]


async def test_each_state_is_a_sign_and_a_word(learner: Learner, opened: Running) -> None:
    learner.write("discount", RIGHT)
    assert learner("check", "discount").code == 0
    async with opened(desk_of(learner), (80, 24)) as pilot:
        assert labels(pilot) == [
            "The shop 0 of 2 done",
            "▸ 01 Prices started, 1 of 4 tasks pass",
            "✓ A discount passed",
            "○ The average price to write",
            "○ Putting things in to write",
            "○ The total to write",
            "· 02 Baskets locked: needs lesson01",
            "· The cheapest item locked",
            "· Two baskets in one locked",
        ]


async def test_looking_writes_nothing(learner: Learner, opened: Running) -> None:
    def files() -> dict[str, tuple[int, bytes]]:
        found = (path for path in learner.workspace.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}

    before = files()
    async with opened(desk_of(learner, instructor=True), (80, 24)) as pilot:
        for key in ("2", "3", "4", "5", "6", "7", "escape", "8", "9", "1", "down", "enter", "question_mark", "escape"):
            await pilot.press(key)
            await settled(pilot)
    assert files() == before


async def test_hints_come_one_at_a_time_and_are_recorded(learner: Learner, opened: Running) -> None:
    async with opened(desk_of(learner)) as pilot:
        await pilot.press("3")
        await settled(pilot)
        assert "Hint 1 of 3: not seen yet" in shown(pilot, "reader")
        for level in (1, 2, 3, 3):
            await pilot.press("h")
            await until(pilot, lambda level=level: f"Hint {level} of 3 " in shown(pilot, "reader"))
            await settled(pilot)
            with Store.open(learner.workspace / ".intro2llm" / "progress.db", read_only=True) as store:
                assert store.hint_level("discount") == level
        assert "That was the last hint" in shown(pilot, "reader")


async def test_instructors_see_every_hint_and_none_is_recorded(learner: Learner, opened: Running) -> None:
    async with opened(desk_of(learner, instructor=True)) as pilot:
        await pilot.press("h")
        await settled(pilot)
        assert "Hint 3 of 3" in shown(pilot, "reader") and "takes percent for a fraction" in shown(pilot, "reader")
        await pilot.press("9")
        await settled(pilot)
        assert "No attempts yet" in shown(pilot, "reader")
        await pilot.press("8")
        await settled(pilot)
        assert "return price * (1 - percent / 100)" in shown(pilot, "reader")
    with Store.open(learner.workspace / ".intro2llm" / "progress.db", read_only=True) as store:
        assert store.hint_level("discount") == 0


async def test_a_pass_opens_the_next_lesson_and_s_starts_it(learner: Learner, opened: Running) -> None:
    learner.solve("1")
    async with opened(desk_of(learner)) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: "passed" in said(pilot))
        await settled(pilot)
        assert "Your shop can print a receipt." in shown(pilot, "verdict")
        assert "Lesson 02 · Baskets" in shown(pilot, "verdict")
        lesson = home_of(pilot).desk.course.lessons[1]
        assert not learner.workspace.joinpath("lessons", f"{lesson.id}.md").exists()
        tree = home_of(pilot).query_one(CourseTree)
        await pilot.press("1", *["down"] * 5)
        await settled(pilot, moved=True)
        assert tree.target is not None and tree.target.lesson == lesson
        await pilot.press("s")
        await until(pilot, lambda: "is started" in said(pilot))
        assert learner.workspace.joinpath("lessons", f"{lesson.id}.md").exists()
    assert "started, 0 of 2 tasks" in learner("list").text


async def test_a_lesson_that_is_not_started_is_not_checked(learner: Learner, opened: Running) -> None:
    async with opened(desk_of(learner)) as pilot:
        await pilot.press("left", "down")
        await settled(pilot, moved=True)
        await pilot.press("c")
        await pilot.pause()
        assert "has not been started" in said(pilot)
        assert home_of(pilot).checks.running is None


async def test_the_palette_goes_to_a_task_by_its_name(learner: Learner, opened: Running) -> None:
    async with opened(desk_of(learner), (80, 24)) as pilot:
        await pilot.press("ctrl+p")
        await pilot.pause(0.3)
        await pilot.press(*"Go to The total")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 2)
        await settled(pilot, moved=True)
        assert home_of(pilot).page.name == "lesson"
        assert shown(pilot, "reader").startswith("The total Every item costs")


async def test_the_mouse_chooses_pages_and_lessons(learner: Learner, opened: Running) -> None:
    async with opened(desk_of(learner), (80, 24)) as pilot:
        await pilot.click("#tab-code")
        await settled(pilot)
        assert "toyshop/prices.py" in shown(pilot, "reader")
        await pilot.click("#tab-course")
        await pilot.click("#tree", offset=(12, 3))  # a task
        await settled(pilot)
        assert home_of(pilot).page.name == "lesson" and "25 % off" in shown(pilot, "reader")


async def test_the_keys_below_are_those_that_mean_something_and_can_be_clicked(
    learner: Learner, opened: Running
) -> None:
    async with opened(desk_of(learner)) as pilot:
        line = home_of(pilot).query_one(KeyLine)
        assert str(line.render()) == " c Check  h Hint  e Edit  ? Help  q Quit "
        await pilot.click(line, offset=(str(line.render()).index("Hint"), 0))
        await until(pilot, lambda: home_of(pilot).page.name == "hints")
        await pilot.press("6")
        await until(pilot, lambda: "Talk to it" in str(line.render()) and "Hint" not in str(line.render()))


async def test_light_and_dark_are_remembered(learner: Learner, opened: Running) -> None:
    from coursecli.tui.themes import prefers_dark

    assert prefers_dark()
    async with opened(desk_of(learner)) as pilot:
        await pilot.press("t")
    assert not prefers_dark()
