"""Build whole packages out of a course: the reference, stubs, one variant planted."""

from __future__ import annotations

import shutil
from pathlib import Path

from coursecli.course.catalogue import Course, Lesson


def build_solved(course: Course, target: Path, *, upto: Lesson | None = None) -> Path:
    """Lay the given files and the reference over each other in `target / <package>`, and return that folder."""
    package = target / course.package_name
    for source in (course.package_dir, course.solutions_dir):
        shutil.copytree(source, package, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return package
