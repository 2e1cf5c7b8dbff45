"""`generate`, `import`, `export` and `bench`: what is needed is there, the recipe runs, its events are shown."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from coursecli.cli.context import Context
from coursecli.course.nearest import did_you_mean
from coursecli.course.workspace import remember
from coursecli.errors import LockedError, UsageError
from coursecli.recipes.endings import LearnerFailure
from coursecli.recipes.events import Answer, Finished, Notice, Progress, Started, Table, Token
from coursecli.recipes.outputs import generation
from coursecli.recipes.run import RecipeRun
from coursecli.render.console import clean, make_console
from coursecli.render.generation import Screen, failure_view, figures, table_view

if TYPE_CHECKING:
    import msgspec

P = ParamSpec("P")
DONE = 0
NOISE = "The weights are random, so the text is noise: training comes with lesson 08."


@dataclass(frozen=True)
class Sampling:
    """The options that `generate` and `chat` share."""

    max_new_tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int | None
    run: str | None
    random: bool
    device: str

    def check(self) -> None:
        """Raises UsageError for a value that means nothing."""
        for wrong, option, value, rule in (
            (self.max_new_tokens < 1, "--max-new-tokens", self.max_new_tokens, "at least 1"),
            (not 0 <= self.temperature < math.inf, "--temperature", self.temperature, "0 or more"),
            (self.top_k is not None and self.top_k < 1, "--top-k", self.top_k, "at least 1"),
            (self.top_p is not None and not 0 < self.top_p <= 1, "--top-p", self.top_p, "above 0 and at most 1"),
            (
                self.seed is not None and not 0 <= self.seed < 1 << 63,
                "--seed",
                self.seed,
                "0 or more, below 2 to the 63",
            ),
        ):
            if wrong:
                raise UsageError(f"{option} {value}: it must be {rule}.")
        if self.random and self.run is not None:
            raise UsageError("--random and --run exclude each other: which model is it to be?")

    def arguments(self) -> list[str]:
        """As the recipe reads them."""
        given = [f"--max-new-tokens={self.max_new_tokens}", f"--temperature={self.temperature}"]
        given += [f"--device={self.device}", *(["--random"] if self.random else [])]
        for name, value in (("top-k", self.top_k), ("top-p", self.top_p), ("seed", self.seed), ("run", self.run)):
            given += [] if value is None else [f"--{name}={value}"]
        return given


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


@telling
def generate(context: Context, prompt: str, wanted: Sampling, *, stream: bool, as_json: bool) -> int:
    """Continue a text: the text on standard output, the figures beside it."""
    wanted.check()
    require(context, "generate", "generate")
    require_model(context, "generate", wanted)
    text = _read_stdin() if prompt == "-" else prompt
    shown = stream and not as_json
    started: Started | None = None
    with recipe(context, "generate", "generate", [*wanted.arguments(), f"--prompt={text}"]) as (run, screen):
        screen.wait("Starting your model")
        for event in run.events():
            match event:
                case Started():
                    started = event
                    if event.what == "random" and not as_json:
                        screen.say(NOISE)
                    if shown:
                        screen.text(text)
                    else:
                        screen.wait("Writing")
                case Token() if shown:
                    screen.text(event.text)
                case Answer() if started is not None:
                    if as_json:
                        write_json(generation(text, started, event))
                    else:
                        if not stream:
                            screen.text(text + event.text)
                        screen.end_text()
                        screen.say(figures(started, event))
                case _:
                    show(screen, event)
    return DONE


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
            elif not (as_json and isinstance(event, Table)):
                show(screen, event)
    return DONE


def show(screen: Screen, event: object) -> None:
    """An event that means the same in every recipe."""
    match event:
        case Notice():
            screen.say(event.message)
        case Progress():
            screen.progress(event)
        case Table():
            screen.show(table_view(event, width=screen.out.width))
        case Finished() if event.message:
            screen.show(clean(event.message))


@contextmanager
def recipe(
    context: Context, command: str, name: str, arguments: Sequence[str], *, listens: bool = False
) -> Iterator[tuple[RecipeRun, Screen]]:
    """A running recipe and the screen for it. Ctrl-C ends the recipe and everything that it has started.

    Raises:
        CourseError: it did not come to its end.
    """
    remember(context.workspace)
    screen = Screen(context.console, make_console(sys.stderr, plain=context.options.plain))
    try:
        with RecipeRun(
            context.course, context.workspace, command, name, arguments, printed=screen.printed, listens=listens
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
    state = context.state()
    for entry in state.lessons:
        opens = command in entry.lesson.manifest.unlocks.features
        if opens and not (entry.done or entry.started or context.workspace.settings.unlock_all):
            lesson = entry.lesson
            raise LockedError(
                f"{command} needs lesson {lesson.number:02d} ({lesson.title}), which is still to come.",
                f"Type: {state.next_command}",
            )


def run_names(context: Context) -> list[str]:
    """The runs of the workspace, by name."""
    runs = context.workspace.runs
    return sorted(name for file in runs.glob("*/run.json") if not (name := file.parent.name).startswith("."))


def require_run(context: Context, name: str) -> None:
    """Raises UsageError, with the nearest names, when there is no such run."""
    known = run_names(context)
    if name not in known:
        near = did_you_mean(name, known)
        listed = f"There is {', '.join(known[:12])}." if known else "There is none yet."
        raise UsageError(f"There is no run {name!r}.", near or listed)


def require_model(context: Context, command: str, wanted: Sampling) -> None:
    """Raises UsageError when the run that is wanted is not there, or none is there at all."""
    if wanted.run is not None:
        require_run(context, wanted.run)
    elif not wanted.random and not run_names(context):
        raise UsageError(
            f"{command} needs a model, and there is none yet: training one comes with lesson 08.",
            f"Until then: intro2llm {command} --random (random weights), or intro2llm import PATH (published ones).",
        )


def write_json(value: msgspec.Struct | dict[str, object]) -> None:
    """One object on a line of standard output."""
    import msgspec

    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def _read_stdin() -> str:
    """The prompt from standard input, without the line end that `echo` adds.

    Raises:
        UsageError: it is not UTF-8 text.
    """
    try:
        return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"The prompt on standard input is not UTF-8 text (byte {error.start}).") from error
