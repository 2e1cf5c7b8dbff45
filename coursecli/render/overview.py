"""Where the learner stands: `list`, `status`, the one next command. State is a sign and a word, never colour alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from coursecli.render.console import clean

if TYPE_CHECKING:
    from coursecli.course.catalogue import Course
    from coursecli.progress.state import CourseState, LessonState, TaskState

NARROW = 64


def task_words(task: TaskState) -> tuple[str, str, str]:
    """Sign, words and style of a task's state."""
    if task.passes_now:
        return "✓", "passed", "good"
    if task.unwritten and not task.ever_passed:
        return "○", "to write, when last checked" if task.stale else "not written yet", "wait"
    if task.passes_now is False:
        return "✗", "fails now, passed before" if task.ever_passed else "does not pass yet", "bad"
    if task.ever_passed:
        return "≈", "passed, changed since", "wait"
    if task.stale:
        return "≈", "changed since it failed", "wait"
    return ("○", "waits for other tests", "wait") if task.attempts else ("○", "to write", "")


def lesson_words(entry: LessonState) -> tuple[str, str, str]:
    """Sign, words and style of a lesson's state."""
    if entry.regressed:
        return "✗", "regressed: passed before, fails now", "bad"
    if entry.ever_passed:
        return ("✓", "passed", "good") if entry.passes_now else ("≈", "passed, changed since", "wait")
    if entry.skipped:
        return "»", "skipped", "quiet"
    if entry.locked_by:
        return "·", f"locked: needs {', '.join(lesson.short for lesson in entry.locked_by)}", "quiet"
    if entry.started:
        done = sum(task.passes_now is True for task in entry.tasks)
        return "▸", f"started, {done} of {len(entry.tasks)} tasks pass", "mark"
    return "○", "open", ""


def regression_words(before: LessonState) -> str:
    """Of a lesson whose pass was in doubt, when a check has shown that it fails."""
    why = "; ".join([*before.stale[:3], *(["…"] if before.stale[3:] else [])])
    return f"{before.lesson.short} passed before and fails now{': ' if why else ''}{why}."


def lesson_list(course: Course, state: CourseState, *, width: int, show_all: bool = False) -> RenderableType:
    """Stages and lessons, and how far each is; the tasks of the lessons that are being worked on, or of all."""
    parts: list[RenderableType] = [_heading(course, state)]
    for stage in course.manifest.stages:
        parts += [Text(), clean(stage.title, "title")]
        table = _table(width)
        for entry in state.lessons:
            if entry.lesson.stage.id != stage.id:
                continue
            sign, words, style = lesson_words(entry)
            _row(
                table, width, (Text(sign, style), f"{entry.lesson.number:02d}"), clean(entry.lesson.title), words, style
            )
            in_work = entry.started and not all(task.passes_now for task in entry.tasks)
            for task in entry.tasks if in_work or show_all else []:
                sign, words, style = ("·", "", "quiet") if entry.locked_by else task_words(task)
                _row(table, width, (Text(), Text(sign, style)), _task_title(task), words, style)
        parts.append(table)
    return Group(*parts)


def status_view(course: Course, state: CourseState, *, workspace: str, width: int) -> RenderableType:
    """The current lesson with its tasks, what has changed in the others, and the next command."""
    parts: list[RenderableType] = [_heading(course, state), clean(workspace, "quiet")]
    if state.current is not None:
        entry = state.lesson(state.current)
        lesson = entry.lesson
        parts += [Text(), clean(lesson.heading, "title")]
        parts.append(clean(f"{lesson.manifest.summary} About {_duration(lesson.manifest.minutes)}.", "quiet"))
        table = _table(width)
        for task in entry.tasks:
            sign, words, style = task_words(task)
            _row(table, width, (Text(), Text(sign, style)), _task_title(task), words, style)
        parts.append(table)
    changed = [entry for entry in state.lessons if entry.ever_passed and not entry.passes_now]
    if changed:
        parts.append(Text())
        for entry in changed:
            sign, words, style = lesson_words(entry)
            why = f" ({'; '.join(entry.stale)})" if entry.stale else ""
            line = Text.assemble((f"{sign} ", style), clean(f"{entry.lesson.short} {words}{why}. "))
            parts.append(line.append(f"intro2llm check {entry.lesson.short}", "command"))
    return Group(*parts, Text(), next_view(state))


def home_view(course: Course, state: CourseState) -> RenderableType:
    """What a bare `intro2llm` says: where you are, and the one next command."""
    line = Text()
    if state.current is not None:
        entry = state.lesson(state.current)
        line = clean(f"{entry.lesson.heading}: {lesson_words(entry)[1]}")
    return Group(_heading(course, state), *([line] if line else []), Text(), next_view(state))


def next_view(state: CourseState) -> RenderableType:
    """The one next command, and why."""
    return Group(
        Text.assemble("Next: ", (state.next_command, "command")),
        Padding(clean(state.next_reason), (0, 0, 0, 6), expand=False),
    )


def _heading(course: Course, state: CourseState) -> Text:
    done = sum(entry.done for entry in state.lessons)
    lessons = "lesson" if len(state.lessons) == 1 else "lessons"
    return Text.assemble(clean(course.manifest.title, "title"), f": {done} of {len(state.lessons)} {lessons} done")


def _task_title(task: TaskState) -> Text:
    return Text.assemble(clean(task.task.title), " ", clean(f"({task.task.id})", "quiet"))


def _table(width: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1)
    table.add_column(width=2, justify="right")
    table.add_column(overflow="fold")
    if width >= NARROW:
        table.add_column(overflow="fold")
    return table


def _row(table: Table, width: int, signs: tuple[Text, Text | str], title: Text, words: str, style: str) -> None:
    """Signs, title and state; on a narrow screen the state goes under the title."""
    if width >= NARROW:
        table.add_row(*signs, title, Text(words, style))
    else:
        table.add_row(*signs, title)
        if words:
            table.add_row("", "", Text(words, style))


def _duration(minutes: int) -> str:
    if minutes < 100:
        return f"{minutes} minutes"
    return f"{round(minutes / 30) / 2:g} hours"
