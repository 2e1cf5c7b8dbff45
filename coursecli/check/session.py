"""One worker from its start to its end: what it is told, how long each step may take, and what to make of its end."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgspec

from coursecli.check import assignment as assignments
from coursecli.check.assignment import Assignment, Scope, Suite
from coursecli.check.endings import never_started, run_problem, what_happened
from coursecli.check.events import Event, Finished, Footer, Halted, Hello, Started, decoder
from coursecli.check.frames import dumped_frames
from coursecli.check.interpreter import environment, python
from coursecli.check.results import Frame, LearnerError, Outcome, Problem, TestResult
from coursecli.check.stop import Stop
from coursecli.check.transcript import OUTSIDE, Transcript
from coursecli.check.verdict import Run, function_of
from coursecli.course.catalogue import Course, Lesson
from coursecli.course.stubs import task_files
from coursecli.course.suites import TestCase, read_suites, suite_name
from coursecli.errors import EnvironmentProblem
from coursecli.isolate import Ended, Job, Limits, Running, launch
from coursecli.isolate.launcher import Starter
from coursecli.isolate.limits import MIB

PRELOAD_SECONDS = 90.0
"""For the interpreter and its preload: torch on a cold disk takes its time."""
WARM_SECONDS = 20.0
"""For the first word of a process that had been waiting; after that, a new one is started."""
LEAST_IMPORT_SECONDS = 8.0
"""Importing and collecting compiles the suites: a busy machine needs this, however short the tests are."""
ENDING_SECONDS = 5.0
INTERPRETER_BYTES = 1024 * MIB
"""What the preload may occupy, over the lesson's margin, before the watch on resident memory steps in."""

Listener = Callable[[Event], None]


@dataclass
class Session:
    """One worker, from its start to its end."""

    course: Course
    lesson: Lesson
    root: Path
    scope: list[str]
    gates: bool
    integration_only: bool
    run: Run = field(default_factory=Run)
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    _run_ends: float | None = None
    _warm: bool = False
    _ended: Ended | None = None

    @cached_property
    def expected(self) -> list[TestCase]:
        """The tests in scope, from the text of the suites."""
        cases = (case for case in read_suites(self.lesson) if case.task in self.scope)
        return [case for case in cases if case.integration or not self.integration_only]

    @property
    def lost_before_it_began(self) -> bool:
        """A process that had been waiting has ended, or was ended, before its first word."""
        return self._warm and self.run.hello is None and self._ended is not None and self._ended.cause != "interrupted"

    def afresh(self) -> Session:
        """The same check, not begun."""
        return Session(self.course, self.lesson, self.root, self.scope, self.gates, self.integration_only)

    def go(self, starter: Starter | None, listener: Listener, stop: Stop) -> Problem | None:
        """Run the worker; what kept it from finishing outside any test, if anything."""
        try:
            # Only for this run: another one, or a pytest elsewhere, tidies the usual place while it is in use.
            folder = tempfile.TemporaryDirectory(prefix="intro2llm-check-", ignore_cleanup_errors=True)
        except OSError as error:
            raise EnvironmentProblem(f"A folder for temporary files cannot be made: {error}") from error
        with folder as scratch:
            return self._go(scratch, starter, listener, stop)

    def _go(self, scratch: str, starter: Starter | None, listener: Listener, stop: Stop) -> Problem | None:
        transcript = Transcript(self.token)
        problem: Problem | None = None
        with launch(self._job(scratch), output=transcript, starter=starter) as running, stop.ends(running):
            self._warm = running.warm
            try:
                _ = self.expected  # read while the worker starts
                running.limit(WARM_SECONDS if running.warm else PRELOAD_SECONDS)
                for line in running.lines():
                    event = self._event(line)
                    if event is not None:
                        problem = problem or self._take(event, running, transcript, listener)
            except KeyboardInterrupt:
                running.kill("interrupted")
                running.wait()
        assert running.ended is not None
        self._ended = running.ended
        return problem or self._end(running.ended, transcript)

    def _job(self, scratch: str) -> Job:
        limits = self.lesson.manifest.limits
        worker = self.course.manifest.worker
        suites = [Suite(suite_name(path), str(path.resolve())) for path in self.lesson.suites]
        told = Assignment(
            token=self.token,
            root=str(self.root),
            scratch=scratch,
            package=self.course.package_name,
            preload=worker.preload,
            suites=suites,
            tasks=[Scope(task.id, task.title, task.needs) for task in self.lesson.tasks],
            scope=self.scope,
            forbidden=self.lesson.manifest.forbidden,
            guarded_files=self.lesson.files,
            known_files=self._known_files(),
            gates=self.gates,
            integration_only=self.integration_only,
            memory_bytes=limits.memory_mb * MIB,
        )
        bounds = Limits(
            seconds=PRELOAD_SECONDS + limits.run_seconds + ENDING_SECONDS,
            memory_bytes=limits.memory_mb * MIB + INTERPRETER_BYTES,
        )
        return Job(
            python("from coursecli.check.worker import main; main()"),
            self.root,
            environment(self.course),
            bounds,
            assignments.encoder.encode(told),
            dumps=True,
        )

    def _known_files(self) -> list[str]:
        given = (path.relative_to(self.course.package_dir) for path in self.course.package_dir.rglob("*.py"))
        return sorted({path.as_posix() for path in given} | set(task_files(self.course)))

    @property
    def _import_seconds(self) -> float:
        return max(2 * self.lesson.manifest.limits.test_seconds, LEAST_IMPORT_SECONDS)

    def _event(self, line: bytes) -> Event | None:
        try:
            event = decoder.decode(line)
        except (msgspec.DecodeError, RecursionError):
            return None
        return event if secrets.compare_digest(event.token.encode(), self.token.encode()) else None

    def _take(self, event: Event, running: Running, transcript: Transcript, listener: Listener) -> Problem | None:
        limits = self.lesson.manifest.limits
        match event:
            case Hello():
                self._run_ends = time.monotonic() + limits.run_seconds
                if Path(event.package) != self.root / self.course.package_name:
                    running.kill()
                    return self._wrong_binding(event.package)
                self._limit(running, self._import_seconds)
            case Started():
                self._limit(running, limits.test_seconds)
            case Finished():
                output = transcript.of(event.result.id)
                event = Finished(
                    token=self.token,
                    result=msgspec.structs.replace(event.result, output=output.text, output_cut=output.dropped),
                )
                self._limit(running, ENDING_SECONDS)
            case Halted() | Footer():
                running.limit(ENDING_SECONDS)
            case _:
                self._limit(running, ENDING_SECONDS)
        self.run.take(event)
        listener(event)
        return None

    def _limit(self, running: Running, seconds: float) -> None:
        assert self._run_ends is not None  # since Hello, without which nothing is believed
        running.limit(min(seconds, self._run_ends - time.monotonic()))

    def _wrong_binding(self, found: str) -> Problem:
        wanted = self.root / self.course.package_name
        return Problem(
            kind="binding",
            summary=f"The worker found `{self.course.package_name}` in {found or 'no folder'}, not in {wanted}.",
            remedy=f"Is there a file __init__.py in {wanted}?",
        )

    def _end(self, ended: Ended, transcript: Transcript) -> Problem | None:
        """Lay an early end at the door of the test that was running; without one, it is the run's problem."""
        if self.run.footer is not None or self.run.halted is not None:
            return None
        limits = self.lesson.manifest.limits
        said = transcript.of(OUTSIDE).text.strip()
        if self.run.hello is None and ended.cause in ("exited", "signal", "lost"):
            return never_started(said)
        frames = dumped_frames(ended.trace, self.root)
        late = self._run_ends is not None and time.monotonic() >= self._run_ends
        if self.run.running and ended.cause == "deadline" and not late:
            self._blame("timeout", f"did not finish within {limits.test_seconds:g} s", frames, transcript)
            return None
        if self.run.running and ended.cause not in ("deadline", "interrupted"):
            self._blame("crashed", what_happened(ended, limits.memory_mb), frames, transcript)
            return None
        waited = limits.run_seconds if late else self._import_seconds if self.run.hello else PRELOAD_SECONDS
        doing = "the check" if late else "importing the code" if self.run.hello else "starting Python"
        return run_problem(ended, limits.memory_mb, frames, too_long=f"{doing} takes more than {waited:g} s", said=said)

    def _blame(self, outcome: Outcome, note: str, frames: list[Frame], transcript: Transcript) -> None:
        """The record of the test during which the worker was killed, or died."""
        test = self.run.running
        assert test is not None
        output = transcript.of(test)
        suite, function = function_of(test)
        case = next((case for case in self.expected if (case.suite, case.function) == (suite, function)), None)
        result = TestResult(
            id=test,
            suite=suite,
            task=case.task if case else "",
            title=case.title if case else function,
            integration=case.integration if case else False,
            outcome=outcome,
            note=note,
            error=LearnerError(type="TimeLimit" if outcome == "timeout" else "Crash", message=note, frames=frames),
            output=output.text,
            output_cut=output.dropped,
        )
        self.run.take(Finished(token=self.token, result=result))
