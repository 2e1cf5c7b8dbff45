"""From what left a test function to that test's outcome."""

from __future__ import annotations

import linecache
import traceback
from typing import Any

from coursecli.check.explanations import explanation
from coursecli.check.frames import describe, learner_frames, message_of
from coursecli.check.results import Outcome
from coursecli.expect.payload import Failure


def judge(error: BaseException | None, *, root: str, test_file: str, title: str) -> dict[str, Any]:
    """The fields of TestResult that say how it went: `outcome`, and `failure`, `error` or `note`."""
    import pytest

    from coursecli.expect.outcome import ExpectationFailed
    from coursecli.expect.statements import is_not_written

    if error is None:
        return _outcome("passed")
    frames = learner_frames(error.__traceback__, root)
    if isinstance(error, pytest.skip.Exception | pytest.xfail.Exception) and not frames:
        return _outcome("not_run", note=f"the suite itself skipped it: {message_of(error)}")
    if isinstance(
        error, pytest.skip.Exception | pytest.xfail.Exception | pytest.exit.Exception | SystemExit | KeyboardInterrupt
    ):
        ways: dict[type[BaseException], str] = {
            pytest.skip.Exception: "skipped the test",
            pytest.xfail.Exception: "marked the test as an expected failure",
        }
        did = ways.get(type(error), f"ended the run by raising {type(error).__name__}")
        return _outcome("tampered", note=f"The code {did}. That is not a pass.", error=describe(error, root))
    if isinstance(error, ExpectationFailed):
        cause = describe(error.__cause__, root) if error.__cause__ else None  # what `diagnosing` has explained
        return _outcome("failed", failure=error.payload, error=cause if cause and cause.frames else None)
    if frames and is_not_written(error):
        return _outcome("not_written", error=describe(error, root))
    if isinstance(error, AssertionError | pytest.fail.Exception) and not frames:
        return _outcome("failed", failure=_statement(error, test_file, title))
    notes = ["" if frames else _where_in_test(error, test_file), explanation(error, message_of(error))]
    return _outcome("error", error=describe(error, root), note="\n".join(filter(None, notes)))


def _outcome(outcome: Outcome, **fields: Any) -> dict[str, Any]:
    return {"outcome": outcome, **fields}


def _statement(error: BaseException, test_file: str, title: str) -> Failure:
    source = _test_line(error, test_file)
    return Failure(
        kind="statement", what=title, summary=message_of(error).partition("\n")[0] or f"does not hold: {source}"
    )


def _where_in_test(error: BaseException, test_file: str) -> str:
    source = _test_line(error, test_file)
    return f"raised while the test evaluated: {source}" if source else ""


def _test_line(error: BaseException, test_file: str) -> str:
    lines = [
        linecache.getline(test_file, line).strip()
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == test_file
    ]
    return lines[-1].removeprefix("assert ") if lines else ""
