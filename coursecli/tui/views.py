"""What the panes show, as Rich renderables: those of the command line, put together. Called in threads; no widget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Group, RenderableType
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from coursecli.check.verdict import first_failure
from coursecli.course.mistakes import load_mistakes
from coursecli.errors import CourseError
from coursecli.files import read_source
from coursecli.render import place
from coursecli.render.console import clean, visible
from coursecli.render.lesson import lesson_view, section
from coursecli.render.overview import lesson_words, next_view, task_words
from coursecli.render.results import ResultView, passed_view, task_passed_view
from coursecli.render.sidebyside import side_by_side
from coursecli.render.source import definitions
from coursecli.render.teaching import attempt_history, hint_view, lesson_notes, task_notes
from coursecli.tui.desk import Desk, Target

if TYPE_CHECKING:
    from coursecli.course.manifest import Task
    from coursecli.progress.recorded import Recorded
    from coursecli.progress.state import CourseState, LessonState

TEXT_WIDTH = 120


class Verdict(NamedTuple):
    """What came of a check."""

    target: Target
    recorded: Recorded
    before: CourseState | None = None
    """The progress when it was asked for; None when nobody asked."""


def safe(make: Callable[[], RenderableType]) -> RenderableType:
    """What `make` makes; in its place, what went wrong, in a line and a remedy."""
    try:
        return make()
    except CourseError as error:
        return Group(clean(error.message, "bad"), clean(error.remedy))
    except (OSError, UnicodeDecodeError) as error:
        return clean(str(error), "bad")


def lesson_page(target: Target, width: int) -> RenderableType:
    """The lesson's text; of a task, the section about it."""
    text = target.lesson.readme.read_text(encoding="utf-8")
    return lesson_view(section(text, target.task.title) if target.task else text, width=width)


def hints_page(desk: Desk, entry: LessonState, task: Task, seen: int, width: int) -> RenderableType:
    """The rungs of the ladder that have been seen, and the key to the next one."""
    if desk.instructor:
        return task_notes(entry.lesson, task)
    parts: list[RenderableType] = [clean(task.title, "title"), clean(f"{task.id}, in {task.file}", "quiet"), Text()]
    for level, hint in enumerate(task.hints, start=1):
        if level <= seen:
            parts += [hint_view(level, len(task.hints), hint), Text()]
        else:
            parts.append(Text(f"Hint {level} of {len(task.hints)}: not seen yet", style="quiet"))
    if not task.hints:
        parts.append(Text("This task has no hints."))
    elif seen < len(task.hints):
        parts += [Text(), Text.assemble("Press ", ("h", "command"), " for the next one.")]
    else:
        parts.append(Text.assemble("That was the last hint. The lesson explains it: press ", ("2", "command"), "."))
    return Group(*parts)


def code_page(where: place.Place, *, dark: bool) -> RenderableType:
    """The learner's file, with the line in question marked."""
    try:
        source = read_source(where.file)
    except CourseError as error:
        return Group(clean(error.message, "bad"), clean(error.remedy))
    mark = "the line that the check points to" if where.fails else "where the task begins"
    return Group(
        Text.assemble(clean(f"{where.file.parent.name}/{where.file.name}", "title"), clean(f"  ❱ {mark}", "quiet")),
        Text(),
        Syntax(
            visible(source),
            "python",
            theme="ansi_dark" if dark else "ansi_light",
            background_color="default",
            line_numbers=True,
            highlight_lines={where.line},
            word_wrap=True,
        ),
    )


POINTER = "❱"
"""What stands before the marked line of a code page."""


def place_of(desk: Desk, target: Target, entry: LessonState, verdict: Verdict | None) -> place.Place:
    """The line to look at."""
    task = task_in_hand(target, entry, verdict)
    return place.place_of(desk.workspace, task, verdict.recorded.result if verdict else None)


def task_in_hand(target: Target, entry: LessonState, verdict: Verdict | None) -> Task:
    """The target's own, when it is a task."""
    return target.task or place.task_in_hand(entry, verdict.recorded.result if verdict else None)


def hints_seen(entry: LessonState, task: Task) -> int:
    return next(each.hints for each in entry.tasks if each.task.id == task.id)


def verdict_page(desk: Desk, verdict: Verdict, width: int, *, show_all: bool) -> RenderableType:
    """What came of a check: exactly what `intro2llm check` shows."""
    target, recorded, before = verdict
    result, lesson = recorded.result, target.lesson
    width = min(width, TEXT_WIDTH)
    if not result.passed:
        view = ResultView(result, lesson, load_mistakes(lesson), desk.workspace.package, width=width)
        return Group(view.failing(first_failure(result), show_all=show_all), *_unsaved(recorded))
    if recorded.unsaved is not None:
        return Group(Text.assemble(("✓ ", "good"), "Passed."), *_unsaved(recorded))
    state = desk.state()
    entry = state.lesson(lesson)
    if entry.ever_passed and entry.passes_now:
        unlocked = [now for now in state.lessons if before and now.open and not before.lesson(now.lesson).open]
        return passed_view(lesson, state, unlocked)
    return task_passed_view(target.task or lesson.tasks[0], entry, state)


def _unsaved(recorded: Recorded) -> list[RenderableType]:
    if recorded.unsaved is None:
        return []
    return [
        Text(),
        clean(f"This could not be written down: {recorded.unsaved.message}", "bad"),
        clean(recorded.unsaved.remedy),
    ]


def overview_page(entry: LessonState, state: CourseState) -> RenderableType:
    """A lesson that has not been checked since the dashboard was opened: its tasks, and what is next."""
    lesson = entry.lesson
    sign, words, style = lesson_words(entry)
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(overflow="fold")
    for task in entry.tasks:
        mark = ("·", "locked", "quiet") if entry.locked_by else task_words(task)
        table.add_row(Text(mark[0], mark[2]), clean(task.task.title), Text(mark[1], mark[2]))
    parts: list[RenderableType] = [clean(lesson.heading, "title"), Text.assemble((f"{sign} {words}", style))]
    parts += [clean(lesson.manifest.summary, "quiet"), Text(), table, Text()]
    if entry.stale:
        parts += [clean(f"≈ {'; '.join(entry.stale)}", "wait"), Text()]
    if entry.locked_by:
        return Group(*parts, next_view(state))
    key, what = ("c", "checks your code") if entry.started or entry.skipped else ("s", "starts this lesson")
    return Group(*parts, Text.assemble((key, "command"), f" {what}."))


def solution_page(desk: Desk, target: Target, width: int) -> RenderableType:
    """For instructors: the learner's code beside the reference, task by task."""
    parts: list[RenderableType] = []
    for task in [target.task] if target.task else target.lesson.tasks:
        names = [*task.symbols, *task.helpers]
        mine = definitions(_readable(desk.workspace.package / task.file), names)
        reference = definitions(read_source(desk.course.solutions_dir / task.file), names)
        parts.append(Text.assemble(clean(task.title, "title"), clean(f"  {task.file}", "quiet")))
        parts += [side_by_side(mine, reference, titles=("learner's code", "reference"), width=width), Text()]
    return Group(*parts)


def notes_page(desk: Desk, target: Target) -> RenderableType:
    """For instructors: teaching notes, misconceptions with their code, the attempts."""
    attempts = desk.attempts(target.lesson)
    if target.task is None:
        return lesson_notes(target.lesson, attempts)
    return Group(task_notes(target.lesson, target.task), Text(), attempt_history(attempts))


def _readable(file: Path) -> str:
    try:
        return read_source(file)
    except (OSError, CourseError) as error:
        return f"# {file.name} cannot be read: {error}"
