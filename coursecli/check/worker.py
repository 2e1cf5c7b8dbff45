"""The process that runs a lesson's suites: preload, bind the learner's package, run pytest in-process with our plugin.

It is the same code in a fresh interpreter (`main`) and in a fork of a template (`begin`). Learner's code runs only in
here. What there is to say goes as events over a private descriptor; the runner believes nothing else.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import importlib.abc
import importlib.util
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import FileFinder, ModuleSpec, PathFinder, SourceFileLoader
from os import _exit
from pathlib import Path
from types import ModuleType
from typing import NoReturn, TextIO

from coursecli.check.assignment import Assignment, decoder
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


class _Binding(importlib.abc.MetaPathFinder):
    """Binds the package to the learner's folder, and keeps out the reference, which stands beside the course."""

    def __init__(self, package: str, root: str) -> None:
        self._package = package
        self._root = root

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "solutions" or name.startswith(("solutions.", "coursecli._content")):
            raise ModuleNotFoundError(
                "the solutions cannot be imported from lessons or from the learner's code", name=name
            )
        return PathFinder.find_spec(name, [self._root], target) if name == self._package else None


class _FromSource(SourceFileLoader):
    """Compiles learners' files at every run: cached byte code can miss an edit made within the same second."""

    def path_stats(self, path: str) -> NoReturn:
        raise OSError("no cached byte code")


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


def preload(modules: list[str]) -> None:
    """Import what costs seconds, before the learner's folder is on sys.path: their `torch.py` shadows nothing."""
    for name in modules:
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
    os._exit = _telling_exit(trace)  # type: ignore[assignment]
    sys.dont_write_bytecode = True
    # New streams: in a fork of a template the interpreter's belong to other files. Unbuffered: a crash loses nothing.
    sys.stdout, sys.stderr = _stream(1), _stream(2)
    _bind(assignment.package, assignment.root)
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
        "--noconftest", "--import-mode=importlib", "--strict-markers", "-s", "--assert=plain",
        *(part for name in UNUSED_PLUGINS for part in ("-p", f"no:{name}")),
        *(suite.path for suite in assignment.suites),
    ]  # fmt: skip
    pytest.main(arguments, plugins=[plugin])
    if plugin.complete:
        voice.say(Footer(token=voice.token, finished=plugin.finished))


def _telling_exit(trace: int) -> Callable[[int], NoReturn]:
    """`os._exit` that leaves the line which called it; in a process forked from this one, the ordinary one."""
    worker = os.getpid()

    def tell_and_exit(status: int) -> NoReturn:
        if os.getpid() == worker:
            faulthandler.dump_traceback(trace)
        _exit(status)

    return tell_and_exit


def _stream(descriptor: int) -> TextIO:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def _bind(package: str, root: str) -> None:
    """From now on the package comes from the learner's folder, and its files are always read from source.

    The folder itself goes to the end of sys.path: a `random.py` of the learner's shadows nothing, not even what a
    library imports late.
    """
    from_source = FileFinder.path_hook((_FromSource, [".py"]))

    def learners(path: str) -> importlib.abc.PathEntryFinder:
        if path != root and not path.startswith(root + os.sep):
            raise ImportError(path)
        return from_source(path)

    sys.path_hooks.insert(0, learners)
    sys.path_importer_cache.pop(root, None)
    sys.meta_path.insert(0, _Binding(package, root))
    sys.path.append(root)


def _versions(modules: list[str]) -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in modules:
        with contextlib.suppress(AttributeError):
            found[name] = str(sys.modules[name].__version__)
    return found


if __name__ == "__main__":
    main()
