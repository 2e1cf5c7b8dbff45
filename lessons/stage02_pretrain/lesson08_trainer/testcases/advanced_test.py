"""Lesson 08 at its edges: sixteen bits, ragged ends, broken numbers, torn files, random data, and runs cut in two."""

import json
import math
import random
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursecli.expect import diagnosing, expect, expect_close, expect_equal, expect_raises, expect_unchanged
from intro2llm.data.pretrain_dataset import epoch_order
from intro2llm.training.pretrain_trainer import PretrainTrainer, build_optimizer
from intro2llm.training.trainer import Trainer, TrainerConfig, clip_grad_norm, iterate_batches
from intro2llm.training.trainer_logger import TrainerLogger
from intro2llm.utils.checkpoint import (
    STATE,
    checkpoint_name,
    latest_checkpoint,
    list_checkpoints,
    new_checkpoint,
    prune_checkpoints,
    random_state,
    restore_random_state,
    write_state,
)


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64) * scale


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def three_draws() -> dict[str, list[float]]:
    """Numbers from each of the three streams: an odd number of normal ones, as these come in pairs."""
    return {
        "random": [random.random(), random.gauss(0.0, 1.0)],
        "numpy": [float(np.random.rand()), *np.random.randn(3).tolist()],
        "torch": torch.rand(3).tolist(),
    }


# ----------------------------------------------------------------------------------------------- a model and its loop


class Windows:
    """Windows of 7 tokens of a vocabulary of 13, of which some labels are -100. `asked` holds what was asked for.

    With `noise`, every item is changed a little, by numbers from all three global streams.
    """

    def __init__(self, count: int, *, seed: int = 0, noise: bool = False) -> None:
        generator = torch.Generator().manual_seed(1000 + seed)
        self.ids = torch.randint(0, 13, (count, 7), generator=generator)
        self.labels = torch.randint(0, 13, (count, 7), generator=generator)
        cut = torch.randint(0, 7, (count, 1), generator=generator)
        self.labels[torch.arange(7) < cut] = -100
        self.noise = noise
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        self.asked.append(index)
        ids = self.ids[index].clone()
        if self.noise:
            ids[random.randrange(7)] = int(np.random.randint(0, 13))
            ids[torch.rand(7) < 0.1] = 0
        return {"input_ids": ids, "labels": self.labels[index].clone()}


def toy_model(dropout: float = 0.0) -> nn.Sequential:
    model = nn.Sequential(nn.Embedding(13, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 13)).double()
    with torch.no_grad():
        for index, weight in enumerate(model.parameters()):
            weight.copy_(draw(*weight.shape, seed=index, scale=0.5))
    return model


def toy_loss(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, int]:
    logits, labels = model(batch["input_ids"]).flatten(0, 1), batch["labels"].flatten()
    return F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum"), int((labels != -100).sum())


class Sgd:
    """Plain gradient descent, with a memory of how often it stepped."""

    def __init__(self, model: nn.Module, lr: float) -> None:
        self.param_groups = [{"params": list(model.parameters()), "lr": lr}]
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        with torch.no_grad():
            for p in self.param_groups[0]["params"]:
                if p.grad is not None:
                    p.sub_(self.param_groups[0]["lr"] * p.grad)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for p in self.param_groups[0]["params"]:
            p.grad = None if set_to_none or p.grad is None else p.grad.zero_()

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


class Schedule:
    """The rate falls by a tenth with every update."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer, self.completed = optimizer, 0
        self.first = optimizer.param_groups[0]["lr"]

    def step(self) -> None:
        self.completed += 1
        self.optimizer.param_groups[0]["lr"] = self.first * 0.9**self.completed

    def state_dict(self) -> dict[str, Any]:
        return {"completed": self.completed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.completed = state["completed"]
        self.optimizer.param_groups[0]["lr"] = self.first * 0.9**self.completed


class ToyTrainer(Trainer):
    def compute_loss(self, batch: Any) -> tuple[Tensor, int]:
        return toy_loss(self.model, batch)


def toy_trainer(
    dataset: Any,
    *,
    lr: float = 0.05,
    dropout: float = 0.0,
    adamw: bool = False,
    kind: type = ToyTrainer,
    **options: Any,
) -> Any:
    own = {"eval_dataset", "checkpoint_dir", "logger"}
    given = {name: value for name, value in options.items() if name in own}
    settings = {"max_steps": 4, "batch_size": 2, "max_grad_norm": None}
    settings |= {name: value for name, value in options.items() if name not in own}
    model = toy_model(dropout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr) if adamw else Sgd(model, lr)
    return kind(model, optimizer, Schedule(optimizer), dataset, config=TrainerConfig(**settings), **given)


def collate(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


# ----------------------------------------------------------------------------------------------------- clip_grad_norm


@pytest.mark.task("clip-grad-norm")
def test_clip_grad_norm_as_torch_does() -> None:
    """Random gradients of several shapes and sizes, and limits around their norm: as torch.nn.utils does it."""
    for seed in range(30):
        rng = random.Random(seed)
        shapes = [(3, 4), (5,), (), (2, 1, 3)][: rng.randrange(1, 5)]
        ours, theirs = [], []
        for index, shape in enumerate(shapes):
            for parameters in (ours, theirs):
                p = nn.Parameter(torch.zeros(shape, dtype=torch.float64))
                p.grad = draw(*shape, seed=31 * seed + index, scale=10.0 ** (index - 1))
                parameters.append(p)
        limit = 10.0 ** rng.uniform(-2, 2)
        norm = clip_grad_norm(ours, limit)
        wanted = torch.nn.utils.clip_grad_norm_(theirs, limit)
        expect_close(norm, wanted.item(), rtol=1e-5, what=f"the norm of gradients of shapes {shapes}")
        expect_close(
            torch.cat([p.grad.flatten() for p in ours]),
            torch.cat([p.grad.flatten() for p in theirs]),
            rtol=1e-5,
            what=f"gradients of norm {wanted.item():.3f}, clipped to {limit:.3f}",
        )


@pytest.mark.task("clip-grad-norm")
def test_clip_grad_norm_changes_the_gradients_themselves() -> None:
    """The gradient tensors are changed in place: others may hold on to them."""
    p = nn.Parameter(torch.zeros(2))
    p.grad = held = torch.tensor([3.0, 4.0])
    clip_grad_norm([p], 1.0)
    expect_close(
        held,
        torch.tensor([0.6, 0.8]),
        what="the tensor that was the gradient (3, 4), clipped to 1",
        lookalikes={"gradient-replaced": torch.tensor([3.0, 4.0])},
    )


@pytest.mark.task("clip-grad-norm")
def test_clip_grad_norm_of_nothing() -> None:
    """Gradients of zeros stay zeros; a parameter without a gradient takes no part; with none at all the norm is 0.0."""
    zero, without = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2))
    zero.grad = torch.zeros(3)
    with diagnosing("zero-divided", ZeroDivisionError):
        norm = clip_grad_norm([zero, without], 1.0)
    expect_close(zero.grad, torch.zeros(3), what="gradients of zeros, clipped to 1", mistake="zero-divided")
    expect_close(norm, 0.0, what="the norm of zeros")
    expect(without.grad is None, "It has one.", what="a parameter without a gradient, afterwards", expected=None)
    expect_close(clip_grad_norm([without], 1.0), 0.0, what="the norm where there is no gradient at all")


@pytest.mark.task("clip-grad-norm")
def test_clip_grad_norm_in_sixteen_bits() -> None:
    """The norm of 16-bit gradients is computed in float32: squares of 300 do not fit into float16."""
    p = nn.Parameter(torch.zeros(1000, dtype=torch.float16))
    p.grad = torch.full((1000,), 300.0, dtype=torch.float16)
    norm = clip_grad_norm([p], 1.0)
    wanted = 300 * math.sqrt(1000)
    expect_close(
        norm,
        wanted,
        rtol=1e-4,
        what="the norm of 1000 float16 gradients of 300",
        lookalikes={"squares-in-sixteen-bits": math.inf},
        mistake="squares-in-sixteen-bits",
    )
    expect_equal(str(p.grad.dtype), "torch.float16", what="the dtype of the gradient afterwards")
    expect_close(p.grad.float(), torch.full((1000,), 300 / wanted), rtol=1e-2, what="the clipped gradient")


# ------------------------------------------------------------------------------------------------------------ batches


@pytest.mark.task("batches")
def test_items_are_fetched_when_their_batch_is_asked_for() -> None:
    """Nothing is fetched before the first batch, nothing beyond the present one, and nothing twice."""
    dataset = Windows(7)
    batches = iter(iterate_batches(dataset, [5, 1, 4, 0, 2], batch_size=2))
    expect_equal(dataset.asked, [], what="what was fetched before the first batch", mistake="fetched-ahead")
    next(batches)
    expect_equal(
        dataset.asked,
        [5, 1],
        what="what was fetched for the first batch of 5, 1, 4, 0, 2",
        lookalikes={"fetched-ahead": [5, 1, 4, 0, 2]},
        mistake="fetched-ahead",
    )
    list(batches)
    expect_equal([int(i) for i in dataset.asked], [5, 1, 4, 0, 2], what="what was fetched for all three batches")


@pytest.mark.task("batches")
def test_windows_that_are_passed_over_are_not_fetched() -> None:
    """epoch_batches(start=4) fetches only the windows from the fifth place of the order on."""
    trainer = toy_trainer(Windows(9), seed=3)
    list(trainer.epoch_batches(2, start=4))
    order = epoch_order(9, seed=3, epoch=2).tolist()
    expect_equal(
        [int(i) for i in trainer.train_dataset.asked],
        order[4:],
        what="what was fetched of 9 windows from start 4 on",
        lookalikes={"fetched-to-skip": order},
    )


@pytest.mark.task("batches")
def test_batches_of_every_size() -> None:
    """Every window comes once, in order, for all sizes of dataset, batch and start; and again in the same order."""
    for seed in range(20):
        rng = random.Random(seed)
        n, size = rng.randrange(1, 12), rng.randrange(1, 6)
        start, epoch = rng.randrange(0, n + 1), rng.randrange(0, 4)
        dataset = Windows(n, seed=seed)
        trainer = toy_trainer(dataset, batch_size=size, seed=seed)
        order = epoch_order(n, seed=seed, epoch=epoch).tolist()[start:]
        what = f"{n} windows in batches of {size}, epoch {epoch}, from start {start} on"
        for _ in range(2):
            dataset.asked.clear()
            sizes = [len(batch["labels"]) for batch in trainer.epoch_batches(epoch, start=start)]
            wanted = [min(size, len(order) - i) for i in range(0, len(order), size)]
            expect_equal(sizes, wanted, what=f"the sizes of the batches of {what}")
            expect_equal([int(i) for i in dataset.asked], order, what=what)


# ------------------------------------------------------------------------------------------------------------- update


@pytest.mark.task("update")
def test_random_updates_equal_the_big_batch() -> None:
    """Updates of one to four micro-batches, of one to three windows each, with and without clipping."""
    dataset = Windows(40, seed=1)
    for seed in range(15):
        rng = random.Random(seed)
        limit = rng.choice([None, 0.05, 1000.0])
        trainer = toy_trainer(dataset, lr=0.1, max_grad_norm=limit)
        model = toy_model()
        for number in range(3):
            sizes = [rng.randrange(1, 4) for _ in range(rng.randrange(1, 5))]
            chosen = [[rng.randrange(40) for _ in range(size)] for size in sizes]
            for indices in chosen:
                trainer.train_step(collate([dataset[i] for i in indices]))
            metrics = trainer.optimizer_step()
            loss, tokens = toy_loss(model, collate([dataset[i] for indices in chosen for i in indices]))
            g = torch.cat([each.flatten() for each in torch.autograd.grad(loss / tokens, list(model.parameters()))])
            expect_close(metrics["grad_norm"], g.norm().item(), rtol=1e-5, what="grad_norm of an update")
            expect_close(metrics["loss"], loss.item() / tokens, rtol=1e-6, what="the loss of an update")
            if limit is not None:
                g = g * min(1.0, limit / (g.norm().item() + 1e-6))
            nn.utils.vector_to_parameters(flat(model) - 0.1 * 0.9**number * g, model.parameters())
            expect_close(
                flat(trainer.model),
                flat(model),
                rtol=1e-6,
                atol=1e-7,
                what=f"the weights after update {number + 1}, from batches of {sizes} windows, max_grad_norm {limit}",
            )


class Broken(ToyTrainer):
    """Its loss is multiplied by `factor`."""

    factor = 1.0

    def compute_loss(self, batch: Any) -> tuple[Tensor, int]:
        loss, tokens = super().compute_loss(batch)
        return loss * self.factor, tokens


@pytest.mark.task("update")
def test_broken_numbers_stop_the_run() -> None:
    """A loss or a gradient that is NaN or infinite raises FloatingPointError, and nothing has moved."""
    for factor in (math.nan, math.inf):
        trainer = toy_trainer(Windows(4), kind=Broken, max_grad_norm=1.0)
        batch = collate([trainer.train_dataset[i] for i in range(3)])
        for _ in range(6):
            trainer.train_step(batch)
            trainer.optimizer_step()
        before = flat(trainer.model)
        trainer.factor = factor
        trainer.train_step(batch)
        what = f"optimizer_step of update 7, whose loss is {factor}"
        with expect_raises(FloatingPointError, what=what, match=r"\b7\b", mistake="broken-numbers-ignored"):
            trainer.optimizer_step()
        expect_close(
            flat(trainer.model), before, rtol=0, atol=0, what=f"the weights after {what}", mistake="checked-too-late"
        )
        counts = [trainer.optimizer.steps, trainer.scheduler.completed, trainer.global_step]
        expect_equal(
            counts,
            [6, 6, 6],
            what=f"steps of optimizer, scheduler and trainer after {what}",
            mistake="checked-too-late",
        )


@pytest.mark.task("update")
def test_infinite_gradient_of_a_finite_loss() -> None:
    """The norm is looked at too: a gradient can overflow where the loss does not."""
    trainer = toy_trainer(Windows(4))
    before = flat(trainer.model)
    trainer.train_step(collate([trainer.train_dataset[0]]))
    next(iter(trainer.model.parameters())).grad[0, 0] = math.inf
    what = "optimizer_step with an infinite gradient"
    with expect_raises(FloatingPointError, what=what, match=r"\b1\b", mistake="only-the-loss-checked"):
        trainer.optimizer_step()
    expect_close(flat(trainer.model), before, rtol=0, atol=0, what=f"the weights after {what}")


@pytest.mark.task("update")
def test_update_without_predictions() -> None:
    """Where all labels are -100, the loss is 0 and the weights stay; an update may also contain such a micro-batch."""
    trainer = toy_trainer(Windows(4))
    batch = collate([trainer.train_dataset[i] for i in range(2)])
    empty = {"input_ids": batch["input_ids"], "labels": torch.full_like(batch["labels"], -100)}
    before = flat(trainer.model)
    trainer.train_step(empty)
    with diagnosing("no-predictions-divided", ZeroDivisionError, FloatingPointError):
        metrics = trainer.optimizer_step()
    expect_close(flat(trainer.model), before, what="the weights after an update without predictions")
    expect_equal([metrics["loss"], metrics["tokens"]], [0.0, 0], what="its loss and tokens")
    mixed, alone = toy_trainer(Windows(4)), toy_trainer(Windows(4))
    for each, batches in ((mixed, [empty, batch, empty]), (alone, [batch])):
        for micro_batch in batches:
            each.train_step(micro_batch)
        each.optimizer_step()
    expect_close(
        flat(mixed.model),
        flat(alone.model),
        rtol=0,
        atol=1e-12,
        what="the weights after an update with two micro-batches that hold no predictions",
    )


@pytest.mark.task("update")
def test_update_leaves_a_clean_slate() -> None:
    """After an update: no gradients, and both sums at zero."""
    trainer = toy_trainer(Windows(4))
    trainer.train_step(collate([trainer.train_dataset[0]]))
    trainer.optimizer_step()
    left = [p.grad is not None and bool(p.grad.any()) for p in trainer.model.parameters()]
    expect_equal(left, [False] * 3, what="gradients that are left after an update", mistake="gradients-kept")
    sums = [float(trainer.window_loss), trainer.window_tokens]
    expect_equal(sums, [0.0, 0], what="window_loss and window_tokens after an update", mistake="sums-kept")


@pytest.mark.task("update")
def test_update_with_frozen_parameters() -> None:
    """A parameter that takes no part has no gradient; the others move as ever."""
    trainer = toy_trainer(Windows(4), max_grad_norm=0.01)
    trainer.model[0].weight.requires_grad_(False)
    before = trainer.model[0].weight.clone(), trainer.model[3].weight.clone()
    trainer.train_step(collate([trainer.train_dataset[0]]))
    trainer.optimizer_step()
    expect_close(trainer.model[0].weight.detach(), before[0], rtol=0, atol=0, what="a frozen weight after an update")
    expect(
        not torch.equal(trainer.model[3].weight, before[1]),
        "They have not moved.",
        what="the other weights",
    )


class Shared(ToyTrainer):
    """As where two processes share an update: the sums are those of both, halved."""

    def optimizer_step(self) -> dict[str, float]:
        self.window_tokens = 8.0
        self.window_loss = torch.tensor(20.0, dtype=torch.float64)
        return super().optimizer_step()


@pytest.mark.task("update")
def test_sums_can_be_replaced() -> None:
    """What divides the gradients is window_tokens, and the loss is window_loss, as they are when the update is made."""
    trainer, alone = toy_trainer(Windows(4), kind=Shared), toy_trainer(Windows(4))
    batch = collate([trainer.train_dataset[0], trainer.train_dataset[1]])
    _, tokens = toy_loss(alone.model, batch)
    for each in (trainer, alone):
        each.train_step(batch)
    metrics = trainer.optimizer_step()
    alone.optimizer_step()
    start = flat(toy_model())
    expect_close(
        flat(trainer.model) - start,
        (flat(alone.model) - start) * tokens / 8.0,
        rtol=1e-9,
        atol=1e-12,
        what="how far the weights moved, when a subclass has set window_tokens to 8",
        lookalikes={"own-sums": flat(alone.model) - start},
    )
    expect_close(
        metrics["loss"], 2.5, what="the loss, when a subclass has set window_loss to 20 and window_tokens to 8"
    )


# ------------------------------------------------------------------------------------------------------- random_state


@pytest.mark.task("random-state")
def test_a_state_can_be_used_twice() -> None:
    """Restoring does not use the state up, and drawing does not change it."""
    seed_all(6)
    three_draws()
    state = random_state()
    wanted = three_draws()
    for attempt in (1, 2):
        with diagnosing("state-used-up", KeyError, IndexError, ValueError, TypeError):
            restore_random_state(state)
        found = three_draws()
        for name in wanted:
            expect_equal(
                found[name], wanted[name], what=f"numbers from {name}, restored time {attempt}", mistake="state-used-up"
            )


@pytest.mark.task("random-state")
def test_normal_numbers_come_in_pairs() -> None:
    """NumPy and random compute two normal numbers at once and keep the second: it belongs to the state."""
    seed_all(7)
    np.random.randn()
    random.gauss(0.0, 1.0)
    state = random_state()
    wanted = [float(np.random.randn()), random.gauss(0.0, 1.0)]
    seed_all(8)
    np.random.randn()
    restore_random_state(state)
    found = [float(np.random.randn()), random.gauss(0.0, 1.0)]
    expect_equal(found[0], wanted[0], what="the second normal number of NumPy", mistake="second-normal-number-lost")
    expect_equal(found[1], wanted[1], what="the second normal number of random", mistake="second-normal-number-lost")


@pytest.mark.task("random-state")
def test_taking_a_state_draws_nothing() -> None:
    """random_state leaves the streams where they are."""
    seed_all(9)
    wanted = three_draws()
    seed_all(9)
    random_state()
    random_state()
    found = three_draws()
    for name in wanted:
        expect_equal(found[name], wanted[name], what=f"the next numbers from {name}", mistake="taking-draws")


# ----------------------------------------------------------------------------------------------------------- evaluate


@pytest.mark.task("evaluate")
def test_evaluation_leaves_the_streams_alone() -> None:
    """A dataset that draws from all three streams, and dropout: the next random numbers are as if nothing had been."""
    trainer = toy_trainer(Windows(4), eval_dataset=Windows(5, noise=True), dropout=0.5)
    trainer.model.train()
    seed_all(10)
    wanted = three_draws()
    seed_all(10)
    trainer.evaluate()
    found = three_draws()
    mistake = "only-torch-restored" if found["torch"] == wanted["torch"] else "streams-disturbed"
    for name in wanted:
        expect_equal(
            found[name], wanted[name], what=f"the next numbers from {name} after an evaluation", mistake=mistake
        )


@pytest.mark.task("evaluate")
def test_watching_changes_nothing() -> None:
    """Six updates with an evaluation after each give the weights of six updates without."""
    ends = []
    for watched in (False, True):
        seed_all(11)
        trainer = toy_trainer(Windows(6, noise=True), dropout=0.3, max_steps=6, eval_dataset=Windows(5, noise=True))
        trainer.model.train()
        for _ in range(6):
            trainer.train_step(collate([trainer.train_dataset[i] for i in range(3)]))
            trainer.optimizer_step()
            if watched:
                trainer.evaluate()
        ends.append(flat(trainer.model))
    expect_close(ends[1], ends[0], rtol=0, atol=0, what="the weights of a run that was evaluated after every update")


class Observed(ToyTrainer):
    """Notes whether gradients are on, and the modes of the model. Raises at `fail_at`."""

    fail_at = -1

    def compute_loss(self, batch: Any) -> tuple[Tensor, int]:
        self.seen = [*getattr(self, "seen", []), (torch.is_grad_enabled(), self.model.training)]
        if len(self.seen) == self.fail_at:
            raise RuntimeError("out of memory, say")
        return super().compute_loss(batch)


@pytest.mark.task("evaluate")
def test_evaluation_keeps_no_graph() -> None:
    """Gradients are switched off while it runs, and on again afterwards; the data come in their own order, once."""
    trainer = toy_trainer(Windows(4), kind=Observed, eval_dataset=Windows(5))
    trainer.evaluate()
    expect_equal(
        trainer.seen,
        [(False, False)] * 3,
        what="whether gradients are on, and the model in training mode, in the three batches",
        lookalikes={"graph-while-evaluating": [(True, False)] * 3, "dropout-while-evaluating": [(False, True)] * 3},
    )
    expect(torch.is_grad_enabled(), "They are off.", what="gradients after evaluate", expected="on")
    expect_equal(
        [int(i) for i in trainer.eval_dataset.asked],
        [0, 1, 2, 3, 4],
        what="the order in which eval_dataset was asked",
    )


@pytest.mark.task("evaluate")
def test_interrupted_evaluation_leaves_no_trace_either() -> None:
    """When an error ends it, modes and streams are as before all the same."""
    trainer = toy_trainer(Windows(4), kind=Observed, eval_dataset=Windows(5, noise=True))
    trainer.fail_at = 2
    trainer.model.train()
    seed_all(12)
    wanted = three_draws()
    seed_all(12)
    with expect_raises(RuntimeError, what="evaluate, when compute_loss raises", match="out of memory"):
        trainer.evaluate()
    expect(
        all(module.training for module in trainer.model.modules()),
        "It is in eval mode.",
        what="the model after an evaluation that failed",
        expected="training mode",
        mistake="not-restored-after-an-error",
    )
    expect_equal(
        three_draws(), wanted, what="the next random numbers afterwards", mistake="not-restored-after-an-error"
    )


class Huge(ToyTrainer):
    def compute_loss(self, batch: Any) -> tuple[Tensor, int]:
        return torch.tensor(8000.0), 10


@pytest.mark.task("evaluate")
def test_evaluate_at_its_edges() -> None:
    """A loss of 800 has an infinite perplexity; no prediction at all gives 0 and 1; plain numbers; no eval_dataset."""
    trainer = toy_trainer(Windows(4), kind=Huge, eval_dataset=Windows(5))
    with diagnosing("perplexity-overflows", OverflowError):
        found = trainer.evaluate()
    wanted = {"eval_loss": 800.0, "eval_perplexity": math.inf, "eval_tokens": 30}
    expect_equal(found, wanted, what="what evaluate returns where the loss is 800")
    ignored = Windows(3)
    ignored.labels[:] = -100
    with diagnosing("no-predictions-to-evaluate", ZeroDivisionError):
        found = toy_trainer(Windows(4), eval_dataset=ignored).evaluate()
    wanted = {"eval_loss": 0.0, "eval_perplexity": 1.0, "eval_tokens": 0}
    expect_equal(found, wanted, what="what evaluate returns where all labels are -100")
    with expect_raises(ValueError, what="evaluate without an eval_dataset"):
        toy_trainer(Windows(4)).evaluate()


@pytest.mark.task("evaluate")
def test_evaluate_random_datasets() -> None:
    """Datasets of one to nine windows in batches of one to four: always the mean over all predictions."""
    for seed in range(12):
        rng = random.Random(seed)
        dataset = Windows(rng.randrange(1, 10), seed=seed)
        trainer = toy_trainer(Windows(4), eval_dataset=dataset, batch_size=rng.randrange(1, 5))
        total, tokens = toy_loss(toy_model(), collate([dataset[i] for i in range(len(dataset))]))
        found = trainer.evaluate()
        expect_equal(found["eval_tokens"], tokens, what="eval_tokens")
        expect_close(found["eval_loss"], total.item() / tokens, rtol=1e-6, what="eval_loss")


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
        self.stop_at = -1

    def epoch_batches(self, epoch: int, start: int = 0) -> Iterator[dict[str, Tensor]]:
        n, size = len(self.train_dataset), self.config.batch_size
        order = [(epoch + i) % n for i in range(n)][start:]
        for first in range(0, len(order), size):
            yield {"x": torch.tensor(order[first : first + size])}

    def train_step(self, batch: Any) -> None:
        self.pending.append(batch["x"].tolist())

    def optimizer_step(self) -> dict[str, float]:
        self.updates.append(self.pending)
        self.pending = []
        self.global_step += 1
        return {"loss": 1.0 / self.global_step}

    def log(self, metrics: Any) -> None:
        self.calls.append(("log", self.global_step, *metrics))

    def evaluate(self) -> dict[str, float]:
        self.calls.append(("evaluate", self.global_step))
        return {"eval_loss": 0.5}

    def on_update(self, metrics: dict[str, float]) -> None:
        self.calls.append(("on_update", self.global_step, *metrics))
        self.should_stop = self.should_stop or self.global_step == self.stop_at

    def save_checkpoint(self) -> Path:
        n = len(self.train_dataset)
        epoch, seen = (self.epoch + 1, 0) if self.windows_seen == n else (self.epoch, self.windows_seen)
        self.calls.append(("save", self.global_step, epoch, seen))
        return Path("nowhere")

    def steps(self, kind: str) -> list[int]:
        return [call[1] for call in self.calls if call[0] == kind]


def recorded(count: int, **options: Any) -> Recorded:
    return toy_trainer(Windows(count), kind=Recorded, **options)


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
def test_train_with_all_kinds_of_ends() -> None:
    """Datasets, batches and accumulation of many sizes: the right windows in every update, and exactly max_steps."""
    for seed in range(40):
        rng = random.Random(seed)
        n, size, accumulate, steps = (rng.randrange(1, top) for top in (14, 5, 5, 12))
        trainer = recorded(n, batch_size=size, gradient_accumulation_steps=accumulate, max_steps=steps)
        trainer.train()
        expect_equal(
            trainer.updates,
            planned(n, size, accumulate, steps),
            what=f"{steps} updates over {n} windows in batches of {size}, {accumulate} batches to an update",
        )


@pytest.mark.task("train-loop")
def test_order_after_an_update(tmp_path: Path) -> None:
    """log, on_update, evaluate, its log, save; at every step, when all are due."""
    options = {"logging_steps": 1, "eval_steps": 1, "save_steps": 1}
    trainer = recorded(8, max_steps=2, checkpoint_dir=tmp_path, eval_dataset=Windows(1), **options)
    trainer.train()
    wanted = [
        call
        for step in (1, 2)
        for call in (
            ("log", step, "loss"),
            ("on_update", step, "loss"),
            ("evaluate", step),
            ("log", step, "eval_loss"),
            ("save", step, 0, 2 * step),
        )
    ]
    expect_equal(
        trainer.calls,
        wanted,
        what="what was called after two updates",
        lookalikes={
            "last-save-twice": [*wanted, wanted[-1]],
            "saved-before-the-rest": [wanted[i] for i in (0, 4, 1, 2, 3, 5, 9, 6, 7, 8)],
            "hook-before-the-log": [wanted[i] for i in (1, 0, 2, 3, 4, 6, 5, 7, 8, 9)],
            "hook-after-evaluation": [wanted[i] for i in (0, 2, 3, 1, 4, 5, 7, 8, 6, 9)],
        },
    )


@pytest.mark.task("train-loop")
def test_train_stops_when_asked(tmp_path: Path) -> None:
    """should_stop ends training after the update in progress, in the middle of an epoch, with a checkpoint."""
    trainer = recorded(20, max_steps=50, checkpoint_dir=tmp_path)
    trainer.stop_at = 3
    trainer.train()
    expect_equal(
        trainer.global_step,
        3,
        what="global_step after should_stop was set in update 3 (10 updates an epoch, max_steps 50)",
        lookalikes={"stop-ignored": 50, "stops-at-the-epochs-end": 10},
    )
    expect_equal(trainer.steps("save"), [3], what="the steps of save_checkpoint", lookalikes={"no-last-save": []})
    trainer.should_stop = False
    trainer.stop_at = 5
    trainer.train()
    expect_equal(trainer.updates, planned(20, 2, 1, 5), what="the windows of all updates, after going on to 5")
    expect_equal(trainer.steps("save"), [3, 5], what="the steps of save_checkpoint, after going on to 5")


@pytest.mark.task("train-loop")
def test_train_with_nothing_to_do(tmp_path: Path) -> None:
    """A run that has made max_steps updates, or was told to stop, makes none, and saves nothing."""
    for step, stop in ((4, False), (6, False), (1, True)):
        trainer = recorded(8, max_steps=4, checkpoint_dir=tmp_path)
        trainer.global_step, trainer.should_stop = step, stop
        trainer.train()
        what = f"updates of a run at step {step} of 4, should_stop {stop}"
        expect_equal(trainer.updates, [], what=what, mistake="one-more-update")
        expect_equal(trainer.calls, [], what=f"calls of a run at step {step} of 4", mistake="saved-without-an-update")


@pytest.mark.task("train-loop")
def test_what_is_not_there_is_not_used() -> None:
    """No eval_dataset: no evaluation. No checkpoint_dir: no checkpoint."""
    trainer = recorded(8, max_steps=3, eval_steps=1, save_steps=1)
    trainer.train()
    expect_equal(trainer.steps("evaluate"), [], what="evaluations without an eval_dataset")
    expect_equal(trainer.steps("save"), [], what="checkpoints without a checkpoint_dir")


@pytest.mark.task("train-loop")
def test_training_goes_on_in_training_mode() -> None:
    """Dropout is at work in every update, also after an evaluation."""
    trainer = toy_trainer(Windows(8), kind=Observed, max_steps=3, eval_steps=1, eval_dataset=Windows(2), dropout=0.5)
    trainer.model.eval()
    trainer.train()
    expect_equal(
        [mode for grad, mode in trainer.seen if grad],
        [True, True, True],
        what="whether the model was in training mode in three updates",
        mistake="train-mode-not-set",
    )


# ----------------------------------------------------------------------------------------------------------- rotation


def checkpoints(directory: Path, *names: str) -> None:
    for name in names:
        with new_checkpoint(directory / name) as folder:
            write_state({"name": name}, folder)


@pytest.mark.task("rotation")
def test_no_folder_no_checkpoints(tmp_path: Path) -> None:
    """A folder that does not exist has no checkpoints, and is not made."""
    with diagnosing("missing-folder-raises", FileNotFoundError):
        found, latest = list_checkpoints(tmp_path / "none"), latest_checkpoint(tmp_path / "none")
    expect_equal(found, [], what="the checkpoints of a folder that does not exist")
    expect(latest is None, "It is something.", what="the latest of them", expected=None)
    expect(not (tmp_path / "none").exists(), "It was made.", what="the folder afterwards")


@pytest.mark.task("rotation")
def test_latest_of_damaged_ones(tmp_path: Path) -> None:
    """Without a manifest, without a file, with a changed byte: all are passed over; if nothing is whole, None."""
    checkpoints(tmp_path, *(f"step-{step}" for step in (1, 2, 3, 4)))
    (tmp_path / "step-4" / "manifest.json").unlink()
    (tmp_path / "step-3" / STATE).unlink()
    content = bytearray((tmp_path / "step-2" / STATE).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "step-2" / STATE).write_bytes(content)
    with diagnosing("damaged-latest-raises", ValueError, OSError):
        latest = latest_checkpoint(tmp_path)
    expect_equal(
        latest and latest.name,
        "step-1",
        what="the latest of steps 1, 2, 3, 4, of which 2, 3 and 4 are damaged",
        lookalikes={"validity-ignored": "step-4", "only-the-last-tried": None},
    )
    (tmp_path / "step-1" / "manifest.json").write_text("{", encoding="utf-8")
    with diagnosing("damaged-latest-raises", ValueError, OSError):
        expect(latest_checkpoint(tmp_path) is None, "It is something.", what="the latest where nothing is whole")
    expect_equal(len(list_checkpoints(tmp_path)), 4, what="how many are there afterwards", mistake="damaged-removed")


@pytest.mark.task("rotation")
def test_prune_never_touches_later_steps(tmp_path: Path) -> None:
    """A run was taken up again at 20 and saves 30, while 100 and 200 are still there."""
    checkpoints(tmp_path, "step-10", "step-20", "step-100", "step-200", "step-30")
    prune_checkpoints(tmp_path / "step-30", keep=2)
    expect_equal(
        names(list_checkpoints(tmp_path)),
        ["step-20", "step-30", "step-100", "step-200"],
        what="what is left of 10, 20, 30, 100, 200 after saving 30 with keep=2",
        lookalikes={
            "later-steps-counted": ["step-100", "step-200"],
            "later-steps-removed": ["step-20", "step-30"],
        },
    )


@pytest.mark.task("rotation")
def test_prune_to_one(tmp_path: Path) -> None:
    """keep=1 leaves the newest alone, and nothing that is no checkpoint is touched."""
    checkpoints(tmp_path, "step-000003", "step-000001", "step-000002")
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "notes.txt").write_text("mine\n", encoding="utf-8")
    (tmp_path / "metrics.jsonl").write_text("{}\n", encoding="utf-8")
    prune_checkpoints(tmp_path / "step-000003", keep=1)
    expect_equal(
        sorted(path.name for path in tmp_path.iterdir()),
        ["best", "metrics.jsonl", "step-000003"],
        what="what is in the folder after keep=1",
        lookalikes={"others-removed": ["metrics.jsonl", "step-000003"]},
    )


# ------------------------------------------------------------------------------------------------------------- resume


def noisy_run(tmp_path: Path, *, seed: int, folder: str, **options: Any) -> Any:
    """Dropout, AdamW, a schedule, two batches to an update, windows with random noise, and evaluations between."""
    seed_all(seed)
    settings = {"max_steps": 9, "gradient_accumulation_steps": 2, "save_steps": 1, "save_total_limit": None}
    settings |= {"logging_steps": 1, "eval_steps": 2, "max_grad_norm": 1.0, "seed": 4} | options
    return toy_trainer(
        Windows(11, noise=True),
        dropout=0.3,
        adamw=True,
        eval_dataset=Windows(3, noise=True),
        checkpoint_dir=tmp_path / folder,
        **settings,
    )


@pytest.mark.task("resume")
def test_resumed_anywhere(tmp_path: Path) -> None:
    """Nine updates, cut at each of the eight places between them: weights, averages and log equal to the last bit."""
    straight = noisy_run(tmp_path, seed=1, folder="straight")
    straight.train()
    averages = [state["exp_avg_sq"] for state in straight.optimizer.state.values()]
    for step in range(1, 9):
        resumed = noisy_run(tmp_path, seed=20 + step, folder=f"from {step}")
        three_draws()
        resumed.load_checkpoint(tmp_path / "straight" / checkpoint_name(step))
        resumed.train()
        rest = [entry for entry in straight.history if entry["step"] > step]
        expect_equal(resumed.history, rest, what=f"the log of the updates after resuming at {step}")
        expect_close(flat(resumed.model), flat(straight.model), rtol=0, atol=0, what=f"the weights, resumed at {step}")
        found = [state["exp_avg_sq"] for state in resumed.optimizer.state.values()]
        for one, other in zip(found, averages):
            expect_close(one, other, rtol=0, atol=0, what=f"the averages of AdamW, resumed at {step}")


class DrawingReader(ToyTrainer):
    """Reading its model draws random numbers, as building one would."""

    def read_model(self, folder: Path) -> None:
        super().read_model(folder)
        three_draws()


@pytest.mark.task("resume")
def test_random_state_is_restored_last(tmp_path: Path) -> None:
    """Loading may draw random numbers itself: the streams are set when all else is done."""
    seed_all(13)
    old = toy_trainer(Windows(4), checkpoint_dir=tmp_path)
    folder = old.save_checkpoint()
    wanted = three_draws()
    new = toy_trainer(Windows(4), kind=DrawingReader)
    seed_all(14)
    new.load_checkpoint(folder)
    expect_equal(three_draws(), wanted, what="the next random numbers after loading", mistake="streams-restored-first")


class Failing(ToyTrainer):
    """Cannot write its model from `fail_at` on."""

    fail_at = 3

    def write_model(self, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half a mod")
        if self.global_step >= self.fail_at:
            raise OSError(28, "No space left on device")
        super().write_model(folder)


@pytest.mark.task("resume")
def test_failed_save_costs_nothing(tmp_path: Path) -> None:
    """When a checkpoint cannot be written, the earlier ones are all there, whole, and nothing half done is visible."""
    trainer = toy_trainer(
        Windows(8), kind=Failing, max_steps=9, save_steps=1, save_total_limit=2, checkpoint_dir=tmp_path
    )
    what = "training when write_model finds the disk full at update 3"
    with expect_raises((OSError, ValueError), what=what, mistake="hooks-passed-over"):
        trainer.train()
    expect_equal(
        sorted(path.name for path in tmp_path.iterdir()),
        ["step-000001", "step-000002"],
        what="what is in checkpoint_dir after the third save failed, with save_total_limit 2",
        lookalikes={
            "pruned-first": ["step-000002"],
            "written-in-place": ["step-000001", "step-000002", "step-000003"],
        },
    )
    latest = latest_checkpoint(tmp_path)
    expect_equal(latest and latest.name, "step-000002", what="the latest whole checkpoint afterwards")


@pytest.mark.task("resume")
def test_damaged_checkpoint_changes_nothing(tmp_path: Path) -> None:
    """A checkpoint with one changed byte is refused before anything is loaded."""
    old = toy_trainer(Windows(8), max_steps=2, checkpoint_dir=tmp_path)
    old.train()
    folder = tmp_path / "step-000002"
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    new = toy_trainer(Windows(8))
    before = flat(new.model)
    what = "load_checkpoint of a folder in which one bit has changed"
    with expect_raises(ValueError, what=what, mistake="not-verified"):
        new.load_checkpoint(folder)
    expect_close(
        flat(new.model), before, rtol=0, atol=0, what="the weights afterwards", mistake="loaded-before-verified"
    )
    expect_equal(
        [new.global_step, new.windows_seen], [0, 0], what="the counts afterwards", mistake="loaded-before-verified"
    )


@pytest.mark.task("resume")
def test_same_step_saved_again(tmp_path: Path) -> None:
    """A checkpoint of the same name gives way to the new one."""
    trainer = toy_trainer(Windows(8), checkpoint_dir=tmp_path)
    trainer.save_checkpoint()
    with torch.no_grad():
        trainer.model[3].bias.fill_(7.0)
    with diagnosing("same-step-refused", ValueError, OSError):
        folder = trainer.save_checkpoint()
    new = toy_trainer(Windows(8))
    new.load_checkpoint(folder)
    expect_close(
        new.model[3].bias.detach(),
        torch.full((13,), 7.0, dtype=torch.float64),
        what="a bias that was 7 when step 0 was saved for the second time",
    )


class Hooked(ToyTrainer):
    """Keeps its model in a file of its own."""

    def write_model(self, folder: Path) -> None:
        (folder / "mine").mkdir()
        torch.save(self.model.state_dict(), folder / "mine" / "weights.pt")

    def read_model(self, folder: Path) -> None:
        self.model.load_state_dict(torch.load(folder / "mine" / "weights.pt", weights_only=True))


@pytest.mark.task("resume")
def test_the_model_goes_through_its_hooks(tmp_path: Path) -> None:
    """write_model and read_model of a subclass decide what the model looks like on disk."""
    old = toy_trainer(Windows(8), kind=Hooked, max_steps=3, checkpoint_dir=tmp_path)
    old.train()
    new = toy_trainer(Windows(8), kind=Hooked)
    with diagnosing("hooks-passed-over", OSError, RuntimeError, ValueError):
        new.load_checkpoint(tmp_path / "step-000003")
    expect_close(flat(new.model), flat(old.model), rtol=0, atol=0, what="the weights", mistake="hooks-passed-over")


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


@pytest.mark.task("resume")
def test_state_is_plain_and_can_be_used_again(tmp_path: Path) -> None:
    """torch.load reads the state of a trainer with weights_only=True, and loading leaves it as it was."""
    old = noisy_run(tmp_path, seed=3, folder="old", max_steps=2)
    old.train()
    state = loaded_plainly(old.state_dict(), tmp_path / "state.pt", mistake="whole-objects-saved")
    new = noisy_run(tmp_path, seed=4, folder="new")
    with expect_unchanged(state, what="a state that was loaded", mistake="loading-uses-the-state-up"):
        new.load_state_dict(state)
    expect_equal([new.global_step, new.windows_seen], [2, 8], what="global_step and windows_seen after loading")


# ------------------------------------------------------------------------------------------------------ TrainerLogger


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.task("trainer-logger")
def test_torn_line_is_removed(tmp_path: Path) -> None:
    """A process was killed while it wrote the last line: the line goes, and the next one is whole."""
    for resume_step in (None, 20):
        path = tmp_path / f"{resume_step}.jsonl"
        path.write_text('{"step": 10, "loss": 2.0}\n{"step": 20, "lo', encoding="utf-8")
        with diagnosing("torn-line-kept", ValueError, KeyError):
            logger = TrainerLogger(path, resume_step=resume_step)
            logger.log({"loss": 1.0}, step=20)
            logger.close()
            expect_equal(
                lines(path),
                [{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.0}],
                what=f"the lines after a torn one, with resume_step {resume_step}",
            )


@pytest.mark.task("trainer-logger")
def test_numbers_that_json_does_not_know(tmp_path: Path) -> None:
    """Infinity and NaN are written as null; the metrics that were given stay as they are, for trackers too."""
    told: list[Any] = []
    tracker = SimpleNamespace(log=lambda metrics, *, step: told.append(dict(metrics)), close=lambda: None)
    logger = TrainerLogger(tmp_path / "metrics.jsonl", trackers=[tracker])
    metrics = {"eval_loss": 800.0, "eval_perplexity": math.inf, "grad_norm": math.nan, "tokens": 3}
    with diagnosing("infinity-written", ValueError):
        logger.log(metrics, step=1)
    logger.close()
    text = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    expect(
        "Infinity" not in text and "NaN" not in text,
        "It is not JSON: only Python would read it.",
        what="the line of an infinite perplexity and a norm that is NaN",
        expected="null",
        actual=text.strip(),
        mistake="infinity-written",
    )
    expect_equal(
        lines(tmp_path / "metrics.jsonl"),
        [{"step": 1, "eval_loss": 800.0, "eval_perplexity": None, "grad_norm": None, "tokens": 3}],
        what="the line of an infinite perplexity and a norm that is NaN",
        lookalikes={"infinity-left-out": [{"step": 1, "eval_loss": 800.0, "tokens": 3}]},
    )
    expect(
        metrics["eval_perplexity"] == math.inf and len(metrics) == 4,
        "They have changed.",
        what="the metrics that were given",
        mistake="log-changes-metrics",
    )
    expect_equal(told[0]["eval_perplexity"], math.inf, what="what the tracker was given")


@pytest.mark.task("trainer-logger")
def test_the_file_comes_before_the_trackers(tmp_path: Path) -> None:
    """When a tracker fails, the line is in the file already."""
    path = tmp_path / "metrics.jsonl"
    found: list[int] = []

    def log(metrics: Any, *, step: int) -> None:
        found.append(path.read_text(encoding="utf-8").count("\n"))
        raise ConnectionError("no network")

    logger = TrainerLogger(path, trackers=[SimpleNamespace(log=log, close=lambda: None)])
    with suppress(ConnectionError):
        logger.log({"loss": 1.0}, step=1)
    expect_equal(found, [1], what="how many lines a tracker finds in the file", mistake="trackers-first")
    expect_equal(lines(path), [{"step": 1, "loss": 1.0}], what="the lines afterwards")
    logger.close()


@pytest.mark.task("trainer-logger")
def test_the_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    """Lines are removed by putting another file in its place: a power cut finds the old one or the new one."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n', encoding="utf-8")
    before = path.stat().st_ino
    TrainerLogger(path, resume_step=1).close()
    expect_equal(lines(path), [{"step": 1}], what="the lines after resuming at 1")
    expect(
        path.stat().st_ino != before,
        "It is the same file, which was emptied and written anew.",
        what="a file of which lines were removed",
        expected="another file, put in its place in one step",
        mistake="rewritten-in-place",
    )
    expect_equal(names(list(tmp_path.iterdir())), ["metrics.jsonl"], what="what is in the folder afterwards")


@pytest.mark.task("trainer-logger")
def test_logger_at_its_edges(tmp_path: Path) -> None:
    """Resuming where there is no file; resuming at 0; closing twice; a list of trackers that stays the caller's."""
    path = tmp_path / "a" / "metrics.jsonl"
    with diagnosing("no-file-to-resume", FileNotFoundError):
        logger = TrainerLogger(path, resume_step=7)
    logger.log({"loss": 1.0}, step=8)
    logger.close()
    with diagnosing("closed-twice-raises", ValueError):
        logger.close()
    expect_equal(lines(path), [{"step": 8, "loss": 1.0}], what="the lines of a new file")
    closed: list[int] = []
    trackers = [SimpleNamespace(log=lambda metrics, *, step: None, close=lambda: closed.append(1))]
    logger = TrainerLogger(path, trackers=trackers, resume_step=0)
    logger.close()
    logger.close()
    expect_equal(lines(path), [], what="the lines after resuming at 0", mistake="zero-as-none")
    expect_equal([len(closed), len(trackers)], [1, 1], what="how often a tracker was closed; the caller's list")


# ---------------------------------------------------------------------------------------------------- PretrainTrainer


class Wrapper(nn.Module):
    """As DistributedDataParallel does: the model is inside, and calls go through here."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.calls = 0

    def forward(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        return self.module(*args, **options)


class TinyLM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(draw(11, 11, seed=5))

    def forward(self, input_ids: Tensor, **_: Any) -> Any:
        return SimpleNamespace(logits=self.table[input_ids] + 0.5 * self.table[input_ids.roll(1, dims=1)])


@pytest.mark.task("pretrain-trainer")
def test_pretraining_of_random_batches() -> None:
    """Batches of many shapes: the loss is the sum over the next tokens, its gradient too, and the count an int."""
    for seed in range(12):
        rng = random.Random(seed)
        B, T = rng.randrange(1, 5), rng.randrange(2, 8)
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(0, 11, (B, T), generator=generator)
        labels = ids.clone()
        labels[torch.rand(B, T, generator=generator) < 0.3] = -100
        model = Wrapper(TinyLM())
        optimizer = Sgd(model, 0.1)
        config = TrainerConfig(max_steps=1)
        trainer = PretrainTrainer(model, optimizer, Schedule(optimizer), Windows(1), config=config)
        batch = {"input_ids": ids, "labels": labels}
        with expect_unchanged(batch, what="the batch", mistake="labels-changed"):
            loss, tokens = trainer.compute_loss(batch)
        log_p = TinyLM()(ids).logits.log_softmax(-1)[:, :-1]
        kept = labels[:, 1:] != -100
        wanted = -log_p[kept].gather(-1, labels[:, 1:][kept][:, None]).sum()
        expect_close(loss, wanted.detach(), rtol=1e-6, what=f"the loss of {B} windows of {T} tokens")
        expect_equal(tokens, int(kept.sum()), what=f"the number of predictions in {B} windows of {T} tokens")
        expect_equal(model.calls, 1, what="how often the wrapped model was called", mistake="wrapper-passed-over")


@pytest.mark.task("pretrain-trainer")
@pytest.mark.integration
def test_your_model_trains_on_your_windows(tmp_path: Path) -> None:
    """Your CausalLM, data, loss, AdamW and schedule in your trainer: it learns, and goes on exactly after a stop."""
    from intro2llm.data.pretrain_dataset import PretrainDataset, pack_documents
    from intro2llm.model.causal_lm import CausalLM
    from intro2llm.model.config import ModelConfig
    from intro2llm.optimizer.scheduler import WarmupCosineScheduler

    sentence = [3, 1, 4, 1, 5, 9, 2, 6, 5, 8, 7]
    packed = pack_documents([sentence] * 12, eos_token_id=0)

    def build(seed: int) -> PretrainTrainer:
        torch.manual_seed(seed)
        model = CausalLM(
            ModelConfig(vocab_size=10, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
        )
        optimizer = build_optimizer(model, lr=0.02, weight_decay=0.1, betas=(0.9, 0.95))
        return PretrainTrainer(
            model,
            optimizer,
            WarmupCosineScheduler(optimizer, warmup_steps=3, total_steps=20),
            PretrainDataset(packed, seq_length=9),
            config=TrainerConfig(
                max_steps=20, batch_size=3, gradient_accumulation_steps=2, logging_steps=1, save_steps=8, eval_steps=10
            ),
            eval_dataset=PretrainDataset(packed[:27], seq_length=9),
            checkpoint_dir=tmp_path / str(seed),
        )

    straight = build(1)
    straight.train()
    losses = [entry["loss"] for entry in straight.history if "loss" in entry]
    expect(
        losses[-1] < 0.6 * losses[0],
        "It has hardly fallen.",
        what="the loss of your model on one sentence over 20 updates",
        expected=f"below {0.6 * losses[0]:.2f}",
        actual=f"{losses[0]:.2f} at first, {losses[-1]:.2f} at the end",
    )
    resumed = build(2)
    resumed.load_checkpoint(tmp_path / "1" / "step-000008")
    resumed.train()
    expect_close(
        flat(resumed.model),
        flat(straight.model),
        rtol=0,
        atol=0,
        what="the weights, after a stop at update 8 and without",
    )
