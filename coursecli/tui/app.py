"""`Dashboard`: the Textual application. It puts the desk, the screens and the themes together; the rest is theirs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.driver import Driver
from textual.drivers.web_driver import WebDriver
from textual.worker import WorkerFailed

from coursecli.render.console import THEME
from coursecli.tui.desk import Desk
from coursecli.tui.palette import Commands
from coursecli.tui.screens.help import Help
from coursecli.tui.screens.home import Home
from coursecli.tui.served import ServedDriver
from coursecli.tui.themes import DARK, LIGHT, ON_DARK, ON_LIGHT, remember_choice


class Dashboard(App[None]):
    TITLE = "intro2llm"
    CSS_PATH = "dashboard.tcss"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("ctrl+p", "command_palette", "Commands", show=False),
        Binding("t", "turn_theme", "Light or dark", show=False),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False),
        Binding("ctrl+c", "copy_or_quit", "Quit", show=False, priority=True),
    ]

    def __init__(self, desk: Desk, *, dark: bool) -> None:
        super().__init__(ansi_color=True if os.environ.get("NO_COLOR") else None)  # or it would only be grey
        self.desk = desk
        self.console.push_theme(THEME)  # the styles that the shared renderables name
        self.ansi_theme_dark, self.ansi_theme_light = ON_DARK, ON_LIGHT
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = (DARK if dark else LIGHT).name

    def get_driver_class(self) -> type[Driver]:
        """Textual's choice, but for a browser one that ends with its server."""
        chosen = super().get_driver_class()
        return ServedDriver if chosen is WebDriver else chosen

    @property
    def fault(self) -> BaseException | None:
        """What made the application end, when it was a fault of this program."""
        return self._exception.error if isinstance(self._exception, WorkerFailed) else self._exception

    def _print_error_renderables(self) -> None:
        """Nothing: whoever runs the application tells `fault`, as every command tells its own."""
        self._exit_renderables.clear()

    @property
    def home(self) -> Home | None:
        return next((screen for screen in self.screen_stack if isinstance(screen, Home)), None)

    def on_mount(self) -> None:
        with contextlib.suppress(NotImplementedError):  # a system without it
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit, None, 128 + signal.SIGTERM)
        self.push_screen(Home(self.desk))

    def action_help(self) -> None:
        if not isinstance(self.screen, Help):
            self.push_screen(Help())

    async def action_copy_or_quit(self) -> None:
        """In a browser this key means to copy, so there it never quits."""
        selected = self.screen.get_selected_text()
        if selected:
            self.copy_to_clipboard(selected)
            self.screen.clear_selection()
        elif not self.is_web:
            await self.action_quit()

    def action_turn_theme(self) -> None:
        chosen = LIGHT if self.current_theme.dark else DARK
        self.theme = chosen.name
        remember_choice(dark=chosen.dark)
