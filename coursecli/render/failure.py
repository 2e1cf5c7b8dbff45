"""A failed expectation for the terminal: the layout of `coursecli.expect.layout`, in colours that never speak alone."""

from __future__ import annotations

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from coursecli.course.manifest import Mistake
from coursecli.expect.layout import lay_out
from coursecli.expect.payload import Failure
from coursecli.render.console import clean

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
    """The whole failure in `width` columns (from 40), then the name and the explanation of the `mistake` that it shows.

    Without the mistake at hand, the one that the failure names is told by its id.
    """
    if mistake is None:
        return Group(*map(_line, lay_out(failure, width)))
    lines = map(_line, lay_out(msgspec.structs.replace(failure, mistake=None), width))
    return Group(*lines, Text(), clean(f"A known mistake: {mistake.name}", "mark"), clean(mistake.explanation))


def _line(line: list[tuple[str, str]]) -> Text:
    text = Text(no_wrap=True, overflow="ignore")
    for words, role in line:
        text.append(words, style=STYLES[role])
    text.rstrip()
    return text
