"""The process that runs a lesson's suites: preload, bind the learner's package, run pytest in-process with our plugin.

It is the same code in a fresh interpreter (`main`) and in a fork of a template (`begin`). Learner's code runs only in
here. What there is to say goes as events over a private descriptor; the runner believes nothing else.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import importlib.util
import os
import signal
import sys
import tempfile
from os import _exit
from pathlib import Path

from coursecli.check.assignment import Assignment, decoder
from coursecli.check.binding import bind, stream, telling_exit
from coursecli.check.events import Footer, Halted, Hello
from coursecli.check.voice import Voice
from coursecli.isolate.launcher import EVENTS, MESSAGE, TRACE
from coursecli.isolate.limits import cap_address_space, no_core_dumps

CONFIG = Path(__file__).with_name("worker.ini")
UNUSED_PLUGINS = (
    "cacheprovider", "debugging", "doctest", "faulthandler", "junitxml", "legacypath", "logging", "nose", "pastebin",
    "setuponly", "setupplan", "stepwise", "subtests", "terminal", "terminalprogress", "threadexception", "unittest",
    "unraisableexception",
)  # fmt: skip


def main() -> None:
    """In a fresh interpreter."""
    assignment = _assignment()
    preload(assignment.preload)
    work(assignment)


def begin() -> None:
    """In a fork of a process that has done the preload."""
    work(_assignment())


def _assignment() -> Assignment:
    with os.fdopen(MESSAGE, "rb") as message:
        return decoder.decode(message.read())


def preload(modules: list[str], warm: list[str] | None = None) -> None:
    """Import what costs seconds, before the learner's folder is on sys.path: their `torch.py` shadows nothing.

    With `warm`, for a process that will wait, also what a lesson's first call would import.
    """
    for name in modules:
        importlib.import_module(name)
    for name in warm or ():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    import pytest  # noqa: F401

    import coursecli.check.plugin  # noqa: F401
    from coursecli.expect import expect  # noqa: F401  # the whole kit: it is loaded at its first use


def work(assignment: Assignment) -> None:
    """Bind the package, run the suites, and end the process. Never returns."""
    from coursecli.check.problems import escaped

    voice = Voice(EVENTS, assignment.token)
    trace = os.fdopen(TRACE, "wb", buffering=0, closefd=False)
    try:
        _run(assignment, voice, trace.fileno())
    except BaseException as error:  # sys.exit or the like, raised by learner's code outside any test
        voice.say(Halted(token=voice.token, problem=escaped(error, assignment.root)))
    finally:
        _exit(0)  # not the ordinary way out: a learner's atexit handler or thread can hang there


def _run(assignment: Assignment, voice: Voice, trace: int) -> None:
    import pytest

    from coursecli.check.guard import Shortcuts, Tools
    from coursecli.check.plugin import Plugin

    no_core_dumps()
    faulthandler.enable(trace, all_threads=True)
    faulthandler.register(signal.SIGUSR1, trace, all_threads=True)  # at a time limit; works in native code as well
    os._exit = telling_exit(trace)  # type: ignore[assignment]
    sys.dont_write_bytecode = True
    # New streams: in a fork of a template the interpreter's belong to other files. Unbuffered: a crash loses nothing.
    sys.stdout, sys.stderr = stream(1), stream(2)
    os.environ["TMPDIR"] = tempfile.tempdir = assignment.scratch  # this process may have looked for another one already
    bind(assignment.package, assignment.root)
    spec = importlib.util.find_spec(assignment.package)
    location = str(Path(spec.origin).parent) if spec and spec.origin else ""
    voice.say(Hello(token=voice.token, package=location, versions=_versions(assignment.preload)))

    shortcuts = Shortcuts(assignment)
    shortcuts.install()
    plugin = Plugin(assignment, voice, shortcuts, Tools(assignment.preload))
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    gc.freeze()
    cap_address_space(assignment.memory_bytes)
    first = Path(assignment.suites[0].path)
    arguments = [
        "-c", os.fspath(CONFIG), "--rootdir", os.fspath(first.parent), "--confcutdir", os.fspath(first.parent),
        "--basetemp", f"{assignment.scratch}/tests",
        "--noconftest", "--import-mode=importlib", "--strict-markers", "-s", "--assert=plain",
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


if __name__ == "__main__":
    main()
