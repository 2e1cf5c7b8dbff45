"""How the dashboard draws when textual-serve has started it: as Textual does, and it ends when the server is gone."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import Any

from textual.drivers.web_driver import WebDriver
from textual.messages import ExitApp


class ServedDriver(WebDriver):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._write = partial(_write, self.fileno)

    def run_input_thread(self) -> None:
        """Until the end of the input. Where nobody has asked for it, the server was killed: Textual's driver stays."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            self._app.post_message(ExitApp())


def _write(descriptor: int, data: bytes) -> int:
    """To the server, or to nobody."""
    with contextlib.suppress(BrokenPipeError):
        return os.write(descriptor, data)
    return len(data)
