"""`Watcher`: notices that the learner has saved, that progress was recorded elsewhere, that the workspace is gone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from coursecli.tui.messages import FilesChanged, ProgressChanged, WorkspaceGone
from coursecli.watch.saves import Notices, Saves, needs_polling, suffixes_of

if TYPE_CHECKING:
    from textual.message import Message

    from coursecli.course.catalogue import Course
    from coursecli.course.workspace import Workspace

EVERY_SECONDS = 0.3
"""How often to look without a notice: progress and the workspace give none, and some file systems neither."""

Seen = dict[str, tuple[int, int, int]]
"""Paths, each with its time, size and inode."""


class Watcher:
    """Posts what it notices, from a thread of its own."""

    def __init__(self, course: Course, workspace: Workspace, post: Callable[[Message], object]) -> None:
        self._workspace = workspace
        self._post = post
        self._lock = threading.Lock()
        self._saves = Saves(workspace.package, suffixes_of(course.package_dir))
        self._progress = self._look_at_progress()
        self._gone = False
        self._closed = False
        self._wake = threading.Event()
        self._notices = None if needs_polling(workspace.package) else Notices(workspace.package, self._wake.set)
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    @contextlib.contextmanager
    def looking_away(self) -> Iterator[None]:
        """What is written inside is known, and not told."""
        with self._lock:
            yield
            self._saves.look(time.sleep)

    def _work(self) -> None:
        if self._notices is not None:
            self._notices.start()
        while not self._closed:
            self._wake.wait(EVERY_SECONDS)
            self._wake.clear()
            with self._lock:
                for message in self._look():
                    self._post(message)
        if self._notices is not None:
            self._notices.close()

    def _look(self) -> Iterator[Message]:
        """What has changed since the last look."""
        gone = not self._workspace.config.exists()
        if gone != self._gone:
            self._gone = gone
            yield WorkspaceGone(gone)
        if gone:
            return
        if changed := self._saves.look(time.sleep):
            yield FilesChanged(changed)
        progress = self._look_at_progress()
        if progress != self._progress:
            self._progress = progress
            yield ProgressChanged()

    def _look_at_progress(self) -> Seen:
        names = [self._workspace.database, Path(f"{self._workspace.database}-wal")]
        return {str(name): mark for name in names if (mark := _mark(name)) is not None and mark[1]}


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:  # gone since it was listed
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
