"""`dashboard`: the course on one screen, in this terminal or in a browser. What it shows is in `tui`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from coursecli.cli.context import Context
from coursecli.errors import EnvironmentProblem, UsageError
from coursecli.render.console import is_terminal

if TYPE_CHECKING:
    from coursecli.tui.app import Dashboard

SERVED_VARIABLE = "TEXTUAL_DRIVER"
"""Set by textual-serve: the application draws into a browser, not into a terminal."""


def dashboard(context: Context, *, web: bool = False, port: int = 0) -> int:
    """Open the dashboard, until it is left. With `web`, serve it on `port` to a browser here, until Ctrl-C."""
    if context.options.plain:
        raise UsageError(
            "The dashboard draws on the whole screen, which --plain rules out.",
            "In plain lines: intro2llm watch --plain, intro2llm status --plain",
        )
    context.store.close()  # what is wrong with the workspace or the progress is told before the screen is taken
    if web:
        return _serve(context, port)
    if not (os.environ.get(SERVED_VARIABLE) or (is_terminal(sys.stdin) and is_terminal(sys.stdout))):
        raise UsageError("The dashboard needs a terminal.", "Without one: intro2llm status")
    app = _application(context)
    app.run()
    if app.fault is not None:
        raise app.fault
    return app.return_code or 0


def _application(context: Context) -> Dashboard:
    try:
        from coursecli.tui.app import Dashboard  # half a second, and only here
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            f"The dashboard needs the package {error.name}, which is missing.",
            "Type: pip install --upgrade intro2llm; without the dashboard: intro2llm status",
        ) from error
    from coursecli.tui.desk import Desk
    from coursecli.tui.themes import prefers_dark

    desk = Desk(context.course, context.workspace, instructor=context.instructor)
    return Dashboard(desk, dark=prefers_dark())


def _serve(context: Context, port: int) -> int:
    try:
        from coursecli.tui.web import LocalServer, is_free
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            f"--web needs the package {error.name}, which is not installed.", "Type: pip install 'intro2llm[web]'"
        ) from error
    if not is_free(port):
        raise UsageError(f"Port {port} is in use.", f"Choose another: intro2llm dashboard --web --port {port + 1}")
    root = context.workspace.root
    argv = [sys.executable, "-P", "-m", "coursecli", "--workspace", str(root), "--course", str(context.course.root)]
    argv += [*(["--instructor"] if context.instructor else []), "dashboard"]

    def told(link: str) -> None:
        context.console.print(f"The dashboard is at  {link}", soft_wrap=True)
        context.console.print("Ctrl-C ends it. Nobody else on the network can reach it.")
        sys.stdout.flush()

    LocalServer(argv, port, told).serve()
    return 0
