"""Read learners' source, and write files so that nothing is lost or half written. Which file is up to the caller."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from coursecli.errors import CourseError, WorkspaceError

if TYPE_CHECKING:
    import ast

_PARSING = threading.Lock()
SourceKind = Literal["utf-16", "nul", "not-utf-8", "mixed-tabs", "non-breaking-space"]


class SourceProblem(CourseError):  # noqa: N818
    """A source file that Python cannot read as it stands. `line` counts from 1."""

    def __init__(self, kind: SourceKind, line: int, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.kind = kind
        self.line = line


def parsed(source: str | bytes, name: str = "<unknown>") -> ast.Module:
    """`ast.parse`, by one thread at a time: two at once may end in a SystemError before Python 3.11.8.

    The garbage collector runs within it, and what it runs can let another thread in (CPython issue 106905).

    Raises:
        SyntaxError, ValueError: as `ast.parse`.
    """
    import ast  # not for those who only look

    with _PARSING:
        return ast.parse(source, filename=name)


def read_source(path: Path) -> str:
    """The text of a Python file, without its byte order mark and with `\\n` line ends.

    An ordinary syntax error is not looked for: whoever parses the text finds it.

    Raises:
        SourceProblem: the bytes are not UTF-8 text, or its white space is not what it looks like.
        OSError: the file is not there, or cannot be read.
    """
    data = path.read_bytes()
    name = path.name
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SourceProblem("utf-16", 1, f"{name} is saved as UTF-16", "Save it as UTF-8 in your editor.")
    if (zero := data.find(b"\0")) >= 0:
        line = _line_at(data, zero)
        raise SourceProblem(
            "nul",
            line,
            f"{name}, line {line}: contains a NUL byte",
            "Save it as plain UTF-8 text; a backup may be intact.",
        )
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = _line_at(data, error.start)
        raise SourceProblem(
            "not-utf-8",
            line,
            f"{name}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8 text",
            "Save the file as UTF-8 in your editor.",
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\t" in text or not text.isascii():
        _refuse_deceptive_space(text, name)
    return text


def _line_at(data: bytes, offset: int) -> int:
    before = data[:offset].replace(b"\r\n", b"\n")
    return 1 + before.count(b"\n") + before.count(b"\r")


def _refuse_deceptive_space(text: str, name: str) -> None:
    """Ask Python's own parser whether a tab or an odd space stands in code, or harmlessly in a string or comment."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, name, "exec", flags=0x400, dont_inherit=True)  # ast.PyCF_ONLY_AST, without importing ast
    except TabError as error:
        line = error.lineno or 1
        raise SourceProblem(
            "mixed-tabs",
            line,
            f"{name}, line {line}: tabs and spaces are mixed in the indentation",
            "Indent with four spaces.",
        ) from None
    except SyntaxError as error:
        if found := re.match(r"invalid non-printable character (U\+[0-9A-F]+)", error.msg or ""):
            line = error.lineno or 1
            what = "a non-breaking space (U+00A0)" if found[1] == "U+00A0" else f"an invisible character ({found[1]})"
            raise SourceProblem(
                "non-breaking-space",
                line,
                f"{name}, line {line}: {what} stands where Python expects an ordinary space",
                "Retype the spaces of that line; such characters come with text copied from a web page.",
            ) from None
    except (ValueError, RecursionError, MemoryError):
        pass  # Too deep or too odd for the parser: whoever parses the text next says so.


def sha256_file(path: Path) -> str:
    """The hex digest of a file's bytes."""
    import hashlib

    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def atomic_write(path: Path, data: str | bytes) -> None:
    """Replace the content of `path` at once: who reads it, even after a power cut, finds the old bytes or the new.

    A symbolic link is followed; an existing file keeps its mode. Text is written as UTF-8, its line ends unchanged.

    Raises:
        WorkspaceError: the folder is missing, read-only or full. The old content is then still there.
    """
    target = Path(os.path.realpath(path))
    content = data.encode("utf-8") if isinstance(data, str) else data
    temporary = target.with_name(f".intro2llm-{os.urandom(6).hex()}.tmp")
    try:
        try:
            # 0o666 is what open() asks for: the user's umask decides.
            with os.fdopen(os.open(temporary, _NEW_FILE, 0o666), "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            with contextlib.suppress(FileNotFoundError):
                temporary.chmod(target.stat().st_mode & 0o7777)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)
    except OSError as error:
        raise WorkspaceError(
            f"{path}: cannot be written: {error.strerror or error}",
            "Nothing was changed. Check the free space and the permissions of that folder.",
        ) from error


_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut. Windows has no such call; some network file systems refuse it."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def backup(file: Path, into: Path) -> Path:
    """Copy `file` to a new name in the folder `into`, made when missing; an earlier backup is never overwritten.

    The name holds a sequence number, which orders the backups, and the time for people: `norm.0003.20260114-093005.py`.

    Raises:
        WorkspaceError: the copy could not be made; then do not touch the original.
    """
    try:
        content = file.read_bytes()
        into.mkdir(parents=True, exist_ok=True)
        copy = claim_name(file, into)
    except OSError as error:
        raise WorkspaceError(
            f"{file}: cannot be backed up to {into}: {error.strerror or error}", "Nothing was changed."
        ) from error
    try:
        atomic_write(copy, content)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy


def backups_of(file: Path, into: Path) -> list[Path]:
    """The backups of a file of this name in `into`, oldest first: by sequence number, since clocks go backwards."""
    pattern = re.compile(rf"{re.escape(file.stem)}\.(\d{{4,}})\.\d{{8}}-\d{{6}}{re.escape(file.suffix)}")
    found = [(int(match[1]), entry) for entry in into.glob("*") if (match := pattern.fullmatch(entry.name))]
    return [entry for _, entry in sorted(found)]


def claim_name(file: Path, into: Path) -> Path:
    """An empty file of a name that nobody else has."""
    earlier = backups_of(file, into)
    sequence = int(earlier[-1].name[len(file.stem) + 1 :].split(".", 1)[0]) + 1 if earlier else 1
    while True:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        name = into / f"{file.stem}.{sequence:04d}.{stamp}{file.suffix}"
        try:
            os.close(os.open(name, _NEW_FILE, 0o666))
            return name
        except FileExistsError:
            sequence += 1


@contextlib.contextmanager
def file_lock(path: Path, *, seconds: float = 10.0) -> Iterator[None]:
    """Hold the lock file `path`: one process at a time. The system lets go when the process dies; the file stays.

    Raises:
        WorkspaceError: another process has held it for `seconds`, or the file cannot be made.
    """
    try:
        stream = path.open("ab")
    except OSError as error:
        raise WorkspaceError(
            f"{path}: cannot be written: {error.strerror or error}", "Check the permissions of that folder."
        ) from error
    with stream:
        deadline = time.monotonic() + seconds
        while not _try_lock(stream.fileno()):
            if time.monotonic() > deadline:
                raise WorkspaceError(
                    f"{path.parent}: another command has been at work here for {seconds:.0f} s",
                    "Wait until it has finished, or end it.",
                )
            time.sleep(0.02)
        yield  # Closing the file lets go.


def _try_lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
            return True
        except OSError:
            return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except (BlockingIOError, PermissionError):
        return False
