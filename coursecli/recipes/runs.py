"""Runs on disk, read as plain data: what there is, how far each is, and what it has measured. Nothing is written.

A run is a folder with a run.json. Recipes of the learner's package write it, but it may also come from elsewhere, from
an earlier version, or out of a crash: what cannot be read is passed over and counted, never an error.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

INFO, METRICS, SAMPLES, SETTINGS, SCORES = "run.json", "metrics.jsonl", "samples.jsonl", "config.yaml", "eval.json"
STOPPED = "stopped"
"""The state of a run whose run.json says "running", though no process trains it: it was killed."""
DAMAGED = "damaged"
"""The state of a run whose run.json cannot be read."""
T = TypeVar("T")


class Run(msgspec.Struct, kw_only=True):
    """One run. What `runs --json` prints; a field may be added, never changed."""

    name: str
    kind: str
    """What made it: pretrain, import, …"""
    state: str
    """running, stopped, finished, interrupted, failed or damaged; empty for a run that was not trained here."""
    preset: str | None = None
    data: str | None = None
    created: str | None = None
    step: int | None = None
    """Updates made."""
    steps: int | None = None
    """Updates planned."""
    parameters: int | None = None
    tokens: int | None = None
    """Trained on so far."""
    seconds: float | None = None
    seed: int | None = None
    device: str | None = None
    dtype: str | None = None
    source: str | None = None
    """Where an imported one comes from."""
    problem: str | None = None
    """Why it failed."""
    bits_per_byte: float | None = None
    """On held-out text, at the last evaluation."""
    floor: float | None = None
    """Bits per byte that no model can beat there, if known."""
    times_floor: float | None = None
    bytes: int = 0
    """On disk."""


class Point(msgspec.Struct, frozen=True):
    """One measurement after an update."""

    step: int
    loss: float
    """Nats per token."""
    bits_per_byte: float | None = None


class Metrics(msgspec.Struct, kw_only=True):
    """What a run has measured, by update."""

    training: list[Point] = []
    held_out: list[Point] = []
    damaged: int = 0
    """Lines that could not be read."""


class Sample(msgspec.Struct, frozen=True):
    """What the model wrote after an update."""

    step: int
    prompt: str
    text: str


class Checkpoint(msgspec.Struct, frozen=True):
    name: str
    step: int
    bytes: int


def run_names(runs: Path) -> list[str]:
    """The runs in a folder, by name."""
    return sorted(name for file in runs.glob(f"*/{INFO}") if not (name := file.parent.name).startswith("."))


def read_runs(runs: Path) -> list[Run]:
    """All runs, the newest first."""
    found = [(_created(run, runs / run.name), run) for run in map(read_run, map(runs.joinpath, run_names(runs)))]
    return [run for _, run in sorted(found, key=lambda pair: (-pair[0], pair[1].name))]


def read_run(folder: Path) -> Run:
    """The run in a folder, as far as its run.json can be read."""
    info = _object(folder / INFO)
    size = sum(_sizes(folder))
    if info is None:
        return Run(name=folder.name, kind="", state=DAMAGED, bytes=size)
    reached, floor = _number(info, "eval_bits_per_byte"), _number(info, "floor")
    state = _field(info, "state", str) or ""
    if state == "running" and not _is_owned(folder):
        state = STOPPED
    return Run(
        name=folder.name,
        kind=_field(info, "kind", str) or "",
        state=state,
        bits_per_byte=reached,
        floor=floor,
        times_floor=reached / floor if reached is not None and floor else None,
        seconds=_number(info, "seconds"),
        bytes=size,
        step=_field(info, "step", int),
        steps=_field(info, "steps", int),
        parameters=_field(info, "parameters", int),
        tokens=_field(info, "tokens", int),
        seed=_field(info, "seed", int),
        preset=_field(info, "preset", str),
        data=_field(info, "data", str),
        created=_field(info, "created", str),
        device=_field(info, "device", str),
        dtype=_field(info, "dtype", str),
        source=_field(info, "source", str),
        problem=_field(info, "problem", str),
    )


def read_metrics(folder: Path) -> Metrics:
    """The curves of a run. Of two lines for the same update, the later one counts."""
    training: dict[int, Point] = {}
    held_out: dict[int, Point] = {}
    damaged = 0
    for line in _lines(folder / METRICS):
        measured = points_of(line)
        if measured is None:
            damaged += 1
            continue
        for points, point in zip((training, held_out), measured):
            if point is not None:
                points[point.step] = point
    ordered = [[points[step] for step in sorted(points)] for points in (training, held_out)]
    return Metrics(training=ordered[0], held_out=ordered[1], damaged=damaged)


def points_of(line: dict[str, Any] | None) -> tuple[Point | None, Point | None] | None:
    """What a line of metrics.jsonl says of the loss in training, and on held-out text. None for a line that is none."""
    step = None if line is None else _field(line, "step", int)
    if line is None or step is None:
        return None
    losses = [(before, _number(line, f"{before}loss")) for before in ("", "eval_")]
    training, held_out = (
        None if loss is None else Point(step, loss, _number(line, f"{before}bits_per_byte")) for before, loss in losses
    )
    return training, held_out


def read_samples(folder: Path) -> list[Sample]:
    """What the model wrote on the way, the newest last."""
    samples = []
    for line in _lines(folder / SAMPLES):
        step, text = (None, None) if line is None else (_field(line, "step", int), _field(line, "text", str))
        if line is not None and step is not None and text is not None:
            samples.append(Sample(step, _field(line, "prompt", str) or "", text))
    return samples


def read_checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints of a run, the newest last. Those that are being written have other names."""
    found = []
    for path in folder.glob("checkpoints/step-*"):
        if (match := re.fullmatch(r"step-(\d+)", path.name)) and path.is_dir():
            found.append(Checkpoint(path.name, int(match[1]), sum(_sizes(path))))
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def read_settings(folder: Path) -> dict[str, Any]:
    """What config.yaml says, by dotted name: `training.lr`. Empty if it cannot be read."""
    try:
        content = yaml.safe_load((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return dict(flattened(content)) if isinstance(content, dict) else {}


def read_scores(folder: Path) -> dict[str, Any]:
    """What eval.json says; empty if it cannot be read."""
    return _object(folder / SCORES) or {}


def flattened(table: dict[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested tables, each with its dotted name."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _object(file: Path) -> dict[str, Any] | None:
    try:
        return decoded(file.read_bytes())
    except OSError:
        return None


def _lines(file: Path) -> Iterator[dict[str, Any] | None]:
    """The objects of a JSONL file, None for each line that is none. An empty line is no line."""
    try:
        content = file.read_bytes()
    except OSError:
        return
    for line in content.split(b"\n"):
        if line.strip():
            yield decoded(line)


def decoded(text: bytes) -> dict[str, Any] | None:
    """The object that a piece of JSON stands for; None if it is none."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _field(table: dict[str, Any], name: str, kind: type[T]) -> T | None:
    value = table.get(name)
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def _number(table: dict[str, Any], name: str) -> float | None:
    value = table.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def _created(run: Run, folder: Path) -> float:
    """When it was made, in seconds; of a run that does not say so, when its run.json was written."""
    try:
        return datetime.fromisoformat(run.created or "").timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    try:
        return (folder / INFO).stat().st_mtime
    except OSError:
        return 0.0


def _sizes(folder: Path) -> Iterator[int]:
    """The sizes of all files below a folder. Links are not followed."""
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118 (many files)
            except OSError:  # gone by now
                continue


def _is_owned(folder: Path) -> bool:
    """Whether a process trains this run: the one that its lock names lives, and holds the lock."""
    if os.name != "posix":
        return True
    import fcntl

    try:
        with (folder / "lock").open("rb") as file:
            pid = int(file.read(20))
            os.kill(pid, 0)
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # got it: nobody has it
    except (BlockingIOError, PermissionError):
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return False
