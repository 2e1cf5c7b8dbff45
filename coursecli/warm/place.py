"""Where a background process is found: its lock with its record in the workspace, its socket in a private folder.

The lock is what makes it the only one: the system lets go of it when the process ends, however that comes. The folder
is the user's alone, and its path is short: the path of a socket may have 104 bytes (macOS) or 108 (Linux).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

import msgspec

from coursecli.errors import EnvironmentProblem

SOCKET_BYTES = 100
LOCK = "worker.lock"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a background process says of itself in its lock file."""

    pid: int
    workspace: str
    socket: str
    kind: Literal["forks", "spares"]
    begun: float
    """Seconds since the epoch."""
    failed: str = ""
    """Why it gave up, in words: so that not every check tries again."""


def lock_file(workspace: Path) -> Path:
    from coursecli.course.workspace import STATE

    return workspace / STATE / LOCK


def private_folder() -> Path:
    """The folder for sockets: made when missing, of this user, closed to everybody else.

    Raises:
        EnvironmentProblem: there is none, or somebody else could look into it.
    """
    user = os.geteuid()
    places = [Path(os.environ[name]) / "intro2llm" for name in ("XDG_RUNTIME_DIR",) if os.environ.get(name)]
    places += [Path(tempfile.gettempdir()) / f"intro2llm-{user}", Path(f"/tmp/intro2llm-{user}")]
    reason = "no folder for it has a short enough path"
    for place in places:
        if len(os.fsencode(place)) + len("/0123456789abcdef.socket") > SOCKET_BYTES:
            continue
        try:
            with contextlib.suppress(FileExistsError):
                place.mkdir(mode=0o700)
            found = place.lstat()
        except OSError as error:
            reason = f"{place}: {error.strerror}"
            continue
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077:
            return place
        reason = f"{place} is not a folder of yours alone"
    raise EnvironmentProblem(f"There is no place for a background process: {reason}.", "Checks run without one.")


def name_of(workspace: Path) -> str:
    return hashlib.sha256(os.fsencode(workspace.resolve())).hexdigest()[:16]


def socket_path(workspace: Path) -> Path:
    """Raises EnvironmentProblem, as `private_folder`."""
    return private_folder() / f"{name_of(workspace)}.socket"


def note_path(workspace: Path) -> Path:
    """A link to the workspace, by which `workers` finds all of them."""
    return private_folder() / f"{name_of(workspace)}.workspace"


def take_lock(file: IO[bytes]) -> bool:
    """Be the background process of the workspace, unless there is one. Forks do not inherit such a lock."""
    import fcntl

    return _lock(file, fcntl.LOCK_EX)


def current(workspace: Path) -> Record | None:
    """The record of the background process of this workspace, if one lives."""
    try:
        import fcntl

        with lock_file(workspace).open("rb") as file:
            if _lock(file, fcntl.LOCK_SH):  # shared: of two that look, neither takes the other for a background process
                return None
            return read(file)
    except (OSError, ImportError):
        return None


def last(workspace: Path) -> Record | None:
    """The record of the one that lives, or lived last."""
    try:
        with lock_file(workspace).open("rb") as file:
            return read(file)
    except OSError:
        return None


def read(file: IO[bytes]) -> Record | None:
    """What the lock file says; None when it says nothing that makes sense."""
    try:
        file.seek(0)
        return msgspec.json.decode(file.read(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return None


def write(file: IO[bytes], record: Record) -> None:
    """Into the lock file, by the one that has the lock."""
    file.seek(0)
    file.truncate()
    file.write(msgspec.json.encode(record))
    file.flush()


def _lock(file: IO[bytes], kind: int) -> bool:
    import fcntl

    try:
        fcntl.lockf(file.fileno(), kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def everywhere() -> Iterator[Record]:
    """The background processes of this user, whatever workspace they serve."""
    try:
        notes = sorted(private_folder().glob("*.workspace"))
    except (EnvironmentProblem, AttributeError):  # Windows has no geteuid
        return
    for note in notes:
        with contextlib.suppress(OSError):
            workspace = note.readlink()
            record = current(workspace)
            if record is not None:
                yield record
            else:
                note.unlink(missing_ok=True)


def kill(workspace: Path, record: Record) -> bool:
    """End a background process that does not answer. Whether it is gone."""
    if current(workspace) != record:
        return True
    if not _is_one(record.pid):
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(record.pid, signal.SIGKILL)
    return gone(workspace, record, seconds=2.0)


def _is_one(pid: int) -> bool:
    """Whether this is the number of a background process, not of somebody else's who has got it since."""
    try:
        return b"coursecli.warm.keeper" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return not Path("/proc/self/cmdline").exists()  # elsewhere than on Linux the lock alone says so


def gone(workspace: Path, record: Record, *, seconds: float) -> bool:
    """Wait, not for ever, for a background process to end."""
    deadline = time.monotonic() + seconds
    while current(workspace) == record:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
