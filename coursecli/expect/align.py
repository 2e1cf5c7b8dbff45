"""Two sequences aligned: equal runs, and runs replaced, missing or extra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Any

from coursecli.expect.payload import SequencePart


def align(
    actual: Sequence[Any], expected: Sequence[Any], show: Callable[[Any], str], context: int = 6
) -> list[SequencePart]:
    """The runs of an alignment of `actual` with `expected`."""
    matcher = SequenceMatcher(None, expected, actual, autojunk=False)
    return [
        SequencePart(
            op=op,
            expected=[show(item) for item in expected[left:right]],
            actual=[show(item) for item in actual[start:end]],
            position=left,
        )
        for op, left, right, start, end in matcher.get_opcodes()
    ]
