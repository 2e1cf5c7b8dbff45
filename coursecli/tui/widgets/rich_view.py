"""`RichView`: scrolls through a Rich renderable of any length. It is laid out in a thread, and drawn line by line.

So a key never waits for a long lesson, and a frame costs what is on the screen, not what could be.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from rich.console import Console, RenderableType
from rich.style import Style
from rich.theme import Theme
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.worker import get_current_worker

from coursecli.render.console import THEME

LEAST_WIDTH = 20
STYLES = Theme(
    {
        **THEME.styles,
        "markdown.h1": "bold",
        "markdown.h2": "bold blue",
        "markdown.h3": "bold",
        "markdown.h4": "bold dim",
        "markdown.code": "cyan",
        "markdown.block_quote": "dim",
    }
)
"""The command line's styles, and headings as quiet as the rest of the screen."""

Maker = Callable[[int], RenderableType]
"""Makes what is shown, for a width in columns. It is called in a thread."""


class RichView(ScrollView, can_focus=True):
    """Shows what a `Maker` makes, and makes it anew for another width."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False),
        Binding("k", "scroll_up", "Up", show=False),
        Binding("space", "page_down", "Next page", show=False),
    ]

    @dataclass
    class LaidOut(Message):
        """The lines of what one maker has made."""

        maker: Maker
        strips: list[Strip]
        width: int
        keep: bool
        at: str | None

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._maker: Maker | None = None
        self._made: Maker | None = None
        self._strips: list[Strip] = []
        self._width = 0
        self._wish: tuple[bool, str | None] | None = None
        """Where to scroll to (`keep`, `at`), until it is laid out: it may have no place yet, and it takes time."""
        self._place: str | None = None
        """What is shown, by name: as long as it is the same, the scroll position stays."""

    def show(self, maker: Maker, *, place: str, at: str | None = None) -> None:
        """Show something. What has the same `place` as before stays where it was scrolled to.

        With `at` it is scrolled to the first row that begins with this.
        """
        self._maker = maker
        self._lay_out(place == self._place, at)
        self._place = place

    @property
    def at_rest(self) -> bool:
        """What is wanted is on the screen, or there is no place for it."""
        return self._made is self._maker or not self.size.width

    @property
    def text(self) -> str:
        """What is shown, without its styles."""
        return "\n".join(strip.text.rstrip() for strip in self._strips)

    def on_resize(self) -> None:
        if self._wish is not None:
            self._lay_out(*self._wish)
        elif self._columns != self._width:
            self._lay_out(True, None)

    @property
    def _columns(self) -> int:
        return max(LEAST_WIDTH, self.scrollable_content_region.width)

    def _lay_out(self, keep: bool, at: str | None) -> None:
        if self._maker is None:
            return
        self._wish = (keep, at)
        if not self.size.width:  # it is hidden: on_resize comes as soon as there is a place for it
            return
        self._width = self._columns
        job = partial(self._make, self._maker, self._width, keep, at)
        self.run_worker(job, group=f"view-{id(self)}", exclusive=True, thread=True)

    def _make(self, maker: Maker, width: int, keep: bool, at: str | None) -> None:
        worker = get_current_worker()
        strips = laid_out(maker(width), width)
        if not worker.is_cancelled:
            self.post_message(self.LaidOut(maker, strips, width, keep, at))

    def on_rich_view_laid_out(self, made: LaidOut) -> None:
        if made.maker is not self._maker or made.width != self._width:
            return  # something else is wanted by now
        self._made, self._strips = made.maker, made.strips
        self.virtual_size = Size(made.width, len(made.strips))
        self._wish = None
        rows = (row for row, strip in enumerate(made.strips) if made.at and strip.text.startswith(made.at))
        row = next(rows, None)
        if row is not None:  # by force: the scrollbar of what was shown before may be missing still
            self.scroll_to(y=max(0, row - self.size.height // 3), animate=False, immediate=True, force=True)
        elif not made.keep:
            self.scroll_home(animate=False, immediate=True)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        x, top = self.scroll_offset
        number = top + y
        base = self.rich_style
        if number >= len(self._strips):
            return Strip.blank(self.size.width, base)
        strip = self._selected(self._strips[number], number).apply_style(base)
        return strip.crop_extend(x, x + self.size.width, base).apply_offsets(x, number)

    def _selected(self, strip: Strip, number: int) -> Strip:
        """The strip with what the mouse has selected marked."""
        selection = self.text_selection
        span = None if selection is None else selection.get_span(number)
        if span is None:
            return strip
        start, end = span
        end = strip.cell_length if end == -1 else min(end, strip.cell_length)
        marked = Style(
            bgcolor=self.screen.get_component_rich_style("screen--selection").bgcolor
        )  # its text has no colour
        parts = [strip.crop(0, start), strip.crop(start, end).apply_style(marked), strip.crop(end)]
        return Strip.join(parts)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return selection.extract(self.text), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()


def laid_out(renderable: RenderableType, width: int) -> list[Strip]:
    """The lines of a renderable. Colours are those of the theme that the application shows."""
    console = Console(
        file=io.StringIO(),
        theme=STYLES,
        width=width,
        force_terminal=True,
        color_system="truecolor",
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    lines = console.render_lines(renderable, console.options, pad=False)
    return [Strip([segment for segment in line if not segment.control]) for line in lines]
