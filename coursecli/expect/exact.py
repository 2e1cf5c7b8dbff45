"""Values that must be exactly equal: plain values, sequences of tokens, and text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coursecli.expect import numeric
from coursecli.expect.align import align
from coursecli.expect.close import expect_close
from coursecli.expect.equality import difference, same
from coursecli.expect.lookalikes import Lookalikes, first_match
from coursecli.expect.outcome import failed, passed
from coursecli.expect.payload import Failure
from coursecli.expect.words import brief, type_name, visible


def expect_equal(
    actual: object, expected: object, *, what: str, lookalikes: Lookalikes = None, mistake: str | None = None
) -> None:
    """`actual` is equal to `expected`, with the same types throughout: 1 is not True, a tuple is not a list."""
    if numeric.is_tensor(expected) or numeric.is_array(expected):
        return expect_close(actual, expected, what=what, rtol=0, atol=0, lookalikes=lookalikes, mistake=mistake)
    found = difference(actual, expected)
    if found is None:
        return passed()
    failed(
        Failure(
            kind="value",
            what=what,
            summary=found,
            expected=brief(expected),
            actual=brief(actual),
            mistake=mistake or _named(lookalikes, actual, expected),
        )
    )


def expect_tokens(
    actual: object, expected: Sequence[Any], *, what: str, lookalikes: Lookalikes = None, mistake: str | None = None
) -> None:
    """`actual` is a list (or tuple) of the same ids or pieces, in the same order."""
    wanted = list(expected)
    if not isinstance(actual, list | tuple):
        failed(
            Failure(
                kind="type",
                what=what,
                summary=f"This should be a list of tokens, but it is {type_name(actual)}.",
                expected=brief(wanted),
                actual=brief(actual),
                mistake=mistake,
            )
        )
    got = list(actual)
    if same(got, wanted):
        return passed()
    first = next((i for i, (left, right) in enumerate(zip(got, wanted)) if not same(left, right)), min(len(got), len(wanted)))
    failed(
        Failure(
            kind="tokens",
            what=what,
            summary=f"The tokens differ from position {first}.",
            expected=brief(wanted),
            actual=brief(got),
            facts={"length": f"{len(got)}, expected {len(wanted)}"},
            sequence=align([brief(token) for token in got], [brief(token) for token in wanted], str),
            mistake=mistake or _named(lookalikes, got, wanted, list),
        )
    )


def expect_text(
    actual: object, expected: str, *, what: str, lookalikes: Lookalikes = None, mistake: str | None = None
) -> None:
    """`actual` is exactly this string."""
    if type(actual) is not str:
        failed(
            Failure(
                kind="type",
                what=what,
                summary=f"This should be a string, but it is {type_name(actual)}.",
                expected=brief(expected),
                actual=brief(actual),
                mistake=mistake,
            )
        )
    if actual == expected:
        return passed()
    first = next((i for i, (left, right) in enumerate(zip(actual, expected)) if left != right), min(len(actual), len(expected)))
    failed(
        Failure(
            kind="text",
            what=what,
            summary=f"The text differs from character {first}.",
            expected=brief(expected),
            actual=brief(actual),
            sequence=align(actual, expected, visible),
            mistake=mistake or _named(lookalikes, actual, expected),
        )
    )


def _named(lookalikes: Lookalikes, actual: Any, expected: Any, convert: Any = lambda value: value) -> str | None:
    def matches(candidate: Any) -> bool:
        value = convert(candidate)
        return same(actual, value) and not same(value, expected)

    return first_match(lookalikes, matches)
