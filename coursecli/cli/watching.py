"""`watch`: check at each save, and answer single keys meanwhile. The checks run in a thread: no key waits for one."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from rich.text import Text

from coursecli.check.results import CheckResult, TestResult
from coursecli.check.verdict import first_failure
from coursecli.cli import checking
from coursecli.cli.context import Context
from coursecli.cli.keys import Keys, can_read_keys
from coursecli.course.suites import read_suites
from coursecli.course.workspace import remember
from coursecli.errors import CourseError, EnvironmentProblem, UsageError, WorkspaceError
from coursecli.isolate.launcher import KILL_SECONDS
from coursecli.progress.recorded import doubtful
from coursecli.render.console import clean
from coursecli.render.progress import CheckProgress
from coursecli.render.source import places
from coursecli.watch.checker import Began, Checker, Done, Failed, Message, Step, Told, steps_for
from coursecli.watch.editor import chosen_editor, start_apart
from coursecli.watch.inbox import Inbox
from coursecli.watch.saves import Notices, Saves, needs_polling, suffixes_of

if TYPE_CHECKING:
    from coursecli.course.catalogue import Lesson
    from coursecli.course.manifest import Task
    from coursecli.progress.state import CourseState

LOOK_SECONDS, POLL_SECONDS = 2.0, 0.3
"""How often to look at the files without a notice: as a precaution, and where there are no notices."""
KEYS = {"h": "hint", "n": "next", "l": "list", "a": "all", "r": "reset", "o": "open", "q": "quit"}
CLEAR = "\x1b[H\x1b[2J"


class Look:
    """What the notices put into the inbox: there may be something to see."""


def watch(context: Context, target: str | None, *, poll: bool = False, cold: bool = False) -> int:
    """Check a lesson at each save, until q or Ctrl-C. Returns 0 after q."""
    if os.name != "posix":
        raise EnvironmentProblem("Running learners' code needs Linux or macOS.", "On Windows, use WSL.")
    context.writes = True
    lesson, task = context.pick(target)
    context.require_started(lesson)
    remember(context.workspace)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under `nohup`
            signal.signal(number, _leave)
    watcher = Watcher(context, lesson, follow=target is None, poll=poll, cold=cold)
    if task is not None:
        watcher.ask([Step(lesson, frozenset({task.id})), Step(lesson)])
    if not can_read_keys():
        return watcher.run(None)
    with Keys() as keys:
        return watcher.run(keys)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """A signal that ends the program: on the way out the terminal is set right, and nothing is left running."""
    sys.exit(128 + number)


class Watcher:
    """The loop, and what is on the screen."""

    def __init__(self, context: Context, lesson: Lesson, *, follow: bool, poll: bool, cold: bool) -> None:
        self._context = context
        self._console = context.console
        self._lesson = lesson
        self._follow = follow
        self._package = context.workspace.package
        self._inbox: Inbox[Message | Look] = Inbox()
        self._saves = Saves(self._package, suffixes_of(context.course.package_dir))
        self._polling = poll or needs_polling(self._package)
        self._notices = None if self._polling else Notices(self._package, lambda: self._inbox.put(Look()))
        self._checker = Checker(
            context.course, self._package, checking.background_of(context, cold=cold), self._inbox.put
        )
        self._steps: list[Step] = [Step(lesson)]
        self._progress: CheckProgress | None = None
        self._keys: Keys | None = None
        self._answer: Callable[[], object] | None = None
        """What "y" would do: a question is open."""
        self._saved = ""
        """Which files the checks are about, in words."""
        self._first: CheckResult | None = None
        """What came of the tasks in the saved file."""
        self._before: CourseState = context.state()
        self._shown: CheckResult | None = None
        """The result on the screen."""
        self._quit = False

    def ask(self, steps: list[Step]) -> None:
        """What to check first, instead of the whole lesson."""
        self._steps = steps

    def run(self, keys: Keys | None) -> int:
        self._keys = keys
        try:
            if self._notices is not None:
                self._notices.start()
            self._say_what_is_watched()
            self._checker.order(self._steps)
            while not self._quit:
                self._turn()
            return 0
        finally:
            self._show_progress(None)
            self._checker.close(KILL_SECONDS + 2.0)
            if self._notices is not None:
                self._notices.close()

    def _turn(self) -> None:
        """Wait for a key, a save, or word of a check; then do what it asks for."""
        sources: list[Keys | Inbox[Message | Look]] = [self._inbox]
        if self._keys is not None:
            sources.append(self._keys)
        ready, _, _ = select.select(sources, [], [], POLL_SECONDS if self._polling else LOOK_SECONDS)
        if self._keys is not None and self._keys in ready:
            pressed = self._keys.read()
            if pressed is None:  # the terminal is gone
                self._quit = True
                return
            for key in pressed:
                self._guarded(partial(self._press, key))
        looks = not ready
        for message in self._inbox.take():
            if isinstance(message, Look):
                looks = True
            else:
                self._guarded(partial(self._hear, message))
        if looks:
            self._guarded(self._look)

    def _guarded(self, act: Callable[[], object]) -> None:
        """What goes wrong is said in a line, and watching goes on, as long as there is a workspace."""
        try:
            act()
        except CourseError as error:
            self._require_workspace()
            self._say(clean(error.message, "bad"))
            if error.remedy:
                self._say(clean(error.remedy))

    def _require_workspace(self) -> None:
        workspace = self._context.workspace
        if not workspace.config.is_file():
            raise WorkspaceError(
                f"The workspace {workspace.root} is gone.",
                "Go to where it is now. Or make a new one with: intro2llm init my-llm",
            )

    # Saves --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._require_workspace()
        if self._notices is not None and self._notices.broken and not self._polling:
            self._polling = True
            self._say(
                clean("The system gives no notice of changes any more: files are looked at now and then.", "quiet")
            )
        changed = self._saves.look(time.sleep)
        if not changed:
            return
        self._require_workspace()
        self._saved = ", ".join(sorted(changed)[:3]) + (" …" if len(changed) > 3 else "")
        self._first = None
        self._before = self._context.state()
        self._checker.order(steps_for(self._lesson, changed))

    # Checks -------------------------------------------------------------------------------------------------

    def _hear(self, message: Message) -> None:
        if message.order != self._checker.current:  # of a check that a newer save has ended
            return
        match message:
            case Began():
                self._begin(message.step)
            case Told():
                if self._progress is not None:
                    self._progress(message.event)
            case Done():
                self._show_progress(None)
                self._done(message)
            case Failed():
                self._show_progress(None)
                raise message.error

    def _begin(self, step: Step) -> None:
        title = step.lesson.short
        if step.tasks and len(step.tasks) == 1:
            title = step.lesson.task(next(iter(step.tasks))).title
        self._show_progress(CheckProgress(self._console, title, read_suites(step.lesson)))

    def _show_progress(self, progress: CheckProgress | None) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
        self._progress = progress
        if progress is not None:
            progress.__enter__()

    def _done(self, done: Done) -> None:
        """Show a verdict, then write it down: what is written to the disk can wait, unless the words tell of it."""
        step, result = done.step, done.result
        if result.passed:
            self._context.store.record_attempt(result, done.evidence)
        if step.again:
            if not result.passed:
                self._say(checking.regression_line(step.lesson))
        elif step.tasks is None and self._first is not None and not self._first.passed:  # that is on the screen
            self._say(clean(f"The whole lesson: {_count(result)}."))
        else:
            self._shown = result
            self._first = result if step.tasks is not None else self._first
            self._head()
            if not result.passed:
                checking.show_failure(self._context, step.lesson, result, show_all=False)
            elif step.tasks is None:
                checking.print_pass(self._context, self._before, step.lesson, None)
                others = doubtful(self._context.state(), step.lesson)
                self._checker.add([Step(lesson, again=True) for lesson in others])
        if done.last and not (step.again and result.passed):
            self._foot()
        if not result.passed:
            self._context.store.record_attempt(result, done.evidence)

    # Keys ---------------------------------------------------------------------------------------------------

    def _press(self, key: str) -> None:
        if self._answer is not None:
            answer, self._answer = self._answer, None
            if key in ("y", "Y"):
                answer()
            else:
                self._say(clean("Nothing was changed."))
            return
        action = {
            "h": self._hint,
            "n": self._next,
            "l": self._list,
            "a": self._all,
            "r": self._reset,
            "o": self._open,
            "q": self._leave,
            "\x04": self._leave,
        }.get(key.lower())
        if action is not None:
            action()

    def _hint(self) -> None:
        from coursecli.cli import work

        self._say(Text())
        work.hint(self._context, self._task().id, None)
        self._foot()

    def _next(self) -> None:
        from coursecli.cli import work

        self._say(Text())
        work.go_on(self._context)
        state = self._context.state()
        if self._follow and state.current is not None and state.lesson(state.current).started:
            changed = self._lesson.id != state.current.id
            self._lesson = state.current
            if changed:
                self._shown = None
                self._say_what_is_watched()
                return
        self._foot()

    def _list(self) -> None:
        from coursecli.cli import look

        self._say(Text())
        look.list_lessons(self._context)
        self._foot()

    def _all(self) -> None:
        if self._shown is None or self._shown.passed:
            self._say(clean("Nothing fails at present." if self._shown else "The first check has not finished yet."))
            return
        self._head()
        lesson = self._context.course.lesson(self._shown.lesson)
        checking.show_failure(self._context, lesson, self._shown, show_all=True)
        self._foot()

    def _reset(self) -> None:
        from coursecli.cli import mend

        task = self._task()
        self._say(
            clean(
                f"Put {task.title}, in {task.file}, back as it was given? A backup is kept. y: yes, any other key: no"
            )
        )
        self._answer = lambda: mend.reset(self._context, task.id, yes=True)

    def _open(self) -> None:
        file, line = self._place()
        editor = chosen_editor()
        if editor is None:
            raise UsageError("There is no editor here.", "Name yours, for example: export EDITOR=nano")
        command = editor.opening(file, line)
        self._show_progress(None)
        assert self._keys is not None
        try:
            if editor.windowed:
                start_apart(command)
                return
            with self._keys.lent():
                subprocess.run(command, check=False)
        except OSError as error:
            raise EnvironmentProblem(
                f"{editor.name} cannot be started: {error.strerror}.",
                "Name your editor, for example: export EDITOR=nano",
            ) from error

    def _leave(self) -> None:
        self._quit = True

    def _failing(self) -> TestResult | None:
        return first_failure(self._shown) if self._shown is not None and not self._shown.passed else None

    def _task(self) -> Task:
        """The task of the failure on the screen; else the first one that does not pass."""
        failing = self._failing()
        if failing is not None and failing.task:
            return self._lesson.task(failing.task)
        entries = self._context.progress_of(self._lesson).tasks
        return next((entry for entry in entries if not entry.passes_now), entries[0]).task

    def _place(self) -> tuple[Path, int]:
        """The learner's line to look at: where it failed, else where the task's code begins."""
        root = self._context.workspace.root
        problem = self._shown.problem if self._shown is not None else None
        if problem is not None and problem.frame is not None:
            return root / problem.frame.file, problem.frame.line
        failing = self._failing()
        if failing is not None and failing.error is not None and failing.error.frames:
            frame = failing.error.frames[-1]
            return root / frame.file, frame.line
        task = self._task()
        found = places(self._package / task.file, task.symbols)
        return self._package / task.file, found[0][1] if found else 1

    # Screen -------------------------------------------------------------------------------------------------

    def _say(self, words: Text) -> None:
        self._console.print(words)

    def _say_what_is_watched(self) -> None:
        how = " It is looked at now and then, since no notices of changes come here." if self._polling else ""
        words = f"Watching {self._package}. Save a file, and {self._lesson.short} is checked.{how}"
        self._say(clean(words, "quiet"))

    def _head(self) -> None:
        """A new screen on a terminal; elsewhere one empty line after the last verdict."""
        if self._keys is not None and self._console.is_terminal:
            self._console.file.write(CLEAR)
        else:
            self._say(Text())
        if self._saved:
            self._say(clean(f"{time.strftime('%H:%M:%S')} · saved {self._saved}", "quiet"))
        if self._first is not None and self._first.passed:
            for name in self._first.scope:
                self._say(Text.assemble(("✓ ", "good"), clean(f"{self._lesson.task(name).title}: passed")))

    def _foot(self) -> None:
        if self._keys is None:
            return
        words = " · ".join(f"{key} {name}" for key, name in KEYS.items())
        self._say(clean(f"\n{words}", "quiet"))


def _count(result: CheckResult) -> str:
    passed = sum(test.outcome == "passed" for test in result.tests)
    return f"{passed} of {len(result.tests)} tests pass"
