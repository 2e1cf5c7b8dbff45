"""Runs on the screen: all of them in a table, one with its curve, several beside each other."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from coursecli.expect.words import plural
from coursecli.recipes.events import Table
from coursecli.recipes.runs import DAMAGED, STOPPED, Checkpoint, Metrics, Run, Sample
from coursecli.render.console import clean
from coursecli.render.curves import compared_curves, run_curve
from coursecli.render.generation import table_view
from coursecli.render.training import duration

SAMPLES = 2
"""How many of the samples are shown: the newest."""
WORDS = {STOPPED: "stopped (its process is gone)", DAMAGED: "damaged (run.json cannot be read)"}


@dataclass(frozen=True)
class Details:
    """All that is known about one run."""

    run: Run
    metrics: Metrics
    samples: list[Sample]
    checkpoints: list[Checkpoint]
    settings: dict[str, Any]
    scores: dict[str, Any]


def list_view(runs: Sequence[Run], *, width: int) -> RenderableType:
    """A line for each run."""
    rows = [
        [run.name, run.preset or run.kind, run.state, updates(run), *reached(run), size(run.bytes), when(run)[:10]]
        for run in runs
    ]
    columns = ["run", "from", "state", "updates", "bits/byte", "× floor", "size", "made"]
    notes = []
    if stopped := [run.name for run in runs if run.state == STOPPED]:
        notes = [f"Stopped: no process trains it any more. Go on: {resume_command(stopped[0])}"]
    return table_view(Table(title=plural(len(runs), "run"), columns=columns, rows=rows, notes=notes), width=width)


def show_view(details: Details, *, width: int, plain: bool = False) -> RenderableType:
    """One run, whole. Plain: without its curve, whose figures are there in words."""
    run = details.run
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=10)
    grid.add_column(overflow="fold")
    for label, text in _facts(details):
        if text:
            grid.add_row(Text(label, style="quiet"), clean(text))
    parts: list[RenderableType] = [clean(run.name, "title"), grid]
    drawn = run_curve(details.metrics, run.floor, width=min(width, 100))
    if drawn is not None and not plain:
        parts += [Text(), drawn]
    if details.metrics.damaged:
        parts.append(clean(f"{plural(details.metrics.damaged, 'line')} of metrics.jsonl cannot be read.", "quiet"))
    for sample in details.samples[-SAMPLES:]:
        parts += [Text(), clean(f"After update {sample.step} it wrote:", "quiet")]
        parts.append(Padding(clean(f"{sample.prompt}{sample.text}".strip()), (0, 0, 0, 2), expand=False))
    scores = list(score_lines(details.scores))
    if scores:
        rows = [[name, value] for name, value in scores]
        parts += [Text(), table_view(Table(title="Evaluation", columns=["score", "value"], rows=rows), width=width)]
    if command := next_command(details):
        parts += [*([] if scores else [Text()]), Text.assemble(("Next  ", "quiet"), clean(command, "command"))]
    return Group(*parts)


def compare_view(all_details: Sequence[Details], *, width: int, plain: bool = False) -> RenderableType:
    """Runs beside each other: first the settings that differ, then what came of them, then the curves, if not plain."""
    names = [details.run.name for details in all_details]
    different = _different(all_details)
    results = [[label, *values] for label, values in _results(all_details) if any(values)]
    parts: list[RenderableType] = []
    if different:
        parts.append(table_view(Table(title="What differs", columns=["setting", *names], rows=different), width=width))
    else:
        parts += [clean("No setting differs.", "title"), Text()]
    parts += [table_view(Table(title="What came of it", columns=["", *names], rows=results), width=width)]
    floors = {details.run.floor for details in all_details}
    floor = floors.pop() if len(floors) == 1 else None
    drawn = compared_curves([(each.run.name, each.metrics) for each in all_details], floor, width=min(width, 100))
    return Group(*parts, *([] if drawn is None or plain else [drawn]))


def _facts(details: Details) -> Iterator[tuple[str, str]]:
    run = details.run
    yield "state", WORDS.get(run.state, run.state) + (f": {run.problem}" if run.problem else "")
    yield "made by", " ".join(filter(None, [run.kind, when(run) and f"on {when(run)}"]))
    yield "from", ", ".join(filter(None, [run.preset, run.data, run.source]))
    yield "model", f"{run.parameters:,} parameters" if run.parameters is not None else ""
    work = [f"{updates(run)} updates" if run.step is not None else ""]
    work += [f"{run.tokens:,} tokens" if run.tokens is not None else ""]
    work += [duration(run.seconds) if run.seconds is not None else "", run.device or "", run.dtype or ""]
    work += [f"seed {run.seed}" if run.seed is not None else ""]
    yield "training", ", ".join(filter(None, work))
    if run.bits_per_byte is not None:
        ratio = f", {times(run)} × the floor {figure(run.floor)}" if run.times_floor else ""
        yield "reached", f"{figure(run.bits_per_byte)} bits per byte on held-out text{ratio}"
    if details.checkpoints:
        saved = ", ".join(checkpoint.name for checkpoint in details.checkpoints)
        yield "saved", f"{saved} ({size(details.checkpoints[-1].bytes)} each)"
    yield "on disk", size(run.bytes)


def _different(all_details: Sequence[Details]) -> list[list[str]]:
    """The settings that are not the same in all runs."""
    tables = []
    for details in all_details:
        run = details.run
        own = {"made by": run.kind, "preset": run.preset, "data": run.data, "device": run.device, "dtype": run.dtype}
        tables.append({**own, **details.settings})
    names = dict.fromkeys(name for table in tables for name in table)
    return [
        [name, *(_value(table.get(name)) for table in tables)]
        for name in names
        if any(table.get(name) != tables[0].get(name) for table in tables)
    ]


def _results(all_details: Sequence[Details]) -> Iterator[tuple[str, list[str]]]:
    runs = [details.run for details in all_details]
    yield "state", [run.state for run in runs]
    yield "updates", [updates(run) for run in runs]
    yield "tokens", [f"{run.tokens:,}" if run.tokens is not None else "" for run in runs]
    yield "parameters", [f"{run.parameters:,}" if run.parameters is not None else "" for run in runs]
    yield "time", [duration(run.seconds) if run.seconds is not None else "" for run in runs]
    yield "bits per byte", [figure(run.bits_per_byte) for run in runs]
    yield "× the floor", [times(run) for run in runs]
    scores = [dict(score_lines(details.scores)) for details in all_details]
    for name in dict.fromkeys(name for table in scores for name in table):
        yield name, [table.get(name, "") for table in scores]


def score_lines(scores: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The numbers that each task of an evaluation has come to, without what is below them, such as each subject."""
    for task, table in scores.items():
        for name, value in table.items() if isinstance(table, dict) else ():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield f"{task} {name}", f"{value:,}" if isinstance(value, int) else figure(value)


def next_command(details: Details) -> str:
    """What there is to do with a run."""
    run = details.run
    if run.kind == "pretrain" and run.state in (STOPPED, "interrupted", "failed"):
        return resume_command(run.name)
    if run.state in ("finished", ""):
        return f'intro2llm generate --run {shlex.quote(run.name)} --prompt "The"'
    return ""


def resume_command(name: str) -> str:
    return f"intro2llm train --resume --name {shlex.quote(name)}"


def updates(run: Run) -> str:
    if run.step is None:
        return ""
    return f"{run.step}/{run.steps}" if run.steps is not None else str(run.step)


def reached(run: Run) -> list[str]:
    return [figure(run.bits_per_byte), times(run)]


def figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def times(run: Run) -> str:
    return "" if run.times_floor is None else f"{run.times_floor:.2f}"


def size(count: int) -> str:
    """Bytes in the largest unit of which there is one: `12 MB`."""
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"


def when(run: Run) -> str:
    """The day and the time here."""
    try:
        return datetime.fromisoformat(run.created or "").astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return ""


def _value(value: object) -> str:
    return "–" if value is None else str(value)
