"""What the learner's files show without being run: unreadable, unparsable, missing, renamed, or using a shortcut."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from coursecli.check.results import Frame, Problem
from coursecli.check.shortcuts import spellings, uses
from coursecli.course.catalogue import Course, Lesson
from coursecli.course.manifest import Task
from coursecli.files import SourceProblem, parsed, read_source


def preflight(course: Course, lesson: Lesson, root: Path, scope: set[str]) -> Problem | None:
    """The first fault that keeps the suites from importing the files, or a shortcut in the files of `scope`."""
    trees: dict[str, ast.Module] = {}
    for file in lesson.files:
        tree = _parse(root / course.package_name / file, f"{course.package_name}/{file}")
        if isinstance(tree, Problem):
            return tree
        trees[file] = tree
    outlines = {file: _outline(tree, course.package_name) for file, tree in trees.items()}
    for task in lesson.tasks:
        if problem := _missing(outlines[task.file], task, course.package_name):
            return problem
    files = {task.file for task in lesson.tasks if task.id in scope}
    for file, tree in trees.items():
        if file in files and (problem := _shortcut(tree, file, lesson, root, course.package_name)):
            return problem
    return None


def _parse(path: Path, shown: str) -> ast.Module | Problem:
    try:
        return parsed(read_source(path), str(path))
    except FileNotFoundError:
        remedy = f"Bring it back: intro2llm reset {shown}"
        return Problem(kind="missing_file", summary=f"{shown} is missing.", remedy=remedy)
    except OSError as error:
        return Problem(
            kind="missing_file",
            summary=f"{shown} cannot be read: {error.strerror}.",
            remedy=f"Check the permissions of {shown} and of its folder.",
        )
    except SourceProblem as error:
        return Problem(
            kind="encoding",
            summary=f"{shown}{error.message.removeprefix(path.name)}",
            remedy=error.remedy,
            frame=_frame(path, shown, error.line),
        )
    except SyntaxError as error:
        line = error.lineno or 1
        return Problem(
            kind="syntax",
            summary=f"{shown}, line {line}: {error.msg}",
            frame=Frame(file=shown, line=line, source=(error.text or "").rstrip("\n")),
        )
    except (RecursionError, MemoryError):
        return Problem(kind="syntax", summary=f"{shown} is nested too deeply for Python to parse.")


@dataclass(frozen=True)
class _Outline:
    """What the statements of a file define."""

    bound: set[str]
    """The names at the top; "*" for a star import."""
    classes: dict[str, ast.ClassDef]
    own: set[str]
    """Classes of this file, and names that come from the learner's own package: what they inherit is unknown here."""


def _outline(tree: ast.Module, package: str) -> _Outline:
    classes: dict[str, ast.ClassDef] = {}
    own: set[str] = set()
    for node in _statements(tree.body):
        if isinstance(node, ast.ClassDef):
            classes[node.name] = node
        elif isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").partition(".")[0] == package):
            own.update(alias.asname or alias.name for alias in node.names)
    return _Outline(_bound_names(tree.body), classes, own | classes.keys())


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """These, and the statements inside them, without what their expressions are made of: there are many of those."""
    for node in body:
        yield node
        for block in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, block, []))
        for part in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
            yield from _statements(part.body)


def _missing(outline: _Outline, task: Task, package: str) -> Problem | None:
    shown = f"{package}/{task.file}"
    for symbol in task.symbols:
        owner, _, name = symbol.rpartition(".")
        top = symbol.partition(".")[0]
        if top not in outline.bound and "*" not in outline.bound:
            return _not_there(shown, top, outline.bound, task)
        if not owner or owner not in outline.classes:
            continue
        bases = outline.classes[owner].bases
        inherits = any(ast.unparse(base).partition(".")[0] in outline.own for base in bases)
        methods = _bound_names(outline.classes[owner].body)
        if name not in methods and not inherits:
            return _not_there(shown, symbol, {f"{owner}.{method}" for method in methods}, task)
    return None


def _not_there(shown: str, symbol: str, present: set[str], task: Task) -> Problem:
    by_lower = {name.lower(): name for name in sorted(present)}
    near = get_close_matches(symbol.lower(), by_lower, n=1, cutoff=0.7)
    found = f" (found `{by_lower[near[0]]}`: renamed?)" if near else ""
    return Problem(
        kind="missing_symbol",
        summary=f"{shown}: `{symbol}` is not there{found}.",
        detail=f"The task “{task.title}” needs it under this name.",
        remedy=f"Name it `{symbol}`, or bring the stub back: intro2llm reset {task.id}",
    )


def _bound_names(body: list[ast.stmt]) -> set[str]:
    """The names that these statements define, also under `if`, `try`, `with` and loops; "*" for a star import."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
            continue
        for child in ast.walk(node):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                names.add(child.id)
        for block in ("body", "orelse", "finalbody"):
            names |= _bound_names(getattr(node, block, []))
        for handler in getattr(node, "handlers", []):
            names |= _bound_names(handler.body)
    return names


def _shortcut(tree: ast.Module, file: str, lesson: Lesson, root: Path, package: str) -> Problem | None:
    named = {rule.name: rule for rule in lesson.manifest.forbidden if not rule.files or file in rule.files}
    rules = spellings(named)
    for name, line in uses(tree, rules):
        shown = f"{package}/{file}"
        return Problem(
            kind="forbidden",
            summary=f"{shown}, line {line}: `{name}` is a shortcut in this lesson.",
            detail=rules[name].reason,
            frame=_frame(root / shown, shown, line),
        )
    return None


def _frame(path: Path, shown: str, line: int) -> Frame:
    lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    return Frame(file=shown, line=line, source=lines[line - 1].strip() if 0 < line <= len(lines) else "")
