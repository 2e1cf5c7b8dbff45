"""A folder that appears complete or not at all, whatever happens while it is being written."""

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intro2llm.utils.errors import CheckpointError

PARTIAL, REPLACED = ".partial", ".replaced"


class TakenError(CheckpointError):
    """A folder with something in it is where one is to be made."""


@contextmanager
def new_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give an empty folder to write into; at the end of the block it becomes `target`, in one step.

    It lies beside `target` under a hidden name, so that the step is a renaming. If the block raises, it is removed. If
    the process is killed, it stays behind, and the next one that writes the same target removes it.

    Args:
        target: the folder to be; its parents are made. It must not exist, or be empty, unless `replace`.
        replace: whether a folder that is there gives way. It is removed after the new one has taken its place.

    Raises:
        TakenError: something is in `target`.
        CheckpointError: `target`, or what should be a folder above it, is a file.
    """
    target = target.expanduser().resolve()
    refuse_if_taken(target, replace=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_up(target)
    refuse_if_taken(target, replace=replace)
    partial = target.parent / f".{target.name}.{os.getpid()}{PARTIAL}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for path in sorted(partial.rglob("*"), reverse=True):
            _flush(path)
        _flush(partial)
        _publish(partial, target, replace=replace)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def refuse_if_taken(target: Path, *, replace: bool = False) -> None:
    """Raise TakenError if `target` is a folder with something in it that may not be replaced.

    Also raise CheckpointError if a file is in the way: nothing replaces a file.
    """
    for place in (target, *target.parents):
        if place.exists() and not place.is_dir():
            raise CheckpointError(f"{place}: is a file, so no folder can be made here. Choose another place.")
    if target.is_dir() and not replace and any(target.iterdir()):
        raise TakenError(f"{target}: is there already, and is not empty.")


def _publish(partial: Path, target: Path, *, replace: bool) -> None:
    refuse_if_taken(target, replace=replace)
    aside = partial.with_suffix(REPLACED)
    if target.exists():
        target.rename(aside)
    try:
        partial.rename(target)
    except OSError:
        if aside.exists():
            aside.rename(target)
        raise
    _flush(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _flush(path: Path) -> None:
    """Have the system write a file or a folder to the disk now. Folders cannot be opened on Windows."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _clear_up(target: Path) -> None:
    """Remove what killed processes left behind, and put back a folder that was giving way when its process was killed.

    Not on Windows: there one cannot ask whether a process lives without ending it.
    """
    if os.name == "nt":
        return
    for path in target.parent.glob(f".{glob.escape(target.name)}.*"):
        process = path.stem.removeprefix(f".{target.name}.")
        if path.suffix not in (PARTIAL, REPLACED) or not process.isdecimal() or _another_has(int(process)):
            continue
        if path.suffix == REPLACED and not target.exists():
            path.rename(target)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _another_has(process: int) -> bool:
    """Whether a process with this number lives that is not this one: in a container the numbers come again."""
    if process == os.getpid():
        return False
    with contextlib.suppress(PermissionError):  # it lives, and belongs to somebody else
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True
