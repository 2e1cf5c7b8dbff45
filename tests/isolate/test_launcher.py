"""The launcher on small scripts of its own: what goes in and out, what ends them, and that nothing is left."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import types
import uuid
from pathlib import Path

import pytest

from coursecli.errors import EnvironmentProblem
from coursecli.isolate import Ended, Head, Job, Limits, launch, launcher
from coursecli.isolate.launcher import LINE_BYTES
from tests.checking import marked, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descendants are found through /proc")


@pytest.fixture
def mark() -> str:
    """In the environment of everything that a test starts."""
    return f"mark-{uuid.uuid4().hex}"


def job(code: str, mark: str, *, message: bytes = b"", **limits: float) -> Job:
    bounds = Limits(**{"seconds": 30.0, **limits})  # type: ignore[arg-type]
    return Job([sys.executable, "-I", "-c", code], Path("/"), {"MARK": mark}, bounds, message)


def run(code: str, mark: str, *, seconds: float = 30.0, **limits: float) -> tuple[list[bytes], Ended]:
    with launch(job(code, mark, **limits)) as running:
        running.limit(seconds)
        lines = list(running.lines())
        assert running.ended is not None
        return lines, running.ended


def test_streams_events_and_message_are_apart(mark: str):
    code = """
import os, sys
print("out")
print("err", file=sys.stderr)
os.write(3, b"first\\nsecond\\n")
os.write(4, b"a stack")
os.write(3, os.read(5, 100) + b"\\n")
"""
    with launch(job(code, mark, message=b"the message")) as running:
        assert list(running.lines()) == [b"first", b"second", b"the message"]
    ended = running.ended
    assert ended is not None
    assert (ended.cause, ended.code) == ("exited", 0)
    assert (ended.stdout, ended.stderr, ended.trace) == ("out\n", "err\n", "a stack")


def test_stdin_is_empty_and_the_environment_is_what_was_given(mark: str):
    code = "import os, sys; print(repr(sys.stdin.read()), sorted(os.environ), sorted(os.listdir('/proc/self/fd')))"
    _, ended = run(code, mark)
    # 6 is the folder that is being listed.
    assert ended.stdout == "'' ['LC_CTYPE', 'MARK'] ['0', '1', '2', '3', '4', '5', '6']\n"


def test_it_is_a_session_of_its_own(mark: str):
    _, ended = run("import os; print(os.getsid(0) == os.getpid())", mark)
    assert ended.stdout == "True\n"


def test_the_exit_code_and_the_signal_are_told(mark: str):
    assert run("raise SystemExit(7)", mark)[1].code == 7
    ended = run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", mark)[1]
    assert (ended.cause, ended.signal) == ("signal", signal.SIGSEGV)


def test_a_program_that_does_not_exist_is_an_exit_with_a_message(mark: str):
    with launch(Job(["/no/such/program"], Path("/"), {}, Limits(5.0))) as running:
        ended = running.wait()
    assert (ended.cause, ended.code) == ("exited", 127)
    assert "/no/such/program" in ended.stderr


def test_the_deadline_moves(mark: str):
    code = "import os, time\nfor n in range(4): os.write(3, b'.\\n'); time.sleep(0.4)\ntime.sleep(600)"
    with launch(job(code, mark)) as running:
        heard = 0
        running.limit(20.0)
        for _ in running.lines():
            heard += 1
            running.limit(1.5)
    assert heard == 4
    assert running.ended is not None
    assert running.ended.cause == "deadline"
    assert marked(mark) == []


def test_the_jobs_own_limit_holds_when_nobody_sets_a_deadline(mark: str):
    with launch(job("import time; time.sleep(600)", mark, seconds=0.5)) as running:
        ended = running.wait()
    assert ended.cause == "deadline"
    assert marked(mark) == []


DUMPS = "import faulthandler, signal, time; faulthandler.register(signal.SIGUSR1, 4); time.sleep(600)"


def test_at_the_deadline_the_stack_is_asked_for(mark: str):
    with launch(dataclasses.replace(job(DUMPS, mark), dumps=True)) as running:
        running.limit(1.0)
        ended = running.wait()
    assert ended.cause == "deadline"
    assert 'File "<string>", line 1 in <module>' in ended.trace


def test_a_flood_instead_of_a_stack_does_not_put_off_the_end(mark: str):
    code = """
import os, signal
def flood(*_):
    while True: os.write(4, b"x" * 10000)
signal.signal(signal.SIGUSR1, flood)
signal.pause()
"""
    with launch(dataclasses.replace(job(code, mark), dumps=True)) as running:
        running.limit(1.0)
        ended = running.wait()
    assert ended.cause == "deadline"
    assert len(ended.trace) < 300_000
    assert marked(mark) == []


def test_a_kill_before_the_supervisor_has_read_its_order_needs_no_force(mark: str, monkeypatch: pytest.MonkeyPatch):
    """The order and the kill lie in the socket when the supervisor reads it: nothing starts, nobody waits."""

    def forced(running: launcher.Running) -> None:
        raise AssertionError("the supervisor did not hear the kill")

    monkeypatch.setattr(launcher.Running, "_force", forced)
    held: list[tuple[int, list[int]]] = []

    def later(control: int, fds: list[int]) -> None:
        held.append((os.dup(control), [os.dup(fd) for fd in fds]))

    running = launch(job("print('started')", mark), starter=later)
    running.kill()
    control, fds = held[0]
    supervisor = launcher.start_supervisor(control, fds)
    for fd in (control, *fds):
        os.close(fd)
    ended = running.wait()
    assert (ended.cause, ended.stdout) == ("killed", "")
    supervisor.wait()


def test_leaving_the_with_block_kills(mark: str):
    with launch(job("import time; time.sleep(600)", mark)):
        assert wait_until(lambda: marked(mark))
    assert marked(mark) == []


def test_a_flood_is_cut_and_counted(mark: str):
    head = Head(limit=1000)
    with launch(job("import os\nfor _ in range(2000): os.write(1, b'x' * 10000)", mark), output=head) as running:
        running.limit(60.0)
        running.wait()
    assert head.text == "x" * 1000
    assert head.dropped == 2000 * 10000 - 1000


def test_an_endless_line_of_events_is_dropped_and_the_next_one_arrives(mark: str):
    code = (
        f"import os\nfor _ in range({LINE_BYTES // 65536 + 3}): os.write(3, b'x' * 65536)\nos.write(3, b'\\nnext\\n')"
    )
    lines, _ = run(code, mark, seconds=60.0)
    assert lines == [b"next"]


def test_output_and_errors_keep_their_order_in_one_sink(mark: str):
    head = Head()
    code = "import os\nfor n in range(50): os.write(1 + n % 2, b'%d ' % n)"
    with launch(job(code, mark), output=head) as running:
        running.wait()
    assert head.text.split() == [str(n) for n in range(50)]


DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
"""


def test_killpg_alone_would_leave_a_grandchild_in_its_own_session(mark: str):
    """The fault that the supervisor's search for descendants is there for."""
    code = DAEMON + "\nprint('escaped', flush=True)\ntime.sleep(600)"
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", code], env={"MARK": mark}, start_new_session=True, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"escaped\n"
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    [escaped] = marked(mark)
    os.kill(escaped, signal.SIGKILL)


@pytest.mark.parametrize("end", ["", "\ntime.sleep(600)"], ids=["exits", "is-killed"])
def test_an_escaped_grandchild_dies_whether_the_process_exits_or_is_killed(mark: str, end: str):
    _, ended = run(DAEMON + end, mark, seconds=3.0)
    assert ended.left_running == 1
    assert marked(mark) == []


def test_a_fork_bomb_ends(mark: str):
    """Bounded here to depth 12; without the bound on processes it would reach 4,096."""
    code = "import os, time\nfor _ in range(12): os.fork()\ntime.sleep(600)"
    _, ended = run(code, mark, seconds=30.0, processes=40)
    assert ended.cause == "processes"
    assert marked(mark) == []


def test_memory_of_all_descendants_together_is_bounded(mark: str):
    code = "import os, time\nfor _ in range(3): os.fork()\nheld = bytearray(60 << 20)\ntime.sleep(600)"
    _, ended = run(code, mark, seconds=30.0, memory_bytes=200 << 20)
    assert ended.cause == "memory"
    assert ended.peak_memory > 200 << 20
    assert marked(mark) == []


def test_a_process_that_ignores_every_polite_signal_dies(mark: str):
    code = """
import signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
while True: time.sleep(600)
"""
    assert run(code, mark, seconds=1.0)[1].cause == "deadline"
    assert marked(mark) == []


def test_a_stopped_process_dies(mark: str):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
    assert run(code, mark, seconds=1.0)[1].cause == "deadline"
    assert marked(mark) == []


def test_killing_the_supervisor_does_not_free_the_process(mark: str):
    code = "import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)"
    assert run(code, mark, seconds=30.0)[1].cause == "lost"
    assert wait_until(lambda: not marked(mark))


def test_stopping_the_supervisor_does_not_free_the_process(mark: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("coursecli.isolate.launcher.KILL_SECONDS", 1.0)
    code = "import os, signal, time; os.kill(os.getppid(), signal.SIGSTOP); time.sleep(600)"
    assert run(code, mark, seconds=0.5)[1].cause == "deadline"
    assert wait_until(lambda: not marked(mark))


def test_nothing_outlives_a_runner_that_was_killed(mark: str):
    runner = f"""
import sys
from pathlib import Path
from coursecli.isolate import Job, Limits, launch
code = {DAEMON + chr(10) + "time.sleep(600)"!r}
with launch(Job([sys.executable, "-I", "-c", code], Path("/"), {{"MARK": {mark!r}}}, Limits(600.0))) as running:
    running.wait()
"""
    process = subprocess.Popen([sys.executable, "-c", runner], stdin=subprocess.DEVNULL)
    assert wait_until(lambda: len(marked(mark)) == 2)
    process.kill()
    process.wait()
    assert wait_until(lambda: not marked(mark))


ESCAPES_AND_KILLS_ITS_SUPERVISOR = DAEMON + "\nimport signal; os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)"


def test_an_escaped_process_dies_even_when_the_supervisor_was_killed(mark: str):
    """It is found by the pipes that it holds."""
    assert run(ESCAPES_AND_KILLS_ITS_SUPERVISOR, mark)[1].cause == "lost"
    assert wait_until(lambda: not marked(mark))


def test_reading_ends_although_somebody_holds_the_pipes(mark: str, monkeypatch: pytest.MonkeyPatch):
    """Reading a pipe to its end waits for the last holder. Here that one lives on."""
    monkeypatch.setattr(launcher, "kill_holders", lambda pipes: None)
    assert run(ESCAPES_AND_KILLS_ITS_SUPERVISOR, mark)[1].cause == "lost"
    assert wait_until(lambda: len(marked(mark)) == 1)  # the worker has been killed, and may still be dying
    [escaped] = marked(mark)
    os.kill(escaped, signal.SIGKILL)


def test_windows_is_told_in_one_line(mark: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launcher, "os", types.SimpleNamespace(name="nt"))
    with pytest.raises(EnvironmentProblem, match="Linux or macOS") as problem:
        launch(job("", mark))
    assert "WSL" in problem.value.remedy


def test_importing_it_needs_nothing_that_windows_lacks():
    code = """
import sys
sys.modules.update(dict.fromkeys(["fcntl", "resource", "pwd", "grp", "termios", "pty"]))
import coursecli.isolate, coursecli.check.run, coursecli.check.template, coursecli.recipes.run, coursecli.cli.talking
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_no_descriptor_is_lost(mark: str):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        run("print('x')", mark)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_job_that_listens_gets_what_is_sent_line_by_line(mark: str):
    code = "import os, sys\nfor line in sys.stdin: os.write(3, line.upper().encode())\nos.write(3, b'end\\n')"
    with launch(dataclasses.replace(job(code, mark), listens=True)) as running:
        lines = running.lines()
        running.send(b"one\n")
        assert next(lines) == b"ONE"
        running.send("zwei ü\n".encode())
        assert next(lines) == "ZWEI Ü".encode()
        running.end_input()
        running.end_input()
        assert list(lines) == [b"end"]
        running.send(b"nobody is there\n")


def test_what_is_sent_to_a_job_that_has_closed_its_input_is_lost(mark: str):
    code = "import os, time\nos.close(0)\nos.write(3, b'deaf\\n')\ntime.sleep(60)"
    with launch(dataclasses.replace(job(code, mark), listens=True)) as running:
        assert next(running.lines()) == b"deaf"
        running.send(b"hello\n")


def test_an_interrupt_is_ctrl_c_and_not_the_end(mark: str):
    code = """
import os, time
for _ in range(2):
    try:
        os.write(3, b"waiting\\n")
        time.sleep(60)
    except KeyboardInterrupt:
        os.write(3, b"interrupted\\n")
"""
    with launch(job(code, mark)) as running:
        said = []
        for line in running.lines():
            said.append(line)
            if line == b"waiting":
                running.interrupt()
        assert said == [b"waiting", b"interrupted"] * 2
        assert running.ended is not None
        assert (running.ended.cause, running.ended.code) == ("exited", 0)


def test_a_job_without_limits_ends_by_itself_or_when_it_is_killed(mark: str):
    free = Limits(seconds=None, memory_bytes=None)
    with launch(
        dataclasses.replace(job("kept = bytearray(64 << 20); raise SystemExit(3)", mark), limits=free)
    ) as running:
        assert running.wait().code == 3
    with launch(dataclasses.replace(job("import time; time.sleep(60)", mark), limits=free)) as running:
        running.kill()
        assert running.wait().cause == "killed"
    assert wait_until(lambda: not marked(mark))
