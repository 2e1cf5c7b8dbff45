"""What the attempts mean: unlocking, passing now and ever, staleness, regression, the next command."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import msgspec
import pytest

from coursecli.check.results import CheckResult, Problem
from coursecli.course.catalogue import Course, Lesson
from coursecli.course.workspace import Workspace
from coursecli.progress.evidence import gather
from coursecli.progress.state import CourseState, LessonState, course_state, unlocked_features
from coursecli.progress.store import Store

Make = Callable[..., CheckResult]


class Learner:
    """Somebody at work in a workspace."""

    def __init__(self, course: Course, workspace: Workspace, store: Store, make: Make) -> None:
        self.course, self.workspace, self.store, self.make = course, workspace, store, make

    def check(self, lesson: int, **how: object) -> None:
        self.record(lesson, self.make(self[lesson], **how))

    def record(self, lesson: int, result: CheckResult) -> None:
        self.store.record_attempt(result, gather(self.course, self[lesson], self.workspace.package))

    def edit(self, name: str) -> None:
        with (self.workspace.package / name).open("a") as stream:
            stream.write("# edited\n")

    def __getitem__(self, lesson: int) -> Lesson:
        return self.course.lessons[lesson - 1]

    @property
    def state(self) -> CourseState:
        return course_state(self.course, self.workspace, self.store)

    def lesson(self, lesson: int) -> LessonState:
        return self.state.lessons[lesson - 1]


@pytest.fixture
def learner(course: Course, workspace: Workspace, make_result: Make) -> Iterator[Learner]:
    with Store.open(workspace.database, create=True) as store:
        store._connection.execute("PRAGMA synchronous = OFF")  # these tests are about meaning, not about power cuts
        yield Learner(course, workspace, store, make_result)


def test_a_fresh_workspace_opens_only_the_first_lesson(learner: Learner) -> None:
    state = learner.state
    assert [each.open for each in state.lessons] == [True, False, False]
    assert [each.id for each in state.lessons[1].locked_by] == ["lesson01_counting"]
    assert not any(each.started or each.ever_passed or each.regressed for each in state.lessons)
    assert all(each.passes_now is None and each.stale == [] for each in state.lessons)
    assert state.current == learner[1]
    assert (state.next_command, state.next_reason) == ("intro2llm start lesson01", "Next is lesson01, Counting.")


def test_starting_makes_a_lesson_current_and_asks_for_a_check(learner: Learner) -> None:
    learner.store.record_start(learner[1].id)
    assert learner.state.current == learner[1]
    assert learner.state.next_command == "intro2llm check"
    assert learner.state.next_reason == "Write Count, in count.py, then check it."


def test_passing_a_lesson_opens_the_next_and_its_features(learner: Learner) -> None:
    learner.check(1)
    state = learner.state
    assert state.lessons[0].ever_passed and state.lessons[0].passes_now is True
    assert [each.open for each in state.lessons] == [True, True, False]
    assert state.next_command == "intro2llm start lesson02"
    assert unlocked_features(state) == {"abacus"}


def test_a_stub_is_to_be_written_not_mended(learner: Learner) -> None:
    learner.check(1, count="not_written", tally="failed")
    assert [task.passes_now for task in learner.lesson(1).tasks] == [False, False]
    assert [task.unwritten for task in learner.lesson(1).tasks] == [True, False]
    assert learner.state.next_reason == "Write Count, in count.py, then check it."
    learner.edit("tally.py")
    learner.edit("count.py")
    assert [task.passes_now for task in learner.lesson(1).tasks] == [None, None]
    assert learner.state.next_reason == "Write Count, in count.py, then check it."
    assert [task.unwritten for task in learner.lesson(1).tasks] == [True, False]


def test_a_failing_check_is_known_until_the_code_changes(learner: Learner) -> None:
    learner.check(1, tally="failed")
    lesson = learner.lesson(1)
    assert lesson.passes_now is False and not lesson.ever_passed and not lesson.regressed
    assert [task.passes_now for task in lesson.tasks] == [True, False]
    assert "Tally, in tally.py does not pass yet" in learner.state.next_reason
    assert learner.state.next_reason.endswith("intro2llm hint tally")
    learner.edit("tally.py")
    assert learner.lesson(1).passes_now is None
    assert [task.passes_now for task in learner.lesson(1).tasks] == [True, None]


def test_a_pass_goes_stale_with_the_reason_in_words(learner: Learner) -> None:
    learner.check(1)
    learner.edit("tally.py")
    lesson = learner.lesson(1)
    assert lesson.ever_passed and lesson.passes_now is None and not lesson.regressed
    assert lesson.stale == ["tally.py changed since"]
    assert learner.lesson(2).open, "what was once opened stays open"


def test_a_deleted_file_changed_tests_and_another_environment_are_reasons_too(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner.check(1)
    (learner.workspace.package / "count.py").unlink()
    (learner[1].folder / "testcases" / "basic_test.py").write_text("def test_more(): ...\n")
    monkeypatch.setattr("coursecli.progress.evidence.installed_versions", lambda names: {"msgspec": "0.0"})
    assert learner.lesson(1).stale == [
        "count.py is gone",
        "the lesson's tests changed since",
        "Python or an installed package changed since",
    ]


def test_when_all_is_done_and_something_is_stale_the_next_command_checks_it(learner: Learner) -> None:
    for lesson in (1, 2, 3):
        learner.check(lesson)
    assert learner.state.next_command == "intro2llm list"
    learner.edit("tally.py")
    state = learner.state
    assert state.current is None
    assert state.next_command == "intro2llm check lesson01"
    assert "tally.py changed since" in state.next_reason


def test_an_edit_to_a_needed_lesson_makes_the_later_one_stale(learner: Learner) -> None:
    for lesson in (1, 2, 3):
        learner.check(lesson)
    learner.edit("count.py")
    assert [learner.lesson(n).stale for n in (1, 2, 3)] == [["count.py changed since"]] * 3
    learner.check(1)
    assert [learner.lesson(n).passes_now for n in (1, 2, 3)] == [True, None, None]


def test_a_lesson_that_a_later_edit_breaks_is_regressed(learner: Learner) -> None:
    learner.check(1)
    learner.edit("count.py")
    learner.check(1, count="failed")
    lesson = learner.lesson(1)
    assert lesson.ever_passed and lesson.passes_now is False and lesson.regressed
    assert learner.lesson(2).open and learner.state.current == learner[2]
    learner.edit("count.py")
    learner.check(1)
    assert not learner.lesson(1).regressed and learner.lesson(1).passes_now is True


def test_a_regressed_lesson_is_the_next_step_when_all_are_done(learner: Learner) -> None:
    for lesson in (1, 2, 3):
        learner.check(lesson)
    assert (learner.state.next_command, learner.state.current) == ("intro2llm list", None)
    learner.check(2, plus="failed")
    assert learner.state.next_command == "intro2llm check lesson02"


def test_tasks_checked_one_by_one_add_up_to_a_lesson(learner: Learner) -> None:
    learner.check(1, only=["count"])
    assert not learner.lesson(1).ever_passed and learner.lesson(1).passes_now is None
    learner.edit("tally.py")  # does not touch what `count` rests on
    learner.check(1, only=["tally"])
    assert learner.lesson(1).ever_passed and learner.lesson(1).passes_now is True


def test_a_task_that_went_stale_before_the_last_one_passed_does_not_count(learner: Learner) -> None:
    learner.check(1, only=["count"])
    learner.edit("count.py")
    learner.check(1, only=["tally"])
    assert not learner.lesson(1).ever_passed
    assert [task.passes_now for task in learner.lesson(1).tasks] == [None, True]
    assert learner.lesson(1).tasks[0].stale == ["count.py changed since"]
    assert learner.state.next_reason == "Count, in count.py passed before; the code or the course has changed since."


def test_the_next_task_is_the_first_in_the_order_of_the_lesson_not_the_first_that_failed(learner: Learner) -> None:
    learner.check(1, only=["tally"], tally="failed")
    assert learner.state.next_reason.startswith("Write Count")
    learner.check(1, only=["count"])
    assert learner.state.next_reason.startswith("Tally")


def test_a_pass_by_tasks_is_remembered_when_they_break_later(learner: Learner) -> None:
    learner.check(1, only=["count"])
    learner.check(1, only=["tally"])
    learner.edit("count.py")
    learner.check(1, only=["count"], count="failed")
    assert learner.lesson(1).regressed


def test_a_task_rests_on_the_files_of_the_tasks_that_it_needs(learner: Learner) -> None:
    learner.check(1)
    learner.check(2, only=["plus"])
    learner.check(2, only=["total"])
    learner.edit("add/total.py")
    assert [task.passes_now for task in learner.lesson(2).tasks] == [True, None]
    learner.check(2, only=["total"])
    learner.edit("add/plus.py")
    assert [task.passes_now for task in learner.lesson(2).tasks] == [None, None]


def test_a_test_that_did_not_get_its_turn_decides_nothing(learner: Learner) -> None:
    learner.check(1, only=["tally"])
    learner.check(1, count="failed", tally="blocked")
    count, tally = learner.lesson(1).tasks
    assert (count.passes_now, tally.passes_now) == (False, True)
    assert learner.lesson(1).passes_now is False


def test_a_problem_fails_the_lesson_though_no_task_is_decided(learner: Learner) -> None:
    learner.check(1)
    broken = learner.make(learner[1], count="not_run", tally="not_run")
    learner.record(1, msgspec.structs.replace(broken, problem=Problem(kind="import", summary="no such module")))
    lesson = learner.lesson(1)
    assert lesson.passes_now is False and lesson.regressed
    assert [task.passes_now for task in lesson.tasks] == [True, True]
    learner.check(1)
    assert learner.lesson(1).passes_now is True


def test_tasks_that_pass_one_by_one_outweigh_an_earlier_failure_of_the_whole(learner: Learner) -> None:
    learner.check(1, only=["tally"])
    learner.check(1, tally="not_run")
    assert [task.passes_now for task in learner.lesson(1).tasks] == [True, True]
    assert learner.lesson(1).passes_now is False, "the last look at the whole did not pass, and nothing has changed"
    learner.check(1, only=["tally"])
    assert learner.lesson(1).passes_now is True and learner.lesson(1).ever_passed


def test_a_task_that_failed_after_it_passed_does_not_count(learner: Learner) -> None:
    """A test that passes and fails on the same files."""
    learner.check(1, only=["count"])
    learner.check(1, only=["count"], count="failed")
    learner.check(1, only=["tally"])
    assert not learner.lesson(1).ever_passed and learner.lesson(1).passes_now is False


def test_a_locked_lesson_is_not_the_current_one_though_it_was_started(learner: Learner) -> None:
    """It was started when everything was unlocked."""
    learner.store.record_start(learner[3].id)
    assert learner.lesson(3).started and not learner.lesson(3).open
    assert learner.state.current == learner[1]


def test_a_skipped_lesson_opens_the_next_and_is_not_passed(learner: Learner) -> None:
    learner.store.record_skip(learner[1].id)
    lesson = learner.lesson(1)
    assert lesson.skipped and lesson.done and not lesson.ever_passed
    assert learner.lesson(2).open and learner.state.current == learner[2]
    assert unlocked_features(learner.state) == {"abacus"}


@pytest.mark.parametrize("how", ["setting", "workspace"])
def test_unlock_all_opens_everything(learner: Learner, how: str) -> None:
    if how == "setting":
        learner.store.set_setting("unlock", "all")
    else:
        settings = msgspec.structs.replace(learner.workspace.settings, unlock_all=True)
        learner.workspace = Workspace(learner.workspace.root, settings)
    assert all(each.open for each in learner.state.lessons)
    learner.store.record_start(learner[3].id)
    assert learner.state.current == learner[3], "what has been started comes before what has not"


def test_hints_and_attempts_are_counted_by_task(learner: Learner) -> None:
    learner.store.record_hint("count", 1)
    learner.store.record_hint("count", 2)
    learner.check(1, only=["count"], count="failed")
    learner.check(1)
    count, tally = learner.lesson(1).tasks
    assert (count.hints, tally.hints) == (2, 0)
    assert (count.attempts, tally.attempts) == (2, 1)
    assert count.ever_passed and learner.lesson(1).attempts == 2


@pytest.mark.parametrize("seed", range(5))
def test_the_decisive_attempts_say_what_all_of_them_say(
    learner: Learner, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(25):
        if chance.random() < 0.4:
            learner.edit(chance.choice(["count.py", "tally.py"]))
        tasks = ["count", "tally"]
        only = None if chance.random() < 0.4 else [chance.choice(tasks)]
        outcomes = {task: chance.choice(["passed", "passed", "passed", "failed", "blocked"]) for task in only or tasks}
        learner.check(1, only=only, **outcomes)
        with monkeypatch.context() as patch:
            few, state = len(learner.store.decisive_attempts(learner[1].id)), learner.state
            patch.setattr(Store, "decisive_attempts", Store.attempts)
            assert learner.state == state
    assert few <= 6 or not state.lessons[0].ever_passed
    assert few < 25, "a lesson that never passes as a whole would prove nothing"


def test_looking_at_the_state_reads_no_more_than_it_must(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr("coursecli.files.sha256_file", lambda path: read.append(path.name) or "hash")
    assert learner.state and read == []
    learner.check(1)
    learner.check(2)
    read.clear()
    assert learner.state
    package_files = [name for name in read if name not in {"lesson.yaml", "basic_test.py", "advanced_test.py"}]
    assert sorted(package_files) == ["count.py", "plus.py", "tally.py", "total.py"], "each once"
