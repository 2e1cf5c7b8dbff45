"""What `dev check` says about content without running it: one line for each fault."""

import shutil
from pathlib import Path

import pytest

from coursecli.course.catalogue import load_course
from coursecli.course.validate import lesson_problems

TOY = Path(__file__).resolve().parent.parent / "toy_course"
LESSON = "stage01_shop/lesson02_baskets/"


def test_the_toy_course_has_no_fault() -> None:
    course = load_course(TOY)
    assert [lesson_problems(course, lesson) for lesson in course.lessons] == [[], []]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("lesson.yaml", "id: combine", "id: discount", "task id 'discount' is used 2 times in the course"),
        ("lesson.yaml", "id: combine", "id: Combine", "'Combine' is not lower case with hyphens"),
        (
            "lesson.yaml",
            "needs: [lesson01_prices]",
            "needs: [lesson03_till]",
            "'lesson03_till', which is not an earlier lesson",
        ),
        (
            "lesson.yaml",
            "symbols: [combine]",
            "symbols: [combine]\n    needs: [till]",
            "needs 'till', which is not an earlier",
        ),
        ("lesson.yaml", "file: baskets.py", "file: bags.py", "the file 'bags.py' is not in "),
        (
            "lesson.yaml",
            "      - You wrote a method that counts equal items together.\n",
            "",
            "'combine' has 2 hints, not 3",
        ),
        ("lesson.yaml", "symbols: [combine]", "symbols: [join]", "'join' of task 'combine' (lesson02) is not in it"),
        ("lesson.yaml", "symbols: [combine]", "symbols: []", "task 'combine' has no symbols"),
        ("lesson.yaml", "symbols: [combine]", "symbols: [combine, Item]", "'Item' has no function to write"),
        (
            "lesson.yaml",
            "symbols: [combine]",
            "symbols: [combine, Basket.add]",
            "'Basket.add' belongs to more than one task",
        ),
        ("lesson.yaml", "symbols: [combine]", "symbols: [combine, Basket]", "lists parts of it: list the new ones"),
        ("lesson.yaml", "builtins.min", "min", "forbidden 'min' is a built-in: write builtins.min"),
        ("lesson.yaml", "builtins.min", "builtins:min", "forbidden 'builtins:min' is not a dotted name"),
        ("lesson.yaml", "files: [baskets.py]", "files: [bags.py]", "names 'bags.py', in which the lesson has no task"),
        ("lesson.yaml", "minutes: 10", "minutes: 10\ngiven: [till.py]", "the given file 'till.py' does not exist"),
        ("lesson.yaml", "minutes: 10", "minutes: ten", "lesson.yaml: Expected `int`, got `str` - at `$.minutes`"),
        (
            "testcases/basic_test.py",
            '@pytest.mark.task("combine")\n',
            "",
            "test_combine_keeps_the_order has no task mark",
        ),
        ("testcases/basic_test.py", 'task("combine")', 'task("combin")', "marked with 'combin', which is not a task"),
        ("testcases/basic_test.py", '    """The items of the first basket come first."""\n', "", "has no docstring"),
        (
            "testcases/basic_test.py",
            "def test_combine",
            "class TestX:\n    pass\n\n\ndef test_combine",
            "class TestX: tests are",
        ),
        (
            "testcases/basic_test.py",
            '"second-first"',
            '"second-frst"',
            "'second-frst', which mistakes.yaml does not have",
        ),
        (
            "testcases/basic_test.py",
            "import pytest",
            "import pytest\nimport coursecli.files",
            "imports coursecli.files",
        ),
        ("testcases/basic_test.py", "import pytest", "import pytest\nimport (", "basic_test.py:4: invalid syntax"),
        ("testcases/basic_test.py", "test_combine_keeps_the_order", "test_cheapest_of_three", "is defined twice"),
        ("mistakes.yaml", "symbol: combine\n    code: |", "symbol: combine\n    code: |\n      if", "does not parse"),
    ],
)
def test_each_fault_is_one_line(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    root = shutil.copytree(TOY, tmp_path / "course")
    path = root / LESSON / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    course = load_course(root)
    problems = lesson_problems(course, course.lessons[1])
    assert any(said in problem for problem in problems), problems
    assert not any("\n" in problem for problem in problems)


def test_a_task_without_a_test_is_said(tmp_path: Path) -> None:
    root = shutil.copytree(TOY, tmp_path / "course")
    for name in ("basic", "advanced"):
        path = root / LESSON / "testcases" / f"{name}_test.py"
        path.write_text(path.read_text().replace('task("combine")', 'task("cheapest")'))
    course = load_course(root)
    assert [p.rpartition(": ")[2] for p in lesson_problems(course, course.lessons[1])] == ["task 'combine' has no test"]


@pytest.mark.parametrize("file", ["README.md", "testcases/advanced_test.py"])
def test_a_missing_file_is_said(tmp_path: Path, file: str) -> None:
    root = shutil.copytree(TOY, tmp_path / "course")
    (root / LESSON / file).unlink()
    course = load_course(root)
    assert any(Path(file).name in problem for problem in lesson_problems(course, course.lessons[1]))


@pytest.mark.parametrize(
    ("addition", "said"),
    [
        ('\n\n__all__ = ["Basket", "combine"]\n', "has __all__"),
        ("\n\nMAKERS = {'both': combine}\n", "as of lesson01, uses 'combine', which a later lesson brings"),
        (
            "\n\nclass Till(Basket):\n    def pay(self):\n        return self._cost(1)\n",
            "'self._cost', which is a helper",
        ),
        (
            "\n\nclass Till(Basket):\n    def pay(self):\n        return self.cheapest\n",
            "'self.cheapest', which a later lesson",
        ),
    ],
)
def test_code_that_cannot_be_cut_is_said(tmp_path: Path, addition: str, said: str) -> None:
    root = shutil.copytree(TOY, tmp_path / "course")
    path = root / "solutions" / "baskets.py"
    path.write_text(path.read_text() + addition)
    course = load_course(root)
    assert any(said in problem for problem in lesson_problems(course, course.lessons[0]))
