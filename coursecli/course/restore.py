"""Put the course's version of some definitions into a learner's file, in place of theirs. Backups: `scaffold`."""

from __future__ import annotations

import ast
from collections.abc import Collection

from coursecli.course.editor import Editor, plain
from coursecli.course.imports import names_used
from coursecli.course.merge import Merged, add, finish, reason
from coursecli.course.symbols import Symbol, find, reindent, symbols, tail
from coursecli.files import parsed


def restore(yours: str, offered: str, names: Collection[str]) -> Merged:
    """Replace the definitions of `names` in `yours` by those in `offered`; add the missing ones, with their imports.

    A method whose class is not in `yours` brings the whole class. Names that `offered` lacks are left alone. What the
    definitions refer to comes with them where `yours` lacks it. `added` names everything that was put in.
    """
    try:
        theirs = parsed(plain(yours))
    except (SyntaxError, ValueError) as error:
        return Merged(yours, problems=[f"{reason(error)}, so nothing was changed"])
    new = parsed(offered)
    mine = {symbol.name for symbol in symbols(theirs)}
    there = [symbol.name for symbol in symbols(new)]
    asked = {_home(name, mine) for name in names if name in there}
    wanted = [name for name in dict.fromkeys(there) if name in asked and not _inside(name, asked)]
    wanted += _lost(new, wanted, mine)

    editor, result = Editor(yours), Merged(yours)
    source = offered.split("\n")
    used: set[str] = set()
    for name in (name for name in wanted if name in mine):
        replacements = find(new, name)
        _replace(editor, find(theirs, name), replacements, source)
        used |= set().union(*(names_used(symbol.node) for symbol in replacements))
        result.added.append(name)
    missing = [symbol for symbol in symbols(new) if symbol.name in wanted and symbol.name not in mine]
    add(editor, theirs, offered, missing, result, imports=used)
    return finish(editor, result)


def _home(name: str, mine: Collection[str]) -> str:
    """The symbol to put in: `name`, or its class when that is missing as well."""
    owner = name.rpartition(".")[0]
    return _home(owner, mine) if owner and owner not in mine else name


def _inside(name: str, wanted: Collection[str]) -> bool:
    return any(name.startswith(f"{other}.") for other in wanted)


def _lost(new: ast.Module, wanted: list[str], mine: Collection[str]) -> list[str]:
    """Top-level definitions of the course that the wanted ones refer to, directly or not, and that the file lacks."""
    lost: list[str] = []
    queue = list(wanted)
    top = {symbol.name for symbol in symbols(new) if not symbol.owner} - set(mine)
    while queue:
        for symbol in find(new, queue.pop()):
            found = sorted((names_used(symbol.node) & top) - set(lost) - set(wanted))
            lost += found
            queue += found
    return lost


def _replace(editor: Editor, old: list[Symbol], new: list[Symbol], source: list[str]) -> None:
    """Put all of `new` (a property, its setter) where the first of `old` stands, and take the rest of `old` out."""
    indent = editor.indent(old[0].start)
    lines: list[str] = []
    for symbol in new:
        lines += [""] * (len(lines) > 0)
        lines += reindent("\n".join(source[symbol.start - 1 : tail(source, symbol)]), indent).split("\n")
    for position, symbol in enumerate(old):
        editor.replace(symbol.start, tail(editor.lines, symbol), lines if position == 0 else [])
