"""Values that must be exactly equal: plain values, sequences of tokens, and text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from coursecli.expect import numeric
from coursecli.expect.align import align, first_difference
from coursecli.expect.close import expect_close
from coursecli.expect.equality import difference, missing_and_extra, same
from coursecli.expect.factors import name_factor, simplest
from coursecli.expect.lookalikes import Lookalikes, first_match
from coursecli.expect.outcome import failed, nothing_returned, passed, wrong_type
from coursecli.expect.payload import Failure
from coursecli.expect.strings import named_characters, text_patterns
from coursecli.expect.words import article, brief, listed, plural, type_name, visible

SCALARS = (int, str, float, bool, bytes)


def expect_equal(
    actual: object, expected: object, *, what: str, lookalikes: Lookalikes = None, mistake: str | None = None
) -> None:
    """`actual` is equal to `expected`, with the same types throughout: 1 is not True, a tuple is not a list."""
    __tracebackhide__ = True
    if numeric.is_tensor(expected) or numeric.is_array(expected):
        expect_close(actual, expected, what=what, rtol=0, atol=0, lookalikes=lookalikes, mistake=mistake)
        return
    found = difference(actual, expected)
    if found is None:
        passed()
        return
    mistake = mistake or _named(lookalikes, actual, expected)
    if type(expected) is str and type(actual) is str:
        failed(_text_failure(actual, expected, what, mistake))
    if type(actual) is type(expected) and _flat(actual) and _flat(expected):
        failed(_row_failure(list(actual), list(expected), what, mistake, noun="item"))  # type: ignore[call-overload]
    failed(
        Failure(
            kind="value",
            what=what,
            summary=found,
            expected=brief(expected, 400),
            actual=brief(actual, 400),
            diagnosis=nothing_returned(actual) or _value_patterns(actual, expected),
            mistake=mistake,
        )
    )


def expect_tokens(
    actual: object, expected: Sequence[Any], *, what: str, lookalikes: Lookalikes = None, mistake: str | None = None
) -> None:
    """`actual` is a list (or tuple) of the same ids or pieces, in the same order."""
    __tracebackhide__ = True
    wanted = list(expected)
    if type(actual) not in (list, tuple):
        wrong_type(
            actual,
            f"This should be a list of tokens, but it is {article(type_name(actual))}.",
            expected=brief(wanted),
            what=what,
            mistake=mistake,
        )
    got = list(actual)  # type: ignore[call-overload]
    if same(got, wanted):
        passed()
        return
    mistake = mistake or _named(lookalikes, got, wanted, list)
    failed(_row_failure(got, wanted, what, mistake, noun="token"))


def expect_text(
    actual: object, expected: str, *, what: str, lookalikes: Lookalikes = None, mistake: str | None = None
) -> None:
    """`actual` is exactly this string."""
    __tracebackhide__ = True
    if type(actual) is not str:
        wrong_type(
            actual,
            f"This should be a string, but it is {article(type_name(actual))}.",
            expected=brief(expected),
            what=what,
            mistake=mistake,
        )
    if actual == expected:
        passed()
        return
    failed(_text_failure(actual, expected, what, mistake or _named(lookalikes, actual, expected)))


def _flat(value: object) -> bool:
    """A list or tuple of plain values, which reads well as a row."""
    return type(value) in (list, tuple) and all(type(item) in SCALARS for item in value)  # type: ignore[attr-defined]


def _row_failure(got: list[Any], wanted: list[Any], what: str, mistake: str | None, *, noun: str) -> Failure:
    shown, sought = [brief(token, 60) for token in got], [brief(token, 60) for token in wanted]
    first = next((i for i, pair in enumerate(zip(got, wanted)) if not same(*pair)), min(len(got), len(wanted)))
    if first == len(got):
        missing = plural(len(wanted) - first, f"{noun} is", f"{noun}s are")
        summary = f"It ends after {plural(len(got), noun)}: {missing} missing."
    elif first == len(wanted):
        summary = f"It goes on after the last expected {noun}: {plural(len(got) - first, noun)} too many."
    else:
        summary = f"The {noun}s differ from position {first} on: expected {sought[first]}, but it is {shown[first]}."
        if len(got) == len(wanted) and all(map(same, got[first + 1 :], wanted[first + 1 :])):
            summary = f"One {noun} differs, at position {first}: expected {sought[first]}, but it is {shown[first]}."
    return Failure(
        kind="tokens",
        what=what,
        summary=summary,
        expected=brief(wanted),
        actual=brief(got),
        facts={"length": f"{len(got)}, expected {len(wanted)}"} if len(got) != len(wanted) else {},
        diagnosis=_row_patterns(got, wanted, first, noun),
        sequence=align(shown, sought, context=6),
        mistake=mistake,
    )


def _row_patterns(got: list[Any], wanted: list[Any], first: int, noun: str) -> list[str]:
    """What may have happened to a sequence, as sentences that are true."""
    kinds = {type_name(token) for token in got} - {type_name(token) for token in wanted}
    if kinds and wanted:
        return [f"There are items of type {' and '.join(sorted(kinds))}; expected has none of them."]
    if not got:
        return ["It is empty."]
    if same(got, wanted[::-1]):
        return ["The order is reversed."]
    numbers = all(type(token) is int for token in [*got, *wanted])
    if numbers and len(got) == len(wanted) > 1 and len({a - b for a, b in zip(got, wanted)}) == 1:
        step = got[0] - wanted[0]
        return [f"Every {'id' if noun == 'token' else noun} is {abs(step)} too {'large' if step > 0 else 'small'}."]
    if len(got) > 1 and sorted(map(brief, got)) == sorted(map(brief, wanted)):
        return [f"These are the expected {noun}s, in another order."]
    if len(got) == len(wanted) > 2 and 2 * sum(map(same, got[1:], wanted)) > len(got) and same(got[1:], wanted[:-1]):
        return ["Everything is shifted by one position, later."]
    if len(got) == len(wanted) > 2 and same(got[:-1], wanted[1:]):
        return ["Everything is shifted by one position, earlier."]
    if first < len(got) > len(wanted) and same(got[len(got) - len(wanted) :], wanted):
        extra = len(got) - len(wanted)
        return [f"{plural(extra, f'extra {noun} stands', f'extra {noun}s stand')} at the start; the rest is right."]
    return []


def _text_failure(actual: str, expected: str, what: str, mistake: str | None) -> Failure:
    first = first_difference(actual, expected)
    if first == len(actual):
        summary = f"The text ends after {plural(first, 'character')}; {len(expected)} are expected."
    elif first == len(expected):
        summary = f"The text goes on after the end: {plural(len(actual) - first, 'character')} too many."
    else:
        summary = f"The text differs from character {first} on."
    return Failure(
        kind="text",
        what=what,
        summary=summary,
        expected=brief(expected),
        actual=brief(actual),
        facts=named_characters(actual, expected, first),
        diagnosis=text_patterns(actual, expected),
        sequence=align([visible(c) for c in actual], [visible(c) for c in expected], context=24),
        mistake=mistake,
    )


def _value_patterns(actual: object, expected: object) -> list[str]:
    """What may have happened to a number, a set or a dict, as sentences that are true."""
    if type(actual) is int and type(expected) is int:
        if abs(actual - expected) == 1:
            return [f"It is one too {'large' if actual > expected else 'small'}."]
        if abs(actual) < 2**53 and 0 < abs(expected) < 2**53 and simplest(actual / expected):
            return [f"Actual is {name_factor(actual / expected)} times expected."]
    if type(expected) in (set, frozenset, dict) and type(actual) is type(expected):
        missing, extra = missing_and_extra(actual, expected)  # type: ignore[arg-type]
        words = ((missing, "Missing"), (extra, "Extra"))
        return [f"{word}: {listed(map(brief, part))}." for part, word in words if part]
    return []


def _named(
    lookalikes: Lookalikes, actual: Any, expected: Any, convert: Callable[[Any], Any] = lambda value: value
) -> str | None:
    def matches(candidate: Any) -> bool:
        value = convert(candidate)
        return same(actual, value) and not same(value, expected)

    return first_match(lookalikes, matches)
