"""The progress database under every fault that we could think of. Each test first proves that its fault happens."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coursecli.check import results
from coursecli.errors import StoreError
from coursecli.files import backups_of
from coursecli.progress.evidence import Evidence
from coursecli.progress.store import Store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="uses POSIX signals and modes")

EVIDENCE = Evidence(files={"model/norm.py": "a" * 64}, tests="b", environment="c")

# What a writer in another process starts with.
PRELUDE = """
import os, signal, sqlite3, sys
from pathlib import Path
from coursecli.check.results import CheckResult, TestResult
from coursecli.errors import StoreError
from coursecli.progress import database, migrations
from coursecli.progress.evidence import Evidence
from coursecli.progress.store import Store

def result(name):
    tests = [TestResult(id=f"basic::test_{i}", suite="basic", task="t", title="", outcome="passed") for i in range(20)]
    return CheckResult(course="c", lesson=name, scope=["t"], whole_lesson=False, passed=True, seconds=1.0, tests=tests)

def record(store, name):
    return store.record_attempt(result(name), Evidence(files={"model/norm.py": "a" * 64}, tests="b", environment="c"))

path = Path(sys.argv[1])
"""

DIE_AT_STEP = """
left = int(sys.argv[2])
def hook(event, args):
    global left
    if event in ("open", "sqlite3.connect", "sqlite3.connect/handle", "os.rename", "os.remove", "os.link"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def start(script: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PRELUDE + script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload, no-any-return]


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    with start(script, *arguments) as process:
        output, _ = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def result(lesson: str, *, passed: bool = True, whole: bool = False) -> results.CheckResult:
    outcome: results.Outcome = "passed" if passed else "failed"
    tests = [results.TestResult(id="basic::test_a", suite="basic", task="t", title="", outcome=outcome)]
    return results.CheckResult(
        course="c", lesson=lesson, scope=["t"], whole_lesson=whole, passed=passed, seconds=1.0, tests=tests
    )


def lessons(path: Path) -> list[str]:
    """What the database holds, read without our code."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [row[0] for row in connection.execute("SELECT lesson FROM attempts ORDER BY seq")]
    finally:
        connection.close()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture
def path(tmp_path: Path, template: Path) -> Path:
    """A database with thirty attempts, and a backup that holds all of them."""
    return Path(shutil.copytree(template, tmp_path / "home of é #1 ?mode=memory %41")) / "progress.db"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "progress.db"
    with Store.open(path, create=True) as store:
        for n in range(29):
            store.record_attempt(result(f"lesson{n}"), EVIDENCE)
        store.record_attempt(result("lesson29", whole=True), EVIDENCE)
    return path.parent


# --- killed ---------------------------------------------------------------------------------------------------------


def test_killed_at_forty_random_moments_keeps_every_acknowledged_attempt(tmp_path: Path) -> None:
    path = tmp_path / "progress.db"
    Store.open(path, create=True).close()
    script = """
with Store.open(path) as store:
    assert not store.notices
    while True:
        print(record(store, sys.argv[2]), flush=True)
"""
    seed = random.randrange(10**6)
    print("seed", seed)
    moment = random.Random(seed)
    acknowledged: list[str] = []
    in_the_middle = 0
    for round_ in range(40):
        with start(script, path, f"round{round_}") as writer:
            assert writer.stdout
            lines = [writer.stdout.readline()]
            time.sleep(moment.uniform(0, 0.06))
            writer.kill()
            lines += writer.stdout.read().splitlines()
        assert writer.returncode == -signal.SIGKILL
        in_the_middle += path.with_name("progress.db-journal").exists()
        with Store.open(path) as store:
            assert store.notices == []
            stored = [attempt.lesson for attempt in store.attempts()]
            assert all(len(store.tests(attempt.seq)) == 20 for attempt in store.attempts(limit=2)), "never half of one"
        acknowledged += [f"round{round_}"] * len(lines)
        # One more may have been written, and not yet been acknowledged.
        assert stored in (acknowledged, [*acknowledged, f"round{round_}"])
        acknowledged = stored
    assert in_the_middle > 0, "no kill fell into a transaction: the fault did not happen"
    assert lessons(path) == acknowledged


def test_killed_at_every_step_of_making_the_database(tmp_path: Path) -> None:
    script = DIE_AT_STEP + "sys.addaudithook(hook)\nStore.open(path, create=True).close()\n"
    kills = 0
    for step in range(1, 60):
        path = tmp_path / str(step) / "progress.db"
        path.parent.mkdir()
        code = run(script, path, step).returncode
        kills += code == -signal.SIGKILL
        with Store.open(path, create=True) as store:
            assert store.notices == [] and store.attempts() == []
        if code == 0:
            break
    assert kills >= 4 and code == 0


def test_killed_at_every_step_of_a_repair(path: Path) -> None:
    """Whatever step it was: the next one to open finds the last backup in place, and the damaged file is kept."""
    script = DIE_AT_STEP + "sys.addaudithook(hook)\nStore.open(path).close()\n"
    sound = tree(path.parent)
    kills = 0
    for step in range(1, 80):
        shutil.rmtree(path.parent)
        for name, data in sound.items():
            (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
            (path.parent / name).write_bytes(data)
        path.write_bytes(b"damaged" * 1000)
        code = run(script, path, step).returncode
        kills += code == -signal.SIGKILL
        with Store.open(path) as store:
            assert len(store.attempts()) == 30
        assert path.with_name("progress.damaged-1.db").read_bytes() == b"damaged" * 1000
        assert not [file for file in path.parent.iterdir() if "tmp" in file.name], "no litter"
        if code == 0:
            break
    assert kills >= 6 and code == 0


BIG_STEP = """
class Deadly(tuple):
    def __iter__(self):
        yield from super().__iter__()
        os.kill(os.getpid(), signal.SIGKILL)

statements = (
    "CREATE TABLE big (n INTEGER PRIMARY KEY, text TEXT)",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5000) "
    "INSERT INTO big SELECT n, hex(zeroblob(1000)) FROM r",
    "ALTER TABLE attempts ADD COLUMN mood TEXT",
)
"""


def test_a_migration_killed_half_way_is_undone_and_done_again(path: Path) -> None:
    killed = BIG_STEP + (
        "migrations.MIGRATIONS += (migrations.Migration('0002-big', Deadly(statements)),)\nStore.open(path).close()\n"
    )
    before, backups = path.stat().st_size, len(backups_of(path, path.parent / "backups"))
    assert run(killed, path).returncode == -signal.SIGKILL
    assert path.stat().st_size > before + 1_000_000, "the new pages were already in the file"
    assert path.with_name("progress.db-journal").stat().st_size > 0
    assert len(backups_of(path, path.parent / "backups")) == backups + 1, "a backup came first"

    with Store.open(path, read_only=True) as store:  # the old program, and a command that only reads
        assert store.notices == [] and len(store.attempts()) == 30
    assert path.stat().st_size == before

    done = BIG_STEP + (
        "migrations.MIGRATIONS += (migrations.Migration('0002-big', statements),)\n"
        "with Store.open(path) as store: print(len(store.attempts()), migrations.version(store._connection))\n"
    )
    assert run(done, path).stdout == "30 2\n"


def test_six_programs_that_migrate_at_once_do_it_once(path: Path) -> None:
    script = """
step = migrations.Migration("0002-visits", ("CREATE TABLE visits (n)", "INSERT INTO visits VALUES (1)"))
migrations.MIGRATIONS += (step,)
sys.stdin.readline()
with Store.open(path, busy_seconds=60) as store:
    print(store._connection.execute("SELECT count(*) FROM visits").fetchone()[0], store.notices)
"""
    programs = [start(script, path, stdin=subprocess.PIPE) for _ in range(6)]
    for program in programs:
        assert program.stdin
        program.stdin.write("go\n")
        program.stdin.flush()
    assert [program.communicate(timeout=120)[0] for program in programs] == ["1 []\n"] * 6


# --- several at once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False], ids=["existing", "made by whoever is first"])
def test_six_writers_at_once_lose_nothing(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "progress.db"
    if there:
        Store.open(path, create=True).close()
    script = """
import time
print("ready", flush=True)
sys.stdin.readline()  # start together
with Store.open(path, create=True, busy_seconds=60) as store:
    assert not store.notices, store.notices
    for _ in range(10):
        print(record(store, sys.argv[2]), flush=True)
        store.record_hint("t", 1)
        time.sleep(0.02)  # let the others in
"""
    writers = [start(script, path, f"writer{n}", stdin=subprocess.PIPE) for n in range(6)]
    for writer in writers:
        assert writer.stdout and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    acknowledged = {
        f"writer{n}": [int(seq) for seq in writer.communicate(timeout=120)[0].split()]
        for n, writer in enumerate(writers)
    }
    assert [writer.returncode for writer in writers] == [0] * 6
    with Store.open(path) as store:
        stored: dict[str, list[int]] = {}
        for attempt in store.attempts():
            stored.setdefault(attempt.lesson, []).append(attempt.seq)
    assert stored == acknowledged
    assert sorted(seq for each in stored.values() for seq in each) == list(range(1, 61))
    writing = [(min(each), max(each)) for each in stored.values()]
    assert any(a[0] < b[0] < a[1] for a in writing for b in writing), "they took turns: the fault happened"
    backups = backups_of(path, path.parent / "backups")
    assert backups and all(lessons(backup) for backup in backups)


# --- damaged --------------------------------------------------------------------------------------------------------


def foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.execute("INSERT INTO recipes VALUES ('bread')")
    connection.close()


def hole(path: Path) -> None:
    """The pages from the third on are zeros, as after a power cut on some file systems."""
    data = path.read_bytes()
    path.write_bytes(data[: 2 * 4096] + bytes(len(data) - 2 * 4096))


def cut(size: int | float) -> Callable[[Path], None]:
    def truncate(path: Path) -> None:
        length = path.stat().st_size
        os.truncate(path, int(length * size) if isinstance(size, float) else size if size >= 0 else length + size)

    return truncate


DAMAGE: dict[str, Callable[[Path], object]] = {
    "zero bytes": cut(0),
    "one byte": cut(1),
    "half a header": cut(50),
    "one header": cut(100),
    "one page": cut(4096),
    "half": cut(0.5),
    "one byte short": cut(-1),
    "one page short": cut(-4096),
    "foreign": foreign,
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "hole": hole,
    "text": lambda path: path.write_text("<<<<<<< HEAD\n" * 1000),
}


def content(path: Path) -> str | None:
    """Everything in the database, as SQLite alone reads it; None when it cannot."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return "\n".join(connection.iterdump())
    except (sqlite3.DatabaseError, AssertionError):
        return None
    finally:
        connection.close()


@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_set_aside_and_the_last_backup_restored_and_said(path: Path, name: str, read_only: bool) -> None:
    with Store.open(path) as store:
        store.record_attempt(result("after the backup"), EVIDENCE)
    last = backups_of(path, path.parent / "backups")[-1]
    before = content(path)
    DAMAGE[name](path)
    damaged = path.read_bytes()
    assert before and content(path) != before, "the fault is real"

    with Store.open(path, read_only=read_only) as store:
        (notice,) = store.notices
        assert [attempt.lesson for attempt in store.attempts()] == [f"lesson{n}" for n in range(30)]
        assert (notice.kind, notice.set_aside, notice.backup) == (
            "restored",
            path.with_name("progress.damaged-1.db"),
            last,
        )
        for text in (notice.message, notice.remedy):
            assert text and "\n" not in text
        assert "progress.damaged-1.db" in notice.message and last.name in notice.message
    assert path.with_name("progress.damaged-1.db").read_bytes() == damaged

    with Store.open(path) as store:
        assert store.notices == [], "said once"
        store.record_attempt(result("again"), EVIDENCE)
    assert lessons(path)[-1] == "again"


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_without_a_backup_is_set_aside_and_said(path: Path, name: str) -> None:
    shutil.rmtree(path.parent / "backups")
    before = content(path)
    DAMAGE[name](path)
    damaged = path.read_bytes()
    assert before and content(path) != before, "the fault is real"
    for create in (True, False):
        if not create:
            DAMAGE[name](path)
        with Store.open(path, create=create) as store:
            (notice,) = store.notices
            assert (
                notice.kind == "restarted"
                and "there is no backup" in notice.message
                and "intro2llm check" in notice.remedy
            )
            assert store.attempts() == []
    assert path.with_name("progress.damaged-1.db").read_bytes() == damaged
    assert path.with_name("progress.damaged-2.db").exists(), "the first one is not overwritten"


def test_a_damaged_backup_is_passed_over(path: Path) -> None:
    folder = path.parent / "backups"
    with Store.open(path) as store:
        store.record_skip("lesson30")
        store.record_skip("lesson31")
    *_, older, last = backups_of(path, folder)
    os.truncate(last, 5000)
    (folder / "progress.9999.20260101-000000.db").touch()  # a backup that was killed at once
    path.write_bytes(b"")
    with Store.open(path) as store:
        assert store.notices[0].backup == older
        assert store.skipped() == ["lesson30"]


def test_a_journal_that_belongs_to_the_damaged_file_is_not_played_into_the_restored_one(path: Path) -> None:
    script = """
store = Store.open(path)
store._connection.execute("PRAGMA cache_size = 1")
with database.transaction(store._connection, path):
    for n in range(200):
        store._connection.execute("INSERT INTO settings VALUES (?, ?)", (n, "x" * 500))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run(script, path).returncode == -signal.SIGKILL
    journal = path.with_name("progress.db-journal")
    assert journal.stat().st_size > 0
    path.write_bytes(b"")
    with Store.open(path) as store:
        assert [notice.kind for notice in store.notices] == ["restored"]
        assert len(store.attempts()) == 30
    assert not journal.exists() and path.with_name("progress.damaged-1.db-journal").stat().st_size > 0


def test_a_backup_that_does_not_fit_on_the_disk_is_not_passed_over(path: Path) -> None:
    """A new database would fit: but nobody asked for a fresh start."""
    backup, fresh = backups_of(path, path.parent / "backups")[-1], path.with_name("fresh.db")
    Store.open(fresh, create=True).close()
    limit = (fresh.stat().st_size + backup.stat().st_size) // 2
    assert fresh.stat().st_size < limit < backup.stat().st_size
    path.write_text("damaged")
    script = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    Store.open(path)
except StoreError as error:
    print(error.__cause__.sqlite_errorname)
"""
    before = tree(path.parent)
    assert run(script, path).stdout == "SQLITE_IOERR_WRITE\n"
    assert tree(path.parent) == before, "all as it was: the damaged file, its backups, no litter"
    with Store.open(path) as store:
        assert store.notices[0].backup == backup


@pytest.mark.parametrize("backed_up", [True, False])
def test_a_missing_database_is_never_a_fresh_start_without_a_word(path: Path, backed_up: bool) -> None:
    path.unlink()
    if not backed_up:
        shutil.rmtree(path.parent / "backups")
    with Store.open(path) as store:
        assert [notice.kind for notice in store.notices] == ["restored" if backed_up else "restarted"]
        assert "is missing" in store.notices[0].message
        assert len(store.attempts()) == (30 if backed_up else 0)


@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_a_newer_schema_is_refused_and_untouched(path: Path, read_only: bool) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("CREATE TABLE from_the_future (x)")
    connection.close()
    before = tree(path.parent)
    with pytest.raises(StoreError, match=r"newer intro2llm \(schema 99; this one knows 1\)") as caught:
        Store.open(path, read_only=read_only)
    assert "pip install --upgrade" in caught.value.remedy
    assert tree(path.parent) == before


# --- locked, full, read-only ----------------------------------------------------------------------------------------


@pytest.fixture
def intruder(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that has the database locked; a rollback lets go."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    yield connection
    connection.close()


@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_a_locked_database_is_reported_after_a_bounded_wait(
    path: Path, intruder: sqlite3.Connection, read_only: bool
) -> None:
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sqlite3.connect(path, timeout=0).execute("SELECT * FROM attempts")
    before = tree(path.parent)
    with pytest.raises(StoreError, match="another program has kept the progress database locked"):
        Store.open(path, read_only=read_only, busy_seconds=0.1)
    intruder.execute("ROLLBACK")
    assert tree(path.parent) == before, "a locked database is not a damaged one"
    with Store.open(path) as store:
        assert len(store.attempts()) == 30


def test_a_write_that_cannot_get_the_lock_records_nothing_and_can_be_repeated(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    with Store.open(path, busy_seconds=0.1) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            store.record_hint("t", 1)
        assert store.hints() == {}, "reading goes on"
        other.execute("ROLLBACK")
        other.execute("BEGIN")
        other.execute("SELECT * FROM attempts").fetchone()  # a reader that does not end: the commit cannot get through
        with pytest.raises(StoreError, match="locked"):
            store.record_hint("t", 2)
        other.execute("ROLLBACK")
        store.record_hint("t", 3)
        assert store.hints() == {"t": 3}
    other.close()


FILL = """
def fill():
    with Store.open(path) as store:
        while True:
            record(store, "filling")
            print("recorded", flush=True)
try:
    fill()
except StoreError as error:
    print(error.__cause__.sqlite_errorname, error.message)
"""


def acknowledged_before(error: str, message: str, output: str) -> int:
    *recorded, last = output.splitlines()
    assert set(recorded) == {"recorded"}
    assert last.startswith(error) and message in last
    return len(recorded)


def test_a_file_that_may_not_grow_loses_nothing(path: Path) -> None:
    limit = path.stat().st_size + 40_000
    script = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    probe = script + "Path(sys.argv[1] + '.probe').write_bytes(bytes(10_000_000))"
    with start(probe, path, stderr=subprocess.PIPE) as process:
        assert process.stderr and "File too large" in process.stderr.read()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    count = acknowledged_before("SQLITE_IOERR", "the disk failed, or is full", run(script + FILL, path).stdout)
    assert count > 0 and lessons(path) == [f"lesson{n}" for n in range(30)] + ["filling"] * count
    with Store.open(path) as store:
        assert store.notices == []
        store.record_attempt(result("there is space again"), EVIDENCE)


def test_a_full_disk_loses_nothing(path: Path) -> None:
    """A real one: a file system of 512 KB in a mount namespace of its own, copied out at the end."""
    disk, out = path.parent.parent / "disk", path.parent.parent / "out"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=512k tmpfs "{disk}"'
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-m", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    command = f'{mount} && cp "{path}" "{disk}" && "$0" -c "$1" "{disk}/progress.db" && cp -r "{disk}" "{out}"'
    done = subprocess.run(
        [unshare, "-m", "sh", "-c", command, sys.executable, PRELUDE + FILL],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    count = acknowledged_before("SQLITE_FULL", "the disk is full", done.stdout)
    assert count > 0 and lessons(out / "progress.db") == [f"lesson{n}" for n in range(30)] + ["filling"] * count


def test_the_largest_database_that_fits_loses_nothing(path: Path) -> None:
    with Store.open(path) as store:
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreError, match="the disk is full"):
            for _ in range(1000):
                store.record_attempt(result("filling"), EVIDENCE)
        before = len(store.attempts())
        assert before > 30
        store._connection.execute("PRAGMA max_page_count = 100000")
        store.record_attempt(result("after"), EVIDENCE)
        assert len(store.attempts()) == before + 1


@pytest.fixture
def public_home() -> Iterator[Path]:
    """A folder that another user can reach, unlike pytest's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


READ_ONLY_HOME = """
import json
import coursecli.course.catalogue, coursecli.progress.state, hashlib
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
said = {}
try:
    (path.parent / "probe").touch()
except OSError as error:
    said["probe"] = error.strerror
for name, how in {"to read": {"read_only": True}, "to write": {}}.items():
    with Store.open(path, **how) as store:
        said[name] = [len(store.attempts()), store.notices]
        try:
            store.record_hint("t", 1)
        except StoreError as error:
            said[name].append(error.message)
try:
    Store.open(path.with_name("other.db"))
except StoreError as error:
    said["missing"] = error.message
print(json.dumps(said))
"""


def test_a_read_only_home_can_be_read_and_says_why_it_cannot_be_written(path: Path, public_home: Path) -> None:
    home = public_home / "home"
    shutil.copytree(path.parent, home)
    shutil.rmtree(home / "backups")
    (home / "progress.db.lock").unlink(missing_ok=True)
    database = home / "progress.db"
    database.chmod(0o444)
    home.chmod(0o555)
    before = tree(home)
    try:
        done = run(READ_ONLY_HOME, database)
    finally:
        home.chmod(0o755)
    said = json.loads(done.stdout)
    assert said["probe"] == "Permission denied", "the fault happens"
    complaint = f"{database}: the progress database cannot be written"
    assert said["to read"] == [30, [], complaint]
    assert said["to write"] == [30, [], complaint]
    assert (
        "other.db: the progress database is missing, and cannot be restored" in said["missing"]
        and "Permission denied" in said["missing"]
    )
    assert tree(home) == before


def test_reading_writes_nothing(path: Path) -> None:
    before = tree(path.parent)
    times = {file: file.stat().st_mtime_ns for file in path.parent.rglob("*")}
    with Store.open(path, read_only=True) as store:
        assert len(store.attempts()) == 30 and store.hints() == {} and store.started() == []
        with pytest.raises(StoreError, match="cannot be written"):
            store.record_start("lesson01")
    assert tree(path.parent) == before
    assert {file: file.stat().st_mtime_ns for file in path.parent.rglob("*")} == times


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_a_database_that_goes_away_during_a_command_is_not_written_into_the_void(path: Path, how: str) -> None:
    with Store.open(path) as store:
        if how == "replaced":
            shutil.copy(path, path.with_name("new.db"))
            path.with_name("new.db").replace(path)
        elif how == "moved":
            path.rename(path.with_name("old.db"))
        else:
            path.unlink()
        with pytest.raises(StoreError, match="moved or replaced meanwhile; nothing was recorded"):
            store.record_attempt(result("lost"), EVIDENCE)
    with Store.open(path) as store:
        assert len(store.attempts()) == 30


# --- the clock ------------------------------------------------------------------------------------------------------


def test_a_clock_that_goes_backwards_changes_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "progress.db"
    clock = iter([f"{year}-01-01T00:00:00+00:00" for year in range(2030, 1990, -1)])
    monkeypatch.setattr("coursecli.progress.store._now", lambda: next(clock))
    monkeypatch.setattr("coursecli.files.time.strftime", lambda _: next(clock)[:10].replace("-", "") + "-000000")
    with Store.open(path, create=True) as store:
        store.record_attempt(result("a", passed=False), EVIDENCE)
        store.record_attempt(result("a", whole=True), EVIDENCE)
        store.record_start("first")
        store.record_start("second")
        store.record_skip("b")
        attempts = store.attempts("a")
        assert attempts[0].at > attempts[1].at, "the fault happens"
        assert [attempt.passed for attempt in attempts] == [False, True]
        assert [attempt.passed for attempt in store.attempts("a", limit=1)] == [True]
        assert store.started() == ["first", "second"]
    first, *_, last = backups_of(path, path.parent / "backups")
    assert first.name.split(".")[2] > last.name.split(".")[2], "the oldest backup bears the latest time"
    path.write_bytes(b"")
    with Store.open(path) as store:
        assert store.notices[0].backup == last and store.skipped() == ["b"]
