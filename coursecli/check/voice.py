"""How a worker speaks to the runner: a line of JSON each, whole, signed, only from the process that was started."""

from __future__ import annotations

import os

from coursecli.check.events import Event, encoder


class Voice:
    """Writes events. A process that learner's code forked out of the worker has no voice, and ends when it tries."""

    def __init__(self, descriptor: int, token: str) -> None:
        self.token = token
        # Moved away from its known number: a stray `os.write(3, …)` of the learner's cannot cut a line in two.
        self._descriptor = os.dup(descriptor)
        os.close(descriptor)
        self._process = os.getpid()

    def say(self, event: Event) -> None:
        if os.getpid() != self._process:
            os._exit(70)
        line = encoder.encode(event) + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]
