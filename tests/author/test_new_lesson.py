"""`dev new-lesson`: what it makes is a lesson that `dev check` proves as it stands."""

import shutil
from pathlib import Path

import pytest

from coursecli.author.new_lesson import create
from coursecli.author.prove import prove
from coursecli.author.sync import sync_course
from coursecli.course.catalogue import Course, load_course
from coursecli.errors import UsageError

TOY = Path(__file__).resolve().parent.parent / "toy_course"


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return load_course(shutil.copytree(TOY, tmp_path / "toy"))


@pytest.mark.parametrize("path", ["stage01_shop/lesson03_tills", "stage02_street/lesson07_markets"])
def test_a_new_lesson_is_whole(course: Course, path: str) -> None:
    before = (course.root / "course.yaml").read_text(encoding="utf-8")
    written = create(course, path, "A new one")
    assert all(file.is_file() for file in written)

    grown = load_course(course.root)
    assert [lesson.id for lesson in grown.lessons] == [*(lesson.id for lesson in course.lessons), path.split("/")[1]]
    assert grown.lessons[-1].stage.id == path.split("/")[0]
    assert grown.lessons[-1].title == "A new one"
    after = (course.root / "course.yaml").read_text(encoding="utf-8")
    assert set(before.splitlines()) <= set(after.splitlines()), "a line of course.yaml is lost"

    sync_course(grown, check=False)
    (proof,) = prove(grown, [grown.lessons[-1]])
    assert proof.ok, proof.verdicts


@pytest.mark.parametrize("path", ["lesson03_tills", "stage1/lesson3", "stage01_shop/lesson02_again", "../lesson09_up"])
def test_a_bad_place_is_refused_and_nothing_is_written(course: Course, path: str) -> None:
    before = sorted(course.root.rglob("*"))
    with pytest.raises(UsageError):
        create(course, path, "No")
    assert sorted(course.root.rglob("*")) == before


def test_a_solution_that_is_there_already_is_not_overwritten(course: Course) -> None:
    kept = course.solutions_dir / "tills.py"
    kept.write_text("# mine\n")
    with pytest.raises(UsageError, match=r"tills\.py"):
        create(course, "stage01_shop/lesson03_tills", "Tills")
    assert kept.read_text() == "# mine\n"
    assert not (course.root / "stage01_shop" / "lesson03_tills").exists()


def test_a_title_with_punctuation_stays_itself(course: Course) -> None:
    create(course, "stage01_shop/lesson03_tills", 'Tills: "open" & {shut} #1')
    assert load_course(course.root).lessons[-1].title == 'Tills: "open" & {shut} #1'
