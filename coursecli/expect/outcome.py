"""The exception that a failed expectation raises, and the two ways in which an expectation ends."""

from __future__ import annotations

from typing import NoReturn

from coursecli.expect import counter
from coursecli.expect.payload import Failure


class ExpectationFailed(AssertionError):  # noqa: N818
    """A failed expectation: `payload` is what differs, as plain data; `str()` is that as text."""

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
    """The expectation does not hold."""
    counter.evaluated()
    raise ExpectationFailed(failure) from cause
