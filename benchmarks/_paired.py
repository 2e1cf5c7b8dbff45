"""Paired measurement: ours, the peer, ours, the peer, … in one run, and the ratio of the medians.

Machines are shared and noisy, so no figure stands alone: the CPU time of all processes is read beside the wall clock.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """A command line to time."""

    name: str
    argv: Sequence[str]
    cwd: Path | None = None
    env: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Timing:
    wall: float
    cpu: float


def run_once(command: Command) -> Timing:
    """Wall and CPU seconds of one run, children included. Raises RuntimeError when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    env = {**os.environ, **(command.env or {})}
    ended = subprocess.run(command.argv, cwd=command.cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace")[-400:]
        raise RuntimeError(f"{command.name} ended with {ended.returncode}: {said}")
    return Timing(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def compare(ours: Command, peer: Command, *, bar: float, rounds: int = 9) -> bool:
    """Time both alternately, after a warm-up each; print the figures, and say whether the wall ratio meets the bar."""
    for warm_up in (ours, peer):
        run_once(warm_up)
    timings = [(run_once(ours), run_once(peer)) for _ in range(rounds)]
    wall = [statistics.median(pair[side].wall for pair in timings) for side in (0, 1)]
    cpu = [statistics.median(pair[side].cpu for pair in timings) for side in (0, 1)]
    met = wall[0] / wall[1] <= bar
    print(
        f"{ours.name}: {wall[0] * 1000:.0f} ms (CPU {cpu[0] * 1000:.0f})",
        f"{peer.name}: {wall[1] * 1000:.0f} ms (CPU {cpu[1] * 1000:.0f})",
        f"ratio {wall[0] / wall[1]:.2f} (CPU {cpu[0] / cpu[1]:.2f})",
        f"bar ≤ {bar}",
        "met" if met else "missed",
        sep=" · ",
        flush=True,
    )
    return met
