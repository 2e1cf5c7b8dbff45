"""The commands that only look: a bare `intro2llm`, `status`, `list`, `read`. They write nothing."""

from __future__ import annotations

from coursecli.cli.context import Context
from coursecli.errors import WorkspaceError


def home(context: Context) -> int:
    """The dashboard, for a person in a terminal who has a workspace. Else where you are, and the one next command."""
    if _watched(context):
        from coursecli.cli.dashboard import dashboard

        return dashboard(context)
    from coursecli.course.workspace import last_used
    from coursecli.render.overview import home_view

    try:
        state = context.state()
    except WorkspaceError:
        if context.chosen_workspace or last_used():
            raise
        from rich.text import Text

        from coursecli.render.console import clean

        console = context.console
        console.print(clean(f"{context.course.manifest.title}: {len(context.course.lessons)} lessons.", "title"))
        console.print("You have no workspace yet: the folder with your code and your progress.\n")
        console.print(Text.assemble("Next: ", ("intro2llm init my-llm", "command")))
        return 0
    context.console.print(home_view(context.course, state))
    return 0


def _watched(context: Context) -> bool:
    """Whether a person sits at a terminal that is large enough, and has a workspace that can be opened."""
    import sys

    from coursecli.render.console import is_terminal

    if context.options.plain or not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        return False
    import shutil

    from coursecli.tui.pages import is_too_small

    try:
        return not is_too_small(*shutil.get_terminal_size()) and context.workspace.root.is_dir()
    except WorkspaceError:
        return False


def status(context: Context) -> int:
    from coursecli.render.overview import status_view

    console = context.console
    state = context.state()
    console.print(status_view(context.course, state, workspace=str(context.workspace.root), width=console.width))
    return 0


def list_lessons(context: Context, *, show_all: bool = False) -> int:
    """Stages, lessons, tasks and their state; for instructors, all tasks, and what learners get wrong in each."""
    from coursecli.render.overview import lesson_list

    console = context.console
    state = context.state()
    show_all = show_all or context.instructor
    console.print(lesson_list(context.course, state, width=console.width, show_all=show_all))
    if context.instructor:
        from coursecli.render.teaching import lesson_notes

        for lesson in context.course.lessons:
            console.print()
            console.print(lesson_notes(lesson, context.store.attempts(lesson.id)))
    return 0


def read(context: Context, reference: str | None) -> int:
    """A lesson's text, or its section on one task, in the pager when a person is watching."""
    from coursecli.errors import ContentError
    from coursecli.render.console import paged
    from coursecli.render.lesson import lesson_view, plain_lesson, section

    lesson, task = context.pick(reference)
    try:
        text = lesson.readme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ContentError(f"{lesson.readme}: cannot be read: {error}") from error
    text = section(text, task.title) if task else text
    if context.options.plain:
        context.console.print(plain_lesson(text))
    else:
        paged(context.console, lesson_view(text, width=context.console.width))
    return 0
