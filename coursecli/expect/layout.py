"""A failure as lines of marked words for a given width: the one layout behind plain text and the terminal's colours.

A line is a list of (text, role); a role says what the words are, and the renderer decides how that looks. What differs
is marked with a sign as well (`≠` differs, `−` missing, `+` extra), so that nothing depends on colour.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from itertools import zip_longest

from coursecli.expect.payload import Cell, Failure, Grid, SequencePart, ShapePart
from coursecli.expect.words import escape, plural, visible

Role = str
"""what, summary, label, expected, actual, differs, mark, faint, plain, diagnosis, mistake"""
Line = list[tuple[str, Role]]

NARROW = 70
INDENT, GAP = "  ", "   "
BANDS = 4
"""How many bands of an aligned sequence are shown."""
DIFFERS, MISSING, EXTRA = "≠", "−", "+"


def lay_out(failure: Failure, width: int) -> list[Line]:
    """All lines of a failure; the mistake that it names is told by its id."""
    width = max(width, 24)
    blocks = [
        _wrapped(failure.what, "what", width) + _wrapped(failure.summary, "summary", width),
        _evidence(failure, width),
        _facts(failure.facts, width),
        [line for sentence in failure.diagnosis for line in _wrapped(sentence, "diagnosis", width, "→ ", "  ")],
        _mistake(failure.mistake, width),
    ]
    lines: list[Line] = []
    for block in blocks:
        if block:
            lines += ([[("", "plain")]] if lines else []) + block
    return lines


def _evidence(failure: Failure, width: int) -> list[Line]:
    if failure.shape:
        return _shape_table(failure.shape)
    if failure.sequence:
        return _sequence(failure.sequence, width, " " if failure.kind == "tokens" else "")
    if failure.grid and failure.grid.rows:
        return _grid(failure.grid, width)
    if failure.expected or failure.actual:
        return _both(failure.expected, failure.actual, width)
    return []


def _both(expected: str, actual: str, width: int) -> list[Line]:
    """Two texts: side by side where there is room for both, else one above the other."""
    half = (width - len(INDENT) - 3) // 2
    if width < NARROW or cells(visible(expected)) > 3 * half or cells(visible(actual)) > 3 * half:
        return [
            *_wrapped(expected or "nothing", "expected", width, f"{INDENT}expected  ", f"{INDENT}          "),
            *_wrapped(actual or "nothing", "actual", width, f"{INDENT}actual    ", f"{INDENT}          "),
        ]
    left, right = wrap(visible(expected or "nothing"), half), wrap(visible(actual or "nothing"), half)
    wide = max([8, *map(cells, left)])
    lines: list[Line] = [[(INDENT + pad("expected", wide) + "   actual", "label")]]
    for one, other in zip_longest(left, right, fillvalue=""):
        lines.append([(INDENT + pad(one, wide) + "   ", "expected"), (other, "actual")])
    return lines


def _facts(facts: dict[str, str], width: int) -> list[Line]:
    wide = max([cells(visible(name)) for name in facts], default=0)
    lines: list[Line] = []
    for name, value in facts.items():
        head = INDENT + pad(visible(name), wide) + "  "
        lines += _wrapped(value, "plain", width, head, " " * cells(head))
    return lines


def _mistake(mistake: str | None, width: int) -> list[Line]:
    return _wrapped(f"This points to “{mistake}” in the lesson's mistakes.yaml.", "mistake", width) if mistake else []


def _shape_table(parts: list[ShapePart]) -> list[Line]:
    names = [visible(part.name) for part in parts]
    wide = max([4, *map(cells, names)])
    lines: list[Line] = [[(f"{INDENT}{pad('axis', wide)}  {'expected':>8}  {'actual':>8}", "label")]]
    for name, part in zip(names, parts):
        differs = part.expected != part.actual
        lines.append(
            [
                (f"{INDENT}{pad(name, wide)}  ", "plain"),
                (f"{_size(part.expected):>8}  ", "expected"),
                (f"{_size(part.actual):>8}", "differs" if differs else "plain"),
                (f"  {DIFFERS}" if differs else "", "mark"),
            ]
        )
    return lines


def _size(size: int | None) -> str:
    return "–" if size is None else str(size)


def _grid(grid: Grid, width: int) -> list[Line]:
    """Two small matrices, side by side where at least three columns (or all) fit twice, else one above the other."""
    names = [visible(name) for name in grid.row_labels]
    lead = len(INDENT) + max([0, *map(cells, names)])
    narrow, wide = _cell_widths(grid)
    total = len(grid.column_labels)
    fitting = (width - lead - len(GAP)) // (narrow + wide)
    beside = width >= NARROW and fitting >= min(total, 3)
    count = min(total, fitting) if beside else max(1, min(total, (width - lead) // wide))
    start = max(0, min(grid.column - count // 2, total - count))
    columns = range(start, start + count)
    edge = " " * lead
    heads = [visible(grid.column_labels[column]) for column in columns]
    expected: list[Line] = [
        [(pad(INDENT + "expected", count * narrow), "label")],
        [("".join(pad(head, narrow, right=True) for head in heads), "faint")],
        *(
            [(pad(visible(row[column].expected), narrow, right=True), "expected") for column in columns]
            for row in grid.rows
        ),
    ]
    actual: list[Line] = [
        [(pad(INDENT + "actual", count * wide), "label")],
        [("".join(pad(head, wide, right=True) for head in heads), "faint")],
        *([_actual_cell(row[column], wide) for column in columns] for row in grid.rows),
    ]
    labels = [edge, edge, *(INDENT + pad(name, lead - len(INDENT), right=True) for name in names)]
    legend: list[Line] = [[(f"{INDENT}{DIFFERS} marks what differs", "faint")]]
    title = _wrapped(grid.title, "label", width, INDENT, INDENT)
    if beside:
        both = [[(label, "faint"), *one, (GAP, "plain"), *other] for label, one, other in zip(labels, expected, actual)]
        return [*title, *both, *legend]
    above = [[(label, "faint"), *line] for label, line in zip(labels, expected)]
    below = [[(label, "faint"), *line] for label, line in zip(labels, actual)]
    return [*title, *above, *below, *legend]


def _cell_widths(grid: Grid) -> tuple[int, int]:
    """How wide a cell is on either side, with two cells of space, and one for the mark."""
    entries = [cell for row in grid.rows for cell in row]
    heads = [cells(visible(label)) for label in grid.column_labels]
    narrow = max([4, *heads, *(cells(visible(cell.expected)) for cell in entries)])
    wide = max([4, *heads, *(cells(visible(cell.actual)) + cell.differs for cell in entries)])
    return narrow + 2, wide + 2


def _actual_cell(cell: Cell, wide: int) -> tuple[str, Role]:
    text = visible(cell.actual)
    if cell.differs:
        return pad(DIFFERS + text, wide, right=True), "differs"
    return pad(text, wide, right=True), "actual"


Column = tuple[str, str, str]
"""An item as expected, as it is, and the mark beneath."""


def _sequence(parts: list[SequencePart], width: int, gap: str) -> list[Line]:
    """Both sequences, aligned item by item, in as many bands as the width asks for."""
    room = width - len(INDENT) - 10
    columns = [column for part in parts for column in _columns(part)]
    bands: list[list[Line]] = []
    band: list[Column] = []
    used = 0
    for index, column in enumerate(columns):
        wide = max(map(cells, column))
        if wide > room:
            column = (_clip(column[0], room), _clip(column[1], room), column[2])
            wide = room
        if band and used + len(gap) + wide > room:
            bands.append(_band(band, gap))
            band, used = [], 0
            if len(bands) == BANDS:
                more = sum(bool(mark) for *_, mark in columns[index:])
                note = f"{INDENT}… and {plural(more, 'more difference')} further on" if more else f"{INDENT}…"
                return [*_stack(bands), [(note, "faint")], *_sequence_legend(parts)]
        used += wide + (len(gap) if band else 0)
        band.append(column)
    return [*_stack([*bands, _band(band, gap)]), *_sequence_legend(parts)]


def _stack(bands: list[list[Line]]) -> list[Line]:
    """The bands below each other, with an empty line between."""
    return [line for index, band in enumerate(bands) for line in ([[("", "plain")]] if index else []) + band]


def _columns(part: SequencePart) -> Iterable[Column]:
    if part.op in ("elided", "cut"):
        note = f" … {part.elided} equal … " if part.op == "elided" else f" … {part.elided} more, not compared"
        yield note, note, ""
        return
    for one, other in zip_longest(part.expected, part.actual):
        if part.op == "equal":
            yield visible(one or ""), visible(other or ""), ""
        else:
            mark = MISSING if other is None else EXTRA if one is None else DIFFERS
            yield _seen(one or ""), _seen(other or ""), mark


def _seen(item: str) -> str:
    """An item that differs must leave a mark: a space, or a combining character on its own."""
    if item == " ":
        return "␣"
    return escape(item) if len(item) == 1 and unicodedata.combining(item) else visible(item)


def _band(band: list[Column], gap: str) -> list[Line]:
    expected: Line = [(f"{INDENT}expected  ", "label")]
    actual: Line = [(f"{INDENT}actual    ", "label")]
    marks: Line = [(f"{INDENT}          ", "plain")]
    for index, (one, other, mark) in enumerate(band):
        wide = max(cells(one), cells(other), cells(mark))
        space = gap if index else ""
        expected.append((space + pad(one, wide), "expected" if mark else "plain"))
        actual.append((space + pad(other, wide), "differs" if mark else "plain"))
        marks.append((space + pad(mark, wide), "mark"))
    return [expected, actual, marks]


def _sequence_legend(parts: list[SequencePart]) -> list[Line]:
    signs = {mark: None for part in parts for *_, mark in _columns(part) if mark}
    words = {DIFFERS: "differs", MISSING: "missing", EXTRA: "extra"}
    return [[(INDENT + "   ".join(f"{sign} {words[sign]}" for sign in signs), "faint")]] if signs else []


def _wrapped(text: str, role: Role, width: int, first: str = "", rest: str = "") -> list[Line]:
    if not text:
        return []
    pieces = wrap(visible(text), max(8, width - cells(first)))
    return [[(first if index == 0 else rest, "label"), (piece, role)] for index, piece in enumerate(pieces)]


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells, broken at spaces where there are any."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if cells(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        while cells(word) > width:
            head = _clip(word, width, "")
            lines.append(head)
            word = word[len(head) :]
        line = word
    return [*lines, line] if line or not lines else lines


def _clip(text: str, width: int, mark: str = "…") -> str:
    if cells(text) <= width:
        return text
    end = 0
    used = cells(mark)
    while used + cells(text[end]) <= width:
        used += cells(text[end])
        end += 1
    return text[: max(end, 1)] + mark


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def pad(text: str, width: int, right: bool = False) -> str:
    """`text` filled with spaces to `width` cells."""
    space = " " * (width - cells(text))
    return space + text if right else text + space
