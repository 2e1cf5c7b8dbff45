"""Open a line of the learner's in an editor: in this terminal, which waits, or in a window of the editor's own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from coursecli.watch.editor import Editor, chosen_editor, start_apart, vs_code

if TYPE_CHECKING:
    from textual.app import App

    from coursecli.render.place import Place


def open_in_editor(app: App[None], place: Place, *, in_vs_code: bool = False) -> str:
    """Returns what to tell the user."""
    editor = vs_code() if in_vs_code else chosen_editor()
    where = f"{place.file}:{place.line}"
    if editor is None:
        missing = "VS Code's command `code` is not on the path." if in_vs_code else "There is no editor: set $EDITOR."
        return f"{missing} The place is {where}"
    if not place.file.is_file():
        return f"{place.file} is not there: press s to start the lesson."
    if not editor.windowed and (app.is_web or app.is_headless):
        return f"{editor.name} needs a terminal of its own. The place is {where}"
    try:
        return _open(app, editor, place)
    except OSError as error:
        return f"{editor.name} cannot be started: {error.strerror}. The place is {where}"


def _open(app: App[None], editor: Editor, place: Place) -> str:
    argv = editor.opening(place.file, place.line)
    if editor.windowed:
        start_apart(argv)
        return f"Opened in {editor.name}: {place.file.name}, line {place.line}."
    with app.suspend():
        code = subprocess.run(argv, check=False).returncode
    return "" if code == 0 else f"{editor.name} ended with code {code}."
