"""How a run ends: finished, interrupted or failed; what is kept, and what the user is told. Given."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from intro2llm.configs.presets import PresetError
from intro2llm.model.build import ModelBuildError
from intro2llm.recipes.events import RecipeError, StorageError, emit
from intro2llm.training.run_folder import RunFolder
from intro2llm.training.stopping import Interrupted, Stop
from intro2llm.utils.checkpoint import latest_checkpoint
from intro2llm.utils.errors import CheckpointError, WriteError


@contextmanager
def ending(run: RunFolder, stop: Stop) -> Iterator[None]:
    """Own a run while inside, and say at the end how it went: in run.json, and as the event `finished`.

    A run that is refused, or fails, before it has a checkpoint is removed. But if the user's own text was tokenised for
    it, which may have taken an hour, a failure leaves it to be resumed.

    Raises:
        RecipeError: it has failed for a reason that the user can mend.
    """
    with run.owned():
        before = run.info["state"] if run.checkpoints.is_dir() else "failed"
        try:
            run.record(state="running")
            with suppress(Interrupted):
                yield
        except BaseException as error:
            with suppress(OSError):  # the disk may be what has failed
                run.record(state=before if isinstance(error, RecipeError) else "failed")
            told = _told(error, run)
            costly = run.info["data"] != "storyworld" and run.data.is_dir()
            if not run.checkpoints.is_dir() and (isinstance(error, RecipeError) or not costly):
                run.forget()
            if told is not None:
                raise told from error
            raise
        made = run.info["step"]
        run.record(state="finished" if stop.number is None or made >= run.info["steps"] else "interrupted")
        emit("finished", message=_summary(run), data=result(run) | {"exit_code": stop.exit_code})


def result(run: RunFolder) -> dict[str, Any]:
    """The figures of a run, for --json."""
    names = ("state", "step", "steps", "tokens", "seconds", "parameters", "loss", "eval_bits_per_byte", "floor")
    return {"run": run.name, "path": run.path.as_posix()} | {name: run.info.get(name) for name in names}


def _summary(run: RunFolder) -> str:
    info = run.info
    if info["state"] == "interrupted":
        where = f"after update {info['step']} of {info['steps']}" if info["step"] else "before the first update"
        return f"Stopped {where}. Go on with: intro2llm train --resume --name {run.name}"
    reached, floor = info.get("eval_bits_per_byte"), info.get("floor")
    words = f"The run {run.name} is finished: {info['step']} updates"
    if reached is not None:
        words += f", {reached:.3f} bits per byte on held-out text"
    if reached is not None and floor:
        words += f", {reached / floor:.2f} times the {floor:.3f} that nothing can beat"
    return f"{words}. Now: intro2llm generate --run {run.name} --prompt …"


def _told(error: BaseException, run: RunFolder) -> RecipeError | None:
    """The error as a line and a remedy; None for what is not the user's to mend without seeing the code."""
    last = None
    if run.checkpoints.is_dir():
        with suppress(Exception):  # what looks for it is yours, and may be what has failed
            last = latest_checkpoint(run.checkpoints)
    kept = f" The last checkpoint, {last.name}, is whole." if last else ""
    go_on = f"intro2llm train --resume --name {run.name}"
    mended = f"When that is mended: {go_on}" if last else ""
    match error:
        case FloatingPointError():
            message = f"The training has come apart at {error}.{kept}"
            lower = "Start a new run with a lower rate: --set training.lr=…"
            return RecipeError(message, f"{lower}, or repeat the updates since then: {go_on}" if last else lower)
        case WriteError():
            return StorageError(str(error) + kept, mended)
        case CheckpointError() | PresetError() | ModelBuildError():
            return RecipeError(str(error) + kept, mended)
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return StorageError(f"{where}{error.strerror or error}.{kept}", mended)
    return None
