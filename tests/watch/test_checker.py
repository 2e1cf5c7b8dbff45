"""`Checker`: the thread behind `watch` and the dashboard. What it posts, what it records, and when it looks again."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from coursecli.course.catalogue import Course, Lesson, load_course
from coursecli.course.workspace import open_workspace
from coursecli.progress.recorded import doubtful
from coursecli.progress.state import course_state
from coursecli.progress.store import Store
from coursecli.watch import checker
from coursecli.watch.checker import Checker
from coursecli.watch.messages import Began, Done, Message, Rests, Step, Told, steps_for
from tests.conftest import TOY, Learner

HANGS = "\n\nwhile True:\n    pass\n"
PATIENCE_SECONDS = 60.0


@dataclass
class Ears:
    """A checker of the learner's workspace, and what it posts."""

    learner: Learner
    checker: Checker
    course: Course
    heard: queue.Queue[Message]

    def next(self, *kinds: type[Message]) -> Message:
        while True:
            message = self.heard.get(timeout=PATIENCE_SECONDS)
            if isinstance(message, kinds):
                return message

    def done(self) -> Done:
        message = self.next(Done)
        assert isinstance(message, Done)
        return message

    def silence(self, seconds: float) -> bool:
        try:
            return not self.heard.get(timeout=seconds)
        except queue.Empty:
            return True

    @property
    def first(self) -> Lesson:
        return self.course.lessons[0]

    def attempts(self) -> list[tuple[str, bool]]:
        with Store.open(self.learner.workspace / ".intro2llm" / "progress.db", read_only=True) as store:
            return [(attempt.lesson[:8], attempt.passed) for attempt in store.attempts()]

    def append(self, text: str) -> None:
        with self.learner.file("prices.py").open("a", encoding="utf-8") as file:
            file.write(text)


@pytest.fixture
def ears(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ears]:
    """With an idle time in which a test does not wait long."""
    monkeypatch.setattr(checker, "IDLE_SECONDS", 0.2)
    monkeypatch.setenv("INTRO2LLM_CONFIG_DIR", str(learner.folder / "config"))
    course, heard = load_course(TOY), queue.Queue[Message]()
    made = Checker(course, open_workspace(learner.workspace), None, heard.put)
    yield Ears(learner, made, course, heard)
    made.close()


def passed_before(learner: Learner) -> None:
    learner.solve("1")
    assert learner("check").code == 0


def test_an_order_is_told_from_its_beginning_to_its_rest(ears: Ears) -> None:
    ears.checker.start()
    steps = steps_for(ears.first, {"prices.py"})
    assert [step.tasks for step in steps] == [frozenset({"discount", "average"}), None]
    ears.checker.order(steps)
    kinds = [type(ears.next(Began, Done, Rests)) for _ in range(5)]
    assert kinds == [Began, Done, Began, Done, Rests]
    assert ears.attempts() == [("lesson01", False)] * 2


def test_the_rest_of_an_order_knows_that_its_beginning_failed(ears: Ears) -> None:
    ears.checker.start()
    ears.checker.order(steps_for(ears.first, {"prices.py"}))
    first, rest = ears.done(), ears.done()
    assert (first.last, first.after_failure) == (False, False)
    assert (rest.last, rest.after_failure) == (True, True)


def test_a_new_order_ends_what_runs_and_nothing_of_it_is_recorded(ears: Ears) -> None:
    ears.learner.write("discount", "while True:\n    pass")
    ears.checker.start()
    ears.checker.order([Step(ears.first, frozenset({"discount"}))])
    ears.next(Told)
    ears.checker.order([Step(ears.first, frozenset({"average"}))])
    done = ears.done()
    assert done.order == ears.checker.current == 2 and done.step.tasks == {"average"}
    assert len(ears.attempts()) == 1


def test_what_is_cancelled_rests_as_stopped(ears: Ears) -> None:
    ears.learner.write("discount", "while True:\n    pass")
    ears.checker.start()
    ears.checker.order([Step(ears.first)])
    ears.next(Told)
    assert ears.checker.cancel()
    rests = ears.next(Rests, Done)
    assert isinstance(rests, Rests) and rests.stopped
    assert not ears.checker.cancel()
    assert ears.attempts() == []


def test_a_pass_in_doubt_is_looked_at_when_there_is_nothing_to_do(ears: Ears) -> None:
    passed_before(ears.learner)
    ears.append("# an edit\n")
    ears.checker.start()
    message = ears.heard.get(timeout=PATIENCE_SECONDS)
    assert isinstance(message, Done) and message.step.again and message.recorded.result.passed, "nothing else is said"
    assert ears.attempts() == [("lesson01", True)] * 2
    assert ears.silence(1.0)


def test_a_pass_that_stays_in_doubt_is_not_looked_at_again_and_again(ears: Ears, monkeypatch) -> None:
    passed_before(ears.learner)
    ears.append("# an edit\n")
    monkeypatch.setattr(Store, "record_attempt", lambda *_: None)  # so it stays in doubt
    ears.checker.start()
    assert ears.done().step.again
    assert ears.silence(1.0)
    ears.append("# another\n")
    ears.checker.look_again(True)
    assert ears.done().step.again


def test_an_order_ends_such_a_look_at_once(ears: Ears) -> None:
    passed_before(ears.learner)
    ears.append(HANGS)
    ears.checker.start()
    assert ears.silence(1.0), "it hangs, and nothing is said of it"
    assert ears.checker.running is not None and ears.checker.running.again
    ears.append("\n")
    file = ears.learner.file("prices.py")
    file.write_text(file.read_text(encoding="utf-8").replace(HANGS, ""), "utf-8")
    ears.checker.order([Step(ears.first)])
    done = ears.done()
    assert done.step.again is None and done.recorded.result.passed
    assert ears.attempts() == [("lesson01", True)] * 2


def test_whoever_wants_no_such_looks_gets_none(ears: Ears) -> None:
    passed_before(ears.learner)
    ears.append("# an edit\n")
    ears.checker.look_again(False)
    ears.checker.start()
    assert ears.silence(1.0)
    ears.checker.look_again(True)
    assert ears.done().step.again


def test_what_builds_on_a_lesson_that_fails_comes_after_it(learner: Learner) -> None:
    def in_doubt() -> list[str]:
        workspace = open_workspace(learner.workspace)
        with Store.open(workspace.database, read_only=True) as store:
            return [entry.lesson.short for entry in doubtful(course, course_state(course, workspace, store))]

    course = load_course(TOY)
    passed_before(learner)
    assert learner("start", "02").code == 0
    learner.solve("2")
    assert learner("check", "02").code == 0
    assert in_doubt() == []
    with learner.file("prices.py").open("a", encoding="utf-8") as file:
        file.write("\n\ndef discount(price, percent):\n    return 0.0\n")
    assert in_doubt() == ["lesson01", "lesson02"]
    assert learner("check", "01").code == 1
    assert in_doubt() == []
