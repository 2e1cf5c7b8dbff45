"""What evidence holds, and when it differs."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from pathlib import Path

import pytest

from coursecli.course.catalogue import Course
from coursecli.course.workspace import Workspace
from coursecli.progress.evidence import (
    Evidence,
    environment_hash,
    gather,
    installed_versions,
    needed_lessons,
    stale_reasons,
)


def test_evidence_covers_the_files_of_the_lesson_and_of_those_that_it_needs(
    course: Course, workspace: Workspace
) -> None:
    (workspace.package / "tally.py").unlink()
    evidence = gather(course, course.lessons[1], workspace.package)
    assert evidence.files == {
        "count.py": hashlib.sha256(b"# count.py\n").hexdigest()[:32],
        "tally.py": "gone",
        "add/plus.py": hashlib.sha256(b"# add/plus.py\n").hexdigest()[:32],
        "add/total.py": hashlib.sha256(b"# add/total.py\n").hexdigest()[:32],
    }


def test_needs_are_followed_to_the_end(course: Course) -> None:
    assert [lesson.number for lesson in needed_lessons(course, course.lessons[2])] == [1, 2]
    assert needed_lessons(course, course.lessons[0]) == []


def test_each_part_is_a_reason_of_its_own() -> None:
    then = Evidence(files={"a.py": "1", "b.py": "1", "c.py": "1"}, tests="1", environment="1")
    assert stale_reasons(then, then) == []
    now = Evidence(files={"a.py": "2", "b.py": "gone", "c.py": "1", "d.py": "1"}, tests="2", environment="2")
    assert stale_reasons(then, now) == [
        "a.py changed since",
        "b.py is gone",
        "d.py changed since",
        "the lesson's tests changed since",
        "Python or an installed package changed since",
    ]
    assert stale_reasons(then, now, {"c.py"})[0] == "the lesson's tests changed since"


@pytest.mark.parametrize("what", ["testcases/basic_test.py", "testcases/deep/helper.py", "lesson.yaml", "README.md"])
def test_the_tests_hash_is_over_the_testcases_and_the_manifest(course: Course, workspace: Workspace, what: str) -> None:
    lesson = course.lessons[0]
    before = gather(course, lesson, workspace.package).tests
    path = lesson.folder / what
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as stream:
        stream.write("\n# more\n")
    assert (gather(course, lesson, workspace.package).tests != before) == (what != "README.md")


def test_renaming_a_testcase_changes_the_hash(course: Course, workspace: Workspace) -> None:
    lesson = course.lessons[0]
    before = gather(course, lesson, workspace.package).tests
    (lesson.folder / "testcases" / "basic_test.py").rename(lesson.folder / "testcases" / "first_test.py")
    assert gather(course, lesson, workspace.package).tests != before


def test_installed_versions_agree_with_importlib_metadata() -> None:
    names = {"msgspec", "pytest", "typing_extensions", "torch"}
    oracle = {name: importlib.metadata.version(name) for name in names}
    assert installed_versions(names | {"json", "no_such_package"}) == oracle


def test_the_first_folder_on_the_path_decides_the_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder, version in (("first", "2.0"), ("second", "1.0")):
        (tmp_path / folder / f"thing-{version}.dist-info").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "second")])
    assert installed_versions({"thing"}) == {"thing": "2.0"}


def test_the_environment_hash_follows_python_and_the_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "missing"), __file__])
    (tmp_path / "Some.Package-1.0.dist-info").mkdir()
    assert installed_versions({"some_package"}) == {"some_package": "1.0"}
    one = environment_hash(["some_package.part"])
    (tmp_path / "Some.Package-1.0.dist-info").rename(tmp_path / "Some.Package-1.1.dist-info")
    two = environment_hash(["some_package.part"])
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    three = environment_hash(["some_package.part"])
    assert len({one, two, three, environment_hash([])}) == 4
