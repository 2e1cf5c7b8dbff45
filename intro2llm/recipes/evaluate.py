"""Measure what a model of yours can do: text, stories, multiple choice, programs. Given.

python -m intro2llm.recipes.evaluate --run first --tasks ppl,story

What has been measured is kept in runs/NAME/eval/, so that an evaluation which was interrupted goes on where it was; the
results are in runs/NAME/eval.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from intro2llm.configs.presets import PresetError, load_preset
from intro2llm.evaluation.sandbox import Isolation, SandboxError, available_isolation
from intro2llm.evaluation.tasks.held_out_text import own_text, unseen_stories
from intro2llm.evaluation.tasks.kept import KeptResults, checkpoint_stamp, code_stamp
from intro2llm.evaluation.tasks.programs import Programs
from intro2llm.evaluation.tasks.story_questions import StoryQuestions
from intro2llm.evaluation.tasks.subject_questions import SubjectQuestions
from intro2llm.evaluation.tasks.task import Candidate, Result, Task
from intro2llm.model.build import ModelBuildError
from intro2llm.recipes.events import Options, RecipeError, StorageError, emit, run_by_hand
from intro2llm.recipes.generate import RUNS, pick_device
from intro2llm.training.run_folder import write_file
from intro2llm.training.stopping import Interrupted, Stop, listening
from intro2llm.utils.errors import CheckpointError
from intro2llm.utils.model_folder import find_run, load_model

TASKS = ("ppl", "story", "mmlu", "humaneval")
SAY_SECONDS = 0.25
"""How often a running figure is told, at most."""


def options() -> argparse.ArgumentParser:
    parser = Options(__doc__.splitlines()[0])
    parser.add_argument("--run", help=f"a folder in {RUNS}/; without it, the newest one")
    parser.add_argument("--tasks", help=f"some of {','.join(TASKS)}; without it, all that fit the run")
    parser.add_argument("--limit", type=int, help="at most so many items of each task")
    parser.add_argument(
        "--data-mmlu", type=Path, help="MMLU's own folder, with dev/ and test/, for the built-in questions"
    )
    parser.add_argument(
        "--data-humaneval", type=Path, help="HumanEval's own .jsonl or .jsonl.gz, for the built-in problems"
    )
    parser.add_argument("--samples", type=int, default=1, help="completions of each problem of humaneval")
    parser.add_argument("--temperature", type=float, help="of these; without it, 0 for one of them, else 0.8")
    parser.add_argument(
        "--solutions", choices=["canonical", "empty"], help="humaneval without a model: check the check"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--seed", type=int, default=0, help="of the stories, of a limited choice, of the completions")
    parser.add_argument("--unsafe-no-sandbox", action="store_true", help="run a model's programs without a sandbox")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on where it was, as it does anyway")
    again.add_argument("--restart", action="store_true", help="throw away what such an evaluation has measured before")
    return parser


class Subject:
    """What is evaluated: the model of a run, and where its results go. With --solutions there is neither."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.run: Path | None = None
        self.info: dict[str, Any] = {}
        if chosen.solutions is not None:
            return
        device = pick_device(chosen.device)
        try:
            self.folder = find_run(RUNS, chosen.run)
            model, tokenizer = load_model(self.folder, device=device)
        except (CheckpointError, ModelBuildError) as error:
            raise RecipeError(str(error)) from error
        self.run = RUNS / self.folder.resolve().relative_to(RUNS.resolve()).parts[0]
        with suppress(OSError, ValueError):  # it only says where the text was from
            self.info = dict(json.loads((self.run / "run.json").read_text(encoding="utf-8")))
        self.candidate = Candidate(model, tokenizer, min(model.config.max_position_embeddings, self._trained_length()))
        self.stamp = {"checkpoint": checkpoint_stamp(self.folder), "code": code_stamp(), "device": device.type}
        parameters = sum(parameter.numel() for parameter in model.parameters())
        emit("started", what=self.run.name, device=device.type, parameters=parameters, seed=chosen.seed)

    @property
    def own_data(self) -> bool:
        """Whether the model was trained on something else than the story world."""
        return self.run is not None and self.info.get("data", "storyworld") != "storyworld"

    def kept(self, task: Task) -> KeptResults | None:
        described = None if self.run is None else {**self.stamp, "task": task.name, "settings": dict(task.settings)}
        return described and KeptResults(self.run / "eval", task.name, described)

    def _trained_length(self) -> int:
        """Tokens in a training window: no model can be asked about places that it has never been at."""
        with suppress(PresetError):
            if (self.run / "config.yaml").is_file():
                return load_preset(self.run / "config.yaml").training.seq_length
        return sys.maxsize


def chosen_tasks(chosen: argparse.Namespace, subject: Subject) -> list[Task]:
    """The tasks, ready to be measured.

    Raises:
        RecipeError: one that was asked for cannot be done. One that was not asked for is left out, with a word.
    """
    asked = None if chosen.tasks is None else list(dict.fromkeys(chosen.tasks.replace(" ", "").split(",")))
    if unknown := [name for name in asked or [] if name not in TASKS]:
        raise RecipeError(f"--tasks: there is no {unknown[0]!r}.", f"There are: {', '.join(TASKS)}.")
    if chosen.solutions is not None:
        if asked not in (None, ["humaneval"]):
            raise RecipeError("--solutions is for humaneval alone.", "Leave out --tasks.")
        asked = ["humaneval"]
    for name in ("limit", "samples"):
        if (value := getattr(chosen, name)) is not None and value < 1:
            raise RecipeError(f"--{name} {value}: it is at least 1.")
    if chosen.temperature is not None and chosen.temperature < 0:
        raise RecipeError(f"--temperature {chosen.temperature:g}: it is at least 0.")
    names = asked or [name for name in TASKS if not (name == "story" and subject.own_data)]
    tasks = []
    for name in names:
        try:
            tasks.append(MAKE[name](chosen, subject))
        except LeftOutError as error:
            if asked is not None:
                raise RecipeError(error.message, error.remedy) from error
            emit("notice", message=f"{name} is left out. {error.message} {error.remedy}".strip())
        except (CheckpointError, ValueError) as error:
            raise RecipeError(str(error)) from error
    return tasks


class LeftOutError(RecipeError):
    """A task that cannot be done here, though nothing is wrong with what was typed."""


def make_ppl(chosen: argparse.Namespace, subject: Subject) -> Task:
    if not subject.own_data:
        return unseen_stories(subject.candidate, limit=chosen.limit, seed=chosen.seed)
    task = own_text(subject.candidate, subject.run / "data", limit=chosen.limit)
    if task is None:
        raise LeftOutError("The text of this run was too short to hold any of it out.")
    return task


def make_story(chosen: argparse.Namespace, subject: Subject) -> Task:
    return StoryQuestions(subject.candidate, limit=chosen.limit, seed=chosen.seed)


def make_mmlu(chosen: argparse.Namespace, subject: Subject) -> Task:
    return SubjectQuestions(subject.candidate, chosen.data_mmlu, limit=chosen.limit, seed=chosen.seed)


def make_humaneval(chosen: argparse.Namespace, subject: Subject) -> Task:
    isolation: Isolation = available_isolation()
    if isolation == "none" and not chosen.unsafe_no_sandbox:
        raise LeftOutError(
            "It runs programs that a model has written, and this system has no sandbox for them.",
            "To run them with all your rights: --unsafe-no-sandbox",
        )
    temperature = chosen.temperature
    if temperature is None:
        temperature = 0.0 if chosen.samples == 1 else 0.8
    return Programs(
        chosen.solutions or subject.candidate,
        chosen.data_humaneval,
        limit=chosen.limit,
        seed=chosen.seed,
        samples=chosen.samples,
        temperature=temperature,
        isolation=isolation,
    )


MAKE: dict[str, Callable[[argparse.Namespace, Subject], Task]] = {
    "ppl": make_ppl,
    "story": make_story,
    "mmlu": make_mmlu,
    "humaneval": make_humaneval,
}


def measure(task: Task, kept: KeptResults | None, stop: Stop) -> dict[str, Result]:
    """The results of a task's items, those that were kept and those that are measured now, as far as it gets."""
    before = {} if kept is None else kept.read()
    results = {item: before[item] for item in task.items if item in before}
    total, said = len(task.items), 0.0
    if len(results) == total:
        emit("notice", message=f"{task.name}: all {total} {task.unit} were measured before; --restart measures anew.")
    elif results:
        emit("notice", message=f"{task.name}: going on after {len(results)} of {total} {task.unit}.")
    with suppress(Interrupted):
        for item in task.items:
            if stop.number is not None:
                break
            if item in results:
                continue
            result = task.measure(item)
            if kept is not None:
                with writing():
                    kept.add(item, result)
            results[item] = result
            if time.monotonic() - said > SAY_SECONDS or len(results) == total:
                said = time.monotonic()
                name, value = task.running(list(results.values()))
                emit("score", task=task.name, name=name, value=value, done=len(results), total=total)
    return {item: results[item] for item in task.items if item in results}


def write_results(subject: Subject, figures: dict[str, Any]) -> None:
    """Put a task's figures into the run's eval.json, beside those that the same checkpoint has of other tasks."""
    if subject.run is None:
        return
    path, checkpoint = subject.run / "eval.json", subject.folder.relative_to(subject.run).as_posix()
    known = {"checkpoint": checkpoint, "checkpoint_stamp": subject.stamp["checkpoint"]}
    before: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    if before.get("checkpoint_stamp") != known["checkpoint_stamp"]:
        before = {}
    write_file(path, json.dumps(before | known | figures, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate, and return the exit code: 0, or 130 or 143 if a signal has ended it."""
    chosen = options().parse_args(arguments)
    with listening() as stop:
        figures: dict[str, Any] = {}
        try:
            with suppress(Interrupted):
                evaluate(chosen, stop, figures)
        except SandboxError as error:
            raise RecipeError(str(error)) from error
        message = ""
        if stop.number is not None:
            message = "Stopped. What has been measured is kept: the same command goes on from here."
        elif "run" in figures:
            message = f"All figures are in {RUNS / figures['run'] / 'eval.json'}."
        state = "finished" if stop.number is None else "interrupted"
        emit("finished", message=message, data={"state": state, "exit_code": stop.exit_code, **figures})
    return stop.exit_code


def evaluate(chosen: argparse.Namespace, stop: Stop, figures: dict[str, Any]) -> None:
    """Measure one task after the other, and put their figures where the caller can see them, one by one."""
    subject = Subject(chosen)
    if subject.run is not None:
        figures |= {"run": subject.run.name, "checkpoint": subject.folder.as_posix()}
    tasks = chosen_tasks(chosen, subject)
    with writing():
        for kept in filter(None, map(subject.kept, tasks if chosen.restart else [])):
            kept.forget()
    for task in tasks:
        results = measure(task, subject.kept(task), stop)
        if stop.number is not None:
            return
        summary = task.summary(results)
        for table in summary.tables:
            emit("table", title=table.title, columns=table.columns, rows=table.rows, notes=table.notes)
        figures[task.name] = summary.figures
        with writing():
            write_results(subject, {task.name: summary.figures})


@contextmanager
def writing() -> Iterator[None]:
    """While inside, a disk that is full or closed is the reason of what goes wrong."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise StorageError(f"{where}{error.strerror or error}.", "What was measured before is kept.") from error


if __name__ == "__main__":
    run_by_hand(main)
