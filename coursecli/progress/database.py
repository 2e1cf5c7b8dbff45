"""A connection to the progress database: soundness, transactions, complaints in words, backups. `opening` repairs.

SQLite with a rollback journal and synchronous EXTRA (FULL, and the folder synced too): what was acknowledged survives a
power cut.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from coursecli.errors import StoreError
from coursecli.files import backups_of, claim_name, sync_folder
from coursecli.progress import migrations

if TYPE_CHECKING:
    import sqlite3

KEEP_BACKUPS = 8


class Unusable(Exception):  # noqa: N818
    """The file is missing or damaged, or is not ours."""


class NeedsWriting(Exception):  # noqa: N818
    """Reading must wait for a rollback or a migration."""


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
    folder = path.parent / "backups"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        copy = claim_name(path, folder)
        temporary = copy.with_name(f"{copy.name}.tmp")
        try:
            # SQLite's own copying: opening the file ourselves would drop this process's locks on it when we close it.
            with complaints(copy), contextlib.closing(open_file(temporary, "rwc")) as target:
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


def connect(path: Path, busy_seconds: float, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection to a sound database of the current schema.

    Raises:
        Unusable: there is no such database.
        NeedsWriting: only with `read_only`.
        StoreError: it is newer than this program, locked, or cannot be opened.
    """
    try:
        if path.stat().st_size == 0:
            raise Unusable("is an empty file")
    except FileNotFoundError:
        raise Unusable("is missing") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error.strerror or error}", "Check its permissions.") from error

    with complaints(path):
        connection = open_file(path, "ro" if read_only else "rw", busy_seconds)
    try:
        with complaints(path):
            check(connection, path)
            for pragma in ("synchronous = EXTRA", "fullfsync = ON", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")
            if migrations.version(connection) < len(migrations.MIGRATIONS):
                if read_only:
                    raise NeedsWriting
                _migrate(connection, path)
    except StoreError as error:
        connection.close()
        name = getattr(error.__cause__, "sqlite_errorname", "")
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise Unusable("is damaged") from error
        if read_only and name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
            raise NeedsWriting from error  # a killed writer left a journal, which must be rolled back first
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def open_file(path: Path, mode: Literal["ro", "rw", "rwc"], busy_seconds: float = 5.0) -> sqlite3.Connection:
    """SQLite's own connection. Only `rwc` makes a file that is not there. Transactions are begun by hand."""
    import sqlite3

    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None)


def check(connection: sqlite3.Connection, path: Path) -> None:
    """That this is our database, of a schema that we know, and sound."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != migrations.APPLICATION_ID:
        raise Unusable("is not a progress database")
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
        raise Unusable("is damaged")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    back_up(connection, path)
    with transaction(connection, path):
        migrations.apply_pending(connection)
