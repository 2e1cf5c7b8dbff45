"""The commands of course authors, `intro2llm dev …`, declared for Typer. The work is in `coursecli.author`."""

from __future__ import annotations

from typing import Annotated

import typer

from coursecli.cli.context import Action, Context
from coursecli.cli.learn import complete_lessons

EXAMPLE = """\b
Example:
  intro2llm dev sync
  intro2llm dev check 02
"""

app = typer.Typer(help="For course authors: derive the stubs, prove the lessons, begin a new one.", epilog=EXAMPLE)


@app.command()
def sync(
    ctx: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit code 1 when a stub is stale.")] = False,
) -> Action:
    """Derive the stubs in the learner's package from the solutions.

    \b
    Example:
      intro2llm dev sync
      intro2llm dev sync --check
    """
    context: Context = ctx.obj

    def action() -> int:
        from coursecli.author.report import drift_line
        from coursecli.author.sync import sync_course

        drifts = sync_course(context.course, check=check)
        for drift in drifts:
            context.console.print(drift_line(drift, written=not check))
        if not drifts:
            context.console.print("Every stub is as its solution says.")
        elif check:
            context.console.print("Stale. Type: intro2llm dev sync")
        return 1 if drifts and check else 0

    return action


@app.command("check")
def prove(
    ctx: typer.Context,
    lessons: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LESSON", help="Without it, every lesson.", show_default=False, autocompletion=complete_lessons
        ),
    ] = None,
) -> Action:
    """Prove the lessons: the reference passes, stubs fail, mistakes are caught and named, alternatives accepted.

    \b
    Example:
      intro2llm dev check
      intro2llm dev check 02
    """
    context: Context = ctx.obj

    def action() -> int:
        from coursecli.author.prove import prove as prove_lessons
        from coursecli.author.report import ProofProgress, proof_summary

        chosen = [context.course.lesson(name) for name in lessons] if lessons else context.course.lessons
        with ProofProgress(context.console) as progress:
            proofs = prove_lessons(context.course, chosen, listener=progress)
        context.console.print(proof_summary(proofs))
        return 0 if all(proof.ok for proof in proofs) else 1

    return action


@app.command("new-lesson")
def new_lesson(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(metavar="STAGE/LESSON", help="The names of both folders.")],
    title: Annotated[str, typer.Option("--title", help="What learners read in the list.", show_default=False)],
) -> Action:
    """Make the files of a new lesson, and list it in course.yaml.

    \b
    Example:
      intro2llm dev new-lesson stage02_pretrain/lesson06_data_loss --title "Data and loss"
    """
    context: Context = ctx.obj

    def action() -> int:
        from coursecli.author.new_lesson import create
        from coursecli.render.console import clean

        for file in create(context.course, path, title):
            context.console.print(clean(f"wrote {file}"))
        number = path.rpartition("lesson")[2][:2]
        context.console.print(clean(f"\nNext: intro2llm dev sync, then intro2llm dev check {number}"))
        return 0

    return action
