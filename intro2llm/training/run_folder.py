"""The folder of a training run: a name of its own, one owner at a time, and what is known about it. Given.

runs/NAME/run.json           what it is, how far it is, and how it ended
runs/NAME/config.yaml        its preset with all changes: the model and the training
runs/NAME/lock               the process that trains it
runs/NAME/tokenizer/ data/ checkpoints/ metrics.jsonl samples.jsonl
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml

from intro2llm.configs.presets import Preset, PresetError, load_preset
from intro2llm.recipes.events import RecipeError

RUNS = Path("runs")
State = Literal["running", "finished", "interrupted", "failed"]
FREE = {"steps", "logging_steps", "eval_steps", "eval_windows", "save_steps", "save_total_limit", "sample_tokens"}
"""Settings of `training` that may change when a run goes on: only the schedule depends on them, on `steps`."""


class RunFolder:
    """One run on disk.

    Attributes:
        path: the folder. name: its name.
        info: what run.json says.
    """

    def __init__(self, path: Path, info: dict[str, Any]) -> None:
        self.path = path
        self.name = path.name
        self.info = info

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @classmethod
    def create(cls, name: str | None, preset: Preset, info: dict[str, Any]) -> RunFolder:
        """Make a run. Without a name it gets the preset's, and a number that is free.

        Raises:
            RecipeError: the name is taken, or cannot be a folder's.
        """
        RUNS.mkdir(exist_ok=True)
        if name is None:
            number = 1
            while not _make(RUNS / f"{preset.name}-{number}"):
                number += 1
            name = f"{preset.name}-{number}"
        else:
            if Path(name).name != name or name.startswith("."):
                raise RecipeError(f"--name {name}: cannot be the name of a folder.", "Leave out / and a dot in front.")
            if not _make(RUNS / name):
                raise RecipeError(
                    f"There is a run {name!r} already.",
                    f"Continue it with: intro2llm train --resume --name {name}, or choose another --name.",
                )
        run = cls(RUNS / name, info)
        values = {"model": dataclasses.asdict(preset.model), "training": dataclasses.asdict(preset.training)}
        write_file(run.path / "config.yaml", yaml.safe_dump(values, sort_keys=False))
        run.record(kind="pretrain", created=datetime.now(UTC).isoformat(timespec="seconds"), state="running", step=0)
        return run

    @classmethod
    def find(cls, name: str | None) -> RunFolder:
        """The run of that name; without one, the newest that is not finished.

        Raises:
            RecipeError: there is none, or it was not made by `train`.
        """
        known = {path.name: path for path in RUNS.glob("*") if (path / "run.json").is_file()}
        if name is not None and name not in known:
            near = get_close_matches(name, known, n=1)
            raise RecipeError(
                f"There is no run {name!r}.", f"Did you mean {near[0]!r}?" if near else f"Look into {RUNS}."
            )
        runs = [cls(path, _read(path / "run.json")) for path in known.values() if name in (None, path.name)]
        trained = [run for run in runs if run.info.get("kind") == "pretrain"]
        if name is not None and not trained:
            raise RecipeError(f"The run {name!r} was not made by train.", "Only such a run can be resumed.")
        unfinished = [run for run in trained if name is not None or run.info.get("state") != "finished"]
        if not unfinished:
            raise RecipeError("There is no unfinished run.", "To train one for longer: --resume --name NAME --steps N")
        return max(unfinished, key=lambda run: (str(run.info.get("created")), run.path.stat().st_mtime_ns))

    def preset(self, overrides: list[str]) -> Preset:
        """The run's own preset, with changes to what may change.

        Raises:
            RecipeError: a change does not fit a run that has begun. It names the field and both values.
        """
        try:
            mine = load_preset(self.path / "config.yaml")
            wanted = load_preset(self.path / "config.yaml", overrides)
        except PresetError as error:
            raise RecipeError(str(error)) from error
        for section in ("model", "training"):
            before, now = (dataclasses.asdict(getattr(preset, section)) for preset in (mine, wanted))
            for name, value in before.items():
                if value != now[name] and not (section == "training" and name in FREE):
                    raise RecipeError(
                        f"{section}.{name} is {now[name]} here, and {value} in the run {self.name!r}, which goes on as "
                        "it began.",
                        "Leave it out, or start a new run with another --name.",
                    )
        return dataclasses.replace(wanted, name=str(self.info.get("preset")))

    def record(self, **fields: Any) -> None:
        """Write fields into run.json."""
        self.info |= fields
        write_file(self.path / "run.json", json.dumps(self.info, indent=2) + "\n")

    def add_sample(self, **fields: Any) -> None:
        """Append a line to samples.jsonl."""
        with self.samples.open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields, ensure_ascii=False) + "\n")

    def drop_samples(self, *, after: int) -> None:
        """Remove the samples of later steps: the run will make these steps again."""
        if self.samples.is_file():
            lines = self.samples.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= after]
            if kept != lines:
                write_file(self.samples, "".join(kept))

    def forget(self) -> None:
        """Remove a run that has come to nothing: it has no checkpoint."""
        if not self.checkpoints.exists():
            shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """While inside, no other process can own this run. The system ends the ownership of a process that dies.

        Raises:
            RecipeError: another one trains it now.
        """
        path = self.path / "lock"
        with path.open("a+", encoding="utf-8") as file:
            if not _lock(file.fileno()):
                file.seek(0)
                raise RecipeError(
                    f"The run {self.name!r} is being trained by another process ({file.read().strip() or 'unknown'}).",
                    "Wait for it, stop it with Ctrl-C, or choose another --name.",
                )
            file.seek(0)
            file.truncate()
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield


def owner(run: Path) -> int | None:
    """The process that its lock names, dead or alive."""
    with suppress(OSError, ValueError):
        return int((run / "lock").read_text(encoding="utf-8"))
    return None


def write_file(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all, and replaces the one before in one step."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _make(path: Path) -> bool:
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}.") from error
    return info if isinstance(info, dict) else {}


def _lock(descriptor: int) -> bool:
    """Take the system's lock on a file, if nobody has it. Closing the file, or the end of the process, releases it."""
    if os.name == "nt":
        import msvcrt

        take, far = msvcrt.locking, 1 << 30  # far behind the text, which others want to read
        try:
            os.lseek(descriptor, far, os.SEEK_SET)
            take(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
