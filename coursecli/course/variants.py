"""Plant a variant, a misconception or an alternative, into the text of the reference. `dev check` runs it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from coursecli.course.imports import bound_names
from coursecli.course.manifest import Edit, Variant
from coursecli.course.symbols import (
    Function,
    Symbol,
    body_indent,
    comments_above,
    find,
    head,
    is_overload,
    reindent,
    symbols,
    tail,
)
from coursecli.errors import ContentError
from coursecli.files import parsed

_WHOLE = re.compile(r"(async\s+def|def|class)\s|@")


def plant(source: str, variant: Variant) -> str:
    """The reference's text with the variant's edits.

    Raises:
        ContentError: a class that an edit names is not there, or the result does not parse.
    """
    try:
        planted = apply_edits(source, variant.edits)
        tree = parsed(planted)
        defined = {symbol.name for symbol in symbols(tree)} | bound_names(tree)
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise ContentError(f"variant {variant.id!r}: does not parse: {error.msg}: {line}") from error
    except KeyError as error:
        raise ContentError(f"variant {variant.id!r}: there is no class {error.args[0]!r} to add to") from error
    for edit in variant.edits:
        if edit.symbol not in defined:
            raise ContentError(
                f"variant {variant.id!r}: the reference has no {edit.symbol!r}, nor does the code define it"
            )
    if planted == source:
        raise ContentError(f"variant {variant.id!r}: changes nothing")
    return planted


def apply_edits(source: str, edits: Iterable[Edit]) -> str:
    """`source` with each symbol's code replaced, by the rules of `Edit`.

    Raises:
        KeyError: the class to add a method to is not there.
    """
    for edit in edits:
        tree = parsed(source)
        found = [symbol for symbol in find(tree, edit.symbol) if not is_overload(symbol.node)]
        source = _replace(source, found[0], edit.code) if found else _add(source, tree, edit)
    return source


def _replace(source: str, symbol: Symbol, code: str) -> str:
    lines = source.split("\n")
    node = symbol.node
    if isinstance(node, Function) and not _WHOLE.match(code.lstrip()):
        kept = head(source, lines, symbol)
        new = [*kept, *reindent(code, body_indent(lines, node)).split("\n")]
    else:
        new = reindent(code, " " * node.col_offset).split("\n")
    first = symbol.start if isinstance(node, Function) else comments_above(lines, symbol.start)
    lines[first - 1 : tail(lines, symbol)] = new
    return "\n".join(lines)


def _add(source: str, tree: ast.Module, edit: Edit) -> str:
    lines = source.split("\n")
    owner = edit.symbol.rpartition(".")[0]
    if not owner:
        return source.rstrip("\n") + "\n\n\n" + reindent(edit.code, "") + "\n"
    classes = [symbol for symbol in find(tree, owner) if isinstance(symbol.node, ast.ClassDef)]
    if not classes:
        raise KeyError(owner)
    end = tail(lines, classes[0])
    lines[end:end] = ["", *reindent(edit.code, " " * (classes[0].node.col_offset + 4)).split("\n")]
    return "\n".join(lines)
