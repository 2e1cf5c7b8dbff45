"""What some exceptions mean: those whose own message is true, and does not say what to write."""

from __future__ import annotations

import re

_EXPLANATIONS: list[tuple[tuple[type[BaseException], ...], str, str]] = [
    ((MemoryError,), "", "It needed more memory than the lesson allows."),
    ((Exception,), "allocate memory", "It needed more memory than the lesson allows."),
    (
        (AttributeError,),
        r"before Module\.__init__\(\) call|has no attribute '_(modules|parameters|buffers|\w+_hooks)'",
        "`super().__init__()` has to be the first line of `__init__`: before it, a module can hold no parameters, no "
        "buffers and no other modules.",
    ),
    (
        (TypeError, AttributeError),
        r"\bNoneType\b",
        "Something here is None: an argument that was left out, or what a function gives whose path ends without "
        "`return`.",
    ),
]
"""The types, what is found in the message, and what it means."""


def explanation(error: BaseException, message: str) -> str:
    """What the exception means, in a sentence; empty when its message says enough."""
    for types, pattern, words in _EXPLANATIONS:
        if isinstance(error, types) and re.search(pattern, message):
            return words
    return ""
