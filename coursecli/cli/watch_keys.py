"""What the keys of `watch` do. Each is a command of the command line, about what is on the screen."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text

from coursecli.check.results import CheckResult
from coursecli.errors import EnvironmentProblem, UsageError
from coursecli.render.place import place_of, task_in_hand
from coursecli.watch.editor import chosen_editor, start_apart

if TYPE_CHECKING:
    from coursecli.cli.context import Context
    from coursecli.cli.keys import Keys
    from coursecli.cli.watch_screen import WatchScreen
    from coursecli.course.catalogue import Lesson
    from coursecli.course.manifest import Task


class WatchKeys:
    """Knows the lesson that is watched, since `n` changes it.

    Args:
        follow: whether `n` goes to another lesson, not only to its text.
        tell: says which lesson is watched.
    """

    def __init__(
        self, context: Context, screen: WatchScreen, lesson: Lesson, *, follow: bool, tell: Callable[[Lesson], object]
    ) -> None:
        self._context = context
        self._screen = screen
        self._follow = follow
        self._tell = tell
        self._answer: Callable[[], object] | None = None
        """What "y" would do: a question is open."""
        self.lesson = lesson
        self.left = False
        """It was `q`, or the end of the terminal."""

    def withdraw(self) -> None:
        """The open question, if there is one: a verdict takes its place on the screen."""
        self._answer = None

    def press(self, key: str, keys: Keys) -> None:
        if self._answer is not None:
            answer, self._answer = self._answer, None
            if key in ("y", "Y"):
                answer()
            else:
                self._screen.say("Nothing was changed.")
            return
        match key.lower():
            case "h":
                self._hint()
            case "n":
                self._next()
            case "l":
                self._list()
            case "a":
                self._all()
            case "r":
                self._reset()
            case "o":
                self._open(keys)
            case "q" | "\x04":
                self.left = True

    def _hint(self) -> None:
        from coursecli.cli import work

        task = self._task()
        self._screen.say(Text())
        work.hint(self._context, task.id, None)
        if (seen := self._context.store.hint_level(task.id)) > 0:  # instructors see them all, and none is recorded
            self._screen.remember(partial(work.show_hints, self._context, task, seen, seen))
        self._screen.foot()

    def _next(self) -> None:
        from coursecli.cli import work

        self._screen.say(Text())
        work.go_on(self._context)
        state = self._context.state()
        if self._follow and state.current is not None and state.lesson(state.current).started:
            changed = self.lesson.id != state.current.id
            self.lesson = state.current
            if changed:
                self._screen.shown = None
                self._tell(self.lesson)
                return
        self._screen.foot()

    def _list(self) -> None:
        from coursecli.cli import look

        self._screen.say(Text())
        self._screen.draw(partial(look.list_lessons, self._context))
        self._screen.foot()

    def _all(self) -> None:
        shown = self._screen.shown
        if shown is None or shown.passed:
            self._screen.say("Nothing fails at present." if shown else "The first check has not finished yet.")
            return
        self._screen.head()
        self._screen.show_failure(self._context.course.lesson(shown.lesson), shown, show_all=True)
        self._screen.foot()

    def _reset(self) -> None:
        from coursecli.cli import mend

        task = self._task()
        self._screen.say(
            f"Put {task.title}, in {task.file}, back as it was given? A backup is kept. y: yes, any other key: no"
        )
        self._answer = lambda: mend.reset(self._context, task.id, yes=True)

    def _open(self, keys: Keys) -> None:
        place = place_of(self._context.workspace, self._task(), self._result)
        editor = chosen_editor()
        if editor is None:
            raise UsageError("There is no editor here.", "Name yours, for example: export EDITOR=nano")
        command = editor.opening(place.file, place.line)
        self._screen.show_no_check()
        try:
            if editor.windowed:
                start_apart(command)
                return
            with keys.lent():
                subprocess.run(command, check=False)
        except OSError as error:
            raise EnvironmentProblem(
                f"{editor.name} cannot be started: {error.strerror}.",
                "Name your editor, for example: export EDITOR=nano",
            ) from error

    @property
    def _result(self) -> CheckResult | None:
        """What is on the screen, when it is about the lesson that is watched now."""
        shown = self._screen.shown
        return shown if shown is not None and shown.lesson == self.lesson.id else None

    def _task(self) -> Task:
        return task_in_hand(self._context.progress_of(self.lesson), self._result)
