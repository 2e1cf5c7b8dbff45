"""How a worker's early end is told: the cause in words, and the learner's line where a stack dump shows it."""

from __future__ import annotations

import signal

from coursecli.check.results import Frame, Problem
from coursecli.isolate import Ended

_SIGNALS = {signal.SIGSEGV: "segmentation fault", signal.SIGABRT: "aborted", signal.SIGFPE: "arithmetic fault"}


def what_happened(ended: Ended, memory_mb: int) -> str:
    """The cause, as the end of a sentence that begins with the test or the code."""
    match ended.cause:
        case "memory":
            return f"needed more than {memory_mb} MB of memory"
        case "processes":
            return "started processes without end"
        case "signal":
            return f"crashed the process ({signal_name(ended.signal or 0)})"
        case "exited":
            return f"ended the process (exit code {ended.code}) before the test was over"
        case _:
            return "ended the process that watches over the check"


def run_problem(ended: Ended, memory_mb: int, frames: list[Frame], *, too_long: str, said: str) -> Problem:
    """An end outside any test. `too_long`: what exceeded which limit; `said`: what was printed outside the tests."""
    if ended.cause == "interrupted":
        return interrupted()
    frame = frames[-1] if frames else None
    where = f"{frame.file}, line {frame.line}: " if frame else ""
    if ended.cause == "deadline":
        return Problem(kind="timeout", summary=f"{where}{too_long}.", frame=frame)
    return Problem(
        kind="memory" if ended.cause == "memory" else "crashed",
        summary=f"{where}the code {what_happened(ended, memory_mb)}.",
        detail=said[-2000:],
        frame=frame,
    )


def interrupted() -> Problem:
    """Somebody ended the check."""
    return Problem(kind="interrupted", summary="The check was interrupted.")


def never_started(said: str) -> Problem:
    """The interpreter of the worker ended before it reached the learner's code: a package is missing, or broken."""
    reason = said.rpartition("\n")[2]
    return Problem(
        kind="crashed",
        summary=f"Python could not get ready for the tests: {reason or 'it ended without a word'}",
        detail=said[-4000:],
        remedy="intro2llm doctor",
    )


def signal_name(number: int) -> str:
    try:
        known = signal.Signals(number)
    except ValueError:
        return f"signal {number}"
    return _SIGNALS.get(known, f"killed by {known.name}")
