"""Insert and replace lines of a learner's text; every other byte stays: line ends, byte order mark, tabs."""

from __future__ import annotations

import ast
import re

from coursecli.course.symbols import Function, Symbol, reindent, tail

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_MARK = "\ufeff"
_IMPORTS, _CONSTANTS, _BELOW_TOP, _IN_CLASS, _AT_END = range(5)


def plain(text: str) -> str:
    """The text as Python sees it: no byte order mark, `\\n` line ends. Line numbers are those of the original."""
    return text.removeprefix(_MARK).replace("\r\n", "\n").replace("\r", "\n")


class Editor:
    """Collects changes by line number of the original (from 1), then writes the text once."""

    def __init__(self, text: str) -> None:
        self._mark = _MARK if text.startswith(_MARK) else ""
        self._lines: list[str] = _LINE.findall(text.removeprefix(_MARK))
        self.lines = plain(text).split("\n")
        """The original lines without their ends."""
        ends = {end: sum(line.endswith(end) for line in self._lines) for end in ("\n", "\r\n")}
        self._newline = "\r\n" if ends["\r\n"] * 2 > ends["\n"] else "\n"
        self._inserted: list[tuple[int, int, int, list[str]]] = []
        """After which line; which of the kinds above; for classes, the inner one first; the lines."""
        self._replaced: dict[int, tuple[int, list[str]]] = {}
        """First line → last line, the lines in their place."""

    def add_imports(self, theirs: ast.Module, lines: list[str]) -> None:
        """Put import lines after the imports at the top of the file, before any definition that may need them."""
        if lines:
            blank = [""] if isinstance(self._top(theirs)[1], ast.Expr) else []
            self._insert_at_top(theirs, _IMPORTS, [*blank, *lines])

    def add_constant(self, theirs: ast.Module, block: str) -> None:
        """Put an assignment below the imports at the top of the file, before any definition that may need it."""
        self._insert_at_top(theirs, _CONSTANTS, ["", *block.split("\n")])

    def _insert_at_top(self, theirs: ast.Module, kind: int, lines: list[str]) -> None:
        place, last = self._top(theirs)
        self._inserted.append((place, kind, 0, lines))
        closing = (place, _BELOW_TOP, 0, [""])
        if last is None and closing not in self._inserted:
            self._inserted.append(closing)

    def _top(self, theirs: ast.Module) -> tuple[int, ast.stmt | None]:
        """The last line, and statement, of the imports (or docstring, or comments) that the file begins with."""
        place = 0
        last: ast.stmt | None = None
        for node in theirs.body:
            if isinstance(node, Function | ast.ClassDef):
                break
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if isinstance(node, ast.Import | ast.ImportFrom) or (text and last is None):
                place, last = node.end_lineno or node.lineno, node
            elif node.lineno <= place:  # a statement that begins on the line of the import
                place = max(place, node.end_lineno or place)
        while last is None and place < len(self.lines) and self.lines[place].startswith("#"):
            place += 1
        return place, last

    def extend_class(self, home: Symbol, block: str) -> None:
        """Put `block` at the end of a class body, indented as that body is."""
        assert isinstance(home.node, ast.ClassDef)
        first = home.node.body[0]
        line = min([first.lineno, *(decorator.lineno for decorator in getattr(first, "decorator_list", []))])
        indent = self.indent(line)
        inserted = ["", *reindent(block, indent).split("\n")]
        self._inserted.append((tail(self.lines, home), _IN_CLASS, -len(indent), inserted))

    def append(self, block: str) -> None:
        """Put `block` at the end of the file, two blank lines below what is there."""
        above = ["", ""] if self._lines else []
        self._inserted.append((len(self._lines), _AT_END, 0, [*above, *block.split("\n")]))

    def replace(self, first: int, last: int, lines: list[str]) -> None:
        self._replaced[first] = (last, lines)

    def indent(self, line: int) -> str:
        """The white space that line begins with."""
        text = self.lines[line - 1]
        return text[: len(text) - len(text.lstrip())]

    def text(self) -> str:
        parts: list[str] = []
        skipped_to = 0
        inserted = sorted(self._inserted, key=lambda change: change[:3])
        for number in range(len(self._lines) + 1):
            if number in self._replaced:
                skipped_to, lines = self._replaced[number]
                parts += [line + self._newline for line in lines]
            elif number > skipped_to:
                parts.append(self._lines[number - 1])
            for _, _, _, lines in (change for change in inserted if change[0] == number):
                if parts and not parts[-1].endswith(("\r", "\n")):
                    parts.append(self._newline)
                parts += [line + self._newline for line in lines]
        return self._mark + "".join(parts)
