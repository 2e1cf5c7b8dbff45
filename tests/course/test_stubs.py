"""Stubs: what learners get must say everything that the reference says, and give nothing of it away."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from coursecli.course.catalogue import Course, load_course
from coursecli.course.stubs import blank_bodies, compose, no_task, without
from coursecli.course.symbols import symbols
from coursecli.errors import ContentError

TOY = Path(__file__).resolve().parent.parent / "toy_course"


@pytest.fixture
def toy() -> Course:
    return load_course(TOY)


def blanked(source: str, *names: str) -> str:
    return blank_bodies(dedent(source), dict.fromkeys(names, "lesson09"))


def test_a_body_becomes_one_line_after_the_docstring() -> None:
    source = '''
    @decorated(with_="a: colon")  # why
    def area(
        width: float,
        height: dict[str, int] = {"a": 1},
    ) -> float:  # square metres
        """Width times height.

        Of a rectangle.
        """

        # the secret
        def inner(): return width
        return inner() * height
        # the end of the secret

    # about the next
    X = 1
    '''
    assert blanked(source, "area") == dedent('''
    @decorated(with_="a: colon")  # why
    def area(
        width: float,
        height: dict[str, int] = {"a": 1},
    ) -> float:  # square metres
        """Width times height.

        Of a rectangle.
        """
        raise NotImplementedError("lesson09 · area")

    # about the next
    X = 1
    ''')


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(): return 1\n", 'def f():\n    raise NotImplementedError("lesson09 · f")\n'),
        ("def f(): 'Doc.'; return 1\n", "def f():\n    'Doc.'\n    raise NotImplementedError(\"lesson09 · f\")\n"),
        (
            "def f(x=lambda: 1): return x  # no\n",
            'def f(x=lambda: 1):\n    raise NotImplementedError("lesson09 · f")\n',
        ),
        ("async def f():\n\tawait x\n", 'async def f():\n\traise NotImplementedError("lesson09 · f")\n'),
        ("def f():\n  # only a comment\n  pass", 'def f():\n  raise NotImplementedError("lesson09 · f")'),
        ("def f():\n    '''Doc.'''\n", "def f():\n    '''Doc.'''\n    raise NotImplementedError(\"lesson09 · f\")\n"),
    ],
)
def test_unusual_layouts(source: str, expected: str) -> None:
    assert blank_bodies(source, {"f": "lesson09"}) == expected


def test_a_class_stands_for_its_functions() -> None:
    source = '''
    class A:
        """Doc."""

        x: int = 1
        y = [2]

        def __init__(self): self.x = 2

        class B:
            z = 3

            def deep(self):
                return 4

        @property
        def p(self) -> int:
            return 5

        @p.setter
        def p(self, value: int) -> None:
            self.x = value

    def outside():
        return 6
    '''
    stub = blanked(source, "A")
    assert "return 6" in stub
    assert not any(f"return {number}" in stub for number in (4, 5)) and "self.x = " not in stub
    assert [line.strip() for line in stub.splitlines() if "raise" in line] == [
        f'raise NotImplementedError("lesson09 · A.{name}")' for name in ("__init__", "B.deep", "p", "p")
    ]
    for kept in ("x: int = 1", "y = [2]", "z = 3", '"""Doc."""'):
        assert kept in stub


def test_declared_overloads_stay() -> None:
    source = """
    @overload
    def f(x: int) -> int: ...
    @typing.overload
    def f(x: str) -> str: ...
    def f(x): return x
    """
    stub = blanked(source, "f")
    assert stub.count("...") == 2
    assert stub.count("raise") == 1


def test_the_nearest_entry_decides() -> None:
    source = "class A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n"
    stub = blank_bodies(source, {"A": "lesson01", "A.g": None})
    assert "lesson01 · A.f" in stub
    assert "return 2" in stub


def test_helpers_vanish_with_the_comments_above_them() -> None:
    source = dedent("""
    import math

    # This section stays.

    # This comment goes.
    # And this.
    @decorator
    def helper():
        return 1
        # and this

    LIMIT = 3

    class A:
        # gone
        def only(self):
            pass

    def last():
        pass
    """)
    assert without(source, {"helper", "A.only", "last"}) == dedent("""
    import math

    # This section stays.

    LIMIT = 3

    class A:
        pass
    """)


def test_imports_go_only_when_asked_and_only_those_that_nobody_else_needs() -> None:
    source = dedent('''
    """Doc."""

    import heapq
    import os.path
    from a import (  # several
        b,
        c as d,
        e,
    )
    from typing import Text


    def later(x: "Text") -> d:
        return heapq.heapify(x), b, os


    def stays():
        return b
    ''')
    assert without(source, {"later"}).count("import") == source.count("import")
    assert without(source, {"later"}, imports=True) == dedent('''
    """Doc."""

    from a import b, e


    def stays():
        return b
    ''')


def test_a_long_import_is_written_one_name_a_line() -> None:
    names = [f"name_number_{number:02}" for number in range(9)]
    listed = ",\n    ".join(names)
    source = f"from a import (\n    {listed},\n    gone,\n)\n\n\ndef f():\n    gone\n\n\nX = [{', '.join(names)}]\n"
    left = without(source, {"f"}, imports=True)
    assert left.startswith("from a import (\n    name_number_00,\n")
    assert "gone" not in left
    ast.parse(left)


def test_the_toy_file_as_of_each_lesson(toy: Course) -> None:
    first = compose(toy, "baskets.py", upto=toy.lessons[0])
    assert "combine" not in first and "cheapest" not in first
    assert "chain" not in first and "replace" not in first and "dataclass" in first
    assert "_cost" not in first
    second = compose(toy, "baskets.py", upto=toy.lessons[1])
    assert second == compose(toy, "baskets.py") == (TOY / "toyshop" / "baskets.py").read_text(encoding="utf-8")
    assert 'raise NotImplementedError("lesson02 · combine")' in second


def test_solved_and_blank_tasks_side_by_side(toy: Course) -> None:
    assert compose(toy, "baskets.py", blank=no_task) == (TOY / "solutions" / "baskets.py").read_text(encoding="utf-8")
    text = compose(toy, "baskets.py", blank=lambda lesson, task: task.id == "basket-total")
    assert text.count("raise NotImplementedError") == 1 and "_cost" not in text


def test_a_helper_of_two_tasks_stays_while_one_of_them_is_solved(tmp_path: Path) -> None:
    root = shutil.copytree(TOY, tmp_path / "course")
    manifest = root / "stage01_shop" / "lesson01_prices" / "lesson.yaml"
    text = manifest.read_text().replace("symbols: [Basket.add]", "symbols: [Basket.add]\n    helpers: [Basket._cost]")
    manifest.write_text(text)
    course = load_course(root)
    assert "def _cost" in compose(course, "baskets.py", blank=lambda lesson, task: task.id == "basket-add")
    assert "def _cost" not in compose(course, "baskets.py")


def test_a_class_of_which_only_a_later_lesson_has_parts_comes_with_that_lesson(tmp_path: Path) -> None:
    root = shutil.copytree(TOY, tmp_path / "course")
    path = root / "solutions" / "baskets.py"
    path.write_text(path.read_text() + "\n\nclass Till:\n    given = 1\n\n    def pay(self):\n        return 2\n")
    manifest = root / "stage01_shop" / "lesson02_baskets" / "lesson.yaml"
    manifest.write_text(manifest.read_text().replace("symbols: [combine]", "symbols: [combine, Till.pay]"))
    course = load_course(root)
    assert "Till" not in compose(course, "baskets.py", upto=course.lessons[0])
    assert "given = 1" in compose(course, "baskets.py", upto=course.lessons[1])


def test_a_class_of_a_given_file_stays_when_a_later_lesson_has_parts_of_it(tmp_path: Path) -> None:
    root = shutil.copytree(TOY, tmp_path / "course")
    (root / "solutions" / "till.py").write_text("class Till:\n    given = 1\n\n    def pay(self):\n        return 2\n")
    stage = root / "stage01_shop"
    first, second = stage / "lesson01_prices" / "lesson.yaml", stage / "lesson02_baskets" / "lesson.yaml"
    first.write_text(first.read_text().replace("given: [receipt.py]", "given: [receipt.py, till.py]"))
    task = "  - {id: pay, title: Pay, file: till.py, symbols: [Till.pay]}\n"
    second.write_text(second.read_text().replace("tasks:\n", f"tasks:\n{task}"))
    course = load_course(root)
    assert compose(course, "till.py", upto=course.lessons[0]) == "class Till:\n    given = 1\n"
    assert 'NotImplementedError("lesson02 · Till.pay")' in compose(course, "till.py", upto=course.lessons[1])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("def combine", "def join", "'combine' of task 'combine' (lesson02) is not in it"),
        ("def combine(", "def combine((", "baskets.py:62: Function parameters cannot be parenthesized"),
    ],
)
def test_a_reference_that_does_not_fit_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    root = shutil.copytree(TOY, tmp_path / "course")
    path = root / "solutions" / "baskets.py"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ContentError) as caught:
        compose(load_course(root), "baskets.py")
    assert said in caught.value.message


def real_files() -> list[Path]:
    """Every Python file of this project that has definitions: a large and varied sample of formatted code."""
    root = Path(__file__).resolve().parents[2]
    return sorted(path for folder in ("coursecli", "solutions") for path in (root / folder).rglob("*.py"))


def test_real_files_keep_signatures_docstrings_and_format(tmp_path: Path) -> None:
    """Blank every function of every real file, cut every second definition: the rest is as it was, and formatted."""
    for number, path in enumerate(real_files()):
        (tmp_path / f"f{number}.py").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    ruff("format", str(tmp_path))
    for path in tmp_path.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        tops = [symbol.name for symbol in symbols(tree) if not isinstance(symbol.node, ast.Assign | ast.AnnAssign)]
        stub = blank_bodies(source, dict.fromkeys(tops, "lesson09"))
        assert outline(ast.parse(stub)) == outline(tree), path
        assert all(len(body) == 1 for body in bodies(ast.parse(stub))), path
        path.write_text(stub, encoding="utf-8")
        cut = without(source, tops[::2], imports=True)
        assert not {symbol.name for symbol in symbols(ast.parse(cut))} & set(tops[::2])
        path.with_name(f"cut_{path.name}").write_text(cut, encoding="utf-8")
    ruff("format", "--check", str(tmp_path))


def bodies(tree: ast.Module) -> list[list[ast.stmt]]:
    """The statements after the docstring of each function."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node.body[1:] if ast.get_docstring(node) is not None else node.body for node in functions]


def outline(tree: ast.Module) -> list[tuple[str, ...]]:
    """Signature, decorators and docstring of every function, and the head of every class, in order."""
    found = []
    for node in tree.body:
        for inner in [node, *(part for part in getattr(node, "body", []) if isinstance(node, ast.ClassDef))]:
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                decorators = ";".join(ast.unparse(decorator) for decorator in inner.decorator_list)
                found.append(
                    (inner.name, ast.unparse(inner.args), decorators, ast.get_docstring(inner, clean=False) or "")
                )
                found.append((ast.unparse(inner.returns) if inner.returns else "",))
            elif isinstance(inner, ast.ClassDef):
                found.append((inner.name, ";".join(map(ast.unparse, inner.bases)), ast.get_docstring(inner) or ""))
            else:
                found.append((ast.dump(inner),))
    return found


def ruff(*arguments: str) -> None:
    command = [sys.executable, "-m", "ruff", *arguments, "--isolated", "--line-length=120"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
