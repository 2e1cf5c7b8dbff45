"""How work grows with size: counted steps or bytes, never time."""

from __future__ import annotations

import math
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Literal

from coursecli.expect.outcome import failed, passed
from coursecli.expect.payload import Failure
from coursecli.expect.words import number


def expect_growth(
    function: Callable[[Any], Any],
    sizes: Sequence[int],
    *,
    at_most: float,
    what: str,
    measure: Literal["steps", "memory"] = "steps",
    prepare: Callable[[int], Any] | None = None,
    mistake: str | None = None,
) -> None:
    """The work of `function(size)` grows at most like size^`at_most`. `prepare(size)` makes its argument, uncounted."""
    count = _steps if measure == "steps" else _memory
    amounts = [max(1, count(function, prepare(size) if prepare else size)) for size in sizes]
    exponent = slope([math.log(size) for size in sizes], [math.log(amount) for amount in amounts])
    if exponent <= at_most:
        return passed()
    word = "work" if measure == "steps" else "memory"
    failed(
        Failure(
            kind="growth",
            what=what,
            summary=f"The {word} grows like n^{exponent:.2f}; at most n^{number(at_most)} is expected.",
            facts={f"n = {size}": f"{amount} {'steps' if measure == 'steps' else 'bytes'}" for size, amount in zip(sizes, amounts)},
            mistake=mistake,
        )
    )


def slope(xs: list[float], ys: list[float]) -> float:
    """The least-squares slope."""
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys)) / sum((a - x) ** 2 for a in xs)


def _steps(function: Callable[[Any], Any], argument: Any) -> int:
    steps = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal steps
        steps += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(argument)
    finally:
        sys.settrace(before)
    return steps


def _memory(function: Callable[[Any], Any], argument: Any) -> int:
    tracemalloc.start()
    try:
        function(argument)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
