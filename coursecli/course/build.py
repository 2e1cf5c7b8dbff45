"""Build whole packages in a folder of their own: the reference, stubs, one variant planted. Never a workspace."""

from __future__ import annotations

import shutil
from pathlib import Path

from coursecli.course.catalogue import Course, Lesson
from coursecli.course.manifest import Variant
from coursecli.course.stubs import compose, every_task, no_task, owners, task_files
from coursecli.course.variants import plant
from coursecli.errors import ContentError
from coursecli.files import read_source

IGNORED = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")


def build_solved(course: Course, target: Path, *, upto: Lesson | None = None) -> Path:
    """Lay the given files and the reference over each other in `target / <package>`, and return that folder.

    With `upto`, definitions of later lessons are left out, and so are files in which only they have tasks.
    """
    package = target / course.package_name
    for source in (course.package_dir, course.solutions_dir):
        if source.is_dir():
            shutil.copytree(source, package, dirs_exist_ok=True, ignore=IGNORED)
    if upto is not None:
        given = {file for lesson in course.earlier(upto) for file in lesson.manifest.given}
        for file in task_files(course):
            if file not in given and min(part.lesson.number for part in owners(course, file)) > upto.number:
                (package / file).unlink()
            else:
                (package / file).write_text(compose(course, file, upto=upto, blank=no_task), encoding="utf-8")
    return package


def build_stubbed(course: Course, target: Path, lesson: Lesson | None = None) -> Path:
    """The reference with the tasks of `lesson` (default: of every lesson) as stubs, in `target / <package>`."""
    package = build_solved(course, target)
    blank = every_task if lesson is None else lambda owner, task: owner == lesson
    for file in task_files(course, None if lesson is None else [lesson]):
        (package / file).write_text(compose(course, file, blank=blank), encoding="utf-8")
    return package


def build_variant(course: Course, target: Path, lesson: Lesson, variant: Variant) -> Path:
    """The reference with one misconception or alternative of `lesson` planted, in `target / <package>`.

    Raises:
        ContentError: the variant does not fit the reference; with the catalogue's path and the id.
    """
    package = build_solved(course, target)
    path = package / lesson.task(variant.task).file
    try:
        path.write_text(plant(read_source(path), variant), encoding="utf-8")
    except ContentError as error:
        raise ContentError(f"{lesson.folder / 'mistakes.yaml'}: {error.message}") from error
    return package
