"""What a recipe says while it runs. Given: the model, the text and the numbers are the work of the other files.

Started by `intro2llm`, a recipe writes each event as a line of JSON to a private descriptor, and `intro2llm` shows it.
Started by hand, the same events are text on the screen. So a recipe never has to know who is listening:

    emit("notice", message="The prompt was cut to 2048 tokens.")
"""

import argparse
import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

_DESCRIPTOR = int(os.environ.pop("INTRO2LLM_EVENTS", "-1"))  # popped: processes that we start do not have it open


class RecipeError(Exception):
    """What was asked for cannot be done, and the user can mend it: a file that does not fit, a name that nothing has.

    It is shown as one line, with no traceback; `remedy` is what to type or do instead.
    """

    exit_code = 2

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class StorageError(RecipeError):
    """What is to be written cannot be: the disk is full, a folder is not the user's. Nothing half-written is left."""

    exit_code = 3


def emit(event: str, **fields: Any) -> None:
    """Say something. These are the events, and their fields:

    started   a model is there: a run's name, or "random"
              what: str, device: str, parameters: int, seed: int | None
    token     a piece of the model's text, whole characters
              text: str
    answer    that text is over: "eos", "length", "turn", …
              text: str, tokens: int, seconds: float, stopped: str
    ready     a chat waits for the next line
    progress  how far; may be sent often
              done: float, total: float | None, what: str
    notice    one line that the user should know
              message: str
    training  a training is about to go on: how many updates, from which one
              run: str, preset: str, data: str, device: str, dtype: str, parameters: int, steps: int, first_step: int,
              tokens_per_step: int, processes: int, seed: int, floor: float | None (bits per byte of the held-out text)
    step      an update, a few times a second at most; the loss in nats per token
              step: int, loss: float, bits_per_byte: float | None, learning_rate: float, grad_norm: float,
              tokens_per_second: float, seconds_left: float | None
    evaluation  the model on held-out text
              step: int, loss: float, bits_per_byte: float | None, floor: float | None
    sample    what the model writes now
              step: int, prompt: str, text: str
    saved     a checkpoint
              step: int, path: str
    score     a running figure of an evaluation
              task: str, name: str, value: float, done: int, total: int
    table     a result
              title: str, columns: list[str], rows: list[list[str]], notes: list[str] = []
    finished  the last one: a line, and the data of --json
              message: str, data: dict[str, Any] = {}
    """
    if _DESCRIPTOR >= 0:
        line = json.dumps({"event": event, **fields}, ensure_ascii=False).encode(errors="replace") + b"\n"
        while line:
            line = line[os.write(_DESCRIPTOR, line) :]
    else:
        try:
            _BY_HAND[event](**fields)
        except OSError as error:
            if error.errno != errno.EIO:  # the terminal was closed: what is to be saved then still is
                raise


def hand_down() -> None:
    """Let the processes that are started from now on say their events in the same place: as their descriptor 0."""
    if _DESCRIPTOR >= 0:
        os.dup2(_DESCRIPTOR, 0)
        os.environ["INTRO2LLM_EVENTS"] = "0"


def run_by_hand(main: Callable[[Sequence[str] | None], int | None]) -> NoReturn:
    """What stands at the end of a recipe: run it on the words of the command line. `main` may give an exit code."""
    try:
        code = main(None) or 0
    except RecipeError as error:
        _aside(f"{error.message} {error.remedy}".strip())
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(code)


class Options(argparse.ArgumentParser):
    """A recipe's options. A bad one is refused in one line."""

    def __init__(self, description: str | None) -> None:
        super().__init__(description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise RecipeError(f"{message}.")


def _table(title: str, columns: list[str], rows: list[list[str]], notes: Sequence[str] = ()) -> None:
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    print(title)
    for row in [columns, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    for note in notes:
        print(note)


def _training(run: str, parameters: int, device: str, steps: int, first_step: int, **rest: Any) -> None:
    begins = f"updates {first_step + 1} to {steps}" if first_step else f"{steps} updates"
    floor = "" if rest["floor"] is None else f"; no model can beat {rest['floor']:.3f} bits per byte"
    _aside(f"{run}: {parameters:,} parameters on {device}, {begins} of {rest['tokens_per_step']} tokens{floor}")


def _step(step: int, loss: float, learning_rate: float, tokens_per_second: float, **rest: Any) -> None:
    bits = "" if rest["bits_per_byte"] is None else f"  {rest['bits_per_byte']:.3f} bits per byte"
    _aside(
        f"\rupdate {step}  loss {loss:.3f}{bits}  rate {learning_rate:.2g}  {tokens_per_second:,.0f} tokens/s ", end=""
    )


def _evaluation(step: int, loss: float, bits_per_byte: float | None, floor: float | None) -> None:
    bits = "" if bits_per_byte is None else f", {bits_per_byte:.3f} bits per byte"
    ratio = "" if bits_per_byte is None or not floor else f", {bits_per_byte / floor:.2f} times the floor"
    print(f"\nheld-out text after update {step}: loss {loss:.3f}{bits}{ratio}", flush=True)


def _visible(text: str) -> str:
    """What a model writes can be anything: no part of it is to steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _aside(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


_BY_HAND: dict[str, Callable[..., None]] = {
    "started": lambda what, device, parameters, seed=None: _aside(
        f"{what}: {parameters:,} parameters on {device}" + ("" if seed is None else f", seed {seed}")
    ),
    "token": lambda text: print(_visible(text), end="", flush=True),
    "answer": lambda text, tokens, seconds, stopped: print(f"\n[{tokens} tokens, {tokens / max(seconds, 1e-9):.1f}/s]"),
    "ready": lambda: print("> ", end="", flush=True),
    "progress": lambda done, total, what: _aside(f"\r{what} {done:g}" + (f"/{total:g}" if total else ""), end=""),
    "notice": lambda message: _aside(message),
    "training": _training,
    "step": _step,
    "evaluation": _evaluation,
    "sample": lambda step, prompt, text: print(f"  {_visible(prompt + text)}", flush=True),
    "saved": lambda step, path: _aside(f"\nsaved {path}"),
    "score": lambda task, name, value, done, total: _aside(f"\r{task} {done}/{total}: {name} {value:.3f}", end=""),
    "table": _table,
    "finished": lambda message, data=None: print(message, end="\n" if message else ""),
}
