"""First contact with lesson 08: clipping, batches, updates, evaluation, the loop, checkpoints, the log."""

import json
import math
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursecli.expect import diagnosing, expect, expect_close, expect_equal, expect_raises
from intro2llm.data.pretrain_dataset import epoch_order
from intro2llm.training.pretrain_trainer import PretrainTrainer, build_optimizer
from intro2llm.training.trainer import Trainer, TrainerConfig, clip_grad_norm, iterate_batches
from intro2llm.training.trainer_logger import TrainerLogger
from intro2llm.utils.checkpoint import (
    checkpoint_name,
    is_valid_checkpoint,
    latest_checkpoint,
    list_checkpoints,
    new_checkpoint,
    prune_checkpoints,
    random_state,
    read_state,
    restore_random_state,
    write_state,
)


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) * scale


def parameter(*values: float) -> nn.Parameter:
    """A parameter of zeros with this gradient."""
    made = nn.Parameter(torch.zeros(len(values), dtype=torch.float64))
    made.grad = torch.tensor(values, dtype=torch.float64)
    return made


# ----------------------------------------------------------------------------------------------- a model and its loop

SCORED = [6, 1, 4, 2, 5, 3, 6, 1, 2, 5]
"""How many labels of each window are predictions; the others are -100."""


def windows(count: int) -> list[dict[str, Tensor]]:
    """Windows of 7 tokens of a vocabulary of 13; window i has SCORED[i] predictions."""
    made = []
    for index in range(count):
        generator = torch.Generator().manual_seed(100 + index)
        input_ids, labels = torch.randint(0, 13, (2, 7), generator=generator)
        labels[: 7 - SCORED[index]] = -100
        made.append({"input_ids": input_ids, "labels": labels})
    return made


def toy_model(dropout: float = 0.0) -> nn.Sequential:
    """Embedding 13 × 8, tanh, linear: a language model that sees one token."""
    model = nn.Sequential(nn.Embedding(13, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 13)).double()
    with torch.no_grad():
        for index, weight in enumerate(model.parameters()):
            weight.copy_(draw(*weight.shape, seed=index, scale=0.5))
    return model


def toy_loss(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, int]:
    logits, labels = model(batch["input_ids"]).flatten(0, 1), batch["labels"].flatten()
    return F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum"), int((labels != -100).sum())


class Sgd:
    """Stochastic gradient descent with momentum 0.9, by hand."""

    def __init__(self, model: nn.Module, lr: float, said: list[str]) -> None:
        self.param_groups = [{"params": list(model.parameters()), "lr": lr}]
        self.velocity = [torch.zeros_like(p) for p in model.parameters()]
        self.said = said
        self.rates: list[float] = []
        self.used: list[Tensor] = []

    def step(self) -> None:
        self.said.append("optimizer")
        self.rates.append(self.param_groups[0]["lr"])
        self.used = [p.grad for p in self.param_groups[0]["params"] if p.grad is not None]
        with torch.no_grad():
            for p, v in zip(self.param_groups[0]["params"], self.velocity):
                if p.grad is not None:
                    v.mul_(0.9).add_(p.grad)
                    p.sub_(self.rates[-1] * v)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for p in self.param_groups[0]["params"]:
            p.grad = None if set_to_none or p.grad is None else p.grad.zero_()

    def state_dict(self) -> dict[str, Any]:
        return {"velocity": [v.clone() for v in self.velocity], "lr": self.param_groups[0]["lr"]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.velocity = [v.clone() for v in state["velocity"]]
        self.param_groups[0]["lr"] = state["lr"]


class Schedule:
    """The rate of update n, counted from 1, is n times the first one."""

    def __init__(self, optimizer: Sgd, said: list[str]) -> None:
        self.optimizer, self.first, self.completed, self.said = optimizer, optimizer.param_groups[0]["lr"], 0, said

    def step(self) -> None:
        self.said.append("scheduler")
        self.completed += 1
        self.optimizer.param_groups[0]["lr"] = self.first * (self.completed + 1)

    def state_dict(self) -> dict[str, Any]:
        return {"completed": self.completed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.completed = state["completed"]
        self.optimizer.param_groups[0]["lr"] = self.first * (self.completed + 1)


class ToyTrainer(Trainer):
    """Learns `toy_loss`. `said` holds what optimizer and scheduler did, in order."""

    moved: int
    modes: list[bool]

    def compute_loss(self, batch: Any) -> tuple[Tensor, int]:
        self.modes = [*getattr(self, "modes", []), self.model.training]
        return toy_loss(self.model, batch)

    def to_device(self, batch: Any) -> Any:
        self.moved = getattr(self, "moved", 0) + 1
        return super().to_device(batch)


def toy_trainer(
    dataset: Any = None, *, lr: float = 0.05, dropout: float = 0.0, kind: type[Trainer] = ToyTrainer, **options: Any
) -> Any:
    own = {"eval_dataset", "checkpoint_dir", "logger"}
    given = {name: value for name, value in options.items() if name in own}
    settings = {"max_steps": 4, "batch_size": 2, "max_grad_norm": None}
    settings |= {name: value for name, value in options.items() if name not in own}
    model, said = toy_model(dropout), []
    optimizer = Sgd(model, lr, said)
    dataset = windows(10) if dataset is None else dataset
    trainer = kind(model, optimizer, Schedule(optimizer, said), dataset, config=TrainerConfig(**settings), **given)
    trainer.said = said
    return trainer


def batch_of(*indices: int) -> dict[str, Tensor]:
    chosen = [windows(10)[index] for index in indices]
    return {name: torch.stack([window[name] for window in chosen]) for name in ("input_ids", "labels")}


def flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def gradient(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Of the sum of the losses, flat, without touching `.grad`."""
    loss, _ = toy_loss(model, batch)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def shortened(g: Tensor, max_norm: float | None) -> Tensor:
    return g if max_norm is None else g * min(1.0, max_norm / (g.norm().item() + 1e-6))


def after_updates(
    updates: list[list[tuple[int, ...]]], *, lr: float = 0.05, max_norm: float | None = None, wrong: str = ""
) -> Tensor:
    """The weights after these updates, each a list of micro-batches of windows; one row for each update.

    `wrong` names what is done differently. Momentum 0.9, and the rates of `Schedule`.
    """
    model = toy_model()
    theta, velocity, rows = flat(model), torch.zeros_like(flat(model)), []
    carried = torch.zeros_like(theta)
    clock, so_far = 0, 0
    for update in updates:
        grads = [gradient(model, batch_of(*indices)) for indices in update]
        counts = [sum(SCORED[index] for index in indices) for indices in update]
        means = [g / n for g, n in zip(grads, counts)]
        if wrong == "mean-of-means":
            g = sum(means) / len(means)
        elif wrong == "sum-of-means":
            g = sum(means)
        elif wrong == "sum-not-mean":
            g = sum(grads)
        elif wrong == "divided-by-micro-batches":
            g = sum(grads) / len(grads)
        elif wrong == "last-micro-batch-only":
            g = grads[-1] / sum(counts)
        elif wrong == "clip-each-micro-batch":
            g = sum(shortened(each, max_norm) for each in grads) / sum(counts)
        elif wrong == "clip-before-dividing":
            g = shortened(sum(grads), max_norm) / sum(counts)
        else:
            so_far += sum(counts)
            g = sum(grads) / (so_far if wrong == "sums-kept" else sum(counts))
        if wrong == "gradients-kept":
            g = carried = g + carried / sum(counts)
        if not wrong.startswith("clip-"):
            g = shortened(g, max_norm)
        velocity = 0.9 * velocity + g
        if wrong == "scheduler-first":
            clock += 1
        if wrong == "scheduler-per-micro-batch":
            clock += len(update) - 1
        theta = theta - lr * (clock + 1) * velocity
        clock += wrong != "scheduler-first"
        nn.utils.vector_to_parameters(theta, model.parameters())
        rows.append(theta)
    return torch.stack(rows)


# ----------------------------------------------------------------------------------------------------- clip_grad_norm


@pytest.mark.task("clip-grad-norm")
def test_clip_grad_norm_worked_example() -> None:
    """The worked example: gradients (3, 4) and (12) have the norm 13; clipped to 6.5 they are half as long."""
    parameters = [parameter(3.0, 4.0), parameter(12.0)]
    norm = clip_grad_norm(parameters, 6.5)
    expect_close(
        torch.cat([p.grad for p in parameters]).tolist(),
        [1.5, 2.0, 6.0],
        what="the gradients (3, 4) and (12), clipped to 6.5",
        lookalikes={
            "clip-by-value": [3.0, 4.0, 6.5],
            "clip-each-parameter": [3.0, 4.0, 6.5 * 12 / 12.000001],
            "norm-without-squares": [3 * 6.5 / 19, 4 * 6.5 / 19, 12 * 6.5 / 19],
            "norm-without-root": [3 * 6.5 / 169, 4 * 6.5 / 169, 12 * 6.5 / 169],
        },
    )
    expect_close(
        norm,
        13.0,
        what="the norm that comes back",
        lookalikes={"norm-after-clipping": 6.5, "norm-without-squares": 19.0, "norm-without-root": 169.0},
    )


@pytest.mark.task("clip-grad-norm")
def test_clip_grad_norm_leaves_short_gradients_alone() -> None:
    """Gradients that are shorter than max_norm are not made longer."""
    parameters = [parameter(0.3, -0.4), parameter(1.2)]
    norm = clip_grad_norm(parameters, 2.6)
    expect_close(
        torch.cat([p.grad for p in parameters]).tolist(),
        [0.3, -0.4, 1.2],
        what="gradients of norm 1.3, clipped to 2.6",
        lookalikes={"always-rescaled": [0.6, -0.8, 2.4]},
    )
    expect_close(norm, 1.3, what="the norm that comes back", lookalikes={"norm-after-clipping": 2.6})


@pytest.mark.task("clip-grad-norm")
def test_clip_grad_norm_of_a_models_parameters() -> None:
    """`model.parameters()` is a generator: it can be gone through only once."""
    model = nn.Linear(3, 2).double()
    for index, p in enumerate(model.parameters()):
        p.grad = draw(*p.shape, seed=index, scale=5.0)
    wanted = torch.cat([p.grad.flatten() for p in model.parameters()])
    norm = clip_grad_norm(model.parameters(), 0.5)
    clipped = torch.cat([p.grad.flatten() for p in model.parameters()])
    lookalikes = {"generator-used-twice": wanted}
    expect_close(clipped, shortened(wanted, 0.5), what="gradients of a model, clipped to 0.5", lookalikes=lookalikes)
    expect_close(norm, wanted.norm().item(), what="the norm that comes back", lookalikes={"norm-after-clipping": 0.5})


@pytest.mark.task("clip-grad-norm")
def test_clip_grad_norm_without_a_limit() -> None:
    """With max_norm None the gradients are measured and stay as they are."""
    parameters = [parameter(3.0, 4.0), parameter(12.0)]
    norm = clip_grad_norm(parameters, None)
    expect_close(norm, 13.0, what="the norm of (3, 4) and (12)")
    expect_close(torch.cat([p.grad for p in parameters]).tolist(), [3.0, 4.0, 12.0], what="the gradients afterwards")


# ------------------------------------------------------------------------------------------------------------ batches


class Numbered:
    """A dataset whose item i is the number 10 · i; `asked` holds the indices that were asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[Any] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any) -> dict[str, Tensor]:
        self.asked.append(index)
        return {"x": torch.tensor([10 * int(index), 7])}


def firsts(batches: Any) -> list[list[int]]:
    return [batch["x"][:, 0].tolist() for batch in batches]


@pytest.mark.task("batches")
def test_iterate_batches_in_the_given_order() -> None:
    """Five items in batches of two: two, two, and one."""
    found = firsts(iterate_batches(Numbered(9), [7, 0, 8, 3, 5], batch_size=2))
    expect_equal(
        found,
        [[70, 0], [80, 30], [50]],
        what="the items 7, 0, 8, 3, 5 in batches of two",
        lookalikes={
            "last-batch-dropped": [[70, 0], [80, 30]],
            "order-ignored": [[0, 10], [20, 30], [40]],
            "last-batch-filled-up": [[70, 0], [80, 30], [50, 70]],
        },
    )


@pytest.mark.task("batches")
def test_iterate_batches_makes_tensors_of_tensors() -> None:
    """Each key of the items is a key of the batch, with a new first axis."""
    items = [{"a": torch.full((3,), i), "b": torch.full((2, 5), float(i))} for i in range(4)]
    batch = next(iter(iterate_batches(items, range(4), batch_size=3)))
    expect_equal(sorted(batch), ["a", "b"], what="the keys of a batch")
    expect_equal(tuple(batch["a"].shape), (3, 3), what="the shape of three items of shape (3,)")
    expect_equal(tuple(batch["b"].shape), (3, 2, 5), what="the shape of three items of shape (2, 5)")
    expect_close(batch["b"][:, 0, 0], torch.arange(3.0), what="what the items of the batch hold")


@pytest.mark.task("batches")
def test_iterate_batches_asks_by_plain_ints() -> None:
    """A dataset is asked with plain ints, also when the indices are a tensor."""
    dataset = Numbered(5)
    found = firsts(iterate_batches(dataset, torch.tensor([4, 1, 2]), batch_size=2))
    expect_equal(found, [[40, 10], [20]], what="the items of the tensor (4, 1, 2) in batches of two")
    expect(
        all(type(index) is int for index in dataset.asked),
        "The dataset was asked with something else than an int.",
        what="what the dataset is asked with",
        expected="int",
        actual=", ".join(sorted({type(index).__name__ for index in dataset.asked})),
        mistake="asked-with-tensors",
    )


@pytest.mark.task("batches")
def test_epoch_batches_follow_the_epochs_order() -> None:
    """The order is that of epoch_order for the config's seed and this epoch."""
    trainer = toy_trainer(Numbered(11), seed=5, batch_size=4)
    for epoch in (0, 3):
        order = [10 * int(i) for i in epoch_order(11, seed=5, epoch=epoch)]
        first = [10 * int(i) for i in epoch_order(11, seed=5, epoch=0)]
        unseeded = [10 * int(i) for i in epoch_order(11, seed=0, epoch=epoch)]
        expect_equal(
            firsts(trainer.epoch_batches(epoch)),
            [order[:4], order[4:8], order[8:]],
            what=f"11 windows in batches of 4, epoch {epoch}, seed 5",
            lookalikes={
                "not-shuffled": [[0, 10, 20, 30], [40, 50, 60, 70], [80, 90, 100]],
                "seed-ignored": [unseeded[:4], unseeded[4:8], unseeded[8:]],
                "last-batch-dropped": [order[:4], order[4:8]],
            }
            | ({"same-order-every-epoch": [first[:4], first[4:8], first[8:]]} if epoch else {}),
        )


@pytest.mark.task("batches")
def test_epoch_batches_from_a_place_on() -> None:
    """With start 4, the first four windows of the shuffled order are passed over."""
    trainer = toy_trainer(Numbered(11), seed=2, batch_size=3)
    order = [10 * int(i) for i in epoch_order(11, seed=2, epoch=1)]
    rest = [i for i in order if i >= 40]
    expect_equal(
        firsts(trainer.epoch_batches(1, 4)),
        [order[4:7], order[7:10], order[10:]],
        what="11 windows in batches of 3, from start 4 on",
        lookalikes={
            "start-ignored": [order[0:3], order[3:6], order[6:9], order[9:]],
            "start-counts-batches": [],
            "start-before-shuffling": [rest[0:3], rest[3:6], rest[6:]],
            "start-cuts-the-end": [order[0:3], order[3:6], order[6:7]],
        },
    )
    expect_equal(firsts(trainer.epoch_batches(1, start=11)), [], what="11 windows from start 11 on")


@pytest.mark.task("batches")
def test_batches_draw_no_random_numbers() -> None:
    """Going through an epoch leaves the three global streams where they were."""
    trainer = toy_trainer(Numbered(9))
    seed_all(5)
    wanted = three_draws()
    seed_all(5)
    for _ in range(2):
        list(trainer.epoch_batches(1))
        list(iterate_batches(trainer.train_dataset, range(3), batch_size=2))
    found = three_draws()
    for name in wanted:
        expect_equal(
            found[name], wanted[name], what=f"the next numbers from {name} after two epochs", mistake="batches-draw"
        )


# ------------------------------------------------------------------------------------------------------------- update

UPDATE_WRONG = [
    "mean-of-means",
    "sum-of-means",
    "sum-not-mean",
    "divided-by-micro-batches",
    "last-micro-batch-only",
    "gradients-kept",
    "sums-kept",
    "scheduler-first",
    "scheduler-per-micro-batch",
]


def update_lookalikes(
    updates: list[list[tuple[int, ...]]], names: list[str] = UPDATE_WRONG, **options: Any
) -> dict[str, Callable[[], Tensor]]:
    return {name: lambda name=name: after_updates(updates, **options, wrong=name) for name in names}


def make_updates(trainer: Any, updates: list[list[tuple[int, ...]]]) -> Tensor:
    rows = []
    for update in updates:
        for indices in update:
            trainer.train_step(batch_of(*indices))
        trainer.optimizer_step()
        rows.append(flat(trainer.model))
    return torch.stack(rows)


@pytest.mark.task("update")
def test_train_step_adds_up_sums() -> None:
    """Two micro-batches: gradients, losses and counts of predictions add up, and no weight moves."""
    trainer = toy_trainer(gradient_accumulation_steps=2)
    model, before = toy_model(), flat(trainer.model)
    batches = [batch_of(0, 1), batch_of(2)]
    losses = [toy_loss(model, batch)[0].item() for batch in batches]
    grads = [gradient(model, batch) for batch in batches]
    for batch in batches:
        trainer.train_step(batch)
    expect_close(
        flat(trainer.model),
        before,
        rtol=0,
        atol=0,
        what="the weights after two train_steps",
        mistake="moves-in-train-step",
    )
    expect(
        not torch.is_tensor(trainer.window_loss) or not trainer.window_loss.requires_grad,
        "It still carries the graph of the whole forward pass, which cannot be freed.",
        what="window_loss after two train_steps",
        mistake="graph-kept",
    )
    expect_equal(
        trainer.window_tokens,
        11,
        what="window_tokens after micro-batches with 7 and 4 predictions",
        lookalikes={"last-tokens-only": 4, "counts-micro-batches": 2},
    )
    expect_close(
        float(trainer.window_loss),
        losses[0] + losses[1],
        rtol=1e-6,
        what="window_loss after two train_steps",
        lookalikes={"last-loss-only": losses[1], "loss-per-token": losses[0] / 7 + losses[1] / 4},
    )
    found = [p.grad if p.grad is not None else torch.zeros_like(p) for p in trainer.model.parameters()]
    expect_close(
        torch.cat([g.flatten() for g in found]),
        grads[0] + grads[1],
        rtol=1e-9,
        atol=1e-12,
        what="the gradients after two train_steps",
        lookalikes={
            "last-micro-batch-only": grads[1],
            "mean-of-means": (grads[0] / 7 + grads[1] / 4) / 2,
            "sum-of-means": grads[0] / 7 + grads[1] / 4,
            "scaled-by-accumulation": (grads[0] + grads[1]) / 2,
        },
    )
    expect_equal(getattr(trainer, "moved", 0), 2, what="how often to_device was called", lookalikes={"not-moved": 0})


@pytest.mark.task("update")
def test_update_equals_the_one_big_batch() -> None:
    """Micro-batches with 10, 1 and 5 predictions give the step of one batch with 16."""
    update = [(0, 2), (1,), (4,)]
    trainer = toy_trainer(gradient_accumulation_steps=3)
    expect_close(
        make_updates(trainer, [update]),
        after_updates([[(0, 2, 1, 4)]]),
        rtol=0,
        atol=1e-12,
        what="the weights after an update from micro-batches with 10, 1 and 5 predictions",
        dims="update weight",
        lookalikes=update_lookalikes([update]),
    )


@pytest.mark.task("update")
def test_updates_follow_each_other() -> None:
    """Three updates of different sizes: nothing of one is left in the next, and the rate is the schedule's."""
    updates = [[(0, 1), (2, 3)], [(4,), (5,), (6,)], [(7, 8, 9)]]
    trainer = toy_trainer()
    expect_close(
        make_updates(trainer, updates),
        after_updates(updates),
        rtol=0,
        atol=1e-12,
        what="the weights after each of three updates",
        dims="update weight",
        lookalikes=update_lookalikes(updates),
    )


@pytest.mark.task("update")
def test_optimizer_first_then_scheduler() -> None:
    """One tick of the schedule for each update, after it: the first update has the first rate."""
    trainer = toy_trainer(lr=0.25)
    for update in ([(0, 1), (2,)], [(3,), (4,), (5, 6)]):
        for indices in update:
            trainer.train_step(batch_of(*indices))
        trainer.optimizer_step()
    order = ["optimizer", "scheduler"] * 2
    lookalikes = {
        "scheduler-first": ["scheduler", "optimizer"] * 2,
        "scheduler-forgotten": ["optimizer"] * 2,
        "scheduler-per-micro-batch": ["scheduler"] * 2 + ["optimizer"] + ["scheduler"] * 3 + ["optimizer"],
    }
    expect_equal(
        trainer.said, order, what="who stepped, in two updates of 2 and 3 micro-batches", lookalikes=lookalikes
    )
    expect_close(trainer.optimizer.rates, [0.25, 0.5], what="the learning rates of the two updates")
    expect_equal(
        trainer.global_step,
        2,
        what="global_step after two updates",
        lookalikes={"step-counts-micro-batches": 5, "step-not-counted": 0},
    )


@pytest.mark.task("update")
def test_optimizer_step_reports_the_update() -> None:
    """Mean loss, norm before clipping, the rate that was used, and the predictions, as plain numbers."""
    trainer = toy_trainer(lr=0.25, max_grad_norm=0.01)
    model, batches = toy_model(), [batch_of(0, 1), batch_of(2)]
    losses = [toy_loss(model, batch)[0].item() for batch in batches]
    norm = (sum(gradient(model, batch) for batch in batches) / 11).norm().item()
    for batch in batches:
        trainer.train_step(batch)
    metrics = trainer.optimizer_step()
    expect_equal(sorted(metrics), ["grad_norm", "learning_rate", "loss", "tokens"], what="what optimizer_step returns")
    expect(
        all(type(value) in (int, float) for value in metrics.values()),
        "Not all are plain numbers.",
        what="what optimizer_step returns",
        expected="int or float",
        actual=", ".join(f"{name}: {type(value).__name__}" for name, value in metrics.items()),
        mistake="tensors-reported",
    )
    expect_close(
        metrics["loss"],
        sum(losses) / 11,
        rtol=1e-6,
        what="the loss of micro-batches with 7 and 4 predictions",
        lookalikes={
            "loss-of-last-micro-batch": losses[1] / 4,
            "loss-mean-of-means": (losses[0] / 7 + losses[1] / 4) / 2,
            "loss-is-the-sum": sum(losses),
            "loss-per-micro-batch": sum(losses) / 2,
        },
    )
    expect_close(
        metrics["grad_norm"],
        norm,
        rtol=1e-5,
        what="grad_norm, with max_grad_norm 0.01",
        lookalikes={"norm-after-clipping": 0.01, "norm-of-the-sum": norm * 11},
    )
    expect_close(
        metrics["learning_rate"], 0.25, what="the learning rate of the first update", lookalikes={"next-rate": 0.5}
    )
    expect_equal(metrics["tokens"], 11, what="tokens")


@pytest.mark.task("update")
def test_update_is_clipped() -> None:
    """The gradient of the mean loss is clipped: with rate 0.5 and max_grad_norm 0.01 the step is 0.005 long."""
    update = [(0, 2), (1,), (4,)]
    trainer = toy_trainer(lr=0.5, max_grad_norm=0.01)
    start, options = flat(toy_model()), {"lr": 0.5, "max_norm": 0.01}
    moved = make_updates(trainer, [update]) - start
    shortened_later = sum(g.square().sum() for g in trainer.optimizer.used) < 0.0101**2
    expect_close(
        moved,
        after_updates([update], **options) - start,
        rtol=1e-3,
        atol=1e-9,
        what="how far the weights moved, with rate 0.5 and max_grad_norm 0.01",
        dims="update weight",
        lookalikes={
            "clip-after-the-step" if shortened_later else "not-clipped": after_updates([update], lr=0.5) - start,
            "clip-each-micro-batch": after_updates([update], **options, wrong="clip-each-micro-batch") - start,
            "clip-before-dividing": after_updates([update], **options, wrong="clip-before-dividing") - start,
        },
    )


# ------------------------------------------------------------------------------------------------------- random_state


def three_draws() -> dict[str, list[float]]:
    """Numbers from each of the three streams: an odd number of normal ones, as these come in pairs."""
    return {
        "random": [random.random(), random.gauss(0.0, 1.0)],
        "numpy": [float(np.random.rand()), *np.random.randn(3).tolist()],
        "torch": torch.rand(3).tolist(),
    }


FORGOTTEN = {"random": "python-forgotten", "numpy": "numpy-forgotten", "torch": "torch-forgotten"}


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@pytest.mark.task("random-state")
def test_streams_continue_where_they_were() -> None:
    """After restoring, `random`, NumPy and PyTorch draw the same numbers again."""
    seed_all(3)
    from_the_start = three_draws()
    seed_all(99)
    forgotten = three_draws()
    seed_all(3)
    three_draws()
    state = random_state()
    kind, key, position, *_ = np.random.get_state()
    wanted = three_draws()
    np.random.set_state((kind, key, position, 0, 0.0))
    halved = three_draws()
    seed_all(99)
    restore_random_state(state)
    found = three_draws()
    for name in wanted:
        expect_equal(
            found[name],
            wanted[name],
            what=f"numbers from {name}, drawn again after restoring",
            lookalikes={FORGOTTEN[name]: forgotten[name], "seed-instead-of-place": from_the_start[name]}
            | ({"second-normal-number-lost": halved[name]} if name == "numpy" else {}),
        )


def loaded_plainly(state: Any, path: Path, *, mistake: str) -> Any:
    """What torch.load gives back of a saved state, with weights_only=True."""
    torch.save(state, path)
    try:
        loaded, refused = torch.load(path, weights_only=True), ""
    except Exception as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        refused = named[1] if named else type(error).__name__
    expect(
        not refused,
        "It is refused.",
        what="the state, saved and loaded with weights_only=True",
        expected="tensors, numbers, strings, None, and containers of them",
        actual=f"it holds or needs {refused}",
        mistake=mistake,
    )
    return loaded


@pytest.mark.task("random-state")
def test_random_state_is_plain_data(tmp_path: Path) -> None:
    """torch.load with weights_only=True reads what random_state returned, and it still works."""
    seed_all(4)
    three_draws()
    state = random_state()
    wanted = three_draws()
    loaded = loaded_plainly(state, tmp_path / "state.pt", mistake="not-plain-data")
    restore_random_state(loaded)
    for name, values in three_draws().items():
        expect_equal(values, wanted[name], what=f"numbers from {name}, after the state was saved and loaded")


# ----------------------------------------------------------------------------------------------------------- evaluate


@pytest.mark.task("evaluate")
def test_evaluate_counts_every_prediction_the_same() -> None:
    """Five windows in batches of two, with 7, 6 and 5 predictions: the mean is over all 18."""
    trainer = toy_trainer(eval_dataset=windows(5), dropout=0.5)
    trainer.model.train()
    plain = toy_model()
    sums = [toy_loss(plain, batch_of(*indices))[0].item() for indices in ((0, 1), (2, 3), (4,))]
    means = [sums[0] / 7, sums[1] / 6, sums[2] / 5]
    torch.manual_seed(1)
    found = trainer.evaluate()
    expect_equal(sorted(found), ["eval_loss", "eval_perplexity", "eval_tokens"], what="what evaluate returns")
    expect(
        not any(trainer.modes),
        "It is in training mode.",
        what="the model while it is evaluated",
        expected="eval mode",
        mistake="dropout-while-evaluating",
    )
    expect_equal(
        found["eval_tokens"], 18, what="eval_tokens", lookalikes={"eval-drops-last-batch": 13, "eval-on-train-data": 35}
    )
    expect_close(
        found["eval_loss"],
        sum(sums) / 18,
        rtol=1e-6,
        what="eval_loss of batches with 7, 6 and 5 predictions, with dropout 0.5 in the model",
        lookalikes={"mean-of-batch-means": sum(means) / 3, "eval-loss-is-the-sum": sum(sums)},
    )
    expect_close(
        found["eval_perplexity"],
        math.exp(sum(sums) / 18),
        rtol=1e-5,
        what="eval_perplexity",
        lookalikes={
            "mean-of-perplexities": sum(math.exp(mean) for mean in means) / 3,
            "perplexity-in-bits": 2 ** (sum(sums) / 18),
        },
    )
    moved = getattr(trainer, "moved", 0)
    expect_equal(moved, 3, what="how often to_device was called in an evaluation", lookalikes={"eval-not-moved": 0})


@pytest.mark.task("evaluate")
def test_evaluate_restores_the_mode() -> None:
    """Afterwards every module is in the mode it was in: training, or not."""
    trainer = toy_trainer(eval_dataset=windows(3))
    trainer.model.train()
    trainer.model[0].eval()  # a part that somebody has frozen
    before = [module.training for module in trainer.model.modules()]
    trainer.evaluate()
    expect_equal(
        [module.training for module in trainer.model.modules()],
        before,
        what="the mode of the model and of its four parts, the first of which was in eval mode",
        lookalikes={"left-in-eval-mode": [False] * 5, "everything-set-to-train": [True] * 5},
    )
    trainer.model.eval()
    trainer.evaluate()
    expect(
        not trainer.model.training,
        "It is in training mode.",
        what="a model in eval mode, after evaluate",
        expected="eval mode",
        mistake="everything-set-to-train",
    )


@pytest.mark.task("evaluate")
def test_evaluate_leaves_gradients_and_counts_alone() -> None:
    """Weights, gradients and the sums of the update in progress are as before."""
    trainer = toy_trainer(eval_dataset=windows(5))
    for index, p in enumerate(trainer.model.parameters()):
        p.grad = draw(*p.shape, seed=70 + index)
    grads = [p.grad.clone() for p in trainer.model.parameters()]
    trainer.window_loss, trainer.window_tokens = 12.5, 9
    weights = flat(trainer.model)
    trainer.evaluate()
    expect_equal(
        [p.grad is None for p in trainer.model.parameters()],
        [False] * 3,
        what="whether gradients are missing afterwards",
        lookalikes={"gradients-cleared": [True] * 3},
    )
    found = torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
    wanted = torch.cat([g.flatten() for g in grads])
    expect_close(found, wanted, rtol=0, atol=0, what="gradients of an update in progress", mistake="gradients-changed")
    expect_close(flat(trainer.model), weights, rtol=0, atol=0, what="the weights")
    expect_equal(
        [float(trainer.window_loss), trainer.window_tokens, trainer.global_step],
        [12.5, 9, 0],
        what="window_loss, window_tokens and global_step",
        mistake="evaluation-counted",
    )


# --------------------------------------------------------------------------------------------------------- train: loop


class Recorded(Trainer):
    """Calls nothing of the other tasks. `updates`: the windows of each update, by micro-batch. `calls`: all else.

    The order of the windows in epoch e is e, e + 1, …, and round the end.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.updates: list[list[list[int]]] = []
        self.calls: list[tuple[Any, ...]] = []
        self.pending: list[list[int]] = []
        self.modes: list[bool] = []
        self.stop_at = -1

    def epoch_batches(self, epoch: int, start: int = 0) -> Iterator[dict[str, Tensor]]:
        n, size = len(self.train_dataset), self.config.batch_size
        order = [(epoch + i) % n for i in range(n)][start:]
        for first in range(0, len(order), size):
            yield {"x": torch.tensor(order[first : first + size])}

    def train_step(self, batch: Any) -> None:
        self.modes.append(self.model.training)
        self.pending.append(batch["x"].tolist())
        self.window_tokens += 1

    def optimizer_step(self) -> dict[str, float]:
        self.updates.append(self.pending)
        self.pending = []
        self.window_loss, self.window_tokens = 0.0, 0
        self.global_step += 1
        return {"loss": 1.0 / self.global_step, "tokens": 7}

    def evaluate(self) -> dict[str, float]:
        self.calls.append(("evaluate", self.global_step))
        return {"eval_loss": 0.5}

    def on_update(self, metrics: dict[str, float]) -> None:
        self.calls.append(("on_update", self.global_step))
        self.should_stop = self.should_stop or self.global_step == self.stop_at

    def save_checkpoint(self) -> Path:
        n = len(self.train_dataset)
        epoch, seen = (self.epoch + 1, 0) if self.windows_seen == n else (self.epoch, self.windows_seen)
        self.calls.append(("save", self.global_step, epoch, seen))
        return Path("nowhere")


class Said:
    """A logger that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, dict[str, float]]] = []

    def log(self, metrics: Any, *, step: int) -> None:
        self.lines.append((step, dict(metrics)))


def recorded(count: int, **options: Any) -> Recorded:
    return toy_trainer(Numbered(count), kind=Recorded, **options)


@pytest.mark.task("train-loop")
def test_train_makes_updates_of_micro_batches() -> None:
    """16 windows, batches of two, two batches to an update: four updates an epoch, each epoch in its own order."""
    trainer = recorded(16, max_steps=6, gradient_accumulation_steps=2)
    trainer.train()

    def updates(epoch: int, count: int = 4) -> list[list[list[int]]]:
        order = [(epoch + i) % 16 for i in range(16)]
        return [[order[i : i + 2], order[i + 2 : i + 4]] for i in range(0, 4 * count, 4)]

    singles = [batch for update in updates(0, 3) for batch in update]
    expect_equal(
        trainer.updates,
        updates(0) + updates(1, 2),
        what="the windows of each update, with max_steps 6",
        lookalikes={
            "same-epoch-again": updates(0) + updates(0, 2),
            "one-update-too-many": updates(0) + updates(1, 3),
            "one-update-too-few": updates(0) + updates(1, 1),
            "accumulation-ignored": [[batch] for batch in singles],
            "ends-with-the-epoch": updates(0),
            "finishes-the-epoch": updates(0) + updates(1),
            "steps-count-micro-batches": updates(0, 3),
        },
    )
    expect_equal(trainer.global_step, 6, what="global_step at the end")


@pytest.mark.task("train-loop")
def test_train_uses_the_tail_of_an_epoch() -> None:
    """Ten windows, batches of two, two batches to an update: the fifth batch is an update of its own."""
    trainer = recorded(10, max_steps=4, gradient_accumulation_steps=2)
    trainer.train()
    first = [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    expect_equal(
        trainer.updates,
        [*first, [[8, 9]], [[1, 2], [3, 4]]],
        what="the windows of four updates over five batches an epoch",
        lookalikes={
            "tail-lost": [*first, [[1, 2], [3, 4]], [[5, 6], [7, 8]]],
            "tail-leaks": [*first, [[8, 9], [1, 2]], [[3, 4], [5, 6]]],
        },
    )


def planned(n: int, size: int, accumulate: int, updates: int, *, epoch: int = 0, start: int = 0) -> list[Any]:
    """What `Recorded.updates` should be."""
    found: list[Any] = []
    while len(found) < updates:
        order = [(epoch + i) % n for i in range(n)][start:]
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        found += [batches[i : i + accumulate] for i in range(0, len(batches), accumulate)]
        epoch, start = epoch + 1, 0
    return found[:updates]


@pytest.mark.task("train-loop")
def test_train_goes_on_at_its_place() -> None:
    """With epoch 3 and windows_seen 4, the first window is the fifth of epoch 3."""
    trainer = recorded(9, gradient_accumulation_steps=2, max_steps=25)
    trainer.global_step, trainer.epoch, trainer.windows_seen = 21, 3, 4
    trainer.train()
    options = {"n": 9, "size": 2, "accumulate": 2, "updates": 4}
    expect_equal(
        trainer.updates,
        planned(**options, epoch=3, start=4),
        what="the windows of updates 22 to 25, from window 4 of epoch 3 on",
        lookalikes={
            "epoch-replayed": planned(**options, epoch=3),
            "from-the-first-epoch": planned(**options),
            "start-in-every-epoch": planned(9, 2, 2, 2, epoch=3, start=4) + planned(9, 2, 2, 2, epoch=4, start=4),
        },
    )


@pytest.mark.task("train-loop")
def test_place_is_known_when_it_is_saved(tmp_path: Path) -> None:
    """epoch and windows_seen at every save: windows that were used are counted, in windows, anew in each epoch."""
    trainer = recorded(9, gradient_accumulation_steps=2, max_steps=7, save_steps=1, checkpoint_dir=tmp_path)
    trainer.train()
    places = [(0, 4), (0, 8), (1, 0), (1, 4), (1, 8), (2, 0), (2, 4)]
    expect_equal(
        [call[2:] for call in trainer.calls if call[0] == "save"],
        places,
        what="epoch and windows_seen at the saves of 7 updates over 9 windows, 4 to an update",
        lookalikes={
            "last-save-twice": [*places, places[-1]],
            "counted-after-saving": [(0, 0), (0, 4), (0, 8), (1, 0), (1, 4), (1, 8), (2, 0)],
            "counts-batches": [(0, 2), (0, 4), (0, 5), (1, 2), (1, 4), (1, 5), (2, 2)],
            "counts-full-batches": [(0, 4), (0, 8), (0, 10), (1, 4), (1, 8), (1, 10), (2, 4)],
            "windows-not-counted": [(0, 0)] * 3 + [(1, 0)] * 3 + [(2, 0)],
            "windows-not-reset": [(0, 4), (0, 8), (1, 0), (1, 13), (1, 17), (1, 18), (2, 22)],
        },
    )


@pytest.mark.task("train-loop")
def test_train_begins_clean_and_in_training_mode() -> None:
    """Gradients and sums that were left behind are dropped, and the model is put into training mode."""
    trainer = toy_trainer(max_steps=1, batch_size=10)
    for p in trainer.model.parameters():
        p.grad = torch.ones_like(p)
    trainer.window_loss, trainer.window_tokens = 100.0, 50
    trainer.model.eval()
    trainer.train()
    wanted = after_updates([[tuple(range(10))]])[0]
    start, g = flat(toy_model()), gradient(toy_model(), batch_of(*range(10)))
    expect(trainer.model.training, "It is in eval mode.", what="the model in train", mistake="train-mode-not-set")
    expect_close(
        flat(trainer.model),
        wanted,
        rtol=0,
        atol=1e-12,
        what="the weights after one update, with gradients of ones and window_tokens 50 left behind",
        lookalikes={"stale-gradients": start - 0.05 * (g + 1) / 35, "stale-sums": start - 0.05 * g / 85},
    )


@pytest.mark.task("train-loop")
def test_train_sets_no_seed() -> None:
    """Where the three streams are when training begins is where a resumed run goes on: train leaves them there."""
    trainer = recorded(8, max_steps=5)
    seed_all(5)
    wanted = three_draws()
    seed_all(5)
    trainer.train()
    found = three_draws()
    for name in wanted:
        expect_equal(found[name], wanted[name], what=f"the next numbers from {name} after train", mistake="train-seeds")


@pytest.mark.task("train-loop")
def test_log_keeps_a_limited_history() -> None:
    """history holds the newest entries, each with its step."""
    trainer = toy_trainer(history_limit=3)
    metrics = {"loss": 4.0}
    for step in (1, 2, 3, 4, 5):
        trainer.global_step = step
        metrics["loss"] -= 0.5
        trainer.log(metrics)
    every = [{"step": step, "loss": 4.0 - 0.5 * step} for step in (1, 2, 3, 4, 5)]
    expect_equal(
        trainer.history,
        every[2:],
        what="history after five entries, with history_limit 3",
        lookalikes={
            "history-unlimited": every,
            "oldest-kept": every[:3],
            "newest-first": every[:1:-1],
            "history-aliased": [{"loss": 1.5, "step": 5}] * 3,
        },
    )
    expect_equal(metrics, {"loss": 1.5}, what="the metrics that log was given", mistake="metrics-changed")


@pytest.mark.task("train-loop")
def test_train_logs_evaluates_and_saves_on_its_steps(tmp_path: Path) -> None:
    """In this order after an update: log, on_update, evaluate and its log, save; and one more save at the end."""
    said = Said()
    options = {"logging_steps": 2, "eval_steps": 3, "save_steps": 2, "logger": said, "eval_dataset": windows(1)}
    trainer = recorded(8, max_steps=5, checkpoint_dir=tmp_path, **options)
    trainer.train()
    kinds = {name: [call[1] for call in trainer.calls if call[0] == name] for name in ("on_update", "evaluate", "save")}
    expect_equal(kinds["on_update"], [1, 2, 3, 4, 5], what="the steps of on_update", mistake="hook-forgotten")
    expect_equal(
        kinds["evaluate"],
        [3],
        what="the steps at which evaluate was called, with eval_steps 3",
        lookalikes={"due-one-early": [2, 5], "due-one-late": [1, 4], "evaluated-always": [1, 2, 3, 4, 5]},
    )
    expect_equal(
        kinds["save"],
        [2, 4, 5],
        what="the steps at which save_checkpoint was called, with save_steps 2 and max_steps 5",
        lookalikes={"no-last-save": [2, 4], "due-one-early": [1, 3, 5], "last-save-twice": [2, 4, 5, 5]},
    )
    expect_equal(
        said.lines,
        [
            (2, {"loss": 0.5, "tokens": 7}),
            (3, {"eval_loss": 0.5}),
            (4, {"loss": 0.25, "tokens": 7}),
        ],
        what="what the logger was given, with logging_steps 2 and eval_steps 3",
        lookalikes={
            "evaluation-not-logged": [(2, {"loss": 0.5, "tokens": 7}), (4, {"loss": 0.25, "tokens": 7})],
            "step-in-loggers-metrics": [
                (2, {"step": 2, "loss": 0.5, "tokens": 7}),
                (3, {"step": 3, "eval_loss": 0.5}),
                (4, {"step": 4, "loss": 0.25, "tokens": 7}),
            ],
            "due-one-early": [
                (1, {"loss": 1.0, "tokens": 7}),
                (3, {"loss": 1 / 3, "tokens": 7}),
                (3, {"eval_loss": 0.5}),
                (5, {"loss": 0.2, "tokens": 7}),
            ],
        },
    )


@pytest.mark.task("train-loop")
def test_training_learns() -> None:
    """Sixty updates on the same windows: the loss falls by far."""
    trainer = toy_trainer(
        windows(4), lr=0.002, max_steps=60, logging_steps=1, batch_size=2, gradient_accumulation_steps=2
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.history]
    expect_equal(len(losses), 60, what="how many losses were logged, with logging_steps 1")
    expect(
        losses[-1] < 0.8 * losses[0],
        "It has hardly fallen.",
        what="the loss of 60 updates on four windows",
        expected=f"below {0.8 * losses[0]:.3f} at the end",
        actual=f"{losses[0]:.3f} at first, {losses[-1]:.3f} at the end",
    )


# ----------------------------------------------------------------------------------------------------------- rotation


def checkpoints(directory: Path, *names: str) -> None:
    for name in names:
        with new_checkpoint(directory / name) as folder:
            write_state({"name": name}, folder)


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


@pytest.mark.task("rotation")
def test_checkpoints_are_ordered_by_number(tmp_path: Path) -> None:
    """Steps 9, 10, 100 and 1,000,000, in this order; files and other folders are left out."""
    checkpoints(tmp_path, "step-000100", "step-1000000", "step-000009", "step-000010")
    (tmp_path / "step-000011").write_text("a file\n", encoding="utf-8")
    for name in ("best", "step-", "step-12a", "step-000013.partial", "last-step-000014", ".step-000015"):
        (tmp_path / name).mkdir()
    with diagnosing("other-names-listed", ValueError, TypeError, AttributeError, IndexError):
        found = names(list_checkpoints(tmp_path))
    strange = [name for name in found if name in ("best", "step-", "step-12a") or name.strip("step-0123456789")]
    expect(
        not strange,
        "Something else is among them.",
        what="the checkpoints beside other folders",
        actual=", ".join(strange),
        mistake="other-names-listed",
    )
    expect_equal(
        found,
        ["step-000009", "step-000010", "step-000100", "step-1000000"],
        what="the checkpoints of steps 100, 1000000, 9 and 10",
        lookalikes={
            "sorted-by-time": ["step-000100", "step-1000000", "step-000009", "step-000010"],
            "last-first": ["step-1000000", "step-000100", "step-000010", "step-000009"],
            "files-listed": ["step-000009", "step-000010", "step-000011", "step-000100", "step-1000000"],
        },
    )


@pytest.mark.task("rotation")
def test_names_of_different_lengths(tmp_path: Path) -> None:
    """Step 999,999 comes before 1,000,000, and step-9 before step-10, whatever a sort of the names says."""
    checkpoints(tmp_path, "step-10", "step-9", "step-1000000", "step-999999")
    expect_equal(
        names(list_checkpoints(tmp_path)),
        ["step-9", "step-10", "step-999999", "step-1000000"],
        what="the checkpoints of steps 10, 9, 1000000 and 999999",
        lookalikes={
            "sorted-as-text": ["step-10", "step-1000000", "step-9", "step-999999"],
            "sorted-by-time": ["step-10", "step-9", "step-1000000", "step-999999"],
        },
    )


@pytest.mark.task("rotation")
def test_latest_is_the_last_whole_checkpoint(tmp_path: Path) -> None:
    """A damaged checkpoint is passed over, and stays where it is."""
    expect(latest_checkpoint(tmp_path) is None, "It is something.", what="the latest of no checkpoints", expected=None)
    checkpoints(tmp_path, "step-000008", "step-000012", "step-000010")
    latest = latest_checkpoint(tmp_path)
    expect_equal(
        latest and latest.name,
        "step-000012",
        what="the latest of steps 8, 12 and 10",
        lookalikes={"oldest-valid": "step-000008"},
    )
    (tmp_path / "step-000012" / "training_state.pt").write_bytes(b"damaged")
    with diagnosing("damaged-latest-raises", ValueError):
        latest = latest_checkpoint(tmp_path)
    expect_equal(
        latest and latest.name,
        "step-000010",
        what="the latest of steps 8, 10 and a damaged 12",
        lookalikes={"validity-ignored": "step-000012", "only-the-last-tried": None, "oldest-valid": "step-000008"},
    )
    expect(
        (tmp_path / "step-000012").is_dir(),
        "It is gone.",
        what="the damaged checkpoint",
        expected="still there",
        mistake="damaged-removed",
    )


@pytest.mark.task("rotation")
def test_prune_keeps_the_last_ones(tmp_path: Path) -> None:
    """Steps 8, 9, 10, 11: keeping two, 10 and 11 are left."""
    checkpoints(tmp_path, "step-8", "step-9", "step-10", "step-11")
    prune_checkpoints(tmp_path / "step-11", keep=2)
    expect_equal(
        sorted(path.name for path in tmp_path.iterdir()),
        ["step-10", "step-11"],
        what="what is left of steps 8, 9, 10, 11 with keep=2",
        lookalikes={
            "keeps-one-too-many": ["step-10", "step-11", "step-9"],
            "keeps-one-too-few": ["step-11"],
            "newest-removed": ["step-8", "step-9"],
            "never-pruned": ["step-10", "step-11", "step-8", "step-9"],
        },
    )


@pytest.mark.task("rotation")
def test_prune_without_a_limit(tmp_path: Path) -> None:
    """keep=None keeps all, and fewer checkpoints than `keep` all stay."""
    checkpoints(tmp_path, "step-000001", "step-000002")
    for keep in (None, 2, 5):
        prune_checkpoints(tmp_path / "step-000002", keep=keep)
        expect_equal(
            sorted(path.name for path in tmp_path.iterdir()),
            ["step-000001", "step-000002"],
            what=f"what is left of two checkpoints with keep={keep}",
            mistake="none-prunes" if keep is None else None,
        )


# ------------------------------------------------------------------------------------------------------------- resume


def interrupted(tmp_path: Path, *, steps: int = 4, **options: Any) -> Any:
    """A trainer after some updates, whose last checkpoint is written."""
    settings = {"dropout": 0.3, "gradient_accumulation_steps": 2, "checkpoint_dir": tmp_path / "checkpoints", **options}
    seed_all(1)
    trainer = toy_trainer(max_steps=steps, **settings)
    trainer.train()
    return trainer


def fresh(tmp_path: Path, *, seed: int = 2, **options: Any) -> Any:
    """As a new process would build it: other weights, other seeds."""
    settings = {"dropout": 0.3, "gradient_accumulation_steps": 2, "checkpoint_dir": tmp_path / "checkpoints", **options}
    trainer = toy_trainer(max_steps=9, **settings)
    with torch.no_grad():
        for index, p in enumerate(trainer.model.parameters()):
            p.copy_(draw(*p.shape, seed=900 + index))
    seed_all(seed)
    return trainer


@pytest.mark.task("resume")
def test_a_checkpoint_is_a_verified_folder(tmp_path: Path) -> None:
    """save_checkpoint writes step-000003, whole, with the weights and the state."""
    trainer = toy_trainer(checkpoint_dir=tmp_path / "run" / "checkpoints")
    trainer.global_step = 3
    with diagnosing("whole-objects-saved", ValueError, match="plain data"):
        folder = trainer.save_checkpoint()
    expect_equal(
        names(list((tmp_path / "run" / "checkpoints").iterdir())),
        ["step-000003"],
        what="what is in checkpoint_dir after save_checkpoint at step 3",
    )
    expect_equal(
        folder,
        tmp_path / "run" / "checkpoints" / "step-000003",
        what="what save_checkpoint returns",
        mistake="partial-returned" if isinstance(folder, Path) and not folder.exists() else None,
    )
    expect(
        is_valid_checkpoint(folder),
        "verify_checkpoint refuses it.",
        what="the checkpoint that save_checkpoint wrote",
        expected="a whole checkpoint, with its manifest",
        mistake="written-in-place",
    )
    expect(
        (folder / "model.safetensors").is_file(),
        "There are no weights in it.",
        what="the checkpoint that save_checkpoint wrote",
        expected="what write_model writes",
        mistake="weights-not-saved",
    )
    state = read_state(folder)
    wanted = ["epoch", "global_step", "optimizer", "random_state", "scheduler", "windows_seen"]
    expect_equal(sorted(state), wanted, what="the keys of the state in the checkpoint")


@pytest.mark.task("resume")
def test_everything_that_has_a_memory_comes_back(tmp_path: Path) -> None:
    """Weights, optimizer, schedule, counts and place, in a trainer that was built anew."""
    old = interrupted(tmp_path)
    wanted = three_draws()
    new = fresh(tmp_path)
    moved = old.checkpoint_dir.rename(tmp_path / "moved")
    with diagnosing("folder-ignored", OSError, ValueError):
        new.load_checkpoint(moved / checkpoint_name(4))
    found = three_draws()
    expect_close(
        flat(new.model), flat(old.model), rtol=0, atol=0, what="the weights after loading", mistake="weights-not-loaded"
    )
    expect_equal(new.global_step, 4, what="global_step after loading", mistake="step-forgotten")
    place = [new.epoch, new.windows_seen]
    expect_equal(
        place,
        [1, 4],
        what="epoch and windows_seen after 4 updates of 4 windows, of 10 an epoch",
        lookalikes={"place-forgotten": [1, 0], "epoch-forgotten": [0, 4]},
        mistake="place-forgotten" if place[0] == 1 else "epoch-forgotten",
    )
    expect_close(
        torch.cat([v.flatten() for v in new.optimizer.velocity]),
        torch.cat([v.flatten() for v in old.optimizer.velocity]),
        rtol=0,
        atol=0,
        what="the optimizer's memory after loading",
        mistake="optimizer-forgotten",
    )
    expect_equal(new.scheduler.completed, 4, what="the schedule's count after loading", mistake="schedule-begins-anew")
    expect_close(new.optimizer.param_groups[0]["lr"], 0.25, what="the learning rate after loading")
    expect_equal(
        found, wanted, what="the next random numbers after loading, and after saving", mistake="random-state-forgotten"
    )


@pytest.mark.task("resume")
def test_resumed_is_the_same_as_never_stopped(tmp_path: Path) -> None:
    """Nine updates in one go, and the same in two parts by trainers with other seeds: equal to the last bit."""
    seed_all(1)
    straight = toy_trainer(
        dropout=0.3,
        max_steps=9,
        gradient_accumulation_steps=2,
        save_steps=1,
        save_total_limit=None,
        logging_steps=1,
        checkpoint_dir=tmp_path / "checkpoints",
    )
    straight.train()
    for step in (2, 3, 5):
        resumed = fresh(tmp_path, seed=50 + step, logging_steps=1, checkpoint_dir=None)
        resumed.load_checkpoint(tmp_path / "checkpoints" / checkpoint_name(step))
        resumed.train()
        expect_equal(
            [entry["step"] for entry in resumed.history],
            list(range(step + 1, 10)),
            what=f"the steps that are made after resuming at {step}",
        )
        expect_equal(
            [entry["loss"] for entry in resumed.history],
            [entry["loss"] for entry in straight.history[step:]],
            what=f"the losses of the updates after resuming at {step}",
        )
        expect_close(flat(resumed.model), flat(straight.model), rtol=0, atol=0, what=f"the weights, resumed at {step}")


@pytest.mark.task("resume")
def test_old_checkpoints_give_way(tmp_path: Path) -> None:
    """With save_total_limit 2, the two newest checkpoints are there after every save."""
    trainer = toy_trainer(max_steps=6, save_steps=1, save_total_limit=2, checkpoint_dir=tmp_path)
    trainer.train()
    expect_equal(
        names(sorted(tmp_path.iterdir())),
        ["step-000005", "step-000006"],
        what="what is in checkpoint_dir after six updates, with save_steps 1 and save_total_limit 2",
        lookalikes={
            "not-rotated": [f"step-00000{step}" for step in range(1, 7)],
            "pruned-first": ["step-000004", "step-000005", "step-000006"],
        },
    )


# ------------------------------------------------------------------------------------------------------ TrainerLogger


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.task("trainer-logger")
def test_logger_writes_a_line_for_each_call(tmp_path: Path) -> None:
    """One JSON object a line, with the step; it can be read at once, while the logger is still open."""
    path = tmp_path / "runs" / "mine" / "metrics.jsonl"
    with diagnosing("folder-not-made", FileNotFoundError):
        logger = TrainerLogger(path)
    metrics = {"loss": 2.5, "tokens": 512}
    logger.log(metrics, step=10)
    expect_equal(
        path.read_text(encoding="utf-8").count("\n"),
        1,
        what="how many lines the file has right after the first log",
        lookalikes={"not-flushed": 0},
    )
    logger.log({"eval_loss": 2.25}, step=10)
    logger.log({"loss": 2.0, "tokens": 512}, step=20)
    wanted = [
        {"step": 10, "loss": 2.5, "tokens": 512},
        {"step": 10, "eval_loss": 2.25},
        {"step": 20, "loss": 2.0, "tokens": 512},
    ]
    expect_equal(
        lines(path),
        wanted,
        what="the lines of the file",
        lookalikes={
            "only-the-last-line": wanted[-1:],
            "step-left-out": [{k: v for k, v in w.items() if k != "step"} for w in wanted],
        },
    )
    expect_equal(
        metrics, {"loss": 2.5, "tokens": 512}, what="the metrics that were given", mistake="log-changes-metrics"
    )
    logger.close()


@pytest.mark.task("trainer-logger")
def test_logger_appends(tmp_path: Path) -> None:
    """What was in the file stays."""
    path = tmp_path / "metrics.jsonl"
    for step in (1, 2):
        logger = TrainerLogger(path)
        logger.log({"loss": 1.0}, step=step)
        logger.close()
    expect_equal(
        lines(path),
        [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 1.0}],
        what="the lines after two loggers wrote one each",
        lookalikes={"file-overwritten": [{"step": 2, "loss": 1.0}]},
    )


@pytest.mark.task("trainer-logger")
def test_logger_tells_the_trackers(tmp_path: Path) -> None:
    """Every tracker gets the same metrics and step, and is closed with the logger."""
    trackers = [SimpleNamespace(said=[], closed=0) for _ in range(2)]
    for tracker in trackers:
        tracker.log = lambda metrics, *, step, tracker=tracker: tracker.said.append((dict(metrics), step))
        tracker.close = lambda tracker=tracker: setattr(tracker, "closed", tracker.closed + 1)
    logger = TrainerLogger(tmp_path / "metrics.jsonl", trackers=trackers)
    logger.log({"loss": 2.5}, step=10)
    logger.log({"loss": 2.0}, step=20)
    logger.close()
    for tracker in trackers:
        expect_equal(
            tracker.said,
            [({"loss": 2.5}, 10), ({"loss": 2.0}, 20)],
            what="what a tracker was given",
            lookalikes={
                "trackers-not-told": [],
                "step-in-trackers-metrics": [({"step": 10, "loss": 2.5}, 10), ({"step": 20, "loss": 2.0}, 20)],
            },
        )
        expect_equal(tracker.closed, 1, what="how often a tracker was closed", lookalikes={"trackers-left-open": 0})


@pytest.mark.task("trainer-logger")
def test_logger_forgets_what_will_be_done_again(tmp_path: Path) -> None:
    """Resuming at step 20, lines of steps 30 and 40 go; those up to 20 stay."""
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": step, "loss": 1.0 / step} for step in (9, 10, 20, 30, 40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    logger = TrainerLogger(path, resume_step=20)
    logger.log({"loss": 0.5}, step=30)
    logger.close()
    new = {"step": 30, "loss": 0.5}
    expect_equal(
        lines(path),
        [*rows[:3], new],
        what="the lines of steps 9, 10, 20, 30, 40 after resuming at 20 and logging 30",
        lookalikes={
            "later-lines-stay": [*rows, new],
            "resume-step-dropped": [*rows[:2], new],
            "file-overwritten": [new],
            "compared-as-text": [rows[1], rows[2], new],
        },
    )


# ---------------------------------------------------------------------------------------------------- PretrainTrainer


class TinyLM(nn.Module):
    """Logits that depend on the last two tokens, as `CausalLM` would return them. Ids 0 to 10."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(draw(11, 11, seed=5))
        self.norm = nn.Parameter(torch.ones(11, dtype=torch.float64))

    def forward(self, input_ids: Tensor, **_: Any) -> Any:
        logits = self.table[input_ids] + 0.5 * self.table[input_ids.roll(1, dims=1)]
        return SimpleNamespace(logits=logits * self.norm)


def pretrain_trainer() -> PretrainTrainer:
    model, said = TinyLM(), []
    optimizer = Sgd(model, 0.1, said)
    config = TrainerConfig(max_steps=1)
    return PretrainTrainer(model, optimizer, Schedule(optimizer, said), [{"input_ids": torch.zeros(4)}], config=config)


def nll(model: nn.Module, batch: dict[str, Tensor], *, shift: int) -> tuple[float, int]:
    """Sum and number of the losses when logits at t meet the label at t + shift, token by token."""
    log_p = model(batch["input_ids"]).logits.log_softmax(-1)
    total, count = 0.0, 0
    B, T = batch["labels"].shape
    for b in range(B):
        for t in range(T):
            if 0 <= t + shift < T and batch["labels"][b, t + shift] != -100:
                total -= log_p[b, t, batch["labels"][b, t + shift]].item()
                count += 1
    return total, count


@pytest.mark.task("pretrain-trainer")
def test_pretraining_predicts_the_next_token() -> None:
    """The sum of the losses of every next token, and how many there are; -100 is none."""
    trainer = pretrain_trainer()
    generator = torch.Generator().manual_seed(8)
    ids = torch.randint(0, 11, (3, 6), generator=generator)
    labels = ids.clone()
    labels[0, :3], labels[2, 5] = -100, -100
    batch = {"input_ids": ids, "labels": labels}
    kept = labels.clone()
    right, count = nll(trainer.model, batch, shift=1)
    loss, tokens = trainer.compute_loss(batch)
    everything = nll(trainer.model, {"input_ids": ids, "labels": ids}, shift=1)
    expect_close(
        loss,
        torch.tensor(right, dtype=torch.float64),
        rtol=1e-6,
        what="the loss of three windows of six tokens, four labels of which are -100",
        lookalikes={
            name: torch.tensor(value, dtype=torch.float64)
            for name, value in {
                "no-shift": nll(trainer.model, batch, shift=0)[0],
                "shifted-twice": nll(trainer.model, batch, shift=2)[0],
                "shifted-backwards": nll(trainer.model, batch, shift=-1)[0],
                "mean-loss": right / count,
                "labels-not-used": everything[0],
            }.items()
        },
    )
    expect(loss.requires_grad, "It has none.", what="the graph of the loss", expected="backward works")
    expect_equal(
        tokens,
        count,
        what="the number of predictions",
        lookalikes={"counts-all-tokens": 18, "counts-ignored": 15, "counts-before-the-shift": 14, "counts-windows": 3},
    )
    expect_close(labels, kept, what="the labels afterwards", mistake="labels-changed")


@pytest.mark.task("pretrain-trainer")
def test_build_optimizer_makes_two_groups() -> None:
    """Matrices decay, vectors do not; rate and betas are the ones given."""
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    for name in ("adamw", "lion"):
        built = build_optimizer(model, lr=0.02, weight_decay=0.3, betas=(0.8, 0.95), optimizer=name)
        expect_equal(
            type(built).__name__,
            {"adamw": "AdamW", "lion": "Lion"}[name],
            what=f'the class for optimizer="{name}"',
            lookalikes={"always-adamw": "AdamW"} if name == "lion" else {},
        )
        expect_equal(
            [len(group["params"]) for group in built.param_groups],
            [1, 3],
            what="how many parameters are in each group",
            lookalikes={"one-group": [4]},
        )
        expect_close(
            [group["weight_decay"] for group in built.param_groups],
            [0.3, 0.0],
            what="the weight decay of the groups",
            mistake="decay-ignored",
        )
        expect_close([group["lr"] for group in built.param_groups], [0.02, 0.02], what="the rate", mistake="lr-ignored")
        expect_close(
            [list(group["betas"]) for group in built.param_groups],
            [[0.8, 0.95]] * 2,
            what="the betas",
            mistake="betas-ignored",
        )


@pytest.mark.task("pretrain-trainer")
def test_build_optimizer_refuses_other_names() -> None:
    """A name that is neither is refused, not replaced."""
    with expect_raises(ValueError, what='optimizer="adam"', match="adam", mistake="unknown-optimizer-accepted"):
        build_optimizer(nn.Linear(2, 2), lr=0.1, weight_decay=0.0, betas=(0.9, 0.95), optimizer="adam")
