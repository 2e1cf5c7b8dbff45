"""Ctrl-C, SIGTERM and a closed terminal in a training: the first lets it finish its update, the second ends it at once.

Given.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

PATIENCE = 2.0
"""For so many seconds, torchrun's copy of a signal may come after the signal."""
HANGUP = getattr(signal, "SIGHUP", None)
"""The terminal was closed. Not on Windows."""


class Interrupted(BaseException):
    """Leaves whatever is being done before training has begun: there is no update to be finished."""


class Stop:
    """What the signals have asked for.

    Attributes:
        number: of the first signal; None as long as there was none.
        on_stop: called at the first signal, in the main thread, between two lines of Python. What it raises leaves
            whatever was running. At the start, it raises `Interrupted`.
        on_more: called at every further one. At the start, it ends the process.
    """

    def __init__(self, *, patience: float) -> None:
        self.number: int | None = None
        self.on_stop: Callable[[], None] = _interrupt
        self.on_more: Callable[[], None] = lambda: os._exit(self.exit_code)  # what has been saved is not touched
        self._patience = patience
        self._since = 0.0

    @property
    def exit_code(self) -> int:
        """As shells count: 129 for a closed terminal, 130 for Ctrl-C, 143 for SIGTERM; 0 if there was no signal."""
        return 0 if self.number is None else 128 + self.number

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number, self._since = number, time.monotonic()
            self.on_stop()
        elif number == HANGUP:  # a shell passes it on when its terminal is closed, and the system sends it once more
            return
        elif time.monotonic() - self._since > self._patience:
            self.on_more()


@contextmanager
def listening(*, torchrun: bool = False, launched: bool = False) -> Iterator[Stop]:
    """While inside, signals are heard. Outside of the main thread Python can hear none.

    SIGHUP stays ignored where it is, as `nohup` wants it.

    Args:
        torchrun: this is a process of torchrun's, which passes on a Ctrl-C that the terminal has already sent to
            everyone: for a moment after the first signal, more of them mean the same one.
        launched: this is a process of `launch`, which asks it to stop with SIGINT only. SIGTERM comes when another
            process has died, and ends this one at once, also where it waits for the other. SIGHUP, which reaches
            every process of a terminal, is left to `launch`.
    """
    stop = Stop(patience=PATIENCE if torchrun else 0.0)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    handlers: dict[int, Any] = {signal.SIGINT: stop._heard}
    if not launched:
        handlers[signal.SIGTERM] = stop._heard
    if HANGUP is not None and signal.getsignal(HANGUP) is not signal.SIG_IGN:
        handlers[HANGUP] = signal.SIG_IGN if launched else stop._heard
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt() -> None:
    raise Interrupted
