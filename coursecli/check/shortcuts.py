"""Find the use of forbidden names in a text, whatever they are called there. What only running shows is the guard's."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from typing import TypeVar

Rule = TypeVar("Rule")
SAME = {
    "torch.nn.functional": ("torch", "torch.ops.aten", "torch._C._nn"),
    "torch": ("torch.ops.aten",),
}
"""Where a library keeps the functions of a module a second time, under the same names, out of the guard's reach."""


def spellings(rules: Mapping[str, Rule]) -> dict[str, Rule]:
    """The rules by forbidden name, and by every other name under which a library has the same function."""
    every = dict(rules)
    for name, rule in rules.items():
        module, _, function = name.rpartition(".")
        for other in SAME.get(module, ()):
            every.setdefault(f"{other}.{function}", rule)
    return every


def uses(tree: ast.Module, forbidden: Collection[str]) -> list[tuple[str, int]]:
    """Each use of a forbidden dotted name, with its line, in the order of the text.

    `import torch.nn.functional as F`, `from torch.nn import functional`, `from torch.nn import *` and built-ins
    (forbidden as `builtins.sorted`) are seen through, and so is `ops = torch.ops`. A forbidden package rules out
    whatever is imported from it.
    """
    nodes = list(ast.walk(tree))
    aliases, found = _imports(nodes, forbidden)
    own = _bound(nodes)
    for node in nodes:
        if not isinstance(node, ast.Attribute | ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        first, _, rest = _dotted(node).partition(".")
        meaning = aliases.get(first) or ("" if first in own else f"builtins.{first}")
        name = f"{meaning}.{rest}" if rest else meaning
        if name in forbidden:
            found.append((name, node.lineno))
    return sorted(found, key=lambda use: use[1])


def _imports(nodes: list[ast.AST], forbidden: Collection[str]) -> tuple[dict[str, str], list[tuple[str, int]]]:
    """What imported names stand for; and the imports that name something forbidden."""
    aliases: dict[str, str] = {}
    named: list[tuple[str, int]] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                aliases[alias.asname or top] = alias.name if alias.asname else top
                named.extend((rule, node.lineno) for rule in forbidden if alias.name.startswith(f"{rule}."))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                aliases[alias.asname or alias.name] = full
                named.extend((rule, node.lineno) for rule in forbidden if f"{full}.".startswith(f"{rule}."))
                if alias.name == "*":
                    starred = (name for name in forbidden if name.rpartition(".")[0] == node.module)
                    aliases.update((name.rpartition(".")[2], name) for name in starred)
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            first, _, rest = _dotted(node.value).partition(".")
            if first in aliases and rest:
                aliases.setdefault(node.targets[0].id, f"{aliases[first]}.{rest}")
    return aliases, named


def _bound(nodes: list[ast.AST]) -> set[str]:
    """Names that the text gives a meaning of its own: they are not the built-ins of the same name."""
    bound: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
    return bound


def _dotted(node: ast.expr) -> str:
    """`a.b.c`, or "" when the expression is anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id])) if isinstance(node, ast.Name) else ""
