"""A training on the screen: one line that changes, evaluations and samples as they come, and what was reached."""

from __future__ import annotations

import shlex
from typing import Any

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from coursecli.recipes.events import Evaluation, Progress, Sample, Score, Step, Training
from coursecli.render.console import clean
from coursecli.render.generation import Screen

PLAIN_LINES = 20
"""How many lines about its updates a training prints where no line can change."""
SPINNER = 4
"""Columns beside the changing line."""


class TrainingScreen:
    """Shows what a training, or an evaluation, says.

    Args:
        results: where evaluations and samples go.
    """

    def __init__(self, screen: Screen, results: Console) -> None:
        self.training: Training | None = None
        self._screen = screen
        self._results = results
        self._said = ""
        self._part = -1

    def show(self, event: object) -> None:
        match event:
            case Training():
                self.training = event
                self._screen.say(beginning(event))
            case Step():
                self._step(event)
            case Evaluation():
                self._print(evaluation_line(event))
            case Sample():
                self._print(sample_view(event))
            case Score():
                self._score(event)
            case Progress():
                self._progress(event)

    def _print(self, view: RenderableType) -> None:
        self._screen.settle()
        self._results.print(view, soft_wrap=isinstance(view, Text) and not self._results.is_terminal)

    def _step(self, event: Step) -> None:
        assert self.training is not None
        if self._watched:
            self._screen.wait(step_line(event, self.training, width=self._screen.aside.width - SPINNER))
        elif self._is_next((event.step - 1) * PLAIN_LINES // max(1, self.training.steps)):
            self._screen.say(step_line(event, self.training))

    def _score(self, event: Score) -> None:
        line = f"{event.task}: {event.done} of {event.total}, {event.name} {event.value:.3f}"
        if self._watched:
            self._screen.wait(line)
        elif event.done >= event.total:
            self._screen.say(line)

    def _progress(self, event: Progress) -> None:
        if self._watched:
            self._screen.progress(event)
        elif event.what != self._said:
            self._said = event.what
            self._screen.say(f"{event.what} …")

    @property
    def _watched(self) -> bool:
        return self._screen.aside.is_terminal

    def _is_next(self, part: int) -> bool:
        """Whether another part of the run has begun since this was asked last."""
        before, self._part = self._part, part
        return part != before


def beginning(training: Training) -> str:
    """What is about to be trained."""
    where = training.device if training.processes == 1 else f"{training.processes} processes on {training.device}"
    updates = f"{training.steps} updates"
    if training.first_step:
        updates = f"updates {training.first_step + 1} to {training.steps}"
    return (
        f"{training.run}: {training.parameters:,} parameters, {where}, {training.dtype}; {updates} of "
        f"{training.tokens_per_step:,} tokens."
    )


def step_line(step: Step, training: Training, *, width: int | None = None) -> str:
    """How far the run is and what it measures, in one line: the fullest of several that fits."""
    far = f"{step.step}/{training.steps}"
    loss, rate = f"loss {step.loss:.3f}", f"rate {step.learning_rate:.2g}"
    speed = f"{step.tokens_per_second:,.0f} tokens/s"
    left = "" if step.seconds_left is None else f"{clock(step.seconds_left)} left"
    if step.bits_per_byte is None:
        bits = floor = ""
    else:
        bits = f"{step.bits_per_byte:.3f} bits/byte"
        floor = bits if training.floor is None else f"{bits} (floor {training.floor:.3f})"
    main = bits or loss
    for parts in (
        (far, loss, floor, rate, speed, left),
        (far, loss, floor, speed, left),
        (far, loss, floor, left),
        (far, floor or loss, left),
        (far, main, left),
        (far, left or main),
    ):
        line = "  ".join(filter(None, parts))
        if width is None or cell_len(line) <= width:
            return line
    return far


def evaluation_line(event: Evaluation) -> Text:
    words = f"{event.loss:.3f} nats per token"
    if event.bits_per_byte is not None:
        words = f"{event.bits_per_byte:.3f} bits per byte"
        if event.floor:
            words += f", {event.bits_per_byte / event.floor:.2f} × the floor {event.floor:.3f}"
    return clean(f"After update {event.step}, on held-out text: {words}")


def sample_view(event: Sample) -> RenderableType:
    """What the model writes, set off from what is said about it."""
    return Padding(clean(f"{event.prompt}{event.text}".strip(), "quiet"), (0, 0, 0, 2), expand=False)


def summary_view(data: dict[str, Any], next_commands: list[str]) -> RenderableType:
    """What a run has reached, where it lies, and what can be done with it now.

    Args:
        data: of the recipe's last event, as the user's package gives it: nothing of it is sure to be there.
    """
    reached, floor = data.get("eval_bits_per_byte"), data.get("floor")
    words = ""
    if isinstance(reached, float):
        words = f"{reached:.3f} bits per byte on held-out text"
        words += f", {reached / floor:.2f} × the floor of {floor:.3f}" if isinstance(floor, float) and floor else ""
    elif isinstance(loss := data.get("loss"), float):
        words = f"a loss of {loss:.3f} nats per token"
    work = [f"{data['step']} of {data['steps']} updates"] if data.get("steps") else []
    work += [f"{data['tokens']:,} tokens"] if isinstance(data.get("tokens"), int) else []
    work += [duration(data["seconds"])] if isinstance(data.get("seconds"), (int, float)) else []
    rows = [("Reached", words, "title"), ("Work", ", ".join(work), ""), ("Run", str(data.get("path", "")), "")]
    rows += [("Next" if place == 0 else "", command, "command") for place, command in enumerate(next_commands)]
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=7)
    grid.add_column(overflow="fold")
    for label, text, style in rows:
        if text:
            grid.add_row(Text(label, style="quiet"), clean(text, style))
    return Group(grid)


def after_training(run: str, *, finished: bool, evaluates: bool) -> list[str]:
    """What to type now."""
    named = shlex.quote(run)
    if not finished:
        return [f"intro2llm train --resume --name {named}"]
    commands = [f'intro2llm generate --run {named} --prompt "The"', f"intro2llm chat --run {named}"]
    return [*commands, *([f"intro2llm eval --run {named}"] if evaluates else [])]


def clock(seconds: float) -> str:
    """`0:05`, `12:34`, `1:02:03`."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def duration(seconds: float) -> str:
    """`48 s`, `9 min 48 s`, `3 h 5 min`."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
