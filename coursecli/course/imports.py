"""The imports of a source text: which names they bind, which are needed, how they are written. Nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from coursecli.files import parsed

LINE_LENGTH = 120
"""Past this, an import is written with one name a line."""

Import = ast.Import | ast.ImportFrom


def imported_names(tree: ast.Module) -> set[str]:
    """The names that top-level imports bind, also those under `if` and `try`."""
    return {
        bound(alias)
        for node in _top_level(tree.body)
        if isinstance(node, Import)
        for alias in node.names
        if alias.name != "*"
    }


def bound_names(tree: ast.Module) -> set[str]:
    """Every name that the module binds at its top level: imports, definitions, assignments."""
    names = imported_names(tree)
    for node in _top_level(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif not isinstance(node, Import):
            names |= {
                inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
            }
    return names


def names_used(node: ast.AST) -> set[str]:
    """Every name that `node` refers to, also inside text (quoted annotations, `__all__`), except docstrings."""
    docstrings = {
        id(inner.body[0].value)
        for inner in ast.walk(node)
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module)
        and inner.body
        and isinstance(inner.body[0], ast.Expr)
    }
    used: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            used.add(inner.id)
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str) and id(inner) not in docstrings:
            used.update(_identifiers(inner.value))
    return used


def import_lines(tree: ast.Module, names: Collection[str]) -> list[str]:
    """The top-level imports that bind `names`, as lines; without `__future__`, which must stand first."""
    lines: list[str] = []
    for node in tree.body:
        if isinstance(node, Import) and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            wanted = [alias for alias in node.names if bound(alias) in names]
            lines += _written(node, wanted) if wanted else []
    return lines


def drop_imports(source: str, unused: Collection[str]) -> str:
    """`source` without the top-level imports of these names."""
    lines = source.split("\n")
    for node in reversed(parsed(source).body):
        if not isinstance(node, Import):
            continue
        left = [alias for alias in node.names if bound(alias) not in unused]
        if len(left) == len(node.names):
            continue
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        if left:
            lines[first:last] = _written(node, left)
            continue
        above, below = first, last
        while above and not lines[above - 1].strip():
            above -= 1
        while below < len(lines) and not lines[below].strip():
            below += 1
        lines[above:below] = [""] * (max(first - above, below - last) if above else 0)
    return "\n".join(lines)


def bound(alias: ast.alias) -> str:
    """The name that an import binds: `import a.b` binds `a`."""
    return alias.asname or alias.name.partition(".")[0]


def _written(node: Import, aliases: list[ast.alias]) -> list[str]:
    parts = [ast.unparse(alias) for alias in aliases]
    start = "import " if isinstance(node, ast.Import) else f"from {'.' * node.level}{node.module or ''} import "
    line = start + ", ".join(parts)
    if len(line) <= LINE_LENGTH or isinstance(node, ast.Import):
        return [line]
    return [f"{start}(", *(f"    {part}," for part in parts), ")"]


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If):
            yield from _top_level(node.body + node.orelse)
        elif isinstance(node, ast.Try):
            yield from _top_level([*node.body, *(inner for handler in node.handlers for inner in handler.body)])
            yield from _top_level(node.orelse + node.finalbody)
        else:
            yield node


def _identifiers(text: str) -> list[str]:
    words = "".join(character if character.isalnum() or character == "_" else " " for character in text).split()
    return [word for word in words if word.isidentifier()]
