"""The bar at the top: the pages, each with the key that leads to it, and how far the learner is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Static


class PageTab(Static):
    """The name of one page. The page that is shown is between brackets."""

    class Clicked(Message):
        def __init__(self, page: str) -> None:
            super().__init__()
            self.page = page

    def __init__(self, number: int, name: str, title: str) -> None:
        super().__init__(id=f"tab-{name}", classes="page-tab")
        self.page = name
        self._number = number
        self._title = title
        self.mark(False)

    def mark(self, chosen: bool) -> None:
        before, after = ("[", "]") if chosen else (" ", " ")
        self.set_class(chosen, "-chosen")
        self.update(Text.assemble(before, (f"{self._number} ", "dim"), self._title, after))

    def on_click(self) -> None:
        self.post_message(self.Clicked(self.page))


class PageBar(Horizontal):
    def __init__(self, pages: Sequence[tuple[str, str]]) -> None:
        super().__init__(id="page-bar")
        self._pages = pages

    def compose(self) -> ComposeResult:
        for number, (name, title) in enumerate(self._pages, start=1):
            yield PageTab(number, name, title)
        yield Static("", id="how-far")

    def choose(self, page: str) -> None:
        for tab in self.query(PageTab):
            tab.mark(tab.page == page)

    def tell(self, how_far: Text) -> None:
        self.query_one("#how-far", Static).update(how_far)
