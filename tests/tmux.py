"""`Tmux`: a shell in a terminal that is really drawn: a test reads the screen as a person reads it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from tests.terminal import DEADLINE_SECONDS

PROMPT = "ready$ "


class Tmux:
    """A tmux server of its own with one shell. Use it in a `with`: leaving it ends the server and all that runs there.

    Args:
        env: the shell's whole environment.
    """

    def __init__(self, cwd: Path, env: Mapping[str, str], *, columns: int = 120, rows: int = 40) -> None:
        self._folder = tempfile.mkdtemp(prefix="tmux-")  # the path of a socket must be short
        kept = {name: value for name, value in env.items() if name not in ("COLUMNS", "TMUX", "ENV")}
        self._env = {**kept, "TMUX_TMPDIR": self._folder, "PS1": PROMPT, "SHELL": "/bin/sh", "LC_ALL": "C.UTF-8"}
        self._socket = f"test-{uuid.uuid4().hex[:8]}"
        self._deadline = time.monotonic() + DEADLINE_SECONDS
        size = ["-x", str(columns), "-y", str(rows)]
        try:
            self._tmux("new-session", "-d", *size, "-c", str(cwd), "exec /bin/sh")
            self.wait_for(PROMPT.strip())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Tmux:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self._socket, "kill-server"], env=self._env, capture_output=True, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def command(self, line: str) -> None:
        """Type a line, and Enter."""
        self._tmux("send-keys", "-l", line)
        self.press("Enter")

    def press(self, *keys: str) -> None:
        """By their names: `q`, `Enter`, `Escape`, `C-c`."""
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    @property
    def lines(self) -> list[str]:
        """What is on the screen now."""
        return self._tmux("capture-pane", "-p").rstrip("\n").split("\n")

    @property
    def screen(self) -> str:
        """The same with single spaces."""
        return " ".join(" ".join(self.lines).split())

    def wait_for(self, *words: str) -> None:
        """Until all of these are on the screen at once."""
        self.wait_until(lambda: all(each in self.screen for each in words), f"{words} are not all there")

    def wait_until(self, condition: Callable[[], bool], complaint: str) -> None:
        while not condition():
            if time.monotonic() > self._deadline:
                raise AssertionError(f"{complaint}:\n" + "\n".join(self.lines))
            time.sleep(0.05)

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self._socket, "-f", "/dev/null", *arguments]
        return subprocess.run(command, env=self._env, capture_output=True, encoding="utf-8", check=True).stdout
