"""`dev sync`: stubs follow the reference, and `--check` says which do not."""

import shutil
from pathlib import Path

import pytest

from coursecli.author.sync import Drift, sync_course
from coursecli.course.catalogue import Course, load_course

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return load_course(shutil.copytree(ROOT / "toy_course", tmp_path / "toy"))


@pytest.mark.parametrize("root", [ROOT.parent / "lessons", ROOT / "toy_course"], ids=["course", "toy course"])
def test_the_committed_stubs_are_those_of_the_reference(root: Path) -> None:
    assert sync_course(load_course(root), check=True) == []


def test_a_changed_docstring_makes_the_stub_stale_until_it_is_written(course: Course) -> None:
    reference, stub = course.solutions_dir / "prices.py", course.package_dir / "prices.py"
    text = reference.read_text(encoding="utf-8")
    reference.write_text(text.replace("price: any number.", "price: any number, in euros."), encoding="utf-8")
    before = stub.read_bytes()

    assert sync_course(course, check=True) == [Drift(stub, "stale")]
    assert stub.read_bytes() == before, "--check must not write"
    assert sync_course(course, check=False) == [Drift(stub, "stale")]
    assert "in euros" in stub.read_text(encoding="utf-8")
    assert sync_course(course, check=True) == []


def test_a_changed_body_leaves_the_stub_as_it_is(course: Course) -> None:
    reference = course.solutions_dir / "prices.py"
    text = reference.read_text(encoding="utf-8")
    reference.write_text(text.replace("return price * (1 - percent / 100)", "return price - price * percent / 100"))
    assert sync_course(course, check=True) == []


def test_a_missing_stub_is_said_and_written(course: Course) -> None:
    stub = course.package_dir / "prices.py"
    text = stub.read_text(encoding="utf-8")
    stub.unlink()
    assert sync_course(course, check=False) == [Drift(stub, "missing")]
    assert stub.read_text(encoding="utf-8") == text


def test_a_reference_that_no_task_lists_is_said(course: Course) -> None:
    stray = course.solutions_dir / "stray.py"
    stray.write_text('"""Nobody asks for this."""\n')
    assert sync_course(course, check=False) == [Drift(stray, "unlisted")]
