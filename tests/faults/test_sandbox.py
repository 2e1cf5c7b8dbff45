"""Programs that a model might write: each is bounded and named, and when it is over nothing of it still runs."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coursecli.isolate.supervisor import descendants

if TYPE_CHECKING:
    from intro2llm.evaluation.sandbox import Ran

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")
LONG = 30.0
"""Seconds that no program here needs: one that is to end by itself does so long before."""
Runner = Callable[..., "Ran"]


@pytest.fixture(params=["strong", "none"])
def run(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """Runs a program under one of the levels. At the end, no process that there was not before may be left.

    Orphans come to this process (it is made their reaper), so nobody can hide from the count.
    """
    from intro2llm.evaluation.sandbox import run_program

    def run(source: str, *, timeout: float = LONG, **options: int) -> Ran:
        ran = run_program(source, timeout=timeout, isolation=request.param, **options)
        assert ran.isolation == request.param
        return ran

    if missing := _missing(request.param):
        pytest.skip(missing)
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    before, folders = set(descendants()), _folders()
    yield run
    assert set(descendants()) <= before
    assert _folders() <= folders
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


@functools.cache
def _missing(level: str) -> str:
    """Why a level cannot be had on this machine, if so."""
    from intro2llm.evaluation.sandbox import SandboxError, run_program

    try:
        run_program("", timeout=LONG, isolation=level)
    except SandboxError as error:
        return str(error)
    return ""


def _folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob(f"sandbox-{os.getpid()}-*"))


def test_a_program_that_is_all_right(run: Runner):
    ran = run("import sys\nprint('out', __name__)\nprint('err', file=sys.stderr)\nsys.exit(3)")
    assert (ran.stdout, ran.stderr, ran.ended, ran.code) == ("out __main__\n", "err\n", "exited", 3)


def test_a_long_program_is_read_whole(run: Runner):
    lines = "\n".join(f"assert {number} == {number}" for number in range(6000))
    assert len(lines) > 1 << 16  # more than any pipe holds at once
    assert run(f"{lines}\nprint('end')").stdout == "end\n"


def test_an_exception(run: Runner):
    ran = run("1 / 0")
    assert (ran.ended, ran.code) == ("exited", 1)
    assert "ZeroDivisionError" in ran.stderr


@pytest.mark.parametrize("leave", ["import sys; sys.exit(0)", "import os; os._exit(0)"])
def test_leaving_early_is_an_exit_like_any_other(run: Runner, leave: str):
    ran = run(f"{leave}\nprint('never')")
    assert (ran.stdout, ran.ended, ran.code) == ("", "exited", 0)


@pytest.mark.parametrize(
    "wait",
    [
        "import time; time.sleep(1000)",
        "while True: pass",
        "while True:\n try:\n  while True: pass\n except BaseException: pass",
        "import signal, time\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\ntime.sleep(1000)",
        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    ],
    ids=["sleep", "loop", "except", "SIGTERM", "SIGSTOP"],
)
def test_what_does_not_end_is_ended(run: Runner, wait: str):
    ran = run(f"print('begun', flush=True)\n{wait}", timeout=0.7)
    assert (ran.stdout, ran.ended, ran.code) == ("begun\n", "timeout", None)


@pytest.mark.parametrize(("stream", "what"), [("stdout", "'x' * 4096"), ("stderr", "'x\\n' * 2048")])
def test_a_flood(run: Runner, stream: str, what: str):
    ran = run(f"import sys\nwhile True: sys.{stream}.write({what})")
    assert (ran.ended, ran.code) == ("flooded", None)
    assert len(getattr(ran, stream)) == 1 << 20


def test_output_that_is_not_text(run: Runner):
    ran = run("import os; os.write(1, b'\\xff\\x00ok')")
    assert (ran.stdout, ran.ended) == ("\ufffd\0ok", "exited")


def test_a_fork_bomb(run: Runner):
    """The program forks until it may no more, or until it is ended for that."""
    ran = run("import os\nos.write(1, b'x')\nwhile True:\n  os.fork()\n  os.write(1, b'x')", timeout=10.0)
    assert len(ran.stdout) > 20, "it did fork"
    assert ran.ended in ("exited", "killed", "timeout")


def test_daemons_do_not_outlive_the_program(run: Runner):
    source = """
import os, signal, sys, time
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.write(write, b"daemon")          # and it keeps stdout open
    time.sleep(1000)
print(os.read(read, 100))
"""
    ran = run(source)
    assert (ran.stdout, ran.ended, ran.code) == ("b'daemon'\n", "exited", 0)


def test_more_memory_than_allowed(run: Runner):
    ran = run("try:\n  x = bytearray(10 << 30)\nexcept MemoryError:\n  print('no')", memory_bytes=1 << 29)
    assert (ran.stdout, ran.ended) == ("no\n", "exited")


def test_more_memory_than_allowed_in_several_processes(run: Runner):
    source = "import os, time\nfor _ in range(3): os.fork()\nx = bytearray(100 << 20)\ntime.sleep(1000)"
    ran = run(source, memory_bytes=1 << 28)
    assert (ran.ended, ran.code) == ("killed", None)


def test_stdin_is_empty(run: Runner):
    ran = run("import sys\nprint(repr(sys.stdin.read()))\ninput()")
    assert (ran.stdout, ran.code) == ("''\n", 1)
    assert "EOFError" in ran.stderr


@pytest.mark.parametrize(
    "crash",
    [
        "import ctypes; ctypes.string_at(0)",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "import os; os.abort()",
    ],
    ids=["null pointer", "SIGSEGV", "abort"],
)
def test_a_crash_has_its_signal(run: Runner, crash: str):
    ran = run(crash)
    assert ran.ended == "killed"
    assert ran.code in (-signal.SIGSEGV, -signal.SIGABRT)


def test_endless_recursion(run: Runner):
    ran = run("def f(): f()\nf()")
    assert (ran.ended, ran.code) == ("exited", 1)
    assert "RecursionError" in ran.stderr


def test_its_folder_can_be_written_to_and_removed(run: Runner):
    ran = run("import os, shutil\nopen('x', 'w').write('y')\nprint(os.listdir())\nshutil.rmtree(os.getcwd(), True)")
    assert (ran.stdout, ran.ended, ran.code) == ("['x']\n", "exited", 0)


def test_files_are_bounded(run: Runner):
    ran = run(
        "f = open('x', 'wb', 0)\ntry:\n  while f.write(bytes(1 << 20)): pass\nexcept OSError: print(f.tell() >> 20)"
    )
    assert ran.ended == "exited"
    assert int(ran.stdout) <= 16


def test_nothing_of_ours_is_inherited(run: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    with (tmp_path / "open").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        source = "import os, sys\nprint(sorted(os.environ), 'site' in sys.modules, [n for n in range(3, 64) if ok(n)])"
        probe = "def ok(n):\n  import os\n  try: os.fstat(n)\n  except OSError: return False\n  return True\n"
        ran = run(probe + source)
    assert ran.stdout == "['HOME', 'LANG', 'PATH', 'TMPDIR'] False []\n"


# --- what the walls keep out -----------------------------------------------------------------------------------------


walled = pytest.mark.parametrize("run", ["strong", "limited"], indirect=True)


@walled
def test_no_network(run: Runner):
    """There is a server, and this process can reach it; the program cannot."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
        ran = run(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=10)\nprint('reached')")
        assert ran.stdout == ""
        assert re.search("Error: .*(unreachable|Permission denied|refused)", ran.stderr)
        server.settimeout(0)
        server.accept()[0].close()  # ours
        with pytest.raises(BlockingIOError):
            server.accept()


@walled
def test_no_local_socket_either(run: Runner, tmp_path: Path):
    path = Path(tempfile.mkdtemp()) / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        ran = run(f"import socket\nsocket.socket(socket.AF_UNIX).connect({str(path)!r})\nprint('reached')")
    assert ran.stdout == ""
    assert "Error" in ran.stderr


@walled
def test_the_learners_files_cannot_be_read_or_written(run: Runner, tmp_path: Path):
    secret = tmp_path / "checkpoint"
    secret.write_text("weights")
    tmp_path.chmod(0o777)
    secret.chmod(0o666)
    try_it = "try: print(open({!r}, {!r}).read())\nexcept OSError as error: print(type(error).__name__)\n"
    names = [(str(secret), "r"), (str(secret), "w"), (str(tmp_path / "new"), "w"), ("/etc/passwd", "r")]
    names += [(__file__, "r"), (str(Path.home() / "new"), "w"), (os.__file__, "a"), ("/usr/lib/new", "w")]
    ran = run("".join(try_it.format(*name) for name in names))
    assert len(ran.stdout.splitlines()) == len(names)
    assert set(ran.stdout.splitlines()) <= {"PermissionError", "FileNotFoundError", "OSError"}, ran.stdout
    assert secret.read_text() == "weights"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("run", ["strong"], indirect=True)
def test_it_is_nobody_and_sees_nobody(run: Runner):
    source = """
import os
print(os.getuid() >= 65534, os.getppid())
for wish in (lambda: os.setuid(0), lambda: os.chroot("."), lambda: os.kill(os.getppid(), 9), lambda: os.kill(%d, 9)):
    try: wish()
    except OSError: pass
print(os.getuid() >= 65534, os.path.exists("/proc/1"))
"""
    ran = run(source % os.getpid())
    assert (ran.stdout, ran.ended, ran.code) == ("True 1\nTrue False\n", "exited", 0)


# --- and if this end goes away ---------------------------------------------------------------------------------------


def test_ctrl_c_ends_the_program(run: Runner):
    threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run("import time; time.sleep(1000)")


@pytest.mark.parametrize("run", ["strong", "none"], indirect=True)
def test_kill_9_ends_the_program_too(run: Runner, request: pytest.FixtureRequest):
    import intro2llm

    level = request.node.callspec.params["run"]
    call = f"run_program('import time; time.sleep(1000)', timeout=1000, isolation={level!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", f"from intro2llm.evaluation.sandbox import run_program\n{call}"],
        env={**os.environ, "PYTHONPATH": str(Path(intro2llm.__file__).parent.parent)},
    )
    before = set(descendants()) - {process.pid}
    wanted = 3 if level == "strong" else 2  # supervisor, first process of the namespaces, program
    assert eventually(lambda: len(set(descendants()) - before - {process.pid}) >= wanted)
    process.kill()
    process.wait()
    assert eventually(lambda: set(descendants()) <= before)
    for folder in Path(tempfile.gettempdir()).glob(f"sandbox-{process.pid}-*"):
        folder.rmdir()  # empty, and all that is left


def eventually(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + LONG
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(0.05)
    return False


def test_the_level_that_is_available_has_been_tried():
    from intro2llm.evaluation.sandbox import available_isolation, run_program

    best = available_isolation()
    assert best in ("strong", "limited", "none")
    assert run_program("print(1)", timeout=LONG).isolation == best
