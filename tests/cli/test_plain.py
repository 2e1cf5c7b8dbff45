"""`--plain`, as a screen reader meets it in a terminal: words in lines; nothing moves, and nothing is drawn."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from coursecli.cli.app import app
from tests.recipe_shop import Seller

pytest.importorskip("termios", reason="terminals of POSIX systems")
from tests.terminal import Terminal

DRAWN = re.compile("[\u2320\u2321\u239b-\u23b3\u2500-\u259f\u2800-\u28ff]")
"""Frames, blocks, the braille of curves and spinners, the pieces of tall brackets."""
COMMANDS = {
    "init": "init ../another",
    "start": "start 1",
    "check": "check 1 --all",
    "watch": "watch 1",
    "hint": "hint discount",
    "next": "next",
    "dashboard": "dashboard",
    "status": "status",
    "list": "list",
    "read": "read 1",
    "doctor": "doctor",
    "reset": "reset discount --yes",
    "solution": "solution 1 --instructor",
    "skip": "skip 1 --yes",
    "train": "train --name second --steps 30",
    "eval": "eval",
    "generate": "generate --random --prompt P",
    "chat": "chat --random",
    "import": "import lessons",
    "bench": "bench",
    "runs": "runs show first",
    "export": "export hf first out",
    "workers": "workers",
    "dev": "dev --help",
}
"""A use of each command in which it says much."""
KEYS = {"watch": [("Expected 60.0", "\x03")], "chat": [(">", "3\n"), ("1 1 1", "/exit\n")]}
"""What is typed, when these words have come. A terminal that cannot move its cursor gives `watch` no keys: Ctrl-C."""
CODES = {"check": 1, "dashboard": 2}
EVERY_COMMAND = [
    *(info.name or "" for info in app.registered_commands),
    *(group.name or "" for group in app.registered_groups),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Seller:
    """Somebody who has started the first lesson and made a mistake in it, and has a run."""
    seller = Seller(tmp_path_factory.mktemp("plain"))
    assert seller("start", "1").code == 0
    seller.replace("discount", "return 1.0")
    assert seller("train", "--name", "first", "--steps", "30").code == 0
    return seller


def test_every_command_is_here():
    assert set(COMMANDS) == set(EVERY_COMMAND)


@pytest.mark.parametrize("how", ["--plain", "TERM=dumb", "NO_COLOR=1"])
@pytest.mark.parametrize("name", ["", *EVERY_COMMAND])
def test_nothing_steers_the_terminal_and_nothing_is_drawn(shop: Seller, tmp_path: Path, name: str, how: str):
    if how == "NO_COLOR=1" and name in ("", "dashboard"):
        pytest.skip("NO_COLOR is about colour: the dashboard does without, and is a dashboard still")
    workspace = tmp_path / "shop"
    shutil.copytree(shop.workspace, workspace)
    option, environment = ([how], {}) if how == "--plain" else ([], dict([how.split("=")]))
    words = COMMANDS.get(name, "").split()
    env = {**shop.environment, "PAGER": "cat", "INPUTRC": "/dev/null", **environment}
    with Terminal([shop.program, *words, *option], workspace, env) as terminal:
        for awaited, keys in KEYS.get(name, []):
            terminal.wait_for(awaited)
            terminal.type(keys)
        code = terminal.wait()
    assert code == CODES.get(name, code)
    assert terminal.text
    assert "\x1b" not in terminal.said
    assert "\r" not in terminal.said.replace("\r\n", "")
    assert "\b" not in terminal.said
    if how == "--plain":
        assert not DRAWN.findall(terminal.said)


def test_the_dashboard_says_what_there_is_instead(shop: Seller):
    refused = shop.terminal("dashboard", "--plain")
    assert refused.code == 2
    assert "intro2llm watch --plain" in refused.text
