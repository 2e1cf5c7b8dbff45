"""Processes that have paid for the preload before a check needs one: forks of this process, or spare interpreters.

Both are one interface, `Waiting`. A check never gets a process that has seen learner's code. Forking a process that has
loaded libraries is safe on Linux alone, and there only while it has a single thread; a spare interpreter works on every
system that can pass descriptors, costs as much memory, and takes the seconds of the preload after each check.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Literal, Protocol

from coursecli.check.interpreter import environment, python
from coursecli.course.catalogue import Course

Kind = Literal["forks", "spares"]


class Workers(Protocol):
    """Whatever can start a worker for a check: its `start` is a `Starter`."""

    def start(self, control: int, fds: list[int]) -> subprocess.Popen[bytes] | None: ...


class Waiting(Workers, Protocol):
    """Workers that wait in this process, or below it."""

    def fit(self) -> bool:
        """Whether the next check can have one."""

    def tend(self) -> float | None:
        """What is to be done between checks. Returns after how many seconds it should be called again."""

    def close(self) -> None:
        """End what waits. Workers that have been given away belong to whoever asked for them."""


def default_kind() -> Kind:
    return "forks" if sys.platform == "linux" else "spares"


def make(kind: Kind, course: Course) -> Waiting:
    """Start waiting for checks of this course. With "forks" it takes the seconds of the preload."""
    return Forks(course) if kind == "forks" else Spares(course)


class Forks:
    """This process is a template: it does the preload, and forks a supervisor with a worker for each check.

    It never runs learners' code and never has a second thread: a fork of a process whose OpenMP pool has started hangs.
    """

    def __init__(self, course: Course) -> None:
        from coursecli.check.worker import preload

        worker = course.manifest.worker
        preload(worker.preload, worker.warm)
        gc.collect()
        gc.freeze()
        signal.signal(signal.SIGCHLD, _reap)

    def start(self, control: int, fds: list[int]) -> None:
        if os.fork() == 0:
            _supervise(control, fds)

    def fit(self) -> bool:
        return len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208

    def tend(self) -> float | None:
        return None

    def close(self) -> None:
        """Nothing waits but this process itself."""


def _reap(signal_number: int, frame: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _supervise(control: int, fds: list[int]) -> None:
    """In the first fork: what the supervisor's script does, with a second fork in place of a new interpreter."""
    from coursecli.isolate import supervisor

    try:
        os.setsid()
        _close_all_but({0, 1, 2, control, *fds})
        order = supervisor.read_order(control)
        supervisor.obey(order, control, fds, lambda: _work(order["env"]))
    finally:
        os._exit(0)


def _close_all_but(kept: set[int]) -> None:
    """The template's own sockets and locks are no business of a worker's."""
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(entry) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(entry))


def _work(env: dict[str, str]) -> None:
    """In the second fork: the worker."""
    from coursecli.check.worker import begin

    os.environ.clear()
    os.environ.update(env)
    random.seed()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as Python has it from its start
    begin()


class Spares:
    """One interpreter waits below this process, after its preload; the next one is started when no check runs."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._at_work: list[subprocess.Popen[bytes]] = []
        self._spare: tuple[subprocess.Popen[bytes], socket.socket] | None = self._begin()

    def start(self, control: int, fds: list[int]) -> None:
        process, talk = self._spare or self._begin()
        self._spare = None
        self._at_work.append(process)
        with talk, contextlib.suppress(OSError):  # one that has died gives no sign of life, and is done without
            socket.send_fds(talk, [b"."], [control, *fds])

    def fit(self) -> bool:
        return True

    def tend(self) -> float | None:
        self._at_work = [process for process in self._at_work if process.poll() is None]
        if self._spare is not None and self._spare[0].poll() is not None:
            self._spare[1].close()
            self._spare = None
        if self._spare is None and not self._at_work:  # while a check runs, its time is worth more
            self._spare = self._begin()
        return 0.5 if self._at_work else 60.0

    def close(self) -> None:
        if self._spare is not None:
            process, talk = self._spare
            talk.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5.0)

    def _begin(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        worker = self._course.manifest.worker
        modules = f"{worker.preload!r}, {worker.warm!r}"
        waits = python(f"from coursecli.check.waiting import wait_and_work; wait_and_work({modules})")
        home = str(Path(__file__).resolve().parent.parent.parent)
        serves = f"import sys; sys.path.append({home!r}); from coursecli.isolate.reserve import main; main()"
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", serves, str(theirs.fileno()), *waits],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd="/",
                env=environment(self._course),
            )
        return process, ours


def wait_and_work(modules: list[str], warm: list[str]) -> None:
    """In a spare interpreter: preload, wait for the order, and be the worker."""
    from coursecli.check.worker import begin, preload
    from coursecli.isolate.reserve import receive

    preload(modules, warm)
    gc.collect()
    gc.freeze()
    receive()
    begin()
