"""`Terminal`: a command in a terminal that a test types into, and whose words it waits for."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.conftest import ESCAPE

DEADLINE_SECONDS = 300.0
"""When a command has hung for certain, counted from its start: one that repaints for ever is never silent."""
SHOWN_CHARACTERS = 4000
"""How much of its last words a failure shows: a screen."""


class Terminal:
    """Use it in a `with`: leaving it kills the command.

    Args:
        controlling: the command is the one that the system tells when the terminal is closed, as a shell is.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        cwd: Path,
        env: Mapping[str, str],
        *,
        columns: int = 100,
        rows: int = 40,
        controlling: bool = True,
    ) -> None:
        self.descriptor, theirs = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            list(map(os.fspath, command)),
            cwd=cwd,
            env={"TERM": "xterm-256color", **{name: value for name, value in env.items() if name != "COLUMNS"}},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if controlling else None,
        )
        self._deadline = time.monotonic() + DEADLINE_SECONDS
        self.settings = termios.tcgetattr(theirs)
        self._theirs = theirs
        self._open = True
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
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
        self.close()
        os.close(self._theirs)

    def close(self) -> None:
        """Close the window: who writes into it gets an error, and who controls it a SIGHUP."""
        if self._open:
            self._open = False
            os.close(self.descriptor)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def wait_for(self, words: str) -> str:
        """Read until these words have come, after those that were waited for before. Returns the text up to them."""
        while True:
            text = self.text
            place = text.find(words, self._read_upto)
            if place >= 0:
                found = text[self._read_upto : place + len(words)]
                self._read_upto = place + len(words)
                return found
            if self._late() or (not self._more(0.1) and self.process.poll() is not None and not self._more(0.1)):
                raise AssertionError(f"{words!r} has not come, but: {self._last_words}")

    def wait(self, act: Callable[[int, str], None] | None = None) -> int:
        """Read to the end; `act` gets the descriptor and what has been said, after each piece. Gives the exit code."""
        while True:
            ended = self.process.poll() is not None
            more = self._open and self._more(0.0 if ended else 0.1)
            if more and act is not None:
                act(self.descriptor, self.said)
            if not more and ended:
                return self.process.returncode
            if not self._open:
                time.sleep(0.05)
            if self._late():
                raise AssertionError(f"It does not end, after {DEADLINE_SECONDS:g} s: {self._last_words}")

    @property
    def text(self) -> str:
        """What a person reads: without escape sequences, with single spaces."""
        return " ".join(ESCAPE.sub("", self.said).split())

    @property
    def rest(self) -> str:
        """What has come after the words that were waited for last."""
        return self.text[self._read_upto :]

    @property
    def set_right(self) -> bool:
        """Whether the terminal is as it was: what is typed is shown, and comes line by line."""
        return termios.tcgetattr(self._theirs)[:4] == self.settings[:4]

    @property
    def _last_words(self) -> str:
        return ESCAPE.sub("", self.said)[-SHOWN_CHARACTERS:]

    def _late(self) -> bool:
        return time.monotonic() > self._deadline

    def _more(self, seconds: float) -> bool:
        """Read a piece, if there is one within so many seconds."""
        if not select.select([self.descriptor], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self.descriptor, 1 << 16)
        except OSError:  # Linux reports the end of a terminal so
            return False
        self.said += self._decoder.decode(piece)
        return bool(piece)
