"""A check by a process that had been waiting has the verdict of a cold one, whatever the learner's code does."""

from __future__ import annotations

import sys

import msgspec
import pytest

from coursecli.check.results import CheckResult
from tests.checking import marked, only, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts processes in /proc")
KINDS = ["forks", "spares"]

CODE = {
    "right": {},
    "wrong": {"average": "return 0.0"},
    "prints": {"average": "import sys\nprint('ü')\nprint('e', file=sys.stderr)\nreturn 4.5"},
    "exit": {"average": "import os\nos._exit(0)"},
    "tampered": {"prices_py": "import math\nmath.isclose = print"},
    "import-error": {"prices_py": "import not_there"},
    "environment": {"average": "import os\nraise ValueError(sorted(n for n in os.environ if n != 'YARD_MARK'))"},
    "streams": {
        "average": "import os, sys, stat\nkinds = [stat.S_IFMT(os.fstat(fd).st_mode) for fd in range(6)]\n"
        "raise ValueError([kinds, sys.stdin.read(), os.getcwd(), sorted(map(int, os.listdir('/proc/self/fd')))[:7]])"
    },
    "session": {"average": "import os\nraise ValueError(os.getsid(0) == os.getpid() == os.getpgid(0))"},
    "signals": {
        "average": "import signal\nraise ValueError([repr(signal.getsignal(n)) for n in (1, 2, 15, 17, 20)], "
        "signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    },
    "limits": {
        "average": "import os, resource\nmask = os.umask(0)\nraise ValueError(mask, os.nice(0), "
        "[resource.getrlimit(n) for n in (0, 1, 2, 3, 4, 6, 7)])"
    },
    "random": {"average": "import random\nraise ValueError(random.random(), hash('shop'))"},
}
SOME = ("wrong", "exit", "environment", "streams", "signals", "limits")
"""For the second kind, whose every check costs an interpreter."""
FAULTS = {
    "hang": {"average": "import time\ntime.sleep(600)"},
    "crash": {"average": "import os\nos.abort()"},
    "flood": {"average": "for _ in range(3000):\n    print('x' * 10000)\nreturn 4.5"},
    "fork-bomb": {"average": "import os, time\nfor _ in range(10):\n    os.fork()\ntime.sleep(600)"},
    "memory": {"average": "block = bytearray(6 << 30)\nreturn len(block)"},
}


def comparable(result: CheckResult) -> bytes:
    """Every byte of a result, but for the times."""
    tests = [msgspec.structs.replace(test, seconds=0.0) for test in result.tests]
    return msgspec.json.encode(msgspec.structs.replace(result, seconds=0.0, tests=tests))


@pytest.mark.parametrize("kind", KINDS)
def test_the_verdict_is_that_of_a_cold_worker(yard, kind):
    waiting = yard.ready(kind)
    names = list(CODE) if kind == "forks" else SOME
    for name in names:
        root = yard.shop.package(**CODE[name])
        assert comparable(yard.check(waiting, root)) == comparable(yard.check(None, root)), name
    assert yard.asked() == len(names), "each check had a worker that had been waiting"


@pytest.mark.parametrize("kind", KINDS)
def test_so_it_is_with_faults_and_nothing_is_left_running(yard, kind):
    waiting = yard.ready(kind)
    faults = FAULTS if kind == "forks" else {name: FAULTS[name] for name in ("hang", "crash")}
    for name, bodies in faults.items():
        root = yard.shop.package(**bodies)
        warm, cold = yard.check(waiting, root), yard.check(None, root)
        if name == "fork-bomb":  # two limits race, in either
            assert {only(result, "test_average_of_three_prices").outcome for result in (warm, cold)} <= {
                "crashed",
                "timeout",
            }
        elif name == "flood":  # how much of the last piece counts as cut depends on the pipe
            assert [test.outcome for test in warm.tests] == [test.outcome for test in cold.tests]
            assert (
                only(warm, "test_average_of_three_prices").output == only(cold, "test_average_of_three_prices").output
            )
        else:
            assert comparable(warm) == comparable(cold), name
    assert yard.asked() == len(faults)
    ours = {yard.record.pid}
    if kind == "forks":
        assert wait_until(lambda: set(marked(yard.mark)) == ours)
    else:  # the spare, and its supervisor
        assert wait_until(lambda: len(marked(yard.mark)) == 3)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_one_check_reaches_the_next(yard, kind):
    waiting = yard.ready(kind)
    spoil = "import math, sys, random\nmath.isclose = print\nsys.modules['statistics'] = None\nrandom.seed(1)"
    assert not yard.check(waiting, yard.shop.package(prices_py=spoil)).passed
    assert yard.check(waiting, yard.shop.package()).passed
    assert yard.asked() == 2
