"""Derive what learners get from the reference: a task file as of a lesson, tasks blanked or solved. Text only."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from coursecli.course.catalogue import Course, Lesson
from coursecli.course.imports import drop_imports, names_used
from coursecli.course.manifest import Task
from coursecli.course.symbols import (
    Function,
    Symbol,
    body_indent,
    comments_above,
    functions_in,
    head,
    is_overload,
    symbols,
    tail,
)
from coursecli.errors import ContentError
from coursecli.files import parsed, read_source


@dataclass(frozen=True)
class Owner:
    """A task of a lesson that has symbols in the file."""

    lesson: Lesson
    task: Task


def every_task(lesson: Lesson, task: Task) -> bool:
    return True


def no_task(lesson: Lesson, task: Task) -> bool:
    return False


def task_files(course: Course, lessons: list[Lesson] | None = None) -> list[str]:
    """The files, relative to the package, with tasks of these lessons (default: of all), each once."""
    return list(dict.fromkeys(file for lesson in (lessons or written(course)) for file in lesson.files))


def written(course: Course) -> list[Lesson]:
    """The lessons that have a manifest. One that is still being written does not keep the others from being synced."""
    return [lesson for lesson in course.lessons if (lesson.folder / "lesson.yaml").is_file()]


def owners(course: Course, file: str) -> list[Owner]:
    """The tasks with symbols in this file, in the order of the course."""
    return [Owner(lesson, task) for lesson in written(course) for task in lesson.tasks if task.file == file]


def definitions_of(course: Course, file: str, tasks: list[Task]) -> list[str]:
    """The symbols and helpers of these tasks; of a class in which other tasks have parts, only the tasks' functions."""
    listed = {name: part.task.id for part in owners(course, file) for name in part.task.symbols}
    tree = parsed(read_source(course.solutions_dir / file))
    found: list[str] = []
    for task in tasks:
        for name in task.symbols if task.file == file else ():
            if any(other.startswith(f"{name}.") and owner != task.id for other, owner in listed.items()):
                found += [
                    inner.name for inner in functions_in(tree, name) if listed[_nearest(inner.name, listed)] == task.id
                ]
            else:
                found.append(name)
        found += task.helpers if task.file == file else []
    return list(dict.fromkeys(found))


def compose(
    course: Course, file: str, *, upto: Lesson | None = None, blank: Callable[[Lesson, Task], bool] = every_task
) -> str:
    """The text of a task file as it stands in lesson `upto` (default: at the end of the course).

    Symbols of later lessons are left out, with the imports that only they need. The tasks for which `blank` is true are
    stubs: bodies raise NotImplementedError, helpers are gone, imports stay. The others are as in the reference.

    Raises:
        ContentError: the reference is missing or does not parse, or a symbol is not in it.
    """
    path = course.solutions_dir / file
    try:
        source = read_source(path)
        present = {symbol.name for symbol in symbols(parsed(source))}
    except OSError as error:
        raise ContentError(f"{path}: cannot be read: {error.strerror}") from error
    except SyntaxError as error:
        raise ContentError(f"{path}:{error.lineno}: {error.msg}") from error

    parts = owners(course, file)
    for part in parts:
        for name in (*part.task.symbols, *part.task.helpers):
            if name not in present:
                raise ContentError(f"{path}: {name!r} of task {part.task.id!r} ({part.lesson.short}) is not in it")
    last = upto.number if upto else max(lesson.number for lesson in course.lessons)
    given = any(file in lesson.manifest.given for lesson in written(course) if lesson.number <= last)
    source = without(source, later_names(parts, last, whole_classes=not given), imports=True)

    kept = [part for part in parts if part.lesson.number <= last]
    solved = {name for part in kept if not blank(part.lesson, part.task) for name in part.task.helpers}
    hidden = {name for part in kept if blank(part.lesson, part.task) for name in part.task.helpers}
    labels = {
        name: part.lesson.short if blank(part.lesson, part.task) else None
        for part in kept
        for name in part.task.symbols
    }
    return blank_bodies(without(source, hidden - solved), labels)


def later_names(parts: list[Owner], last: int, *, whole_classes: bool = True) -> set[str]:
    """The names of lessons after number `last`: those that they list, and classes in which only they list something.

    Without `whole_classes`, for a file that is given before they come, such a class stays, less what they list.
    """
    first: dict[str, int] = {}
    for part in parts:
        for name in (*part.task.symbols, *part.task.helpers):
            pieces = name.split(".")
            for length in range(1 if whole_classes else len(pieces), len(pieces) + 1):
                prefix = ".".join(pieces[:length])
                first[prefix] = min(part.lesson.number, first.get(prefix, part.lesson.number))
    return {name for name, number in first.items() if number > last}


def blank_bodies(source: str, labels: Mapping[str, str | None]) -> str:
    """`source` with the bodies of these functions raising `NotImplementedError("<label> · <name>")`.

    Args:
        labels: symbol → the lesson that the message names, or None for a body that stays. A class stands for every
            function in it that has no entry of its own.
    """
    lines = source.split("\n")
    for symbol in reversed(symbols(parsed(source))):
        label = labels.get(_nearest(symbol.name, labels))
        if label is None or not isinstance(symbol.node, Function) or is_overload(symbol.node):
            continue
        raising = f'{body_indent(lines, symbol.node)}raise NotImplementedError("{label} · {symbol.name}")'
        lines[symbol.start - 1 : tail(lines, symbol)] = [*head(source, lines, symbol), raising]
    return "\n".join(lines)


def without(source: str, names: Collection[str], *, imports: bool = False) -> str:
    """`source` without these definitions and the comments directly above them.

    With `imports`, also without the imports that only they need.
    """
    removed_use: set[str] = set()
    while True:
        tree = parsed(source)
        doomed = next((symbol for symbol in symbols(tree) if symbol.name in names), None)
        if doomed is None:
            break
        removed_use |= names_used(doomed.node)
        source = _cut(source, tree, doomed)
    if not imports or not removed_use:
        return source
    return drop_imports(source, removed_use - names_used(parsed(source)))


def _nearest(name: str, labels: Collection[str]) -> str:
    """`name`, or the closest enclosing class that is listed, or ""."""
    while name and name not in labels:
        name = name.rpartition(".")[0]
    return name


def _cut(source: str, tree: ast.Module, symbol: Symbol) -> str:
    """`source` without one definition, with as many blank lines between its neighbours as the formatter puts there."""
    lines = source.split("\n")
    block = _block_of(tree, symbol.node)
    place = block.index(symbol.node)
    before = block[place - 1] if place else None
    after = block[place + 1] if place + 1 < len(block) else None
    if before is None and after is None:  # a class must not be left empty
        first = comments_above(lines, symbol.start)
        lines[first - 1 : tail(lines, symbol)] = [" " * symbol.node.col_offset + "pass"]
        return "\n".join(lines)

    first, last = comments_above(lines, symbol.start) - 1, tail(lines, symbol)
    above = first
    while above and not lines[above - 1].strip():
        above -= 1
    below = last
    while below < len(lines) and not lines[below].strip():
        below += 1
    if below == len(lines):
        gap = 1  # the newline at the end of the file
    elif after is None:
        gap = below - last
    elif before is None:
        gap = first - above
    elif isinstance(before, Function | ast.ClassDef) or isinstance(after, Function | ast.ClassDef):
        gap = 1 if symbol.owner else 2
    else:
        gap = min(first - above, below - last, 1)
    lines[above:below] = [""] * gap
    return "\n".join(lines)


def _block_of(tree: ast.Module, wanted: ast.stmt) -> list[ast.stmt]:
    for node in ast.walk(tree):
        for name in ("body", "orelse", "handlers", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and any(statement is wanted for statement in block):
                return block
    raise ValueError("the statement is not in the tree")
