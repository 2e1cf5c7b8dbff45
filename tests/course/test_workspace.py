"""Making and finding a workspace: every way in which that can go wrong has a message and a way out."""

import json
import os
import shutil
from pathlib import Path

import pytest

from coursecli.course.catalogue import Course, load_course
from coursecli.course.scaffold import init_workspace, start_lesson
from coursecli.course.workspace import enclosing_workspace, find_workspace, open_workspace, remember
from coursecli.errors import WorkspaceError

TOY = Path(__file__).resolve().parent.parent / "toy_course"


@pytest.fixture(autouse=True)
def _config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTRO2LLM_CONFIG_DIR", str(tmp_path / "config"))


@pytest.fixture
def course() -> Course:
    return load_course(TOY)


def test_the_layout(course: Course, tmp_path: Path) -> None:
    workspace = init_workspace(course, tmp_path / "shop", unlock_all=True)
    assert sorted(path.name for path in workspace.root.iterdir()) == [
        ".gitignore", ".intro2llm", "README.md", "lessons", "pyproject.toml", "runs", "toyshop",
    ]  # fmt: skip
    assert sorted(path.name for path in workspace.package.iterdir()) == ["__init__.py", "receipt.py"]
    assert open_workspace(workspace.root) == workspace
    assert workspace.settings.unlock_all
    assert workspace.database.parent == workspace.state


def test_it_is_found_from_below_and_from_elsewhere(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = init_workspace(course, tmp_path / "a"), init_workspace(course, tmp_path / "b")
    assert find_workspace(first.package) == first
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert find_workspace() == second
    remember(first)
    assert find_workspace() == first
    monkeypatch.chdir(second.lessons)
    assert find_workspace() == second


def test_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkspaceError) as caught:
        find_workspace()
    assert "intro2llm init" in caught.value.remedy


def test_a_moved_workspace_works_and_a_deleted_one_is_said(course: Course, tmp_path: Path) -> None:
    old = init_workspace(course, tmp_path / "old")
    moved = old.root.rename(tmp_path / "new place")
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(WorkspaceError, match="old, is gone") as caught:
        find_workspace(outside)
    assert caught.value.remedy == "Go to where it is now. Or make a new one with: intro2llm init my-llm"
    workspace = find_workspace(moved / "toyshop")
    assert start_lesson(course, workspace, course.lessons[0])


def test_a_deleted_current_folder_is_no_crash(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert enclosing_workspace() is None
    with pytest.raises(WorkspaceError):
        find_workspace()


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'{"course": 7}', b"[]", b"\0" * 9])
def test_damaged_settings_are_said_and_the_way_out_works(course: Course, tmp_path: Path, data: bytes) -> None:
    workspace = init_workspace(course, tmp_path / "shop")
    mine = workspace.package / "mine.py"
    mine.write_text("# mine\n")
    workspace.config.write_bytes(data)
    with pytest.raises(WorkspaceError, match="is damaged") as caught:
        find_workspace(workspace.package)
    assert "\n" not in caught.value.message
    assert f"intro2llm init {workspace.root}" in caught.value.remedy
    workspace.config.unlink()
    assert init_workspace(course, workspace.root) == workspace
    assert mine.read_text() == "# mine\n"


def test_a_workspace_of_a_newer_version_is_refused(course: Course, tmp_path: Path) -> None:
    workspace = init_workspace(course, tmp_path / "shop")
    workspace.config.write_text(json.dumps({"course": "toyshop", "package": "toyshop", "version": 2}))
    with pytest.raises(WorkspaceError, match="newer"):
        open_workspace(workspace.root)


@pytest.mark.parametrize("package", ["../outside", "/etc", "a/b", "", "."])
def test_settings_cannot_lead_outside(course: Course, tmp_path: Path, package: str) -> None:
    workspace = init_workspace(course, tmp_path / "shop")
    workspace.config.write_text(json.dumps({"course": "toyshop", "package": package}))
    with pytest.raises(WorkspaceError, match="is damaged"):
        open_workspace(workspace.root)


def test_init_again_completes_and_overwrites_nothing(course: Course, tmp_path: Path) -> None:
    workspace = init_workspace(course, tmp_path / "shop")
    (workspace.root / "README.md").write_text("# Mine\n")
    (workspace.package / "receipt.py").write_text("# Mine\n")
    (workspace.package / "__init__.py").unlink()
    again = init_workspace(course, workspace.root, unlock_all=True)
    assert again.settings.unlock_all and not workspace.settings.unlock_all
    assert init_workspace(course, workspace.root).settings.unlock_all
    assert (workspace.root / "README.md").read_text() == "# Mine\n"
    assert (workspace.package / "receipt.py").read_text() == "# Mine\n"
    assert (workspace.package / "__init__.py").is_file()


def test_a_fresh_repository_counts_as_empty(course: Course, tmp_path: Path) -> None:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "README.md").write_text("# Mine\n")
    workspace = init_workspace(course, tmp_path / "repo")
    assert (workspace.root / "README.md").read_text() == "# Mine\n"


def test_places_that_are_refused(course: Course, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").touch()
    file = tmp_path / "file"
    file.touch()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    workspace = init_workspace(course, tmp_path / "shop")
    own_course = load_course(shutil.copytree(TOY, tmp_path / "course"))
    for place, said in {
        full: "is not empty (it has thesis.tex)",
        file: "is a file",
        file / "below": "Not a directory",
        link: "is a link to",
        workspace.package / "inner": "lies inside the workspace",
    }.items():
        with pytest.raises(WorkspaceError) as caught:
            init_workspace(course, place)
        assert said in caught.value.message
        assert caught.value.remedy
    with pytest.raises(WorkspaceError, match="lies inside the course"):
        init_workspace(own_course, own_course.package_dir / "me")
    assert [entry.name for entry in full.iterdir()] == ["thesis.tex"]


def test_a_workspace_of_another_course_is_refused(course: Course, tmp_path: Path) -> None:
    workspace = init_workspace(course, tmp_path / "shop")
    workspace.config.write_text(json.dumps({"course": "other", "package": "other"}))
    with pytest.raises(WorkspaceError, match="of the course 'other'"):
        init_workspace(course, workspace.root)


def test_a_home_that_cannot_be_written_is_no_error(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blocked").touch()
    monkeypatch.setenv("INTRO2LLM_CONFIG_DIR", str(tmp_path / "blocked" / "config"))
    workspace = init_workspace(course, tmp_path / "shop")
    assert find_workspace(workspace.root) == workspace
    with pytest.raises(WorkspaceError):
        find_workspace(tmp_path)


def test_an_unwritable_folder_is_said(course: Course, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(WorkspaceError, match="cannot be made"):
        init_workspace(course, closed / "shop")


def test_a_disk_on_which_nothing_can_be_made_is_said(course: Course) -> None:
    with pytest.raises(WorkspaceError, match="cannot be made") as caught:
        init_workspace(course, Path("/proc/shop"))
    assert caught.value.remedy
