"""A failure as plain text, for plain pytest and for logs."""

from __future__ import annotations

from coursecli.expect.layout import lay_out
from coursecli.expect.payload import Failure


def plain(failure: Failure, width: int = 98) -> str:
    """What was compared, what differs, the neighbourhood and the diagnosis (pytest adds two columns of its own)."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lay_out(failure, width))
