"""Kill processes by the pipes that they hold: what is left when the code has killed the supervisor that watched it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


def kill_holders(pipes: Iterable[int]) -> None:
    """Kill every other process that has an end of one of these pipes open. Linux; elsewhere nobody can be found so."""
    if sys.platform != "linux":
        return
    wanted = {f"pipe:[{os.fstat(fd).st_ino}]" for fd in pipes}
    for pid in _holders(wanted):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _holders(wanted: set[str]) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
                if any(str(link.readlink()) in wanted for link in (entry / "fd").iterdir()):
                    yield int(entry.name)
