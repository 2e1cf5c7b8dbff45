"""The process that runs a lesson's suites: preload, bind the learner's package, run pytest in-process with our plugin.

It is the same code in a fresh interpreter (`main`) and in a fork of a template (`work`). Learner's code runs only in here. What it says goes
as events over a private descriptor; the runner believes nothing else.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from coursecli.check.assignment import Assignment, decoder
from coursecli.check.events import Footer, Halted, Hello
from coursecli.check.frames import describe
from coursecli.check.results import Problem
from coursecli.check.voice import Voice
from coursecli.isolate.launcher import EVENTS, MESSAGE, TRACE
from coursecli.isolate.limits import cap_address_space, no_core_dumps

CONFIG = Path(__file__).with_name("worker.ini")
UNUSED_PLUGINS = (
    "cacheprovider", "debugging", "doctest", "faulthandler", "junitxml", "legacypath", "logging", "nose", "pastebin", "setuponly",
    "setupplan", "stepwise", "subtests", "terminal", "terminalprogress", "threadexception", "unittest", "unraisableexception",
)  # fmt: skip


class _NoSolutions(importlib.abc.MetaPathFinder):
    """The reference stands next to the course in a checkout: tests and learners cannot import it by accident."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "solutions" or name.startswith("solutions."):
            raise ModuleNotFoundError("the solutions cannot be imported from lessons or from the learner's code", name=name)
        return None


def main() -> None:
    """In a fresh interpreter."""
    assignment = decoder.decode(read_message())
    preload(assignment.preload)
    work(assignment)


def read_message() -> bytes:
    """What the runner said, whole."""
    with open(MESSAGE, "rb") as message:
        return message.read()


def preload(modules: list[str]) -> None:
    """Import what costs seconds, before any folder of the learner's is on sys.path: their `torch.py` or `random.py` shadows nothing."""
    sys.dont_write_bytecode = False
    for name in modules:
        importlib.import_module(name)
    import pytest  # noqa: F401

    import coursecli.check.plugin
    import coursecli.expect  # noqa: F401


def work(assignment: Assignment) -> None:
    """Bind the package, run the suites, and end the process. Never returns."""
    voice = Voice(EVENTS, assignment.token)
    trace = os.fdopen(TRACE, "wb", buffering=0, closefd=False)
    try:
        _run(assignment, voice, trace.fileno())
    except BaseException as error:  # sys.exit, pytest.exit or KeyboardInterrupt, raised by learner's code outside any test
        voice.say(Halted(token=voice.token, problem=_escaped(error, assignment.root)))
    finally:
        os._exit(0)  # not the ordinary way out: a learner's atexit handler or thread can hang there


def _run(assignment: Assignment, voice: Voice, trace: int) -> None:
    import pytest

    from coursecli.check.guard import Shortcuts, Tools
    from coursecli.check.plugin import Plugin

    no_core_dumps()
    faulthandler.enable(trace, all_threads=True)
    sys.dont_write_bytecode = True
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", write_through=True)  # type: ignore[union-attr]
    sys.meta_path.insert(0, _NoSolutions())
    sys.path.insert(0, assignment.root)
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(assignment.package)
    location = str(Path(spec.origin).parent) if spec and spec.origin else ""
    voice.say(Hello(token=voice.token, package=location, versions=_versions(assignment.preload)))

    Shortcuts(assignment).install()
    tools = Tools(assignment.preload)
    plugin = Plugin(assignment, voice, tools, trace)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    gc.freeze()
    cap_address_space(assignment.memory_bytes)
    first = Path(assignment.suites[0].path)
    arguments = [
        "-c", os.fspath(CONFIG), "--rootdir", os.fspath(first.parent), "--confcutdir", os.fspath(first.parent),
        "--noconftest", "--import-mode=importlib", "--strict-markers", "-s", "--tb=short",
        *(part for name in UNUSED_PLUGINS for part in ("-p", f"no:{name}")),
        *(suite.path for suite in assignment.suites),
    ]  # fmt: skip
    pytest.main(arguments, plugins=[plugin])
    if plugin.complete:
        voice.say(Footer(token=voice.token, finished=plugin.finished))


def _versions(modules: list[str]) -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in modules:
        with contextlib.suppress(AttributeError):
            found[name] = str(sys.modules[name].__version__)
    return found


def _escaped(error: BaseException, root: str) -> Problem:
    shown = describe(error, root)
    return Problem(
        kind="tampered",
        summary=f"The code ended the run by raising {shown.type} outside any test.",
        detail=shown.message,
        frame=shown.frames[-1] if shown.frames else None,
    )


if __name__ == "__main__":
    main()
