"""The structures of course.yaml, lesson.yaml and mistakes.yaml, and reading them. All else goes through these."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from coursecli.errors import ContentError

T = TypeVar("T")


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An unknown key in a manifest is a typing error, so it is refused."""


class Package(_Strict, frozen=True, kw_only=True):
    """The package that learners write."""

    name: str
    path: str
    """Relative to course.yaml: the folder with the given files and the stubs of every task."""
    solutions: str
    """Relative to course.yaml: the same paths, task files only."""


class Worker(_Strict, frozen=True, kw_only=True):
    """What the process that runs tests needs before any learner's code is imported."""

    preload: list[str] = []
    """Modules to import first, such as torch."""
    warm: list[str] = []
    """Modules that some lesson's code will import at its first call, at a price: a process that waits for checks
    imports them ahead, a cold one does not. They may not start threads; one that is not there is left out."""
    environment: dict[str, str] = {}


class Stage(_Strict, frozen=True, kw_only=True):
    id: str
    """The folder under the course."""
    title: str
    lessons: list[str]
    """Lesson folders, in order. Every lesson id starts with `lessonNN_`."""


class Standard(_Strict, frozen=True, kw_only=True):
    """What `dev check` asks of every lesson's mistakes.yaml."""

    mistakes: int = 1
    alternatives: int = 1


class CourseManifest(_Strict, frozen=True, kw_only=True):
    """course.yaml"""

    id: str
    title: str
    package: Package
    stages: list[Stage]
    worker: Worker = Worker()
    standard: Standard = Standard()
    python: str = "3.11"


class Task(_Strict, frozen=True, kw_only=True):
    """One thing to write."""

    id: str
    """Lower case with hyphens; unique in the whole course."""
    title: str
    file: str
    """Relative to the package: `model/norm.py`."""
    symbols: list[str]
    """`function`, `Class`, or `Class.method`: these become stubs. Naming a class stubs every function in it."""
    helpers: list[str] = []
    """Definitions of the reference that exist only for this task: learners never see them."""
    hints: list[str] = msgspec.field(default_factory=list)
    """Three, from a nudge to nearly the answer."""
    needs: list[str] = []
    """Tasks of the same lesson that this one builds on: when one fails, the tests of this task wait."""
    points: int = 10


class Forbidden(_Strict, frozen=True, kw_only=True):
    """A shortcut that would hand over what the lesson teaches."""

    name: str
    """Dotted, as imported from its canonical module: `torch.nn.functional.layer_norm`."""
    reason: str
    """What to write instead, in one sentence."""
    files: list[str] = []
    """Task files to which it applies; empty means all of the lesson's."""


class Limits(_Strict, frozen=True, kw_only=True):
    test_seconds: float = 10.0
    run_seconds: float = 120.0
    memory_mb: int = 3072
    """Margin above the interpreter's size after the preload; at least 2048."""


class Unlocks(_Strict, frozen=True, kw_only=True):
    """What the learner can do after this lesson, beside the next one."""

    features: list[str] = []
    """Names of commands: generate, train, eval, …"""
    learned: str
    """One or two sentences: what was learnt."""
    can_now: str
    """One sentence: what the learner's model can do now."""


class LessonManifest(_Strict, frozen=True, kw_only=True):
    """lesson.yaml"""

    id: str
    """The folder's name: `lesson02_normalization_attention`."""
    title: str
    summary: str
    """One sentence."""
    minutes: int
    needs: list[str] = []
    """Ids of the lessons that must be passed first."""
    given: list[str] = []
    """Files of the package that are complete and that this lesson needs, relative to the package."""
    tasks: list[Task]
    forbidden: list[Forbidden] = []
    limits: Limits = Limits()
    unlocks: Unlocks
    teaching_notes: str = ""
    """For instructors: where learners stall, what to ask them."""


class Edit(_Strict, frozen=True, kw_only=True):
    """Replacement code for one symbol of the reference.

    For a function or method, `code` is the new body (signature, decorators and docstring stay); a body that starts
    with `def ` or `@` replaces the whole definition. For a class, `code` is the new definition. A symbol that does not
    exist yet is added: a method at the end of its class, anything else at the end of the file.
    """

    symbol: str
    code: str


class Variant(_Strict, frozen=True, kw_only=True):
    """The reference with one or more edits, all in the file of one task."""

    id: str
    task: str
    name: str
    """One line, as an instructor would call it."""
    symbol: str
    code: str
    also: list[Edit] = []

    @property
    def edits(self) -> list[Edit]:
        return [Edit(symbol=self.symbol, code=self.code), *self.also]


class Mistake(Variant, frozen=True, kw_only=True):
    """A misconception, executable: the suites must fail, and name it."""

    explanation: str
    """Two sentences for the learner: name the misunderstanding, do not give the answer."""


class Alternative(Variant, frozen=True, kw_only=True):
    """Right code, written differently: the suites must accept it."""


class MistakeCatalogue(_Strict, frozen=True, kw_only=True):
    """mistakes.yaml"""

    mistakes: list[Mistake] = []
    accept: list[Alternative] = []


def read_manifest(path: Path, kind: type[T]) -> T:
    """Read `path` as `kind`; a fault is one line with the file, the path inside it, and what is wrong.

    Raises:
        ContentError: the file is missing, is not YAML, or does not have the structure of `kind`.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return msgspec.convert(raw, kind)
    except OSError as error:
        raise ContentError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ContentError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        where = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ContentError(f"{path}{where}: is not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ContentError(f"{path}: is not valid YAML: {error}") from error
    except msgspec.ValidationError as error:
        raise ContentError(f"{path}: {error}") from error
    except ValueError as error:  # PyYAML's own: a date such as 2026-13-01
        raise ContentError(f"{path}: is not valid YAML: {error}") from error
