"""When only an integration test fails, the earlier part that is guilty is named."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from coursecli.check.suspects import find_suspects, swap
from coursecli.course.manifest import Task
from tests.checking import Shop

INTEGRATION = "test_combined_basket_costs_as_much_as_both"
NEVER_LOOKS = "self.items.append(Item(name, price, count))"


def failing(result) -> list[str]:
    return [test.id.partition("::")[2] for test in result.tests if test.outcome != "passed"]


def test_the_guilty_part_is_named(shop: Shop):
    result = shop.check(shop.package(Basket__add=NEVER_LOOKS), "2")
    assert failing(result) == [INTEGRATION]
    assert [(suspect.lesson, suspect.task) for suspect in result.suspects] == [("lesson01_prices", "basket-add")]
    assert result.suspects[0].title == "Putting things in"


def test_an_integration_test_holds_nothing_back(shop: Shop):
    """Here in the basic suite: the advanced one runs all the same, and the suspect is found."""
    suites = shop.course.lesson("2").folder / "testcases"
    advanced = (suites / "advanced_test.py").read_text(encoding="utf-8")
    place = advanced.index('@pytest.mark.task("combine")\n@pytest.mark.integration')
    (suites / "advanced_test.py").write_text(advanced[:place], encoding="utf-8")
    with (suites / "basic_test.py").open("a", encoding="utf-8") as basic:
        basic.write("\nfrom coursecli.expect import expect_close\n\n\ndef contents(basket):\n")
        basic.write(
            "    return [(item.name, item.price, item.count) for item in basket.items]\n\n\n" + advanced[place:]
        )
    result = shop.check(shop.package(Basket__add=NEVER_LOOKS), "2")
    assert failing(result) == [INTEGRATION]
    assert [suspect.task for suspect in result.suspects] == ["basket-add"]


def test_the_learners_files_stay_as_they_are(shop: Shop):
    root = shop.package(Basket__add=NEVER_LOOKS)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    shop.check(root, "2")
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_when_the_lesson_itself_is_wrong_nobody_else_is_suspected(shop: Shop):
    root = shop.package(Basket__add=NEVER_LOOKS, combine="return Basket([*second.items, *first.items])")
    result = shop.check(root, "2")
    assert not result.passed
    assert result.suspects == []


def test_two_guilty_parts_are_no_single_suspect(shop: Shop):
    root = shop.package(Basket__add=NEVER_LOOKS, discount="return price")
    result = shop.check(root, "2")
    assert failing(result) == [INTEGRATION]
    assert result.suspects == []


def test_a_part_that_is_not_written_is_not_looked_for(shop: Shop, monkeypatch):
    """The stub has said which part it is; a worker for every earlier part would cost minutes."""
    stub = 'raise NotImplementedError("lesson01 · Basket.add")'
    root = shop.package(Basket__add=f"if any(item.name == name for item in self.items):\n    {stub}\n{NEVER_LOOKS}")
    monkeypatch.setattr("coursecli.check.run.find_suspects", lambda *_: pytest.fail("somebody was looked for"))
    result = shop.check(root, "2")
    assert failing(result) == [INTEGRATION]
    assert "not_written" in {test.outcome for test in result.tests}


@pytest.mark.parametrize("guilty", range(23))
def test_few_looks_are_enough_whoever_is_guilty(guilty, monkeypatch):
    tasks = [(SimpleNamespace(id="lesson01_a"), SimpleNamespace(id=f"t{n}", title=f"T{n}")) for n in range(23)]
    lessons = [SimpleNamespace(id="lesson01_a", tasks=[task for _, task in tasks])]
    course = SimpleNamespace(earlier=lambda lesson, including: lessons)
    looks = []

    def passes_with(course, parts, root, folder, check):
        looks.append(len(parts))
        return any(task.id == f"t{guilty}" for _, task in parts)

    monkeypatch.setattr("coursecli.check.suspects._passes_with", passes_with)
    suspects = find_suspects(course, None, None, None)
    assert [suspect.task for suspect in suspects] == [f"t{guilty}"]
    assert len(looks) <= 2 + 5, "all, five halvings of 23, and the one alone"


def test_a_part_with_helpers_and_imports_of_its_own_is_swapped_whole():
    reference = (
        '"""Doc."""\n\nimport math\nfrom pathlib import Path\n\n\ndef f(x):\n    return _half(math.fsum(x))\n\n\n'
        "def _half(x):\n    return x / 2\n\n\ndef g():\n    return Path()\n"
    )
    learner = (
        '"""Mine."""\n\nfrom __future__ import annotations\n\nKEPT = 1\n\n\n'
        "def f(x):\n    return 0\n\n\ndef g():\n    return 7\n"
    )
    task = Task(id="f", title="F", file="f.py", symbols=["f"], helpers=["_half"])
    swapped = swap(learner, reference, task)
    space: dict = {}
    exec(compile(swapped, "f.py", "exec"), space)
    assert space["f"]([3.0, 5.0]) == 4.0
    assert (space["g"](), space["KEPT"]) == (7, 1)


def test_swapping_a_class_keeps_what_later_lessons_added_to_it():
    reference = "class A:\n    def one(self):\n        return 1\n"
    learner = "class A:\n    def one(self):\n        return 0\n\n    def two(self):\n        return 2\n"
    task = Task(id="a", title="A", file="a.py", symbols=["A"])
    space: dict = {}
    exec(swap(learner, reference, task), space)
    assert (space["A"]().one(), space["A"]().two()) == (1, 2)


def test_without_a_reference_nobody_is_suspected_and_nothing_breaks(shop: Shop):
    """A student bundle has no solutions."""
    root = shop.package(Basket__add=NEVER_LOOKS)
    shutil.rmtree(shop.course.solutions_dir)
    result = shop.check(root, "2")
    assert failing(result) == [INTEGRATION]
    assert result.suspects == []
