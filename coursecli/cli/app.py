"""The Typer application: the global options, and the commands of the modules beside this one. Parsing only.

A command returns what is to be done, and `__main__` does it: so Typer's handling of exceptions never meets ours.
"""

from __future__ import annotations

import shutil
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from coursecli import __version__
from coursecli.cli import author, experiment, learn, model, workers
from coursecli.cli.context import Action, Context, Options

SECTIONS = {
    "Every day": ["init", "start", "check", "watch", "hint", "next"],
    "Look": ["dashboard", "status", "list", "read", "doctor", "workers"],
    "Change": ["reset", "solution", "skip"],
    "Your model": ["train", "runs", "eval", "generate", "chat", "import", "export", "bench"],
    "Authors": ["dev"],
}
EXAMPLES = """\b
Examples:
  intro2llm init my-llm
  intro2llm start
  intro2llm check
  intro2llm hint

\b
Instead of the option, in the environment:
  INTRO2LLM_COURSE=DIR
  INTRO2LLM_WORKSPACE=DIR
  INTRO2LLM_INSTRUCTOR=1
  INTRO2LLM_COLD=1

\b
Exit codes:
  0 done      1 not passed   2 usage
  3 workspace 4 locked       5 course
  6 progress  7 environment
  129 closed terminal
  130 Ctrl-C  143 SIGTERM
  70 a fault of intro2llm itself
"""


class Commands(TyperGroup):
    """Lists the commands first, in sections, in the order in which they are needed; then the options."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        longest = max(map(len, self.commands))
        for title, names in SECTIONS.items():
            rows = [(name.ljust(longest), self.commands[name].get_short_help_str(200)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Done above."""


def help_settings() -> dict[str, Any]:
    """The width of help: the terminal's, from 40 to 100 columns."""
    return {
        "help_option_names": ["-h", "--help"],
        "terminal_width": max(40, min(shutil.get_terminal_size().columns, 100)) - 1,
    }


app = typer.Typer(
    name="intro2llm",
    cls=Commands,
    help="Write a language model, lesson by lesson, and be told what is wrong and why.",
    epilog=EXAMPLES,
    context_settings=help_settings(),
    rich_markup_mode=None,  # plain help reads well at 40 columns, and Rich need not be imported for it
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    subcommand_metavar="COMMAND",
)


@app.callback()
def main(
    ctx: typer.Context,
    course: Annotated[
        str | None,
        typer.Option("--course", metavar="DIR", help="Another course: the folder with its course.yaml."),
    ] = None,
    workspace: Annotated[
        str | None,
        typer.Option(
            "--workspace",
            metavar="DIR",
            help="The workspace to use, instead of the one around you.",
        ),
    ] = None,
    instructor: Annotated[
        bool,
        typer.Option("--instructor", help="Show what teachers need: all hints, mistakes, references."),
    ] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Plain text: no colour, nothing that moves.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something unexpected happens.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> Action | None:
    options = Options(course=course, workspace=workspace, plain=plain, instructor=instructor, debug=debug)
    ctx.obj = Context(options)
    if version:
        typer.echo(f"intro2llm {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is not None or ctx.resilient_parsing:
        return None

    def home() -> int:
        from coursecli.cli import look

        return look.home(ctx.obj)

    return home


learn.register(app)
experiment.register(app)
model.register(app)
app.add_typer(workers.app, name="workers")
app.add_typer(author.app, name="dev")


def parse(arguments: list[str]) -> Action | int:
    """What the command line asks for; an exit code when Typer has answered it already (help, completion)."""
    result = app(args=arguments, prog_name="intro2llm", standalone_mode=False)
    return result if callable(result) else int(result or 0)
