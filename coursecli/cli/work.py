"""`init`, `start`, `next` and `hint`: getting a workspace, a lesson, and a nudge."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from coursecli.cli.context import Context
from coursecli.course.scaffold import FileChange, init_workspace, start_lesson
from coursecli.course.workspace import remember
from coursecli.errors import ContentError, UsageError
from coursecli.progress.store import Store
from coursecli.render.console import clean
from coursecli.render.overview import next_view, task_words

if TYPE_CHECKING:
    from coursecli.course.catalogue import Lesson
    from coursecli.course.manifest import Task

CHANGES = {
    "created": ("+", "new", "good"),
    "added": ("+", "new definitions at the end", "good"),
    "updated": ("~", "brought up to date", ""),
    "replaced": ("~", "replaced", "wait"),
    "kept": ("=", "yours, left alone", "quiet"),
    "problem": ("✗", "not changed", "bad"),
}


def init(context: Context, directory: str, unlock: str | None) -> int:
    """Make a workspace, or complete one that is there."""
    if unlock not in (None, "all"):
        raise UsageError(f"--unlock {unlock}: the only value is all.", "Type: intro2llm init DIR --unlock all")
    folder = Path(context.options.workspace or directory).expanduser()
    workspace = init_workspace(context.course, folder, unlock_all=unlock == "all")
    with Store.open(workspace.database, create=True):
        pass
    remember(workspace)
    console = context.console
    console.print(clean(f"Your workspace is {workspace.root}.", "title"))
    console.print(clean(f"Your code goes into {workspace.settings.package}/, the lessons to read into lessons/."))
    if workspace.settings.unlock_all:
        console.print("Every lesson is unlocked.")
    enter = "" if folder.absolute() == Path.cwd() else f"cd {shlex.quote(str(folder))}  and  "
    console.print(Text.assemble("\nNext: ", (f"{enter}intro2llm start", "command")))
    return 0


def start(context: Context, reference: str | None) -> int:
    """Start a lesson: its README and its files, without touching a line that is already there."""
    context.writes = True
    lesson = context.pick(reference)[0]
    entry = context.progress_of(lesson)
    context.require_unlocked(entry)
    changes = start_lesson(context.course, context.workspace, lesson)
    context.store.record_start(lesson.id)
    remember(context.workspace)
    console = context.console
    console.print(clean(lesson.heading, "title"))
    console.print(clean(lesson.manifest.summary))
    console.print()
    if changes:
        show_changes(context, changes)
        console.print()
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(overflow="fold")
    for each in entry.tasks:
        sign, _, style = task_words(each)
        place = f"{each.task.id}, in {each.task.file}"
        table.add_row(Text(sign, style), clean(each.task.title), clean(place, "quiet"))
    console.print(table)
    console.print(Text.assemble("\nRead:  ", (f"intro2llm read {lesson.number:02d}", "command")))
    console.print(Text.assemble("Then:  ", ("intro2llm check", "command")))
    return 0


def go_on(context: Context) -> int:
    """Start the next lesson when the current one is done, else say what is left to do."""
    context.writes = True
    state = context.state()
    if state.current is not None and not state.lesson(state.current).started:
        return start(context, state.current.id)
    context.console.print(next_view(state))
    return 0


def show_changes(context: Context, changes: list[FileChange]) -> None:
    """What happened to each file, and where the backup is when there is one."""
    for change in changes:
        sign, words, style = CHANGES[change.action]
        line = Text.assemble((f"{sign} ", style), clean(change.path), ("  " + words, "quiet"))
        if change.note:
            line.append_text(clean(f": {change.note}"))
        if change.backup:
            line.append_text(clean(f"; as it was before: {change.backup}"))
        context.console.print(line, soft_wrap=not context.console.is_terminal)


def hint(context: Context, reference: str | None, level: int | None) -> int:
    """The next hint for a task, recorded; for instructors all of them, not recorded."""
    context.writes = not context.instructor
    lesson, task = _task(context, reference)
    if not task.hints:
        raise ContentError(f"The task {task.id} has no hints.", f"Read about it: intro2llm read {task.id}")
    if context.instructor:
        from coursecli.render.teaching import task_notes

        context.console.print(task_notes(lesson, task))
        return 0
    context.require_started(lesson)
    seen = context.store.hint_level(task.id)
    upto = min(level or seen + 1, len(task.hints))
    show_hints(context, task, 1 if level else upto, upto)
    if upto > seen:  # last: a hint that cannot be recorded is worth reading all the same
        context.store.record_hint(task.id, upto)
    return 0


def show_hints(context: Context, task: Task, first: int, last: int) -> None:
    """These hints, by their numbers, and how to come by more."""
    from coursecli.render.teaching import hint_view

    console = context.console
    console.print(clean(f"{task.title} ({task.id}), in {task.file}", "title"))
    for number in range(first, last + 1):
        console.print(hint_view(number, len(task.hints), task.hints[number - 1]))
    if last < len(task.hints):
        console.print(Text.assemble(("\nOne more: ", "quiet"), (f"intro2llm hint {task.id}", "command")))
    else:
        console.print(
            Text.assemble(
                ("\nThat was the last hint. The lesson explains it: ", "quiet"),
                (f"intro2llm read {task.id}", "command"),
            )
        )


def _task(context: Context, reference: str | None) -> tuple[Lesson, Task]:
    """The task that was named; else the first one of the lesson that does not pass."""
    lesson, task = context.pick(reference)
    if task is not None:
        return lesson, task
    waiting = [entry for entry in context.progress_of(lesson).tasks if not entry.passes_now]
    failing = [entry for entry in waiting if entry.passes_now is False]
    return lesson, (failing or waiting or context.progress_of(lesson).tasks)[0].task
