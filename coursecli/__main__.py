"""The entry point: does what the command line asks for, and turns what goes wrong into one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from coursecli.errors import CourseError, UsageError, WorkspaceError

if TYPE_CHECKING:
    from pathlib import Path

    from coursecli.cli.context import Action

INTERNAL, INTERRUPTED, BROKEN_PIPE = 70, 130, 141


def main() -> None:
    """The console script `intro2llm`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Do what the arguments ask for. Returns the exit code; only --debug lets an exception out."""
    first = arguments
    try:
        from coursecli.cli.quick import globals_first, quick_action  # in here, where Ctrl-C is one line

        _prepare_streams()
        first, rest = globals_first(arguments)
        code = (quick_action(arguments) or _parsed(first + rest))()
        sys.stdout.flush()
        return code
    except CourseError as error:
        if "--debug" in first:
            raise
        return report(error, plain="--plain" in first)
    except KeyboardInterrupt:
        return report(_Interrupted("Stopped."), plain="--plain" in first)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains once more at exit
        return BROKEN_PIPE
    except Exception as error:
        if "--debug" in first:
            raise
        if _folder_is_gone():
            gone = WorkspaceError("The folder that you are in has been deleted.", "Type: cd")
            return report(gone, plain="--plain" in first)
        if isinstance(error, OSError) and error.strerror:  # a full disk, a folder without permission
            where = f"{error.filename}: {error.strerror}" if error.filename else f"{error.strerror}."
            return report(WorkspaceError(where, "Type: intro2llm doctor"), plain="--plain" in first)
        return report(_Unexpected(error), plain="--plain" in first)


def _folder_is_gone() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 (pathlib is not loaded for it)
    except FileNotFoundError:
        return True
    return False


def _prepare_streams() -> None:
    """A closed stream swallows what is said; a terminal that lacks √ shows ? and goes on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 (as long as we live)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def report(error: CourseError, *, plain: bool = False) -> int:
    """One line that says what happened, one with the remedy, on standard error; returns the exit code."""
    from coursecli.render.console import clean, make_console

    console = make_console(sys.stderr, plain=plain)
    wrap = console.is_terminal  # elsewhere a line stays a line
    console.print(clean(" ".join(error.message.split()), style="bad"), soft_wrap=not wrap)
    if error.remedy:
        console.print(clean(" ".join(error.remedy.split())), soft_wrap=not wrap)
    return error.exit_code


def _parsed(arguments: list[str]) -> Action:
    """What Typer makes of the arguments; it has done help and completion already when this returns."""
    from coursecli.cli.app import parse

    try:
        result = parse(arguments)
    except Exception as error:
        if not hasattr(error, "format_message"):  # Typer's and Click's own: an unknown command, a missing argument
            raise
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "intro2llm"
        raise UsageError(error.format_message(), f"Type: {path} --help") from error
    if result == INTERRUPTED:  # Typer has caught Ctrl-C
        raise KeyboardInterrupt
    return result if callable(result) else lambda: result


class _Interrupted(CourseError):  # noqa: N818
    exit_code = INTERRUPTED


class _Unexpected(CourseError):  # noqa: N818
    """A fault of this program: the traceback goes to a file, one line with its name to the person."""

    exit_code = INTERNAL

    def __init__(self, error: Exception) -> None:
        where = _write_log(error)
        told = f"The whole story is in {where}. Please report it." if where else "Type the command again with --debug."
        super().__init__(f"Something went wrong inside intro2llm: {type(error).__name__}: {error}", told)


def _write_log(error: Exception) -> Path | None:
    """Append the traceback to a log in the workspace, or in the folder for temporary files outside one."""
    import tempfile
    import time
    import traceback
    from pathlib import Path

    from coursecli.course.workspace import STATE, enclosing_workspace

    root = enclosing_workspace()
    folder = root / STATE / "logs" if root else Path(tempfile.gettempdir())
    file = folder / f"intro2llm-{time.strftime('%Y%m%d')}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8", errors="replace") as stream:
            stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sys.argv}\n")
            traceback.print_exception(error, file=stream)
    except OSError:
        return None
    return file


if __name__ == "__main__":
    main()
