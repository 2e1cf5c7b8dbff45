"""Your code beside PyTorch's for the same work: how much slower it is, why, and where in the course that ends. Given.

    python -m intro2llm.recipes.bench attention decode --quick

Both sides run in turn in this one process, and each figure is the median of its runs: a busy machine slows both alike.
The results are compared before the times: a fast wrong answer has no speed.
"""

import os
import re
import statistics
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from intro2llm.recipes.bench_parts import PARTS, Setting, Work
from intro2llm.recipes.events import Options, RecipeError, emit, run_by_hand

EVEN = 1.15
"""Up to this ratio the two count as equally fast."""
BUDGET = 10.0
"""Seconds for a part; work so slow that seven runs do not fit is run less often."""


@dataclass(frozen=True)
class Row:
    """What there is to say about one part; times in seconds."""

    part: str
    size: str = ""
    peer: str = ""
    ours_seconds: float | None = None
    peer_seconds: float | None = None
    ratio: float | None = None
    problem: str = ""
    gap: str = ""
    """What it is made of; empty when there is none worth naming."""
    closes: str = ""
    """Where in the course it closes."""


def compare(name: str, setting: Setting) -> Row:
    """Run one part: the results against each other first, then the times. What cannot run is said in its row."""
    try:
        work = PARTS[name].prepare(setting)
        problem = difference(work.ours(), work.theirs())
        if problem:
            return Row(name, work.size, work.peer, problem=problem)
        ours, theirs = measure(work, setting)
    except Exception as error:  # whatever the learner's code raises: the other parts still count
        return Row(name, problem=explain(error, PARTS[name].lesson))
    row = Row(name, work.size, work.peer, ours, theirs, ours / theirs)
    return replace(row, gap=PARTS[name].gap, closes=PARTS[name].closes) if ours > EVEN * theirs else row


def difference(ours: Any, theirs: Any) -> str:
    """How the results differ; empty when they agree: floats to four digits of the largest, all else exactly."""
    if type(ours) is not type(theirs):
        return f"another result: {type(ours).__name__}, not {type(theirs).__name__}"
    if not isinstance(theirs, Tensor):
        return "" if ours == theirs else f"another result: {first_difference(ours, theirs)}"
    if ours.shape != theirs.shape:
        return f"another result: the shape is {tuple(ours.shape)}, not {tuple(theirs.shape)}"
    if not theirs.is_floating_point():
        return difference(ours.flatten().tolist(), theirs.flatten().tolist())
    largest = (ours - theirs).abs().max().item()
    tolerance = 1e-4 * max(1.0, theirs.abs().max().item())
    return "" if largest <= tolerance else f"another result: off by up to {largest:.2g}"  # NaN is not within it


def first_difference(ours: list[Any], theirs: list[Any]) -> str:
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    return f"not the same from item {same} on (of {len(theirs)})"


def measure(work: Work, setting: Setting) -> tuple[float, float]:
    """Seconds of ours and of theirs: medians of up to seven runs each, in turn."""
    clock = time.process_time if by_processor_time(setting) else time.perf_counter

    def seconds(function: Callable[[], Any], times: int) -> float:
        synchronise(setting.device)
        began = clock()
        for _ in range(times):
            function()
        synchronise(setting.device)
        return (clock() - began) / times

    once = [seconds(side, 1) for side in (work.ours, work.theirs)]
    times = [max(1, round(0.02 / max(one, 1e-9))) for one in once]  # short work is repeated: clocks have steps
    a_round = sum(one * repeats for one, repeats in zip(once, times))
    rounds = min(setting.pick(3, 7), max(1, int(BUDGET / a_round)))
    pairs = [(seconds(work.ours, times[0]), seconds(work.theirs, times[1])) for _ in range(rounds)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def by_processor_time(setting: Setting) -> bool:
    """Whether the processor's time is what counts: one thread of a CPU. It is blind to what else the machine does."""
    return setting.device.type == "cpu" and torch.get_num_threads() == 1


def synchronise(device: torch.device) -> None:
    """Wait until an accelerator has done what it was asked for: its calls return at once."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def explain(error: Exception, lesson: str) -> str:
    """Which lesson writes what is missing; else what was raised, and where."""
    if stub := re.fullmatch(r"lesson(\d+) · (.+)", str(error)):
        return f"after lesson {stub[1]}: {stub[2]} is not written yet"
    where = place(error)
    if isinstance(error, ImportError) and (error.name or "").startswith("intro2llm") and not where:
        missing = "" if isinstance(error, ModuleNotFoundError) else f": {str(error).partition(' (')[0]}"
        return f"after lesson {lesson}{missing}"  # the import is the one in `bench_parts`: of a file or a class to come
    return f"raises {type(error).__name__}: {error}{where}"


def place(error: Exception) -> str:
    """The line of the learner's code that raised."""
    package = Path(__file__).resolve().parent.parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        if path.is_relative_to(package) and not path.is_relative_to(package / "recipes"):
            return f" ({path.relative_to(package).as_posix()}, line {frame.lineno})"
    return ""


def show(rows: Sequence[Row], setting: Setting) -> None:
    """The table: what was measured, and beneath it what the larger gaps are made of."""
    cells = []
    gaps: dict[str, list[str]] = {}  # what a gap is made of → the parts that have it
    for row in rows:
        problem, _, detail = row.problem.partition(": ")
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        times = [duration(row.ours_seconds), duration(row.peer_seconds)]
        cells.append([row.part, row.size, *times, ratio, problem or row.closes or "no gap"])
        if row.gap or detail:
            gaps.setdefault(row.gap or detail, []).append(row.part)
    notes = [f"{', '.join(parts)}: {gap}." for gap, parts in gaps.items()]
    if used := [f"{row.part}: {row.peer}" for row in rows if row.peer]:
        notes.append(f"The peers are {'; '.join(used)}.")
    on = circumstances(setting)
    threads = f"{on['threads']} thread{'s' if on['threads'] > 1 else ''}"
    title = f"Your code beside its peers: PyTorch {on['torch']}, {on['device']}, {threads}, {on['clock']}"
    columns = ["part", "work", "yours", "peer", "ratio", "gap closes"]
    emit("table", title=title, columns=columns, rows=cells, notes=notes)


def circumstances(setting: Setting) -> dict[str, Any]:
    """Under what the figures were measured."""
    return {
        "torch": str(torch.__version__),
        "device": str(setting.device),
        "threads": torch.get_num_threads(),
        "clock": "processor time" if by_processor_time(setting) else "wall clock",
        "quick": setting.quick,
    }


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


@torch.no_grad()
def main(argv: Sequence[str] | None = None) -> None:
    options = Options(description=__doc__)
    options.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    options.add_argument("--quick", action="store_true", help="smaller work, fewer runs: rougher figures")
    options.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default: 1, the steadiest)")
    options.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    chosen = options.parse_args(argv)
    for part in chosen.parts:
        if part not in PARTS:
            raise RecipeError(f"There is no part {part!r}.", f"Choose from: {', '.join(PARTS)}.")
    if chosen.threads < 1:
        raise RecipeError("--threads must be at least 1.")
    torch.set_num_threads(chosen.threads)
    os.environ.setdefault("RAYON_NUM_THREADS", str(chosen.threads))  # the same number for the Rust library
    if chosen.device.partition(":")[0] not in ("cpu", "cuda", "mps"):
        raise RecipeError(f"There is no device {chosen.device!r}: it is cpu, cuda or mps.")
    try:
        setting = Setting(chosen.quick, torch.empty(0, device=chosen.device).device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise RecipeError(f"The device {chosen.device!r} cannot be used: {reason}", "Try --device cpu.") from error
    names = list(dict.fromkeys(chosen.parts)) or list(PARTS)
    rows = []
    for done, name in enumerate(names):
        emit("progress", done=done, total=len(names), what=name)
        rows.append(compare(name, setting))
    emit("progress", done=len(names), total=len(names), what="done")
    show(rows, setting)
    measured = sum(row.ratio is not None for row in rows)
    data = {**circumstances(setting), "rows": [asdict(row) for row in rows]}
    emit("finished", message=f"{measured} of {len(rows)} parts measured.", data=data)


if __name__ == "__main__":
    run_by_hand(main)
