"""The commands that put the learner's model to work, declared for Typer. `running`, `writing`, `talking` do it."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from coursecli.cli.context import Action, Context, Options


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for command in (generate, chat, import_, bench):
        app.command(command.__name__.rstrip("_"))(command)
    app.add_typer(export, name="export")


def complete_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """For the shell: the runs of the workspace."""
    from coursecli.errors import CourseError
    from coursecli.recipes.runs import run_names

    chosen = ctx.find_root().params
    options = Options(course=chosen.get("course"), workspace=chosen.get("workspace"))
    try:
        return [name for name in run_names(Context(options).workspace.runs) if name.startswith(incomplete)]
    except CourseError:  # a shell that completes has no place for an error
        return []


Run = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="NAME",
        help="The run whose model is used. Without it, the newest one.",
        show_default=False,
        autocompletion=complete_runs,
    ),
]
Random = Annotated[bool, typer.Option("--random", help="A small model with random weights, as it is before training.")]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or mps.")]
Tokens = Annotated[int, typer.Option("--max-new-tokens", metavar="N", help="How many tokens it writes at most.")]
Temperature = Annotated[
    float, typer.Option("--temperature", metavar="T", help="Below 1 it is more careful; 0: always the likeliest token.")
]
TopK = Annotated[
    int | None,
    typer.Option("--top-k", metavar="K", help="Choose among the K likeliest tokens.", show_default=False),
]
TopP = Annotated[
    float | None,
    typer.Option(
        "--top-p", metavar="P", help="Choose among the likeliest tokens that together reach P.", show_default=False
    ),
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="The same seed gives the same text.", show_default=False)
]
Stream = Annotated[bool, typer.Option("--stream/--no-stream", help="Show each token as it comes, or all at the end.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what an earlier one has made there.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")]


def generate(
    ctx: typer.Context,
    prompt: Annotated[
        str, typer.Option("--prompt", metavar="TEXT", help="The text to continue; - reads it from standard input.")
    ],
    max_new_tokens: Tokens = 100,
    temperature: Temperature = 1.0,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    run: Run = None,
    random: Random = False,
    device: Device = "auto",
    stream: Stream = True,
    json: Json = False,
) -> Action:
    """Let your model continue a text. Yours throughout: your tokenizer, your model, your sampling.

    \b
    Example:
      intro2llm generate --prompt "Once upon a time"
      intro2llm generate --random --seed 1 --prompt "Hi"
      intro2llm generate --prompt - --json < story.txt
    """
    from coursecli.cli import writing

    wanted = writing.Sampling(max_new_tokens, temperature, top_k, top_p, seed, run, random, device)
    return partial(writing.generate, _context(ctx), prompt, wanted, stream=stream, as_json=json)


def chat(
    ctx: typer.Context,
    max_new_tokens: Tokens = 100,
    temperature: Temperature = 1.0,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    run: Run = None,
    random: Random = False,
    device: Device = "auto",
    stream: Stream = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each answer, nothing else.")] = False,
) -> Action:
    """Talk with your model. Ctrl-C stops an answer; Ctrl-D or /exit ends the chat; /help lists more.

    \b
    Example:
      intro2llm chat
      intro2llm chat --random --max-new-tokens 40
    """
    from coursecli.cli import talking, writing

    wanted = writing.Sampling(max_new_tokens, temperature, top_k, top_p, seed, run, random, device)
    return partial(talking.chat, _context(ctx), wanted, stream=stream, as_json=json)


def import_(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="The folder of a published model (Llama, Qwen).")],
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="What to call it. Without it, the folder's name.", show_default=False
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> Action:
    """Bring a model in Hugging Face's layout into your own classes: it becomes a run.

    \b
    Example:
      intro2llm import ~/models/Llama-3.2-1B
      intro2llm import ~/models/Qwen2.5-0.5B --name qwen
    """
    from coursecli.cli import running

    return partial(running.import_model, _context(ctx), path, name, force=force, as_json=json)


def bench(
    ctx: typer.Context,
    parts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PART]...", help="attention, decode, …; without it, all.", show_default=False),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller work, fewer runs: rougher figures.")] = False,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", help="Threads of PyTorch.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="cpu, cuda or mps.")] = "cpu",
    json: Json = False,
) -> Action:
    """Your code beside PyTorch's for the same work: how much slower, why, and where in the course that ends.

    \b
    Example:
      intro2llm bench
      intro2llm bench attention decode --quick
    """
    from coursecli.cli import running

    arguments = [*(parts or []), *(["--quick"] if quick else []), f"--device={device}"]
    arguments += [] if threads is None else [f"--threads={threads}"]
    return partial(running.bench, _context(ctx), arguments, as_json=json)


export = typer.Typer(
    help="Write a model in a layout that other programs read.",
    epilog="""\b
Example:
  intro2llm export hf my-run exported
""",
)


@export.callback()
def export_main() -> None:
    """Write a model in a layout that other programs read."""


@export.command("hf")
def export_hf(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The name of the run.", autocompletion=complete_runs)],
    directory: Annotated[str, typer.Argument(metavar="DIR", help="The folder to make.")],
    force: Force = False,
    json: Json = False,
) -> Action:
    """In Hugging Face's layout: `transformers` and `tokenizers` load it.

    \b
    Example:
      intro2llm export hf my-run exported
    """
    from coursecli.cli import running

    return partial(running.export_model, _context(ctx), run, directory, force=force, as_json=json)


def _context(ctx: typer.Context) -> Context:
    context: Context = ctx.obj
    return context
