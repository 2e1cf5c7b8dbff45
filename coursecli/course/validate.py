"""What is wrong with a lesson's content, one line each, for `dev check`. Only texts are read; nothing runs."""

from __future__ import annotations

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterator

from coursecli.course.catalogue import Course, Lesson
from coursecli.course.imports import bound_names
from coursecli.course.manifest import Task
from coursecli.course.mistakes import load_mistakes
from coursecli.course.stubs import compose, every_task, no_task, owners, written
from coursecli.course.suites import parse_suite, read_suites
from coursecli.course.symbols import find, functions_in, symbols
from coursecli.course.variants import plant
from coursecli.errors import ContentError
from coursecli.files import parsed, read_source

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_TASK_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def lesson_problems(course: Course, lesson: Lesson) -> list[str]:
    """Everything that is wrong with the lesson; empty when nothing is."""
    problems: list[str] = []
    for part in (_manifest, _references, _suites, _catalogue):
        try:
            problems += part(course, lesson)
        except ContentError as error:
            problems.append(error.message)
    return list(dict.fromkeys(problems))


def _manifest(course: Course, lesson: Lesson) -> Iterator[str]:
    where = lesson.folder / "lesson.yaml"
    manifest = lesson.manifest
    if not lesson.readme.is_file():
        yield f"{lesson.readme}: is missing"
    earlier = {other.id for other in course.earlier(lesson, including=False)}
    for need in manifest.needs:
        if need not in earlier:
            yield f"{where}: needs {need!r}, which is not an earlier lesson"
    if not manifest.tasks:
        yield f"{where}: has no tasks"
    ids = Counter(task.id for other in written(course) for task in other.tasks)
    before: set[str] = set()
    for task in manifest.tasks:
        if ids[task.id] > 1:
            yield f"{where}: the task id {task.id!r} is used {ids[task.id]} times in the course"
        if not _TASK_ID.fullmatch(task.id):
            yield f"{where}: the task id {task.id!r} is not lower case with hyphens"
        if len(task.hints) != 3:
            yield f"{where}: task {task.id!r} has {len(task.hints)} hints, not 3"
        if not task.symbols:
            yield f"{where}: task {task.id!r} has no symbols"
        for need in task.needs:
            if need not in before:
                yield f"{where}: task {task.id!r} needs {need!r}, which is not an earlier task of the lesson"
        before.add(task.id)
    for file in manifest.given:
        if not (course.package_dir / file).is_file() and not (course.solutions_dir / file).is_file():
            yield f"{where}: the given file {file!r} does not exist"
    for shortcut in manifest.forbidden:
        if not _DOTTED.fullmatch(shortcut.name):
            yield f"{where}: forbidden {shortcut.name!r} is not a dotted name such as statistics.mean"
        elif hasattr(builtins, shortcut.name):
            yield f"{where}: forbidden {shortcut.name!r} is a built-in: write builtins.{shortcut.name}"
        for file in shortcut.files:
            if file not in lesson.files:
                yield f"{where}: forbidden {shortcut.name!r} names {file!r}, in which the lesson has no task"


def _references(course: Course, lesson: Lesson) -> Iterator[str]:
    where = lesson.folder / "lesson.yaml"
    for file in lesson.files:
        path = course.solutions_dir / file
        if not path.is_file():
            yield f"{where}: the file {file!r} is not in {course.solutions_dir}"
            continue
        compose(course, file)  # raises when a symbol is missing
        tree = parsed(read_source(path))
        if find(tree, "__all__"):
            yield f"{path}: has __all__, which would name what learners do not have yet"
        for task in lesson.tasks:
            for name in task.symbols if task.file == file else ():
                if not functions_in(tree, name):
                    yield f"{where}: task {task.id!r}: {name!r} has no function to write"
                if sum(name in other.task.symbols for other in owners(course, file)) > 1:
                    yield f"{where}: {name!r} belongs to more than one task"
        earlier = [part for part in owners(course, file) if part.lesson.number < lesson.number]
        for name in (name for task in lesson.tasks if task.file == file for name in task.symbols):
            for part in (part for part in earlier if any(s.startswith(f"{name}.") for s in part.task.symbols)):
                yield f"{where}: {name!r} is listed whole, but {part.lesson.short} lists parts of it: list the new ones"
        yield from _absent_uses(course, lesson, file, tree)


def _absent_uses(course: Course, lesson: Lesson, file: str, reference: ast.Module) -> Iterator[str]:
    """Names in the file as of this lesson that only later lessons, or the helpers of its tasks, define."""
    path = course.solutions_dir / file
    for blank, why in ((no_task, "a later lesson brings"), (every_task, "is a helper, which learners do not have")):
        tree = parsed(compose(course, file, upto=lesson, blank=blank))
        absent = bound_names(reference) - bound_names(tree)
        members = _members(reference) - _members(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in absent:
                yield f"{path}: as of {lesson.short}, uses {node.id!r}, which {why}"
            elif isinstance(node, ast.Attribute) and node.attr in members and _is_self(node.value):
                yield f"{path}: as of {lesson.short}, uses {ast.unparse(node)!r}, which {why}"


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def _members(tree: ast.Module) -> set[str]:
    return {symbol.name.rpartition(".")[2] for symbol in symbols(tree) if symbol.owner}


def _suites(course: Course, lesson: Lesson) -> Iterator[str]:
    tasks = {task.id for task in lesson.tasks}
    cases = read_suites(lesson)
    known = {entry.id for entry in load_mistakes(lesson).mistakes}
    for path in lesson.suites:
        tree = parse_suite(path)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                yield f"{path}:{node.lineno}: the class {node.name}: tests are plain functions"
            for module in _modules(node):
                root = module.partition(".")[0]
                if root in {"coursecli", course.solutions_dir.name} and module != "coursecli.expect":
                    yield f"{path}:{node.lineno}: imports {module}; of the runner, tests import coursecli.expect alone"
        for line, mistake in _named_mistakes(tree):
            if mistake not in known:
                yield f"{path}:{line}: names the mistake {mistake!r}, which mistakes.yaml does not have"
    for case in cases:
        place = f"{lesson.folder / 'testcases' / case.suite}_test.py:{case.line}"
        if not case.task:
            yield f"{place}: {case.function} has no task mark"
        elif case.task not in tasks:
            yield f"{place}: {case.function} is marked with {case.task!r}, which is not a task of the lesson"
        if not case.title:
            yield f"{place}: {case.function} has no docstring that says what is checked"
    for suite, function in (key for key, count in Counter((c.suite, c.function) for c in cases).items() if count > 1):
        yield f"{lesson.folder / 'testcases' / suite}_test.py: {function} is defined twice"
    for task in tasks - {case.task for case in cases}:
        yield f"{lesson.folder / 'lesson.yaml'}: task {task!r} has no test"


def _modules(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def _named_mistakes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The ids that a suite gives as `mistake=`, as keys of `lookalikes=`, and to `diagnosing`, when literal."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        texts: list[ast.expr | None] = []
        for keyword in node.keywords:
            if keyword.arg == "mistake":
                texts.append(keyword.value)
            elif keyword.arg == "lookalikes" and isinstance(keyword.value, ast.Dict):
                texts += keyword.value.keys
        if isinstance(node.func, ast.Name) and node.func.id == "diagnosing":
            texts += node.args[:1]
        for text in texts:
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield text.lineno, text.value


def _catalogue(course: Course, lesson: Lesson) -> Iterator[str]:
    catalogue = load_mistakes(lesson)
    standard = course.manifest.standard
    for what, found, asked in (
        ("misconceptions", len(catalogue.mistakes), standard.mistakes),
        ("alternatives", len(catalogue.accept), standard.alternatives),
    ):
        if found < asked:
            yield f"{lesson.folder / 'mistakes.yaml'}: has {found} {what}; this course asks for {asked}"
    for entry in (*catalogue.mistakes, *catalogue.accept):
        task: Task = lesson.task(entry.task)
        if not (course.solutions_dir / task.file).is_file():
            continue  # said already
        try:
            plant(read_source(course.solutions_dir / task.file), entry)
        except ContentError as error:
            yield f"{lesson.folder / 'mistakes.yaml'}: {error.message}"
