"""Make a workspace: the folder, the given files, and the few files around the package. Lessons: `scaffold`."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from coursecli.course.catalogue import Course
from coursecli.course.workspace import STATE, Settings, Workspace, enclosing_workspace, open_workspace, remember
from coursecli.course.writer import writing
from coursecli.errors import WorkspaceError
from coursecli.files import atomic_write

_WELCOME = {".git", ".gitignore", ".gitattributes", ".github", ".idea", ".vscode", ".DS_Store", "LICENSE", "README.md"}
"""A folder with nothing but these counts as empty: a fresh repository."""


def init_workspace(course: Course, folder: Path, *, unlock_all: bool = False) -> Workspace:
    """Make `folder` a workspace, or complete the one that is there; files that exist are kept.

    Raises:
        WorkspaceError: the folder is not empty, is a file, lies in a workspace or the course, or cannot be written.
    """
    root = folder.expanduser().absolute()
    settings = _check(course, root)
    if settings is None:
        settings = Settings(course=course.id, package=course.package_name)
    if unlock_all:
        settings = msgspec.structs.replace(settings, unlock_all=True)
    workspace = Workspace(root, settings)
    try:
        for part in (workspace.package, workspace.lessons, workspace.runs, workspace.backups, workspace.logs):
            part.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "Choose a folder that you may write to."
        raise WorkspaceError(f"{error.filename or root}: cannot be made: {error.strerror}.", remedy) from error
    with writing(workspace) as writer:
        for path, text in _around(course).items():
            if writer.read(path) is None:
                writer.write(path, text.encode(), 0, "created")
        for file in given_files(course):
            writer.offer(f"{course.package_name}/{file}", (course.package_dir / file).read_bytes(), 0)
    atomic_write(workspace.config, msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n")
    remember(workspace)
    return workspace


def _check(course: Course, root: Path) -> Settings | None:
    """The settings when `root` is a workspace already; None when it can become one."""
    if root.is_symlink() and not root.exists():
        raise WorkspaceError(f"{root} is a link to {root.readlink()}, which does not exist.", "Remove the link.")
    if root.exists() and not root.is_dir():
        raise WorkspaceError(f"{root} is a file.", "Choose another name: intro2llm init my-llm")
    if os.path.lexists(root / STATE / "workspace.json"):
        workspace = open_workspace(root)
        if workspace.settings.course != course.id:
            raise WorkspaceError(
                f"{root} is a workspace of the course {workspace.settings.course!r}.", "Choose another folder."
            )
        return workspace.settings
    around = enclosing_workspace(root.parent) if root.parent.exists() else None
    if around is not None:
        raise WorkspaceError(f"{root} lies inside the workspace {around}.", "Choose a folder outside it.")
    resolved = root.resolve()
    for part in (course.package_dir, course.solutions_dir, course.root):
        if resolved == part.resolve() or resolved.is_relative_to(part.resolve()):
            raise WorkspaceError(f"{root} lies inside the course.", "Choose a folder outside it.")
    try:
        content = {entry.name for entry in root.iterdir()} if root.exists() else set()
    except OSError as error:
        raise WorkspaceError(f"{root}: cannot be read: {error.strerror}.", "Choose another folder.") from error
    if STATE not in content and content - _WELCOME:
        example = sorted(content - _WELCOME)[0]
        raise WorkspaceError(f"{root} is not empty (it has {example}).", "Choose a new folder: intro2llm init my-llm")
    return None


def given_files(course: Course) -> list[str]:
    """The files of the package in which no lesson has tasks: they are complete from the first day."""
    return sorted(
        path.relative_to(course.package_dir).as_posix()
        for path in course.package_dir.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and not path.name.startswith(".")
        and not (course.solutions_dir / path.relative_to(course.package_dir)).exists()
    )


def _around(course: Course) -> dict[str, str]:
    name = course.package_name
    return {
        "README.md": f"""# {course.manifest.title}

My own code for the course. `{name}/` is the package that I am writing; `lessons/` are the texts of the lessons.

```
{"intro2llm status":24}where I am, and what is next
{"intro2llm check":24}run the tests of the current lesson
{"intro2llm hint":24}a nudge
```
""",
        "pyproject.toml": f"""# So that editors, pyright and pytest find the package `{name}` in this folder.
[tool.pyright]
include = ["{name}"]

[tool.pytest.ini_options]
pythonpath = ["."]
""",
        ".gitignore": f"""__pycache__/
runs/
{STATE}/*
!{STATE}/workspace.json
!{STATE}/files.json
""",
    }
