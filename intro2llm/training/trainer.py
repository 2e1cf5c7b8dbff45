"""The training loop: batches, gradients, updates, evaluation, and a state that can be saved and continued.

Words: a *window* is one item of the dataset; a *micro-batch* is as many windows as go through the model at once; an
*update* is one step of the optimizer, made from the gradients of one or more micro-batches; an *epoch* is one pass over
the dataset. What is learnt from a batch is not decided here but in subclasses: `compute_loss`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import default_collate

from intro2llm.data.pretrain_dataset import epoch_order
from intro2llm.utils.checkpoint import (
    checkpoint_name,
    new_checkpoint,
    prune_checkpoints,
    random_state,
    read_state,
    restore_random_state,
    verify_checkpoint,
    write_state,
)

Batch = Mapping[str, Tensor]
"""Tensors whose first axis counts windows."""


@dataclass(frozen=True)
class TrainerConfig:
    """How a run goes: how long, how many windows at once, and what happens how often. All counts of steps are updates.

    Raises:
        ValueError: a number is below 1, or `max_grad_norm` is not positive. The message contains the field's name.
    """

    max_steps: int
    """The run ends after this many updates, counted from its beginning."""
    batch_size: int = 8
    """Windows in a micro-batch."""
    gradient_accumulation_steps: int = 1
    """Micro-batches in an update."""
    max_grad_norm: float | None = 1.0
    """None: gradients are not clipped."""
    logging_steps: int = 10
    eval_steps: int | None = None
    """None: no evaluation."""
    save_steps: int | None = None
    """None: a checkpoint at the end only."""
    save_total_limit: int | None = 3
    """How many checkpoints are kept; None: all."""
    history_limit: int = 1000
    """How many entries `Trainer.history` keeps."""
    seed: int = 0
    """Of the order of the windows."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name == "max_grad_norm":
                if value is not None and not value > 0:
                    raise ValueError(f"max_grad_norm is {value}: it must be positive, or None for no clipping")
            elif name != "seed" and value is not None and value < 1:
                raise ValueError(f"{name} is {value}: it must be 1 or more")


def iterate_batches(dataset: Any, indices: Iterable[int] | Tensor, *, batch_size: int) -> Iterator[Batch]:
    """The items of a dataset in a given order, `batch_size` at a time; the last batch may be smaller.

    Items are fetched when their batch is asked for, not before, each exactly once and in order, by plain ints
    (`dataset[3]`, not `dataset[tensor(3)]`). No random number is drawn here; a dataset may draw some of its own.

    Args:
        dataset: `dataset[i]` is a dict of tensors.
        indices: which items, in which order: a tensor, a list, a range.

    Returns:
        An iterator of dicts with the items' keys; each tensor has a new first axis, of the items of this batch.
        `torch.utils.data.default_collate` makes such a dict from a list of items.
    """
    raise NotImplementedError("lesson08 · iterate_batches")


def clip_grad_norm(parameters: Iterable[nn.Parameter], max_norm: float | None) -> float:
    """Shorten the gradients, all by the same factor, if together they are longer than `max_norm`.

        ‖g‖ = √(sum of the squares of all numbers in all gradients)
        g ← g · min(1, max_norm / (‖g‖ + 1e-6))

    The direction stays, and gradients that are short enough stay as they are. The 1e-6 keeps the division away from
    zero; PyTorch has it, too. ‖g‖ is computed in float32 or wider, also from 16-bit gradients.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", arXiv 1211.5063.

    Args:
        parameters: each once. Their `grad` is changed in place; where it is None, the parameter takes no part.
        max_norm: None: nothing is changed, only measured.

    Returns:
        ‖g‖ as it was before, a plain number of Python; 0.0 if there is no gradient at all.
    """
    raise NotImplementedError("lesson08 · clip_grad_norm")


class Trainer:
    """Moves a model towards a lower loss, update by update, and can be interrupted at any of them.

    Args:
        model: it is trained as it is, where it is.
        optimizer: over the model's parameters.
        scheduler: has `step()`, to be called once after every update, `state_dict` and `load_state_dict`.
        train_dataset: has a length, and `dataset[i]` is a dict of tensors.
        config: see `TrainerConfig`.
        eval_dataset: as `train_dataset`; None: nothing is evaluated.
        checkpoint_dir: where checkpoints go; None: none are written.
        logger: has `log(metrics, step=…)`, see `TrainerLogger`; None: metrics are kept in `history` only.
        device: where batches are moved to; None: where the model's first parameter is.

    Attributes:
        global_step: completed updates.
        epoch: the number of the present epoch, from 0.
        windows_seen: how many windows of the present epoch have been used. With `epoch` it is the place in the data.
        window_loss: sum of the losses of all predictions since the last update; a number, or a tensor without a graph.
        window_tokens: how many predictions these are.
        history: the newest `config.history_limit` entries of `log`, newest last.
        should_stop: set it to True, from a hook or a signal handler, and training ends after the update in progress.

    Raises:
        ValueError: `train_dataset` is empty.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: Any,
        train_dataset: Any,
        *,
        config: TrainerConfig,
        eval_dataset: Any = None,
        checkpoint_dir: Path | None = None,
        logger: Any = None,
        device: str | torch.device | None = None,
    ) -> None:
        if len(train_dataset) == 0:
            raise ValueError("train_dataset is empty: there is nothing to learn from")
        self.model = model
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.train_dataset = train_dataset
        self.config = config
        self.eval_dataset = eval_dataset
        self.checkpoint_dir = checkpoint_dir
        self.logger = logger
        self.device = torch.device(device) if device is not None else next(model.parameters()).device

        self.global_step = 0
        self.epoch = 0
        self.windows_seen = 0
        self.window_loss: Tensor | float = 0.0
        self.window_tokens: int | float = 0
        self.history: list[dict[str, Any]] = []
        self.should_stop = False

    @property
    def bare_model(self) -> nn.Module:
        """The model without a DistributedDataParallel around it: what is saved and loaded."""
        return getattr(self.model, "module", self.model)

    @property
    def finished(self) -> bool:
        """Whether training is to end before the next update."""
        return self.should_stop or self.global_step >= self.config.max_steps

    def compute_loss(self, batch: Batch) -> tuple[Tensor, int]:
        """What is to become small. Subclasses say it.

        Args:
            batch: on `self.device`.

        Returns:
            The *sum* of the losses of all predictions in the batch, a tensor with one number and a graph; and how many
            predictions these are.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no compute_loss: a subclass of Trainer says what is learnt"
        )

    def to_device(self, batch: Batch) -> Batch:
        """The batch on `self.device`."""
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}

    def count_windows(self, batch: Batch) -> int:
        """By how much a micro-batch advances `windows_seen`. (Where processes share the data: by all of theirs.)"""
        return len(next(iter(batch.values())))

    def on_update(self, metrics: dict[str, float]) -> None:
        """A hook, called after every update with what `optimizer_step` returned. It does nothing here."""

    def epoch_batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The micro-batches of an epoch of `train_dataset`, as `iterate_batches` makes them.

        The order of the windows is `epoch_order(len(train_dataset), seed=config.seed, epoch=epoch)`: it depends on
        nothing else, and no random number is drawn.

        Args:
            epoch: its number, from 0.
            start: how many windows of this order are passed over, unfetched, because they have been used already. An
                epoch of 10 windows in batches of 4 has 4, 4 and 2; from start 4 on, 4 and 2.
        """
        raise NotImplementedError("lesson08 · Trainer.epoch_batches")

    def train_step(self, batch: Batch) -> None:
        """Use one micro-batch: add the gradients of the sum of its losses to those that are there.

        The batch goes through `to_device` to `compute_loss`. `window_loss` and `window_tokens` grow by what that
        returns; `window_loss` holds on to no graph. No parameter moves.
        """
        raise NotImplementedError("lesson08 · Trainer.train_step")

    def optimizer_step(self) -> dict[str, float]:
        """Make one update from the gradients that `train_step` has added up.

        They are divided by `window_tokens`, which gives the gradient of the mean loss over all predictions since the
        last update, whichever micro-batches they came in (with no prediction at all, by 1). Then they are clipped to
        `config.max_grad_norm`; then the optimizer steps, then the scheduler. After that everything is ready for the
        next update: no gradients, `window_loss` and `window_tokens` 0, `global_step` one more.

        Returns:
            "loss": the mean loss over all predictions of this update. "grad_norm": ‖g‖ of its gradient, before
            clipping. "learning_rate": the one it was made with, of the optimizer's first group. "tokens":
            `window_tokens`. All are plain numbers of Python.

        Raises:
            FloatingPointError: the loss or the norm is infinite or NaN. The message contains the number of the update,
                `global_step` + 1. No parameter, nothing in optimizer and scheduler, and no count has changed.
        """
        raise NotImplementedError("lesson08 · Trainer.optimizer_step")

    def log(self, metrics: Mapping[str, float]) -> None:
        """Keep {"step": global_step, …metrics} in `history`, and hand `metrics` to the logger if there is one.

        `history` keeps the newest `config.history_limit` entries. `metrics` is not changed, and changing it later does
        not change `history`.
        """
        raise NotImplementedError("lesson08 · Trainer.log")

    def evaluate(self) -> dict[str, float]:
        """The loss on `eval_dataset`: all of it, in its own order, in batches of `config.batch_size`.

        It leaves no trace: dropout is off while it runs, and afterwards every module is in the mode it was in (also if
        an error interrupts it); parameters and gradients are as they were, and so are the streams of random numbers
        (`random_state`), whatever the dataset draws. As in training, batches go through `to_device` to `compute_loss`.

        Returns:
            "eval_loss": the mean over all predictions, each counting the same. "eval_perplexity": exp of it (infinite
            where that is too large for a float). "eval_tokens": how many predictions (with none, the loss is 0.0). All
            are plain numbers of Python.

        Raises:
            ValueError: there is no `eval_dataset`.
        """
        raise NotImplementedError("lesson08 · Trainer.evaluate")

    def train(self) -> None:
        """Make updates until `finished`.

        It begins in training mode and with a clean slate: gradients that somebody left behind, and sums of an update
        that was not completed, are dropped. It goes on at `windows_seen` of `epoch`. It sets no seed: the streams of
        random numbers go on from where they are.

        Each update takes the next `config.gradient_accumulation_steps` micro-batches of `epoch_batches`. At the end of
        an epoch there may be fewer, even one: they make an update of their own. An update never mixes two epochs.
        Behind the last window of an epoch, `epoch` counts up and `windows_seen` begins at 0 again.

        After an update, in this order: its metrics are given to `log` if `global_step` is a multiple of
        `config.logging_steps`; `on_update` is called; the result of `evaluate` is given to `log` if it is a multiple of
        `config.eval_steps` and there is an `eval_dataset`; `save_checkpoint` is called if it is a multiple of
        `config.save_steps` and there is a `checkpoint_dir`. When training ends, one more checkpoint is saved, unless
        this call has made no update since the last one, or none at all.
        """
        raise NotImplementedError("lesson08 · Trainer.train")

    def state_dict(self) -> dict[str, Any]:
        """All that training remembers beside the weights, taken between two updates.

        With it and the weights, a trainer that is built anew makes the very updates that this one would have made.

        Returns:
            "optimizer", "scheduler": their own state_dicts. "global_step", "epoch", "windows_seen": as they are.
            "random_state": that of the process, from `random_state()`. Everything can be read by
            `torch.load(…, weights_only=True)`. As elsewhere in PyTorch, tensors may be the live ones: save it, or copy
            it, before training goes on.
        """
        raise NotImplementedError("lesson08 · Trainer.state_dict")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken, in a trainer that was built the same way. `state` is not changed."""
        raise NotImplementedError("lesson08 · Trainer.load_state_dict")

    def save_checkpoint(self) -> Path:
        """Write a checkpoint of this moment: the folder `checkpoint_name(global_step)` in `checkpoint_dir`.

        It holds what `write_model` writes, and `state_dict()`, by `write_state`. It appears complete or not at all,
        and replaces one of the same name. Only when it is there, and is whole, are older ones pruned, to
        `config.save_total_limit`.

        Returns:
            The folder.

        Raises:
            WriteError: it cannot be written. The checkpoints that were there still are.
        """
        raise NotImplementedError("lesson08 · Trainer.save_checkpoint")

    def load_checkpoint(self, folder: Path) -> None:
        """Continue where a checkpoint was saved: the weights, by `read_model`, and the rest, by `load_state_dict`.

        Args:
            folder: the checkpoint, wherever it lies now: it may have been moved, or be another run's.

        Raises:
            CheckpointError: the checkpoint is not whole. Nothing has been changed.
        """
        raise NotImplementedError("lesson08 · Trainer.load_checkpoint")

    def write_model(self, folder: Path) -> None:
        """Write the weights of `bare_model` into a folder that is there. Subclasses may write more, or differently."""
        save_model(self.bare_model, str(folder / "model.safetensors"))

    def read_model(self, folder: Path) -> None:
        """Read into `bare_model` what `write_model` wrote."""
        load_model(self.bare_model, folder / "model.safetensors", device=str(self.device))
