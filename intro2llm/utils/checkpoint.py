"""Checkpoints: folders from which a run can be continued, as if it had never stopped.

    checkpoints/step-000200/
        model.safetensors …     the weights, and whatever else `Trainer.write_model` writes
        training_state.pt       the rest of the trainer's memory, `Trainer.state_dict`
        manifest.json           the size and the SHA-256 of every other file

A checkpoint appears complete or not at all, and damage that it takes later is noticed before anything of it is used.
"""

import hashlib
import json
import platform
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from shutil import rmtree
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from intro2llm.utils.errors import CheckpointError, WriteError
from intro2llm.utils.new_folder import new_folder

MANIFEST = "manifest.json"
STATE = "training_state.pt"


def random_state() -> dict[str, Any]:
    """Where the streams of random numbers of this process are: those of `random`, NumPy and PyTorch.

    What was taken here is a copy: drawing numbers later does not change it.

    Returns:
        "python": of `random`. "numpy": of `numpy.random`, the global one. "torch": of PyTorch's CPU generator. "cuda":
        a list, one for each CUDA device, empty where there are none. "mps": of Apple's GPU, None where there is none.
        In what form is up to you, but `torch.load(…, weights_only=True)` reads only tensors, numbers, strings, None,
        and tuples, lists and dicts of them: no NumPy array.
    """
    raise NotImplementedError("lesson08 · random_state")


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Continue the streams where `random_state` found them: the same numbers will be drawn again.

    States of devices that this machine does not have are passed over. `state` is not changed, and may be used again.
    """
    raise NotImplementedError("lesson08 · restore_random_state")


def checkpoint_name(step: int) -> str:
    """The folder's name: 200 gives "step-000200"."""
    return f"step-{step:06d}"


def checkpoint_step(folder: Path) -> int | None:
    """The step that a folder is named for; None if its name is no checkpoint's."""
    found = re.fullmatch(r"step-([0-9]+)", folder.name)
    return int(found[1]) if found else None


def list_checkpoints(directory: Path) -> list[Path]:
    """The checkpoints in a folder, by the steps in their names, from the first to the last.

    Steps are compared as numbers: 999,999 comes before 1,000,000, although its name is shorter. What is no folder, or
    has no checkpoint's name (`checkpoint_step`), is left out. Whether a checkpoint is whole is not looked at.

    Args:
        directory: if it does not exist, there are none.
    """
    raise NotImplementedError("lesson08 · list_checkpoints")


def latest_checkpoint(directory: Path) -> Path | None:
    """The last checkpoint that is whole (`is_valid_checkpoint`); None if there is none. Nothing is removed."""
    raise NotImplementedError("lesson08 · latest_checkpoint")


def prune_checkpoints(newest: Path, *, keep: int | None) -> None:
    """Make room, after `newest` has been saved: of it and the checkpoints before it, keep the last `keep`.

    Checkpoints of later steps than `newest` lie there when a run was taken up again from an earlier one. They
    do not count, and stay. Everything that is no checkpoint stays, too.

    Args:
        newest: the folder of a checkpoint; the others lie beside it.
        keep: 1 or more; None: all.
    """
    raise NotImplementedError("lesson08 · prune_checkpoints")


@contextmanager
def new_checkpoint(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write a checkpoint into; at the end of the block it becomes `folder`, in one step.

    The manifest is added, and what has been written is read again and compared with it, before this returns. If the
    block raises, or the disk is full, nothing is left of it, and whatever was at `folder` is still there.

    Raises:
        WriteError: it cannot be written.
        CheckpointError: a file is in the way.
    """
    try:
        with new_folder(folder, replace=True) as partial:
            yield partial
            manifest = {"files": _digests(partial), "torch": torch.__version__, "threads": torch.get_num_threads()}
            manifest |= {"machine": platform.machine()}
            (partial / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
            verify_checkpoint(partial)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise WriteError(f"{folder}: the checkpoint cannot be written: {reason}.") from error


def verify_checkpoint(folder: Path) -> None:
    """Compare every file of a checkpoint with the manifest.

    Raises:
        CheckpointError: a file is missing, or is not the one that was written.
    """
    try:
        expected = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        found = _digests(folder)
    except OSError as error:
        raise CheckpointError(f"{error.filename or folder}: cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / MANIFEST}: is damaged.") from error
    if not isinstance(expected, dict) or STATE not in expected:
        raise CheckpointError(f"{folder / MANIFEST}: is damaged.")
    for name, digest in expected.items():
        if name not in found:
            raise CheckpointError(f"{folder / name}: is missing. Continue from another checkpoint.")
        if found[name] != digest:
            raise CheckpointError(f"{folder / name}: has been damaged since it was saved. Continue from another one.")


def is_valid_checkpoint(folder: Path) -> bool:
    """Whether `verify_checkpoint` finds nothing."""
    try:
        verify_checkpoint(folder)
    except CheckpointError:
        return False
    return True


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest: "files", and under what the checkpoint was made: "torch", "threads", "machine"."""
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


def write_state(state: Mapping[str, Any], folder: Path) -> None:
    """Write a state into a checkpoint that is being made.

    Raises:
        WriteError: the disk is full.
        CheckpointError: the state holds something that `read_state` would refuse.
    """
    file = folder / STATE
    try:
        with file.open("wb") as content:
            torch.save(dict(state), content)
    except RuntimeError as error:
        raise WriteError(f"{file}: cannot be written: {' '.join(str(error).split())}.") from error
    _load(file, mmap=True)  # the tensors stay on disk


def read_state(folder: Path) -> dict[str, Any]:
    """The state that `write_state` wrote, with all tensors on the CPU. No code in the file is ever run.

    Raises:
        CheckpointError: the file cannot be read, or holds more than tensors, numbers, strings, None, and tuples, lists
            and dicts of them.
    """
    return _load(folder / STATE)


def _load(file: Path, *, mmap: bool = False) -> dict[str, Any]:
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}.") from error
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        first = str(error).strip().split("\n")[0]
        raise CheckpointError(f"{file}: is damaged, or holds objects that are not plain data: {first}") from error


def _digests(folder: Path) -> dict[str, dict[str, Any]]:
    """The size and the SHA-256 of every file below a folder, but for the manifest itself, by its path from there."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name != MANIFEST:
            with file.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            found[name] = {"bytes": file.stat().st_size, "sha256": digest}
    return found
