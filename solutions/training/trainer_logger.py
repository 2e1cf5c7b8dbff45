"""What a run measured, line by line on disk, where it survives the run; and on to whatever draws curves of it."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class TrainerLogger:
    """Appends metrics to a JSONL file (one JSON object in each line), and hands them to trackers.

    What the file holds already stays, with two exceptions. A last line without a newline, which a process was killed
    while writing, is removed. And with `resume_step`, lines of later steps are removed: the run will make these
    steps again. The file is never seen half changed: it is replaced in one step (`Path.replace`), or only appended to.

    Args:
        path: the file. It is created, with the folders above it, if it is not there.
        trackers: each has `log(metrics, step=…)` and `close()`, see `trackers.py`.
        resume_step: the step from which the run goes on; None: nothing is known about that.
    """

    def __init__(self, path: Path, *, trackers: Sequence[Any] = (), resume_step: int | None = None) -> None:
        self.path = path
        self.trackers = list(trackers)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = [line for line in written.splitlines(keepends=True) if line.endswith("\n")]
        if resume_step is not None:
            lines = [line for line in lines if json.loads(line)["step"] <= resume_step]
        kept = "".join(lines)
        if kept != written:
            partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
            partial.write_text(kept, encoding="utf-8")
            partial.replace(path)
        self._file = path.open("a", encoding="utf-8")

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Write {"step": step, …metrics} as one line, and hand `metrics` and `step` to every tracker.

        The line is in the file when this returns: whoever opens it then can read it, also if the process is killed
        next. It is there before the first tracker is called. JSON has no word for infinity or NaN: they are written as
        null. `metrics` is not changed.

        Args:
            metrics: plain numbers by their names; "step" is none of them.
        """
        numbers = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._file.write(json.dumps({"step": step, **numbers}, allow_nan=False) + "\n")
        self._file.flush()
        for tracker in self.trackers:
            tracker.log(metrics, step=step)

    def close(self) -> None:
        """Close the file and every tracker. Closing twice does no harm."""
        self._file.close()
        while self.trackers:
            self.trackers.pop(0).close()
