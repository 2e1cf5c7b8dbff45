"""Two calm themes, light and dark, and the sixteen colours in which the shared renderables are drawn."""

from __future__ import annotations

import contextlib
import os

from rich.terminal_theme import TerminalTheme
from textual.theme import Theme

from coursecli.course.workspace import config_dir
from coursecli.errors import CourseError
from coursecli.files import atomic_write

DARK = Theme(
    name="intro2llm-dark",
    dark=True,
    primary="#7fa8cf",
    secondary="#6f8fae",
    accent="#e0b566",
    success="#93b97a",
    warning="#e0b566",
    error="#e08c7f",
    foreground="#d3d7dd",
    background="#15181d",
    surface="#15181d",
    panel="#1d2128",
    variables={
        "footer-background": "#1d2128",
        "footer-key-foreground": "#7fa8cf",
        "block-cursor-background": "#2c3b4b",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#22282f",
    },
)
LIGHT = Theme(
    name="intro2llm-light",
    dark=False,
    primary="#2a5f8f",
    secondary="#4d6f8f",
    accent="#8a5d00",
    success="#3f6f2a",
    warning="#8a5d00",
    error="#a83a2a",
    foreground="#23272d",
    background="#fbfaf7",
    surface="#fbfaf7",
    panel="#f0eee8",
    variables={
        "footer-background": "#f0eee8",
        "footer-key-foreground": "#2a5f8f",
        "block-cursor-background": "#cfdeec",
        "block-cursor-foreground": "#10161d",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#e6e4dd",
    },
)


CHOICE = "dashboard_theme"
"""The file in the user's config folder that holds "light" or "dark"."""


def prefers_dark() -> bool:
    """What was chosen last; else what the terminal says of its background; else dark."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (config_dir() / CHOICE).read_text(encoding="utf-8").strip() != "light"
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return background not in ("7", "15")


def remember_choice(*, dark: bool) -> None:
    """It is a convenience: a home that cannot be written is no error."""
    with contextlib.suppress(OSError, CourseError):
        config_dir().mkdir(parents=True, exist_ok=True)
        atomic_write(config_dir() / CHOICE, "dark\n" if dark else "light\n")


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _sixteen(background: str, foreground: str, normal: str, bright: str) -> TerminalTheme:
    colours = [[_rgb(colour) for colour in row.split()] for row in (normal, bright)]
    return TerminalTheme(_rgb(background), _rgb(foreground), *colours)


# black, red, green, yellow, blue, magenta, cyan, white; then the bright ones
ON_DARK = _sixteen(
    "#15181d",
    "#d3d7dd",
    "#15181d #e08c7f #93b97a #e0b566 #7fa8cf #b99ac9 #79b5bf #d3d7dd",
    "#6b7480 #f0a397 #a9cf90 #f0c97d #98bfe3 #cfb1de #92cbd5 #ffffff",
)
ON_LIGHT = _sixteen(
    "#fbfaf7",
    "#23272d",
    "#23272d #a83a2a #3f6f2a #8a5d00 #2a5f8f #7a4890 #1c6b78 #5a616b",
    "#7a828c #bb4a38 #4f8238 #9d6c08 #3a70a2 #8a58a0 #2c7b88 #23272d",
)
