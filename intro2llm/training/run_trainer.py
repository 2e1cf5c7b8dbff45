"""The trainer of a run: your `PretrainTrainer`, saying and keeping what it does. Given.

What is learnt, and how, is not touched. Added are bits per byte, speed, samples, events for the screen, run.json, and
16-bit arithmetic where it was asked for.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from intro2llm.data.held_out import HeldOutWindows
from intro2llm.data.token_file import TokenData
from intro2llm.loss.cross_entropy import bits_per_byte
from intro2llm.recipes.events import emit
from intro2llm.training.pretrain_trainer import PretrainTrainer
from intro2llm.training.run_folder import RunFolder
from intro2llm.training.trainer import Batch, iterate_batches

STEP_SECONDS = 0.25
"""How often an update is told about, at most."""


class RunTrainer(PretrainTrainer):
    """Trains and tells.

    Args:
        data: the corpus of the windows, for its bytes.
        run: where to tell about it, None: nowhere (one process of several speaks).
        sequential: visit the windows in the order of the text, instead of a random one.
        autocast: in which dtype matrix products are computed; None: in that of the weights.
        sample_tokens: how long the samples are that are written at every evaluation; 0: there are none.
        seconds: for how long earlier processes have trained this run.

    Other arguments are those of `PretrainTrainer`.
    """

    def __init__(
        self,
        *args: Any,
        data: TokenData,
        run: RunFolder | None,
        sequential: bool = False,
        autocast: torch.dtype | None = None,
        sample_tokens: int = 0,
        seconds: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.data = data
        self.run = run
        self.sequential = sequential
        self.autocast = autocast
        self.sample_tokens = sample_tokens
        self.evaluated: dict[str, float] = {}
        """The newest evaluation, with its step."""
        self.loss: float | None = None
        """Of the newest update."""
        self.tokens_per_second = 0.0
        """Over the newest updates, without evaluations and checkpoints."""
        self._before = seconds
        self._began = time.monotonic()
        self._first_step: int | None = None
        self._update_began = self._said = 0.0
        self._speeds: deque[tuple[float, float]] = deque(maxlen=20)  # tokens and seconds of the newest updates

    @property
    def tokens_seen(self) -> int:
        """How many training tokens the run has looked at."""
        windows = self.epoch * len(self.train_dataset) + self.windows_seen
        return windows * self.train_dataset.seq_length

    @property
    def seconds(self) -> float:
        """How long the run has trained, over all its processes."""
        return self._before + time.monotonic() - self._began

    def ask_to_stop(self) -> None:
        """End after the update in progress. A signal may ask for it at any time."""
        self.should_stop = True

    def compute_loss(self, batch: Batch) -> tuple[Tensor, int]:
        enabled = self.autocast is not None
        with torch.autocast(self.device.type, dtype=self.autocast, enabled=enabled):
            return super().compute_loss(batch)

    def epoch_batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        if not self.sequential:
            return super().epoch_batches(epoch, start)
        order = range(start, len(self.train_dataset))
        return iterate_batches(self.train_dataset, order, batch_size=self.config.batch_size)

    def train(self) -> None:
        self._began, self._first_step = time.monotonic(), self.global_step
        super().train()

    def train_step(self, batch: Batch) -> None:
        if self.window_tokens == 0:
            self._update_began = time.perf_counter()
        super().train_step(batch)

    def optimizer_step(self) -> dict[str, float]:
        metrics = super().optimizer_step()
        tokens, self.loss = metrics.pop("tokens"), metrics["loss"]
        self._speeds.append((tokens, time.perf_counter() - self._update_began))
        metrics["bits_per_byte"] = bits_per_byte(metrics["loss"], len(self.data.train), self.data.train_bytes)
        done, took = (sum(column) for column in zip(*self._speeds))
        metrics["tokens_per_second"] = self.tokens_per_second = done / max(took, 1e-9)
        return metrics

    def on_update(self, metrics: dict[str, float]) -> None:
        super().on_update(metrics)
        now = time.monotonic()
        if self.run is None or (now - self._said < STEP_SECONDS and not self.finished):
            return
        self._said = now
        made = self.global_step - (self._first_step or 0)
        left = (self.config.max_steps - self.global_step) * (now - self._began) / made
        emit("step", step=self.global_step, seconds_left=left, **metrics)

    def evaluate(self) -> dict[str, float]:
        metrics = super().evaluate()
        held_out: HeldOutWindows = self.eval_dataset
        bits = bits_per_byte(metrics["eval_loss"], metrics["eval_tokens"], held_out.bytes)
        self.evaluated = {"step": self.global_step, "loss": metrics["eval_loss"], "bits_per_byte": bits}
        emit("evaluation", floor=held_out.floor, **self.evaluated)
        if self.sample_tokens:
            self.write_sample()
        return {**metrics, "eval_bits_per_byte": bits}

    def write_sample(self) -> None:
        """Let the model begin a text, always with the same random numbers, so that samples can be compared."""
        eos, limit = self.tokenizer.eos_token_id, self.bare_model.config.max_position_embeddings
        written = self.bare_model.generate(
            torch.tensor([[eos]], device=self.device),
            max_new_tokens=min(self.sample_tokens, limit - 1),
            temperature=0.8,
            stop_token_ids={eos},
            generator=torch.Generator(self.device).manual_seed(self.config.seed),
        )
        text = self.tokenizer.decode(written[0].tolist())
        self.run.add_sample(step=self.global_step, prompt="", text=text)
        emit("sample", step=self.global_step, prompt="", text=text)

    def save_checkpoint(self) -> Path:
        folder = super().save_checkpoint()
        self.run.record(**self.progress())
        emit("saved", step=self.global_step, path=folder.as_posix())
        return folder

    def progress(self) -> dict[str, Any]:
        """How far the run is, for run.json."""
        known = {"step": self.global_step, "tokens": self.tokens_seen, "seconds": round(self.seconds, 1)}
        if self.loss is not None:
            known["loss"] = self.loss
        if self.evaluated:
            known["eval_bits_per_byte"] = self.evaluated["bits_per_byte"]
        return known
