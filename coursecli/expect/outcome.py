"""The exception that a failed expectation raises, and the ways in which an expectation ends."""

from __future__ import annotations

from typing import NoReturn

import msgspec

from coursecli.expect import counter
from coursecli.expect.payload import Failure
from coursecli.expect.words import brief, cut, visible

LONGEST = 600
"""How many characters of a sentence are kept."""
NOTHING_RETURNED = "None is what a function gives when its path ends without `return`: is one missing?"


class ExpectationFailed(AssertionError):  # noqa: N818
    """A failed expectation: `payload` is what differs, as plain data; `str()` is that as text.

    The kit's functions hide themselves from pytest's traceback (`__tracebackhide__`): it ends at the line of the test.
    """

    __module__ = "coursecli.expect"

    def __init__(self, payload: Failure) -> None:
        super().__init__(payload.summary)
        self.payload = payload

    def __str__(self) -> str:
        from coursecli.expect.text import plain

        return plain(self.payload)


def passed() -> None:
    """The expectation holds."""
    counter.evaluated()


def failed(failure: Failure, cause: BaseException | None = None) -> NoReturn:
    """The expectation does not hold. The words that a test put together may hold a learner's text: they are cleaned."""
    __tracebackhide__ = True
    counter.evaluated()
    words = {"what": cut(visible(failure.what), LONGEST), "summary": cut(visible(failure.summary), LONGEST)}
    raise ExpectationFailed(msgspec.structs.replace(failure, **words)) from cause


def wrong_type(
    actual: object,
    summary: str,
    *,
    expected: str,
    what: str,
    mistake: str | None,
    diagnosis: list[str] | None = None,
) -> NoReturn:
    """The expectation does not hold: what came out is no value of a kind that could be compared. None is explained."""
    __tracebackhide__ = True
    failed(
        Failure(
            kind="type",
            what=what,
            summary=summary,
            expected=expected,
            actual=brief(actual),
            diagnosis=diagnosis or nothing_returned(actual),
            mistake=mistake,
        )
    )


def nothing_returned(actual: object) -> list[str]:
    """What None in the place of a value means, as a sentence that is true wherever it came from."""
    return [NOTHING_RETURNED] if actual is None else []
