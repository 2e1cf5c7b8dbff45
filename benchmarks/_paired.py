"""Paired measurement: ours, the peer, ours, the peer, … in one run, and the ratio of the medians.

Machines are shared and noisy, so no figure stands alone: the CPU time of all processes is read beside the wall clock.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Timing:
    """Seconds on the wall clock, and of the processor."""

    wall: float
    cpu: float


class Side(Protocol):
    """One of the two that are compared."""

    @property
    def name(self) -> str: ...

    def run(self) -> Timing: ...


@dataclass(frozen=True)
class Command:
    """A command line to time."""

    name: str
    argv: Sequence[str]
    cwd: Path | None = None
    env: Mapping[str, str] | None = None

    def run(self) -> Timing:
        """One run, children included. Raises RuntimeError when it fails."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        env = {**os.environ, **(self.env or {})}
        ended = subprocess.run(self.argv, cwd=self.cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True)
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if ended.returncode != 0:
            said = ended.stderr.decode(errors="replace")[-400:]
            raise RuntimeError(f"{self.name} ended with {ended.returncode}: {said}")
        return Timing(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@dataclass(frozen=True)
class Call:
    """A function of this process to time. Its result is not looked at."""

    name: str
    function: Callable[[], Any]

    def run(self) -> Timing:
        cpu, wall = time.process_time(), time.perf_counter()
        self.function()
        return Timing(time.perf_counter() - wall, time.process_time() - cpu)


def medians(*sides: Side, rounds: int) -> list[Timing]:
    """The sides in turn, `rounds` times after a warm-up each: the medians of each one's wall and CPU seconds."""
    for side in sides:
        side.run()
    timings = [[side.run() for side in sides] for _ in range(rounds)]
    return [
        Timing(statistics.median(timing.wall for timing in runs), statistics.median(timing.cpu for timing in runs))
        for runs in zip(*timings)
    ]


def compare(ours: Side, peer: Side, *, bar: float, rounds: int = 9, judged: Literal["wall", "cpu"] = "wall") -> bool:
    """Print both figures, and whether our time, divided by the peer's, is at most the bar."""
    mine, theirs = medians(ours, peer, rounds=rounds)
    wall, cpu = mine.wall / theirs.wall, mine.cpu / theirs.cpu
    met = (wall if judged == "wall" else cpu) <= bar
    print(
        f"{ours.name}: {milliseconds(mine)}",
        f"{peer.name}: {milliseconds(theirs)}",
        f"ratio {wall:.2f} (CPU {cpu:.2f})",
        f"bar ≤ {bar}" + (" of CPU time" if judged == "cpu" else ""),
        "met" if met else "missed",
        sep=" · ",
        flush=True,
    )
    return met


def compare_speeds(
    peer: Side,
    *sides: Side,
    amount: float,
    unit: str,
    bars: Mapping[str, float],
    rounds: int = 9,
    judged: Literal["wall", "cpu"] = "wall",
) -> bool:
    """Print the speeds of all that do the same work, an `amount` such as 64 "tokens", and how many times the peer's.

    `bars` says what that has to be at least, by name; a side without a bar is context. Returns whether all are met.
    """
    theirs, *others = medians(peer, *sides, rounds=rounds)
    print(f"{peer.name}: {speed(amount, theirs, unit)}", flush=True)
    all_met = True
    for side, timing in zip(sides, others):
        wall, cpu = theirs.wall / timing.wall, theirs.cpu / timing.cpu
        parts = [f"  {side.name}: {speed(amount, timing, unit)}", f"ratio {wall:.2f} (CPU {cpu:.2f})"]
        if (bar := bars.get(side.name)) is not None:
            met = (wall if judged == "wall" else cpu) >= bar
            parts += [f"bar ≥ {bar}" + (" of CPU time" if judged == "cpu" else ""), "met" if met else "missed"]
            all_met &= met
        print(*parts, sep=" · ", flush=True)
    return all_met


def milliseconds(timing: Timing) -> str:
    return f"{timing.wall * 1000:.0f} ms (CPU {timing.cpu * 1000:.0f})"


def speed(amount: float, timing: Timing, unit: str) -> str:
    return f"{amount / timing.wall:.3g} {unit}/s (CPU {amount / timing.cpu:.3g})"
