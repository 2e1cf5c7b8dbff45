"""Which tests a lesson has, read from the text of its suites: nothing is imported, so nothing of the learner's runs."""

from __future__ import annotations

import ast
import contextlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from coursecli.course.catalogue import Lesson
from coursecli.errors import ContentError
from coursecli.files import parsed


@dataclass(frozen=True)
class TestCase:
    """A test function. With `parametrize` it runs as several cases; how many is known only when it runs."""

    __test__: ClassVar[bool] = False  # not a test class, whatever pytest makes of the name

    suite: str
    """`basic` or `advanced`."""
    function: str
    task: str
    """The id in its `task` mark; empty when it has none, which `validate` reports."""
    title: str
    """The first line of the docstring: what is being checked, in words."""
    integration: bool
    line: int


def suite_name(path: Path) -> str:
    """`testcases/basic_test.py` is the suite `basic`."""
    return path.stem.removesuffix("_test")


def read_suites(lesson: Lesson) -> list[TestCase]:
    """Every test of the lesson, the basic suite first, in the order of the file.

    Raises:
        ContentError: a suite is missing or does not parse.
    """
    return [case for path in lesson.suites for case in _read_suite(path, *_version(path))]


def _version(path: Path) -> tuple[int, int]:
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_size
    return 0, 0


@lru_cache(maxsize=128)
def _read_suite(path: Path, changed: int, size: int) -> tuple[TestCase, ...]:
    """With the time of its last change: whoever watches reads a suite once, and again when its author has saved it."""
    module = parse_suite(path)
    module_marks = [
        mark
        for node in module.body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets)
        for mark in (node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value])
    ]
    cases = []
    for node in module.body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test"):
            continue
        marks = [*node.decorator_list, *module_marks]
        title = (ast.get_docstring(node) or "").partition("\n")[0].strip()
        integration = any(_mark(mark, "integration") is not None for mark in marks)
        task = next((name for mark in marks if (name := _mark(mark, "task"))), "")
        cases.append(TestCase(suite_name(path), node.name, task, title, integration, node.lineno))
    return tuple(cases)


def parse_suite(path: Path) -> ast.Module:
    """The syntax tree of a suite. Raises ContentError when it cannot be read or does not parse."""
    try:
        return parsed(path.read_bytes(), str(path))
    except OSError as error:
        raise ContentError(f"{path}: cannot be read: {error.strerror}") from error
    except SyntaxError as error:
        raise ContentError(f"{path}:{error.lineno}: {error.msg}") from error


def _mark(node: ast.expr, name: str) -> str | None:
    """The first argument of `pytest.mark.<name>(…)` ("" when it has none), or None when `node` is not that mark."""
    function, arguments = (node.func, node.args) if isinstance(node, ast.Call) else (node, [])
    if ast.unparse(function) != f"pytest.mark.{name}":
        return None
    if arguments and isinstance(arguments[0], ast.Constant) and isinstance(arguments[0].value, str):
        return arguments[0].value
    return ""
