"""`watch`: check at each save, and answer single keys meanwhile. The checks run in a thread: no key waits for one."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from coursecli.cli import checking
from coursecli.cli.context import Context
from coursecli.cli.keys import Keys, can_read_keys
from coursecli.cli.watch_keys import WatchKeys
from coursecli.cli.watch_screen import WatchScreen
from coursecli.course.workspace import remember
from coursecli.errors import CourseError, EnvironmentProblem, WorkspaceError
from coursecli.watch.checker import Checker
from coursecli.watch.inbox import Inbox
from coursecli.watch.messages import Began, Done, Failed, Message, Rests, Step, Told, steps_for
from coursecli.watch.saves import Notices, Saves, needs_polling, suffixes_of

if TYPE_CHECKING:
    from coursecli.course.catalogue import Lesson
    from coursecli.progress.state import CourseState

LOOK_SECONDS, POLL_SECONDS = 2.0, 0.3
"""How often to look at the files without a notice: as a precaution, and where there are no notices."""


class Look:
    """What the notices put into the inbox: there may be something to see."""


class Resized:
    """The terminal has another width now."""


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
    first = [Step(lesson, frozenset({task.id}))] if task is not None else []
    watching = partial(Watcher, context, lesson, follow=target is None, poll=poll, cold=cold)
    if not can_read_keys():
        return watching(None).run([*first, Step(lesson)])
    with Keys() as keys:
        return watching(keys).run([*first, Step(lesson)])


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """A signal that ends the program: on the way out the terminal is set right, and nothing is left running."""
    sys.exit(128 + number)


class Watcher:
    """The loop: waits for a key, a save, or word of a check, and hands each to where it belongs."""

    def __init__(
        self, context: Context, lesson: Lesson, keys: Keys | None, *, follow: bool, poll: bool, cold: bool
    ) -> None:
        self._context = context
        self._keys = keys
        self._package = context.workspace.package
        self._inbox: Inbox[Message | Look | Resized] = Inbox()
        self._saves = Saves(self._package, suffixes_of(context.course.package_dir))
        self._polling = poll or needs_polling(self._package)
        self._notices = None if self._polling else Notices(self._package, lambda: self._inbox.put(Look()))
        self._checker = Checker(
            context.course,
            context.workspace,
            checking.background_of(context, cold=cold),
            self._inbox.put,
            looks_again=not context.instructor,
        )
        self._screen = WatchScreen(context, keys=keys is not None)
        self._actions = WatchKeys(context, self._screen, lesson, follow=follow, tell=self._tell_what_is_watched)
        self._before: CourseState = context.state()

    def run(self, first: list[Step]) -> int:
        try:
            if self._notices is not None:
                self._notices.start()
            if self._keys is not None:
                signal.signal(signal.SIGWINCH, lambda number, frame: self._inbox.put(Resized()))
            self._tell_what_is_watched(self._actions.lesson)
            self._checker.start()
            self._checker.order(first)
            while not self._actions.left:
                self._turn()
            return 0
        finally:
            self._screen.show_no_check()
            self._checker.close()
            if self._notices is not None:
                self._notices.close()

    def _tell_what_is_watched(self, lesson: Lesson) -> None:
        how = " It is looked at now and then, since no notices of changes come here." if self._polling else ""
        self._screen.say(f"Watching {self._package}. Save a file, and {lesson.short} is checked.{how}", "quiet")

    def _turn(self) -> None:
        """Wait for something, then do what it asks for."""
        sources: list[Keys | Inbox[Message | Look | Resized]] = [self._inbox]
        if self._keys is not None:
            sources.append(self._keys)
        ready, _, _ = select.select(sources, [], [], POLL_SECONDS if self._polling else LOOK_SECONDS)
        if self._keys is not None and self._keys in ready:
            pressed = self._keys.read()
            if pressed is None:  # the terminal is gone
                self._actions.left = True
                return
            for key in pressed:
                self._guarded(partial(self._actions.press, key, self._keys))
        looks, resized = not ready, False
        for message in self._inbox.take():
            match message:
                case Look():
                    looks = True
                case Resized():
                    resized = True
                case _:
                    self._guarded(partial(self._hear, message))
        if resized:
            self._guarded(self._screen.draw_again)
        if looks:
            self._guarded(self._look)

    def _guarded(self, act: Callable[[], object]) -> None:
        """What goes wrong is said in a line, and watching goes on, as long as there is a workspace."""
        try:
            act()
        except CourseError as error:
            self._require_workspace()
            self._screen.say(error.message, "bad")
            if error.remedy:
                self._screen.say(error.remedy)

    def _require_workspace(self) -> None:
        workspace = self._context.workspace
        if not workspace.config.is_file():
            raise WorkspaceError(
                f"The workspace {workspace.root} is gone.",
                "Go to where it is now. Or make a new one with: intro2llm init my-llm",
            )

    def _look(self) -> None:
        """Whether something was saved."""
        self._require_workspace()
        if self._notices is not None and self._notices.broken and not self._polling:
            self._polling = True
            self._screen.say(
                "The system gives no notice of changes any more: files are looked at now and then.", "quiet"
            )
        changed = self._saves.look(time.sleep)
        if not changed:
            return
        self._require_workspace()
        self._screen.begin_with(changed)
        self._before = self._context.state()
        self._checker.order(steps_for(self._actions.lesson, changed))

    def _hear(self, message: Message) -> None:
        if message.order != self._checker.current:  # of a check that a newer save has ended
            return
        match message:
            case Began():
                self._screen.show_check(message.step)
            case Told():
                self._screen.hear(message.event)
            case Done():
                self._done(message)
            case Failed():
                self._screen.show_no_check()
                raise message.error
            case Rests():
                self._screen.show_no_check()

    def _done(self, done: Done) -> None:
        passed, unsaved = done.recorded.result.passed, done.recorded.unsaved
        if done.step.again and passed:
            return
        self._screen.show_no_check()
        if done.step.again:
            self._screen.say(checking.regression_line(done.step.again))
        else:
            self._actions.withdraw()
            self._screen.show_verdict(done, self._before)
        if done.last:
            self._screen.foot()
        if unsaved is not None:
            raise unsaved
