"""From a traceback, or a dump by faulthandler, to the learner's own lines; what is outside their folder is left out."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Iterable
from pathlib import Path, PurePath
from types import TracebackType

from coursecli.check.results import Frame, LearnerError

MOST_FRAMES = 12
MOST_TEXT = 2000
_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
"""How faulthandler writes what is not ASCII: a path with ü in it, say."""
_DUMPED_LINE = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)')


def relative(file: str, root: str) -> str | None:
    """`file` inside `root`, with forward slashes; None when it is elsewhere."""
    path = PurePath(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None


def learner_frames(trace: TracebackType | None, root: str) -> list[Frame]:
    """The frames of a traceback that are the learner's, outermost first. Of an endless recursion both ends stay."""
    return _middle_cut(
        Frame(
            file=inside,
            line=line,
            function=frame.f_code.co_name,
            source=linecache.getline(frame.f_code.co_filename, line).strip(),
        )
        for frame, line in traceback.walk_tb(trace)
        if (inside := relative(frame.f_code.co_filename, root)) is not None
    )


def describe(error: BaseException, root: str) -> LearnerError:
    """An exception as plain data, even when its own `__str__` misbehaves."""
    if isinstance(error, SyntaxError) and error.filename and (inside := relative(error.filename, root)) is not None:
        at = Frame(file=inside, line=error.lineno or 1, source=(error.text or "").strip())
        return LearnerError(
            type=type(error).__name__, message=error.msg, frames=[*learner_frames(error.__traceback__, root), at]
        )
    return LearnerError(
        type=type(error).__name__, message=message_of(error), frames=learner_frames(error.__traceback__, root)
    )


def message_of(error: BaseException) -> str:
    """`str(error)`, bounded; a broken `__str__` is said, not raised."""
    try:
        message = str(error)
    except BaseException as broken:
        message = f"({type(broken).__name__} while showing the message)"
    return message if len(message) <= MOST_TEXT else message[:MOST_TEXT] + " …"


def dumped_frames(dump: str, root: Path) -> list[Frame]:
    """The learner's frames in a dump by faulthandler, outermost first; empty when there are none.

    The dump of a crash counts more than one that was asked for; the current thread more than the others.
    """
    newest = _ESCAPED.sub(lambda match: chr(int(match[1] or match[2] or match[3], 16)), dump)
    newest = newest.rpartition("Fatal Python error")[2]
    threads = re.split(r"^(?=Thread |Current thread )", newest, flags=re.MULTILINE)
    for thread in sorted(threads, key=lambda text: not text.startswith("Current thread")):
        frames = [
            Frame(
                file=inside,
                line=int(match["line"]),
                function=match["function"],
                source=_source(match["file"], int(match["line"])),
            )
            for match in map(_DUMPED_LINE.fullmatch, thread.splitlines())
            if match and (inside := relative(match["file"], str(root))) is not None
        ]
        if frames:
            return _middle_cut(reversed(frames))
    return []


def _source(file: str, line: int) -> str:
    linecache.checkcache(file)
    return linecache.getline(file, line).strip()


def _middle_cut(frames: Iterable[Frame]) -> list[Frame]:
    every = list(frames)
    if len(every) <= MOST_FRAMES:
        return every
    half = MOST_FRAMES // 2
    return every[:half] + every[-half:]
