"""The commands of learners and instructors, declared for Typer. The doing is in other modules."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from coursecli.cli.context import Action, Context


def register(app: typer.Typer) -> None:
    """Add the commands to `app`, in the order in which a learner meets them."""
    for command in (
        init,
        start,
        check,
        watch,
        hint,
        next_,
        dashboard,
        status,
        list_,
        read,
        doctor,
        reset,
        solution,
        skip,
    ):
        app.command(command.__name__.rstrip("_"))(command)


def complete_lessons(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """For the shell: lessons by their short names."""
    return [pair for pair in _names(ctx, tasks=False) if pair[0].startswith(incomplete)]


def complete_lessons_and_tasks(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    return [pair for pair in _names(ctx, tasks=True) if pair[0].startswith(incomplete)]


def complete_tasks(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    lessons = _names(ctx, tasks=False)
    return [pair for pair in _names(ctx, tasks=True) if pair not in lessons and pair[0].startswith(incomplete)]


def _names(ctx: typer.Context, *, tasks: bool) -> list[tuple[str, str]]:
    from coursecli.course.catalogue import load_course
    from coursecli.errors import CourseError

    chosen = ctx.find_root().params.get("course")
    try:
        course = load_course(Path(chosen) if chosen else None)
        names = [(lesson.short, lesson.title) for lesson in course.lessons]
        if tasks:
            names += [(task.id, task.title) for lesson in course.lessons for task in lesson.tasks]
    except CourseError:  # a shell that completes has no place for an error
        return []
    return names


Lesson = Annotated[
    str | None,
    typer.Argument(
        metavar="LESSON", help="lesson03, lesson3, 03 or 3.", show_default=False, autocompletion=complete_lessons
    ),
]
RequiredLesson = Annotated[
    str, typer.Argument(metavar="LESSON", help="lesson03, lesson3, 03 or 3.", autocompletion=complete_lessons)
]
LessonOrTask = Annotated[
    str | None,
    typer.Argument(
        metavar="LESSON|TASK",
        help="A lesson, or one task of it. Without it, the current lesson.",
        show_default=False,
        autocompletion=complete_lessons_and_tasks,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def init(
    ctx: typer.Context,
    directory: Annotated[str, typer.Argument(metavar="DIR", help="The folder to make or to complete.")] = ".",
    unlock: Annotated[
        str | None,
        typer.Option("--unlock", metavar="all", help="all: every lesson can be started at once (self-study)."),
    ] = None,
) -> Action:
    """Make a workspace: the folder with your code, your lessons and your progress.

    \b
    Example:
      intro2llm init my-llm
      intro2llm init my-llm --unlock all
    """
    from coursecli.cli import work

    return partial(work.init, _context(ctx), directory, unlock)


def start(ctx: typer.Context, lesson: Lesson = None) -> Action:
    """Start a lesson: its text, and the files that you fill in. Without LESSON, the next one.

    \b
    Example:
      intro2llm start
      intro2llm start 03
    """
    from coursecli.cli import work

    return partial(work.start, _context(ctx), lesson)


def check(
    ctx: typer.Context,
    target: LessonOrTask = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show every failing test whole, not only the first.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")] = False,
    cold: Annotated[
        bool, typer.Option("--cold", help="Start Python anew, instead of using a process that waits for checks.")
    ] = False,
) -> Action:
    """Check your code: one failing test, what is wrong, and why. Exit code 0: passed, 1: not yet.

    \b
    Example:
      intro2llm check
      intro2llm check rmsnorm --all
      intro2llm check 02 --json
    """
    from coursecli.cli import checking

    return partial(checking.check, _context(ctx), target, show_all=show_all, as_json=json, cold=cold)


def watch(
    ctx: typer.Context,
    target: LessonOrTask = None,
    poll: Annotated[
        bool, typer.Option("--poll", help="Look at the files now and then: for drives that tell of no changes.")
    ] = False,
    cold: Annotated[bool, typer.Option("--cold", help="Start Python anew for each check.")] = False,
) -> Action:
    """Check at each save. Keys: h hint, n next, l list, a all, r reset, o open your editor, q quit.

    \b
    Example:
      intro2llm watch
      intro2llm watch 02 --poll
    """
    from coursecli.cli import watching

    return partial(watching.watch, _context(ctx), target, poll=poll, cold=cold)


def hint(
    ctx: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="TASK",
            help="The task. Without it, the first one that is not done.",
            show_default=False,
            autocompletion=complete_tasks,
        ),
    ] = None,
    level: Annotated[
        int | None, typer.Option("--level", min=1, max=3, help="Show the hints up to this level.", show_default=False)
    ] = None,
) -> Action:
    """Show the next hint for a task. Each call shows one more of three: a nudge, a direction, nearly the answer.

    \b
    Example:
      intro2llm hint
      intro2llm hint rmsnorm --level 2
    """
    from coursecli.cli import work

    return partial(work.hint, _context(ctx), task, level)


def next_(ctx: typer.Context) -> Action:
    """Go on: start the next lesson when this one is done, else say what is left to do.

    \b
    Example:
      intro2llm next
    """
    from coursecli.cli import work

    return partial(work.go_on, _context(ctx))


def dashboard(
    ctx: typer.Context,
    web: Annotated[bool, typer.Option("--web", help="In a browser of this machine. Needs: intro2llm[web]")] = False,
    port: Annotated[int, typer.Option("--port", min=1024, max=65535, help="With --web: where it listens.")] = 8642,
) -> Action:
    """The course on one screen: lessons, checks as you save, hints, runs, a chat with your model.

    \b
    Example:
      intro2llm dashboard
      intro2llm dashboard --web
    """
    from coursecli.cli import dashboard as dashboard_module

    return partial(dashboard_module.dashboard, _context(ctx), web=web, port=port)


def list_(
    ctx: typer.Context,
    show_all: Annotated[bool, typer.Option("--all", help="The tasks of every lesson.")] = False,
) -> Action:
    """Stages and lessons, how far you are, and the tasks of the lessons you are at.

    \b
    Example:
      intro2llm list
      intro2llm list --all
      intro2llm list --instructor
    """
    from coursecli.cli import look

    return partial(look.list_lessons, _context(ctx), show_all=show_all)


def status(ctx: typer.Context) -> Action:
    """Where you are: the current lesson and its tasks, and what has changed since it passed.

    \b
    Example:
      intro2llm status
    """
    from coursecli.cli import look

    return partial(look.status, _context(ctx))


def read(ctx: typer.Context, target: LessonOrTask = None) -> Action:
    """Read a lesson in the terminal, or what it says about one task.

    \b
    Example:
      intro2llm read
      intro2llm read 02
      intro2llm read rmsnorm
    """
    from coursecli.cli import look

    return partial(look.read, _context(ctx), target)


def reset(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Argument(metavar="TASK|FILE", help="A task, or a file of your package.", autocompletion=complete_tasks),
    ],
    yes: Yes = False,
) -> Action:
    """Put a task or a file back as it was given. Asks first, and keeps a backup.

    \b
    Example:
      intro2llm reset rmsnorm
      intro2llm reset model/norm.py --yes
    """
    from coursecli.cli import mend

    return partial(mend.reset, _context(ctx), target, yes=yes)


def solution(
    ctx: typer.Context,
    lesson: RequiredLesson,
    apply: Annotated[
        bool, typer.Option("--apply", help="Put the reference in place of your code; keeps a backup.")
    ] = False,
    yes: Yes = False,
) -> Action:
    """The reference beside your code, for a lesson that you have passed.

    \b
    Example:
      intro2llm solution 01
      intro2llm solution 01 --apply
    """
    from coursecli.cli import mend

    return partial(mend.solution, _context(ctx), lesson, apply=apply, yes=yes)


def skip(ctx: typer.Context, lesson: RequiredLesson, yes: Yes = False) -> Action:
    """Go on without writing a lesson: the reference takes its place. Asks first, and keeps a backup.

    \b
    Example:
      intro2llm skip 02
    """
    from coursecli.cli import mend

    return partial(mend.skip, _context(ctx), lesson, yes=yes)


def doctor(ctx: typer.Context) -> Action:
    """Look at Python, packages, workspace, progress and terminal; say what is wrong and how to mend it.

    \b
    Example:
      intro2llm doctor
    """
    from coursecli.cli import doctor as doctor_module

    return partial(doctor_module.doctor, _context(ctx))


def _context(ctx: typer.Context) -> Context:
    context: Context = ctx.obj
    return context
