"""A course and its lessons, addressed by the names that people type. A lesson's manifest is read when it is needed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from coursecli.course.manifest import CourseManifest, LessonManifest, Stage, Task, read_manifest
from coursecli.course.nearest import did_you_mean
from coursecli.errors import ContentError, UsageError

COURSE_VARIABLE = "INTRO2LLM_COURSE"
_LESSON_ID = re.compile(r"lesson(\d+)_\w+")
_VERSION = re.compile(r"\d+(\.\d+)*")
_LESSON_REFERENCE = re.compile(r"(?:lesson)?[ _-]?(\d+)")


@dataclass(frozen=True)
class Lesson:
    """A lesson folder. `manifest` is read on first use."""

    folder: Path
    stage: Stage = field(compare=False, repr=False)
    number: int

    @property
    def id(self) -> str:
        """The folder's name: `lesson02_normalization_attention`."""
        return self.folder.name

    @property
    def short(self) -> str:
        """What people type, and what stubs say: `lesson02`."""
        return self.id.partition("_")[0]

    @cached_property
    def manifest(self) -> LessonManifest:
        """lesson.yaml. Raises ContentError when it is missing, malformed, or belongs to another folder."""
        path = self.folder / "lesson.yaml"
        manifest = read_manifest(path, LessonManifest)
        if manifest.id != self.id:
            raise ContentError(f"{path}: id is {manifest.id!r}, but the folder is {self.id!r}")
        seen: set[str] = set()
        for task in manifest.tasks:
            if task.id in seen:
                raise ContentError(f"{path}: two tasks have the id {task.id!r}")
            seen.add(task.id)
        for file in (*(task.file for task in manifest.tasks), *manifest.given):
            if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
                raise ContentError(f"{path}: {file!r} is not a path inside the package, such as model/norm.py")
        return manifest

    @property
    def title(self) -> str:
        return self.manifest.title

    @property
    def heading(self) -> str:
        """How people read of it: `Lesson 02 · Normalisation and attention`."""
        return f"Lesson {self.number:02d} · {self.title}"

    @property
    def tasks(self) -> list[Task]:
        return self.manifest.tasks

    @property
    def files(self) -> list[str]:
        """The task files, relative to the package, each once, in the order of the tasks."""
        return list(dict.fromkeys(task.file for task in self.tasks))

    @property
    def readme(self) -> Path:
        return self.folder / "README.md"

    @property
    def suites(self) -> list[Path]:
        """The basic suite, then the advanced one."""
        return [self.folder / "testcases" / "basic_test.py", self.folder / "testcases" / "advanced_test.py"]

    def task(self, task_id: str) -> Task:
        """The task with this id. Raises UsageError, with the nearest names."""
        for task in self.tasks:
            if task.id == task_id:
                return task
        raise _unknown("task", task_id, [task.id for task in self.tasks], f"{self.short} has")


@dataclass(frozen=True)
class Course:
    """course.yaml, and the folders that it names."""

    root: Path
    manifest: CourseManifest
    lessons: list[Lesson] = field(repr=False)

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def package_name(self) -> str:
        return self.manifest.package.name

    @cached_property
    def package_dir(self) -> Path:
        """Given files, and the stubs of every task."""
        return (self.root / self.manifest.package.path).resolve()

    @cached_property
    def solutions_dir(self) -> Path:
        """The reference: task files only."""
        return (self.root / self.manifest.package.solutions).resolve()

    def lesson(self, reference: str) -> Lesson:
        """`lesson03`, `lesson3`, `03`, `3` and the full id are the same. Raises UsageError, with the nearest names."""
        found = self._find_lesson(reference)
        if found is None:
            raise _unknown("lesson", reference, self._lesson_names(), "the course has")
        return found

    def find_task(self, reference: str) -> tuple[Lesson, Task]:
        """The task with this id, in whichever lesson. Raises UsageError, with the nearest names."""
        found = self._find_task(reference)
        if found is None:
            raise _unknown("task", reference, self._task_names(), "the course has")
        return found

    def resolve(self, reference: str) -> tuple[Lesson, Task | None]:
        """A lesson, or a task with its lesson. Raises UsageError, with the nearest names."""
        lesson = self._find_lesson(reference)
        if lesson is not None:
            return lesson, None
        found = self._find_task(reference)
        if found is None:
            raise _unknown("lesson or task", reference, self._lesson_names() + self._task_names(), "the course has")
        return found

    def earlier(self, lesson: Lesson, *, including: bool = True) -> list[Lesson]:
        """The lessons before this one, and this one unless `including` is false."""
        return self.lessons[: self.lessons.index(lesson) + including]

    def _find_lesson(self, reference: str) -> Lesson | None:
        wanted = reference.strip().lower()
        numbered = _LESSON_REFERENCE.fullmatch(wanted)
        for lesson in self.lessons:
            if wanted == lesson.id or (numbered and int(numbered[1]) == lesson.number):
                return lesson
        return None

    def _find_task(self, reference: str) -> tuple[Lesson, Task] | None:
        wanted = reference.strip().lower()
        for lesson in self.lessons:
            for task in lesson.tasks:
                if task.id == wanted:
                    return lesson, task
        return None

    def _lesson_names(self) -> list[str]:
        return [name for lesson in self.lessons for name in (lesson.short, lesson.id)]

    def _task_names(self) -> list[str]:
        return [task.id for lesson in self.lessons for task in lesson.tasks]


def load_course(root: Path | None = None) -> Course:
    """Read course.yaml in `root`; without it, in $INTRO2LLM_COURSE, else in the content that came with this package.

    Raises:
        UsageError: there is no course.yaml in the folder that was asked for.
        ContentError: course.yaml is malformed.
    """
    root = _content_root() if root is None else root
    root = root.expanduser().absolute()
    path = root / "course.yaml"
    if not path.is_file():
        raise UsageError(f"{root} is not a course: it has no course.yaml", "Name the folder with course.yaml.")
    manifest = read_manifest(path, CourseManifest)
    if not _VERSION.fullmatch(manifest.python):
        raise ContentError(f"{path}: python: {manifest.python!r} is not a version such as '3.11'")
    lessons: list[Lesson] = []
    for stage in manifest.stages:
        for name in stage.lessons:
            match = _LESSON_ID.fullmatch(name)
            if match is None:
                raise ContentError(f"{path}: {name!r} in stage {stage.id!r} does not have the form lessonNN_name")
            lessons.append(Lesson(root / stage.id / name, stage, int(match[1])))
    numbers = [lesson.number for lesson in lessons]
    if not numbers:
        raise ContentError(f"{path}: the course has no lessons")
    if numbers != sorted(set(numbers)):
        raise ContentError(f"{path}: the lessons are not in order of their numbers, or two have the same: {numbers}")
    return Course(root, manifest, lessons)


def _content_root() -> Path:
    chosen = os.environ.get(COURSE_VARIABLE)
    if chosen:
        return Path(chosen)
    package = Path(__file__).resolve().parent.parent
    packed = package / "_content" / "lessons"  # a wheel carries the course as data
    return packed if packed.is_dir() else package.parent / "lessons"


def _unknown(kind: str, name: str, known: list[str], owner: str) -> UsageError:
    near = did_you_mean(name, known)
    if near:
        return UsageError(f"There is no {kind} {name!r}.", near)
    short = [known_name for known_name in known if "_" not in known_name]  # a lesson's number is name enough
    shown = ", ".join(short[:12]) + (" … All of them: intro2llm list" if len(short) > 12 else "")
    return UsageError(f"There is no {kind} {name!r}.", f"{owner[0].upper()}{owner[1:]}: {shown}")
