"""The process that runs one recipe: preload, bind the learner's package, call `main`, and tell how it ended."""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import os
import sys
from os import _exit
from pathlib import Path

import msgspec

from coursecli.check.binding import bind, stream, telling_exit
from coursecli.check.frames import describe, message_of
from coursecli.check.voice import encodable
from coursecli.isolate.launcher import EVENTS, MESSAGE, TRACE
from coursecli.isolate.limits import no_core_dumps
from coursecli.recipes.events import Assignment, Bound, Event, Failed, FailureKind, encoder

REFUSALS: dict[str, FailureKind] = {"RecipeError": "refused", "StorageError": "unwritable"}
"""What a recipe raises when the user can mend it, and what that is called."""


def main() -> None:
    """In a fresh interpreter. Never returns."""
    with os.fdopen(MESSAGE, "rb") as message:
        told = msgspec.json.decode(message.read(), type=Assignment)
    code = 1
    try:
        _run(told)
        code = 0
    except BaseException as error:  # sys.exit and Ctrl-C as well: whatever it is, the runner is told
        _say(_failure(error, told))
    finally:
        sys.stdout.flush()
        _exit(code)  # not the ordinary way out: a learner's atexit handler or thread can hang there


def _run(told: Assignment) -> None:
    for name in told.preload:  # before the learner's folder is on sys.path: their `torch.py` shadows nothing
        importlib.import_module(name)
    no_core_dumps()
    faulthandler.enable(TRACE, all_threads=True)
    os._exit = telling_exit(TRACE)  # type: ignore[assignment]
    sys.dont_write_bytecode = True
    sys.stdout, sys.stderr = stream(1), stream(2)
    bind(told.package, told.root)
    spec = importlib.util.find_spec(told.package)
    _say(Bound(package=str(Path(spec.origin).parent) if spec and spec.origin else ""))
    recipe = importlib.import_module(f"{told.package}.recipes.{told.recipe}")
    recipe.main(told.arguments)


def _failure(error: BaseException, told: Assignment) -> Failed:
    described = describe(error, told.root)
    kind = REFUSALS.get(type(error).__name__)
    if kind is not None and type(error).__module__ == f"{told.package}.recipes.events":
        remedy = str(getattr(error, "remedy", ""))
        return Failed(kind=kind, message=message_of(error), remedy=remedy, error=described)
    if isinstance(error, NotImplementedError) and " · " in described.message:
        return Failed(kind="unwritten", message=described.message, error=described)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == told.package:
        return Failed(kind="missing", message=error.name or "", error=described)
    return Failed(kind="error", message=described.message, error=described)


def _say(event: Event) -> None:
    try:
        line = encoder.encode(event) + b"\n"
    except UnicodeEncodeError:  # a learner's message with half a character in it
        line = encoder.encode(encodable(msgspec.to_builtins(event))) + b"\n"
    while line:
        line = line[os.write(EVENTS, line) :]
