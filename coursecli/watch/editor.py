"""Which editor opens a file at a line, and with which words."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FAMILIES = {
    "goto": ("code", "code-insiders", "codium", "vscodium", "cursor", "windsurf"),
    "colon": ("subl", "zed", "mate", "hx", "helix"),
    "option": ("pycharm", "charm", "idea", "kate"),
    "plus": (
        "vi",
        "vim",
        "nvim",
        "gvim",
        "mvim",
        "nano",
        "emacs",
        "emacsclient",
        "micro",
        "kak",
        "joe",
        "jed",
        "mg",
        "ne",
        "gedit",
    ),
}
"""How the line is told: `-g file:12`, `file:12`, `--line 12 file`, `+12 file`."""
WINDOWED = {*FAMILIES["goto"], "subl", "zed", "mate", *FAMILIES["option"], "gvim", "mvim", "gedit"}
"""They open a window of their own, and the terminal stays ours."""
CODE = ("code", "code-insiders", "codium", "cursor")


@dataclass(frozen=True)
class Editor:
    """A program with its options, as the user has set it."""

    argv: Sequence[str]

    @property
    def name(self) -> str:
        return Path(self.argv[0]).name.removesuffix(".exe")

    @property
    def windowed(self) -> bool:
        return self.name in WINDOWED

    def opening(self, file: Path, line: int) -> list[str]:
        """The argument list that opens the file at the line; at its top where nobody knows how to say it."""
        family = next((family for family, names in FAMILIES.items() if self.name in names), "")
        where = {
            "goto": ["-g", f"{file}:{line}"],
            "colon": [f"{file}:{line}"],
            "option": ["--line", str(line), str(file)],
            "plus": [f"+{line}", str(file)],
        }
        return [*self.argv, *where.get(family, [str(file)])]


def chosen_editor(environment: Mapping[str, str] = os.environ) -> Editor | None:
    """The editor that runs around us, else $VISUAL, else $EDITOR, else the first that the system has."""
    if environment.get("TERM_PROGRAM") == "vscode" and (editor := vs_code(environment)):
        return editor
    for variable in ("VISUAL", "EDITOR"):
        if words := _words(environment.get(variable, "")):
            return Editor(words)
    return _first(("nano", "vim", "vi", "notepad" if sys.platform == "win32" else "emacs"), environment)


def vs_code(environment: Mapping[str, str] = os.environ) -> Editor | None:
    """VS Code or one of its kin, if it is on the path."""
    return _first(CODE, environment)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # an open quotation mark
        return [command]


def _first(names: Sequence[str], environment: Mapping[str, str]) -> Editor | None:
    found = (name for name in names if shutil.which(name, path=environment.get("PATH")))
    return next((Editor([name]) for name in found), None)


def start_apart(argv: Sequence[str]) -> None:
    """Start a windowed editor, which lives on when this program ends. Raises OSError when it cannot be started."""
    subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
