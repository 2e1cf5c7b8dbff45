"""`ppl`: how surprised the model is by text that it was not trained on, beside the least that is possible. Given."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from intro2llm.data.storyworld import story
from intro2llm.data.token_file import read_tokens
from intro2llm.evaluation.perplexity import strided_nll
from intro2llm.evaluation.tasks.task import Candidate, Result, Summary, Table, Task, standard_error

DOCUMENTS = 200


@dataclass(frozen=True)
class HeldOut:
    """A text to be measured."""

    ids: Sequence[int]
    """With bos or eos in front, as its only context, and eos behind."""
    size: int
    """Bytes."""
    nats: float | None
    """Minus the logarithm of its probability, where that is known: what it costs a model that knows everything."""


class HeldOutText(Task):
    """Perplexity and bits per byte of whole documents, every token predicted once."""

    name = "ppl"
    unit = "documents"

    def __init__(self, candidate: Candidate, documents: Callable[[int], HeldOut], count: int, *, source: str) -> None:
        """
        Args:
            documents: gives the document of a number below `count`.
            source: what they are, in words.
        """
        self._candidate = candidate
        self._documents = documents
        self._source = source
        self.items = [str(number) for number in range(count)]
        self.settings = {"source": source, "context": candidate.context}

    def measure(self, item: str) -> Result:
        document = self._documents(int(item))
        ids = torch.tensor(document.ids, device=self._candidate.device)
        length = self._candidate.context
        nats, tokens = strided_nll(self._candidate.model, ids, max_length=length, stride=max(1, length // 2))
        return {"nats": nats, "tokens": tokens, "bytes": document.size, "floor_nats": document.nats}

    def running(self, results: Sequence[Result]) -> tuple[str, float]:
        return "bits per byte", _bits(results, "nats")

    def summary(self, results: Mapping[str, Result]) -> Summary:
        each = list(results.values())
        bits, tokens = _bits(each, "nats"), sum(result["tokens"] for result in each)
        loss = sum(result["nats"] for result in each) / tokens
        floor = None if any(result["floor_nats"] is None for result in each) else _bits(each, "floor_nats")
        size = sum(result["bytes"] for result in each) / len(each)
        excess = [(result["nats"] / math.log(2) - bits * result["bytes"]) / size for result in each]
        error = standard_error(excess)  # of a ratio: what each document adds beyond its bytes' share
        figures = {
            "bits_per_byte": bits,
            "standard_error": error,
            "floor": floor,
            "perplexity": math.exp(loss) if loss < 700 else None,
            "loss": loss,
            "tokens": tokens,
            "documents": len(each),
        }
        rows = [["bits per byte", f"{bits:.3f}" + ("" if error is None else f" ± {error:.3f}")]]
        if floor is not None:
            rows.append(["what no model can beat", f"{floor:.3f}"])
            rows.append(["how far above it", f"{bits / floor:.2f} times"])
        rows.append(["perplexity per token", f"{math.exp(loss):,.2f}" if loss < 700 else "too large"])
        notes = [f"{len(each)} documents of {self._source}; {tokens:,} tokens, each predicted once."]
        if floor is None:
            notes.append("How little is possible is not known for this text.")
        return Summary(figures, [Table("Held-out text", ["", "value"], rows, notes)])


def unseen_stories(candidate: Candidate, *, limit: int | None, seed: int) -> HeldOutText:
    """Stories of the test split, which no training and no choice between models has seen."""

    def document(number: int) -> HeldOut:
        told = story("test", number, seed=seed)
        ids = [candidate.first, *candidate.encode(told.text), candidate.tokenizer.eos_token_id]
        return HeldOut(ids, len(told.text.encode()), -told.log_prob)

    return HeldOutText(candidate, document, limit or DOCUMENTS, source=f"the story world's test split (seed {seed})")


def own_text(candidate: Candidate, folder: Path, *, limit: int | None) -> HeldOutText | None:
    """The part of the text of a run that was held out of its training; None if nothing was.

    Raises:
        CheckpointError: it cannot be read.
    """
    data = read_tokens(folder)
    eos = candidate.tokenizer.eos_token_id
    ends = np.flatnonzero(data.held_out == eos)
    starts = [0, *(ends + 1).tolist()]

    def document(number: int) -> HeldOut:
        ids = [eos, *data.held_out[starts[number] : starts[number + 1]].tolist()]
        return HeldOut(ids, *data.held_out_documents[number])

    count = min(len(ends), limit or DOCUMENTS)
    return HeldOutText(candidate, document, count, source="the held-out part of the run's own text") if count else None


def _bits(results: Sequence[Result], nats: str) -> float:
    """Bits per byte: of all documents together, so that long ones count more."""
    return sum(result[nats] for result in results) / math.log(2) / sum(result["bytes"] for result in results)
