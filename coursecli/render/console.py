"""The one place that makes consoles, and `clean`, through which every text from outside the course reaches them."""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleDimensions, RenderableType
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

    Plain text, without any escape sequence, when `plain` is asked for, NO_COLOR is set, or the stream is no terminal.
    """
    stream = stream or sys.stdout
    bare = plain or bool(os.environ.get("NO_COLOR")) or not is_terminal(stream)
    return _Console(
        file=cast(TextIO, _Trimmed(stream)) if bare else stream,
        theme=THEME,
        markup=False,
        highlight=False,
        emoji=False,
        force_terminal=False if bare else None,
        color_system=None if bare else "auto",
        width=width,
    )


class _Trimmed:
    """A stream for plain text: the spaces with which tables fill their lines are left out."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(re.sub(r" +$", "", text, flags=re.MULTILINE))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Console(Console):
    """Keeps to a width at which text can be read, also when the terminal is resized.

    Leaves it to the caller what to do when nobody reads the output any more.
    """

    @property
    def size(self) -> ConsoleDimensions:
        width, height = super().size
        return ConsoleDimensions(max(MIN_WIDTH, min(width, MAX_WIDTH)), height)

    @size.setter
    def size(self, size: tuple[int, int]) -> None:
        self._width, self._height = size

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def is_terminal(stream: TextIO) -> bool:
    """Whether a person is watching `stream`, on a terminal that can move its cursor."""
    try:
        return stream.isatty() and os.environ.get("TERM", "") != "dumb"
    except (OSError, ValueError):
        return False


def clean(text: str, style: str = "") -> Text:
    """`text` as data: line breaks stay, every other control character is shown as its escape."""
    return Text(visible(text), style=style)


def visible(text: str) -> str:
    """`text` with every character that could steer a terminal, or hide, written as its escape; tabs become spaces.

    >>> visible("red: \x1b[31m")
    'red: \\\\x1b[31m'
    """
    lines = text.replace("\r\n", "\n").expandtabs(4).split("\n")
    if all(line.isascii() and line.isprintable() for line in lines):
        return "\n".join(lines)
    from coursecli.expect.words import visible as visible_line  # the kit's own rule; plain text does without the import

    return "\n".join(map(visible_line, lines))


def paged(console: Console, renderable: RenderableType) -> None:
    """Print in the user's pager when a person is watching, straight away otherwise."""
    if not console.is_terminal:
        console.print(renderable)
        return
    os.environ.setdefault("LESS", "-FRX")  # keeps colours; leaves a text that fits on the screen there
    with console.pager(styles=True):
        console.print(renderable)
