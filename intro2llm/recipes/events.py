"""What a recipe says while it runs. Given: the model, the text and the numbers are the work of the other files.

Started by `intro2llm`, a recipe writes each event as a line of JSON to a private descriptor, and `intro2llm` shows it.
Started by hand, the same events are text on the screen. So a recipe never has to know who is listening:

    emit("notice", message="The prompt was cut to 2048 tokens.")
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

_DESCRIPTOR = int(os.environ.pop("INTRO2LLM_EVENTS", "0"))  # popped: processes that we start do not have it open


class RecipeError(Exception):
    """What was asked for cannot be done, and the user can mend it: a file that does not fit, a name that nothing has.

    It is shown as one line, with no traceback; `remedy` is what to type or do instead.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


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
    table     a result
              title: str, columns: list[str], rows: list[list[str]], notes: list[str] = []
    finished  the last one: a line, and the data of --json
              message: str, data: dict[str, Any] = {}
    """
    if _DESCRIPTOR:
        line = json.dumps({"event": event, **fields}, ensure_ascii=False).encode(errors="replace") + b"\n"
        while line:
            line = line[os.write(_DESCRIPTOR, line) :]
    else:
        _BY_HAND[event](**fields)


def run_by_hand(main: Callable[[Sequence[str] | None], None]) -> NoReturn:
    """What stands at the end of a recipe: run it on the words of the command line."""
    try:
        main(None)
    except RecipeError as error:
        _aside(f"{error.message} {error.remedy}".strip())
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


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
    "table": _table,
    "finished": lambda message, data=None: print(message, end="\n" if message else ""),
}
