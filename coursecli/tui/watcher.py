"""`Watcher`: notices that the learner has saved, that progress was recorded elsewhere, that the workspace is gone.

It looks at the times of a few dozen files, three times a second: that works on every file system, sees renames and
editors' temporary files for what they are, and costs about a millisecond.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from coursecli.tui.messages import FilesChanged, ProgressChanged, WorkspaceGone

if TYPE_CHECKING:
    from textual.message import Message

    from coursecli.course.workspace import Workspace

EVERY_SECONDS = 0.3

Seen = dict[str, tuple[int, int, int]]
"""Paths, each with its time, size and inode."""


class Watcher:
    """Posts what it notices, from a thread of its own."""

    def __init__(self, workspace: Workspace, post: Callable[[Message], object]) -> None:
        self._workspace = workspace
        self._post = post
        self._lock = threading.Lock()
        self._files, self._progress = self._look_at_files(), self._look_at_progress()
        self._gone = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()

    @contextlib.contextmanager
    def looking_away(self) -> Iterator[None]:
        """What is written inside is known, and not told."""
        with self._lock:
            yield
            self._files = self._look_at_files()

    def _work(self) -> None:
        while not self._closing.wait(EVERY_SECONDS):
            with self._lock:
                for message in self._look():
                    self._post(message)

    def _look(self) -> Iterator[Message]:
        """What has changed since the last look."""
        gone = not self._workspace.config.exists()
        if gone != self._gone:
            self._gone = gone
            yield WorkspaceGone(gone)
        if gone:
            return
        files, progress = self._look_at_files(), self._look_at_progress()
        if files != self._files:
            self._files = files
            yield FilesChanged()
        if progress != self._progress:
            self._progress = progress
            yield ProgressChanged()

    def _look_at_files(self) -> Seen:
        return {path: mark for path, mark in _walk(self._workspace.package) if path.endswith(".py")}

    def _look_at_progress(self) -> Seen:
        names = [self._workspace.database, Path(f"{self._workspace.database}-wal")]
        return {str(name): mark for name in names if (mark := _mark(name)) is not None and mark[1]}


def _walk(folder: Path) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Every file below the folder, hidden ones and caches left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        for name in names:
            path = os.path.join(place, name)  # noqa: PTH118 (three times a second)
            if not name.startswith(".") and (mark := _mark(path)) is not None:
                yield path, mark


def _mark(path: str | Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:  # gone since it was listed
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
