"""`dev sync`: the stubs that learners get, derived from the reference; with `--check`, only what is out of step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coursecli.course.catalogue import Course
from coursecli.course.stubs import compose, task_files
from coursecli.files import atomic_write


@dataclass(frozen=True)
class Drift:
    """A stub that is not what the reference says."""

    file: Path
    reason: Literal["missing", "stale", "unlisted"]
    """unlisted: the reference has the file, but no task of any lesson does, so no stub can be derived."""


def sync_course(course: Course, *, check: bool) -> list[Drift]:
    """Derive every stub; write those that differ, unless `check`.

    Returns:
        what was out of step. "unlisted" files are never mended here: list a task for them in a lesson.yaml.

    Raises:
        ContentError: a manifest is malformed, or names a symbol that the reference does not have.
    """
    drifts = []
    files = task_files(course)
    for file in files:
        stub = compose(course, file)
        target = course.package_dir / file
        current = target.read_text(encoding="utf-8") if target.is_file() else None
        if current == stub:
            continue
        drifts.append(Drift(target, "missing" if current is None else "stale"))
        if not check:
            target.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(target, stub)
    for reference in sorted(course.solutions_dir.rglob("*.py")):
        if reference.relative_to(course.solutions_dir).as_posix() not in files:
            drifts.append(Drift(reference, "unlisted"))
    return drifts
