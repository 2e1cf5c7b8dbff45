"""A cold `intro2llm check` of a solved lesson against a naive `python -m pytest` of the same suites and workspace."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from paired import Command, compare

from coursecli.course.catalogue import load_course

BAR = 0.65
REPOSITORY = Path(__file__).resolve().parent.parent
PROGRAM = str(Path(sys.executable).with_name("intro2llm"))


def main() -> int:
    course = load_course()
    met = True
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Path(scratch) / "my-llm"
        os.environ["INTRO2LLM_CONFIG_DIR"] = str(Path(scratch) / "config")
        subprocess.run([PROGRAM, "init", str(workspace), "--unlock", "all"], check=True, capture_output=True)
        for lesson in course.lessons:
            for words in (["start", lesson.short], ["solution", lesson.short, "--apply", "--yes", "--instructor"]):
                subprocess.run([PROGRAM, *words], cwd=workspace, check=True, capture_output=True)
        for lesson in course.lessons:
            ours = Command(f"check {lesson.short}", [PROGRAM, "check", lesson.short], cwd=workspace)
            peer = Command(
                "python -m pytest",
                [sys.executable, "-m", "pytest", "-q", str(lesson.folder / "testcases")],
                cwd=REPOSITORY,
                env={"INTRO2LLM_WORKSPACE": str(workspace)},
            )
            met &= compare(ours, peer, bar=BAR, rounds=7)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
