"""Add definitions to a learner's file without touching a line of theirs: what a later lesson offers is appended."""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass, field

from coursecli.course.editor import Editor, plain
from coursecli.course.imports import bound_names, import_lines, imported_names, names_used
from coursecli.course.symbols import Symbol, comments_above, symbols, tail
from coursecli.files import parsed


@dataclass
class Merged:
    text: str
    """Theirs, with what was added. Equal to theirs when nothing was."""
    added: list[str] = field(default_factory=list)
    """The dotted names of the definitions that were added."""
    problems: list[str] = field(default_factory=list)
    """What could not be added, and why: one line each."""


def merge(yours: str, before: str, after: str) -> Merged:
    """Append to `yours` what `after` defines and `before` does not: imports, members of known classes, definitions.

    A name that `yours` defines already is left alone, whatever it is there. When `yours` does not parse, all of it is.
    """
    try:
        theirs = parsed(plain(yours))
    except (SyntaxError, ValueError) as error:
        return Merged(yours, problems=[f"{reason(error)}, so nothing was added"])
    old, new = parsed(before), parsed(after)
    known = {symbol.name for symbol in symbols(old)}
    taken = {symbol.name for symbol in symbols(theirs)} | bound_names(theirs)
    offered = [
        symbol
        for symbol in symbols(new)
        if symbol.name not in known | taken and (not symbol.owner or symbol.owner in known)
    ]
    editor, result = Editor(yours), Merged(yours)
    add(editor, theirs, after, offered, result, imports=imported_names(new) - imported_names(old))
    return finish(editor, result)


def add(
    editor: Editor, theirs: ast.Module, after: str, offered: list[Symbol], result: Merged, *, imports: Collection[str]
) -> None:
    """Append these symbols of the text `after`, and the imports (needed, or in `imports`) that the file lacks."""
    homes = {symbol.name: symbol for symbol in symbols(theirs)}
    new = parsed(after)
    below = bound_names(new) - imported_names(new)
    source = after.split("\n")
    needed = set(imports)
    for symbol in offered:
        home = homes.get(symbol.owner)
        block = "\n".join(source[comments_above(source, symbol.start) - 1 : tail(source, symbol)])
        constant = isinstance(symbol.node, ast.Assign | ast.AnnAssign) and not symbol.owner
        if constant and not (names_used(symbol.node) - {symbol.name}) & below:
            editor.add_constant(theirs, block)
            below.discard(symbol.name)
        elif not symbol.owner:
            editor.append(block)
        elif home is None or not isinstance(home.node, ast.ClassDef):
            result.problems.append(f"the class {symbol.owner} is not in the file, so {symbol.name} was not added")
            continue
        elif home.node.body[0].lineno == home.node.lineno:
            result.problems.append(f"the class {symbol.owner} is written on one line, so {symbol.name} was not added")
            continue
        else:
            editor.extend_class(home, block)
        needed |= names_used(symbol.node)
        if symbol.name not in result.added:
            result.added.append(symbol.name)
    if result.added:
        editor.add_imports(theirs, import_lines(new, needed - bound_names(theirs)))


def finish(editor: Editor, result: Merged) -> Merged:
    """The result with the editor's text; or, should that not parse, with the original text and the problem."""
    if not result.added:
        return result
    text = editor.text()
    try:
        parsed(plain(text))
    except SyntaxError as error:
        return Merged(result.text, problems=[f"{reason(error)} after adding {result.added[0]}, so nothing was added"])
    return Merged(text, result.added, result.problems)


def reason(error: SyntaxError | ValueError) -> str:
    """Where a text does not parse, and why, in a few words."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno or 1} does not parse ({error.msg})"
    return f"the file does not parse ({error})"
