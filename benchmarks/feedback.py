"""From write() of the learner's file to the verdict: `watch`, `check` warm and cold, and a bare `python -m pytest`.

A mistake goes in and out of the first file of a solved lesson. `watch` runs in a terminal, and the
clock stops when the verdict is on its screen. Bars: a warm verdict in at most 1/30 of the time of a bare pytest, and
`watch` in at most 0.4 s at the median, with no save lost.
"""

from __future__ import annotations

import contextlib
import os
import pty
import py_compile
import re
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from coursecli.check.run import check_lesson
from coursecli.course.catalogue import Course, Lesson, load_course
from coursecli.warm.background import Background

REPOSITORY = Path(__file__).resolve().parent.parent
PROGRAM = str(Path(sys.executable).with_name("intro2llm"))
LESSONS = ("lesson01", "lesson02")
ROUNDS = 9
SHARE = 1 / 30
SAVE_SECONDS = 0.4
PATIENCE_SECONDS = 60.0
READY = b"q quit"


def main() -> int:
    met = True
    course = load_course()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "my-llm"
        os.environ["INTRO2LLM_CONFIG_DIR"] = str(Path(scratch) / "config")
        os.environ.pop("INTRO2LLM_COLD", None)
        _run("init", str(root), "--unlock", "all", cwd=REPOSITORY)
        for name in LESSONS:
            _run("start", name, cwd=root)
            _run("solution", name, "--apply", "--yes", "--instructor", cwd=root)
        try:
            for name in LESSONS:
                met &= measure(course, course.lesson(name), root)
        finally:
            _run("workers", "stop", cwd=root)
    return 0 if met else 1


def measure(course: Course, lesson: Lesson, root: Path) -> bool:
    """One lesson: all ways in turn, ROUNDS times."""
    waiting = Background(course, root)
    if not waiting.hold(120.0):
        print("no background process")
        return False
    file = root / course.package_name / lesson.tasks[0].file
    wrong = Toggle(file)
    suites = [str(path) for path in lesson.suites]
    for suite in suites:
        py_compile.compile(suite)  # as pip does when it installs the course
    seconds: dict[str, list[float]] = {"pytest": [], "worker": [], "check": [], "cold": [], "watch": []}
    lost = 0
    with watching(lesson, root) as terminal:
        for _ in range(ROUNDS):
            for passes in (False, True):
                began = wrong.save(passes)
                seen = terminal.verdict(passes)
                if seen is None:
                    lost += 1
                else:
                    seconds["watch"].append(seen - began)
                terminal.quiet()
    for _ in range(ROUNDS):
        wrong.save(True)
        seconds["worker"].append(_timed(lambda: check_lesson(course, lesson, root, workers=waiting)))
        seconds["check"].append(_timed(lambda: _run("check", lesson.short, cwd=root)))
        seconds["cold"].append(_timed(lambda: _run("check", lesson.short, "--cold", cwd=root)))
        seconds["pytest"].append(_timed(lambda: _pytest(suites, root)))
    waiting.release()
    medians = {name: statistics.median(each) if each else float("inf") for name, each in seconds.items()}
    peer = medians["pytest"]
    print(f"{lesson.short}: python -m pytest {peer * 1000:.0f} ms")
    for name, words in {"worker": "a warm worker", "check": "check, warm", "cold": "check --cold"}.items():
        print(f"  {words}: {medians[name] * 1000:.0f} ms · 1/{peer / medians[name]:.1f} of pytest")
    warm_met = medians["worker"] <= peer * SHARE
    print(f"  bar of a warm worker ≤ 1/{1 / SHARE:.0f}: {'met' if warm_met else 'missed'}")
    watch_met = medians["watch"] <= SAVE_SECONDS and not lost
    slowest = max(seconds["watch"], default=float("inf"))
    print(
        f"  watch, save to verdict: {medians['watch'] * 1000:.0f} ms, slowest {slowest * 1000:.0f} ms, {lost} lost"
        f" · bar ≤ {SAVE_SECONDS * 1000:.0f} ms and none lost · {'met' if watch_met else 'missed'}",
        flush=True,
    )
    return warm_met and watch_met


class Toggle:
    """Saves the file right or wrong: the wrong one raises at import."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._right = file.read_text(encoding="utf-8")

    def save(self, passes: bool) -> float:
        """Returns the time just before the write."""
        text = self._right if passes else self._right + "\n\nraise ValueError('wrong on purpose')\n"
        began = time.perf_counter()
        self._file.write_text(text, encoding="utf-8")
        return began


class Screen:
    """`watch` in a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._said = b""

    def verdict(self, passes: bool) -> float | None:
        """The time when the verdict of this kind has come; None when it does not come."""
        words = rb"passed|tests pass" if passes else rb"wrong on purpose"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self._read(deadline - time.monotonic()):
                shown = self._said.rpartition(b"\x1b[2J")[2]
                if b"saved" in shown and re.search(words, shown):
                    return time.perf_counter()
        return None

    def quiet(self) -> None:
        """Wait until the whole save has been dealt with."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while READY not in self._said and time.monotonic() < deadline:
            self._read(deadline - time.monotonic())
        self._said = b""

    def _read(self, seconds: float) -> bool:
        if not select.select([self._descriptor], [], [], max(0.0, seconds))[0]:
            return False
        self._said += os.read(self._descriptor, 1 << 16)
        return True


@contextlib.contextmanager
def watching(lesson: Lesson, root: Path) -> Iterator[Screen]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, "watch", lesson.short],
        cwd=root,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        screen = Screen(ours)
        screen.quiet()
        yield screen
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        os.close(ours)


def _pytest(suites: list[str], root: Path) -> None:
    env = {**os.environ, "INTRO2LLM_WORKSPACE": str(root)}
    command = [sys.executable, "-m", "pytest", "-q", *suites]
    subprocess.run(command, cwd=REPOSITORY, env=env, check=True, capture_output=True)


def _run(*arguments: str, cwd: Path) -> None:
    subprocess.run([PROGRAM, *arguments], cwd=cwd, check=True, capture_output=True)


def _timed(action: object) -> float:
    assert callable(action)
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
