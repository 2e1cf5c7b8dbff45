"""`list` and `status`: each state by a sign and a word, whatever the width."""

from dataclasses import replace

import pytest

from coursecli.course.catalogue import load_course
from coursecli.progress.state import CourseState, LessonState, TaskState
from coursecli.render.console import make_console
from coursecli.render.overview import home_view, lesson_list, lesson_words, next_view, status_view, task_words


@pytest.fixture
def course(toy):
    return load_course(toy)


def entry(lesson, **fields) -> LessonState:
    tasks = [TaskState(task, False, None, [], 0, 0) for task in lesson.tasks]
    nothing = LessonState(lesson, [], False, False, False, None, [], 0, tasks)
    return replace(nothing, **fields)


def shown(renderable, width: int = 100) -> list[str]:
    console = make_console(width=width)
    with console.capture() as capture:
        console.print(renderable)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_every_state_of_a_lesson_has_words_and_a_sign_of_its_own(course):
    first, second = course.lessons
    states = {
        "open": entry(first),
        "started, 0 of 4 tasks pass": entry(first, started=True),
        "passed": entry(first, ever_passed=True, passes_now=True),
        "passed, changed since": entry(first, ever_passed=True, passes_now=None),
        "regressed: passed before, fails now": entry(first, ever_passed=True, passes_now=False),
        "skipped": entry(first, skipped=True),
        "locked: needs lesson01": entry(second, locked_by=[first]),
    }
    words = {lesson_words(state)[1] for state in states.values()}
    assert words == set(states)
    assert len({lesson_words(state)[0] for state in states.values()}) == len(states)
    both = entry(first, skipped=True, ever_passed=True, passes_now=True)
    assert lesson_words(both)[1] == "passed", "a skipped lesson that was passed later"


def test_every_state_of_a_task_has_words_and_a_sign_of_its_own(course):
    task = course.lessons[0].tasks[0]
    states = [
        TaskState(task, False, None, [], 0, 0),
        TaskState(task, True, True, [], 1, 0),
        TaskState(task, False, False, [], 1, 0),
        TaskState(task, True, None, ["x changed"], 1, 0),
    ]
    assert len({task_words(state)[0] for state in states}) == 4
    assert len({task_words(state)[1] for state in states}) == 4
    assert task_words(TaskState(task, False, False, [], 1, 0, unwritten=True))[:2] == ("○", "not written yet")
    assert task_words(TaskState(task, False, None, ["x changed"], 1, 0, unwritten=True))[0] == "○"
    assert "before" in task_words(TaskState(task, True, False, [], 2, 0, unwritten=True))[1]
    assert "before" in task_words(TaskState(task, True, False, [], 2, 0))[1]


@pytest.mark.parametrize("width", [40, 63, 64, 100, 200])
def test_the_whole_list_names_everything_on_every_width(course, width):
    first, second = course.lessons
    state = CourseState(
        [entry(first, ever_passed=True, passes_now=False), entry(second, locked_by=[first])],
        first,
        "intro2llm check",
        "Why.",
    )
    lines = shown(lesson_list(course, state, width=width, show_all=True), width)
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for words in (
        "The shop",
        "01 Prices",
        "02 Baskets",
        "regressed",
        "locked: needs lesson01",
        "(basket-total)",
        "(combine)",
    ):
        assert words in text


def test_the_list_shows_the_tasks_of_the_lessons_in_work(course):
    first, second = course.lessons

    def listed(*entries):
        state = CourseState(list(entries), first, "intro2llm check", "Why.")
        return " ".join(shown(lesson_list(course, state, width=100)))

    passed = [TaskState(task, True, True, [], 1, 0) for task in first.tasks]
    started = listed(
        entry(first, started=True, ever_passed=True, passes_now=True, tasks=passed), entry(second, started=True)
    )
    assert all(f"({task.id})" in started for task in second.tasks)
    assert not any(f"({task.id})" in started for task in first.tasks), "done: folded"
    locked = listed(entry(first), entry(second, locked_by=[first]))
    assert not any(f"({task.id})" in locked for task in (*first.tasks, *second.tasks)), "not started: folded"


def test_status_says_what_changed_and_what_to_type(course):
    first, second = course.lessons
    stale = entry(first, ever_passed=True, stale=["prices.py changed since"])
    state = CourseState([stale, entry(second, started=True)], second, "intro2llm check", "Write it.")
    text = " ".join(shown(status_view(course, state, workspace="/home/me/my shop", width=100)))
    assert "Toyshop: 1 of 2 lessons done" in text
    assert "Lesson 02 · Baskets" in text
    assert "lesson01 passed, changed since (prices.py changed since). intro2llm check lesson01" in text
    assert "Next: intro2llm check" in text


def test_the_end_of_the_course(course):
    done = [entry(lesson, ever_passed=True, passes_now=True) for lesson in course.lessons]
    state = CourseState(done, None, "intro2llm list", "Every lesson is done.")
    assert "Toyshop: 2 of 2 lessons done" in shown(home_view(course, state))
    assert shown(next_view(state)) == ["Next: intro2llm list", "      Every lesson is done."]
