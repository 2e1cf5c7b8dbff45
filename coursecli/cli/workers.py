"""`workers`: the background processes that make checks quick, one for each workspace: list them, stop them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from coursecli.cli.context import Action, Context

if TYPE_CHECKING:
    from coursecli.warm.place import Record

EXAMPLE = """\b
Example:
  intro2llm workers
  intro2llm workers stop --all
"""

app = typer.Typer(
    help="The processes that wait in the background, so that a check starts at once: list them, stop them.",
    epilog=EXAMPLE,
    invoke_without_command=True,
)


@app.callback()
def workers(ctx: typer.Context) -> Action | None:
    context: Context = ctx.obj
    if ctx.invoked_subcommand is not None or ctx.resilient_parsing:
        return None
    return lambda: show(context)


@app.command()
def stop(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Those of all your workspaces.")] = False,
) -> Action:
    """End the background process of this workspace. A check that runs goes on; the next one starts a new process.

    \b
    Example:
      intro2llm workers stop
      intro2llm workers stop --all
    """
    context: Context = ctx.obj
    return lambda: end(context, everything=everything)


def show(context: Context) -> int:
    from rich.table import Table

    from coursecli.render.console import clean
    from coursecli.warm.background import status
    from coursecli.warm.place import everywhere

    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("process", "memory", "checks", "idle", "workspace"):
        table.add_column(title, header_style="quiet", overflow="fold")
    for record in everywhere():
        said = status(record)
        if said is None:
            cells = ["", "", "starting, or it does not answer"]
        else:
            memory = f"{said.memory >> 20} MB" if said.memory else ""
            cells = [memory, str(said.checks), f"{said.idle / 60:.0f} min"]
        table.add_row(*(clean(cell) for cell in (str(record.pid), *cells, record.workspace)))
    if table.row_count:
        context.console.print(table)
    else:
        context.console.print("No process waits in the background. The next check starts one.")
    return 0


def end(context: Context, *, everything: bool) -> int:
    from coursecli.errors import EnvironmentProblem
    from coursecli.render.console import clean
    from coursecli.warm import background
    from coursecli.warm.place import current, everywhere

    found: list[Record] = list(everywhere())
    if not everything:
        one = current(context.workspace.root.resolve())
        found = [one] if one is not None else []
    for record in found:
        if not background.stop(record):
            raise EnvironmentProblem(f"Process {record.pid} could not be ended.", f"Type: kill -9 {record.pid}")
        context.console.print(clean(f"Ended process {record.pid}, of {record.workspace}"))
    if not found:
        context.console.print("No process waits in the background.")
    return 0
