"""Whole documents as windows for evaluation, so that a model's bits can be set beside the bits of the text. Given.

A training window begins and ends wherever it happens to. For a figure in bits per byte that means something, each
document is read as a text of its own: an eos stands in front of it as its only context, and every token of it is
predicted once, the eos at its end too. Letters: T tokens of a window.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from intro2llm.data.token_file import TokenData


class _Window(NamedTuple):
    start: int
    """Where it begins in the row of tokens; -1 of the first document is the eos in front of it."""
    end: int
    scored: int
    """The first place in the window whose label counts."""


class HeldOutWindows(Dataset[dict[str, Tensor]]):
    """Windows of T tokens over whole documents, each padded at its end with eos whose labels do not count (-100).

    A document longer than T is read by windows that overlap by half, and a token is predicted in the first of them that
    holds it, with T / 2 tokens or more before it.

    Args:
        data: a tokenised corpus; its held-out documents are taken from the first on.
        seq_length: T, 2 or more.
        eos_token_id: the id behind every document.
        max_windows: no further document is taken when it would need more windows than these. One is taken always.

    Attributes:
        documents, bytes, tokens: how many there are; tokens counts the predictions.
        nats: what these documents cost by the source's own probabilities; None where they are not known.
    """

    def __init__(self, data: TokenData, *, seq_length: int, eos_token_id: int, max_windows: int) -> None:
        self._tokens = data.held_out
        self._seq_length = seq_length
        self._eos = eos_token_id
        self._windows: list[_Window] = []
        self.documents = self.bytes = self.tokens = 0
        self.nats: float | None = 0.0
        ends = np.flatnonzero(data.held_out == eos_token_id)
        begin = -1  # of a document's window: the eos in front of it
        for end, (size, nats) in zip(ends.tolist(), data.held_out_documents, strict=True):
            windows = list(self._cover(begin, end + 1))
            if self._windows and len(self._windows) + len(windows) > max_windows:
                break
            self._windows += windows
            self.documents += 1
            self.bytes += size
            self.tokens += end - begin
            self.nats = None if self.nats is None or nats is None else self.nats + nats
            begin = end

    @property
    def floor(self) -> float | None:
        """Bits per byte that no model can beat on average, of exactly these documents; None where it is not known."""
        return None if self.nats is None or not self.bytes else self.nats / (math.log(2) * self.bytes)

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """ "input_ids" and "labels", (T,), int64, at the same places."""
        start, end, scored = self._windows[index]
        ids = self._tokens[max(0, start) : end].astype(np.int64)
        if start < 0:
            ids = np.concatenate([[self._eos], ids])
        input_ids = torch.full((self._seq_length,), self._eos)
        labels = torch.full((self._seq_length,), -100)
        input_ids[: len(ids)] = torch.from_numpy(ids)
        labels[scored : len(ids)] = input_ids[scored : len(ids)]
        return {"input_ids": input_ids, "labels": labels}

    def _cover(self, begin: int, end: int) -> list[_Window]:
        """Windows over the tokens begin … end - 1, of which the first is context only."""
        windows, done = [], begin + 1  # every token before `done` has been predicted
        while done < end:
            start = max(begin, done - self._seq_length // 2) if windows else begin
            windows.append(_Window(start, min(start + self._seq_length, end), done - start))
            done = windows[-1].end
        return windows
