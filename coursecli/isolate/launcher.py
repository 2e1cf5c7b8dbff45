"""`launch(Job) -> Running`: the one way in which foreign code is started. It never waits without a bound.

The process gets stdin (empty, or a pipe), stdout, stderr, and three private descriptors: EVENTS to write lines to,
TRACE for stack dumps, MESSAGE to read what it was told. What the lines mean is the caller's business. POSIX only.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coursecli.errors import EnvironmentProblem
from coursecli.isolate.leftovers import kill_holders
from coursecli.isolate.limits import MIB, Limits
from coursecli.isolate.streams import Head, Sink, Tail

EVENTS, TRACE, MESSAGE = 3, 4, 5
"""The descriptors as the foreign process sees them."""

DUMP_SECONDS = 2.0
"""How long a process may take to dump its stack, once asked, before it is killed."""
_DUMP_SETTLES = 0.15
KILL_SECONDS = 8.0
"""How long the supervisor may take to kill and reap before the runner kills the supervisor."""
LINE_BYTES = 8 * MIB
_CHUNK = 1 << 16

Cause = Literal["exited", "signal", "deadline", "memory", "processes", "interrupted", "killed", "lost"]


@dataclass(frozen=True)
class Job:
    """What to start, and within which bounds."""

    argv: Sequence[str]
    """The first is an absolute path."""
    cwd: Path
    env: Mapping[str, str]
    """The whole environment: nothing is inherited."""
    limits: Limits
    message: bytes = b""
    """What the process can read from MESSAGE."""
    dumps: bool = False
    """The process writes its stack to TRACE on SIGUSR1: it is asked to, at the deadline, before it is killed."""
    listens: bool = False
    """Its stdin is a pipe, into which `Running.send` writes; otherwise it is empty."""


@dataclass(frozen=True)
class Ended:
    """How it ended. An exit code of 0 says nothing about success: only records do."""

    cause: Cause
    code: int | None
    """The exit code, when it exited by itself."""
    signal: int | None
    """The signal that killed it, when nobody here had asked for that."""
    seconds: float
    peak_memory: int
    left_running: int
    """Descendants that were still alive when the process itself was gone or was killed. They are dead now."""
    stdout: str
    stderr: str
    trace: str
    """The last stack dump that was asked for, and whatever a crash wrote after it."""


Starter = Callable[[int, list[int]], "subprocess.Popen[bytes] | None"]
"""Starts a supervisor: gets its end of the control socket, and the foreign process's descriptors, in order from 0.

It gives the supervisor's process when that is a child of this one, started anew; None when it comes from a process
that had been waiting.
"""


def launch(job: Job, *, output: Sink | None = None, starter: Starter | None = None) -> Running:
    """Start the job under a supervisor.

    With `output`, stdout and stderr go there together, in the order of writing; else the head of each is in `Ended`.

    Raises:
        EnvironmentProblem: this system cannot contain foreign processes (Windows), or the supervisor cannot be started.
    """
    if os.name != "posix":
        raise EnvironmentProblem(
            "Running learners' code needs Linux or macOS.",
            "On Windows, use WSL: https://learn.microsoft.com/windows/wsl/install",
        )
    theirs: list[int] = []
    ours: dict[str, int] = {}
    stdin: int | None = None

    def pipe(name: str) -> None:
        ours[name], write = os.pipe()
        theirs.append(write)

    control, other = socket.socketpair()
    try:
        if job.listens:
            read, stdin = os.pipe()
            theirs.append(read)
        else:
            theirs.append(os.open(os.devnull, os.O_RDONLY))
        pipe("stdout")
        if output is None:
            pipe("stderr")
        else:
            theirs.append(os.dup(theirs[1]))
        pipe("events")
        pipe("trace")
        with tempfile.TemporaryFile() as message:
            message.write(job.message)
            message.seek(0)
            theirs.append(os.dup(message.fileno()))
        process = (starter or start_supervisor)(other.fileno(), theirs)
        control.sendall(_order(job))
    except OSError as error:
        control.close()
        for fd in (*ours.values(), *([] if stdin is None else [stdin])):
            os.close(fd)
        raise EnvironmentProblem(f"A process for the learner's code cannot be started: {error}") from error
    finally:
        other.close()
        for fd in theirs:
            os.close(fd)
    return Running(control, ours, output, process, dumps=job.dumps, stdin=stdin)


def start_supervisor(control: int, fds: list[int]) -> subprocess.Popen[bytes]:
    """The usual starter: a new supervisor, which will execute `job.argv`."""
    from coursecli.isolate import supervisor

    return subprocess.Popen(
        [sys.executable, "-I", "-S", supervisor.__file__, str(control), *map(str, fds)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[control, *fds],
        start_new_session=True,
        cwd="/",
    )


def _order(job: Job) -> bytes:
    order = {
        "argv": list(job.argv),
        "cwd": os.fspath(job.cwd),
        "env": dict(job.env),
        "seconds": job.limits.seconds,
        "memory_bytes": job.limits.memory_bytes,
        "processes": job.limits.processes,
    }
    return json.dumps(order).encode() + b"\n"


class Running:
    """A foreign process, seen through its pipes. Use it in a `with`: leaving it kills whatever still runs."""

    def __init__(
        self,
        control: socket.socket,
        pipes: dict[str, int],
        output: Sink | None,
        process: subprocess.Popen[bytes] | None,
        *,
        dumps: bool,
        stdin: int | None = None,
    ) -> None:
        self._control = control
        self._stdin = stdin
        self._process = process
        self._stdout, self._stderr, self._trace = Head(), Head(), Tail()
        self._sinks: dict[str, Sink] = {
            "stdout": output or self._stdout,
            "stderr": self._stderr,
            "trace": self._trace,
        }
        self._pipes = pipes
        self._selector = selectors.DefaultSelector()
        for name, fd in pipes.items():
            os.set_blocking(fd, False)
            self._selector.register(fd, selectors.EVENT_READ, name)
        control.setblocking(False)
        self._selector.register(control, selectors.EVENT_READ, "control")
        self._started = time.monotonic()
        self._deadline: float | None = None
        self._dumps = dumps
        self._dump_asked = False
        self._reason: Cause | None = None
        self._kill_deadline: float | None = None
        self._said = bytearray()
        self._events = bytearray()
        self._skipping = False
        self.ended: Ended | None = None

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def warm(self) -> bool:
        """Whether it was started from a process that had been waiting, not anew."""
        return self._process is None

    def limit(self, seconds: float) -> None:
        """Move the deadline: `seconds` from now. The job's own limit, kept by the supervisor, stays."""
        self._deadline = time.monotonic() + seconds
        self._dump_asked = False

    def send(self, data: bytes) -> None:
        """Write into the process's stdin (the job said that it `listens`). One that has ended hears nothing."""
        with contextlib.suppress(BrokenPipeError):
            while data and self._stdin is not None:
                data = data[os.write(self._stdin, data) :]

    def end_input(self) -> None:
        """The process's stdin ends here."""
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None

    def interrupt(self) -> None:
        """What Ctrl-C would do if the process were in the terminal: SIGINT, and it goes on as it likes."""
        with contextlib.suppress(OSError):
            self._control.send(b"i")

    def kill(self, reason: Cause = "killed") -> None:
        """Ask for the end of the process and of everything it started. `lines` still yields what had been said."""
        if self._kill_deadline is None:
            self._reason = reason
            self._kill_deadline = time.monotonic() + KILL_SECONDS
            with contextlib.suppress(OSError):
                self._control.send(b"k")

    def lines(self) -> Iterator[bytes]:
        """Each complete line of the events pipe, until nothing of the process is left: then `ended` is set."""
        while True:
            yield from self._complete_lines()
            if self.ended is not None:
                return
            self._wait()

    def wait(self) -> Ended:
        """Let it run to its end, whatever its events say."""
        for _ in self.lines():
            pass
        assert self.ended is not None
        return self.ended

    def close(self) -> None:
        """Kill what still runs, and release the pipes."""
        if self.ended is None:
            self.kill()
            self.wait()

    def _wait(self) -> None:
        now = time.monotonic()
        if self._kill_deadline is not None:
            until: float | None = self._kill_deadline
            if now >= self._kill_deadline:
                self._force()
                return
        else:
            until = self._deadline
            if until is not None and now >= until:
                self._too_late()
                return
        for key, _ in self._selector.select(None if until is None else until - now):
            if self.ended is not None:
                return
            if key.data == "control":
                self._hear()
            else:
                self._read(key.data, key.fd)
        if self._events and "stdout" in self._pipes:  # what was printed before an event was sent is in the pipe by now
            self._read("stdout", self._pipes["stdout"])

    def _too_late(self) -> None:
        if not self._dumps or self._dump_asked:
            self.kill("deadline")
            return
        self._dump_asked = True
        self._trace.clear()
        self._deadline = time.monotonic() + DUMP_SECONDS
        with contextlib.suppress(OSError):
            self._control.send(b"d")

    def _read(self, name: str, fd: int) -> bool:
        """Take one piece. False when there is nothing at present, or the pipe is closed."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._selector.unregister(fd)
            os.close(self._pipes.pop(name))
            return False
        if name == "events":
            self._events += data
        else:
            self._sinks[name].feed(data)
        if name == "trace" and self._dump_asked:
            self._deadline = min(self._deadline or 0.0, time.monotonic() + _DUMP_SETTLES)
        return True

    def _complete_lines(self) -> Iterator[bytes]:
        while (end := self._events.find(b"\n")) >= 0:
            line = bytes(self._events[:end])
            del self._events[: end + 1]
            if self._skipping:
                self._skipping = False
            else:
                yield line
        if len(self._events) > LINE_BYTES:  # not one of ours
            self._events.clear()
            self._skipping = True

    def _hear(self) -> None:
        """The supervisor's report, and then the end of the socket."""
        try:
            data = self._control.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._said += data
        if not data:
            self._finish()

    def _force(self) -> None:
        """The supervisor does not answer: it was stopped or killed by the code that it watched."""
        pids = self._report(0)
        for pid in (pids.get("supervisor"), self._process.pid if self._process else None):
            if pid:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        self._finish()

    def _report(self, place: int) -> dict[str, int]:
        lines = bytes(self._said).split(b"\n")
        with contextlib.suppress(ValueError, IndexError):
            report = json.loads(lines[place])
            if isinstance(report, dict):
                return report
        return {}

    def _finish(self) -> None:
        begun, report = self._report(0), self._report(1)
        if not report and (worker := begun.get("worker")):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(worker, signal.SIGKILL)
            kill_holders(self._pipes.values())
        for name, fd in list(self._pipes.items()):  # whoever still holds an end, only what is there now is read
            budget = 64
            while budget and self._read(name, fd):
                budget -= 1
        for fd in self._pipes.values():
            os.close(fd)
        self.end_input()
        self._selector.close()
        self._control.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_SECONDS)
        cause, code, number = self._cause(report)
        self.ended = Ended(
            cause=cause,
            code=code,
            signal=number,
            seconds=time.monotonic() - self._started,
            peak_memory=report.get("peak", 0),
            left_running=report.get("left_running", 0),
            stdout=self._stdout.text,
            stderr=self._stderr.text,
            trace=self._trace.text,
        )

    def _cause(self, report: Mapping[str, object]) -> tuple[Cause, int | None, int | None]:
        said, status = report.get("cause"), report.get("status")
        if self._reason is not None:
            return self._reason, None, None
        if isinstance(status, int):
            if os.WIFSIGNALED(status):
                return "signal", None, os.WTERMSIG(status)
            return "exited", os.waitstatus_to_exitcode(status), None
        if said in ("deadline", "memory", "processes"):
            return said, None, None
        return "lost", None, None
