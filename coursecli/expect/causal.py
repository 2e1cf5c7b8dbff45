"""Causality: what stands at a position may depend on it and on the past, never on what comes later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coursecli.expect import numeric
from coursecli.expect.outcome import failed, passed
from coursecli.expect.payload import Failure


def expect_causal(
    function: Callable[[Any], Any], x: Any, *, what: str, axis: int = 1, mistake: str | None = None
) -> None:
    """Changing `x` at one position of `axis` leaves the outputs before it as they are, and changes those from it on."""
    import numpy

    with __import__("torch").no_grad():
        base = numeric.read(function(x)).data
        for changed in range(x.shape[axis]):
            other = x.clone()
            place = [slice(None)] * x.ndim
            place[axis] = changed
            other[tuple(place)] = other[tuple(place)] + 1.5 if x.is_floating_point() else (other[tuple(place)] == 0).to(x.dtype)
            now = numeric.read(function(other)).data
            moved = ~numeric.agree(now, base, 1e-5, 1e-5)
            axes = tuple(a for a in range(moved.ndim) if a != axis % moved.ndim)
            per_position = moved.any(axis=axes)
            leaks = numpy.flatnonzero(per_position[:changed])
            if leaks.size:
                failed(
                    Failure(
                        kind="causality",
                        what=what,
                        summary=f"Position {int(leaks[0])} sees position {changed}, which comes later.",
                        mistake=mistake,
                    )
                )
            if not per_position[changed:].any():
                failed(
                    Failure(
                        kind="causality",
                        what=what,
                        summary=f"Changing position {changed} changes nothing from there on.",
                        mistake=mistake,
                    )
                )
    passed()
