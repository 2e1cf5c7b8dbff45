"""How many expectations have been evaluated: the runner refuses a test that passes without a single one."""

from __future__ import annotations

_evaluated = 0


def reset() -> None:
    """Start again at zero; the runner does so before each test."""
    global _evaluated
    _evaluated = 0


def count() -> int:
    """How many expectations have been evaluated since the last reset."""
    return _evaluated


def evaluated() -> None:
    """Called by every expectation once its verdict is known, whatever it is."""
    global _evaluated
    _evaluated += 1
