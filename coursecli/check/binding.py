"""For a process that runs learner's code: their package and no other, streams that lose nothing, a last word."""

from __future__ import annotations

import faulthandler
import importlib.abc
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import FileFinder, ModuleSpec, PathFinder, SourceFileLoader
from os import _exit
from types import CodeType, ModuleType
from typing import NoReturn, TextIO


def bind(package: str, root: str) -> None:
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


def stream(descriptor: int) -> TextIO:
    """A text stream on a descriptor. Unbuffered: a crash loses nothing."""
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def telling_exit(trace: int) -> Callable[[int], NoReturn]:
    """`os._exit` that leaves the line which called it; in a process forked from this one, the ordinary one."""
    worker = os.getpid()

    def tell_and_exit(status: int) -> NoReturn:
        if os.getpid() == worker:
            faulthandler.dump_traceback(trace)
        _exit(status)

    return tell_and_exit


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

    def get_code(self, fullname: str) -> CodeType | None:
        """As ever. But NUL bytes, as in a file saved as UTF-16, are an error that Python tells without a place."""
        try:
            return super().get_code(fullname)
        except (SyntaxError, ValueError) as error:
            if isinstance(error, SyntaxError) and error.filename:
                raise
            data = self.get_data(self.path)
            line = data.count(b"\n", 0, max(0, data.find(b"\0"))) + 1
            raise SyntaxError(str(error), (self.path, line, None, None)) from error
