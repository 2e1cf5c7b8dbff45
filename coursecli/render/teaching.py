"""What instructors see besides: notes, all hints, every misconception with its message and code, the attempts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from coursecli.course.mistakes import load_mistakes
from coursecli.expect.words import plural
from coursecli.render.console import clean

if TYPE_CHECKING:
    from coursecli.course.catalogue import Lesson
    from coursecli.course.manifest import Mistake, Task
    from coursecli.progress.store import Attempt

LATEST = 10


def lesson_notes(lesson: Lesson, attempts: list[Attempt]) -> RenderableType:
    """A lesson for its teacher: the teaching notes, the misconceptions by task, the attempts so far."""
    parts: list[RenderableType] = [clean(lesson.heading, "title")]
    if lesson.manifest.teaching_notes:
        parts.append(Padding(clean(lesson.manifest.teaching_notes.strip()), (0, 0, 0, 2), expand=False))
    catalogue = load_mistakes(lesson)
    for task in lesson.tasks:
        mistakes = [mistake for mistake in catalogue.mistakes if mistake.task == task.id]
        parts.append(clean(f"{task.title} ({task.id}): {_count(mistakes)}"))
        parts += [mistake_view(mistake, code=False) for mistake in mistakes]
    return Group(*parts, attempt_history(attempts))


def task_notes(lesson: Lesson, task: Task, *, code: bool = True) -> RenderableType:
    """A task for its teacher: every hint, every misconception with the message that learners get and example code."""
    parts: list[RenderableType] = [clean(f"{task.title} ({task.id}), in {task.file}", "title")]
    for level, hint in enumerate(task.hints, start=1):
        parts.append(hint_view(level, len(task.hints), hint))
    mistakes = [mistake for mistake in load_mistakes(lesson).mistakes if mistake.task == task.id]
    parts += [Text(), Text(_count(mistakes), style="title")]
    for mistake in mistakes:
        parts += [Text(), mistake_view(mistake, code=code)]
    return Group(*parts)


def mistake_view(mistake: Mistake, *, code: bool = True) -> RenderableType:
    """A misconception: its name, what learners are told, and the wrong code."""
    parts = [clean(mistake.explanation)]
    if code:
        parts += [clean(f"{edit.symbol}:\n{edit.code.rstrip()}", "quiet") for edit in mistake.edits]
    return Group(
        Padding(clean(f"{mistake.name} [{mistake.id}]", "mark"), (0, 0, 0, 2), expand=False),
        *(Padding(part, (0, 0, 0, 4), expand=False) for part in parts),
    )


def hint_view(level: int, levels: int, hint: str) -> RenderableType:
    return Group(
        Text(f"Hint {level} of {levels}", style="mark"), Padding(clean(hint.strip()), (0, 0, 0, 2), expand=False)
    )


def _count(mistakes: list[Mistake]) -> str:
    return plural(len(mistakes), "known misconception")


def attempt_history(attempts: list[Attempt]) -> RenderableType:
    """How many checks there were, and the latest of them."""
    if not attempts:
        return Text("No attempts yet.", style="quiet")
    passed = sum(attempt.passed for attempt in attempts)
    failures = Counter(task for attempt in attempts for task, verdict in attempt.tasks.items() if verdict == "failed")
    parts: list[RenderableType] = [Text(f"{plural(len(attempts), 'attempt')}, {passed} passed", style="title")]
    table = Table.grid(padding=(0, 2, 0, 0))
    for attempt in attempts[-LATEST:]:
        failed = ", ".join(task for task, verdict in attempt.tasks.items() if verdict != "passed")
        what = "passed" if attempt.passed else attempt.problem or f"not yet: {failed}"
        table.add_row(Text(f"{attempt.seq}"), clean(attempt.at[:16].replace("T", " ")), clean(what))
    parts.append(table)
    if failures:
        often = ", ".join(f"{task} {plural(count, 'time')}" for task, count in failures.most_common(3))
        parts.append(clean(f"Failed most often: {often}", "quiet"))
    return Group(*parts)
