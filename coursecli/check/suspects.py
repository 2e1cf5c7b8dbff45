"""Whose fault is it? When only integration tests fail, earlier parts are replaced by the reference's, by halves.

The part whose replacement makes them pass is the guilty one: "lesson 03's SwiGLU: your block is right". The learner's
own files are not touched; the swaps are made in a temporary copy of the package.
"""

from __future__ import annotations

import ast
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from coursecli.check.results import CheckResult, Suspect
from coursecli.check.verdict import FAILING
from coursecli.course.catalogue import Course, Lesson
from coursecli.course.manifest import Edit, Task
from coursecli.course.stubs import compose, no_task
from coursecli.course.symbols import find, functions_in, is_overload
from coursecli.course.variants import apply_edits
from coursecli.errors import CourseError
from coursecli.files import parsed, read_source

Check = Callable[[Path], CheckResult]
"""Runs the lesson's integration tests against the package in a folder."""


def only_integration_fails(result: CheckResult) -> bool:
    """Whether every test that is the lesson's own passed, and an integration test failed.

    A part that is not written yet has said so itself, with its name: nobody need be looked for.
    """
    failing = [test for test in result.tests if test.outcome in FAILING]
    own = all(test.integration or test.outcome == "passed" for test in result.tests)
    return result.problem is None and any(test.outcome != "not_written" for test in failing) and own


def find_suspects(course: Course, lesson: Lesson, root: Path, check: Check) -> list[Suspect]:
    """The earlier part whose replacement alone makes the integration tests pass; empty when there is no single one."""
    parts = [(owner, task) for owner in course.earlier(lesson, including=False) for task in owner.tasks]
    with tempfile.TemporaryDirectory(prefix="suspects-") as scratch:
        folders = (Path(scratch) / str(number) for number in itertools.count())

        def passes_with(swapped: list[tuple[Lesson, Task]]) -> bool:
            return _passes_with(course, swapped, root, next(folders), check)

        if not passes_with(parts):
            return []  # not the fault of earlier work, or not of that alone
        while len(parts) > 1:  # halving: each look costs a worker, and there may be a hundred parts
            half = len(parts) // 2
            parts = parts[half:] if passes_with(parts[half:]) else parts[:half]
        return [Suspect(lesson=owner.id, task=task.id, title=task.title) for owner, task in parts if passes_with(parts)]


def _passes_with(course: Course, parts: list[tuple[Lesson, Task]], root: Path, folder: Path, check: Check) -> bool:
    """Swap these parts in, and see. Nothing is run when the swap changes nothing."""
    package = folder / course.package_name
    shutil.copytree(root / course.package_name, package, ignore=shutil.ignore_patterns("__pycache__"))
    changed = False
    for owner, task in parts:
        path = package / task.file
        try:
            before = read_source(path)
            after = swap(before, compose(course, task.file, upto=owner, blank=no_task), task)
        except (OSError, CourseError, SyntaxError, KeyError):
            continue  # this part cannot be swapped: it is not there, or there is no reference to swap in
        if ast.dump(parsed(before)) != ast.dump(parsed(after)):
            path.write_text(after, encoding="utf-8")
            changed = True
    return changed and check(folder).passed


def swap(learner: str, reference: str, task: Task) -> str:
    """The learner's text with the symbols of a task, and what they need, as in the reference."""
    tree = parsed(reference)
    there = parsed(learner)
    edits = [
        Edit(symbol=name, code=code)
        for symbol in (*task.helpers, *task.symbols)
        for name, code in _code(reference, tree, symbol, whole=not find(there, symbol))
    ]
    return _with_imports(apply_edits(learner, edits), tree)


def _code(reference: str, tree: ast.Module, symbol: str, *, whole: bool) -> Iterator[tuple[str, str]]:
    """The whole definition of a symbol; of a class, each function, so that what later lessons add to it stays.

    A class that the learner does not have, such as a helper, comes `whole`.
    """
    lines = reference.split("\n")
    found = find(tree, symbol)
    if found and isinstance(found[0].node, ast.ClassDef) and not whole:
        found = functions_in(tree, symbol)
    for part in found:
        if not is_overload(part.node):
            yield part.name, "\n".join(lines[part.start - 1 : part.end])


def _with_imports(source: str, reference: ast.Module) -> str:
    """`source` with those imports of the reference that it lacks, before its first statement."""
    tree = parsed(source)
    present = {ast.unparse(node) for node in tree.body}
    imports = (node for node in reference.body if isinstance(node, ast.Import | ast.ImportFrom))
    missing = [text for node in imports if (text := ast.unparse(node)) not in present]
    place = 0
    for node in tree.body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not docstring and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        place = node.end_lineno or node.lineno
    lines = source.split("\n")
    return "\n".join([*lines[:place], *missing, *lines[place:]])
