"""A lesson's README in the terminal: Markdown by Rich, mathematics by `mathematics`, code untouched."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from rich.align import Align
from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.markdown import Markdown
from rich.padding import Padding
from rich.text import Text

from coursecli.render import mathematics
from coursecli.render.console import PROSE_WIDTH, visible

FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
HEADING = re.compile(r"^(#{1,6}) +(.*?)[ #]*$")
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
INLINE = re.compile(r"(?<![\\$])\$(?![\s$])((?:\\.|[^$\\\n]|\n(?!\s*\n))+?)(?<![\s\\])\$(?![\d$])")
"""As pandoc has it: no space inside either dollar, no digit after the second, so that "$5 and $6" stays text."""
DISPLAY = re.compile(r"(?<!\\)\$\$(.+?)(?<!\\)\$\$", re.DOTALL)
PUNCTUATION = re.compile(r"([\\`*_{}\[\]()#+.!|<>~$^=:&'\"-])")


def lesson_view(text: str, *, width: int) -> RenderableType:
    """The whole lesson, in at most 100 columns."""
    width = min(width, PROSE_WIDTH)
    parts: list[RenderableType] = []
    for kind, content in split(visible(text)):
        if kind == "display":
            block = Text(mathematics.display(content, width - 4), no_wrap=width >= 60)
            parts.append(Padding(Align.center(block), (1, 0)))
        else:
            code = kind == "code"
            parts.append(Markdown(content if code else with_inline(content), code_theme="ansi_dark"))
    return Constrain(Group(*parts), width)


def plain_lesson(text: str) -> Text:
    """The lesson's Markdown as it is written, each formula on one line: for a screen reader."""
    parts = []
    for kind, content in split(visible(text)):
        if kind == "display":
            parts.append(f"\n    {mathematics.inline(content)}\n")
        else:
            parts.append(content if kind == "code" else _outside_code(content, lambda formula: formula))
    return Text("".join(parts))


def section(text: str, title: str) -> str:
    """What stands under the heading with this title, down to the next of its rank; the whole text without one."""
    position, start, rank, fence = 0, 0, 0, ""
    for line in text.splitlines(keepends=True):
        mark, heading = FENCE.match(line), HEADING.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif heading and not fence:
            if rank and len(heading[1]) <= rank:
                return text[start:position]
            if not rank and heading[2] == title:
                start, rank = position, len(heading[1])
        position += len(line)
    return text[start:]


def split(text: str) -> Iterator[tuple[str, str]]:
    """The text in pieces, in order: "code" (a fenced block), "display" (between `$$`), "prose"."""
    prose: list[str] = []
    code: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = FENCE.match(line)
        if fence:
            code.append(line)
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                yield "code", "".join(code)
                fence, code = "", []
        elif mark:
            yield from _with_display("".join(prose))
            prose, code, fence = [], [line], mark[1]
        else:
            prose.append(line)
    yield from _with_display("".join(prose))
    if code:
        yield "code", "".join(code)


def _with_display(prose: str) -> Iterator[tuple[str, str]]:
    end = 0
    for match in DISPLAY.finditer(prose):
        if prose[end : match.start()].strip():
            yield "prose", prose[end : match.start()]
        yield "display", match[1]
        end = match.end()
    if prose[end:].strip():
        yield "prose", prose[end:]


def with_inline(prose: str) -> str:
    """Markdown with each `$…$` outside code replaced by Unicode, escaped so that Markdown leaves it alone."""
    return _outside_code(prose, lambda formula: PUNCTUATION.sub(r"\\\1", formula))


def _outside_code(prose: str, escaped: Callable[[str], str]) -> str:
    def inline(text: str) -> str:
        return INLINE.sub(lambda match: escaped(mathematics.inline(match[1])), text)

    pieces: list[str] = []
    end = 0
    for span in CODE_SPAN.finditer(prose):
        pieces += [inline(prose[end : span.start()]), span[0]]
        end = span.end()
    return "".join([*pieces, inline(prose[end:])])
