"""Record what happened, and read it back. Opening and repair are up to `opening`; what it means, to `state`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypeVar

import msgspec

from coursecli.errors import StoreError
from coursecli.progress import database
from coursecli.progress.evidence import Evidence
from coursecli.progress.opening import Opened, StoreNotice, open_database

if TYPE_CHECKING:
    from coursecli.check.results import CheckResult

_T = TypeVar("_T")

Verdict = Literal["passed", "failed", "undecided"]
"""A task in one attempt. undecided: no test of it failed, but some did not get their turn."""

BACKUP_EVERY = 10
"""Recorded events between two backups. A lesson that is started, skipped or passed makes one at once."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One check, as stored."""

    seq: int
    """Later attempts have larger numbers, whatever the clock said."""
    at: str
    """UTC, ISO 8601: for people."""
    course: str
    lesson: str
    whole_lesson: bool
    passed: bool
    seconds: float
    problem: str | None
    """The kind of problem that kept the tests from running, if any."""
    evidence: Evidence
    versions: dict[str, str]
    tasks: dict[str, Verdict]
    """The scope, with the verdict on each task."""


class StoredTest(msgspec.Struct, frozen=True):
    """One test of an attempt."""

    test: str
    task: str
    outcome: str
    seconds: float
    mistake: str | None


class Store:
    """An open progress database. `notices` holds what the user must be told about how it was opened."""

    def __init__(self, opened: Opened) -> None:
        self._connection = opened.connection
        self._path = opened.path
        self.notices: list[StoreNotice] = opened.notices

    @classmethod
    def open(cls, path: Path, *, create: bool = False, read_only: bool = False, busy_seconds: float = 5.0) -> Self:
        """Open the database at `path`; backups are kept in the folder `backups` beside it.

        A damaged, foreign or missing file is set aside, and the last backup takes its place; without one, a new
        database does. `notices` says so. `read_only` never writes, unless the file needs a repair or a newer schema.

        Args:
            create: a new database is expected, so making one is no notice.
            busy_seconds: how long to wait for another process.

        Raises:
            StoreError: the database is newer than this program, locked for too long, or cannot be read or written.
        """
        return cls(open_database(path, create=create, read_only=read_only, busy_seconds=busy_seconds))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def record_attempt(self, result: CheckResult, evidence: Evidence) -> int:
        """Store a check with its scope and every outcome. Returns its number, once it is on disk."""
        tasks = [(task, _verdict(result, task)) for task in dict.fromkeys(result.scope)]
        with self._writing(backup_now=result.whole_lesson and result.passed):
            cursor = self._connection.execute(
                "INSERT INTO attempts (at, course, lesson, whole_lesson, passed, seconds, problem, evidence, versions) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    _now(),
                    result.course,
                    result.lesson,
                    result.whole_lesson,
                    result.passed,
                    result.seconds,
                    result.problem.kind if result.problem else None,
                    msgspec.json.encode(evidence).decode(),
                    msgspec.json.encode(result.versions).decode(),
                ),
            )
            seq = int(cursor.lastrowid or 0)
            self._connection.executemany("INSERT INTO attempt_tasks VALUES (?, ?, ?)", [(seq, *task) for task in tasks])
            names = [(_text(test.id), test.task) for test in result.tests]
            self._connection.executemany("INSERT OR IGNORE INTO tests (name, task) VALUES (?, ?)", names)
            self._connection.executemany(
                "INSERT INTO attempt_tests SELECT ?, ?, id, ?, ?, ? FROM tests WHERE name = ? AND task = ?",
                [
                    (seq, i, test.outcome, test.seconds, test.failure.mistake if test.failure else None, *name)
                    for i, (test, name) in enumerate(zip(result.tests, names))
                ],
            )
        return seq

    def attempts(self, lesson: str | None = None, limit: int | None = None) -> list[Attempt]:
        """The attempts at a lesson (its full id), or at all of them; oldest first. `limit` keeps the latest."""
        with self._reading():
            return self._select(
                "WHERE ?1 IS NULL OR lesson = ?1 ORDER BY seq DESC LIMIT ?2", (lesson, -1 if limit is None else limit)
            )

    def decisive_attempts(self, lesson: str) -> list[Attempt]:
        """Those that decide the state of a lesson, oldest first: few, however many there have been.

        The last one at the whole lesson, the last of these that passed, and for each task the last in which it passed
        and the last in which it failed. While no attempt at the whole lesson has passed: all of them.
        """
        with self._reading():
            whole = "SELECT max(seq) FROM attempts WHERE lesson = ? AND whole_lesson"
            (passed,) = self._connection.execute(f"{whole} AND passed", (lesson,)).fetchone()
            if passed is None:
                return self._select("WHERE lesson = ? ORDER BY seq DESC", (lesson,))
            return self._select(
                f"""WHERE seq = ?2 OR seq = ({whole.replace("?", "?1")}) OR seq IN (
                    SELECT max(attempt) FROM attempt_tasks JOIN attempts ON seq = attempt
                    WHERE lesson = ?1 AND verdict != 'undecided' GROUP BY task, verdict
                ) ORDER BY seq DESC""",
                (lesson, passed),
            )

    def attempt_counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """How many attempts there have been at each lesson, and at each task."""
        with self._reading():
            lessons = self._connection.execute("SELECT lesson, count(*) FROM attempts GROUP BY lesson").fetchall()
            tasks = self._connection.execute("SELECT task, count(*) FROM attempt_tasks GROUP BY task").fetchall()
        return dict(lessons), dict(tasks)

    def _select(self, where: str, values: tuple[object, ...]) -> list[Attempt]:
        """The attempts that `where` selects, latest first; returned oldest first."""
        columns = "seq, at, course, lesson, whole_lesson, passed, seconds, problem, evidence, versions"
        rows = self._connection.execute(f"SELECT {columns} FROM attempts {where}", values).fetchall()
        return [
            Attempt(
                seq=row[0],
                at=row[1],
                course=row[2],
                lesson=row[3],
                whole_lesson=bool(row[4]),
                passed=bool(row[5]),
                seconds=row[6],
                problem=row[7],
                evidence=_decode(row[8], Evidence),
                versions=_decode(row[9], dict[str, str]),
                tasks=dict(
                    self._connection.execute("SELECT task, verdict FROM attempt_tasks WHERE attempt = ?", (row[0],))
                ),
            )
            for row in reversed(rows)
        ]

    def unwritten(self, seq: int) -> set[str]:
        """The tasks of one attempt that a stub answered for: a definition of theirs was not written yet."""
        with self._reading():
            rows = self._connection.execute(
                "SELECT DISTINCT task FROM attempt_tests JOIN tests ON tests.id = test "
                "WHERE attempt = ? AND outcome = 'not_written'",
                (seq,),
            ).fetchall()
        return {task for (task,) in rows}

    def tests(self, seq: int) -> list[StoredTest]:
        """The tests of one attempt, in the order in which they ran."""
        with self._reading():
            rows = self._connection.execute(
                "SELECT name, task, outcome, seconds, mistake FROM attempt_tests JOIN tests ON tests.id = test "
                "WHERE attempt = ? ORDER BY position",
                (seq,),
            ).fetchall()
        return [StoredTest(*row) for row in rows]

    def record_hint(self, task: str, level: int) -> None:
        """The learner has seen the hint of this level (1 to 3)."""
        with self._writing():
            self._connection.execute("INSERT INTO hints (at, task, level) VALUES (?, ?, ?)", (_now(), task, level))

    def hint_level(self, task: str) -> int:
        """The highest hint seen; 0 for none."""
        return self.hints().get(task, 0)

    def hints(self) -> dict[str, int]:
        """The highest hint seen of every task that has one."""
        with self._reading():
            return dict(self._connection.execute("SELECT task, max(level) FROM hints GROUP BY task").fetchall())

    def record_start(self, lesson: str) -> None:
        self._mark("started", lesson)

    def record_skip(self, lesson: str) -> None:
        """The learner lets the reference stand for this lesson."""
        self._mark("skipped", lesson)

    def started(self) -> list[str]:
        """The lessons started, in the order in which they were first started."""
        return self._marked("started")

    def skipped(self) -> list[str]:
        return self._marked("skipped")

    def setting(self, key: str, default: str | None = None) -> str | None:
        with self._reading():
            row = self._connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return default if row is None else str(row[0])

    def set_setting(self, key: str, value: str) -> None:
        with self._writing():
            self._connection.execute(_UPSERT, (key, value))

    def _mark(self, kind: str, lesson: str) -> None:
        with self._writing(backup_now=True):
            self._connection.execute("INSERT INTO marks (at, kind, lesson) VALUES (?, ?, ?)", (_now(), kind, lesson))

    def _marked(self, kind: str) -> list[str]:
        with self._reading():
            rows = self._connection.execute(
                "SELECT lesson FROM marks WHERE kind = ? GROUP BY lesson ORDER BY min(seq)", (kind,)
            ).fetchall()
        return [row[0] for row in rows]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """One consistent view, and the database's complaints in words."""
        with database.complaints(self._path):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def _writing(self, *, backup_now: bool = False) -> Iterator[None]:
        """All or nothing, on disk at the end; now and then followed by a backup."""
        with database.transaction(self._connection, self._path):
            yield
        events = self._events()
        if backup_now or events - int(self.setting(_BACKED_UP, "0") or 0) >= BACKUP_EVERY:
            # What was recorded is safe by now: a backup that does not succeed is tried again after the next event.
            with contextlib.suppress(StoreError):
                database.back_up(self._connection, self._path)
                with database.transaction(self._connection, self._path):
                    self._connection.execute(_UPSERT, (_BACKED_UP, str(events)))

    def _events(self) -> int:
        with self._reading():
            tables = ("attempts", "hints", "marks")
            return sum(
                self._connection.execute(f"SELECT coalesce(max(seq), 0) FROM {table}").fetchone()[0] for table in tables
            )


_BACKED_UP = "events-in-last-backup"
_UPSERT = "INSERT INTO settings VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


def _verdict(result: CheckResult, task: str) -> Verdict:
    outcomes = {test.outcome for test in result.tests if test.task == task}
    if result.task_passed(task):
        return "passed"
    return "failed" if outcomes - {"passed", "blocked", "not_run"} else "undecided"


def _decode(text: str, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise StoreError(f"The progress database holds an attempt that cannot be read: {error}") from error


def _text(value: str) -> str:
    """SQLite refuses lone surrogates, which a parametrised test's id may hold."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
