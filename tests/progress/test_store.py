"""Recording and reading back; the schema; backups now and then."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from coursecli.check.results import CheckResult, Problem
from coursecli.course.catalogue import Course
from coursecli.files import backups_of
from coursecli.progress import database, migrations
from coursecli.progress.evidence import Evidence
from coursecli.progress.store import BACKUP_EVERY, Store, StoredTest

EVIDENCE = Evidence(files={"count.py": "12ab"}, tests="34cd", environment="56ef")
Make = Callable[..., CheckResult]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "progress.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path, create=True) as store:
        yield store


def test_an_attempt_comes_back_as_it_was_stored(store: Store, course: Course, make_result: Make) -> None:
    result = make_result(course.lessons[0], count="failed")
    seq = store.record_attempt(result, EVIDENCE)
    (attempt,) = store.attempts(course.lessons[0].id)
    assert attempt.seq == seq
    assert (attempt.course, attempt.lesson, attempt.whole_lesson, attempt.passed) == (
        "toy",
        "lesson01_counting",
        True,
        False,
    )
    assert (attempt.seconds, attempt.problem, attempt.versions) == (1.5, None, {"python": "3.11.2"})
    assert attempt.evidence == EVIDENCE
    assert attempt.tasks == {"count": "failed", "tally": "passed"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", attempt.at)
    assert store.tests(seq) == [
        StoredTest("basic::test_count", "count", "failed", 0.25, "count-mistake"),
        StoredTest("basic::test_tally", "tally", "passed", 0.25, None),
    ]


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [("passed", "passed"), ("blocked", "undecided"), ("not_run", "undecided")]
    + [(name, "failed") for name in ("failed", "error", "not_written", "timeout", "crashed", "tampered")],
)
def test_every_outcome_has_its_verdict(
    store: Store, course: Course, make_result: Make, outcome: str, verdict: str
) -> None:
    store.record_attempt(make_result(course.lessons[0], count=outcome), EVIDENCE)
    assert store.attempts()[0].tasks["count"] == verdict


def test_a_pass_under_a_problem_is_not_a_verdict(store: Store, course: Course, make_result: Make) -> None:
    problem = Problem(kind="incomplete", summary="the worker ended without its footer")
    store.record_attempt(msgspec.structs.replace(make_result(course.lessons[0]), problem=problem), EVIDENCE)
    assert store.attempts()[0].tasks == {"count": "undecided", "tally": "undecided"}
    assert store.attempts()[0].problem == "incomplete"


def test_attempts_are_by_lesson_oldest_first_and_limited_to_the_latest(
    store: Store, course: Course, make_result: Make
) -> None:
    first, second, _ = course.lessons
    for lesson in (first, second, first, first):
        store.record_attempt(make_result(lesson), EVIDENCE)
    assert [attempt.seq for attempt in store.attempts()] == [1, 2, 3, 4]
    assert [attempt.seq for attempt in store.attempts(first.id)] == [1, 3, 4]
    latest = store.attempts(first.id, limit=2)
    assert [attempt.seq for attempt in latest] == [3, 4]
    assert all(attempt.tasks == {"count": "passed", "tally": "passed"} for attempt in latest)


def test_a_test_id_with_a_lone_surrogate_is_stored(store: Store, course: Course, make_result: Make) -> None:
    result = make_result(course.lessons[0])
    result.tests[0].id = "basic::test_count[\ud800]"
    assert store.tests(store.record_attempt(result, EVIDENCE))[0].test == "basic::test_count[\\ud800]"


def test_hints_keep_the_highest_level(store: Store) -> None:
    assert store.hint_level("count") == 0
    for level in (1, 2, 1):
        store.record_hint("count", level)
    store.record_hint("tally", 3)
    assert store.hint_level("count") == 2 and store.hints() == {"count": 2, "tally": 3}


def test_starts_skips_and_settings(store: Store) -> None:
    for lesson in ("b", "a", "b"):
        store.record_start(lesson)
    store.record_skip("c")
    assert store.started() == ["b", "a"] and store.skipped() == ["c"]
    assert store.setting("unlock") is None and store.setting("unlock", "course") == "course"
    store.set_setting("unlock", "all")
    store.set_setting("unlock", "course")
    assert store.setting("unlock") == "course"


@pytest.mark.parametrize("verb", ["DELETE FROM {}", "UPDATE {} SET {} = {}"])
@pytest.mark.parametrize("table", ["attempts", "attempt_tasks", "tests", "attempt_tests", "hints", "marks"])
def test_what_was_recorded_cannot_be_changed(
    store: Store, path: Path, course: Course, make_result: Make, table: str, verb: str
) -> None:
    store.record_attempt(make_result(course.lessons[0]), EVIDENCE)
    store.record_hint("count", 1)
    store.record_start("a")
    connection = sqlite3.connect(path)
    column = connection.execute(f"PRAGMA table_info({table})").fetchone()[1]
    assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] > 0
    with pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
        connection.execute(verb.format(table, column, column))
    connection.close()


def test_the_schema_is_the_one_that_was_released(store: Store, path: Path) -> None:
    """A released migration is never edited: a change here must be a new one."""
    connection = sqlite3.connect(path)
    columns = {
        table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        for (table,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    }
    header = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    connection.close()
    assert columns == {
        "attempts": [
            *("seq", "at", "course", "lesson", "whole_lesson", "passed"),
            *("seconds", "problem", "evidence", "versions"),
        ],
        "attempt_tasks": ["attempt", "task", "verdict"],
        "tests": ["id", "name", "task"],
        "attempt_tests": ["attempt", "position", "test", "outcome", "seconds", "mistake"],
        "hints": ["seq", "at", "task", "level"],
        "marks": ["seq", "at", "kind", "lesson"],
        "settings": ["key", "value"],
    }
    assert header == [int.from_bytes(b"I2LM", "big"), 1]
    assert [step.name for step in migrations.MIGRATIONS] == ["0001-attempts-hints-marks-settings"]


def test_the_database_is_opened_with_the_promised_durability(store: Store) -> None:
    pragma = {
        name: store._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    }
    assert pragma == {"journal_mode": "delete", "synchronous": 3}


def test_a_transaction_takes_its_lock_before_it_looks(store: Store, path: Path) -> None:
    """Otherwise two programs look, both decide to write, and one of them fails without having waited."""
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    with database.transaction(store._connection, path), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_backup_is_made_every_few_events_and_when_a_lesson_passes_or_starts(
    store: Store, path: Path, course: Course, make_result: Make
) -> None:
    def backups() -> list[Path]:
        return backups_of(path, path.parent / "backups")

    for level in range(1, BACKUP_EVERY):
        store.record_hint("count", level)
    assert backups() == []
    store.record_hint("count", BACKUP_EVERY)
    assert len(backups()) == 1
    store.record_attempt(make_result(course.lessons[0], count="failed"), EVIDENCE)
    assert len(backups()) == 1
    store.record_attempt(make_result(course.lessons[0]), EVIDENCE)
    assert len(backups()) == 2
    store.record_start("lesson02")
    assert len(backups()) == 3
    with Store.open(backups()[-1], read_only=True) as copy:
        assert [attempt.passed for attempt in copy.attempts()] == [False, True]
        assert copy.hint_level("count") == BACKUP_EVERY


def test_only_the_latest_backups_are_kept_and_nothing_else_is_pruned(store: Store, path: Path) -> None:
    folder = path.parent / "backups"
    folder.mkdir()
    (folder / "norm.0001.20260102-030405.py").write_text("a learner's")
    for n in range(12):
        store.record_skip(f"lesson{n}")
    kept = backups_of(path, folder)
    assert [int(copy.name.split(".")[1]) for copy in kept] == list(range(5, 13))
    assert (folder / "norm.0001.20260102-030405.py").read_text() == "a learner's"
    assert len(list(folder.iterdir())) == 9, "no temporary file stays"


def test_a_backup_that_cannot_be_made_does_not_lose_the_record(store: Store, path: Path) -> None:
    (path.parent / "backups").write_text("in the way")
    store.record_skip("lesson1")
    assert store.skipped() == ["lesson1"]
    (path.parent / "backups").unlink()
    store.record_skip("lesson2")
    assert len(backups_of(path, path.parent / "backups")) == 1


def test_importing_the_store_does_not_load_sqlite_or_hashlib() -> None:
    """`--help` and the completion of a shell import this and open nothing."""
    script = (
        "import sys, coursecli.progress.store, coursecli.progress.state\n"
        "print(sorted({'sqlite3', 'hashlib', 'torch', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
