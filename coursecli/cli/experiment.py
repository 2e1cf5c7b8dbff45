"""The commands that train and measure models, declared for Typer. The doing is in `training` and `runs`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from coursecli.cli.context import Action, Context, Options
from coursecli.cli.model import Device, Json, Run, complete_runs


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("train")(train)
    app.command("eval")(evaluate)
    app.add_typer(runs, name="runs")


def complete_presets(ctx: typer.Context, incomplete: str) -> list[str]:
    """For the shell: the presets of the workspace that say how to train."""
    from coursecli.cli.runs import preset_names
    from coursecli.errors import CourseError

    chosen = ctx.find_root().params
    options = Options(course=chosen.get("course"), workspace=chosen.get("workspace"))
    try:
        return [name for name in preset_names(Context(options).workspace) if name.startswith(incomplete)]
    except CourseError:  # a shell that completes has no place for an error
        return []


def _number(option: str, help: str) -> Any:
    return typer.Option(option, metavar="N", min=1, help=help, show_default=False)


def _choice(option: str, metavar: str, help: str) -> Any:
    return typer.Option(option, metavar=metavar, help=help, show_default=False)


def train(
    ctx: typer.Context,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME|FILE",
            help="Which model, and how it is trained: nano (the default), tiny, small, or a YAML file of yours.",
            show_default=False,
            autocompletion=complete_presets,
        ),
    ] = None,
    data: Annotated[
        str | None,
        _choice("--data", "SOURCE", "storyworld (the default), a text file, a folder, a .jsonl file, or hub:NAME."),
    ] = None,
    name: Annotated[
        str | None, _choice("--name", "NAME", "What to call the run. Without it, the preset's name and a number.")
    ] = None,
    steps: Annotated[int | None, _number("--steps", "How many updates.")] = None,
    batch_size: Annotated[int | None, _number("--batch-size", "Windows of text in a micro-batch.")] = None,
    seq_len: Annotated[int | None, _number("--seq-len", "Tokens in a window.")] = None,
    tokens: Annotated[int | None, _number("--tokens", "How many training tokens are made of the text.")] = None,
    changes: Annotated[
        list[str] | None,
        _choice("--set", "KEY=VALUE", "Change a setting of the preset. May be repeated."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", min=0, help="The same seed gives the same run.", show_default=False),
    ] = None,
    device: Device = "auto",
    dtype: Annotated[
        str | None, _choice("--dtype", "NAME", "float32 or bfloat16, for the products of matrices.")
    ] = None,
    compile_model: Annotated[
        bool, typer.Option("--compile", help="torch.compile: the first update takes long, the others less.")
    ] = False,
    nproc: Annotated[int | None, _number("--nproc", "Train in N processes on this machine.")] = None,
    track: Annotated[
        list[str] | None, _choice("--track", "NAME", "Also log to tensorboard or wandb. May be repeated.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run --name, or with the newest unfinished one.")
    ] = False,
    json: Json = False,
) -> Action:
    """Train a model of yours from nothing: your tokenizer, model, loss, optimizer and trainer at work.

    Ctrl-C ends it after the update in progress, and saves; --resume goes on as if nothing had happened.

    \b
    Example:
      intro2llm train
      intro2llm train --preset tiny --name big
      intro2llm train --set training.lr=0.002
      intro2llm train --data my-texts --steps 500
      intro2llm train --resume --name big
    """
    from coursecli.cli import training
    from coursecli.cli.running import as_options

    words = as_options(
        preset=str(Path(preset).expanduser().resolve()) if preset and preset.endswith((".yaml", ".yml")) else preset,
        data=data if data is None or data == "storyworld" or data.startswith("hub:") else _absolute(data),
        name=name,
        steps=steps,
        batch_size=batch_size,
        seq_len=seq_len,
        tokens=tokens,
        set=changes,
        seed=seed,
        device=device,
        dtype=dtype,
        compile=compile_model,
        nproc=nproc,
        track=track,
        resume=resume,
    )
    return partial(training.train, _context(ctx), words, as_json=json)


def evaluate(
    ctx: typer.Context,
    run: Run = None,
    tasks: Annotated[
        str | None, _choice("--tasks", "LIST", "Some of ppl, story, mmlu, humaneval, with commas. Without it, all.")
    ] = None,
    limit: Annotated[int | None, _number("--limit", "At most N questions of each kind.")] = None,
    data_mmlu: Annotated[
        str | None, _choice("--data-mmlu", "FOLDER", "The official MMLU files, instead of the questions of the course.")
    ] = None,
    data_humaneval: Annotated[
        str | None,
        _choice("--data-humaneval", "FILE", "The official file, instead of the problems of the course."),
    ] = None,
    samples: Annotated[int | None, _number("--samples", "Programs written for each problem.")] = None,
    temperature: Annotated[
        float | None,
        typer.Option("--temperature", metavar="T", min=0, help="For writing programs.", show_default=False),
    ] = None,
    device: Device = "auto",
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", min=0, help="The same seed gives the same result.", show_default=False),
    ] = None,
    unsafe_no_sandbox: Annotated[
        bool,
        typer.Option("--unsafe-no-sandbox", help="Run what the model writes even where nothing can contain it."),
    ] = False,
    solutions: Annotated[
        str | None,
        _choice("--solutions", "KIND", "Check the file's canonical solutions, or empty ones, not those of a model."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an evaluation that was interrupted, as it does anyway.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin again: what was measured is forgotten.")] = False,
    json: Json = False,
) -> Action:
    """Measure a model of yours: bits per byte beside the floor, story questions, MMLU, HumanEval.

    \b
    Example:
      intro2llm eval
      intro2llm eval --run big --tasks ppl,story
      intro2llm eval --tasks mmlu --limit 200 --json
    """
    from coursecli.cli import training
    from coursecli.cli.running import as_options

    words = as_options(
        run=run,
        tasks=tasks,
        limit=limit,
        data_mmlu=_absolute(data_mmlu),
        data_humaneval=_absolute(data_humaneval),
        samples=samples,
        temperature=temperature,
        device=device,
        seed=seed,
        unsafe_no_sandbox=unsafe_no_sandbox,
        solutions=solutions,
        resume=resume,
        restart=restart,
    )
    return partial(training.evaluate, _context(ctx), run, words, needs_run=solutions is None, as_json=json)


runs = typer.Typer(
    help="The runs of your workspace: list them, look at one, compare several.",
    epilog="""\b
Example:
  intro2llm runs
  intro2llm runs show nano-1
  intro2llm runs compare nano-1 nano-2
""",
    invoke_without_command=True,
)


@runs.callback()
def runs_main(ctx: typer.Context, json: Json = False) -> Action | None:
    """The runs of your workspace: list them, look at one, compare several."""
    if ctx.invoked_subcommand is not None:
        if json:
            raise typer.BadParameter(f"write it behind {ctx.invoked_subcommand}.", param_hint="--json")
        return None
    from coursecli.cli import runs as runs_module

    return partial(runs_module.list_runs, _context(ctx), as_json=json)


@runs.command("show", short_help="One run, whole.")
def show(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="NAME", help="The name of the run.", autocompletion=complete_runs)],
    json: Json = False,
) -> Action:
    """One run: its settings, its curve, what it wrote.

    \b
    Example:
      intro2llm runs show nano-1
    """
    from coursecli.cli import runs as runs_module

    return partial(runs_module.show_run, _context(ctx), run, as_json=json)


@runs.command("compare", short_help="Runs side by side.")
def compare(
    ctx: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME NAME...", help="Two runs or more.", autocompletion=complete_runs)
    ],
    json: Json = False,
) -> Action:
    """Runs side by side: what differs, and the curves.

    \b
    Example:
      intro2llm runs compare nano-1 nano-2
    """
    from coursecli.cli import runs as runs_module

    return partial(runs_module.compare_runs, _context(ctx), names, as_json=json)


def _absolute(path: str | None) -> str | None:
    """A path as it is from the user's folder: the recipe runs in the workspace."""
    return None if path is None else str(Path(path).expanduser().resolve())


def _context(ctx: typer.Context) -> Context:
    context: Context = ctx.obj
    return context
