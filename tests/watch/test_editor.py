"""Which editor opens a file, and how it is told the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from coursecli.watch.editor import Editor, chosen_editor, vs_code

FILE = Path("/w/my llm/norm.py")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("vim", ["vim", "+7", str(FILE)]),
        ("emacsclient -t", ["emacsclient", "-t", "+7", str(FILE)]),
        ("'/opt/my tools/nano' -l", ["/opt/my tools/nano", "-l", "+7", str(FILE)]),
        ("code --wait", ["code", "--wait", "-g", f"{FILE}:7"]),
        ("hx", ["hx", f"{FILE}:7"]),
        ("pycharm", ["pycharm", "--line", "7", str(FILE)]),
        ("unheard-of", ["unheard-of", str(FILE)]),
    ],
)
def test_the_line_is_told_in_the_editors_own_way(command: str, expected: list[str]) -> None:
    editor = chosen_editor({"EDITOR": command, "PATH": ""})
    assert editor is not None
    assert editor.opening(FILE, 7) == expected


def test_which_editor_is_chosen(tmp_path: Path) -> None:
    for name in ("code", "vi"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    path = {"PATH": str(tmp_path)}
    assert chosen_editor({"VISUAL": "kak", "EDITOR": "vi", **path}) == Editor(["kak"])
    assert chosen_editor({"TERM_PROGRAM": "vscode", "EDITOR": "vi", **path}) == Editor(["code"])
    assert chosen_editor(path) == Editor(["vi"])
    assert chosen_editor({"PATH": ""}) is None
    assert vs_code(path) == Editor(["code"]) and vs_code({"PATH": ""}) is None
    assert Editor(["/usr/bin/code"]).windowed and not Editor(["nvim"]).windowed
