"""The arrows between the parts of coursecli, read from the imports as they stand."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "coursecli"
LAYERS = [
    {"errors", "__init__"},
    {"files"},
    {"isolate", "expect"},
    {"course"},
    {"check"},
    {"recipes"},
    {"progress", "warm"},
    {"render", "watch"},
    {"author"},
    {"tui", "grade"},
    {"cli"},
    {"__main__"},
]
"""A part may import what stands in its own layer's folder or in a layer above it in this list."""
FOREIGN = {"torch", "numpy", "intro2llm", "solutions", "lessons"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "_content" not in path.parts)


def part_of(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imports(path: Path, *, deferred: bool) -> Iterator[str]:
    """Dotted names imported at the top level; with `deferred`, also inside functions and under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if deferred else iter(tree.body)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(part: str) -> int:
    return next(place for place, parts in enumerate(LAYERS) if part in parts)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_one_way(path: Path) -> None:
    here = part_of(path)
    for name in imports(path, deferred=True):
        pieces = name.split(".")
        if pieces[0] != "coursecli" or name in ("coursecli", "coursecli.__version__") or pieces[1] == here:
            continue
        assert layer_of(pieces[1]) < layer_of(here), f"{here} imports {name}, which stands above it or beside it"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_runner_knows_nothing_of_the_course(path: Path) -> None:
    at_once = {name.split(".")[0] for name in imports(path, deferred=False)}
    assert not at_once & FOREIGN
    if part_of(path) != "expect":  # the kit may meet the learner's tensors, and imports torch only then
        ever = {name.split(".")[0] for name in imports(path, deferred=True)}
        assert not ever & FOREIGN


def test_lessons_import_only_the_package_and_the_kit() -> None:
    allowed = {"pytest", "torch", "numpy", "intro2llm", "coursecli"}
    for path in sorted((PACKAGE.parent / "lessons").rglob("*_test.py")):
        for name in imports(path, deferred=True):
            first = name.split(".")[0]
            assert first in allowed | sys.stdlib_module_names, f"{path.name} imports {name}"
            if first == "coursecli":
                assert name.startswith("coursecli.expect."), f"{path.name} imports {name}"
