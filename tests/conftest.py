"""`learner`: the real `intro2llm` on the toy course, in a workspace of its own, as a process or in a terminal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("intro2llm")
TOY = Path(__file__).resolve().parent / "toy_course"
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_]|\][^\x07]*\x07)")


def pytest_configure() -> None:
    """Shells start background jobs without Ctrl-C, `nohup` without SIGHUP: what the tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.name == "posix" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(
            signal.SIGHUP, lambda number, frame: None
        )  # the tests go on; what they start does not inherit this


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str = ""

    @property
    def text(self) -> str:
        """What a person reads: without escape sequences, with single spaces."""
        return " ".join(ESCAPE.sub("", self.out + self.err).split())


@dataclass
class Learner:
    """Somebody at a shell in a workspace of the toy course."""

    folder: Path
    program: Path = PROGRAM
    workspace: Path = field(init=False)

    def __post_init__(self) -> None:
        self.workspace = self.folder / "my shop – ü"

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("INTRO2LLM_", "PYTEST", "NO_COLOR"))
        }
        own = {"INTRO2LLM_COURSE": str(TOY), "INTRO2LLM_COLD": "1", "INTRO2LLM_CONFIG_DIR": str(self.folder / "config")}
        return {**kept, **own, "COLUMNS": "100", "PYTHONUTF8": "1"}

    def __call__(self, *arguments: str, cwd: Path | None = None, stdin: str = "", **variables: str) -> Ran:
        """Run a command with pipes, in the workspace when there is one."""
        ended = subprocess.run(
            [self.program, *arguments],
            cwd=cwd or (self.workspace if self.workspace.is_dir() else self.folder),
            env=self.environment | variables,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    def terminal(
        self, *arguments: str, columns: int = 100, act: Callable[[int, str], None] | None = None, **variables: str
    ) -> Ran:
        """Run a command in a terminal. `act` gets its descriptor and what was written so far, after each piece."""
        from tests.terminal import Terminal

        folder = self.workspace if self.workspace.is_dir() else self.folder
        env = {**self.environment, "PAGER": "cat", **variables}
        with Terminal([self.program, *arguments], folder, env, columns=columns) as terminal:
            code = terminal.wait(act)
            return Ran(code, terminal.said.replace("\r\n", "\n"))

    def file(self, name: str) -> Path:
        """A file of the learner's package."""
        return self.workspace / "toyshop" / name

    def write(self, stub: str, code: str) -> None:
        """Replace one stub, such as `discount`, by `code` (its first line is indented by the stub's own)."""
        for path in sorted(self.file("").rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            match = re.search(
                rf'^( *)raise NotImplementedError\("lesson\d\d · {re.escape(stub)}"\)', text, re.MULTILINE
            )
            if match:
                body = "\n".join(match[1] + line for line in code.split("\n"))
                path.write_text(text.replace(match[0], body), encoding="utf-8")
                return
        raise AssertionError(f"no stub of {stub} in the workspace")

    def solve(self, lesson: str) -> None:
        """Put the reference of a lesson that has been started in place of the learner's code."""
        assert self("solution", lesson, "--apply", "--yes", "--instructor").code == 0


@pytest.fixture
def toy() -> Path:
    """The toy course: two lessons, no tensors."""
    return TOY


@pytest.fixture
def newcomer(tmp_path: Path) -> Learner:
    """A learner without a workspace."""
    return Learner(tmp_path)


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the first lesson has been started, to copy."""
    first = Learner(tmp_path_factory.mktemp("started"))
    assert first("init", str(first.workspace)).code == 0
    assert first("start").code == 0
    return first.workspace


@pytest.fixture
def learner(newcomer: Learner, started: Path) -> Learner:
    """A learner who has started the first lesson."""
    shutil.copytree(started, newcomer.workspace)
    return newcomer
