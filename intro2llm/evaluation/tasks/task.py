"""What an evaluation consists of: items that are measured one by one, and a summary of all of them. Given."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from intro2llm.model.causal_lm import CausalLM
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer

Result = dict[str, Any]
"""What was measured on one item, as JSON knows it."""


@dataclass(frozen=True)
class Candidate:
    """The model that is evaluated."""

    model: CausalLM
    tokenizer: BaseTokenizer
    context: int
    """How many tokens it may be given at once: no more than it was trained on."""

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def first(self) -> int:
        """The token that stands in front of a text: bos, or, where there is none, the end of another text."""
        bos = self.tokenizer.bos_token_id
        return self.tokenizer.eos_token_id if bos is None else bos

    def encode(self, text: str) -> list[int]:
        """The ids of a piece of text, and of nothing else."""
        return self.tokenizer.encode(text, add_special_tokens=False)


@dataclass(frozen=True)
class Table:
    """For the event `table`."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Summary:
    """A task's result: its figures, and the tables that show them."""

    figures: dict[str, Any]
    tables: list[Table]


class Task(ABC):
    """Something that can be measured.

    Attributes:
        name: as in --tasks. unit: what its items are, in the plural.
        items: their keys, in the order in which they are measured. An item's result depends on nothing but the item,
            the model and the settings: not on the items before it.
        settings: all that changes the results of items.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    items: Sequence[str]
    settings: Mapping[str, Any]

    @abstractmethod
    def measure(self, item: str) -> Result: ...

    @abstractmethod
    def running(self, results: Sequence[Result]) -> tuple[str, float]:
        """The name and the value of a figure of the items so far, of which there is at least one."""

    @abstractmethod
    def summary(self, results: Mapping[str, Result]) -> Summary:
        """Of items that are all there, or of those that were measured before an interruption: at least one."""


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def standard_error(values: Sequence[float]) -> float | None:
    """How far the mean of other items like these would typically be from this one.

    None where the items are all alike, or there is only one: such a sample says nothing about how items differ, and an
    error of 0 would claim that none of six right is certain to be none of a thousand.
    """
    n, middle = len(values), mean(values)
    if min(values) == max(values):
        return None
    return math.sqrt(sum((value - middle) ** 2 for value in values) / (n - 1) / n)


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def fingerprint(value: object) -> int:
    """A number that is the same in every process for values that are written the same, and another for others."""
    return int.from_bytes(hashlib.blake2b(repr(value).encode(), digest_size=7).digest(), "big")
