"""A recipe on the screen: text as it comes, what the learner's code prints meanwhile, figures, tables, a bad end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.status import Status
from rich.table import Table as Grid
from rich.text import Text

from coursecli.expect.words import plural
from coursecli.recipes.outputs import speed
from coursecli.render.console import clean, visible
from coursecli.render.source import excerpt

if TYPE_CHECKING:
    from coursecli.check.results import Frame
    from coursecli.recipes.endings import LearnerFailure
    from coursecli.recipes.events import Answer, Progress, Started, Table

CALLERS = 3
LONG = 10_000
"""Progress towards as much as this is told as a share: nobody compares such numbers while they change."""


class Screen:
    """Where a recipe's words go. Texts and results are on standard output, all that is said about them on the other.

    The two are often one terminal: a line that one of them has begun there is ended before the other writes.
    """

    def __init__(self, out: Console, aside: Console) -> None:
        self.out = out
        self.aside = aside
        self.seen: Callable[[], AbstractContextManager[None]] = nullcontext
        """Surrounds the writing of what the learner's code prints: it decides what a terminal that is gone means."""
        self._status: Status | None = None
        self._begun: set[TextIO] = set()
        """The streams on which a line has been begun."""

    def wait(self, words: str) -> None:
        """Show that something is going on, until anything else is shown. In a terminal only."""
        if not self.aside.is_terminal:
            return
        line = clean(words)
        line.no_wrap = True
        line.truncate(max(20, self.aside.width - 4), overflow="ellipsis")
        if self._status is None:
            self.settle()
            self._status = Status(line, console=self.aside)
            self._status.start()
        else:
            self._status.update(line)

    def settle(self) -> None:
        """Nothing is going on any more; in a terminal, what comes next begins on a line of its own."""
        if self._status is not None:
            self._status.stop()
            self._status = None
        self._part_from(self._begun)

    def text(self, piece: str) -> None:
        """A piece of text, at once. It is data: nothing in it can steer the terminal."""
        self._write(sys.stdout, piece)

    def end_text(self) -> None:
        """The text is over: its last line ends."""
        if sys.stdout in self._begun:
            self._end_line(sys.stdout)

    def printed(self, piece: str) -> None:
        """What the learner's code printed."""
        with self.seen():
            self._write(sys.stderr, piece)

    def say(self, line: str | Text) -> None:
        """A line about the text."""
        self.settle()
        words = clean(line) if isinstance(line, str) else line
        self.aside.print(words, soft_wrap=not self.aside.is_terminal)

    def over_the_echo(self) -> None:
        """The terminal has written ^C: what comes next goes over it."""
        if self.aside.is_terminal:
            self._part_from(self._begun)
            sys.stderr.write("\r")

    def show(self, view: RenderableType) -> None:
        """A result."""
        self.settle()
        self.out.print(view)

    def progress(self, event: Progress) -> None:
        of = ""
        if event.total:
            counted = 1 < event.total < LONG
            of = f" {event.done:g} of {event.total:g}" if counted else f" {event.done / event.total:.0%}"
        self.wait(f"{event.what}{of}")

    def _write(self, stream: TextIO, piece: str) -> None:
        if self._status is not None:
            self.settle()
        self._part_from(self._begun - {stream})
        stream.write(visible(piece))
        stream.flush()
        if piece.endswith("\n"):
            self._begun.discard(stream)
        elif piece:
            self._begun.add(stream)

    def _part_from(self, others: set[TextIO]) -> None:
        """End the lines of these streams that are on the terminal."""
        for stream in [each for each in others if each.isatty()]:
            self._end_line(stream)

    def _end_line(self, stream: TextIO) -> None:
        self._begun.discard(stream)
        stream.write("\n")
        stream.flush()


def figures(started: Started, answer: Answer) -> Text:
    """The quiet line under a text."""
    seed = "" if started.seed is None else f", seed {started.seed}"
    run = "random weights" if started.what == "random" else started.what
    words = f"{plural(answer.tokens, 'token')}, {speed(answer):.1f} tokens/s, {started.device}, {run}{seed}"
    return clean(words, "quiet")


def table_view(table: Table, *, width: int) -> RenderableType:
    """A recipe's table with its notes. Where the columns do not fit beside each other, each row is a small list."""
    lines = [table.columns, *table.rows]
    natural = sum(max(cell_len(visible(line[place])) for line in lines) for place in range(len(table.columns)))
    parts: list[RenderableType] = [clean(table.title, "title"), Text()]
    if natural + 2 * len(table.columns) - 2 <= width:
        grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in table.columns:
            grid.add_column(clean(column, "quiet"), no_wrap=True)
        for row in table.rows:
            grid.add_row(*map(clean, row))
        parts += [grid, Text()]
    else:
        for row in table.rows:
            grid = Grid.grid(padding=(0, 2, 0, 0))
            grid.add_column(no_wrap=True)
            grid.add_column(overflow="fold")
            for column, cell in zip(table.columns[1:], row[1:]):
                if cell:
                    grid.add_row(clean(f"  {column}", "quiet"), clean(cell))
            parts += [clean(row[0], "title"), grid, Text()]
    return Group(*parts, *(clean(note, "quiet") for note in table.notes))


def failure_view(failure: LearnerFailure, root: Path) -> RenderableType:
    """What the learner's code did, and their lines."""
    parts: list[RenderableType] = [clean(failure.message, "bad")]
    if failure.frames:
        last = failure.frames[-1]
        parts += [Text(), clean(f"{'Given code' if failure.given else 'Your code'}: {_place(last)}")]
        parts += [excerpt(root / last.file, last.line, fallback=last.source)]
        parts += [clean(f"called from {_place(frame)}", "quiet") for frame in failure.frames[-2 : -2 - CALLERS : -1]]
    return Group(*parts)


def _place(frame: Frame) -> str:
    return f"{frame.file}:{frame.line}" + (f" in {frame.function}" if frame.function else "")
