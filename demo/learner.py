"""A learner's way, played by a script: init, start, check, a real mistake, the reference, the next lesson. Then the
model that comes of it writes, is trained for a minute, is measured, and writes again.

Every step runs the installed `intro2llm` in a throw-away folder, shows what a learner would see, and asserts the
outcome. The first outcome that is missing ends the demo with exit code 1. `make demo` runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from coursecli.course.catalogue import load_course
from coursecli.course.mistakes import load_mistakes
from coursecli.course.variants import apply_edits

PROGRAM = Path(sys.executable).with_name("intro2llm")
WIDTH = str(min(100, shutil.get_terminal_size().columns))
LESSON, TASK, MISTAKE = "1", "rope", "layouts-mixed"
TRAINING = ("train", "--name", "first", "--steps", "150", "--seed", "7", "--set", "training.eval_steps=50")


class Missing(Exception):  # noqa: N818
    """A step did not end as it must."""


def main() -> int:
    course = load_course()
    lesson = course.lesson(LESSON)
    task = lesson.task(TASK)
    mistake = next(m for m in load_mistakes(lesson).mistakes if m.id == MISTAKE)
    with tempfile.TemporaryDirectory(prefix="intro2llm-demo-") as scratch:
        home = Path(scratch)
        workspace = home / "my-llm"
        learner = Learner(home, workspace)
        began = time.monotonic()

        learner.say("A new learner makes a workspace and starts the first lesson.")
        learner.run("init", str(workspace), exit_code=0)
        learner.run("start", exit_code=0)
        file = workspace / course.package_name / task.file
        learner.need(file.is_file(), f"{task.file} is in the workspace")

        learner.say("Nothing is written yet. The check says what to write first.")
        learner.run("check", exit_code=1, shows=["not written"])
        learner.need(learner.result()["passed"] is False, "the stub does not pass")

        learner.say("The learner has written the lesson, with one real mistake in it.")
        learner.run("solution", LESSON, "--apply", "--yes", "--instructor", exit_code=0, quiet=True)
        right = file.read_text(encoding="utf-8")
        file.write_text(apply_edits(right, mistake.edits), encoding="utf-8")
        learner.run("check", exit_code=1, shows=[mistake.name])
        named = {
            test["failure"]["mistake"] for test in learner.result()["tests"] if test.get("failure", {}).get("mistake")
        }
        learner.need(MISTAKE in named, f"the mistake is named: {MISTAKE}")
        learner.run("hint", TASK, exit_code=0)

        learner.say("The line is mended. The lesson passes and the next one unlocks.")
        learner.run("start", "2", exit_code=4)
        file.write_text(right, encoding="utf-8")
        learner.run("check", exit_code=0, shows=["lesson 02", "Lesson 02", "lesson02"])
        learner.need(learner.result()["passed"] is True, "the reference passes")
        learner.run("next", exit_code=0)
        attention = workspace / course.package_name / "model" / "attention.py"
        learner.need(attention.is_file(), "lesson 02 is started")
        learner.run("list", exit_code=0)
        learner.run("status", exit_code=0)

        learner.say("Lessons 02 to 04 are skipped, and the model writes: noise, before training.")
        for number in ("2", "3", "4"):
            learner.run("skip", number, "--yes", exit_code=0, quiet=True)
        writing = ("generate", "--random", "--prompt", "Once upon a time", "--max-new-tokens", "20", "--seed", "7")
        learner.run(*writing, exit_code=0, shows=["20 tokens"])
        first, again = (learner.written(*writing, "--json") for _ in range(2))
        learner.need(first == again, "the same seed gives the same text")

        learner.say("Lessons 05 to 09 are skipped, and the model is trained: about a minute on two cores.")
        for number in ("5", "6", "7", "8", "9"):
            learner.run("skip", number, "--yes", exit_code=0, quiet=True)
        learner.run(*TRAINING, exit_code=0, shows=["bits per byte on held-out text"])
        curve = learner.curve("first")
        learner.need(curve[-1] < 0.8 * curve[0], f"bits per byte fall from {curve[0]:.2f} to {curve[-1]:.2f}")
        learner.run("runs", exit_code=0, shows=["first"])

        learner.say("It is measured on stories that it has not seen, and writes one.")
        measured = ("eval", "--run", "first", "--tasks", "ppl", "--limit", "40")
        learner.run(*measured, exit_code=0, shows=["what no model can beat"])
        learner.run("generate", "--run", "first", "--prompt", "Anna", "--seed", "7", exit_code=0)
        learner.say(f"Every outcome was as it must be ({time.monotonic() - began:.0f} s).")
    return 0


class Learner:
    """Types commands, and complains when one does not do what it should."""

    def __init__(self, home: Path, workspace: Path) -> None:
        self.cwd = home
        self.workspace = workspace
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("INTRO2LLM_")},
            "INTRO2LLM_CONFIG_DIR": str(home / "config"),
            "INTRO2LLM_COLD": "1",  # nothing is left running
            "COLUMNS": WIDTH,
        }

    def say(self, text: str) -> None:
        print(f"\n── {text}", flush=True)

    def need(self, condition: bool, what: str) -> None:
        print(f"{'ok' if condition else 'MISSING'} · {what}", flush=True)
        if not condition:
            raise Missing(what)

    def run(self, *words: str, exit_code: int, shows: list[str] | None = None, quiet: bool = False) -> None:
        """Type a command; it must end with `exit_code` and show at least one of `shows`."""
        print(f"\n$ intro2llm {' '.join(words)}", flush=True)
        ended = self._call(words)
        if not quiet:
            print(ended.stdout + ended.stderr, end="", flush=True)
        self.need(ended.returncode == exit_code, f"exit code {ended.returncode}, expected {exit_code}")
        if shows:
            said = " ".join((ended.stdout + ended.stderr).split())
            self.need(any(text in said for text in shows), f"the screen says {' or '.join(map(repr, shows))}")

    def result(self) -> dict:
        """What `check --json` says now."""
        return json.loads(self._call(("check", LESSON, "--json")).stdout)

    def written(self, *words: str) -> str:
        """The text that `generate --json` gives."""
        return json.loads(self._call(words).stdout)["text"]

    def curve(self, run: str) -> list[float]:
        """Bits per byte on held-out text, at every evaluation of a run."""
        lines = (self.workspace / "runs" / run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [line["eval_bits_per_byte"] for line in map(json.loads, lines) if "eval_bits_per_byte" in line]

    def _call(self, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        folder = self.workspace if self.workspace.is_dir() else self.cwd
        return subprocess.run(
            [str(PROGRAM), *words],
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Missing as missing:
        print(f"\nThe demo failed: {missing}", file=sys.stderr)
        sys.exit(1)
