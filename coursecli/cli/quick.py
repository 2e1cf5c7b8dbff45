"""The commands that must be quick, dispatched without Typer: to import and run it costs more than they do themselves.

Typer still declares these commands, for help and completion, and leads to the same functions; any
other form than the plain one goes there.
"""

from __future__ import annotations

import os

from coursecli.cli.context import Action, Context, Options

COMPLETION = "_INTRO2LLM_COMPLETE"
"""Set by the shell when it asks Typer for completions."""
CHECK_FLAGS = {"--all": "show_all", "--json": "as_json", "--cold": "cold"}
FLAGS = {"--plain": "plain", "--instructor": "instructor", "--debug": "debug"}
VALUES = {"--course": "course", "--workspace": "workspace"}


def globals_first(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The global options, wherever they were typed, and the rest: `check --plain` means `--plain check`."""
    first: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            return first, [*rest, argument, *waiting]
        if argument in FLAGS or (argument.partition("=")[0] in VALUES and "=" in argument):
            first.append(argument)
        elif argument in VALUES and waiting:
            first += [argument, waiting.pop(0)]
        else:
            rest.append(argument)
    return first, rest


def read_options(first: list[str]) -> Options:
    """The global options that `globals_first` found."""
    values: dict[str, str | bool] = {}
    waiting = list(first)
    while waiting:
        name, equals, value = waiting.pop(0).partition("=")
        if name in FLAGS:
            values[FLAGS[name]] = True
        else:
            values[VALUES[name]] = value if equals else waiting.pop(0)
    return Options(**values)  # type: ignore[arg-type]


def quick_action(arguments: list[str]) -> Action | None:
    """What to do for the plain forms of `check` and of the looking commands; None for anything else."""
    first, rest = globals_first(arguments)
    if COMPLETION in os.environ:
        return None
    if rest[:1] == ["check"]:
        return _check(first, rest[1:])
    if rest not in ([], ["status"], ["list"]):
        return None
    context = Context(read_options(first))

    def action() -> int:
        from coursecli.cli import look

        looking = {"": look.home, "status": look.status, "list": look.list_lessons}
        return looking["".join(rest)](context)

    return action


def _check(first: list[str], rest: list[str]) -> Action | None:
    flags = {CHECK_FLAGS[argument]: True for argument in rest if argument in CHECK_FLAGS}
    targets = [argument for argument in rest if argument not in CHECK_FLAGS]
    if len(targets) > 1 or any(target.startswith("-") for target in targets):
        return None
    context = Context(read_options(first))

    def action() -> int:
        from coursecli.cli import checking

        return checking.check(context, targets[0] if targets else None, **flags)

    return action
