"""`Inbox`: messages from threads to the loop that waits on a terminal, and a descriptor to wait for both at once."""

from __future__ import annotations

import contextlib
import os
import queue
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Any thread may put; one takes."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._read, self._write = os.pipe()
        for descriptor in (self._read, self._write):
            os.set_blocking(descriptor, False)

    def fileno(self) -> int:
        """Readable when there is a message."""
        return self._read

    def put(self, message: T) -> None:
        self._messages.put(message)
        with contextlib.suppress(OSError):  # full: a waiting byte is enough; closed: nobody listens any more
            os.write(self._write, b".")

    def take(self) -> Iterator[T]:
        """Every message that is there."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 512):
                pass
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._messages.get_nowait()

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)
