"""Which task the learner is at, and which line of their code to look at: for hints, the editor and the code page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coursecli.check.verdict import first_failure
from coursecli.render.source import places

if TYPE_CHECKING:
    from coursecli.check.results import CheckResult
    from coursecli.course.manifest import Task
    from coursecli.course.workspace import Workspace
    from coursecli.progress.state import LessonState


@dataclass(frozen=True)
class Place:
    file: Path
    line: int
    fails: bool = False
    """It is the line that a check points to."""


def task_in_hand(entry: LessonState, result: CheckResult | None) -> Task:
    """The task of the first failure of the last check; without one the first that fails, or does not pass yet."""
    first = first_failure(result) if result is not None else None
    if first is not None and first.task:
        return entry.lesson.task(first.task)
    waiting = [each for each in entry.tasks if not each.passes_now]
    failing = [each for each in waiting if each.passes_now is False]
    return (failing or waiting or entry.tasks)[0].task


def place_of(workspace: Workspace, task: Task, result: CheckResult | None) -> Place:
    """The line that the last check points to, when that is about this task; else where its first function begins."""
    if result is not None and not result.passed:
        first = first_failure(result)
        frames = [result.problem.frame] if result.problem else []
        frames += first.error.frames[-1:] if first is not None and first.error is not None else []
        frame = next((frame for frame in frames if frame is not None), None)
        if frame is not None and (first is None or first.task in ("", task.id)):
            return Place(workspace.root / frame.file, frame.line, fails=True)
    file = workspace.package / task.file
    found = places(file, task.symbols)
    return Place(file, found[0][1] if found else 1)
