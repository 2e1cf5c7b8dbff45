"""Open the progress database whatever became of its file: as it is, else from the last backup, else anew; say which."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from coursecli.errors import StoreError, WorkspaceError
from coursecli.files import backups_of, file_lock, sync_folder
from coursecli.progress import database, migrations
from coursecli.progress.database import NeedsWriting, Unusable, connect

if TYPE_CHECKING:
    import sqlite3


class StoreNotice(NamedTuple):
    """Something about the database that the user must be told."""

    kind: Literal["restored", "restarted"]
    message: str
    remedy: str
    set_aside: Path | None
    """Where the file that could not be used is now."""
    backup: Path | None
    """The backup that took its place."""


class Opened(NamedTuple):
    path: Path
    connection: sqlite3.Connection
    notices: list[StoreNotice]


def open_database(path: Path, *, create: bool, read_only: bool, busy_seconds: float) -> Opened:
    """See `Store.open`."""
    if read_only:
        with contextlib.suppress(Unusable, NeedsWriting):
            return Opened(path, connect(path, busy_seconds, read_only=True), [])
    try:
        return Opened(path, connect(path, busy_seconds), [])
    except Unusable as reason:
        notices: list[StoreNotice] = []
        with _lock(path, busy_seconds, str(reason)):
            try:
                connection = connect(path, busy_seconds)  # another process may have mended it meanwhile
            except Unusable as still:
                notice = _repair(path, str(still))
                if not (create and notice.kind == "restarted" and notice.set_aside is None):
                    notices.append(notice)
                connection = connect(path, busy_seconds)
        return Opened(path, connection, notices)


def _repair(path: Path, reason: str) -> StoreNotice:
    """Set the file aside; put the last sound backup, or a new database, in its place. The caller holds the lock."""
    for litter in path.parent.glob(f".{path.name}.*.tmp*"):
        litter.unlink(missing_ok=True)  # of a repair that was killed
    replacement = path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")
    try:
        backup = _make_replacement(path, replacement)  # before anything is moved: the disk may be full
        aside = _set_aside(path)
        replacement.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(
            f"{path}: the progress database {reason}, and cannot be restored: {error.strerror or error}",
            "Check the free space and the permissions of that folder.",
        ) from error
    finally:
        replacement.unlink(missing_ok=True)
    where = f" It is kept as {aside.name}." if aside else ""
    if backup is None:
        message = f"The progress database {reason}, and there is no backup to restore.{where} A new one was started."
        remedy = "Your code is untouched: intro2llm check LESSON records a lesson again."
        return StoreNotice("restarted", message, remedy, aside, None)
    message = f"The progress database {reason}.{where} The backup {backup.name} took its place."
    remedy = "What was recorded after that backup is missing: intro2llm check records a lesson again."
    return StoreNotice("restored", message, remedy, aside, backup)


def _make_replacement(path: Path, replacement: Path) -> Path | None:
    """Write a copy of the last sound backup, and return which; without one, write a new database, and return None."""
    with database.complaints(path), contextlib.closing(database.open_file(replacement, "rwc")) as target:
        target.execute("PRAGMA synchronous = FULL")
        for backup in reversed(backups_of(path, path.parent / "backups")):
            with contextlib.closing(database.open_file(backup, "ro")) as source:
                if _is_sound(source, backup):
                    source.backup(target)
                    return backup
        with database.transaction(target, path):
            migrations.apply_pending(target)
    return None


def _is_sound(connection: sqlite3.Connection, backup: Path) -> bool:
    try:
        with database.complaints(backup):
            database.check(connection, backup)
    except (Unusable, StoreError):
        return False
    return True


def _set_aside(path: Path) -> Path | None:
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")):
        number += 1
    there = os.path.lexists(path)
    if there:
        path.rename(aside)
    journal = path.with_name(f"{path.name}-journal")
    if journal.exists():
        # Left where it is, SQLite would play it back into the database that comes next.
        journal.replace(aside.with_name(f"{aside.name}-journal"))
    sync_folder(path.parent)
    return aside if there else None


@contextlib.contextmanager
def _lock(path: Path, seconds: float, reason: str) -> Iterator[None]:
    """One process at a time makes or mends the database."""
    try:
        with file_lock(path.with_name(f"{path.name}.lock"), seconds=seconds):
            yield
    except WorkspaceError as error:
        raise StoreError(
            f"{path}: the progress database {reason}, and cannot be restored: {error.message}", error.remedy
        ) from error
