"""A thread that checks, one step after the other, and records; a new order ends what runs and replaces what waits.

When nothing is ordered, it looks again at lessons whose pass is in doubt: at once after a pass, since that edit may
have touched them, else after a few quiet seconds. Nothing is said of that but its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from coursecli.check.events import Event
from coursecli.check.stop import Stop
from coursecli.course.workspace import open_workspace, remember
from coursecli.errors import CourseError
from coursecli.isolate.launcher import KILL_SECONDS
from coursecli.progress.evidence import Evidence, gather
from coursecli.progress.recorded import doubtful, recorded_check
from coursecli.progress.state import course_state
from coursecli.progress.store import Store
from coursecli.watch.messages import Began, Done, Failed, Message, Rests, Step, Told

if TYPE_CHECKING:
    from coursecli.check.results import CheckResult
    from coursecli.course.catalogue import Course, Lesson
    from coursecli.course.workspace import Workspace
    from coursecli.warm.background import Background

START_SECONDS = 30.0
"""How long a check waits for the background process to be ready; starting one of its own would take as long."""
IDLE_SECONDS = 3.0
"""How long nothing has been ordered when passes in doubt are looked at."""
CLOSE_SECONDS = KILL_SECONDS + 2.0
"""How long a process may resist being killed before this program ends without having seen its end."""


class Checker:
    """Posts what happens to `post`, from its thread; nothing of a check that was ended on the way.

    Args:
        looks_again: whether it checks passes that are in doubt when there is nothing else to do.
    """

    def __init__(
        self,
        course: Course,
        workspace: Workspace,
        workers: Background | None,
        post: Callable[[Message], object],
        *,
        looks_again: bool = True,
    ) -> None:
        self._course = course
        self._workspace = workspace
        self._workers = workers
        self._post = post
        self._change = threading.Condition()
        self._waiting: list[Step] = []
        self._stop = Stop()
        self._failed = False
        """A step of the last order has."""
        self._rests: bool | None = None
        """What `Rests` will say of it; None: that is said, or nothing was ordered."""
        self._warms_up = False
        self._closed = False
        self._looks_again = looks_again
        self._in_doubt = True
        """There may be passes to look at again."""
        self._pause = IDLE_SECONDS
        """How long to wait before that."""
        self._seen: dict[str, Evidence] = {}
        """By lesson: what the last such look rested on. One that leaves the pass in doubt is not repeated."""
        self.current = 0
        """The number of the last order. Messages of an earlier one are out of date."""
        self.running: Step | None = None
        self._thread = threading.Thread(target=self._live, name="checker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End what runs, and wait until nothing of it is left."""
        with self._change:
            self._closed = True
        self.order([])
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)
        if self._workers is not None:
            self._workers.release()

    def order(self, steps: list[Step]) -> None:
        """Check these; what runs or waits is out of date."""
        with self._change:
            self.current += 1
            self._waiting = list(steps)
            self._failed = False
            self._in_doubt, self._pause = True, IDLE_SECONDS
            self._stop.ask()
            self._change.notify()

    def cancel(self) -> bool:
        """End what runs, and forget what waits. Returns whether any of it had been ordered."""
        with self._change:
            steps = [*self._waiting, *([self.running] if self.running else [])]
            asked_for = any(not step.again for step in steps)
            self._rests = asked_for or None
            self.order([])
        return asked_for

    def warm_up(self) -> None:
        """Have the background process started, and keep it from going: a check is likely to come."""
        with self._change:
            self._warms_up = self._workers is not None
            self._change.notify()

    def look_again(self, wanted: bool) -> None:
        """Whether passes in doubt are looked at from now on."""
        with self._change:
            self._looks_again = self._in_doubt = wanted
            self._change.notify()

    def _live(self) -> None:
        while (turn := self._next()) is not None:
            order, step, stop = turn
            try:
                if step is not None:
                    self._check(order, step, stop)
                elif self._warms_up:
                    self._warm_up(stop)
                else:
                    self._find_doubt(order)
            except Exception as error:
                self._fail(order, step, error)

    def _next(self) -> tuple[int, Step | None, Stop] | None:
        """The next step, with its order; no step when there is time to spare. None at the end."""
        with self._change:
            self.running = None
            if not self._waiting and self._rests is not None:
                self._post(Rests(self.current, self._rests))
                self._rests = None
            while not (self._waiting or self._warms_up or self._closed):
                looks = self._looks_again and self._in_doubt
                if not self._change.wait(self._pause if looks else None):
                    break
            if self._closed:
                return None
            self.running = self._waiting.pop(0) if self._waiting else None
            self._stop = Stop()
            return self.current, self.running, self._stop

    def _check(self, order: int, step: Step, stop: Stop) -> None:
        if not step.again:
            self._rests = True
            self._post(Began(order, step))
        open_workspace(self._workspace.root)
        evidence = gather(self._course, step.lesson, self._workspace.package) if step.again else None
        if self._workers is not None:
            self._workers.hold(START_SECONDS, given_up=lambda: stop.asked)
        recorded = recorded_check(
            self._course,
            step.lesson,
            self._workspace,
            record=self._record,
            tasks=set(step.tasks) if step.tasks else None,
            listener=None if step.again else partial(self._tell, order),
            workers=self._workers,
            stop=stop,
        )
        if recorded.result.interrupted:
            return
        passed = recorded.result.passed
        with self._change:
            if evidence is not None:
                self._seen[step.lesson.id] = evidence
            else:
                self._rests = stop.asked
            if order != self.current:
                return
            last, after_failure = not self._waiting, self._failed
            self._failed = self._failed or not (passed or step.again)
            if step.again or (passed and last):
                self._pause = 0.0
        self._post(Done(order, step, recorded, last, after_failure))

    def _tell(self, order: int, event: Event) -> None:
        self._post(Told(order, event))

    def _record(self, result: CheckResult, evidence: Evidence) -> None:
        remember(self._workspace)
        with Store.open(self._workspace.database) as store:
            store.record_attempt(result, evidence)

    def _warm_up(self, stop: Stop) -> None:
        self._warms_up = False
        if self._workers is not None:
            self._workers.hold(START_SECONDS, given_up=lambda: stop.asked)

    def _find_doubt(self, order: int) -> None:
        """Put the next lesson to look at in the queue."""
        with Store.open(self._workspace.database, read_only=True) as store:
            state = course_state(self._course, self._workspace, store)
        found = (entry for entry in doubtful(self._course, state) if self._is_news(entry.lesson))
        entry = next(found, None)
        with self._change:
            if order == self.current:
                self._waiting += [Step(entry.lesson, again=entry)] if entry else []
                self._in_doubt = entry is not None

    def _is_news(self, lesson: Lesson) -> bool:
        seen = self._seen.get(lesson.id)
        return seen is None or seen != gather(self._course, lesson, self._workspace.package)

    def _fail(self, order: int, step: Step | None, error: Exception) -> None:
        quiet = isinstance(error, CourseError) and (step is None or step.again)  # the next order will meet it, and say
        with self._change:
            if step is not None and not step.again:
                self._rests = False
            if order == self.current:
                self._waiting.clear()
                self._in_doubt = False
        if not quiet:
            self._post(Failed(order, error))
