"""What the worker says to the runner: one JSON object a line over a private pipe, never stdout."""

from __future__ import annotations

import msgspec

from coursecli.check.results import Frame, Problem, TestResult


class _Event(msgspec.Struct, tag_field="event", kw_only=True):
    token: str
    """The run's secret: a line without it is not an event."""


class Hello(_Event, tag="hello"):
    """The first line: which package the worker bound, before any test ran."""

    package: str
    versions: dict[str, str]


class Collected(_Event, tag="collected"):
    """Every test that will run, in order."""

    tests: list[str]


class Started(_Event, tag="started"):
    id: str


class Finished(_Event, tag="finished"):
    result: TestResult


class Halted(_Event, tag="halted"):
    """The run cannot go on: an import failed, the learner's code tampered."""

    problem: Problem


class Footer(_Event, tag="footer"):
    """The last line of a run that was not cut short."""

    finished: int


Event = Hello | Collected | Started | Finished | Halted | Footer

encoder = msgspec.json.Encoder()
decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)

__all__ = ["Collected", "Event", "Finished", "Footer", "Frame", "Halted", "Hello", "Started", "decoder", "encoder"]
