"""`check`: run the suites, store the attempt, show what came of it, and whether earlier passes still hold."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text

from coursecli.check.results import CheckResult
from coursecli.check.verdict import first_failure
from coursecli.cli.context import Context
from coursecli.course.mistakes import load_mistakes
from coursecli.course.suites import read_suites
from coursecli.course.workspace import remember
from coursecli.errors import CourseError
from coursecli.progress.recorded import doubtful, recorded_check
from coursecli.render.console import clean
from coursecli.render.overview import regression_words
from coursecli.render.progress import CheckProgress
from coursecli.render.results import ResultView, passed_view, task_passed_view

if TYPE_CHECKING:
    from rich.console import Console

    from coursecli.check.waiting import Workers
    from coursecli.course.catalogue import Lesson
    from coursecli.course.manifest import Task
    from coursecli.progress.state import CourseState, LessonState
    from coursecli.warm.background import Background

PASSED, NOT_YET, INTERRUPTED = 0, 1, 130


def check(
    context: Context, target: str | None, *, show_all: bool = False, as_json: bool = False, cold: bool = False
) -> int:
    """Check a lesson or a task. Returns 0 when it passes, 1 when it does not, 130 when it was interrupted."""
    context.writes = True
    lesson, task = context.pick(target)
    context.require_started(lesson)
    remember(context.workspace)
    before = context.state()
    background = background_of(context, cold=cold)
    result, unsaved = run(context, lesson, task, quiet=as_json, workers=background)
    if result.interrupted:
        context.say("Stopped. Nothing is running any more, and your progress is as it was.")
        return INTERRUPTED
    if as_json:
        import msgspec

        sys.stdout.write(msgspec.json.format(msgspec.json.encode(result), indent=2).decode() + "\n")
    elif not result.passed:
        show_failure(context, lesson, result, show_all=show_all)
    elif unsaved is None:
        show_pass(context, before, lesson, task, background)
    else:
        context.console.print(unsaved_line())
    if background is not None:  # after the verdict: to start one beside this check would slow it down
        sys.stdout.flush()
        background.ensure()
    if unsaved is not None:
        raise unsaved
    return PASSED if result.passed else NOT_YET


def background_of(context: Context, *, cold: bool = False) -> Background | None:
    """The workspace's background process, for the workers of its checks; None when they are to start cold."""
    from coursecli.warm.background import Background, wanted

    return Background(context.course, context.workspace.root) if wanted(cold=cold) else None


def run(
    context: Context,
    lesson: Lesson,
    task: Task | None = None,
    *,
    quiet: bool = False,
    workers: Workers | None = None,
) -> tuple[CheckResult, CourseError | None]:
    """Check and store the attempt, unless it was interrupted. Shows which test runs, unless `quiet`.

    Returns:
        the result, and why it could not be stored, if so: it is worth showing all the same.
    """
    check_it = partial(
        recorded_check,
        context.course,
        lesson,
        context.workspace,
        tasks={task.id} if task else None,
        record=lambda result, evidence: context.store.record_attempt(result, evidence),
        workers=workers,
    )
    if quiet:
        return check_it()
    title = task.title if task else lesson.short
    with CheckProgress(context.console, title, read_suites(lesson)) as progress:
        return check_it(listener=progress)


def show_failure(context: Context, lesson: Lesson, result: CheckResult, *, show_all: bool) -> None:
    console = context.console
    first = first_failure(result)
    view = ResultView(result, lesson, load_mistakes(lesson), context.workspace.package, width=text_width(console))
    console.print(view.failing(first, show_all=show_all), width=text_width(console))
    if context.instructor:
        from coursecli.cli.mend import show_task
        from coursecli.render.teaching import task_notes

        task = lesson.task(first.task if first else result.scope[0])
        console.print()
        console.print(task_notes(lesson, task, code=False), width=text_width(console))
        show_task(context, task)


def show_pass(
    context: Context, before: CourseState, lesson: Lesson, task: Task | None, workers: Workers | None = None
) -> None:
    """What a pass means, after another look at the lessons that this edit may have touched."""
    entry = context.progress_of(lesson)
    regressed = look_again(context, workers) if entry.ever_passed and entry.passes_now else []
    print_pass(context, before, lesson, task)
    for other in regressed:
        context.console.print(regression_line(other))


def print_pass(context: Context, before: CourseState, lesson: Lesson, task: Task | None) -> None:
    """The lesson's pass, or the task's when the lesson as a whole is not decided."""
    console = context.console
    state = context.state()
    entry = state.lesson(lesson)
    if entry.ever_passed and entry.passes_now:
        unlocked = [now for now in state.lessons if now.open and not before.lesson(now.lesson).open]
        console.print(passed_view(lesson, state, unlocked), width=text_width(console))
    elif task is not None:
        console.print(task_passed_view(task, entry, state), width=text_width(console))


def unsaved_line() -> Text:
    """Of a pass; why is for the error that follows."""
    return Text.assemble(("✓ ", "good"), "Passed, but that could not be written down.")


def regression_line(before: LessonState) -> Text:
    command = (f"intro2llm check {before.lesson.short}", "command")
    return Text.assemble(("\n✗ ", "bad"), clean(regression_words(before)), " ", command)


def look_again(context: Context, workers: Workers | None = None) -> list[LessonState]:
    """Check the lessons whose pass is in doubt. Returns those that fail now, as they were before."""
    seen: set[str] = set()
    regressed = []
    while found := [each for each in doubtful(context.course, context.state()) if each.lesson.id not in seen]:
        result, _ = run(context, found[0].lesson, workers=workers)
        if result.interrupted:
            raise KeyboardInterrupt
        if not result.passed:
            regressed.append(found[0])
        seen.add(found[0].lesson.id)
    return regressed


def text_width(console: Console) -> int:
    return min(console.width, 120)
