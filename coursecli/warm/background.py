"""The background process of a workspace, as a command sees it: ask it for workers, start one, hold it, stop it.

Nothing here fails: when there is no such process, or it does not answer, workers start cold. Each wait has a bound.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from coursecli.check.interpreter import environment, python
from coursecli.check.waiting import Kind, default_kind
from coursecli.course.catalogue import Course
from coursecli.errors import EnvironmentProblem
from coursecli.isolate.launcher import start_supervisor
from coursecli.warm import place
from coursecli.warm.fingerprint import fingerprint, made_from
from coursecli.warm.messages import LINE_BYTES, Answer, Orders, Request, line

COLD_VARIABLE = "INTRO2LLM_COLD"
IDLE_SECONDS = 15 * 60.0
ANSWER_SECONDS = 2.0
"""A process that has not answered by then is taken for wedged, and replaced."""
READY_SECONDS = 120.0
"""One that has not finished its preload by then, too."""
PAUSE_SECONDS = 0.1
"""Between two looks whether it is ready."""
FAILED_SECONDS = 600.0
"""How long no other is started after one that gave up."""

Found = Literal["ready", "none", "starting", "stale", "other", "wedged"]


def wanted(*, cold: bool = False) -> bool:
    """Whether checks may use a background process: not with `--cold`, $INTRO2LLM_COLD, or without sockets."""
    chosen = os.environ.get(COLD_VARIABLE, "").lower() not in ("", "0", "false", "no")
    return not (cold or chosen) and hasattr(socket, "AF_UNIX") and hasattr(os, "fork")


class Background:
    """`Workers` for the checks of one workspace. Several threads may use it."""

    def __init__(
        self, course: Course, workspace: Path, *, kind: Kind | None = None, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._course = course
        self._workspace = workspace.resolve()
        self._kind = kind or default_kind()
        self._idle_seconds = idle_seconds
        self._code = made_from()["code"]
        self._held: socket.socket | None = None
        self._lock = threading.Lock()
        self._begun: list[subprocess.Popen[bytes]] = []
        self.found: Found = "none"
        """What came of asking last."""

    def start(self, control: int, fds: list[int]) -> subprocess.Popen[bytes] | None:
        """A worker that had been waiting, else a cold one: a `Starter`."""
        with self._lock:
            talk = self._ask("worker") if self.found != "wedged" else None  # asked once in vain, not again and again
        if talk is not None:
            with talk, contextlib.suppress(OSError):
                socket.send_fds(talk, [b"."], [control, *fds])
                return None
        return start_supervisor(control, fds)

    def ensure(self) -> None:
        """See to it that a process will be there for a later check: start one, or replace one. Does not wait for it."""
        with self._lock:
            record = place.current(self._workspace)
            if record is None:
                if self._begins():
                    return
            elif self.found == "wedged" or (self.found == "starting" and time.time() - record.begun > READY_SECONDS):
                if not place.kill(self._workspace, record):
                    return
            elif self.found != "stale":  # that one goes by itself
                return
            failed = place.last(self._workspace)
            if failed is None or not failed.failed or time.time() - failed.begun > FAILED_SECONDS:
                self.found = "none"
                self._begin(after=record.pid if record is not None else 0)

    def hold(self, seconds: float, *, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Start it when it is not there, wait for it, and keep it from going while this process lives.

        Returns:
            whether it is there; after `seconds` at most, and soon after `given_up`.
        """
        deadline = time.monotonic() + seconds
        while True:
            with self._lock:
                if self._held is not None and not _closed(self._held):
                    return True
                self._let_go()
                self._held = self._ask("hold")
                if self._held is not None:
                    return True
            self.ensure()
            if time.monotonic() > deadline or given_up() or self.found == "other" or not self._hope():
                return False
            time.sleep(PAUSE_SECONDS)

    def release(self) -> None:
        """Hold it no longer, also when another thread is about to have got hold of it."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def _begins(self) -> bool:
        """Whether a process that this one has started lives."""
        self._begun = [process for process in self._begun if process.poll() is None]
        return bool(self._begun)

    def _hope(self) -> bool:
        """Whether one is on the way, from here or from elsewhere."""
        with self._lock:
            return self._begins() or place.current(self._workspace) is not None

    def _ask(self, what: Literal["worker", "hold"]) -> socket.socket | None:
        """A connection on which the answer was "ready"; `found` says what else there was."""
        record = place.current(self._workspace)
        if record is None:
            self.found = "none"
            return None
        talk = connect(record)
        if talk is None:
            self.found = "starting"
            return None
        mine = {**fingerprint(self._course), "code": self._code}
        try:
            word = exchange(talk, Request(do=what, fingerprint=mine)).word
        except (OSError, msgspec.MsgspecError):
            talk.close()
            self.found = "wedged"
            return None
        if word == "ready":
            self.found = "ready"
            return talk
        talk.close()
        self.found = "stale" if word == "going" else "other"
        return None

    def _begin(self, after: int) -> None:
        """Start the process: in its own session, with no file of ours open."""
        try:
            place.private_folder()
        except EnvironmentProblem:
            return
        orders = Orders(
            workspace=str(self._workspace),
            course=str(self._course.root),
            kind=self._kind,
            idle_seconds=self._idle_seconds,
            after=after,
        )
        with contextlib.suppress(OSError):
            process = subprocess.Popen(
                [*python("from coursecli.warm.keeper import main; main()"), msgspec.json.encode(orders).decode()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env=environment(self._course),
            )
            self._begun.append(process)


def connect(record: place.Record) -> socket.socket | None:
    """A connection to the process of this record; None when nobody listens, or the folder is not the user's alone."""
    talk = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        folder = Path(record.socket).parent.stat()
        if folder.st_uid != os.geteuid() or folder.st_mode & 0o077:
            raise PermissionError
        talk.settimeout(ANSWER_SECONDS)
        talk.connect(record.socket)
    except OSError:
        talk.close()
        return None
    return talk


def exchange(talk: socket.socket, request: Request) -> Answer:
    """Ask, and read the answer.

    Raises:
        OSError: no answer in time.
        msgspec.MsgspecError: an answer that makes no sense.
    """
    talk.settimeout(ANSWER_SECONDS)
    talk.sendall(line(request))
    said = b""
    deadline = time.monotonic() + ANSWER_SECONDS
    while b"\n" not in said:
        piece = talk.recv(LINE_BYTES)
        if not piece or len(said) > LINE_BYTES or time.monotonic() > deadline:
            raise ConnectionError
        said += piece
    return msgspec.json.decode(said, type=Answer)


def status(record: place.Record) -> Answer | None:
    """What a background process says of itself; None when it does not answer."""
    talk = connect(record)
    if talk is None:
        return None
    with talk, contextlib.suppress(OSError, msgspec.MsgspecError):
        return exchange(talk, Request(do="status"))
    return None


def stop(record: place.Record) -> bool:
    """End a background process, by asking or else by force. Checks that run go on. Whether it is gone."""
    workspace = Path(record.workspace)
    talk = connect(record)
    if talk is not None:
        with talk, contextlib.suppress(OSError, msgspec.MsgspecError):
            exchange(talk, Request(do="stop"))
            if place.gone(workspace, record, seconds=2.0):
                return True
    return place.kill(workspace, record)


def _closed(talk: socket.socket) -> bool:
    """Whether the other end is gone: it never says anything on a connection that holds it."""
    talk.settimeout(0.0)
    try:
        return not talk.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
