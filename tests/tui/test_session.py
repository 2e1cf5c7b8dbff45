"""A learner's session from the first look to the next lesson, in a terminal that is really drawn, by tmux."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import uuid
from collections.abc import Iterator

import pytest

pytest.importorskip("termios", reason="terminals of POSIX systems")
from tests.checking import marked, wait_until
from tests.conftest import Learner
from tests.tmux import PROMPT, Tmux
from tests.tui.conftest import FAILING, RIGHT

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux draws the terminal")


@pytest.fixture
def shell(learner: Learner) -> Iterator[Tmux]:
    """In the workspace. Nothing that was started there is left at the end."""
    mark = f"mark-{uuid.uuid4().hex}"
    path = f"{learner.program.parent}{os.pathsep}{os.environ['PATH']}"
    with Tmux(learner.workspace, learner.environment | {"MARK": mark, "PATH": path}) as shell:
        yield shell
    if sys.platform == "linux":
        assert wait_until(lambda: not marked(mark))


def settings(shell: Tmux, learner: Learner, name: str) -> str:
    """How the terminal is set."""
    file = learner.folder / name
    shell.command(f"stty -g > {shlex.quote(str(file))}; echo written-{name}")
    shell.wait_until(lambda: f"written-{name}" in shell.lines, "stty has not ended")
    return file.read_text()


def save(learner: Learner, before: str, after: str) -> None:
    file = learner.file("prices.py")
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after.replace("\n", "\n    ")), encoding="utf-8")


def test_a_session_in_the_dashboard(learner: Learner, shell: Tmux) -> None:
    before = settings(shell, learner, "before")
    shell.command("intro2llm")
    shell.wait_for("1 Course", "01 Prices", "A discount", "0 of 2 lessons", "q Quit")

    learner.write("discount", FAILING)
    shell.wait_for("✗ A discount", "A known mistake: returns what is taken off", "0 of 11 tests pass")
    shell.press("h")
    shell.wait_for("[3 Hints]", "Hint 1 of 3", "What part of the price is left")
    save(learner, FAILING, RIGHT)
    shell.wait_for("2 of 11 tests pass", "Write average next")

    learner.solve("01")
    shell.wait_for(
        "✓ Lesson 01 · Prices: passed", "✓ 01 Prices", "1 of 2 lessons", "intro2llm start lesson02", "s Start"
    )
    shell.press("s")
    shell.wait_for("▸ 02 Baskets", "○ The cheapest item", "[2 Lesson]", "Lesson 2 · Baskets")
    assert "lesson02" in learner.file("baskets.py").read_text(encoding="utf-8")

    shell.press("q")
    shell.wait_until(lambda: shell.lines[-1] == PROMPT.strip(), "the shell is not back")
    assert [line for line in shell.lines if "written-before" in line], "what was there before is there again"
    assert "Baskets" not in shell.screen
    assert settings(shell, learner, "after") == before


def test_a_session_with_watch(learner: Learner, shell: Tmux) -> None:
    before = settings(shell, learner, "before")
    shell.command("clear; intro2llm watch")
    shell.wait_for("A discount not written yet", "q quit")

    learner.write("discount", FAILING)
    shell.wait_for(
        "saved prices.py", "A known mistake: returns what is taken off", "The whole lesson: 0 of 11", "q quit"
    )
    shell.press("h")
    shell.wait_for("Hint 1 of 3", "What part of the price is left")
    save(learner, FAILING, RIGHT)
    shell.wait_for("Write average next", "The whole lesson: 2 of 11 tests pass.")
    assert "A known mistake" not in shell.screen, "each verdict has a screen of its own"

    learner.solve("01")
    shell.wait_for(
        "✓ Lesson 01 · Prices: passed", "Open Lesson 02 · Baskets", "Next intro2llm start lesson02", "q quit"
    )
    shell.press("n")
    shell.wait_for("The cheapest item not written yet", "0 of 6 tests pass", "q quit")
    assert "lesson02" in learner.file("baskets.py").read_text(encoding="utf-8")

    shell.press("q")
    shell.wait_until(lambda: shell.lines[-1] == PROMPT.strip(), "the shell is not back")
    assert settings(shell, learner, "after") == before
