"""Lines of a learner's file: an excerpt around one of them, and where a symbol is defined. Nothing is imported."""

from __future__ import annotations

import ast
from pathlib import Path

from rich.table import Table
from rich.text import Text

from coursecli.course import symbols
from coursecli.errors import CourseError
from coursecli.files import parsed, read_source
from coursecli.render.console import visible

CONTEXT = 2


def excerpt(file: Path, line: int, *, fallback: str = "") -> Table:
    """The line with two lines before and after it; `fallback` when the file cannot be read any more."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=1, style="mark")
    table.add_column(justify="right", style="quiet", no_wrap=True)
    table.add_column(overflow="fold")
    lines = _lines(file)
    if line > len(lines):
        table.add_row(Text(">"), Text(str(line)), Text(visible(fallback)))
        return table
    first, last = max(1, line - CONTEXT), min(len(lines), line + CONTEXT)
    for number in range(first, last + 1):
        here = number == line
        table.add_row(
            Text(">" if here else ""), Text(str(number)), Text(lines[number - 1], style="title" if here else "")
        )
    return table


def places(file: Path, names: list[str]) -> list[tuple[str, int]]:
    """The functions that the file defines under these names, each with the line where its code begins.

    A constructor is left out when there is anything else: it is rarely where a wrong value comes from.
    """
    try:
        tree = parsed(read_source(file))
    except (OSError, CourseError, SyntaxError, ValueError):
        return []
    found = [(each.name, _first_line(each.node)) for name in names for each in symbols.functions_in(tree, name)]
    methods = [place for place in found if not place[0].endswith(".__init__")]
    return list(dict.fromkeys(methods or found))


def _first_line(node: ast.stmt) -> int:
    body = getattr(node, "body", [node])
    after = body[1:] if ast.get_docstring(node) is not None else body  # type: ignore[arg-type]
    return after[0].lineno if after else node.lineno


def definitions(source: str, names: list[str]) -> str:
    """The text of the named definitions, in the order of the file; the whole text when it does not parse."""
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError):
        return source
    lines = source.splitlines()
    found = [symbol for symbol in symbols.symbols(tree) if symbol.name in names and symbol.owner not in names]
    parts: list[str] = []
    owner = ""
    for symbol in found:
        if symbol.owner != owner:
            owner = symbol.owner
            parts += [f"class {owner}:"] if owner else []
        parts.append("\n".join(lines[symbol.start - 1 : symbol.end]) + "\n")
    return "\n".join(parts).rstrip("\n")


def _lines(file: Path) -> list[str]:
    try:
        text = read_source(file)
    except (OSError, CourseError):
        try:
            text = file.read_bytes().decode("utf-8", "backslashreplace")
        except OSError:
            return []
    return visible(text.replace("\r", "\n")).split("\n")
