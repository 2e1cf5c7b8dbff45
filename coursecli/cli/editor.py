"""Open a file in the learner's editor, at a line where the editor can be told one."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from coursecli.errors import UsageError

WITH_GOTO = {"code", "code-insiders", "codium", "vscodium", "cursor", "windsurf"}
WITH_PLUS = {
    "vi",
    "vim",
    "nvim",
    "gvim",
    "emacs",
    "emacsclient",
    "nano",
    "micro",
    "kak",
    "joe",
    "jed",
    "mg",
    "ne",
    "ed",
}
WITH_COLON = {"hx", "helix", "subl", "zed", "mate"}


def editor_command(file: Path, line: int) -> list[str]:
    """The command line that opens `file`.

    Raises:
        UsageError: neither $VISUAL nor $EDITOR names an editor.
    """
    words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    if not words:
        raise UsageError("No editor is named.", "Name yours, for example: export EDITOR=nano")
    name = Path(words[0]).stem
    if name in WITH_GOTO:
        return [*words, "--goto", f"{file}:{line}"]
    if name in WITH_PLUS:
        return [*words, f"+{line}", str(file)]
    if name in WITH_COLON:
        return [*words, f"{file}:{line}"]
    return [*words, str(file)]
