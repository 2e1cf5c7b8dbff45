"""A cold `intro2llm check` of a solved lesson against `python -m pytest` of the same suites on the same workspace.

Twice: against pytest as anybody would type it, with whatever plugins this environment has, and against pytest without
any plugin. Importing torch is most of either, so the second ratio cannot fall far below 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from _paired import Command, compare

from coursecli.course.catalogue import load_course

BAR = 0.65
BAR_WITHOUT_PLUGINS = 1.0
REPOSITORY = Path(__file__).resolve().parent.parent
PROGRAM = str(Path(sys.executable).with_name("intro2llm"))


def main() -> int:
    course = load_course()
    met = True
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Path(scratch) / "my-llm"
        os.environ["INTRO2LLM_CONFIG_DIR"] = str(Path(scratch) / "config")
        os.environ["INTRO2LLM_COLD"] = "1"
        subprocess.run([PROGRAM, "init", str(workspace), "--unlock", "all"], check=True, capture_output=True)
        for lesson in course.lessons:
            for words in (["start", lesson.short], ["solution", lesson.short, "--apply", "--yes", "--instructor"]):
                subprocess.run([PROGRAM, *words], cwd=workspace, check=True, capture_output=True)
        for lesson in course.lessons:
            ours = Command(f"check {lesson.short}", [PROGRAM, "check", lesson.short], cwd=workspace)
            suites = [sys.executable, "-m", "pytest", "-q", str(lesson.folder / "testcases")]
            bound = {"INTRO2LLM_WORKSPACE": str(workspace)}
            bare = {**bound, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
            met &= compare(ours, Command("python -m pytest", suites, REPOSITORY, bound), bar=BAR, rounds=7)
            peer = Command("the same without plugins", suites, REPOSITORY, bare)
            met &= compare(ours, peer, bar=BAR_WITHOUT_PLUGINS, rounds=7)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
