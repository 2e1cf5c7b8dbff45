"""How much a foreign process may use, and the limits that the process sets on itself."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What the supervisor enforces over the process and all its descendants together."""

    seconds: float | None
    """Wall clock, from start to the kill; None: as long as it takes."""
    memory_bytes: int | None = 4096 * MIB
    """Private resident memory; None: whatever there is."""
    processes: int = 256
    """Descendants alive at once: a fork bomb ends here."""


def cap_address_space(margin_bytes: int) -> None:
    """Let this process grow by `margin_bytes` over its present size: beyond that an allocation fails.

    The exception then has the learner's line. Only where the kernel enforces it (Linux); elsewhere the supervisor's
    watch on resident memory remains.
    """
    if sys.platform != "linux":
        return
    import resource

    size = int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = size + margin_bytes
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def no_core_dumps() -> None:
    """A crash is reported by its message; a core file in the learner's folder helps nobody."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
