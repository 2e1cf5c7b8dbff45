"""Merging and restoring: not a line of the learner's is touched, and what is offered arrives and works."""

import ast
from itertools import pairwise
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursecli.course.merge import merge
from coursecli.course.restore import restore

BEFORE = dedent('''
    """Norms."""

    import math


    class Norm:
        """Doc."""

        def first(self) -> float:
            raise NotImplementedError("lesson02 · Norm.first")
''').lstrip()

AFTER = dedent('''
    """Norms."""

    import math
    from dataclasses import dataclass, field
    from decimal import Decimal


    class Norm:
        """Doc."""

        def first(self) -> float:
            raise NotImplementedError("lesson02 · Norm.first")

        # The second one.
        @property
        def second(self) -> Decimal:
            """A text that
        stands on its own lines."""
            raise NotImplementedError("lesson03 · Norm.second")


    NAMES = ["norm"]


    @dataclass
    class Choice:
        """Which norm."""

        name: str = field(default="norm")


    def get_norm(name: str) -> Norm:
        raise NotImplementedError("lesson03 · get_norm")
''').lstrip()


def run(text: str) -> dict[str, Any]:
    """The names that a text defines when it is run."""
    space: dict[str, Any] = {"__name__": __name__}
    exec(compile(text.removeprefix("\ufeff"), "learner", "exec"), space)
    return space


def lines_of(text: str) -> list[str]:
    """The learner's lines with their line ends, as bytes on disk would have them; the mark at the start left out."""
    return text.removeprefix("\ufeff").splitlines(keepends=True)


def is_subsequence(few: list[str], many: list[str]) -> bool:
    rest = iter(many)
    return all(any(line == other for other in rest) for line in few)


def test_a_later_lesson_is_appended() -> None:
    yours = BEFORE.replace('raise NotImplementedError("lesson02 · Norm.first")', "return math.pi  # mine")
    merged = merge(yours, BEFORE, AFTER)
    assert merged.added == ["Norm.second", "NAMES", "Choice", "get_norm"]
    assert not merged.problems
    assert (
        merged.text
        == dedent('''
        """Norms."""

        import math
        from dataclasses import dataclass, field
        from decimal import Decimal

        NAMES = ["norm"]


        class Norm:
            """Doc."""

            def first(self) -> float:
                return math.pi  # mine

            # The second one.
            @property
            def second(self) -> Decimal:
                """A text that
            stands on its own lines."""
                raise NotImplementedError("lesson03 · Norm.second")


        @dataclass
        class Choice:
            """Which norm."""

            name: str = field(default="norm")


        def get_norm(name: str) -> Norm:
            raise NotImplementedError("lesson03 · get_norm")
    ''').lstrip()
    )


def test_a_constant_stands_before_what_needs_it_when_it_is_defined() -> None:
    before = "class A:\n    x = 1\n"
    constants = "STEP = 2\nTWICE = STEP * 2\n\n\n"
    after = constants + before + "\n    def f(self, by=STEP): return by\n"
    assert run(merge(before, before, after).text)["A"]().f() == 2
    assert run(merge(before, before, after).text)["TWICE"] == 4


def test_the_imports_that_the_new_tasks_will_need_come_too() -> None:
    before = "import math\nimport string\n\n\ndef f(): ...\n"
    after = "import heapq\n" + before + "\n\ndef g():\n    raise NotImplementedError\n"
    yours = before.replace("import string\n", "")
    assert merge(yours, before, after).text.startswith("import math\nimport heapq\n\n")
    assert merge(yours, before, before).text == yours


def test_what_is_there_already_is_left_alone() -> None:
    yours = BEFORE + "\n\ndef get_norm():\n    return 'mine'\n\n\nfrom elsewhere import Choice\nNAMES = 3\n"
    merged = merge(yours, BEFORE, AFTER)
    assert merged.added == ["Norm.second"]
    assert merge(merged.text, BEFORE, AFTER).text == merged.text


def test_a_deleted_class_is_said_and_the_rest_arrives() -> None:
    merged = merge("import math\n", BEFORE, AFTER)
    assert merged.problems == ["the class Norm is not in the file, so Norm.second was not added"]
    assert merged.added == ["NAMES", "Choice", "get_norm"]


def test_a_class_on_one_line_is_said() -> None:
    merged = merge("class Norm: pass\n", BEFORE, AFTER)
    assert merged.problems == ["the class Norm is written on one line, so Norm.second was not added"]


@pytest.mark.parametrize(
    ("yours", "said"),
    [
        ("class Norm:\n    def f(self):\n", "line 2 does not parse (expected an indented block"),
        ("x = (\n", "line 1 does not parse ('(' was never closed)"),
        ("if 1:\n\tx = 1\n        y = 2\n", "line 3 does not parse"),
        ("x = 1\0", "does not parse (source code string cannot contain null bytes)"),
    ],
)
def test_a_file_that_does_not_parse_is_not_changed(yours: str, said: str) -> None:
    for result in (merge(yours, BEFORE, AFTER), restore(yours, AFTER, ["get_norm"])):
        assert result.text == yours
        assert not result.added
        assert len(result.problems) == 1 and said in result.problems[0]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\n    # a last word"])
def test_line_ends_mark_and_last_line_are_kept(newline: str, mark: str, end: str) -> None:
    yours = mark + (BEFORE.rstrip("\n") + end).replace("\n", newline)
    merged = merge(yours, BEFORE, AFTER)
    assert merged.text.startswith(mark) and merged.text.count("\ufeff") == len(mark)
    assert newline == "\n" or "\n" not in merged.text.replace("\r\n", "")
    assert {"Choice", "get_norm"} <= set(run(merged.text))


def test_tabs_are_kept_and_the_additions_follow_them() -> None:
    yours = BEFORE.replace("    ", "\t")
    merged = merge(yours, BEFORE, AFTER)
    assert "\n\t@property\n\tdef second" in merged.text
    assert isinstance(run(merged.text)["Norm"].second, property)


def test_imports_go_before_the_first_definition_that_may_need_them() -> None:
    yours = "class Norm:\n    x = 1\n\nimport math\n"
    merged = merge(yours, BEFORE, AFTER)
    imports = "from dataclasses import dataclass, field\nfrom decimal import Decimal\n"
    assert merged.text.startswith(imports + '\nNAMES = ["norm"]\n\nclass Norm:')
    run(merged.text)


@pytest.mark.parametrize(
    "top",
    [
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n",
        '"""Doc."""\n',
        '"""Doc."""; import os\n',
        "from __future__ import annotations\n",
        "import os; x = (1,\n  2)\n",
        "try:\n    import json\nexcept ImportError:\n    json = None\n",
        "from math import (\n    pi,\n    e,\n)\n",
        "",
    ],
)
def test_imports_go_to_a_place_where_they_may_stand(top: str) -> None:
    merged = merge(top + "class Norm:\n    x = 1\n", BEFORE, AFTER)
    assert is_subsequence(lines_of(top), lines_of(merged.text))
    space = run(merged.text)
    assert isinstance(space["Norm"].second, property)
    assert ast.get_docstring(ast.parse(merged.text)) == ast.get_docstring(ast.parse(top))


def test_an_import_that_is_there_under_another_form_is_not_repeated() -> None:
    yours = "import decimal\nfrom decimal import Decimal as Decimal, getcontext\nclass Norm:\n    x = 1\n"
    assert merge(yours, BEFORE, AFTER).text.count("Decimal as Decimal") == 1
    assert "from decimal import Decimal\n" not in merge(yours, BEFORE, AFTER).text


def test_text_that_stands_further_left_than_the_method_stays_there() -> None:
    before = "class A:\n  x = 1\n"
    after = (
        "class A:\n    x = 1\n\n"
        "# a comment at the margin\n"
        "    def f(self, by=(\n1)):\n"
        '        text = """a\n b"""\n'
        "# another\n"
        "        return text, by\n"
    )
    merged = merge(before, before, after)
    assert merged.text.startswith(before)
    assert run(merged.text)["A"]().f() == ("a\n b", 1)


def test_inner_and_outer_class_that_end_on_the_same_line() -> None:
    before = "class A:\n    class B:\n        x = 1\n"
    after = (
        "class A:\n    def a(self): ...\n\n    class B:\n        x = 1\n\n        def b(self): ...\n\n\ndef c(): ...\n"
    )
    space = run(merge(before, before, after).text)
    assert callable(space["A"].B.b) and callable(space["A"].a) and callable(space["c"])


# Properties over generated files: a module of the course in two states, and a learner's version of the first.

NAMES = ["alpha", "beta", "gamma", "delta"]
bodies = st.sampled_from(
    [
        "return 1",
        "x = [\n    1,\n]\nreturn x",
        'text = """a\n  b\n"""\nreturn text',
        "for i in range(3):\n    # c\n    pass\n# end",
        "if 1:\n    return (\n  2)\nreturn 3",
    ]
)
comments = st.sampled_from(["", "# a comment\n", "# two\n# lines\n"])
decorators = st.sampled_from(["", "@staticmethod\n", "@property\n"])


@st.composite
def functions(draw: st.DrawFn, name: str, *, method: bool) -> str:
    body = indented(draw(bodies))
    head = "async def" if draw(st.integers(0, 5)) == 0 else "def"
    decorator = draw(decorators) if method else ""
    return f"{draw(comments)}{decorator}{head} {name}(self=None):\n{body}\n"


@st.composite
def courses(draw: st.DrawFn) -> tuple[str, str, set[str]]:
    """A file of the course as of two lessons, and the names that the second one brings."""
    before, after, new = ["import math\n"], ["import math\nimport string\n"], set()
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1)):
        later = draw(st.booleans())
        if draw(st.booleans()):
            text = draw(functions(name, method=False))
            new |= {name} if later else set()
            before += [] if later else [text]
            after.append(text)
            continue
        head = f"class {name}:\n    value = 1\n"
        old, every = [head], [head]
        for member in draw(st.lists(st.sampled_from(["m1", "m2", "m3"]), unique=True)):
            text = "\n" + indented(draw(functions(member, method=True)))
            every.append(text)
            if draw(st.booleans()) and not later:
                new.add(f"{name}.{member}")
            else:
                old.append(text)
        new |= {name} if later else set()
        before += [] if later else ["".join(old)]
        after.append("".join(every))
    return "\n\n".join(before), "\n\n".join(after), new


def indented(text: str) -> str:
    inside, lines = False, []
    for line in text.split("\n"):
        lines.append("    " + line if line.strip() and not inside else line)
        inside ^= line.count('"""') % 2 == 1
    return "\n".join(lines)


@st.composite
def learners(draw: st.DrawFn, before: str) -> str:
    """A learner's version: comments and definitions of their own, other line ends, a mark, tabs."""
    extra = st.sampled_from(
        ["", "# mine\n", "mine = 1\n", "def mine():\n    pass\n", "class Mine:\n    x = 1\n    # end\n", "\n\n"]
    )
    pieces = [draw(extra)]
    for part in before.split("\n\n\n"):
        pieces += [part, "\n\n", draw(extra)]
    text = "".join(pieces)
    if draw(st.booleans()) and '"""' not in text:
        text = text.replace("    ", "\t")
    if draw(st.booleans()):
        text = text.rstrip("\n")
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return draw(st.sampled_from(["", "\ufeff"])) + text


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_properties_of_the_merge(data: st.DataObject) -> None:
    before, after, new = data.draw(courses())
    yours = data.draw(learners(before))
    merged = merge(yours, before, after)
    assert not merged.problems
    assert set(merged.added) == new
    theirs, all_lines = lines_of(yours), lines_of(merged.text)
    if theirs[-1] not in all_lines:
        theirs[-1] += "\r\n" if "\r\n" in yours else "\n"  # the newline that the last line lacked
    assert is_subsequence(theirs, all_lines)
    assert merged.text.startswith("\ufeff") == yours.startswith("\ufeff")
    assert definitions(yours).items() <= definitions(merged.text).items()
    assert {name: definitions(after)[name] for name in new}.items() <= definitions(merged.text).items()
    space, reference = run(merged.text), run(after)
    for name in new:
        assert type(lookup(space, name)) is type(lookup(reference, name))
    again = merge(merged.text, before, after)
    assert (again.text, again.added) == (merged.text, [])


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_properties_of_restoring(data: st.DataObject) -> None:
    before, after, _ = data.draw(courses())
    yours = data.draw(learners(before))
    offered = after.replace("return 1", "return 2").replace("return x", "return [x]")
    names = data.draw(st.lists(st.sampled_from(sorted(definitions(offered))), unique=True, min_size=1))
    restored = restore(yours, offered, names)
    assert not restored.problems
    result, wanted = definitions(restored.text), definitions(offered)
    for name in names:
        assert result[name] == wanted[name]
    for name, text in definitions(yours).items():
        touched = any(name == other or other.startswith(f"{name}.") or name.startswith(f"{other}.") for other in names)
        assert touched or result[name] == text
    run(restored.text)
    assert restored.text.startswith("\ufeff") == yours.startswith("\ufeff")
    again = restore(restored.text, offered, names)
    assert definitions(again.text) == result


def definitions(text: str) -> dict[str, str]:
    """What each function and class says, by dotted name; a class without its functions, so that it can grow."""
    found: dict[str, str] = {}

    def walk(body: list[ast.stmt], owner: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[owner + node.name] = ast.dump(node)
            elif isinstance(node, ast.ClassDef):
                found[owner + node.name] = ast.dump(ast.parse("\n".join(ast.unparse(base) for base in node.bases)))
                walk(node.body, f"{owner}{node.name}.")

    walk(ast.parse(text.removeprefix("\ufeff").replace("\r\n", "\n")).body, "")
    return found


def lookup(space: dict[str, Any], name: str) -> Any:
    owner, _, member = name.rpartition(".")
    return vars(space[owner])[member] if owner else space[name]


def test_restoring_a_method_of_a_lost_class_brings_the_class() -> None:
    restored = restore("import math\n", AFTER, ["Norm.second"])
    assert restored.added == ["Norm"]
    assert isinstance(run(restored.text)["Norm"].second, property)


def test_restoring_brings_what_the_definitions_refer_to() -> None:
    offered = (
        "from math import tau\n\nBASE = tau\n\n\ndef helper():\n    return BASE\n\n\ndef task():\n    return helper()\n"
    )
    restored = restore("def task():\n    return 0\n\n\ndef mine():\n    return 1\n", offered, ["task"])
    assert run(restored.text)["task"]() == run(offered)["task"]()
    assert "def mine" in restored.text
    order = [restored.text.index(part) for part in ("from math", "BASE =", "def task", "def mine", "def helper")]
    assert all(a < b for a, b in pairwise(order))


def test_restoring_a_property_replaces_its_setter_too() -> None:
    getter, setter = "\t@property\n\tdef p(self):\n\t\treturn 1\n", "\t@p.setter\n\tdef p(self, x):\n\t\tpass\n"
    old = f"class A:\n{getter}\n\tmine = 3\n\n{setter}"
    new = f"class A:\n{getter}\n{setter}".expandtabs(4).replace("return 1", "return 2").replace("pass", "self.x = x")
    text = restore(old, new, ["A.p"]).text
    made = run(text)["A"]()
    made.p = 7
    assert (made.p, made.x, made.mine) == (2, 7, 3)
