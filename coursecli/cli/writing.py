"""`generate`: the learner's model continues a text. Which model, and how its tokens are chosen, `chat` asks too."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from coursecli.cli.context import Context
from coursecli.cli.running import DONE, opening_lesson, recipe, require, require_run, show, telling, write_json
from coursecli.errors import UsageError
from coursecli.recipes.events import Answer, Started, Token
from coursecli.recipes.outputs import generation
from coursecli.recipes.runs import run_names
from coursecli.render.generation import figures


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
                        screen.say(noise(context))
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


def require_model(context: Context, command: str, wanted: Sampling) -> None:
    """Raises UsageError when the run that is wanted is not there, or none is there at all."""
    if wanted.run is not None:
        require_run(context, wanted.run)
    elif not wanted.random and not run_names(context.workspace.runs):
        raise UsageError(
            f"{command} needs a model, and there is none yet{_training(context)}.",
            f"Until then: intro2llm {command} --random (random weights), or intro2llm import PATH (published ones).",
        )


def noise(context: Context) -> str:
    """What is to be said of a text by random weights."""
    return f"The weights are random, so the text is noise{_training(context)}."


def _training(context: Context) -> str:
    """How the user comes by a model of their own: the end of a sentence."""
    entry = opening_lesson(context, "train")
    if entry is None:
        return ""
    ready = entry.done or entry.started
    return ": train one with intro2llm train" if ready else f": training comes with lesson {entry.lesson.number:02d}"


def _read_stdin() -> str:
    """The prompt from standard input, without the line end that `echo` adds.

    Raises:
        UsageError: it is not UTF-8 text.
    """
    try:
        return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"The prompt on standard input is not UTF-8 text (byte {error.start}).") from error
