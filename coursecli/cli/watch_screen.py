"""What `watch` writes on the terminal: the verdict on what was saved, what is being checked, the keys there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text

from coursecli.check.results import CheckResult
from coursecli.cli import checking
from coursecli.course.suites import read_suites
from coursecli.render.console import clean
from coursecli.render.progress import CheckProgress

if TYPE_CHECKING:
    from coursecli.check.events import Event
    from coursecli.cli.context import Context
    from coursecli.course.catalogue import Lesson
    from coursecli.progress.state import CourseState
    from coursecli.watch.messages import Done, Step

KEYS = {"h": "hint", "n": "next", "l": "list", "a": "all", "r": "reset", "o": "open", "q": "quit"}
CLEAR = "\x1b[H\x1b[2J"


class WatchScreen:
    """Each verdict begins a new screen in a terminal; elsewhere one comes after the other.

    Args:
        keys: whether somebody can press some.
    """

    def __init__(self, context: Context, *, keys: bool) -> None:
        self._context = context
        self._console = context.console
        self._keys = keys
        self._progress: CheckProgress | None = None
        self._drawn: list[Callable[[], object]] = []
        """What has been written since the screen was begun."""
        self._saved = ""
        """Which files the checks are about, in words."""
        self._passed: list[Text] = []
        """The tasks in these files, when they have passed."""
        self.shown: CheckResult | None = None
        """The result on the screen."""

    def say(self, words: str | Text, style: str = "") -> None:
        self.draw(partial(self._console.print, clean(words, style) if isinstance(words, str) else words))

    def draw(self, act: Callable[[], object]) -> None:
        """Write something, now and when the screen is drawn again."""
        act()
        self.remember(act)

    def remember(self, act: Callable[[], object]) -> None:
        """How to write again what has been written."""
        self._drawn.append(act)

    def draw_again(self) -> None:
        """For the width that the terminal has now."""
        if not self._redraws:
            return
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.__exit__(None, None, None)
        self._console.file.write(CLEAR)
        for act in self._drawn:
            act()
        if progress is not None:
            self._progress = progress.__enter__()

    def begin_with(self, saved: set[str]) -> None:
        """What comes next is about these files."""
        self._saved = ", ".join(sorted(saved)[:3]) + (" …" if len(saved) > 3 else "")
        self._passed = []

    def show_check(self, step: Step) -> None:
        """In a terminal, a line that says what goes on."""
        self.show_no_check()
        title = step.task.title if step.task else step.lesson.short
        self._progress = CheckProgress(self._console, title, read_suites(step.lesson))
        self._progress.__enter__()

    def hear(self, event: Event) -> None:
        if self._progress is not None:
            self._progress(event)

    def show_no_check(self) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None

    def show_verdict(self, done: Done, before: CourseState) -> None:
        """What came of a step. `before`: the progress as it was then."""
        step, result = done.step, done.recorded.result
        if done.after_failure:  # that is on the screen
            self.say(f"The whole lesson: {_count(result)}.")
            return
        self.shown = result
        self.head()
        if not result.passed:
            self.show_failure(step.lesson, result, show_all=False)
        elif done.recorded.unsaved is not None:
            self.say(checking.unsaved_line())
        elif step.tasks is None:
            self.draw(partial(checking.print_pass, self._context, before, step.lesson, None))
        else:
            self._passed = [_passed_line(step.lesson, name) for name in result.scope]
            for line in self._passed:
                self.say(line)

    def show_failure(self, lesson: Lesson, result: CheckResult, *, show_all: bool) -> None:
        self.draw(partial(checking.show_failure, self._context, lesson, result, show_all=show_all))

    @property
    def _redraws(self) -> bool:
        return self._keys and self._console.is_terminal

    def head(self) -> None:
        """Begin a screen."""
        self._drawn.clear()
        if self._redraws:
            self._console.file.write(CLEAR)
        else:
            self.say(Text())
        if self._saved:
            self.say(f"{time.strftime('%H:%M:%S')} · saved {self._saved}", "quiet")
        for line in self._passed:
            self.say(line)

    def foot(self) -> None:
        if self._keys:
            self.say("\n" + " · ".join(f"{key} {name}" for key, name in KEYS.items()), "quiet")


def _passed_line(lesson: Lesson, task: str) -> Text:
    return Text.assemble(("✓ ", "good"), clean(f"{lesson.task(task).title}: passed"))


def _count(result: CheckResult) -> str:
    passed = sum(test.outcome == "passed" for test in result.tests)
    return f"{passed} of {len(result.tests)} tests pass"
