"""Running a recipe: what is needed is there, it runs, its events are shown; and `import`, `export` and `bench`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from coursecli.cli.context import Context
from coursecli.course.nearest import did_you_mean
from coursecli.course.workspace import remember
from coursecli.errors import LockedError, UsageError
from coursecli.recipes.endings import LearnerFailure
from coursecli.recipes.events import Finished, Notice, Progress, Table
from coursecli.recipes.run import RecipeRun
from coursecli.recipes.runs import run_names
from coursecli.render.console import clean, make_console
from coursecli.render.generation import Screen, failure_view, table_view

if TYPE_CHECKING:
    import msgspec

    from coursecli.progress.state import LessonState

P = ParamSpec("P")
DONE = 0


def telling(action: Callable[Concatenate[Context, P], int]) -> Callable[Concatenate[Context, P], int]:
    """What the learner's code did wrong is shown with their lines, and becomes the exit code."""

    @wraps(action)
    def told(context: Context, /, *arguments: P.args, **options: P.kwargs) -> int:
        try:
            return action(context, *arguments, **options)
        except LearnerFailure as failure:
            console = make_console(sys.stderr, plain=context.options.plain)
            console.print(failure_view(failure, context.workspace.root))
            if context.options.debug:
                raise
            return failure.exit_code

    return told


def import_model(context: Context, path: str, name: str | None, *, force: bool, as_json: bool) -> int:
    """Bring a published model in, as a run."""
    require(context, "import", "import_hf")
    folder = Path(path).expanduser().resolve()
    if not folder.exists():
        raise UsageError(f"There is no file or folder {folder}.", "PATH is the folder of a model on your disk.")
    options = [*(["--force"] if force else []), *([] if name is None else [f"--name={name}"])]
    return perform(context, "import", "import_hf", [str(folder), *options], as_json=as_json)


def export_model(context: Context, run: str, directory: str, *, force: bool, as_json: bool) -> int:
    """Write a run's model where other programs can read it."""
    require(context, "export", "export_hf")
    require_run(context, run)
    folder = Path(directory).expanduser().resolve()
    forced = ["--force"] if force else []
    return perform(context, "export", "export_hf", [run, str(folder), *forced], as_json=as_json)


def bench(context: Context, arguments: Sequence[str], *, as_json: bool) -> int:
    require(context, "bench", "bench")
    return perform(context, "bench", "bench", arguments, as_json=as_json)


@telling
def perform(context: Context, command: str, name: str, arguments: Sequence[str], *, as_json: bool) -> int:
    """Run a recipe to its end and show what it says; with `as_json`, the data of its last event and nothing else."""
    with recipe(context, command, name, arguments) as (run, screen):
        screen.wait("Starting Python")
        for event in run.events():
            if isinstance(event, Finished) and as_json:
                screen.settle()
                write_json({"schema_version": 1, **event.data})
            else:
                show(screen, event, tables=not as_json)
    return DONE


def show(screen: Screen, event: object, *, tables: bool = True) -> None:
    """An event that means the same in every recipe."""
    match event:
        case Notice():
            screen.say(event.message)
        case Progress():
            screen.progress(event)
        case Table() if tables:
            screen.show(table_view(event, width=screen.out.width))
        case Finished() if event.message:
            screen.show(clean(event.message))


@contextmanager
def recipe(
    context: Context,
    command: str,
    name: str,
    arguments: Sequence[str],
    *,
    listens: bool = False,
    variables: Mapping[str, str] | None = None,
) -> Iterator[tuple[RecipeRun, Screen]]:
    """A running recipe and the screen for it. Ctrl-C ends the recipe and everything that it has started.

    Raises:
        CourseError: it did not come to its end.
    """
    remember(context.workspace)
    screen = Screen(context.console, make_console(sys.stderr, plain=context.options.plain))
    try:
        with RecipeRun(
            context.course,
            context.workspace,
            command,
            name,
            arguments,
            printed=screen.printed,
            listens=listens,
            variables=variables,
        ) as run:
            with on_ctrl_c(run.stop):
                yield run, screen
    finally:
        screen.end_text()
        screen.settle()


@contextmanager
def on_ctrl_c(act: Callable[[], None]) -> Iterator[None]:
    """While inside, Ctrl-C calls `act` instead of raising: nothing that was being read is lost."""
    before = signal.signal(signal.SIGINT, lambda number, frame: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def require(context: Context, command: str, name: str) -> None:
    """Raises LockedError when the lesson that opens this command has not been started; UsageError in another course."""
    if not (context.course.package_dir / "recipes" / f"{name}.py").is_file():
        raise UsageError(f"The course {context.course.manifest.title!r} has no {command}.", "Type: intro2llm --help")
    entry = opening_lesson(context, command)
    if entry is not None and not (entry.done or entry.started or context.workspace.settings.unlock_all):
        lesson = entry.lesson
        raise LockedError(
            f"{command} needs lesson {lesson.number:02d} ({lesson.title}), which is still to come.",
            f"Type: {context.state().next_command}",
        )


def opening_lesson(context: Context, command: str) -> LessonState | None:
    """The lesson that opens a command, and how far it is. None if the command is open from the beginning."""
    opening = (entry for entry in context.state().lessons if command in entry.lesson.manifest.unlocks.features)
    return next(opening, None)


def require_run(context: Context, name: str) -> None:
    """Raises UsageError, with the nearest names, when there is no such run."""
    known = run_names(context.workspace.runs)
    if name not in known:
        near = did_you_mean(name, known)
        listed = f"There is {', '.join(known[:12])}." if known else "There is none yet."
        raise UsageError(f"There is no run {name!r}.", near or listed)


def write_json(value: msgspec.Struct | dict[str, object]) -> None:
    """One object on a line of standard output."""
    import msgspec

    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def as_options(**values: object) -> list[str]:
    """What was typed, as a recipe reads it: None and False are left out, a list is the option again and again."""
    words = []
    for name, value in values.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, (list, tuple)):
            words += [f"{option}={each}" for each in value]
        elif value is not None and value is not False:
            words.append(f"{option}={value}")
    return words
