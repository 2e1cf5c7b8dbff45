"""The one place that makes consoles, and `clean`, through which every text that the course did not write reaches them."""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import TextIO

from rich.console import Console
from rich.text import Text
from rich.theme import Theme

MIN_WIDTH, MAX_WIDTH = 40, 200
PROSE_WIDTH = 100
"""Sentences longer than this are hard to follow from one line to the next."""

THEME = Theme(
    {
        "good": "green",
        "bad": "bold red",
        "wait": "yellow",
        "quiet": "dim",
        "command": "bold cyan",
        "title": "bold",
        "mark": "bold yellow",
    }
)


def make_console(stream: TextIO | None = None, *, plain: bool = False, width: int | None = None) -> Console:
    """A console on `stream` (standard output by default) that never reads markup in what it prints.

    Plain text, without any escape sequence, when `plain` is asked for, when NO_COLOR is set, and when the stream is no terminal.
    """
    stream = stream or sys.stdout
    bare = plain or bool(os.environ.get("NO_COLOR")) or not is_terminal(stream)
    console = Console(
        file=stream,
        theme=THEME,
        markup=False,
        highlight=False,
        emoji=False,
        force_terminal=False if bare else None,
        color_system=None if bare else "auto",
        width=width,
    )
    console.width = max(MIN_WIDTH, min(console.width, MAX_WIDTH))
    return console


def is_terminal(stream: TextIO) -> bool:
    """Whether a person is watching `stream`, on a terminal that can move its cursor."""
    try:
        return stream.isatty() and os.environ.get("TERM", "") != "dumb"
    except (OSError, ValueError):
        return False


def clean(text: str, style: str = "") -> Text:
    """`text` as data: line breaks stay, every other control character is shown as a picture of itself."""
    return Text(visible(text), style=style)


def visible(text: str) -> str:
    """`text` with every character that could steer a terminal, or hide, replaced by something that can be seen.

    >>> visible("red: \\x1b[31m")
    'red: ␛[31m'
    """
    text = text.replace("\r\n", "\n").expandtabs(4)
    if text.isascii() and text.replace("\n", " ").isprintable():
        return text
    return "".join(character if character == "\n" else _picture(character) for character in text)


def _picture(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character != "\u200d":
        return f"\\u{code:04x}"
    return character


def command(text: str) -> Text:
    """A command to type."""
    return Text(text, style="command")
