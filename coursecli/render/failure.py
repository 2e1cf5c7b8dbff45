"""A failed expectation for the terminal: the layout of `coursecli.expect.layout`, in colours that never speak alone."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from coursecli.course.manifest import Mistake
from coursecli.expect.layout import lay_out
from coursecli.expect.payload import Failure

STYLES = {
    "what": "bold",
    "summary": "",
    "label": "dim",
    "expected": "cyan",
    "actual": "",
    "differs": "bold yellow",
    "mark": "bold yellow",
    "faint": "dim",
    "plain": "",
    "diagnosis": "",
    "mistake": "bold",
}
"""Blue against yellow: the pair that every common kind of colour blindness keeps apart."""


def failure_view(failure: Failure, *, width: int, mistake: Mistake | None = None) -> RenderableType:
    """The whole failure in `width` columns (from 40); `mistake` is the one that the failure names, if any."""
    return Group(*(_line(line) for line in lay_out(failure, width, mistake.explanation if mistake else "")))


def _line(line: list[tuple[str, str]]) -> Text:
    text = Text(no_wrap=True, overflow="ignore")
    for words, role in line:
        text.append(words, style=STYLES[role])
    text.rstrip()
    return text
