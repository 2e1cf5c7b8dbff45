"""What a recipe says to the runner: one JSON object a line over a private pipe, never stdout.

The learner's package writes all but the first and the last kind, in `recipes/events.py`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from coursecli.check.results import LearnerError

VARIABLE = "INTRO2LLM_EVENTS"
"""Names the descriptor to a recipe. Without it, a recipe writes text on stdout: somebody has started it by hand."""

Stop = Literal["eos", "length", "turn", "interrupted"]
"""Why an answer ended: its end-of-text token, the limit, the other speaker's turn, Ctrl-C."""
FailureKind = Literal["refused", "unwritable", "unwritten", "missing", "error"]


class _Event(msgspec.Struct, tag_field="event", kw_only=True):
    pass


class Bound(_Event, tag="bound"):
    """The first line: which package the process bound, before any of it ran."""

    package: str


class Started(_Event, tag="started"):
    """A model is there."""

    what: str
    """The name of the run, or "random"."""
    device: str
    parameters: int
    seed: int | None = None


class Token(_Event, tag="token"):
    """A piece of the model's text: whole characters, as soon as they are complete."""

    text: str


class Answer(_Event, tag="answer"):
    """The text is over; this is all of it."""

    text: str
    tokens: int
    seconds: float
    stopped: Stop


class Ready(_Event, tag="ready"):
    """A recipe that talks waits for a line on its stdin."""


class Progress(_Event, tag="progress"):
    done: float
    total: float | None
    what: str


class Notice(_Event, tag="notice"):
    """One line that the user should know."""

    message: str


class Table(_Event, tag="table"):
    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = []


class Training(_Event, tag="training"):
    """A training is about to go on."""

    run: str
    preset: str
    data: str
    device: str
    dtype: str
    parameters: int
    steps: int
    first_step: int
    """How many updates were made before."""
    tokens_per_step: int
    processes: int
    seed: int
    floor: float | None
    """Bits per byte of the held-out text that no model can beat, if known."""


class Step(_Event, tag="step"):
    """An update; told a few times a second at most."""

    step: int
    loss: float
    """Nats per token."""
    bits_per_byte: float | None
    learning_rate: float
    grad_norm: float
    tokens_per_second: float
    seconds_left: float | None


class Evaluation(_Event, tag="evaluation"):
    """The model on held-out text."""

    step: int
    loss: float
    bits_per_byte: float | None
    floor: float | None


class Sample(_Event, tag="sample"):
    """What the model writes at this step."""

    step: int
    prompt: str
    text: str


class Saved(_Event, tag="saved"):
    """A checkpoint."""

    step: int
    path: str


class Score(_Event, tag="score"):
    """A running figure of an evaluation."""

    task: str
    name: str
    value: float
    done: int
    total: int


class Finished(_Event, tag="finished"):
    """The last one of a recipe that has come to its end: what was done, in a line, and as data."""

    message: str
    data: dict[str, Any] = {}


class Failed(_Event, tag="failed"):
    """It cannot go on.

    refused: the recipe says what the user can mend. unwritable: the same, and it is the disk. unwritten: it came upon a
    stub. missing: a module of the package is not there. error: anything else that left the code.
    """

    kind: FailureKind
    message: str
    """unwritten: the stub's words. missing: the module's dotted name. error: as in `error`. Else one line."""
    error: LearnerError
    remedy: str = ""


Event = (
    Bound | Started | Token | Answer | Ready | Progress | Notice | Table
    | Training | Step | Evaluation | Sample | Saved | Score | Finished | Failed
)  # fmt: skip

encoder = msgspec.json.Encoder()
decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is told: which recipe to run, on which package."""

    root: str
    """The folder that holds the learner's package."""
    package: str
    recipe: str
    """A module of the package's `recipes`."""
    arguments: list[str]
    preload: list[str]
    """Imported before anything of the learner's."""
