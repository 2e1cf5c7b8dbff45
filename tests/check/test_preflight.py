"""What is found in the learner's files without running them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from coursecli.check.preflight import preflight
from coursecli.check.results import Problem
from coursecli.check.shortcuts import spellings, uses
from tests.checking import Shop

FORBIDDEN = ["torch.nn.functional.layer_norm", "torch.nn.LayerNorm", "math.prod", "builtins.sorted"]


def look(shop: Shop, root: Path, scope: set[str] | None = None) -> Problem | None:
    lesson = shop.course.lesson("1")
    return preflight(shop.course, lesson, root, scope or {task.id for task in lesson.tasks})


def rewrite(root: Path, old: str, new: str, file: str = "prices.py") -> None:
    path = root / "toyshop" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_reference_has_no_fault(shop: Shop):
    assert look(shop, shop.package()) is None


def test_a_syntax_error_has_its_line(shop: Shop):
    root = shop.package()
    rewrite(root, "def average(prices: list[float]) -> float:", "def average(prices: list[float]) -> float")
    problem = look(shop, root)
    assert problem is not None
    assert problem.kind == "syntax"
    assert problem.frame is not None
    line = (root / "toyshop" / "prices.py").read_text(encoding="utf-8").splitlines()[problem.frame.line - 1]
    assert line == problem.frame.source == "def average(prices: list[float]) -> float"
    assert problem.summary.startswith(f"toyshop/prices.py, line {problem.frame.line}: ")


def test_a_missing_file(shop: Shop):
    root = shop.package()
    (root / "toyshop" / "prices.py").unlink()
    problem = look(shop, root)
    assert problem is not None
    assert problem.kind == "missing_file"
    assert "toyshop/prices.py" in problem.summary


def test_a_file_that_cannot_be_read_has_a_remedy(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    root = shop.package()
    monkeypatch.setattr(Path, "read_bytes", refused)
    problem = look(shop, root)
    assert problem is not None
    assert problem.summary == "toyshop/prices.py cannot be read: Permission denied."
    assert "permissions of toyshop/prices.py" in problem.remedy


def test_bytes_that_are_no_text(shop: Shop):
    root = shop.package()
    (root / "toyshop" / "prices.py").write_bytes(b"# caf\xe9\n")
    problem = look(shop, root)
    assert problem is not None
    assert problem.kind == "encoding"
    assert problem.summary.startswith("toyshop/prices.py, line 1: byte 0xe9")
    assert problem.frame is not None
    assert problem.frame.line == 1


@pytest.mark.parametrize(
    ("old", "new", "file", "missing", "found"),
    [
        ("def average(", "def Average(", "prices.py", "average", "`Average`: renamed?"),
        ("def average(", "def mean_price(", "prices.py", "average", None),
        ("class Basket:", "class Baskets:", "baskets.py", "Basket", "`Baskets`: renamed?"),
        ("    def total(", "    def totals(", "baskets.py", "Basket.total", "`Basket.totals`: renamed?"),
    ],
)
def test_a_missing_symbol_and_the_nearest_name(
    shop: Shop, old: str, new: str, file: str, missing: str, found: str | None
):
    root = shop.package()
    rewrite(root, old, new, file)
    problem = look(shop, root)
    assert problem is not None
    assert problem.kind == "missing_symbol"
    assert f"`{missing}` is not there" in problem.summary
    assert (found in problem.summary) if found else ("renamed" not in problem.summary)


@pytest.mark.parametrize(
    ("old", "new", "file"),
    [
        ("def average(", "from toyshop.elsewhere import average\n\n\ndef other(", "prices.py"),
        ("def average(", "average = max\n\n\ndef other(", "prices.py"),
        ("def average(", "if True:\n    average = max\n\n\ndef other(", "prices.py"),
        ("class Basket:", "class Parent:\n    def total(self): ...\n\n\nclass Basket(Parent):", "baskets.py"),
    ],
    ids=["imported", "assigned", "under-if", "inherited"],
)
def test_other_ways_to_provide_a_symbol_are_not_missing(shop: Shop, old: str, new: str, file: str):
    root = shop.package()
    rewrite(root, old, new, file)
    if "Parent" in new:
        rewrite(root, "    def total(self, *, percent", "    def other(self, *, percent", file)
    assert look(shop, root) is None


def test_a_shortcut_is_named_with_its_line_and_what_to_write(shop: Shop):
    root = shop.package(average="import statistics as s\nreturn s.mean(prices)")
    problem = look(shop, root)
    assert problem is not None
    assert problem.kind == "forbidden"
    assert "`statistics.mean`" in problem.summary
    assert problem.detail == "Write the sum and the division yourself."
    assert problem.frame is not None
    assert problem.frame.source == "return s.mean(prices)"


def test_a_shortcut_in_the_file_of_another_task_does_not_stop_this_one(shop: Shop):
    root = shop.package(average="import statistics as s\nreturn s.mean(prices)")
    assert look(shop, root, {"basket-add"}) is None


@pytest.mark.parametrize(
    ("source", "name", "line"),
    [
        ("import torch\ntorch.nn.functional.layer_norm(x)", "torch.nn.functional.layer_norm", 2),
        ("import torch.nn.functional as F\n\nF.layer_norm(x)", "torch.nn.functional.layer_norm", 3),
        ("import torch.nn.functional\ntorch.nn.functional.layer_norm", "torch.nn.functional.layer_norm", 2),
        ("from torch.nn import functional\nfunctional.layer_norm(x)", "torch.nn.functional.layer_norm", 2),
        ("from torch import nn as n\nn.functional.layer_norm(x)", "torch.nn.functional.layer_norm", 2),
        ("from torch.nn.functional import layer_norm as ln", "torch.nn.functional.layer_norm", 1),
        ("from torch.nn.functional import *\nlayer_norm(x)", "torch.nn.functional.layer_norm", 2),
        ("def f():\n    from torch import nn\n    class N(nn.LayerNorm): ...", "torch.nn.LayerNorm", 3),
        ("from math import prod", "math.prod", 1),
        ("sorted(x)", "builtins.sorted", 1),
        ("import builtins\nbuiltins.sorted(x)", "builtins.sorted", 2),
    ],
)
def test_shortcuts_are_seen_through_their_aliases(source: str, name: str, line: int):
    assert uses(ast.parse(source), FORBIDDEN)[0] == (name, line)


@pytest.mark.parametrize(
    ("source", "name", "line"),
    [
        ("import torch\ntorch.ops.aten.layer_norm(x)", "torch.ops.aten.layer_norm", 2),
        ("import torch\ntorch.ops.aten.layer_norm.default(x)", "torch.ops.aten.layer_norm", 2),
        ("import torch\naten = torch.ops.aten\naten.layer_norm(x)", "torch.ops.aten.layer_norm", 3),
        ("from torch import ops\nops.aten.layer_norm(x)", "torch.ops.aten.layer_norm", 2),
        ("import torch\ntorch._C._nn.layer_norm(x)", "torch._C._nn.layer_norm", 2),
        ("from torch._C._nn import layer_norm", "torch._C._nn.layer_norm", 1),
        ("import torch\ntorch.layer_norm(x)", "torch.layer_norm", 2),
        ("import torch\ntorch.ops.aten.bmm(x, y)", "torch.ops.aten.bmm", 2),
    ],
)
def test_other_spellings_of_a_forbidden_function_are_shortcuts_too(source: str, name: str, line: int):
    rules = spellings({"torch.nn.functional.layer_norm": 1, "torch.bmm": 2, "torch.nn.LayerNorm": 3})
    assert uses(ast.parse(source), rules)[0] == (name, line)
    assert rules[name] == (2 if name.endswith("bmm") else 1)


def test_every_other_spelling_is_the_same_function():
    x = torch.randn(2, 3, 4)
    functional = torch.nn.functional
    for function, arguments in {"layer_norm": ([4],), "softmax": (-1,), "relu": (), "gelu": (), "silu": ()}.items():
        expected = getattr(functional, function)(x, *arguments)
        for owner in (torch, torch.ops.aten, torch._C._nn):
            if hasattr(owner, function):
                assert torch.equal(getattr(owner, function)(x, *arguments), expected)


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.nn.functional.softmax(x)",
        "class torch:\n    pass\nself.nn.LayerNorm",
        "'torch.nn.LayerNorm'",
        "def sorted(x):\n    return x\nsorted(x)",
        "def f(sorted):\n    return sorted",
        "x.sorted()",
        "import math\nmath.prod = 3",
        "from .torch import nn\nnn.LayerNorm",
    ],
)
def test_what_only_looks_like_a_shortcut_is_none(source: str):
    assert uses(ast.parse(source), FORBIDDEN) == []


@pytest.mark.parametrize(
    "source",
    [
        "from tokenizers import Tokenizer\nTokenizer()",
        "from tokenizers.models import BPE",
        "import tokenizers.models as m\nm.BPE()",
        "import tokenizers as t\nt.Tokenizer()",
    ],
)
def test_a_forbidden_package_rules_out_what_is_in_it(source: str):
    assert {name for name, _ in uses(ast.parse(source), {"tokenizers"})} == {"tokenizers"}
    assert uses(ast.parse(source), {"token", "tokenizers.trainers"}) == []
