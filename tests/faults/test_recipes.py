"""The learner's model at work, and what can happen to it: the runner killed, floods, hangs, what it starts besides."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from coursecli.recipes.run import RecipeRun
from tests.checking import marked, wait_until
from tests.recipe_shop import Seller

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descendants are found through /proc")

ESCAPED = """
import os, subprocess, sys, time
if percent == 0:
    child = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(600)"
    subprocess.run([sys.executable, "-c", child])
    open("escaped", "w").close()
time.sleep(600 if percent else 0)
return price
"""
DEAF = """
open("begun", "w").close()
while True:
    try:
        while True:
            pass
    except:
        open("heard", "w").close()
"""


@pytest.fixture
def seller(tmp_path: Path) -> Seller:
    return Seller(tmp_path)


@pytest.fixture
def mark() -> str:
    """In the environment of everything that a test starts."""
    return f"mark-{uuid.uuid4().hex}"


@pytest.mark.parametrize("command", ["generate", "chat"])
def test_a_runner_that_is_killed_takes_the_recipe_with_it(seller: Seller, mark: str, command: str):
    seller.replace("discount", ESCAPED.strip())
    arguments = [seller.program, command, "--random", *(["--prompt", "x"] if command == "generate" else [])]
    runner = subprocess.Popen(
        arguments,
        cwd=seller.workspace,
        env=seller.environment | {"MARK": mark},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert runner.stdin is not None
    runner.stdin.write(b"5\n")
    runner.stdin.flush()
    assert wait_until((seller.workspace / "escaped").exists)
    assert len(marked(mark)) >= 3  # the runner, the recipe, and a grandchild in a session of its own
    runner.kill()
    runner.wait()
    assert wait_until(lambda: not marked(mark))
    runner.stdin.close()


def test_what_the_code_has_started_does_not_outlive_the_recipe(seller: Seller, mark: str, monkeypatch):
    monkeypatch.setenv("MARK", mark)
    seller.replace("discount", ESCAPED.strip().replace("600 if percent else 0", "0"))
    assert len(list(seller.run("--max-new-tokens=2"))) == 5
    assert wait_until(lambda: not marked(mark))


def test_a_terminated_runner_leaves_nothing(seller: Seller, mark: str, monkeypatch):
    monkeypatch.setenv("MARK", mark)
    seller.replace("discount", "import time\ntime.sleep(600)")
    with RecipeRun(seller.course, seller.opened, "generate", "generate", [], printed=print) as run:
        next(run.events())
        run.stop()
        with pytest.raises(KeyboardInterrupt):
            list(run.events())
    assert wait_until(lambda: not marked(mark))


def test_a_second_ctrl_c_ends_a_chat_that_does_not_stop_at_the_first(seller: Seller, mark: str):
    seller.replace("discount", DEAF.strip())
    typed: list[bytes] = []

    def act(terminal: int, said: str) -> None:
        if said.endswith("> ") and not typed:
            typed.append(b"1\n")
            os.write(terminal, b"1\n")
        elif said.endswith("1\r\n") and len(typed) == 1:
            for sign in ("begun", "heard"):  # the answer has begun; the first Ctrl-C has arrived, in vain
                assert wait_until((seller.workspace / sign).exists)
                typed.append(b"\x03")
                os.write(terminal, b"\x03")

    ran = seller.terminal("chat", "--random", act=act, MARK=mark)
    assert ran.code == 130
    assert wait_until(lambda: not marked(mark))


def test_a_flood_of_output_is_passed_on_and_ends_with_ctrl_c(seller: Seller, mark: str):
    seller.replace("discount", "while True:\n    print('flood ' * 20, percent)")
    pressed: list[int] = []

    def act(terminal: int, said: str) -> None:
        if len(said) > 100_000 and not pressed:
            pressed.append(1)
            os.write(terminal, b"\x03")

    ran = seller.terminal("generate", "--random", "--prompt", "x", act=act, MARK=mark)
    assert ran.code == 130
    assert wait_until(lambda: not marked(mark))


def test_a_reader_that_goes_away_ends_the_recipe(seller: Seller, mark: str):
    seller.replace("discount", "return price")
    command = [seller.program, "generate", "--random", "--max-new-tokens", "1000000", "--prompt", "x"]
    runner = subprocess.Popen(
        command,
        cwd=seller.workspace,
        env=seller.environment | {"MARK": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert runner.stdout is not None
    assert runner.stderr is not None
    assert runner.stdout.read(5) == b"x 100"
    runner.stdout.close()
    assert b"Traceback" not in runner.stderr.read()
    assert runner.wait() == 141
    assert wait_until(lambda: not marked(mark))


def test_a_runner_that_is_stopped_by_sigterm_leaves_nothing(seller: Seller, mark: str):
    seller.replace("discount", "import time\nopen('begun', 'w').close()\ntime.sleep(600)")
    runner = subprocess.Popen(
        [seller.program, "generate", "--random", "--prompt", "x"],
        cwd=seller.workspace,
        env=seller.environment | {"MARK": mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert wait_until((seller.workspace / "begun").exists)
    runner.send_signal(signal.SIGTERM)
    runner.wait()
    assert wait_until(lambda: not marked(mark))
