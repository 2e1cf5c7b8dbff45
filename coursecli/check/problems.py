"""Inside the worker: what keeps the suites from running, or from being believed, in words for the learner."""

from __future__ import annotations

import sys
import traceback

import pytest

from coursecli.check.frames import describe
from coursecli.check.results import Frame, Problem


def import_problem(error: BaseException, root: str) -> Problem:
    """Importing a suite, and with it the learner's code, raised `error`."""
    shown = describe(error, root)
    frame = shown.frames[-1] if shown.frames else None
    if isinstance(error, pytest.skip.Exception):
        return skipped(frame)
    if isinstance(error, pytest.exit.Exception):
        return escaped(error, root)
    where = f"{frame.file}, line {frame.line}: " if frame else ""
    summary = f"{where}{shown.type}: {shown.message.partition(chr(10))[0]}"
    if isinstance(error, SyntaxError) and frame:
        return Problem(kind="syntax", summary=summary, frame=frame)
    detail = "The code cannot be imported, so that no test could run."
    return Problem(kind="import", summary=summary, detail=detail, frame=frame)


def skipped(frame: Frame | None = None) -> Problem:
    """pytest.skip, called while a suite was imported."""
    summary = "Importing the code skipped a whole suite. That is not a pass."
    return Problem(kind="tampered", summary=summary, frame=frame)


def escaped(error: BaseException, root: str) -> Problem:
    """Something was raised where no test was running: to end the process, or because the check itself failed."""
    shown = describe(error, root)
    frame = shown.frames[-1] if shown.frames else None
    if frame or isinstance(error, SystemExit | KeyboardInterrupt | pytest.exit.Exception):
        summary = f"The code ended the run by raising {shown.type} outside any test."
        return Problem(kind="tampered", summary=summary, detail=shown.message, frame=frame)
    if __name__ not in sys.modules:
        return Problem(
            kind="tampered",
            summary="The code emptied sys.modules, where Python keeps what is imported: the tests as well.",
            detail="Nothing can run after that.",
            remedy="Remove the line that does it.",
        )
    if isinstance(error, MemoryError):
        return Problem(kind="memory", summary="The code left no memory: it needs more than the lesson allows.")
    return Problem(
        kind="crashed",
        summary=f"The check itself failed: {shown.type}: {shown.message}",
        detail="".join(traceback.format_exception(error))[-4000:],
        remedy="This is not your code's fault: please report it.",
    )


def tampered(name: str) -> Problem:
    """Something that judges the code was replaced."""
    return Problem(
        kind="tampered",
        summary=f"The code replaced {name}, with which it is checked.",
        detail="Nothing after that can be believed.",
        remedy="Remove the line that assigns to it.",
    )
