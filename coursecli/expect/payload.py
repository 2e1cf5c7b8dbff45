"""What a failed expectation carries: plain data, so that the terminal, `--json` and the dashboard show the same thing.

Everything here is text and numbers; nothing refers to a tensor or to the learner's objects.
"""

from __future__ import annotations

import msgspec


class Cell(msgspec.Struct, frozen=True, omit_defaults=True):
    """One element of the neighbourhood that is shown: as it should be, and as it is."""

    expected: str
    actual: str
    differs: bool = False


class Grid(msgspec.Struct, frozen=True, omit_defaults=True):
    """A window on two values of equal shape, around the largest error."""

    title: str
    """Which slice this is, such as "batch 1, head 0, rows 2–6 of 12, columns 0–4 of 16"."""
    row_labels: list[str]
    column_labels: list[str]
    rows: list[list[Cell]]
    row: int = 0
    """Where in the window the largest error is: a narrow screen keeps what is around it."""
    column: int = 0


class ShapePart(msgspec.Struct, frozen=True):
    """One axis of two shapes laid side by side."""

    name: str
    expected: int | None
    actual: int | None


class SequencePart(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run of an aligned sequence.

    `op` is "equal", "replace", "delete" (missing from actual), "insert" (extra in actual), "elided" (a long
    equal run, left out), or "cut" (what follows was too long to be aligned).
    """

    op: str
    expected: list[str]
    actual: list[str]
    position: int
    """Where the run starts in the expected sequence."""
    elided: int = 0
    """How many items an "elided" or "cut" run stands for."""


class Failure(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A failed expectation, ready to be shown."""

    kind: str
    """values, value (exact), shape, dtype, type, tokens, text, gradient, causality, distribution, growth, raises,
    statement, unchanged"""
    what: str
    """What was compared, in words: "the output of RMSNorm for an input with mean 3"."""
    summary: str
    """One line: what differs."""
    expected: str = ""
    actual: str = ""
    facts: dict[str, str] = {}
    """Named figures: "largest error" → "0.52 at [1, 0, 3]", "differing" → "96 of 96"."""
    diagnosis: list[str] = []
    """Sentences about the pattern: "actual is 2.83 times expected, everywhere"."""
    mistake: str | None = None
    """The id in mistakes.yaml, when the value is what that misconception produces."""
    shape: list[ShapePart] = []
    grid: Grid | None = None
    sequence: list[SequencePart] = []
    """For tokens: aligned tokens. For text: aligned pieces of text."""
