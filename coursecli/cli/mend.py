"""`reset`, `solution`, `skip`: put other code in place of the learner's. They ask, keep a backup, and say where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from coursecli.cli.context import Context
from coursecli.cli.work import show_changes
from coursecli.course.nearest import did_you_mean
from coursecli.course.scaffold import apply_solution, reset_file, reset_task
from coursecli.course.stubs import task_files
from coursecli.errors import CourseError, LockedError, UsageError
from coursecli.files import read_source
from coursecli.render.console import clean
from coursecli.render.sidebyside import side_by_side
from coursecli.render.source import definitions

if TYPE_CHECKING:
    from coursecli.course.manifest import Task

DECLINED = 1


def reset(context: Context, target: str, *, yes: bool) -> int:
    """Put a task, or a whole file, back as it was given."""
    context.writes = True
    file = _package_file(context, target)
    if file is None:
        try:
            lesson, task = context.course.find_task(target)
        except UsageError as error:
            files = task_files(context.course)
            near = did_you_mean(Path(target).name, files) or f"Files: {', '.join(files)}"
            raise UsageError(
                f"{target!r} is neither a task nor a file of the course.",
                near if target.endswith(".py") else error.remedy,
            ) from error
        context.require_started(lesson)
        if not context.confirm(f"Put {task.title}, in {task.file}, back as it was given? A backup is kept.", yes=yes):
            return _declined(context)
        show_changes(context, reset_task(context.course, context.workspace, lesson, task))
        return 0
    if not context.confirm(f"Put the whole of {file} back as it was given? A backup is kept.", yes=yes):
        return _declined(context)
    show_changes(context, reset_file(context.course, context.workspace, file))
    return 0


def solution(context: Context, reference: str, *, apply: bool, yes: bool) -> int:
    """The reference beside the learner's code, or in its place."""
    context.writes = apply
    lesson = context.course.lesson(reference)
    entry = context.progress_of(lesson)
    if not (context.instructor or entry.done):
        raise LockedError(
            f"The solution of {lesson.short} opens when you have passed it.",
            f"Stuck? Type: intro2llm hint, or go on without it: intro2llm skip {lesson.number:02d}",
        )
    if apply:
        if not context.confirm(
            f"Put the reference of {lesson.short} in place of your code? A backup is kept.", yes=yes
        ):
            return _declined(context)
        show_changes(context, apply_solution(context.course, context.workspace, lesson))
        return 0
    for task in lesson.tasks:
        show_task(context, task)
    if context.instructor:
        from coursecli.render.teaching import attempt_history

        context.console.print()
        context.console.print(attempt_history(context.store.attempts(lesson.id)))
    return 0


def skip(context: Context, reference: str, *, yes: bool) -> int:
    """Let the reference stand for a lesson, and go on."""
    context.writes = True
    lesson = context.course.lesson(reference)
    entry = context.progress_of(lesson)
    context.require_unlocked(entry)
    if entry.ever_passed:
        raise UsageError(f"{lesson.short} is passed: there is nothing to skip.", "Type: intro2llm next")
    question = f"Skip {lesson.short} ({lesson.title})? The reference takes the place of your code; a backup is kept."
    if not context.confirm(question, yes=yes):
        return _declined(context)
    show_changes(context, apply_solution(context.course, context.workspace, lesson))
    context.store.record_skip(lesson.id)
    from coursecli.render.overview import next_view

    context.console.print(
        clean(f"{lesson.short} is skipped, and shown as skipped. You can still pass it: write it and check it.")
    )
    context.console.print()
    context.console.print(next_view(context.state()))
    return 0


def show_task(context: Context, task: Task) -> None:
    """A task's definitions, the learner's on the left and the reference on the right."""
    names = [*task.symbols, *task.helpers]
    mine = definitions(_readable(context.workspace.package / task.file), names)
    reference = definitions(read_source(context.course.solutions_dir / task.file), names)
    console = context.console
    console.print(Text.assemble("\n", clean(task.title, "title"), clean(f"  {task.file}", "quiet")))
    width = 0 if context.options.plain else console.width  # one after the other, to be read aloud
    console.print(side_by_side(mine, reference, titles=("your code", "reference"), width=width))


def _readable(file: Path) -> str:
    try:
        return read_source(file)
    except (OSError, CourseError) as error:
        return f"# {file.name} cannot be read: {error}"


def _package_file(context: Context, target: str) -> str | None:
    """`model/norm.py` for any way of naming that file of the package; None when it is no file of the course."""
    workspace = context.workspace
    known = set(task_files(context.course))
    given = Path(target)
    candidates = [target]
    for place in (Path.cwd() / given, workspace.root / given):
        resolved = place.resolve()
        if resolved.is_relative_to(workspace.package.resolve()):
            candidates.append(resolved.relative_to(workspace.package.resolve()).as_posix())
    return next((name for name in candidates if name in known or (context.course.package_dir / name).is_file()), None)


def _declined(context: Context) -> int:
    context.say("Nothing was changed.")
    return DECLINED
