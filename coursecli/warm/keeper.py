"""The background process itself: waits, hands workers to the commands that ask, and goes when it is not needed.

A check asks for a worker, and sends its descriptors when the answer is "ready": what the worker says goes to the check,
and nothing of it through here. Whoever watches a workspace holds the process with an open connection. One thread: on
Linux this process is the template that is forked.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import msgspec

from coursecli.check.waiting import Waiting, make
from coursecli.course.catalogue import load_course
from coursecli.isolate.supervisor import descendants
from coursecli.warm import place
from coursecli.warm.fingerprint import fingerprint, made_from
from coursecli.warm.messages import LINE_BYTES, Answer, Fingerprint, Orders, Request, line

LOCK_SECONDS = 5.0
"""How long to wait for a predecessor that is about to go."""
LOOKING_SECONDS = 0.3
"""Commands that look whether there is a process hold the lock for a moment."""
SILENCE_SECONDS = 10.0
"""When a connection that asks nothing is closed."""
LOOK_SECONDS = 30.0
"""How often to look whether the workspace is still there."""
CONNECTIONS = 64


def main() -> None:
    """The whole life of a background process; its argument is `Orders` as JSON."""
    orders = msgspec.json.decode(sys.argv[1], type=Orders)
    try:
        file = os.open(place.lock_file(Path(orders.workspace)), os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(file, "r+b") as lock:
            if _sole(lock, orders.after):
                _live(orders, lock)
    except Exception:
        with contextlib.suppress(OSError):
            log = place.lock_file(Path(orders.workspace)).with_name("logs") / "background.log"
            log.parent.mkdir(exist_ok=True)
            log.write_text(traceback.format_exc(), encoding="utf-8")


def _sole(lock: IO[bytes], after: int) -> bool:
    """Take the lock. Another that has it is waited for only when it is about to go."""
    begun = time.monotonic()
    while not place.take_lock(lock):
        other = place.read(lock)
        waits = LOCK_SECONDS if other is not None and other.pid == after else LOOKING_SECONDS
        if time.monotonic() - begun > waits:
            return False
        time.sleep(0.05)
    return True


def _live(orders: Orders, lock: IO[bytes]) -> None:
    workspace = Path(orders.workspace)
    path, note = place.socket_path(workspace), place.note_path(workspace)
    record = place.Record(
        pid=os.getpid(), workspace=orders.workspace, socket=str(path), kind=orders.kind, begun=round(time.time(), 3)
    )
    path.unlink(missing_ok=True)  # of one that was killed: the lock is ours
    place.write(lock, record)
    with contextlib.suppress(FileExistsError):
        note.symlink_to(workspace)
    try:
        course = load_course(Path(orders.course))
        mine = fingerprint(course)
        waiting = make(orders.kind, course)
        if not waiting.fit():
            raise RuntimeError("what the course loads first starts threads")
    except Exception as error:
        place.write(lock, msgspec.structs.replace(record, failed=f"{type(error).__name__}: {error}"))
        raise
    try:
        if not outdated(mine):
            with _listen(path) as listener:
                Keeper(workspace, path, mine, waiting, listener, orders.idle_seconds).serve()
    finally:
        waiting.close()


def outdated(mine: Fingerprint) -> bool:
    """Whether coursecli or a package has changed since `mine` was taken."""
    now = made_from()
    return any(mine[name] != value for name, value in now.items())


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(16)
    return listener


@dataclass
class Connection:
    socket: socket.socket
    since: float
    said: bytes = b""
    promised: bool = False
    """It was told "ready": what comes next are descriptors."""
    holds: bool = False


class Keeper:
    """Answers until nobody has asked for `idle_seconds`, or there is a reason to go."""

    def __init__(
        self,
        workspace: Path,
        path: Path,
        mine: Fingerprint,
        waiting: Waiting,
        listener: socket.socket,
        idle_seconds: float,
    ) -> None:
        self._workspace = workspace
        self._path = path
        self._inode = path.stat().st_ino
        self._mine = mine
        self._waiting = waiting
        self._idle_seconds = idle_seconds
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._connections: dict[int, Connection] = {}
        self._asked = time.monotonic()
        self._checks = 0
        self._going = False

    def serve(self) -> None:
        try:
            while not self._going and self._wanted():
                wait = min(LOOK_SECONDS, self._waiting.tend() or LOOK_SECONDS, self._until_idle())
                for key, _ in self._selector.select(max(0.0, wait)):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif connection := self._connections.get(key.fd):
                        self._hear(connection)
                self._close_silent()
        finally:
            with contextlib.suppress(OSError):
                if self._path.stat().st_ino == self._inode:
                    self._path.unlink()
                    place.note_path(self._workspace).unlink(missing_ok=True)

    def _wanted(self) -> bool:
        """Whether there is anybody left to wait for, and a way to reach this process."""
        try:
            there = self._path.stat().st_ino == self._inode and place.lock_file(self._workspace).is_file()
        except OSError:
            there = False
        return there and self._until_idle() > 0

    def _until_idle(self) -> float:
        if any(connection.holds for connection in self._connections.values()):
            return LOOK_SECONDS
        return self._asked + self._idle_seconds - time.monotonic()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            talk, _ = self._listener.accept()
            if len(self._connections) >= CONNECTIONS:
                talk.close()
                return
            talk.settimeout(1.0)
            self._connections[talk.fileno()] = Connection(talk, time.monotonic())
            self._selector.register(talk, selectors.EVENT_READ)

    def _hear(self, connection: Connection) -> None:
        fds: list[int] = []
        try:
            said, fds, _, _ = socket.recv_fds(connection.socket, LINE_BYTES, 16)
            if not said or connection.holds:
                self._close(connection)
            elif connection.promised:
                self._start(connection, fds)
            else:
                connection.said += said
                if b"\n" in connection.said:
                    self._answer(connection)
                elif len(connection.said) > LINE_BYTES:
                    self._close(connection)
        except (OSError, msgspec.MsgspecError):
            self._close(connection)
        finally:
            for fd in fds:
                os.close(fd)

    def _start(self, connection: Connection, fds: list[int]) -> None:
        if len(fds) > 1:
            control, *places = fds
            self._waiting.start(control, places)
            self._checks += 1
        self._close(connection)

    def _answer(self, connection: Connection) -> None:
        request = msgspec.json.decode(connection.said, type=Request)
        connection.said = b""
        idle = time.monotonic() - self._asked
        answer = Answer(word="status", checks=self._checks, idle=round(idle, 1), memory=_memory())
        if request.do == "stop":
            answer = Answer(word="stopping")
            self._going = True
        elif request.do in ("worker", "hold"):
            self._asked = time.monotonic()
            answer = Answer(word=self._judge(request.fingerprint))
            connection.promised = answer.word == "ready" and request.do == "worker"
            connection.holds = answer.word == "ready" and request.do == "hold"
            self._going = answer.word == "going"
        connection.socket.sendall(line(answer))

    def _judge(self, theirs: Fingerprint) -> Literal["ready", "going", "other"]:
        """Whether this process stands for what the asker would start. Who is out of date goes, or does without."""
        if not self._waiting.fit():
            return "going"
        different = {name for name, value in self._mine.items() if theirs.get(name) != value}
        if not different:
            return "ready"
        if different & set(made_from()) and not outdated(self._mine):
            return "other"
        return "going"

    def _close_silent(self) -> None:
        before = time.monotonic() - SILENCE_SECONDS
        for connection in list(self._connections.values()):
            if not connection.holds and connection.since < before:
                self._close(connection)

    def _close(self, connection: Connection) -> None:
        if self._connections.pop(connection.socket.fileno(), None):
            self._selector.unregister(connection.socket)
            connection.socket.close()


def _memory() -> int:
    """Resident bytes of this process and of what is below it; 0 where nobody can tell."""
    return sum(_resident(pid) for pid in [os.getpid(), *descendants()])


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
