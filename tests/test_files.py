"""Writing without half-written files, backups that are never overwritten, and the lock."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coursecli.errors import WorkspaceError
from coursecli.files import atomic_write, backup, backups_of, file_lock, parsed, sha256_file


def test_atomic_write_writes_text_as_utf_8_with_its_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "α β.py"
    atomic_write(path, "é\r\nx\n")
    assert path.read_bytes() == b"\xc3\xa9\r\nx\n"
    atomic_write(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(tmp_path.iterdir()) == [path], "no temporary file stays"


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_atomic_write_keeps_the_mode_and_leaves_that_of_a_new_file_to_the_umask(tmp_path: Path) -> None:
    script, fresh = tmp_path / "old", tmp_path / "new"
    script.touch()
    script.chmod(0o754)
    atomic_write(script, "new")
    assert stat.S_IMODE(script.stat().st_mode) == 0o754
    before = os.umask(0o027)
    try:
        atomic_write(fresh, "")
    finally:
        os.umask(before)
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o640


def test_atomic_write_follows_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "real.py", tmp_path / "link.py"
    target.write_text("old")
    link.symlink_to(target)
    atomic_write(link, "new")
    assert link.is_symlink() and target.read_text() == "new"


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "norm.py"
    path.write_text("hours of work")
    reached = []

    def fail(*_: object, **__: object) -> None:
        reached.append(step)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "write":
        monkeypatch.setattr(os, "fdopen", fail)
    elif step == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(WorkspaceError, match=r"norm\.py: cannot be written: No space left"):
        atomic_write(path, "new")
    assert reached == [step]
    assert path.read_text() == "hours of work" and list(tmp_path.iterdir()) == [path]


def test_a_writer_killed_at_any_step_leaves_the_old_or_the_new_content(tmp_path: Path) -> None:
    """The audit hook kills the process at the n-th call that it makes to the system: every n is tried."""
    path = tmp_path / "norm.py"
    script = """
import os, signal, sys
from pathlib import Path
from coursecli.files import atomic_write
left = int(sys.argv[2])
def hook(event, args):
    global left
    if event in ("open", "os.rename", "os.chmod"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
atomic_write(Path(sys.argv[1]), "new" * 1000)
"""
    killed = 0
    for step in range(1, 20):
        path.write_text("old")
        code = subprocess.run([sys.executable, "-c", script, str(path), str(step)], timeout=60).returncode
        assert path.read_text() in {"old", "new" * 1000}
        if code == 0:
            break
        assert code == -9
        killed += 1
    assert killed >= 3 and path.read_text() == "new" * 1000


def test_backups_are_numbered_and_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = tmp_path / "norm.py", tmp_path / "deep" / "backups"
    clock = iter(["20260102-030405", "20260102-030405", "20250101-000000"])  # twice the same second, then backwards
    monkeypatch.setattr("coursecli.files.time.strftime", lambda _: next(clock))
    made = []
    for content in ("one", "two", "three"):
        path.write_text(content)
        made.append(backup(path, folder))
    assert [copy.name for copy in made] == [
        "norm.0001.20260102-030405.py",
        "norm.0002.20260102-030405.py",
        "norm.0003.20250101-000000.py",
    ]
    (folder / "norm.py").write_text("not a backup")
    (folder / "normal.0001.20260102-030405.py").write_text("of another file")
    assert backups_of(path, folder) == made, "in the order of making, whatever the clock said"
    assert [copy.read_text() for copy in made] == ["one", "two", "three"]


def test_a_backup_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="cannot be backed up"):
        backup(tmp_path / "file", tmp_path / "file" / "backups")
    with pytest.raises(WorkspaceError, match="cannot be backed up"):
        backup(tmp_path / "missing", tmp_path / "backups")


def test_sha256_is_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"a\r\nb" * 100_000)
    assert sha256_file(path) == hashlib.sha256(b"a\r\nb" * 100_000).hexdigest()


HOLDER = """
import sys, time
from pathlib import Path
from coursecli.files import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_keeps_others_out_until_its_holder_dies(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout and holder.stdout.readline() == "held\n"
            with pytest.raises(WorkspaceError, match="another command"):
                with file_lock(lock, seconds=0.05):
                    pytest.fail("two holders")
        finally:
            holder.kill()
            holder.wait()
    with file_lock(lock, seconds=5):
        pass
    with file_lock(lock, seconds=5):
        pass


def test_no_increment_is_lost_under_the_lock(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from coursecli.files import atomic_write, file_lock
folder = Path(sys.argv[1])
for _ in range(20):
    with file_lock(folder / "lock"):
        atomic_write(folder / "count", str(int((folder / "count").read_text()) + 1))
"""
    (tmp_path / "count").write_text("0")
    workers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(4)]
    assert [worker.wait(timeout=60) for worker in workers] == [0] * 4
    assert (tmp_path / "count").read_text() == "80"


def test_threads_may_parse_at_the_same_time():
    """Before Python 3.11.8, `ast.parse` itself fails here: the collector runs within it, and lets another thread in."""

    class Gone:
        def __init__(self):
            self.itself = self

        def __del__(self):
            time.sleep(0)

    def parse(number):
        for _ in range(20):
            Gone()
        return parsed(source)

    source = "\n".join(f"def f{number}(a, b=[(1, {{2: -a}})]):\n    return [x + y for x in a]" for number in range(200))
    with ThreadPoolExecutor(4) as pool:
        assert all(len(tree.body) == 200 for tree in pool.map(parse, range(24)))
