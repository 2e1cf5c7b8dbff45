"""A learner's workspace over the course: nothing of theirs is lost, and everything that they need is there."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from coursecli.course.catalogue import Course, load_course
from coursecli.course.scaffold import FileChange, apply_solution, init_workspace, reset_file, reset_task, start_lesson
from coursecli.course.workspace import Workspace
from coursecli.errors import ContentError, UsageError, WorkspaceError
from coursecli.files import atomic_write

TOY = Path(__file__).resolve().parent.parent / "toy_course"
BASKETS = "toyshop/baskets.py"


@pytest.fixture(autouse=True)
def _config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTRO2LLM_CONFIG_DIR", str(tmp_path / "config"))


@pytest.fixture
def course() -> Course:
    return load_course(TOY)


@pytest.fixture
def workspace(course: Course, tmp_path: Path) -> Workspace:
    return init_workspace(course, tmp_path / "mein Lädchen")


def actions(changes: list[FileChange]) -> dict[str, str]:
    return {change.path: change.action for change in changes}


def contents(workspace: Workspace) -> dict[str, bytes]:
    return {
        path.relative_to(workspace.root).as_posix(): path.read_bytes()
        for path in workspace.root.rglob("*")
        if path.is_file() and "backups" not in path.parts
    }


def run(workspace: Workspace, code: str) -> str:
    """Run code over the learner's package in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": str(workspace.root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]


def test_a_first_lesson(course: Course, workspace: Workspace) -> None:
    changes = start_lesson(course, workspace, course.lessons[0])
    assert actions(changes) == dict.fromkeys(["lessons/lesson01_prices.md", "toyshop/prices.py", BASKETS], "created")
    assert "cheapest" not in (workspace.package / "baskets.py").read_text()
    assert run(workspace, "import toyshop.prices as p; p.discount(1, 2)").endswith("lesson01 · discount")


def test_starting_again_changes_nothing(course: Course, workspace: Workspace) -> None:
    for lesson in course.lessons:
        start_lesson(course, workspace, lesson)
    before = contents(workspace)
    assert [start_lesson(course, workspace, lesson) for lesson in course.lessons] == [[], []]
    assert contents(workspace) == before


def test_a_later_lesson_is_added_to_the_learners_file(course: Course, workspace: Workspace) -> None:
    start_lesson(course, workspace, course.lessons[0])
    path = workspace.package / "baskets.py"
    mine = path.read_bytes().replace(b"\n", b"\r\n").replace(b"raise NotImplementedError", b"return None  # mine")
    path.write_bytes(mine)
    changes = start_lesson(course, workspace, course.lessons[1])
    assert actions(changes) == {"lessons/lesson02_baskets.md": "created", BASKETS: "added"}
    added = changes[1]
    assert added.note == "Basket.cheapest, combine"
    assert (workspace.root / added.backup).read_bytes() == mine
    rest = iter(path.read_bytes().splitlines(keepends=True))
    assert all(line in rest for line in mine.splitlines(keepends=True))


def test_lessons_may_be_skipped_over(course: Course, workspace: Workspace) -> None:
    changes = start_lesson(course, workspace, course.lessons[1])
    assert actions(changes) == dict.fromkeys(["lessons/lesson02_baskets.md", "toyshop/prices.py", BASKETS], "created")
    assert (workspace.package / "baskets.py").read_text() == (TOY / "toyshop" / "baskets.py").read_text()
    assert actions(start_lesson(course, workspace, course.lessons[0])) == {"lessons/lesson01_prices.md": "created"}


def test_what_the_learner_deleted_on_purpose_does_not_come_back(course: Course, workspace: Workspace) -> None:
    start_lesson(course, workspace, course.lessons[0])
    path = workspace.package / "baskets.py"
    text = path.read_text()
    path.write_text(text.replace(text[text.index("    def total") :], ""))
    start_lesson(course, workspace, course.lessons[1])
    assert "def total" not in path.read_text() and "def combine" in path.read_text()


def test_a_file_with_a_syntax_error_is_left_alone_until_it_is_mended(course: Course, workspace: Workspace) -> None:
    start_lesson(course, workspace, course.lessons[0])
    path = workspace.package / "baskets.py"
    good = path.read_text()
    path.write_text(good + "\ndef broken(:\n")
    (change,) = (c for c in start_lesson(course, workspace, course.lessons[1]) if c.path == BASKETS)
    assert change.action == "problem"
    assert "line 38 does not parse" in change.note and "intro2llm start lesson02" in change.note
    assert path.read_text() == good + "\ndef broken(:\n"
    path.write_text(good)
    assert actions(start_lesson(course, workspace, course.lessons[1])) == {BASKETS: "added"}


@pytest.mark.parametrize("data", ["x = 1\n".encode("utf-16"), b"x = '\xff'\n", b"x = 1\0\n"])
def test_a_file_that_is_not_text_is_left_alone(course: Course, workspace: Workspace, data: bytes) -> None:
    start_lesson(course, workspace, course.lessons[0])
    path = workspace.package / "baskets.py"
    path.write_bytes(data)
    assert actions(start_lesson(course, workspace, course.lessons[1]))[BASKETS] == "problem"
    with pytest.raises(WorkspaceError) as caught:
        reset_task(course, workspace, *course.find_task("basket-add"))
    assert "intro2llm reset baskets.py" in caught.value.remedy
    assert path.read_bytes() == data


def test_a_deleted_class_is_said(course: Course, workspace: Workspace) -> None:
    start_lesson(course, workspace, course.lessons[0])
    (workspace.package / "baskets.py").write_text("from dataclasses import dataclass\n")
    (change,) = (c for c in start_lesson(course, workspace, course.lessons[1]) if c.path == BASKETS)
    assert change.action == "added"
    assert change.note == "combine; the class Basket is not in the file, so Basket.cheapest was not added"


def test_given_files_come_back_but_a_changed_one_is_kept(course: Course, workspace: Workspace) -> None:
    receipt = workspace.package / "receipt.py"
    receipt.unlink()
    assert actions(start_lesson(course, workspace, course.lessons[0]))["toyshop/receipt.py"] == "created"
    receipt.write_text("# mine\n")
    assert actions(start_lesson(course, workspace, course.lessons[0])) == {"toyshop/receipt.py": "kept"}
    assert receipt.read_text() == "# mine\n"


def test_going_back_to_an_earlier_lesson_takes_nothing_away(workspace: Workspace, tmp_path: Path) -> None:
    """A file that is given in lesson 1 and has tasks in lesson 2 keeps the tasks when lesson 1 is started again."""
    root = shutil.copytree(TOY, tmp_path / "course")
    first, second = (root / "stage01_shop" / name / "lesson.yaml" for name in ("lesson01_prices", "lesson02_baskets"))
    (root / "solutions" / "receipt.py").write_text(
        (root / "toyshop" / "receipt.py").read_text() + "\n\ndef till():\n    pass\n"
    )
    text = second.read_text()
    second.write_text(
        text.replace("forbidden:", "  - {id: till, title: T, file: receipt.py, symbols: [till]}\nforbidden:")
    )
    assert "given: [receipt.py]" in first.read_text()
    course = load_course(root)
    receipt = workspace.package / "receipt.py"
    start_lesson(course, workspace, course.lessons[0])
    assert "till" not in receipt.read_text()
    assert actions(start_lesson(course, workspace, course.lessons[1]))["toyshop/receipt.py"] == "added"
    assert start_lesson(course, workspace, course.lessons[0]) == []
    assert "lesson02 · till" in receipt.read_text()


def test_a_newer_course_updates_what_the_learner_has_not_changed(workspace: Workspace, tmp_path: Path) -> None:
    newer = load_course(shutil.copytree(TOY, tmp_path / "newer"))
    start_lesson(newer, workspace, newer.lessons[0])
    for path in (newer.package_dir / "receipt.py", newer.lessons[0].readme):
        path.write_text(path.read_text() + "# newer\n")
    changes = start_lesson(newer, workspace, newer.lessons[0])
    assert actions(changes) == {"lessons/lesson01_prices.md": "updated", "toyshop/receipt.py": "updated"}
    assert all((workspace.root / change.backup).is_file() for change in changes)
    assert (workspace.package / "receipt.py").read_text().endswith("# newer\n")


def test_the_reference_applied_to_one_lesson_works_and_keeps_the_rest(course: Course, workspace: Workspace) -> None:
    start_lesson(course, workspace, course.lessons[0])
    path = workspace.package / "baskets.py"
    path.write_text(path.read_text() + "\n\ndef mine() -> int:\n    return 7\n")
    changes = apply_solution(course, workspace, course.lessons[0])
    assert actions(changes) == {"toyshop/prices.py": "replaced", BASKETS: "replaced"}
    assert (workspace.root / changes[1].backup).read_text().endswith("return 7\n")
    code = "from toyshop.baskets import *; b = Basket(); b.add('a', 3.0, count=2); print(b.total(percent=50), mine())"
    assert run(workspace, code) == "3.0 7"
    assert "cheapest" not in path.read_text()


def test_the_reference_applied_to_one_task(course: Course, workspace: Workspace) -> None:
    lesson, task = course.find_task("combine")
    changes = apply_solution(course, workspace, lesson, task)
    assert actions(changes)["lessons/lesson02_baskets.md"] == "created"
    text = (workspace.package / "baskets.py").read_text()
    assert "for item in chain(" in text
    assert text.count("NotImplementedError") == 3


def test_applying_twice_changes_nothing_more(course: Course, workspace: Workspace) -> None:
    apply_solution(course, workspace, course.lessons[1])
    before = contents(workspace)
    assert {change.action for change in apply_solution(course, workspace, course.lessons[1])} == {"kept"}
    assert contents(workspace) == before


def test_a_task_that_is_a_whole_class_leaves_the_parts_of_other_tasks_alone(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Lesson 1 lists the class Basket, lesson 2 a method of it: the work of lesson 2 stays when lesson 1 is reset."""
    root = shutil.copytree(TOY, tmp_path / "course")
    manifest = root / "stage01_shop" / "lesson01_prices" / "lesson.yaml"
    manifest.write_text(manifest.read_text().replace("symbols: [Basket.add]", "symbols: [Basket]"))
    course = load_course(root)
    path = workspace.package / "baskets.py"
    for lesson in course.lessons:
        apply_solution(course, workspace, lesson)
    path.write_text(path.read_text().replace("best = self.items[0]", "best = self.items[0]  # mine"))
    apply_solution(course, workspace, *course.find_task("basket-add"))
    assert "# mine" in path.read_text() and "NotImplementedError" not in path.read_text()
    reset_task(course, workspace, *course.find_task("basket-add"))
    text = path.read_text()
    assert "# mine" in text and "self._cost(item)" in text
    raised = [line.strip() for line in text.splitlines() if "raise NotImplementedError" in line]
    assert raised == [f'raise NotImplementedError("lesson01 · Basket.{name}")' for name in ("__init__", "add")]


def test_a_file_that_the_learner_made_first_gets_everything(course: Course, workspace: Workspace) -> None:
    (workspace.package / "baskets.py").write_text("def mine():\n    return 1\n")
    (change,) = (c for c in start_lesson(course, workspace, course.lessons[0]) if c.path == BASKETS)
    assert change.note == "Item, Basket"
    assert run(workspace, "from toyshop.baskets import *; print(mine(), Basket().items)") == "1 []"


def test_one_task_is_put_back_and_nothing_else(course: Course, workspace: Workspace) -> None:
    apply_solution(course, workspace, course.lessons[1])
    apply_solution(course, workspace, course.lessons[0])
    (change,) = reset_task(course, workspace, *course.find_task("basket-total"))
    assert change.action == "replaced" and (workspace.root / change.backup).is_file()
    text = (workspace.package / "baskets.py").read_text()
    assert text.count("NotImplementedError") == 1 and "lesson01 · Basket.total" in text
    assert run(workspace, "from toyshop.baskets import *; print(combine(Basket(), Basket()).items)") == "[]"


def test_a_deleted_task_file_is_put_back(course: Course, workspace: Workspace) -> None:
    start_lesson(course, workspace, course.lessons[0])
    (workspace.package / "baskets.py").unlink()
    assert actions(reset_task(course, workspace, *course.find_task("basket-add"))) == {BASKETS: "created"}


@pytest.mark.parametrize("name", ["baskets.py", "toyshop/baskets.py", "./toyshop/baskets.py"])
def test_a_whole_file_is_put_back_as_of_the_lessons_started(course: Course, workspace: Workspace, name: str) -> None:
    start_lesson(course, workspace, course.lessons[0])
    path = workspace.package / "baskets.py"
    given = path.read_text()
    path.write_text("def broken(:\n")
    (change,) = reset_file(course, workspace, name)
    assert (change.path, change.action) == (BASKETS, "replaced")
    assert path.read_text() == given
    assert (workspace.root / change.backup).read_text() == "def broken(:\n"


def test_an_unknown_file_leads_to_the_nearest(course: Course, workspace: Workspace) -> None:
    with pytest.raises(UsageError) as caught:
        reset_file(course, workspace, "basket.py")
    assert "baskets.py" in caught.value.remedy


def test_every_backup_has_a_name_of_its_own(course: Course, workspace: Workspace) -> None:
    start_lesson(course, workspace, course.lessons[0])
    path = workspace.package / "prices.py"
    for number in range(5):
        path.write_text(f"# {number}\n")
        reset_file(course, workspace, "prices.py")
    kept = [copy.read_text() for copy in sorted((workspace.backups / "toyshop").iterdir())]
    assert kept == [f"# {number}\n" for number in range(5)]


def test_a_link_out_of_the_workspace_is_not_followed(course: Course, workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text("# not yours\n")
    start_lesson(course, workspace, course.lessons[0])
    path = workspace.package / "prices.py"
    path.unlink()
    path.symlink_to(outside)
    with pytest.raises(WorkspaceError, match="leads out of the workspace"):
        reset_file(course, workspace, "prices.py")
    assert outside.read_text() == "# not yours\n"


def test_a_link_to_itself_is_said(course: Course, workspace: Workspace) -> None:
    (workspace.package / "prices.py").symlink_to("prices.py")
    with pytest.raises(WorkspaceError, match=r"prices\.py"):
        start_lesson(course, workspace, course.lessons[0])


def test_a_folder_in_the_place_of_a_file_is_said(course: Course, workspace: Workspace) -> None:
    (workspace.package / "prices.py").mkdir()
    with pytest.raises(WorkspaceError, match=r"prices\.py"):
        start_lesson(course, workspace, course.lessons[0])


def test_a_read_only_package_is_said(course: Course, workspace: Workspace) -> None:
    workspace.package.chmod(0o500)
    if os.access(workspace.package, os.W_OK):
        pytest.skip("this user may write everywhere")
    try:
        with pytest.raises(WorkspaceError, match="cannot be written"):
            start_lesson(course, workspace, course.lessons[0])
    finally:
        workspace.package.chmod(0o700)


@pytest.mark.parametrize("fails_at", range(8))
def test_a_disk_that_is_full_halfway_costs_nothing(
    course: Course, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """Whichever write of a start fails, what the learner wrote is intact, and a second start brings everything."""
    start_lesson(course, workspace, course.lessons[0])
    path = workspace.package / "baskets.py"
    mine = path.read_text().replace("raise NotImplementedError", "return None  # mine", 1)
    path.write_text(mine)
    (workspace.package / "prices.py").unlink()
    calls = 0

    def full(target: Path, data: str | bytes) -> None:
        nonlocal calls
        calls += 1
        if calls > fails_at:
            raise WorkspaceError(f"{target}: cannot be written: No space left on device")
        atomic_write(target, data)

    with monkeypatch.context() as patch, suppress(WorkspaceError):
        for module in ("coursecli.course.writer", "coursecli.files"):
            patch.setattr(f"{module}.atomic_write", full)
        start_lesson(course, workspace, course.lessons[1])
    assert calls > 0
    assert all(line in path.read_text().splitlines() for line in mine.splitlines())
    start_lesson(course, workspace, course.lessons[1])
    text = path.read_text()
    assert text.count("# mine") == 1 and text.count("def combine") == 1 and text.count("def cheapest") == 1
    assert (workspace.package / "prices.py").is_file()
    assert start_lesson(course, workspace, course.lessons[1]) == []


def test_a_damaged_record_costs_nothing_of_the_learners(course: Course, workspace: Workspace) -> None:
    start_lesson(course, workspace, course.lessons[0])
    (workspace.package / "receipt.py").write_text("# mine\n")
    workspace.notes.write_bytes(b"\0\0")
    changes = start_lesson(course, workspace, course.lessons[1])
    assert actions(changes)[BASKETS] == "added"
    assert actions(changes)["toyshop/receipt.py"] == "kept"


def test_a_lesson_without_a_readme_is_the_authors_fault(workspace: Workspace, tmp_path: Path) -> None:
    broken = load_course(shutil.copytree(TOY, tmp_path / "broken"))
    broken.lessons[0].readme.unlink()
    with pytest.raises(ContentError, match=r"README\.md"):
        start_lesson(broken, workspace, broken.lessons[0])
