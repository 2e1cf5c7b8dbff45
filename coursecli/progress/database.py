"""Open the progress database: locks, damage, repair from a backup, migrating. What it holds is up to `store`.

SQLite with a rollback journal and synchronous EXTRA (FULL, and the folder synced too): what was acknowledged survives a
power cut.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from coursecli.errors import StoreError, WorkspaceError
from coursecli.files import backups_of, claim_name, file_lock, sync_folder
from coursecli.progress import migrations

if TYPE_CHECKING:
    import sqlite3

KEEP_BACKUPS = 8


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


class _Unusable(Exception):  # noqa: N818
    """The file is missing or damaged, or is not ours."""


class _NeedsWriting(Exception):  # noqa: N818
    """Reading must wait for a rollback or a migration."""


def open_database(path: Path, *, create: bool, read_only: bool, busy_seconds: float) -> Opened:
    """See `Store.open`."""
    if read_only:
        with contextlib.suppress(_Unusable, _NeedsWriting):
            return Opened(path, _connect(path, busy_seconds, read_only=True), [])
    try:
        return Opened(path, _connect(path, busy_seconds), [])
    except _Unusable as reason:
        notices: list[StoreNotice] = []
        with _lock(path, busy_seconds, str(reason)):
            try:
                connection = _connect(path, busy_seconds)  # another process may have mended it meanwhile
            except _Unusable as still:
                notice = _repair(path, str(still))
                if not (create and notice.kind == "restarted" and notice.set_aside is None):
                    notices.append(notice)
                connection = _connect(path, busy_seconds)
        return Opened(path, connection, notices)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """All that happens inside is on disk at the end, or nothing of it."""
    with complaints(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextlib.contextmanager
def complaints(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a StoreError that says what to do."""
    import sqlite3

    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise  # a fault of ours
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorname", None) or ""
        for prefixes, what, remedy in _COMPLAINTS:
            if code.startswith(prefixes):
                raise StoreError(f"{path}: {what}", remedy) from error
        raise StoreError(f"{path}: {error}", "intro2llm doctor looks for the cause.") from error


_COMPLAINTS = (
    (
        ("SQLITE_BUSY", "SQLITE_LOCKED"),
        "another program has kept the progress database locked",
        "Wait until it has finished, or end it, and try again.",
    ),
    (
        ("SQLITE_FULL",),
        "the disk is full; nothing was recorded, and nothing was lost",
        "Free some space and try again.",
    ),
    (
        ("SQLITE_READONLY_DBMOVED",),
        "the progress database was moved or replaced meanwhile; nothing was recorded",
        "Repeat the command.",
    ),
    (
        ("SQLITE_READONLY",),
        "the progress database cannot be written",
        "Check the permissions of the file and of its folder.",
    ),
    (
        ("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH"),
        "the progress database cannot be opened",
        "Check the permissions of the file and of its folder.",
    ),
    (
        ("SQLITE_IOERR",),
        "the disk failed, or is full; nothing was recorded",
        "Check the free space and the disk, and try again.",
    ),
    (
        ("SQLITE_CORRUPT", "SQLITE_NOTADB"),
        "the progress database is damaged",
        "Type intro2llm status: it restores the last backup.",
    ),
)


def back_up(connection: sqlite3.Connection, path: Path) -> Path:
    """Copy the database, as it is in this connection, to a new backup; drop the oldest beyond KEEP_BACKUPS."""
    import sqlite3

    folder = path.parent / "backups"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        copy = claim_name(path, folder)
        temporary = copy.with_name(f"{copy.name}.tmp")
        try:
            # SQLite's own copying: opening the file ourselves would drop this process's locks on it when we close it.
            with complaints(copy), contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as target:
                target.execute("PRAGMA synchronous = FULL")
                connection.backup(target)
            temporary.replace(copy)
        except BaseException:
            temporary.unlink(missing_ok=True)
            copy.unlink(missing_ok=True)
            raise
        sync_folder(folder)
        for old in backups_of(path, folder)[:-KEEP_BACKUPS]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: no backup could be made: {error.strerror or error}") from error
    return copy


def _connect(path: Path, busy_seconds: float, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection to a sound database of the current schema.

    Raises:
        _Unusable: there is no such database.
        _NeedsWriting: only with `read_only`.
        StoreError: it is newer than this program, locked, or cannot be opened.
    """
    import sqlite3

    try:
        if path.stat().st_size == 0:
            raise _Unusable("is empty")
    except FileNotFoundError:
        raise _Unusable("is missing") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error.strerror or error}", "Check its permissions.") from error

    with complaints(path):
        mode = "ro" if read_only else "rw"  # never "rwc": making one is a decision
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None)
    try:
        with complaints(path):
            _check(connection, path)
            for pragma in ("synchronous = EXTRA", "fullfsync = ON", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")
            if migrations.version(connection) < len(migrations.MIGRATIONS):
                if read_only:
                    raise _NeedsWriting
                _migrate(connection, path)
    except StoreError as error:
        connection.close()
        name = getattr(error.__cause__, "sqlite_errorname", "")
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise _Unusable("is damaged") from error
        if read_only and name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
            raise _NeedsWriting from error  # a killed writer left a journal, which must be rolled back first
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """That this is our database, of a schema that we know, and sound."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != migrations.APPLICATION_ID:
        raise _Unusable("is not a progress database")
    known, found = len(migrations.MIGRATIONS), migrations.version(connection)
    if found > known:
        raise StoreError(
            f"{path}: was written by a newer intro2llm (schema {found}; this one knows {known}). It was not touched.",
            "Update with: pip install --upgrade intro2llm",
        )
    connection.execute("BEGIN")
    try:
        sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        # No writer gets at the file while this transaction reads. SQLite fills up with zeros a last page that was cut.
        size, whole_page = path.stat().st_size, connection.execute("PRAGMA page_size").fetchone()[0]
    finally:
        connection.execute("ROLLBACK")
    if not sound or size % whole_page:
        raise _Unusable("is damaged")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    back_up(connection, path)
    with transaction(connection, path):
        migrations.apply_pending(connection)


def _repair(path: Path, reason: str) -> StoreNotice:
    """Set the file aside, and put the last sound backup, or a new database, in its place. The caller holds the lock."""
    try:
        aside = _set_aside(path)
        where = f" It is kept as {aside.name}." if aside else ""
        for backup in reversed(backups_of(path, path.parent / "backups")):
            if _put_in_place(path, backup):
                return StoreNotice(
                    "restored",
                    f"The progress database {reason}.{where} The backup {backup.name} took its place.",
                    "What was recorded after that backup is missing: intro2llm check records a lesson again.",
                    aside,
                    backup,
                )
        _put_in_place(path, None)
    except OSError as error:
        raise StoreError(
            f"{path}: {reason}, and cannot be restored: {error.strerror or error}",
            "Check the free space and the permissions of that folder.",
        ) from error
    return StoreNotice(
        "restarted",
        f"The progress database {reason}, and there is no backup.{where} A new one was started.",
        "Your code is untouched: intro2llm check LESSON records a lesson again.",
        aside,
        None,
    )


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


def _put_in_place(path: Path, backup: Path | None) -> bool:
    """Put a copy of the backup, or a new database, at `path`, whole or not at all. False: the backup is not sound."""
    import sqlite3

    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")
    try:
        with complaints(path), contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as target:
            target.execute("PRAGMA synchronous = FULL")
            if backup is None:
                with transaction(target, path):
                    migrations.apply_pending(target)
            else:
                try:
                    with contextlib.closing(
                        sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro", uri=True)
                    ) as source:
                        _check(source, backup)
                        source.backup(target)
                except (sqlite3.DatabaseError, _Unusable, StoreError):
                    return False
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return True


@contextlib.contextmanager
def _lock(path: Path, seconds: float, reason: str) -> Iterator[None]:
    """One process at a time makes or mends the database."""
    try:
        with file_lock(path.with_name(f"{path.name}.lock"), seconds=seconds):
            yield
    except WorkspaceError as error:
        raise StoreError(f"{path}: {reason}, and cannot be restored: {error.message}", error.remedy) from error
