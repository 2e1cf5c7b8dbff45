"""Statements about behaviour: a property, an exception, no change in place, and what a certain exception means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from coursecli.expect import numeric
from coursecli.expect.equality import difference
from coursecli.expect.numeric import Numeric
from coursecli.expect.outcome import ExpectationFailed, failed, passed
from coursecli.expect.payload import Failure
from coursecli.expect.shapes import axis_names
from coursecli.expect.values import value_failure
from coursecli.expect.words import brief, cut, visible

NOT_WRITTEN = re.compile(r"\w+ · .+")
"""The message of a stub's NotImplementedError, `lesson02 · RMSNorm.forward`: never one to expect, or to diagnose."""


def expect(
    condition: object,
    summary: str,
    *,
    what: str,
    expected: object = "",
    actual: object = "",
    mistake: str | None = None,
) -> None:
    """`condition` is true; `summary` says what is wrong when it is not."""
    __tracebackhide__ = True
    if condition:
        passed()
        return
    failed(
        Failure(
            kind="statement",
            what=what,
            summary=summary,
            expected=_text(expected),
            actual=_text(actual),
            mistake=mistake,
        )
    )


@contextmanager
def expect_raises(
    exception: type[BaseException] | tuple[type[BaseException], ...],
    *,
    what: str,
    match: str | None = None,
    mistake: str | None = None,
) -> Iterator[None]:
    """The block raises `exception`, with a message in which the regular expression `match` is found.

    `mistake` is that the exception is missing, or another one: the right one with another message does not name it.
    """
    __tracebackhide__ = True
    kinds = exception if isinstance(exception, tuple) else (exception,)
    wanted = " or ".join(kind.__name__ for kind in kinds)
    asked = f"{wanted} with a message that matches {match!r}" if match else wanted
    try:
        yield
    except Exception as error:
        if is_not_written(error) or isinstance(error, ExpectationFailed):
            raise
        happened = _told(error)
        if not isinstance(error, kinds):
            summary = f"{wanted} should be raised, but it was {type(error).__name__}."
        elif match and not re.search(match, _raw(error)):
            summary = f"{type(error).__name__} is right, but its message lacks {brief(match, 80)}."
            mistake = None
        else:
            passed()
            return
        failed(
            Failure(kind="raises", what=what, summary=summary, expected=asked, actual=happened, mistake=mistake), error
        )
    failed(
        Failure(
            kind="raises",
            what=what,
            summary=f"{wanted} should be raised, but nothing was.",
            expected=asked,
            actual="no exception",
            mistake=mistake,
        )
    )


@contextmanager
def expect_unchanged(value: Any, *, what: str, mistake: str | None = None) -> Iterator[None]:
    """The block does not modify `value` in place: a tensor, an array, a module, or lists and dicts of them."""
    __tracebackhide__ = True
    before = snapshot(value)
    yield
    after = snapshot(value)
    if isinstance(before, Numeric):
        _expect_same_values(after, before, what, mistake)
    found = difference(after, before)
    if found is None:
        passed()
        return
    failed(
        Failure(
            kind="unchanged",
            what=what,
            summary=f"It was modified in place. {found}",
            expected=brief(before),
            actual=brief(after),
            mistake=mistake,
        )
    )


def _expect_same_values(after: Numeric, before: Numeric, what: str, mistake: str | None) -> None:
    __tracebackhide__ = True
    if after.shape != before.shape or after.dtype != before.dtype:
        return
    agreeing = numeric.agree(after.data, before.data, 0, 0)
    if not agreeing.all():
        names = axis_names(None, len(before.shape))
        failure = value_failure(
            after, before, agreeing, what=what, rtol=0, atol=0, names=names, mistake=mistake, kind="unchanged"
        )
        failed(msgspec.structs.replace(failure, summary=f"It was modified in place. {failure.summary}"))


def snapshot(value: Any) -> Any:
    """A copy that later changes of `value` do not reach; of a module, its state."""
    if numeric.is_tensor(value) or numeric.is_array(value):
        try:
            return numeric.read(value)
        except numeric.Unreadable:
            return brief(value)
    if isinstance(value, dict):
        return {key: snapshot(item) for key, item in dict.items(value)}
    if isinstance(value, list):
        return [snapshot(item) for item in list.__iter__(value)]
    if isinstance(value, tuple):
        return tuple(snapshot(item) for item in tuple.__iter__(value))
    if isinstance(value, set | frozenset):
        return frozenset(value)
    if callable(getattr(value, "state_dict", None)):
        return {key: snapshot(item) for key, item in value.state_dict().items()}
    return value


@contextmanager
def diagnosing(mistake: str, *exceptions: type[BaseException], match: str | None = None) -> Iterator[None]:
    """When one of `exceptions` (default: any Exception) leaves the block, the failure names `mistake`."""
    __tracebackhide__ = True
    try:
        yield
    except Exception as error:
        if is_not_written(error) or isinstance(error, ExpectationFailed):
            raise
        if not isinstance(error, exceptions or (Exception,)) or (match and not re.search(match, _raw(error))):
            raise
        happened = _told(error)
        failed(
            Failure(
                kind="raises",
                what="this code runs without an exception",
                summary=f"It raised {happened}",
                expected="no exception",
                actual=happened,
                mistake=mistake,
            ),
            error,
        )


def is_not_written(error: BaseException) -> bool:
    """Whether this is a stub speaking: the task is not written yet."""
    return isinstance(error, NotImplementedError) and bool(NOT_WRITTEN.fullmatch(_raw(error)))


def _raw(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {cut(visible(_raw(error)), 300)}"


def _text(value: object) -> str:
    return cut(visible(value), 600) if type(value) is str else brief(value, 600)
