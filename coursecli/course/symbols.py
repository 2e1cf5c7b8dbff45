"""Where definitions stand in a text: `function`, `Class`, `Class.method`, `CONSTANT`. Nothing is imported."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef | ast.Assign | ast.AnnAssign

_NESTING = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


@dataclass(frozen=True)
class Symbol:
    """A definition. Lines count from 1 and include both ends."""

    name: str
    """Dotted: `RMSNorm.forward`."""
    node: Definition
    start: int
    """The first line of its decorators."""
    end: int
    """The last line of its last statement."""

    @property
    def owner(self) -> str:
        """The class that it stands in, or ""."""
        return self.name.rpartition(".")[0]


def symbols(tree: ast.Module) -> list[Symbol]:
    """Every definition at the top level and in classes, in the order of the text.

    Definitions under `if` and `try` count as well. A name can occur twice: overloads, a property and its setter.
    """
    return list(_walk(tree.body, ""))


def find(tree: ast.Module, name: str) -> list[Symbol]:
    """The definitions with this dotted name."""
    return [symbol for symbol in symbols(tree) if symbol.name == name]


def functions_in(tree: ast.Module, name: str) -> list[Symbol]:
    """The functions that `name` stands for: itself, or every function of the class (and of classes in it)."""
    return [
        symbol
        for symbol in symbols(tree)
        if isinstance(symbol.node, Function) and (symbol.name == name or symbol.name.startswith(f"{name}."))
    ]


def is_overload(node: ast.AST) -> bool:
    """Whether this function only declares one of several signatures."""
    decorators = getattr(node, "decorator_list", [])
    return any(ast.unparse(decorator).rpartition(".")[2] == "overload" for decorator in decorators)


def has_docstring(node: Function | ast.ClassDef) -> bool:
    first = node.body[0]
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def tail(lines: list[str], symbol: Symbol) -> int:
    """The last line that belongs to the definition: deeper indented comments after its last statement do."""
    last = symbol.end
    for number in range(symbol.end + 1, len(lines) + 1):
        text = lines[number - 1].lstrip()
        if text and not (text.startswith("#") and len(lines[number - 1]) - len(text) > symbol.node.col_offset):
            break
        if text:
            last = number
    return last


def comments_above(lines: list[str], start: int) -> int:
    """The first of the comment lines that stand directly above line `start`, or `start`."""
    while start > 1 and lines[start - 2].lstrip().startswith("#"):
        start -= 1
    return start


def header_end(lines: list[str], node: Function | ast.ClassDef) -> tuple[int, int]:
    """Line and column (in characters) just after the colon that ends a signature."""
    depth = 0
    rest = (line + "\n" for line in lines[node.lineno - 1 :])
    for token in tokenize.generate_tokens(lambda: next(rest, "")):
        if token.type == tokenize.OP:
            depth += _NESTING.get(token.string, 0)
            if token.string == ":" and depth == 0:
                return node.lineno - 1 + token.end[0], token.end[1]
    raise ValueError(f"line {node.lineno} has no colon")  # cannot be: the text has been parsed


def head(source: str, lines: list[str], symbol: Symbol) -> list[str]:
    """The decorators, signature and docstring of a function: everything but its body."""
    node = symbol.node
    assert isinstance(node, Function)
    line, column = header_end(lines, node)
    kept = lines[symbol.start - 1 : line]
    first = node.body[0]
    if first.lineno == line:  # the body begins on the line of the signature
        kept[-1] = kept[-1][:column]
    if has_docstring(node) and first.lineno == line:
        kept += (body_indent(lines, node) + (ast.get_source_segment(source, first) or "")).split("\n")
    elif has_docstring(node):
        kept += lines[first.lineno - 1 : first.end_lineno]
    return kept


def body_indent(lines: list[str], node: Function) -> str:
    """The white space before each statement of a function's body."""
    text = lines[node.body[0].lineno - 1]
    indent = text[: len(text) - len(text.lstrip())]
    own_line = len(indent.encode()) == node.body[0].col_offset
    return indent if own_line else indent + "    "


def string_lines(source: str) -> set[int]:
    """The lines that begin inside a string: their leading space is the string's own."""
    inside: set[int] = set()
    opened: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind in {"FSTRING_START", "TSTRING_START"}:
            opened.append(token.start[0])
        elif kind in {"FSTRING_END", "TSTRING_END"}:
            inside.update(range(opened.pop() + 1, token.end[0] + 1))
        elif token.type == tokenize.STRING:
            inside.update(range(token.start[0] + 1, token.end[0] + 1))
    return inside


def reindent(code: str, indent: str) -> str:
    """`code` with `indent` in place of the indentation of its first statement; the inside of strings is left alone."""
    lines = code.strip("\n").split("\n")
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    margin = first[: len(first) - len(first.lstrip())]
    try:
        inside = string_lines("\n".join([*lines, ""]))
    except (tokenize.TokenError, SyntaxError):  # it will be refused, with its line, by whoever parses the whole
        inside = set()
    return "\n".join(
        line if number in inside else _moved(line, margin, indent) for number, line in enumerate(lines, start=1)
    )


def _moved(line: str, margin: str, indent: str) -> str:
    if not line.strip():
        return ""
    return indent + (line.removeprefix(margin) if line.startswith(margin) else line.lstrip())


def _walk(body: list[ast.stmt], owner: str) -> Iterator[Symbol]:
    for node in body:
        if isinstance(node, Function | ast.ClassDef):
            name = f"{owner}.{node.name}" if owner else node.name
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield Symbol(name, node, first, node.end_lineno or node.lineno)
            if isinstance(node, ast.ClassDef):
                yield from _walk(node.body, name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if len(targets) == 1 and isinstance(targets[0], ast.Name):
                name = f"{owner}.{targets[0].id}" if owner else targets[0].id
                yield Symbol(name, node, node.lineno, node.end_lineno or node.lineno)
        elif isinstance(node, ast.If):
            yield from _walk(node.body + node.orelse, owner)
        elif isinstance(node, ast.Try):
            yield from _walk(node.body, owner)
            for handler in node.handlers:
                yield from _walk(handler.body, owner)
