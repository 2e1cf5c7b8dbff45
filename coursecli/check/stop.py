"""`Stop`: ends a check from another thread, as Ctrl-C ends one in this thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from coursecli.isolate import Running


class Stop:
    """Asked for once, it ends the process that runs, and every one that would follow it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Running | None = None
        self.asked = False

    def ask(self) -> None:
        with self._lock:
            self.asked = True
            if self._running is not None:
                self._running.kill("interrupted")

    @contextlib.contextmanager
    def ends(self, running: Running) -> Iterator[None]:
        """While the block runs, asking ends this process."""
        with self._lock:
            self._running = running
            if self.asked:
                running.kill("interrupted")
        try:
            yield
        finally:
            with self._lock:
                self._running = None
