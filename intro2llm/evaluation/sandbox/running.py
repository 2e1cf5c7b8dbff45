"""This end of the sandbox: start the supervisor, feed and read the pipes, keep the deadline. Given."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Isolation = Literal["strong", "limited", "none"]

OUTPUT_BYTES = 1 << 20
"""How much a program may write to stdout, and to stderr."""
SETUP_SECONDS = 30.0
"""How long the walls may take to be built. The program's own time begins when they stand."""
KILL_SECONDS = 10.0
"""How long the supervisor may take to end everything, before it is ended itself."""
PROBE = "import os; print(len(os.listdir('.')))"


class SandboxError(RuntimeError):
    """This system cannot run a program in this way. One line: what is missing."""


@dataclass(frozen=True)
class Ran:
    """What became of a program."""

    stdout: str
    stderr: str
    ended: Literal["exited", "timeout", "killed", "flooded"]
    """By itself; at the deadline; by a signal, or for taking too much memory or too many processes; or for writing too
    much. What it had written until then is in `stdout` and `stderr`."""
    code: int | None
    """The exit code if it ended by itself; minus the signal's number if one that nobody here sent has ended it."""
    isolation: Isolation
    """The isolation that it ran under."""


@functools.cache
def available_isolation() -> Isolation:
    """The best isolation that works here. It is found out by running a program under it."""
    levels: tuple[Isolation, ...] = ("strong", "limited") if sys.platform == "linux" else ()
    for isolation in levels:
        with contextlib.suppress(SandboxError):
            if run_program(PROBE, timeout=SETUP_SECONDS, isolation=isolation).stdout == "0\n":
                return isolation
    return "none"


def run_program(source: str, *, timeout: float, memory_bytes: int = 1 << 30, isolation: Isolation | None = None) -> Ran:
    """Run Python source in a process of its own, to its end or to its bounds. Whatever it does comes back as a result.

    Args:
        source: of the program; it is `__main__`. It is read from a pipe, so no file holds it.
        timeout: seconds from the start of the interpreter.
        memory_bytes: of address space, for each of its processes; and of memory, for all of them together.
        isolation: the level to run under; None means `available_isolation()`.

    Raises:
        SandboxError: the level cannot be had here. Never for what the program does.
    """
    if os.name != "posix":
        raise SandboxError("Programs of a model can be run on Linux and macOS; on Windows, use WSL.")
    if isolation is None:
        isolation = available_isolation()
    folder = tempfile.mkdtemp(prefix=f"sandbox-{os.getpid()}-")
    try:
        with _Supervised(folder, isolation, timeout, memory_bytes) as program:
            return program.run(source.encode("utf-8", "surrogatepass"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Supervised:
    """The supervisor, its control socket, and the pipes of the program below it. Leaving the `with` ends all of it."""

    def __init__(self, folder: str, isolation: Isolation, timeout: float, memory_bytes: int) -> None:
        self._isolation: Isolation = isolation
        self._timeout = timeout
        self._control, theirs = socket.socketpair()
        # The interpreter of a virtual environment is a link, and the program is to have the bare one.
        interpreter = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
        order = {
            "interpreter": interpreter,
            "prefix": os.path.realpath(sys.base_prefix),
            "folder": os.path.realpath(folder),
            "isolation": isolation,
            "seconds": timeout,
            "memory_bytes": memory_bytes,
        }
        script = Path(__file__).with_name("supervisor.py")
        with theirs:
            self._process = subprocess.Popen(
                [interpreter, "-I", "-S", "-B", str(script), str(theirs.fileno()), json.dumps(order)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd="/",
                env={},
            )
        self._pipes = {"stdin": self._process.stdin, "stdout": self._process.stdout, "stderr": self._process.stderr}
        self._said = b""
        self._written = {"stdout": bytearray(), "stderr": bytearray()}

    def __enter__(self) -> _Supervised:
        return self

    def __exit__(self, *exception: object) -> None:
        """Closing the socket is the order to end it all. A supervisor that does not obey is ended itself."""
        self._control.close()
        for pipe in self._pipes.values():
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def run(self, source: bytes) -> Ran:
        cut = self._attend(source)
        reports = [json.loads(line) for line in self._said.splitlines()]
        if not reports:
            stderr = self._written["stderr"].decode("utf-8", "replace").strip().splitlines()
            raise SandboxError(f"The sandbox's supervisor has not started: {stderr[-1] if stderr else 'no reason'}.")
        report = {name: value for each in reports for name, value in each.items()}
        if "failed" in report:
            raise SandboxError(f"A sandbox ({self._isolation}) cannot be made here: {report['failed']}.")
        code = os.waitstatus_to_exitcode(report["status"]) if "status" in report else None
        ended = cut or "killed"
        if cut is None and code is not None:
            ended = "exited" if code >= 0 else "timeout" if code == -signal.SIGXCPU else "killed"
        stdout, stderr = (bytes(each[:OUTPUT_BYTES]).decode("utf-8", "replace") for each in self._written.values())
        return Ran(stdout, stderr, ended, code if ended in ("exited", "killed") else None, self._isolation)

    def _attend(self, source: bytes) -> Literal["timeout", "flooded"] | None:
        """Serve the pipes until the supervisor is done. If we had to end the program, why."""
        cut: Literal["timeout", "flooded"] | None = None
        started = False
        deadline = time.monotonic() + SETUP_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ, "control")
            for name, pipe in self._pipes.items():
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_WRITE if name == "stdin" else selectors.EVENT_READ, name)
            while True:
                left = deadline - time.monotonic()
                if left <= 0 and cut is not None:
                    return cut  # the supervisor does not answer: it was stopped, or killed
                too_much = any(len(written) > OUTPUT_BYTES for written in self._written.values())
                if cut is None and (left <= 0 or too_much):
                    cut = "flooded" if too_much else "timeout"
                    self._control.shutdown(socket.SHUT_WR)
                    deadline = time.monotonic() + KILL_SECONDS
                    continue
                for key, _ in selector.select(left):
                    if key.data == "stdin":
                        source = self._feed(source)
                        if not source:
                            selector.unregister(key.fileobj)
                            self._pipes["stdin"].close()
                    elif key.data == "control":
                        said = self._control.recv(1 << 16)
                        if not said:
                            self._read_the_rest()
                            return cut
                        self._said += said
                        if not started:
                            started, deadline = True, time.monotonic() + self._timeout
                    elif self._read(key.data) == b"":
                        selector.unregister(key.fileobj)

    def _feed(self, source: bytes) -> bytes:
        """Write what fits into the program's stdin; what is left to write."""
        try:
            return source[os.write(self._pipes["stdin"].fileno(), source) :]
        except BrokenPipeError:
            return b""

    def _read(self, name: str) -> bytes | None:
        """Take one piece of output; b"" at its end, None when there is nothing now. Past the limit, it is dropped."""
        try:
            data = os.read(self._pipes[name].fileno(), 1 << 16)
        except BlockingIOError:
            return None
        if len(self._written[name]) <= OUTPUT_BYTES:
            self._written[name] += data
        return data

    def _read_the_rest(self) -> None:
        for name, written in self._written.items():
            while len(written) <= OUTPUT_BYTES and self._read(name):
                pass
