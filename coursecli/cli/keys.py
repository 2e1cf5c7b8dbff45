"""Single keys from a terminal, without Enter, while the screen stays in order. POSIX, and nothing of it at import."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?")
"""What a key such as an arrow sends."""


def can_read_keys() -> bool:
    """Whether somebody sits at a terminal, to type and to see."""
    from coursecli.render.console import is_terminal

    if os.name != "posix" or sys.stdin is None:
        return False
    return is_terminal(sys.stdin) and is_terminal(sys.stdout)


class Keys:
    """Enter it to get each key as it is pressed; leave it to give the terminal back as it was."""

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno()
        self._before: list[Any] | None = None
        self._continued: Any = None

    def __enter__(self) -> Keys:
        import termios

        self._before = termios.tcgetattr(self._descriptor)
        self._set()
        self._continued = signal.signal(signal.SIGCONT, self._set)  # after Ctrl-Z and fg, the shell has set its own
        return self

    def __exit__(self, *exception: object) -> None:
        signal.signal(signal.SIGCONT, self._continued)
        self._restore()

    def fileno(self) -> int:
        return self._descriptor

    def read(self) -> str | None:
        """The keys that were pressed, but not those that are a sequence, such as an arrow; None at the end of input."""
        try:
            data = os.read(self._descriptor, 256)
        except OSError:
            return None
        if not data:
            return None
        return SEQUENCE.sub("", data.decode("utf-8", "replace"))

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """For another program in this terminal: as it was before, and Ctrl-C is that program's."""
        self._restore()
        before = signal.signal(signal.SIGINT, lambda number, frame: None)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
            self._set()

    def _set(self, number: int = 0, frame: FrameType | None = None) -> None:
        import termios
        import tty

        with contextlib.suppress(termios.error):  # in the background just now
            tty.setcbreak(self._descriptor, termios.TCSADRAIN)

    def _restore(self) -> None:
        import termios

        if self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
