"""Two sequences aligned: equal runs (long ones left out), and runs replaced, missing or extra."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from coursecli.expect.payload import SequencePart

LONGEST = 300
"""How many items of the differing middle are aligned: the search is quadratic, and nobody reads more."""


def first_difference(actual: Sequence[object], expected: Sequence[object]) -> int:
    """The first position at which the two differ, or where the shorter one ends."""
    common = min(len(actual), len(expected))
    return next((index for index in range(common) if actual[index] != expected[index]), common)


def align(actual: Sequence[str], expected: Sequence[str], context: int) -> list[SequencePart]:
    """The runs of an alignment; of an equal run, the `context` items next to a difference stay."""
    head = first_difference(actual, expected)
    tail = 0
    while tail < min(len(actual), len(expected)) - head and actual[-1 - tail] == expected[-1 - tail]:
        tail += 1
    left, right = expected[head : len(expected) - tail], actual[head : len(actual) - tail]
    parts = _equal(expected[:head], 0, context, before=False)
    matcher = SequenceMatcher(None, left[:LONGEST], right[:LONGEST], autojunk=False)
    for op, start, end, other_start, other_end in matcher.get_opcodes():
        if op == "equal":
            parts += _equal(left[start:end], head + start, context)
        else:
            parts.append(
                SequencePart(
                    op=op,
                    expected=list(left[start:end]),
                    actual=list(right[other_start:other_end]),
                    position=head + start,
                )
            )
    cut = max(len(left), len(right)) - LONGEST
    if cut > 0:
        parts.append(SequencePart(op="cut", expected=[], actual=[], position=head + LONGEST, elided=cut))
    elif tail:
        parts += _equal(expected[len(expected) - tail :], len(expected) - tail, context, after=False)
    return parts


def _equal(
    items: Sequence[str], position: int, context: int, before: bool = True, after: bool = True
) -> list[SequencePart]:
    """An equal run; `before` and `after` say whether a difference stands on that side."""
    first, last = context if before else 0, context if after else 0
    if len(items) <= first + last + 2:
        return [_run(items, position)] if items else []
    hidden = SequencePart(
        op="elided", expected=[], actual=[], position=position + first, elided=len(items) - first - last
    )
    ends = [_run(items[:first], position), hidden, _run(items[len(items) - last :], position + len(items) - last)]
    return [part for part in ends if part.expected or part.elided]


def _run(items: Sequence[str], position: int) -> SequencePart:
    return SequencePart(op="equal", expected=list(items), actual=list(items), position=position)
