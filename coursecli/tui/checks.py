"""`Checks`: what is checked from the dashboard, what came of it, and the line that says so. `Checker` does the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.text import Text

from coursecli.course.suites import read_suites
from coursecli.errors import CourseError
from coursecli.render.console import THEME, clean
from coursecli.render.overview import regression_words
from coursecli.render.progress import CheckWords
from coursecli.tui.desk import Desk, Target
from coursecli.tui.messages import CheckSaid
from coursecli.tui.views import Verdict
from coursecli.warm.background import Background, wanted
from coursecli.watch.checker import Checker
from coursecli.watch.messages import Began, Done, Failed, Message, Rests, Step, Told, steps_for

if TYPE_CHECKING:
    from coursecli.progress.state import CourseState, LessonState


class Checks:
    """Posts `CheckSaid`, which whoever gets it hands to `hear`.

    Args:
        verdicts: where they are put, by lesson.
    """

    def __init__(self, desk: Desk, verdicts: dict[str, Verdict], post: Callable[[CheckSaid], object]) -> None:
        self._checker = Checker(
            desk.course,
            desk.workspace,
            Background(desk.course, desk.workspace.root) if wanted() else None,
            lambda message: post(CheckSaid(message)),
            looks_again=not desk.instructor,
        )
        self._instructor = desk.instructor
        self._verdicts = verdicts
        self._before: CourseState | None = None
        """The progress when the last check was asked for."""
        self._words: CheckWords | None = None
        self.watching = True
        """Whether saves are checked, and passes that are in doubt."""
        self.target: Target | None = None
        """What was checked last, on demand or after a save."""

    def start(self) -> None:
        self._checker.start()
        self._checker.warm_up()

    def close(self) -> None:
        """End everything, processes included."""
        self._checker.close()

    def cancel(self) -> bool:
        """Stop what runs. Returns whether there was anything that had been asked for."""
        return self._checker.cancel()

    @property
    def running(self) -> Step | None:
        return self._checker.running

    def check(self, target: Target, state: CourseState) -> bool:
        """Check this. Returns whether that can be done."""
        if not _is_there(state.lesson(target.lesson)):
            return False
        tasks = frozenset({target.task.id}) if target.task else None
        self._order(target, state, [Step(target.lesson, tasks)])
        return True

    def check_saved(self, files: set[str], target: Target | None, state: CourseState | None) -> bool:
        """Check what these files can change in the lesson that was checked last, else in `target`'s.

        Returns whether anything is checked.
        """
        if not self.watching:
            return False
        target = self.target or target
        if target is not None and state is not None and _is_there(state.lesson(target.lesson)):
            self._order(target, state, steps_for(target.lesson, files))
            return True
        self._look_again()
        return False

    def watch(self, wanted: bool) -> None:
        self.watching = wanted
        self._look_again()

    def _order(self, target: Target, state: CourseState, steps: list[Step]) -> None:
        self.target, self._before = target, state
        self._checker.order(steps)

    def _look_again(self) -> None:
        self._checker.look_again(self.watching and not self._instructor)

    def hear(self, message: Message) -> Text | None:
        """Take note. Returns the line that says what goes on, when there is something to say.

        Raises:
            CourseError: the check could not be made.
        """
        if message.order != self._checker.current:  # of a check that a newer one has ended
            return None
        match message:
            case Began(step=step):
                self._words = CheckWords(_title(step), read_suites(step.lesson))
                return self._words.line
            case Told(event=event) if self._words is not None:
                self._words(event)
                return self._words.line
            case Done():
                return self._done(message)
            case Failed(error=error):
                raise error
            case Rests(stopped=True):
                return Text("Stopped. Your progress is as it was.")
        return None

    def _done(self, done: Done) -> Text | None:
        step, result = done.step, done.recorded.result
        if step.again is not None:
            self._verdicts[step.lesson.id] = Verdict(Target(step.lesson), done.recorded)
            return None if result.passed else Text(f"✗ {regression_words(step.again)}", "bold")
        shown_already, shown_soon = done.after_failure, result.passed and not done.last
        if not (shown_already or shown_soon):
            self._verdicts[step.lesson.id] = Verdict(Target(step.lesson, step.task), done.recorded, self._before)
        if result.passed:
            return Text.assemble(("✓ ", THEME.styles["good"]), clean(f"{_title(step)}: passed"))
        passed = sum(test.outcome == "passed" for test in result.tests)
        where = f": {passed} of {len(result.tests)} tests pass" if result.tests else ""
        return Text.assemble(("✗ ", THEME.styles["bad"]), clean(f"{_title(step)}{where}"))


def trouble(error: CourseError) -> Text:
    """The line for what could not be done."""
    return clean(f"✗ {error.message} {error.remedy}")


def _is_there(entry: LessonState) -> bool:
    """Whether the lesson's files are in the workspace."""
    return entry.started or entry.skipped


def _title(step: Step) -> str:
    if step.tasks is None:
        return step.lesson.heading
    return ", ".join(task.title for task in step.lesson.tasks if task.id in step.tasks)
