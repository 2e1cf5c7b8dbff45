"""The toy course with recipes of its own, so that starting, streaming and stopping are tested without any tensor.

Its `generate` and `chat` write prices: each token is one call of the learner's `discount`, which tests replace.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from coursecli.course.build import build_solved
from coursecli.course.catalogue import Course, load_course
from coursecli.course.initial import init_workspace
from coursecli.course.manifest import Edit
from coursecli.course.variants import apply_edits
from coursecli.course.workspace import Workspace
from coursecli.progress.store import Store
from coursecli.recipes.events import Event
from coursecli.recipes.run import RecipeRun
from tests.conftest import TOY, Learner

REAL = TOY.parent.parent / "intro2llm" / "recipes"
GENERATE = '''"""Write prices."""

from toyshop.prices import discount
from toyshop.recipes.events import Options, RecipeError, emit


def prepare(chosen):
    what = "random" if chosen.random else chosen.run or "newest"
    emit("started", what=what, device="cpu", parameters=7, seed=chosen.seed)


def options():
    parser = Options(__doc__)
    for name in ("--run", "--device", "--prompt", "--temperature", "--top-k", "--top-p"):
        parser.add_argument(name)
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--max-new-tokens", type=int, default=3)
    parser.add_argument("--seed", type=int)
    return parser


def write(count):
    pieces = []
    stopped = "length"
    try:
        for percent in range(count):
            pieces.append(f" {discount(100.0, percent):g}")
            emit("token", text=pieces[-1])
    except KeyboardInterrupt:
        stopped = "interrupted"
    emit("answer", text="".join(pieces), tokens=len(pieces), seconds=0.5, stopped=stopped)


def main(arguments=None):
    chosen = options().parse_args(arguments)
    if chosen.prompt == "refuse":
        raise RecipeError("No such price.", "Ask for another.")
    prepare(chosen)
    write(chosen.max_new_tokens)
    emit("finished", message="")
'''
CHAT = '''"""Answer with prices."""

import signal
import sys

from toyshop.recipes.events import emit
from toyshop.recipes.generate import options, prepare, write


def main(arguments=None):
    chosen = options().parse_args(arguments)
    prepare(chosen)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    emit("ready")
    for line in map(str.strip, sys.stdin):
        if line == "/exit":
            break
        signal.signal(signal.SIGINT, signal.default_int_handler)
        write(int(line))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        emit("ready")
    emit("finished", message="")
'''
WORK = '''"""Stands for a recipe that does a piece of work: it says what it was asked for."""

from toyshop.recipes.events import emit


def main(arguments=None):
    emit("progress", done=1, total=2, what="half")
    emit("notice", message="Mind the step.")
    emit("table", title="Work", columns=["part", "ratio"], rows=[["one", "1.5"]], notes=["A note."])
    emit("finished", message="All is done.", data={"arguments": list(arguments)})
'''

PRETRAIN = '''"""Train to sell: an update is a price. Keeps a run as the real recipe does, and stops in order."""

import json
import signal
from pathlib import Path

from toyshop.prices import discount
from toyshop.recipes.events import Options, emit

STOP = []


def options():
    parser = Options(__doc__)
    for name in ("--name", "--preset", "--data", "--device"):
        parser.add_argument(name)
    parser.add_argument("--steps", type=int, default=3)
    return parser


def main(arguments=None):
    chosen, unknown = options().parse_known_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: STOP.append(number))
    run = Path("runs", chosen.name or "shop-1")
    run.mkdir(parents=True)
    info = {"kind": "pretrain", "preset": "shop", "data": "prices", "steps": chosen.steps, "floor": 0.5}
    emit("progress", done=0.5, total=1.0, what="Counting the stock")
    emit(
        "training", run=run.name, preset="shop", data="prices", device="cpu", dtype="float32", parameters=1234,
        steps=chosen.steps, first_step=0, tokens_per_step=2048, processes=1, seed=0, floor=0.5,
    )
    step = 0
    with (run / "metrics.jsonl").open("w") as metrics:
        while step < chosen.steps and not STOP:
            step += 1
            bits = 0.5 + discount(100.0, step) / 200
            measured = {"loss": 2 * bits, "bits_per_byte": bits}
            metrics.write(json.dumps({"step": step, **measured}) + "\\n")
            emit(
                "step", step=step, **measured, learning_rate=0.001, grad_norm=1.0, tokens_per_second=3000.0,
                seconds_left=60.0 * (chosen.steps - step),
            )
        metrics.write(json.dumps({"step": step, "eval_loss": 2 * bits, "eval_bits_per_byte": bits}) + "\\n")
    emit("evaluation", step=step, floor=0.5, **measured)
    emit("sample", step=step, prompt="Apples", text=" are [b]cheap[/b]\\x1b[2J.")
    emit("saved", step=step, path="runs/x/checkpoints/step")
    state = "finished" if step == chosen.steps else "interrupted"
    info |= {"state": state, "step": step, "eval_bits_per_byte": bits, "tokens": 2048 * step, "seconds": 75.0}
    (run / "run.json").write_text(json.dumps(info))
    code = 128 + STOP[0] if STOP else 0
    data = {"run": run.name, "path": run.as_posix(), **info, "exit_code": code, "arguments": list(arguments)}
    emit("finished", message="Trained.", data=data)
    return code
'''
EVALUATE = '''"""Count what has been sold."""

from toyshop.recipes.events import emit


def main(arguments=None):
    for done in range(1, 4):
        emit("score", task="sums", name="accuracy", value=done / 4, done=done, total=3)
    emit("table", title="Scores", columns=["task", "score"], rows=[["sums", "0.750"]])
    emit("finished", message="", data={"sums": {"accuracy": 0.75}, "arguments": list(arguments)})
'''


def course_with_recipes(base: Path) -> Path:
    """The toy course, and in its package recipes of every name over the real `events`."""
    copy = base / "course"
    shutil.copytree(TOY, copy, ignore=shutil.ignore_patterns("__pycache__"))
    recipes = copy / "toyshop" / "recipes"
    recipes.mkdir()
    for name in ("__init__.py", "events.py"):
        shutil.copy(REAL / name, recipes)
    (recipes / "generate.py").write_text(GENERATE, encoding="utf-8")
    (recipes / "chat.py").write_text(CHAT, encoding="utf-8")
    (recipes / "pretrain.py").write_text(PRETRAIN, encoding="utf-8")
    (recipes / "evaluate.py").write_text(EVALUATE, encoding="utf-8")
    for name in ("import_hf", "export_hf", "bench"):
        (recipes / f"{name}.py").write_text(WORK, encoding="utf-8")
    for lesson, features in (
        ("lesson01_prices", ("receipt", "generate, chat")),
        ("lesson02_baskets", ("merge", "train, runs, eval")),
    ):
        manifest = copy / "stage01_shop" / lesson / "lesson.yaml"
        text = manifest.read_text(encoding="utf-8")
        manifest.write_text(text.replace(f"features: [{features[0]}]", f"features: [{', '.join(features)}]"), "utf-8")
    return copy


@dataclass
class Seller(Learner):
    """Somebody at a shell in a workspace of that course, in which the first lesson is solved."""

    course: Course = field(init=False)
    opened: Workspace = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.course = load_course(course_with_recipes(self.folder))
        self.opened = init_workspace(self.course, self.workspace, unlock_all=True)
        with Store.open(self.opened.database, create=True):
            pass
        build_solved(self.course, self.workspace)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "INTRO2LLM_COURSE": str(self.course.root)}

    def replace(self, symbol: str, code: str, file: str = "prices.py") -> None:
        """Another body for a function of the learner's."""
        path = self.file(file)
        path.write_text(apply_edits(path.read_text(encoding="utf-8"), [Edit(symbol=symbol, code=code)]), "utf-8")

    def add_run(self, name: str) -> None:
        folder = self.workspace / "runs" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")

    def run(self, *arguments: str, printed: list[str] | None = None, recipe: str = "generate") -> Iterator[Event]:
        """The events of a recipe, started without the command line."""
        said = [] if printed is None else printed
        with RecipeRun(self.course, self.opened, recipe, recipe, arguments, printed=said.append) as run:
            yield from run.events()
