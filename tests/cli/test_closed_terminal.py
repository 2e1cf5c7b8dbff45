"""The window is closed, the lid is shut, the line is cut: what can be saved is saved, and nothing is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checking import marked, wait_until
from tests.conftest import Learner
from tests.recipe_shop import Seller

pytest.importorskip("termios", reason="terminals of POSIX systems")
from tests.terminal import Terminal

HUNG_UP = 128 + signal.SIGHUP
UNTIL_STOPPED = """
import time
from toyshop.recipes.pretrain import STOP
while percent == 2 and not STOP:
    time.sleep(0.01)
return price - percent
"""
PRINTING = UNTIL_STOPPED.replace("    time.sleep", "    print('still here', flush=True)\n    time.sleep")
SLOWLY = "import time\ntime.sleep(0.02)\nreturn price - percent"
HANG = "import time\nwhile True:\n    time.sleep(0.01)"


@pytest.fixture
def seller(tmp_path: Path) -> Seller:
    return Seller(tmp_path)


@pytest.fixture
def mark() -> Iterator[str]:
    """For the environment of a command, of which nothing is left at the end."""
    mark = f"mark-{uuid.uuid4().hex}"
    yield mark
    if sys.platform == "linux":
        assert wait_until(lambda: not marked(mark))


def info(seller: Seller) -> dict[str, object]:
    """What is known of the run `first`."""
    return json.loads((seller.workspace / "runs" / "first" / "run.json").read_text())


@pytest.mark.parametrize("code", [UNTIL_STOPPED, PRINTING], ids=["silent", "printing"])
def test_a_training_is_saved(seller: Seller, mark: str, code: str):
    seller.replace("discount", code)
    command = [seller.program, "train", "--name", "first"]
    with Terminal(command, seller.workspace, seller.environment | {"MARK": mark}) as terminal:
        terminal.wait_for("1/3")
        terminal.close()
        assert terminal.wait() == HUNG_UP
    assert info(seller)["state"] == "interrupted"


@pytest.mark.parametrize("code", [PRINTING, SLOWLY], ids=["printing", "updating"])
def test_a_training_is_saved_also_where_only_writing_tells_it(seller: Seller, mark: str, code: str):
    """A shell that dies with the window may not come to pass SIGHUP on before the first write has failed."""
    seller.replace("discount", code)
    command = [seller.program, "train", "--name", "first", "--steps", "100000"]
    environment = seller.environment | {"MARK": mark}
    with Terminal(command, seller.workspace, environment, controlling=False) as terminal:
        terminal.wait_for("1/100000")
        terminal.close()
        assert terminal.wait() == HUNG_UP
    assert info(seller)["state"] == "interrupted"


def training(seller: Seller, mark: str, *before: str, steps: int = 3) -> subprocess.Popen[str]:
    """`train` on pipes, after its first update."""
    process = subprocess.Popen(
        [*before, seller.program, "train", "--name", "first", "--steps", str(steps)],
        cwd=seller.workspace,
        env=seller.environment | {"MARK": mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    while f"1/{steps}" not in process.stdout.readline():
        assert process.poll() is None
    return process


def test_sighup_ends_it_in_order_however_often_it_comes(seller: Seller, mark: str):
    """The shell passes it on, and when the shell has ended, the system sends another."""
    seller.replace("discount", UNTIL_STOPPED.replace("and not STOP", "and not (STOP and open_again())"))
    with seller.file("prices.py").open("a", encoding="utf-8") as code:
        code.write("\n\ndef open_again():\n    from pathlib import Path\n    return Path('go').exists()\n")
    with training(seller, mark) as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGHUP)
        while "Stopping after this update" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGHUP)
        (seller.workspace / "go").touch()
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == HUNG_UP
    assert "intro2llm train --resume --name first" in rest
    assert info(seller)["state"] == "interrupted"


def test_a_reader_that_goes_away_ends_it_in_order(seller: Seller, mark: str):
    seller.replace("discount", SLOWLY)
    with training(seller, mark, steps=1000) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 128 + signal.SIGPIPE
    assert info(seller)["state"] == "interrupted"


def test_nohup_keeps_it_going(seller: Seller, mark: str):
    seller.replace("discount", UNTIL_STOPPED.replace("not STOP", "not (STOP or __import__('os').path.exists('go'))"))
    with training(seller, mark, "nohup") as process:
        process.send_signal(signal.SIGHUP)
        (seller.workspace / "go").touch()
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert (info(seller)["state"], info(seller)["step"]) == ("finished", 3)


@pytest.mark.parametrize("command", ["generate --prompt P", "chat"])
def test_a_recipe_that_hangs_is_ended(seller: Seller, mark: str, command: str):
    seller.replace("discount", "print('begun', flush=True)\n" + HANG)
    environment = seller.environment | {"MARK": mark, "INPUTRC": os.devnull}
    with Terminal([seller.program, *command.split(), "--random"], seller.workspace, environment) as terminal:
        if command == "chat":
            terminal.wait_for(">")
            terminal.type("1\n")
        terminal.wait_for("begun")
        terminal.close()
        assert terminal.wait() != 0


@pytest.mark.parametrize("command", ["eval", "train"])
def test_one_that_could_be_saved_is_ended_when_it_takes_too_long(seller: Seller, mark: str, command: str):
    seller.add_run("first")
    seller.replace("discount", "print('begun', flush=True)\n" + HANG)
    seller.file("recipes/evaluate.py").write_text(
        "import signal\nfrom toyshop.prices import discount\nfrom toyshop.recipes.events import emit\n\n\n"
        "def main(arguments=None):\n    signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "    emit('notice', message='Begun.')\n    discount(1.0, 2)\n",
        encoding="utf-8",
    )
    impatient = (
        "from coursecli.cli import training\ntraining.LAST_SECONDS = 0.5\nfrom coursecli.__main__ import main\nmain()"
    )
    words = [sys.executable, "-c", impatient, command]
    with Terminal(words, seller.workspace, seller.environment | {"MARK": mark}) as terminal:
        terminal.wait_for("begun")
        terminal.close()
        assert terminal.wait() == HUNG_UP


@pytest.mark.parametrize(("command", "keys"), [("check", ""), ("watch", ""), ("", "c")])
def test_a_check_that_hangs_is_ended(learner: Learner, mark: str, command: str, keys: str):
    learner.write("discount", HANG)
    words = command.split()
    with Terminal([learner.program, *words], learner.workspace, learner.environment | {"MARK": mark}) as terminal:
        if keys:
            terminal.wait_for("A discount")
            terminal.type(keys)
        terminal.wait_for("1/11")
        terminal.close()
        assert terminal.wait() != 0
