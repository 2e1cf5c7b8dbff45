"""A fork of a template gives the verdict of a cold worker, and the template stays fit for forking."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from coursecli.check import template as module
from coursecli.check.results import CheckResult
from coursecli.check.template import Template, open_template
from coursecli.course.build import build_stubbed
from coursecli.course.catalogue import load_course
from tests.checking import Shop, marked, only, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no template is offered")

CODE = {
    "right": {},
    "wrong": {"average": "return 0.0"},
    "error": {"average": "return prices['no']"},
    "prints": {"average": "import sys\nprint('ü')\nprint('e', file=sys.stderr)\nreturn 4.5"},
    "crash": {"average": "import os\nos.abort()"},
    "exit": {"average": "import os\nos._exit(0)"},
    "tampered": {"prices_py": "import math\nmath.isclose = print"},
    "import-error": {"prices_py": "import not_there"},
}


@pytest.fixture
def template(shop: Shop) -> Iterator[Template]:
    with open_template(shop.course) as opened:
        assert opened is not None
        yield opened


def comparable(result: CheckResult) -> CheckResult:
    tests = [msgspec.structs.replace(test, seconds=0.0) for test in result.tests]
    return msgspec.structs.replace(result, seconds=0.0, tests=tests)


@pytest.mark.parametrize("name", CODE)
def test_the_verdict_is_that_of_a_cold_worker(shop: Shop, template: Template, name: str):
    root = shop.package(**CODE[name])
    cold, warm = comparable(shop.check(root)), comparable(shop.check(root, workers=template))
    assert warm == cold


def test_stubs_too(shop: Shop, template: Template, tmp_path: Path):
    build_stubbed(shop.course, tmp_path / "stubs")
    cold, warm = shop.check(tmp_path / "stubs"), shop.check(tmp_path / "stubs", workers=template)
    assert comparable(warm) == comparable(cold)


def test_nothing_of_one_check_reaches_the_next(shop: Shop, template: Template):
    spoil = "import math, sys, random\nmath.isclose = print\nsys.modules['statistics'] = None\nrandom.seed(1)"
    assert not shop.check(shop.package(prices_py=spoil), workers=template).passed
    assert shop.check(shop.package(), workers=template).passed


def test_several_checks_at_once(shop: Shop, template: Template):
    packages = [shop.package(average=f"return {number}.5") for number in range(1, 7)]
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda root: shop.check(root, workers=template, tasks={"average"}), packages))
    passing = [only(result, "test_average_of_three_prices").outcome == "passed" for result in results]
    assert passing == [False, False, False, True, False, False]


def test_it_ends_with_the_block_and_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    mark = f"mark-{uuid.uuid4().hex}"
    monkeypatch.setenv("TEMPLATE_MARK", mark)
    with open_template(shop.course) as opened:
        shop.check(shop.package(), workers=opened)
        assert opened is not None
        assert wait_until(lambda: marked(mark) == [opened.pid])
    assert marked(mark) == []


def test_it_ends_when_its_runner_is_killed(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    mark = f"mark-{uuid.uuid4().hex}"
    monkeypatch.setenv("TEMPLATE_MARK", mark)
    code = f"""
import time
from pathlib import Path
from coursecli.check.template import open_template
from coursecli.course.catalogue import load_course
with open_template(load_course(Path({str(shop.course.root)!r}))):
    print("open", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "open\n"
        assert len(marked(mark)) == 2
        runner.kill()
    assert wait_until(lambda: not marked(mark))


def test_a_template_that_has_died_is_done_without(shop: Shop, template: Template):
    os.kill(template.pid, signal.SIGKILL)
    assert wait_until(lambda: Path(f"/proc/{template.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    assert shop.check(shop.package(), workers=template).passed


def test_it_is_not_offered_when_it_is_not_wanted_or_not_safe(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    with open_template(shop.course, cold=True) as opened:
        assert opened is None
    monkeypatch.setattr(module.sys, "platform", "darwin")
    with open_template(shop.course) as opened:
        assert opened is None


def test_a_preload_that_starts_threads_is_not_forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A thread of the template would not exist in the fork, and what it holds would stay held."""
    shop = Shop(tmp_path, preload=("threads_at_import",))
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "threads_at_import.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(module, "python", lambda statement: with_path(folder, statement))
    with open_template(shop.course) as opened:
        assert opened is None


def with_path(folder: Path, statement: str) -> list[str]:
    return [sys.executable, "-P", "-c", f"import sys; sys.path.append({str(folder)!r}); {statement}"]


def test_a_preload_that_is_missing_is_said_by_the_check(tmp_path: Path):
    shop = Shop(tmp_path, preload=("not_installed_anywhere",))
    with open_template(shop.course) as opened:
        assert opened is None
        result = shop.check(shop.package(), workers=opened)
    assert not result.passed
    assert result.problem is not None
    assert "No module named 'not_installed_anywhere'" in result.problem.summary
    assert result.problem.remedy == "intro2llm doctor"


OPERATIONS = {
    "matmul": "torch.randn(700, 700) @ torch.randn(700, 700)",
    "attention": "torch.nn.functional.scaled_dot_product_attention(*torch.randn(3, 2, 4, 300, 64))",
    "backward": "x = torch.randn(600, 600, requires_grad=True); (x @ x).sum().backward()",
    "threads": "import threading; t = [threading.Thread(target=lambda: torch.randn(500, 500) @ torch.randn(500, 500)) "
    "for _ in range(3)]; [x.start() for x in t]; [x.join() for x in t]",
    "more-threads": "torch.set_num_threads(2); torch.randn(700, 700) @ torch.randn(700, 700)",
    "optimizer": "p = torch.nn.Parameter(torch.randn(9)); o = torch.optim.AdamW([p]); p.sum().backward(); o.step()",
    "workers": "import torch.utils.data as d; [b for b in d.DataLoader(list(range(9)), num_workers=2)]",
    "small": "torch.ones(3) + 1",
    "one-thread": "torch.set_num_threads(1); torch.randn(700, 700) @ torch.randn(700, 700)",
    "lion-like": "p = torch.nn.Parameter(torch.randn(700, 700)); (p @ p).sum().backward(); p.data -= p.grad.sign()",
    "big-optimizer": "p = torch.nn.Parameter(torch.randn(900, 900)); o = torch.optim.AdamW([p], foreach=True); "
    "(p @ p).sum().backward(); o.step()",
    "softmax-and-sort": "x = torch.randn(900, 900).softmax(-1); x.sort(-1); x.cumsum(-1); torch.multinomial(x, 3)",
    "bfloat16": "torch.randn(300, 300, dtype=torch.bfloat16) @ torch.randn(300, 300, dtype=torch.bfloat16)",
    "batched": "torch.einsum('bij,bjk->bik', torch.randn(8, 200, 200), torch.randn(8, 200, 200))",
    "fork": "import os; pid = os.fork()\nif pid == 0: torch.randn(700, 700) @ torch.randn(700, 700); os._exit(0)\n"
    "os.waitpid(pid, 0)",
}


@pytest.mark.slow
def test_a_fork_of_a_process_that_has_used_torch_hangs():
    """The fault: the threads of the pool are gone in the child, which waits for them."""
    code = """
import os, torch
torch.set_num_threads(2)
torch.randn(700, 700) @ torch.randn(700, 700)
print("used", flush=True)
if os.fork() == 0:
    torch.randn(700, 700) @ torch.randn(700, 700)
    os._exit(0)
os.wait()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"used\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(5)
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_no_operation_of_torch_hangs_in_a_fork(tmp_path: Path):
    """A fork of a process whose OpenMP pool has started hangs in half of these. The template's never starts.

    What else it loads ahead, which the course names, starts no thread either.
    """
    warm = load_course(Path(__file__).resolve().parents[2] / "lessons").manifest.worker.warm
    shop = Shop(tmp_path, test_seconds=60.0, run_seconds=120.0, preload=("numpy", "torch", *warm))
    with open_template(shop.course) as opened:
        assert opened is not None
        for name, code in OPERATIONS.items():
            root = shop.package(average=f"import torch\n{code}\nreturn 4.5")
            result = shop.check(root, workers=opened, tasks={"average"})
            test = only(result, "test_average_of_three_prices")
            assert test.outcome == "passed", (name, result.problem, test)
            assert len(list(Path(f"/proc/{opened.pid}/task").iterdir())) == 1
