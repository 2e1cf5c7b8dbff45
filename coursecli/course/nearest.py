"""Names near to one that is not known: those that begin with it, then those that hold it, else those spelled alike."""

from __future__ import annotations

from collections.abc import Iterable

MOST = 3
LEAST = 2
"""A single letter is in too many names."""


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """`Did you mean bpe-training, bpe-encoding or bpe-save-load?`; empty when no name is near."""
    near = nearest(typed, known)
    if not near:
        return ""
    first = f"{', '.join(near[:-1])} or " if len(near) > 1 else ""
    return f"Did you mean {first}{near[-1]}?"


def nearest(typed: str, known: Iterable[str]) -> list[str]:
    """The names that come to mind first, at most three; case, hyphens and underscores do not count."""
    plain = {name: _plain(name) for name in known}
    wanted = _plain(typed)
    begin = [name for name, text in plain.items() if text.startswith(wanted)]
    hold = [name for name, text in plain.items() if wanted in text and name not in begin]
    if len(wanted) >= LEAST and (begin or hold):
        return [*begin, *hold][:MOST]
    from difflib import get_close_matches  # only when something is unknown

    return get_close_matches(typed.lower(), plain, n=MOST, cutoff=0.5)


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character not in "-_ ")
