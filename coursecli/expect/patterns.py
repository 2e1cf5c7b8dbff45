"""The pattern in wrong values, as sentences that are true of them."""

from __future__ import annotations

from typing import Any


def describe(actual: Any, expected: Any, agreeing: Any, rtol: float, atol: float, names: list[str]) -> list[str]:
    """At most three sentences, the most specific first."""
    return []
