"""What a result rests on: hashes of the learner's files, the tests, the environment. So a pass can be called stale."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from coursecli.course.catalogue import Course, Lesson
    from coursecli.course.manifest import Task

GONE = "gone"
"""Stands for the hash of a file that is not there."""


class Evidence(msgspec.Struct, frozen=True):
    """Stored with every attempt."""

    files: dict[str, str]
    """Task files of the lesson and of all that it needs, relative to the package, with their hashes."""
    tests: str
    environment: str


class Gatherer:
    """Gathers evidence for several lessons of one package, reading each file once.

    Args:
        package_root: the package's own folder, such as `my-llm/intro2llm`: task files are relative to it.
    """

    def __init__(self, course: Course, package_root: Path) -> None:
        self._course = course
        self._package_root = package_root
        self._files: dict[str, str] = {}
        self._environment: str | None = None

    def gather(self, lesson: Lesson) -> Evidence:
        lessons = [*needed_lessons(self._course, lesson), lesson]
        names = dict.fromkeys(task.file for each in lessons for task in each.tasks)
        if self._environment is None:
            self._environment = environment_hash(self._course.manifest.worker.preload)
        return Evidence({name: self._file(name) for name in names}, tests_hash(lesson), self._environment)

    def _file(self, name: str) -> str:
        if name not in self._files:
            self._files[name] = _hash_or_gone(self._package_root / name)
        return self._files[name]


def gather(course: Course, lesson: Lesson, package_root: Path) -> Evidence:
    """The evidence for a check of `lesson`. Gather it before the check: edits during it then count as later."""
    return Gatherer(course, package_root).gather(lesson)


def stale_reasons(then: Evidence, now: Evidence, files: set[str] | None = None) -> list[str]:
    """Why a result that rests on `then` may no longer hold, in words. `files` limits the comparison."""
    names = [name for name in {**then.files, **now.files} if files is None or name in files]
    reasons = []
    for name in names:
        before, after = then.files.get(name, GONE), now.files.get(name, GONE)
        if before != after:
            reasons.append(f"{name} is gone" if after == GONE else f"{name} changed since")
    if then.tests != now.tests:
        reasons.append("the lesson's tests changed since")
    if then.environment != now.environment:
        reasons.append("Python or an installed package changed since")
    return reasons


def task_files(course: Course, lesson: Lesson, task: Task) -> set[str]:
    """The files that a task's result rests on: its own, those of the tasks that it needs, and the needed lessons'."""
    by_id = {each.id: each for each in lesson.tasks}
    waiting, seen = [task.id], {task.id}
    while waiting:
        for need in by_id[waiting.pop()].needs:
            if need in by_id and need not in seen:
                seen.add(need)
                waiting.append(need)
    own = {by_id[name].file for name in seen}
    return own | {each.file for needed in needed_lessons(course, lesson) for each in needed.tasks}


def needed_lessons(course: Course, lesson: Lesson) -> list[Lesson]:
    """Every lesson that this one builds on, directly or not, in the course's order."""
    by_id = {each.id: each for each in course.lessons}
    waiting, seen = list(lesson.manifest.needs), set[str]()
    while waiting:
        name = waiting.pop()
        if name in by_id and name not in seen:
            seen.add(name)
            waiting.extend(by_id[name].manifest.needs)
    return [each for each in course.lessons if each.id in seen and each.id != lesson.id]


def tests_hash(lesson: Lesson) -> str:
    """Over everything in the lesson's testcases, and its manifest."""
    cases = sorted(path for path in (lesson.folder / "testcases").rglob("*.py") if path.is_file())
    parts = [(path.relative_to(lesson.folder).as_posix(), _hash_or_gone(path)) for path in cases]
    parts.append(("lesson.yaml", _hash_or_gone(lesson.folder / "lesson.yaml")))
    return _digest(parts)


def environment_hash(preload: list[str]) -> str:
    """Over Python's version and the versions of the packages that the worker loads first. None of them is imported."""
    parts = [("python", ".".join(map(str, sys.version_info[:3])))]
    parts += installed_versions({name.partition(".")[0] for name in preload}).items()
    return _digest(parts)


def installed_versions(names: set[str]) -> dict[str, str]:
    """The installed version of each distribution, read from the names of the folders on `sys.path`.

    importlib.metadata would find the same, but importing it costs more than the whole of `status` (90 ms against 3).
    A name that is not a distribution, such as a module of the standard library, is left out.
    """
    wanted = {re.sub(r"[-_.]+", "-", name).lower(): name for name in names}
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            entries = sorted(entry.name for entry in Path(folder or ".").iterdir())
        except OSError:
            continue  # a zip file, or a folder that is not there
        for entry in entries:
            if match := re.fullmatch(r"(.+?)-([^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info", entry):
                name = wanted.get(re.sub(r"[-_.]+", "-", match[1]).lower())
                if name is not None:
                    found.setdefault(name, match[2])
    return dict(sorted(found.items()))


def _hash_or_gone(path: Path) -> str:
    from coursecli.files import sha256_file  # hashlib: 4 ms, not for --help

    try:
        return sha256_file(path)[:32]  # 128 bits are enough, and every attempt stores one for each file
    except OSError:
        return GONE


def _digest(parts: list[tuple[str, str]]) -> str:
    import hashlib

    return hashlib.sha256(repr(parts).encode()).hexdigest()
