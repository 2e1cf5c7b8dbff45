"""The schema of the progress database, as a list of named steps. Opening, damage and queries belong to `store`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID = 0x49324C4D
"""The letters I2LM, in the file's header: a database without them is somebody else's."""


class Migration(NamedTuple):
    name: str
    statements: tuple[str, ...]


def _append_only(table: str) -> tuple[str, ...]:
    return tuple(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    )


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "0001-attempts-hints-marks-settings",
        (
            # `seq` orders everything. `at` is for people: clocks go backwards.
            """CREATE TABLE attempts (
                seq INTEGER PRIMARY KEY AUTOINCREMENT,
                at TEXT NOT NULL,
                course TEXT NOT NULL,
                lesson TEXT NOT NULL,
                whole_lesson INTEGER NOT NULL CHECK (whole_lesson IN (0, 1)),
                passed INTEGER NOT NULL CHECK (passed IN (0, 1)),
                seconds REAL NOT NULL,
                problem TEXT,
                evidence TEXT NOT NULL,
                versions TEXT NOT NULL
            )""",
            "CREATE INDEX attempts_by_lesson ON attempts (lesson, seq)",
            """CREATE TABLE attempt_tasks (
                attempt INTEGER NOT NULL REFERENCES attempts (seq),
                task TEXT NOT NULL,
                verdict TEXT NOT NULL CHECK (verdict IN ('passed', 'failed', 'undecided')),
                PRIMARY KEY (attempt, task)
            ) WITHOUT ROWID""",
            # Each name once: attempts are many, and every command reads the file whole to see that it is sound.
            "CREATE TABLE tests (id INTEGER PRIMARY KEY, name TEXT NOT NULL, task TEXT NOT NULL, UNIQUE (name, task))",
            """CREATE TABLE attempt_tests (
                attempt INTEGER NOT NULL REFERENCES attempts (seq),
                position INTEGER NOT NULL,
                test INTEGER NOT NULL REFERENCES tests (id),
                outcome TEXT NOT NULL,
                seconds REAL NOT NULL,
                mistake TEXT,
                PRIMARY KEY (attempt, position)
            ) WITHOUT ROWID""",
            "CREATE TABLE hints (seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "task TEXT NOT NULL, level INTEGER NOT NULL CHECK (level >= 1))",
            "CREATE TABLE marks (seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "kind TEXT NOT NULL CHECK (kind IN ('started', 'skipped')), lesson TEXT NOT NULL)",
            "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
            *_append_only("attempts"),
            *_append_only("attempt_tasks"),
            *_append_only("tests"),
            *_append_only("attempt_tests"),
            *_append_only("hints"),
            *_append_only("marks"),
        ),
    ),
)
"""Append only: a step that has been released is never edited. `user_version` counts the steps that a file has had."""


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def apply_pending(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date. The caller holds a transaction, so a half-done migration is rolled back whole."""
    for step in MIGRATIONS[version(connection) :]:
        for statement in step.statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
