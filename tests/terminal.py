"""`Terminal`: a command in a terminal that a test types into, and whose words it waits for."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.conftest import ESCAPE

SILENCE_SECONDS = 120.0
"""When a command has hung for certain."""


class Terminal:
    """Use it in a `with`: leaving it kills the command."""

    def __init__(
        self, command: Sequence[str | Path], cwd: Path, env: Mapping[str, str], *, columns: int = 100, rows: int = 40
    ) -> None:
        self.descriptor, theirs = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            list(map(os.fspath, command)),
            cwd=cwd,
            env={**env, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.settings = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.said = ""
        self._read_upto = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self.descriptor)
        os.close(self._theirs)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def wait_for(self, words: str) -> str:
        """Read until these words have come, after those that were waited for before. Returns the text up to them."""
        deadline = time.monotonic() + SILENCE_SECONDS
        while True:
            text = " ".join(ESCAPE.sub("", self.said).split())
            place = text.find(words, self._read_upto)
            if place >= 0:
                found = text[self._read_upto : place + len(words)]
                self._read_upto = place + len(words)
                return found
            if not self._more(deadline):
                raise AssertionError(f"{words!r} has not come, but: {text[self._read_upto :]!r}")

    def wait(self) -> int:
        """Read to the end. Returns the exit code."""
        deadline = time.monotonic() + SILENCE_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            self._more(time.monotonic() + 0.1)
        self._more(time.monotonic() + 0.1)
        return self.process.wait(1.0)

    @property
    def rest(self) -> str:
        """What has come after the words that were waited for last."""
        return " ".join(ESCAPE.sub("", self.said).split())[self._read_upto :]

    @property
    def set_right(self) -> bool:
        """Whether the terminal is as it was: what is typed is shown, and comes line by line."""
        return termios.tcgetattr(self._theirs)[:4] == self.settings[:4]

    def _more(self, deadline: float) -> bool:
        if not select.select([self.descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            piece = os.read(self.descriptor, 1 << 16)
        except OSError:  # Linux reports the end of a terminal so
            return False
        self.said += piece.decode("utf-8", "replace")
        return bool(piece)
