"""Learner's code that hangs, crashes, floods or forks: the cause and the line are named, and nobody is left running.

Each fault is first shown to happen in a plain interpreter, with the code that the check is then given.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from coursecli.check.results import CheckResult, TestResult
from coursecli.check.template import Template, open_template
from tests.checking import Shop, marked, only, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descendants are found through /proc")

FIRST = "test_average_of_three_prices"
CALL = "from toyshop.prices import average; print(average([2.0, 3.0, 8.5]))"


@dataclass(frozen=True)
class Fault:
    code: str
    """The body of `average`."""
    outcome: str
    note: str
    line: str | None
    """The learner's line that must be shown, or None where there is none to be had."""


HANGS = {
    "endless-loop": Fault("while True:\n    pass", "timeout", "within 2 s", None),
    "sleep": Fault("import time\ntime.sleep(600)", "timeout", "within 2 s", "time.sleep(600)"),
    "bare-except-around-a-loop": Fault(
        "import time\nwhile True:\n    try:\n        while True:\n            time.sleep(1)\n    except:\n        pass",
        "timeout",
        "within 2 s",
        "time.sleep(1)",
    ),
    "long-native-operation": Fault("return 10 ** 10 ** 9", "timeout", "within 2 s", "return 10 ** 10 ** 9"),
    "deadlock": Fault(
        "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
        "timeout",
        "within 2 s",
        "lock.acquire()",
    ),
    "signals-ignored": Fault(
        "import signal, time\nfor number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):\n"
        "    signal.signal(number, signal.SIG_IGN)\ntime.sleep(600)",
        "timeout",
        "within 2 s",
        "time.sleep(600)",
    ),
    "stopped": Fault("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "timeout", "within 2 s", None),
    "waits-for-a-child": Fault(
        "import os, time\nif os.fork() == 0:\n    time.sleep(600)\nos.wait()", "timeout", "within 2 s", "os.wait()"
    ),
}

CRASHES = {
    "segmentation-fault": Fault(
        "import ctypes\nctypes.string_at(0)", "crashed", "segmentation fault", "ctypes.string_at(0)"
    ),
    "killed": Fault("import os\nos.kill(os.getpid(), 9)", "crashed", "SIGKILL", None),
    "abort": Fault("import os\nos.abort()", "crashed", "aborted", "os.abort()"),
    "exit-at-once": Fault("import os\nos._exit(3)", "crashed", "exit code 3", "os._exit(3)"),
}


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """In the environment of everything that a check starts."""
    value = f"mark-{uuid.uuid4().hex}"
    monkeypatch.setenv("FAULT_MARK", value)
    return value


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@contextmanager
def plainly(root: Path, statement: str = CALL) -> Iterator[subprocess.Popen[bytes]]:
    """The learner's code in a bare interpreter; at the end it is killed with everything that it started."""
    process = subprocess.Popen(
        [sys.executable, "-c", statement],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for pid in {process.pid, *marked(os.environ["FAULT_MARK"])}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.communicate()


def still_runs(process: subprocess.Popen[bytes]) -> bool:
    time.sleep(0.7)
    return process.poll() is None


def assert_named(result: CheckResult, fault: Fault) -> TestResult:
    assert not result.passed
    test = only(result, FIRST)
    assert test.outcome == fault.outcome
    assert fault.note in test.note
    assert test.error is not None
    if fault.line is not None:
        assert test.error.frames, "the learner's line is missing"
        assert test.error.frames[-1].file == "toyshop/prices.py"
        assert test.error.frames[-1].source == fault.line
    after = result.tests[result.tests.index(test) + 1 :]
    assert {other.outcome for other in after} == {"not_run"}
    return test


@pytest.mark.parametrize("fault", HANGS.values(), ids=HANGS)
def test_code_that_hangs(shop: Shop, mark: str, fault: Fault):
    root = shop.package(average=fault.code)
    with plainly(root) as process:
        assert still_runs(process)
    assert_named(shop.check(root), fault)
    assert wait_until(lambda: not marked(mark))


@pytest.mark.parametrize("fault", CRASHES.values(), ids=CRASHES)
def test_code_that_crashes(shop: Shop, mark: str, fault: Fault):
    root = shop.package(average=fault.code)
    with plainly(root) as process:
        assert process.wait(30) != 0
    assert_named(shop.check(root), fault)
    assert wait_until(lambda: not marked(mark))


@pytest.mark.parametrize("name", ["bare-except-around-a-loop", "long-native-operation", "segmentation-fault"])
def test_in_a_fork_of_a_template_it_is_the_same(shop: Shop, mark: str, name: str):
    fault = {**HANGS, **CRASHES}[name]
    root = shop.package(average=fault.code)
    with open_template(shop.course) as template:
        assert isinstance(template, Template)
        assert_named(shop.check(root, workers=template), fault)
        assert wait_until(lambda: marked(mark) == [template.pid])
    assert wait_until(lambda: not marked(mark))


def test_endless_recursion(shop: Shop, mark: str):
    root = shop.package(average="return average(prices)")
    with plainly(root) as process:
        assert process.wait(30) == 1
    test = only(shop.check(root), FIRST)
    assert test.outcome == "error"
    assert test.error is not None
    assert test.error.type == "RecursionError"
    assert 1 < len(test.error.frames) <= 12


def test_recursion_below_python(shop: Shop, mark: str):
    """With Python's own limit lifted, the stack of the process ends: a segmentation fault."""
    root = shop.package(
        average="import sys\nsys.setrecursionlimit(10**9)\nclass Deep:\n    def __repr__(self):\n"
        "        return repr([self])\nreturn repr(Deep())"
    )
    with plainly(root) as process:
        assert process.wait(60) < 0
    test = only(shop.check(root), FIRST)
    assert test.outcome == "crashed"


def test_more_memory_than_there_is_leave_for(shop: Shop, mark: str):
    """The allocation itself fails, so that the learner's line is known."""
    root = shop.package(average="block = bytearray(6 << 30)\nreturn len(block)")
    test = only(shop.check(root), FIRST)
    assert test.outcome == "error"
    assert test.error is not None
    assert test.error.type == "MemoryError"
    assert test.error.frames[-1].source == "block = bytearray(6 << 30)"
    assert "memory" in test.note


def test_fork_bomb(shop: Shop, mark: str):
    """Bounded to 2¹⁰ processes, which the bound on processes must cut short."""
    code = "import os, time\nfor _ in range(10):\n    os.fork()\ntime.sleep(600)"
    result = shop.check(shop.package(average=code))
    assert not result.passed
    assert only(result, FIRST).outcome in ("crashed", "timeout")
    assert wait_until(lambda: not marked(mark))


def test_double_fork_with_setsid(shop: Shop, mark: str):
    """A daemon outlives its process, in a session of its own. The test itself passes."""
    code = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\n"
        "    os._exit(0)\nos.wait()\nreturn 4.5"
    )
    root = shop.package(average=code)
    with plainly(root) as process:
        assert process.wait(30) == 0
        assert marked(mark)
    assert only(shop.check(root), FIRST).outcome == "passed"
    assert wait_until(lambda: not marked(mark))


def test_a_forked_child_that_returns_into_the_test_says_nothing(shop: Shop, mark: str):
    """Two processes run the rest of the suite; records must come from one."""
    root = shop.package(average="import os\nos.fork()\nreturn 4.5")
    with plainly(root) as process:
        assert process.communicate(timeout=30)[0].count(b"4.5") == 2
    result = shop.check(root, gates=False)
    ids = [test.id for test in result.tests]
    assert len(ids) == len(set(ids))
    assert only(result, FIRST).outcome == "passed"
    assert result.problem is None
    assert wait_until(lambda: not marked(mark))


@pytest.mark.parametrize("end", ["\\n", ""], ids=["lines", "without-newlines"])
def test_flood_of_output(shop: Shop, mark: str, end: str):
    code = f"for _ in range(3000):\n    print('x' * 10000, end='{end}')\nreturn 4.5"
    root = shop.package(average=code)
    with plainly(root) as process:
        assert len(process.communicate(timeout=60)[0]) > 30_000_000
    result = shop.check(shop.package(average=code), gates=False)
    test = only(result, FIRST)
    assert len(test.output) < 20_000
    assert test.output_cut > 29_000_000
    assert only(result, "test_add_puts_items_at_the_end").output == ""


def test_endless_flood(shop: Shop, mark: str):
    root = shop.package(average="while True:\n    print('x' * 10000)")
    test = only(shop.check(root), FIRST)
    assert test.outcome == "timeout"
    assert test.error is not None
    assert test.error.frames[-1].file == "toyshop/prices.py"
    assert len(test.output) < 20_000


def test_reading_stdin(shop: Shop, mark: str):
    """Waiting for somebody to type would be for ever: there is nobody, and the code is told so at once."""
    root = shop.package(average="return float(input('how much? '))")
    with subprocess.Popen(
        [sys.executable, "-c", CALL],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert still_runs(process)
        process.kill()
    test = only(shop.check(root), FIRST)
    assert test.outcome == "error"
    assert test.error is not None
    assert test.error.type == "EOFError"
    assert test.error.frames[-1].source == "return float(input('how much? '))"


def test_hangs_at_import(shop: Shop, mark: str):
    root = shop.package(prices_py="import time\ntime.sleep(600)")
    with plainly(root) as process:
        assert still_runs(process)
    result = shop.check(root)
    assert result.problem is not None
    assert result.problem.kind == "timeout"
    assert result.problem.frame is not None
    assert result.problem.frame.source == "time.sleep(600)"
    assert {test.outcome for test in result.tests} == {"not_run"}
    assert wait_until(lambda: not marked(mark))


@pytest.mark.parametrize(
    "code",
    [
        "import atexit, time\natexit.register(time.sleep, 600)",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()",
    ],
    ids=["atexit", "thread"],
)
def test_hangs_at_exit(shop: Shop, mark: str, code: str):
    """All records have arrived by then: the verdict stands, and nobody waits."""
    root = shop.package(prices_py=code)
    with plainly(root) as process:
        assert still_runs(process)
    assert shop.check(root).passed
    assert wait_until(lambda: not marked(mark))


def test_the_run_as_a_whole_takes_too_long(tmp_path: Path, mark: str):
    """Each test stays within its own limit."""
    shop = Shop(tmp_path, test_seconds=3.0, run_seconds=2.5)
    result = shop.check(shop.package(discount="import time\ntime.sleep(1.5)\nreturn price * (1 - percent / 100)"))
    assert result.problem is not None
    assert result.problem.kind == "timeout"
    assert "2.5 s" in result.problem.summary


RUNNER = """
import sys
from pathlib import Path
from coursecli.check.run import check_lesson
from coursecli.course.catalogue import load_course
course = load_course(Path(sys.argv[1]))
def tell(event):
    if type(event).__name__ == "Started" and "average" in event.id:
        print("started", flush=True)
result = check_lesson(course, course.lesson("1"), Path(sys.argv[2]), listener=tell)
print(result.problem.kind, flush=True)
"""


@contextmanager
def another_runner(shop: Shop, root: Path) -> Iterator[subprocess.Popen[str]]:
    """A check in another process, in the middle of a test that hangs."""
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(shop.course.root), str(root)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        yield process
        process.kill()


def test_the_runner_is_killed(tmp_path: Path, mark: str):
    shop = Shop(tmp_path, test_seconds=600.0)
    with another_runner(shop, shop.package(average="import time\ntime.sleep(600)")) as runner:
        assert len(marked(mark)) == 3, "the runner, the supervisor and the worker"
        runner.kill()
        assert wait_until(lambda: not marked(mark))


def test_control_c_during_a_check(tmp_path: Path, mark: str):
    shop = Shop(tmp_path, test_seconds=600.0)
    with another_runner(shop, shop.package(average="import time\ntime.sleep(600)")) as runner:
        runner.send_signal(signal.SIGINT)
        assert runner.stdout is not None
        assert runner.stdout.readline() == "interrupted\n"
        assert wait_until(lambda: not marked(mark))
