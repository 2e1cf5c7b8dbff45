"""`Shop`: the toy course with short time limits, and packages with one function replaced. For tests of `check`."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coursecli.check.results import CheckResult, TestResult
from coursecli.check.run import check_lesson
from coursecli.check.waiting import Workers
from coursecli.course.build import build_solved
from coursecli.course.catalogue import Course, load_course
from coursecli.course.manifest import Edit
from coursecli.course.variants import apply_edits

TOY = Path(__file__).resolve().parent / "toy_course"


@dataclass
class Shop:
    """Builds packages below `base`, and checks them."""

    base: Path
    test_seconds: float = 2.0
    run_seconds: float = 60.0
    preload: tuple[str, ...] = ()
    course: Course = field(init=False)
    _built: int = 0

    def __post_init__(self) -> None:
        copy = self.base / "course"
        shutil.copytree(TOY, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for manifest in copy.glob("*/*/lesson.yaml"):
            limits = (
                f"limits: {{test_seconds: {self.test_seconds}, run_seconds: {self.run_seconds}, memory_mb: 2048}}\n"
            )
            manifest.write_text(manifest.read_text(encoding="utf-8") + limits, encoding="utf-8")
        with (copy / "course.yaml").open("a", encoding="utf-8") as manifest:
            manifest.write(f"worker: {{preload: {list(self.preload)}, environment: {{OMP_NUM_THREADS: '1'}}}}\n")
        self.course = load_course(copy)

    def package(self, **bodies: str) -> Path:
        """A workspace with the reference in it, some functions with another body: `discount="return 3.0"`.

        `Basket__add` stands for `Basket.add`; a keyword that ends in `_py` appends to that file.
        """
        root = self.base / f"workspace {self._built}"
        self._built += 1
        build_solved(self.course, root)
        for name, code in bodies.items():
            symbol = name.replace("__", ".")
            if name.endswith("_py"):
                path = root / "toyshop" / f"{name.removesuffix('_py')}.py"
                path.write_text(path.read_text(encoding="utf-8") + "\n" + code + "\n", encoding="utf-8")
                continue
            path = next(
                path
                for path in sorted((root / "toyshop").glob("*.py"))
                if f"def {symbol.rpartition('.')[2]}(" in path.read_text(encoding="utf-8")
            )
            text = apply_edits(path.read_text(encoding="utf-8"), [Edit(symbol=symbol, code=code)])
            path.write_text(text, encoding="utf-8")
        return root

    def check(self, root: Path, lesson: str = "1", *, workers: Workers | None = None, **options: Any) -> CheckResult:
        return check_lesson(self.course, self.course.lesson(lesson), root, workers=workers, **options)


def only(result: CheckResult, function: str) -> TestResult:
    """The record of a test function that has one."""
    [found] = [test for test in result.tests if test.id.endswith(f"::{function}")]
    return found


def marked(mark: str) -> list[int]:
    """The processes that have inherited an environment with this text in it (but not this one). Linux."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes()
                state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
            except OSError:
                continue
            if mark.encode() in environment and state != b"Z":
                found.append(int(entry.name))
    return found


def wait_until(condition: Any, seconds: float = 20.0) -> bool:
    """Whether the condition comes true before a generous deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
