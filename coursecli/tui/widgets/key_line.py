"""`KeyLine`: the keys that mean something now, below everything else. A click does what the key does.

Textual's `Footer` makes a widget for each key, all anew whenever the focus moves: nearly half of the time of a frame.
"""

from __future__ import annotations

from textual.content import Content
from textual.screen import Screen
from textual.style import Style
from textual.widgets import Static

Offered = list[tuple[str, str, str]]
"""Each key: its name, as it is shown, and what it does."""


class KeyLine(Static):
    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__(id="keys")
        self.auto_links = False  # they would all have the colour of links
        self._offered: Offered = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._look, immediate=True)
        self._look(self.screen)

    def _look(self, screen: Screen[object]) -> None:
        offered = _offered(screen)
        if offered != self._offered:
            self._offered = offered
            self.update(Content("").join(_key(*each) for each in offered))


def _offered(screen: Screen[object]) -> Offered:
    """Of several keys that do the same, the first."""
    found: dict[str, tuple[str, str, str]] = {}
    for _, binding, enabled, _ in screen.active_bindings.values():
        if binding.show and enabled and binding.action not in found:
            found[binding.action] = (binding.key, screen.app.get_key_display(binding), binding.description)
    return list(found.values())


def _key(name: str, shown: str, words: str) -> Content:
    key = Content.assemble((f" {shown} ", "bold $footer-key-foreground"), f"{words} ")
    return key.stylize(Style.from_meta({"@click": f"app.simulate_key({name!r})"}))
