"""Several processes that train one model, each on its share of the data. Given.

Around your trainer stands `torch.nn.parallel.DistributedDataParallel`.

Letters: W processes, N predictions of an update in all of them. The gradient of an update is that of the one big batch:
the sum over all predictions, divided by N. DistributedDataParallel averages gradients over processes, so each holds
sum / W when an update is made, and has to be divided by N / W. Your `Trainer.optimizer_step` divides by
`window_tokens`, so that is set to N / W, and the loss to its mean: nothing in your trainer knows of other processes.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from intro2llm.data.pretrain_dataset import epoch_order
from intro2llm.training.run_trainer import RunTrainer
from intro2llm.training.trainer import Batch, Trainer, iterate_batches


class _LastBatch(dict[str, torch.Tensor]):
    """The last micro-batch of an update: behind it, the gradients are exchanged."""


class Distributed(Trainer):
    """A trainer that is one of W. Mix it into one that knows what is learnt.

    The windows of an epoch are dealt out micro-batch by micro-batch, one to each process in turn; what does not go
    round at an epoch's end is left out of this epoch. Every process makes the same updates at the same time.

    `windows_seen` counts the windows of all processes, so a run can go on with another number of them.

    Raises:
        ValueError: there are fewer micro-batches than processes.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rank, self._size = dist.get_rank(), dist.get_world_size()
        self._asked_to_stop = False
        self._parent = os.getppid()
        if len(self.train_dataset) < self._size * self.config.batch_size:
            raise ValueError(
                f"there are {len(self.train_dataset)} windows: too few for {self._size} processes with batches of "
                f"{self.config.batch_size}"
            )
        devices = [self.device] if self.device.type == "cuda" else None
        known = inspect.signature(DistributedDataParallel).parameters
        buffers = (
            "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        )  # before torch 2.12
        self.model = DistributedDataParallel(self.model, device_ids=devices, **{buffers: False})

    def window_order(self, epoch: int) -> torch.Tensor:
        """The order of the windows of an epoch, over all processes."""
        return epoch_order(len(self.train_dataset), seed=self.config.seed, epoch=epoch)

    def epoch_batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        micro_batches = self.window_order(epoch)[start:].split(self.config.batch_size)
        rounds = len(micro_batches) // self._size
        mine = micro_batches[self._rank : rounds * self._size : self._size]
        indices = torch.cat(mine) if mine else torch.empty(0, dtype=torch.int64)
        batches = iterate_batches(self.train_dataset, indices, batch_size=self.config.batch_size)
        for number, batch in enumerate(batches, start=1):
            last = number % self.config.gradient_accumulation_steps == 0 or number == rounds
            yield _LastBatch(batch) if last else batch

    def count_windows(self, batch: Batch) -> int:
        return self.config.batch_size * self._size

    def train_step(self, batch: Batch) -> None:
        """Exchange gradients behind the last micro-batch only: before it they are added up where they are."""
        if self.window_tokens == 0:  # so that dropout differs between processes, and is the same in a resumed run
            entropy = np.random.SeedSequence([self.config.seed, self.global_step, self._rank])
            torch.manual_seed(int(entropy.generate_state(1)[0]))
        with nullcontext() if isinstance(batch, _LastBatch) else self.model.no_sync():
            super().train_step(batch)

    def optimizer_step(self) -> dict[str, float]:
        if os.getppid() != self._parent:
            raise RuntimeError("the process that had started this one has died")
        sums = [float(self.window_loss), float(self.window_tokens), float(self._asked_to_stop)]
        total = torch.tensor(sums, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        loss, tokens, stop = total.tolist()
        self.window_loss, self.window_tokens = loss / self._size, tokens / self._size
        self.should_stop |= stop > 0  # all stop after the same update
        return {**super().optimizer_step(), "tokens": tokens}

    def ask_to_stop(self) -> None:
        self._asked_to_stop = True

    def evaluate(self) -> dict[str, float]:
        """As ever, in one process alone."""
        distributed, self.model = self.model, self.bare_model
        try:
            return super().evaluate()
        finally:
            self.model = distributed


class DistributedRunTrainer(RunTrainer, Distributed):
    """A `RunTrainer` that is one of several."""

    ask_to_stop = Distributed.ask_to_stop

    def window_order(self, epoch: int) -> torch.Tensor:
        return torch.arange(len(self.train_dataset)) if self.sequential else super().window_order(epoch)

    def epoch_batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        return Distributed.epoch_batches(self, epoch, start)
