"""Finding a course, its lessons and its tasks, by every name that people type."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coursecli.course.catalogue import Course, load_course
from coursecli.course.suites import read_suites
from coursecli.errors import ContentError, UsageError

TOY = Path(__file__).resolve().parent.parent / "toy_course"


@pytest.fixture
def toy() -> Course:
    return load_course(TOY)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A toy course that a test may break."""
    return shutil.copytree(TOY, tmp_path / "course")


@pytest.mark.parametrize("name", ["lesson02", "lesson2", "02", "2", "lesson02_baskets", "Lesson-2", " LESSON02 "])
def test_every_form_of_a_lessons_name_is_the_same_lesson(toy: Course, name: str) -> None:
    assert toy.lesson(name).id == "lesson02_baskets"
    assert toy.resolve(name) == (toy.lessons[1], None)


def test_a_task_is_found_with_its_lesson(toy: Course) -> None:
    lesson, task = toy.find_task("basket-total")
    assert (lesson.id, task.file) == ("lesson01_prices", "baskets.py")
    assert toy.resolve("basket-total") == (lesson, task)


@pytest.mark.parametrize(
    ("name", "near"),
    [("discont", "discount"), ("lesson3", "lesson01"), ("lesson02_basket", "lesson02_baskets"), ("", "lesson01")],
)
def test_an_unknown_name_leads_to_the_nearest_ones(toy: Course, name: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        toy.resolve(name)
    assert repr(name) in caught.value.message
    assert near in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("total", "Did you mean basket-total?"),
        ("basket", "Did you mean basket-add, basket-total or lesson02_baskets?"),
        ("BASKETT", "Did you mean basket-total?"),
        ("discounts", "Did you mean discount?"),
    ],
)
def test_names_that_begin_with_it_or_contain_it_come_before_those_spelled_alike(
    toy: Course, name: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as caught:
        toy.resolve(name)
    assert caught.value.remedy == remedy


def test_a_lesson_has_a_heading(toy: Course) -> None:
    assert toy.lesson("2").heading == "Lesson 02 · Baskets"


def test_the_course_says_where_its_parts_are(toy: Course) -> None:
    assert (toy.package_name, toy.package_dir, toy.solutions_dir) == ("toyshop", TOY / "toyshop", TOY / "solutions")
    lesson = toy.lessons[0]
    assert [path.name for path in lesson.suites] == ["basic_test.py", "advanced_test.py"]
    assert lesson.files == ["prices.py", "baskets.py"]
    assert lesson.readme.is_file()


def test_the_environment_names_another_course(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTRO2LLM_COURSE", str(TOY))
    assert load_course().id == "toyshop"
    monkeypatch.delenv("INTRO2LLM_COURSE")
    assert load_course().id == "intro2llm"


def test_a_folder_without_a_course_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no course\.yaml"):
        load_course(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title: Toyshop", "title: [", "course.yaml:4: is not valid YAML"),
        ("title: Toyshop", "titel: Toyshop", "unknown field `titel`"),
        ("lesson02_baskets", "baskets", "'baskets' in stage 'stage01_shop' does not have the form lessonNN_name"),
        ("lesson02_baskets", "lesson01_baskets", "not in order of their numbers"),
        ("title: The shop", "title: 7", "Expected `str`, got `int` - at `$.stages[0].title`"),
        ("title: The shop", "title: 2026-13-01", "course.yaml: is not valid YAML: month must be in 1..12"),
        ("id: toyshop", "id: toyshop\npython: three", "course.yaml: python: 'three' is not a version"),
    ],
)
def test_a_malformed_course_is_one_line_with_the_place(copy: Path, old: str, new: str, said: str) -> None:
    path = copy / "course.yaml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ContentError) as caught:
        load_course(copy)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_a_malformed_lesson_is_said_when_it_is_needed_and_not_before(copy: Path) -> None:
    path = copy / "stage01_shop" / "lesson02_baskets" / "lesson.yaml"
    path.write_text(path.read_text().replace("id: combine", "id: cheapest"))
    course = load_course(copy)
    assert course.lessons[0].title == "Prices"
    with pytest.raises(ContentError, match="two tasks have the id 'cheapest'"):
        _ = course.lessons[1].tasks


@pytest.mark.parametrize("file", ["/etc/hostname", "../prices.py", "till/../../prices.py"])
def test_a_file_outside_the_package_is_refused(copy: Path, file: str) -> None:
    path = copy / "stage01_shop" / "lesson02_baskets" / "lesson.yaml"
    path.write_text(path.read_text().replace("file: baskets.py", f"file: {file}", 1))
    with pytest.raises(ContentError, match="is not a path inside the package"):
        _ = load_course(copy).lessons[1].tasks


def test_a_long_list_of_names_is_cut(toy: Course) -> None:
    content = load_course(TOY.parent.parent / "lessons")
    with pytest.raises(UsageError) as caught:
        content.resolve("zzzz")
    assert caught.value.remedy.endswith("… All of them: intro2llm list")
    assert len(caught.value.remedy) < 300


def test_a_manifest_in_the_wrong_folder_is_said(copy: Path) -> None:
    (copy / "stage01_shop" / "lesson02_baskets").rename(copy / "stage01_shop" / "lesson02_bags")
    path = copy / "course.yaml"
    path.write_text(path.read_text().replace("lesson02_baskets", "lesson02_bags"))
    with pytest.raises(ContentError, match="id is 'lesson02_baskets', but the folder is 'lesson02_bags'"):
        _ = load_course(copy).lessons[1].title


def test_suites_are_read_without_running_them(copy: Path) -> None:
    suite = copy / "stage01_shop" / "lesson02_baskets" / "testcases" / "basic_test.py"
    suite.write_text("raise SystemExit\n" + suite.read_text())
    cases = read_suites(load_course(copy).lessons[1])
    assert [(case.suite, case.function, case.task) for case in cases[:2]] == [
        ("basic", "test_cheapest_of_three", "cheapest"),
        ("basic", "test_combine_keeps_the_order", "combine"),
    ]
    assert cases[0].title == "The cheapest item is the one with the lowest price of one piece."
    assert [case.function for case in cases if case.integration] == ["test_combined_basket_costs_as_much_as_both"]


def test_marks_of_the_whole_file_count(tmp_path: Path, copy: Path) -> None:
    folder = copy / "stage01_shop" / "lesson02_baskets" / "testcases"
    (folder / "basic_test.py").write_text(
        "import pytest\n\npytestmark = [pytest.mark.task('cheapest'), pytest.mark.integration]\n\n\n"
        "def test_one():\n    '''One.'''\n\n\n"
        "@pytest.mark.task('combine')\ndef test_two():\n    '''Two.\n\n    More.\n    '''\n"
    )
    cases = read_suites(load_course(copy).lessons[1])[:2]
    assert [(case.task, case.title, case.integration, case.line) for case in cases] == [
        ("cheapest", "One.", True, 6),
        ("combine", "Two.", True, 11),
    ]


def test_reading_a_course_imports_nothing_heavy() -> None:
    heavy = {"torch", "pytest", "rich", "typer", "numpy", "asyncio"}
    code = (
        "import sys; from coursecli.course.catalogue import load_course; c = load_course(); "
        f"[lesson.folder for lesson in c.lessons]; print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
