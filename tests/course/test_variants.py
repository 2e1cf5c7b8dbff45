"""Planting misconceptions and alternatives: the edit arrives, the rest of the reference stays."""

from pathlib import Path
from textwrap import dedent

import pytest

from coursecli.course.build import build_solved, build_stubbed, build_variant
from coursecli.course.catalogue import load_course
from coursecli.course.manifest import Edit, Mistake, Variant
from coursecli.course.mistakes import find_mistake, load_mistakes
from coursecli.course.variants import apply_edits, plant
from coursecli.errors import ContentError

TOY = Path(__file__).resolve().parent.parent / "toy_course"
SOURCE = dedent('''
    LIMIT = 3


    # About A.
    class A:
        """Doc."""

        x = 1

        @staticmethod
        def f(a, b=":"):
            """Doc of f."""
            # secret
            return a

        async def g(self):
            return 2


    def last():
        return 3
''').lstrip()


def test_a_body_replaces_the_body_alone() -> None:
    text = apply_edits(SOURCE, [Edit(symbol="A.f", code='if b:\n    return """\n  deep\n"""\nreturn b')])
    assert text == SOURCE.replace(
        "        # secret\n        return a\n",
        '        if b:\n            return """\n  deep\n"""\n        return b\n',
    )


@pytest.mark.parametrize(
    ("symbol", "code", "old", "new"),
    [
        ("last", "def last(x):\n    return x", "def last():\n    return 3", "def last(x):\n    return x"),
        ("last", "@cache\ndef last(): ...", "def last():\n    return 3", "@cache\ndef last(): ..."),
        (
            "A.g",
            "async def g(self, x):\n  return x",
            "async def g(self):\n        return 2",
            "async def g(self, x):\n      return x",
        ),
        ("LIMIT", "LIMIT = 4", "LIMIT = 3", "LIMIT = 4"),
        ("A.x", "x = 5", "x = 1", "x = 5"),
        ("A.h", "def h(self): ...", "return 2\n", "return 2\n\n    def h(self): ...\n"),
        ("fresh", "def fresh():\n    pass", "return 3\n", "return 3\n\n\ndef fresh():\n    pass\n"),
        ("last", "defined = 1\nreturn defined", "return 3", "defined = 1\n    return defined"),
    ],
)
def test_edits(symbol: str, code: str, old: str, new: str) -> None:
    assert apply_edits(SOURCE, [Edit(symbol=symbol, code=code)]) == SOURCE.replace(old, new)


def test_a_class_is_replaced_whole() -> None:
    text = apply_edits(SOURCE, [Edit(symbol="A", code="class A(B):\n    y = 2")])
    assert text.split("\n\n\n") == ["LIMIT = 3", "class A(B):\n    y = 2", "def last():\n    return 3\n"]


def test_several_edits_of_one_variant() -> None:
    variant = Variant(
        id="v",
        task="t",
        name="n",
        symbol="last",
        code="return helper()",
        also=[Edit(symbol="helper", code="def helper(): ...")],
    )
    text = plant(SOURCE, variant)
    assert "return helper()" in text and text.endswith("def helper(): ...\n")


@pytest.mark.parametrize(
    ("symbol", "code", "said"),
    [
        ("last", "return (", "variant 'v': does not parse"),
        ("B.f", "def f(self): ...", "variant 'v': there is no class 'B' to add to"),
        ("last", "return 3", "variant 'v': changes nothing"),
        ("helper", "return 3", "variant 'v': the reference has no 'helper', nor does the code define it"),
    ],
)
def test_a_variant_that_does_not_fit_is_said(symbol: str, code: str, said: str) -> None:
    with pytest.raises(ContentError) as caught:
        plant(SOURCE, Variant(id="v", task="t", name="n", symbol=symbol, code=code))
    assert caught.value.message.startswith(said)


def test_the_toy_catalogue_is_read() -> None:
    lesson = load_course(TOY).lessons[0]
    catalogue = load_mistakes(lesson)
    assert (len(catalogue.mistakes), len(catalogue.accept)) == (11, 4)
    found = find_mistake(lesson, "percent-as-fraction")
    assert isinstance(found, Mistake) and found.task == "discount"
    assert find_mistake(lesson, "discount-by-subtraction") is None
    assert find_mistake(lesson, None) is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id: dearest", "id: cheapest-line", "two entries have the id 'cheapest-line'"),
        ("task: combine", "task: combinations", "which lesson02 does not have"),
        ("explanation:", "explanations:", "mistakes.yaml: Object contains unknown field `explanations`"),
    ],
)
def test_a_wrong_catalogue_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    import shutil

    root = shutil.copytree(TOY, tmp_path / "course")
    path = root / "stage01_shop" / "lesson02_baskets" / "mistakes.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ContentError, match=said):
        load_mistakes(load_course(root).lessons[1])


def test_built_packages(tmp_path: Path) -> None:
    course = load_course(TOY)
    first, second = course.lessons
    solved = build_solved(course, tmp_path / "a")
    assert solved == tmp_path / "a" / "toyshop"
    assert sorted(path.name for path in solved.iterdir()) == ["__init__.py", "baskets.py", "prices.py", "receipt.py"]
    assert "NotImplementedError" not in "".join(path.read_text() for path in solved.iterdir())

    until = build_solved(course, tmp_path / "b", upto=first)
    assert "combine" not in (until / "baskets.py").read_text()
    assert "_cost" in (until / "baskets.py").read_text()

    stubbed = build_stubbed(course, tmp_path / "c", second)
    assert (stubbed / "baskets.py").read_text().count("NotImplementedError") == 2
    assert "NotImplementedError" not in (stubbed / "prices.py").read_text()
    everything = build_stubbed(course, tmp_path / "d")
    assert (everything / "prices.py").read_text() == (TOY / "toyshop" / "prices.py").read_text()

    mistake = find_mistake(first, "percent-as-fraction")
    assert mistake is not None
    planted = build_variant(course, tmp_path / "e", first, mistake)
    assert "return price * (1 - percent)\n" in (planted / "prices.py").read_text()
    assert (planted / "baskets.py").read_text() == (solved / "baskets.py").read_text()
