"""Write single files of a workspace: backup first, under a lock, never outside it. Which files, is up to `scaffold`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from coursecli.course.workspace import Workspace
from coursecli.errors import WorkspaceError
from coursecli.files import atomic_write, backup, file_lock

Action = Literal["created", "added", "updated", "replaced", "kept", "problem"]


class FileChange(msgspec.Struct, frozen=True):
    """What happened to one file of the workspace."""

    path: str
    """Relative to the workspace, with forward slashes."""
    action: Action
    """added: definitions were appended. updated: a file that the learner had not changed. replaced: parts or all of
    their file. kept: it differs from the course's and was left alone. problem: nothing was changed; `note` says why."""
    note: str = ""
    backup: str = ""
    """Where the file as it was before is kept, relative to the workspace."""


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was last written to a file."""

    lesson: int
    """The number of the lesson as of which the file has the course's definitions."""
    sha256: str
    """Of the bytes written: while the file still has them, the learner has not changed it."""


class Writer:
    """Writes into one workspace. `path` is always relative to it, with forward slashes."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._notes = self._read_notes()
        self._saved = dict(self._notes)

    def note(self, path: str) -> Note | None:
        return self._notes.get(path)

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, or None when there is none. Raises WorkspaceError when it cannot be read."""
        try:
            return (self.workspace.root / path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise WorkspaceError(f"{self.workspace.root / path}: cannot be read: {error.strerror}.") from error

    def write(self, path: str, data: bytes, lesson: int, action: Action, note: str = "") -> FileChange:
        """Write a file, after a backup of what is there; `lesson` is remembered with it."""
        target = self._inside(path)
        kept = ""
        if target.exists():
            copy = backup(target, self.workspace.backups / Path(path).parent)
            kept = copy.relative_to(self.workspace.root).as_posix()
        self._make_folder(target.parent)
        atomic_write(target, data)
        self._notes[path] = Note(lesson, hashlib.sha256(data).hexdigest())
        return FileChange(path, action, note, kept)

    def seen(self, path: str, lesson: int) -> None:
        """Remember that the file has the definitions as of `lesson`, though nothing had to be written."""
        self._notes[path] = Note(lesson, "")

    def offer(self, path: str, data: bytes, lesson: int) -> FileChange | None:
        """Write a given file, unless the learner has changed it. None: it is there already, equal."""
        current = self.read(path)
        if current == data:
            self._notes[path] = Note(lesson, hashlib.sha256(data).hexdigest())
            return None
        if current is None:
            return self.write(path, data, lesson, "created")
        note = self.note(path)
        if note is not None and note.lesson > lesson:  # it has what a later lesson added
            return None
        if note is not None and note.sha256 == hashlib.sha256(current).hexdigest():
            return self.write(path, data, lesson, "updated", "the course has a newer version")
        return FileChange(path, "kept", "it differs from the course's")

    def save_notes(self) -> None:
        if self._notes == self._saved:
            return
        self._make_folder(self.workspace.state)
        atomic_write(
            self.workspace.notes, msgspec.json.format(msgspec.json.encode(self._notes, order="sorted"), indent=1)
        )

    def _read_notes(self) -> dict[str, Note]:
        try:
            return msgspec.json.decode(self.workspace.notes.read_bytes(), type=dict[str, Note])
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return {}  # then nothing counts as unchanged, so nothing of the learner's is overwritten

    def _inside(self, path: str) -> Path:
        """The file's place. Raises WorkspaceError when a link leads out of the workspace, or a folder is in the way."""
        target = self.workspace.root / path
        try:
            place = target.resolve()
        except (OSError, RuntimeError) as error:  # Python 3.11 and 3.12 say RuntimeError
            raise WorkspaceError(f"{target} is a link to itself.", "Remove the link.") from error
        if not place.is_relative_to(self.workspace.root.resolve()):
            raise WorkspaceError(f"{target} leads out of the workspace, to {place}.", "Replace the link by a file.")
        if target.is_dir():
            raise WorkspaceError(f"{target} is a folder, but the course has a file of that name.", "Move it away.")
        return target

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceError(
                f"{folder}: cannot be made: {error.strerror}.", "Check the permissions above it."
            ) from error


@contextmanager
def writing(workspace: Workspace) -> Iterator[Writer]:
    """A writer that no other command writes beside; what it wrote is remembered at the end, also after an error."""
    if not workspace.state.is_dir():
        raise WorkspaceError(f"{workspace.state} is gone.", f"Type: intro2llm init {workspace.root}")
    with file_lock(workspace.state / "lock"):
        writer = Writer(workspace)
        try:
            yield writer
        finally:
            writer.save_notes()
