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
    for name in ("import_hf", "export_hf", "bench"):
        (recipes / f"{name}.py").write_text(WORK, encoding="utf-8")
    manifest = copy / "stage01_shop" / "lesson01_prices" / "lesson.yaml"
    text = manifest.read_text(encoding="utf-8").replace("features: [receipt]", "features: [receipt, generate, chat]")
    manifest.write_text(text, encoding="utf-8")
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
