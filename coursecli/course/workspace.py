"""The folder that a learner owns: its parts, and how it is found. What goes into it: `scaffold`, `progress`."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from coursecli.errors import CourseError, WorkspaceError
from coursecli.files import atomic_write

CONFIG_VARIABLE = "INTRO2LLM_CONFIG_DIR"
STATE = ".intro2llm"
_INIT = "Make one with: intro2llm init my-llm"
_AGAIN = "Or make a new one with: intro2llm init my-llm"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `init` decided. Its file marks a folder as a workspace."""

    course: str
    """The id of the course that it is for."""
    package: str
    """The name of the learner's package."""
    unlock_all: bool = False
    """Self-study: every lesson can be started at once."""
    version: int = 1


@dataclass(frozen=True)
class Workspace:
    """A workspace on disk."""

    root: Path
    settings: Settings

    @property
    def package(self) -> Path:
        """The learner's package: given files, and the stubs of the lessons started."""
        return self.root / self.settings.package

    @property
    def lessons(self) -> Path:
        """The READMEs of the lessons started."""
        return self.root / "lessons"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def state(self) -> Path:
        """Progress, backups, logs: the runner's, not the learner's."""
        return self.root / STATE

    @property
    def config(self) -> Path:
        """The file with `settings`."""
        return self.state / "workspace.json"

    @property
    def notes(self) -> Path:
        """What the course last wrote to which file."""
        return self.state / "files.json"

    @property
    def database(self) -> Path:
        return self.state / "progress.db"

    @property
    def backups(self) -> Path:
        return self.state / "backups"

    @property
    def logs(self) -> Path:
        return self.state / "logs"


def open_workspace(root: Path) -> Workspace:
    """The workspace in this very folder.

    Raises:
        WorkspaceError: the folder is gone, is not a workspace, or its settings cannot be read.
    """
    root = root.expanduser().absolute()
    if not root.is_dir():
        raise WorkspaceError(f"{root} is not a folder.", _INIT)
    config = root / STATE / "workspace.json"
    try:
        settings = msgspec.json.decode(config.read_bytes(), type=Settings)
    except FileNotFoundError as error:
        raise WorkspaceError(f"{root} is not a workspace.", _INIT) from error
    except OSError as error:
        raise WorkspaceError(f"{config} cannot be read: {error.strerror}.", "Check its permissions.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WorkspaceError(f"{config} is damaged: {error}.", _again(config, root)) from error
    if not settings.package.isidentifier():
        raise WorkspaceError(
            f"{config} is damaged: {settings.package!r} is not the name of a package.", _again(config, root)
        )
    if settings.version > 1:
        raise WorkspaceError(f"{root} was made by a newer intro2llm.", "Update with: pip install --upgrade intro2llm")
    return Workspace(root, settings)


def _again(config: Path, root: Path) -> str:
    return f"Delete {config.name} there and type: intro2llm init {root} (your files are kept)"


def find_workspace(start: Path | None = None) -> Workspace:
    """The workspace around `start` (default: the current folder), else the one that was used last.

    Raises:
        WorkspaceError: there is none, or it is gone or damaged.
    """
    enclosing = enclosing_workspace(start)
    if enclosing is not None:
        return open_workspace(enclosing)
    last = last_used()
    if last is None:
        raise WorkspaceError("There is no workspace here or in a folder above.", _INIT)
    if not last.is_dir():
        raise WorkspaceError(f"The workspace that you used last, {last}, is gone.", f"Go to where it is now. {_AGAIN}")
    return open_workspace(last)


def enclosing_workspace(start: Path | None = None) -> Path | None:
    """The nearest folder that is marked as a workspace: `start`, or one above it."""
    try:
        start = Path.cwd() if start is None else start.expanduser().absolute()
    except FileNotFoundError:  # the current folder has been deleted
        return None
    return next(
        (folder for folder in (start, *start.parents) if os.path.lexists(folder / STATE / "workspace.json")), None
    )


def config_dir() -> Path:
    """The user's folder for what belongs to no workspace; $INTRO2LLM_CONFIG_DIR overrides it."""
    chosen = os.environ.get(CONFIG_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs  # 3 ms, and only when no workspace encloses the current folder

    return platformdirs.user_config_path("intro2llm")


def last_used() -> Path | None:
    """The workspace that `remember` noted last."""
    try:
        text = (config_dir() / "last_workspace").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Path(text) if text else None


def remember(workspace: Workspace) -> None:
    """Note the workspace as the one used last. It is a convenience: a home that cannot be written is no error."""
    if last_used() == workspace.root:
        return
    with contextlib.suppress(OSError, CourseError):
        config_dir().mkdir(parents=True, exist_ok=True)
        atomic_write(config_dir() / "last_workspace", f"{workspace.root}\n")
