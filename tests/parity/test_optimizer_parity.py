"""Lesson 07's reference against torch.optim, against Lion's update in plain Python, and against itself resumed."""

import io
import math
import random

import pytest
import torch
from torch import Tensor, nn

from intro2llm.optimizer.adamw import AdamW
from intro2llm.optimizer.base_optimizer import CPU_BATCH, device_batches
from intro2llm.optimizer.lion import Lion
from intro2llm.optimizer.scheduler import WarmupCosineScheduler, learning_rate_factor

SHAPES = [(5, 3), (7,), (), (2, 3, 4)]
STEPS = 200


def draw(*shape: int, seed: int, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale).to(dtype)


def parameters(dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    return [nn.Parameter(draw(*shape, seed=i, dtype=dtype)) for i, shape in enumerate(SHAPES)]


def gradient(step: int, index: int, dtype: torch.dtype = torch.float64) -> Tensor | None:
    """Of very different sizes; the last parameter gets one in every third step only."""
    if index == 3 and step % 3:
        return None
    return draw(*SHAPES[index], seed=1000 * step + index, scale=10.0 ** (step % 5 - 3), dtype=dtype)


def move(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], steps: range) -> None:
    for step in steps:
        for index, parameter in enumerate(params):
            parameter.grad = gradient(step, index, parameter.dtype)
        optimizer.step()


def groups(params: list[nn.Parameter]) -> list[dict[str, object]]:
    return [{"params": params[:2]}, {"params": params[2:], "lr": 0.003, "weight_decay": 0.0}]


def assert_same(ours: list[nn.Parameter], theirs: list[nn.Parameter], *, rtol: float, atol: float) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.detach(), other.detach(), rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.1, "weight_decay": 0.5},
        {"lr": 0.1, "betas": (0.8, 0.95), "eps": 0.1, "weight_decay": 0.0},
        {"lr": 0.02, "betas": (0.0, 0.5), "eps": 1e-3, "weight_decay": 0.1},
    ],
    ids=str,
)
def test_adamw_is_torch_adamw(options):
    ours, theirs = parameters(), parameters()
    move(AdamW(groups(ours), **options), ours, range(STEPS))
    move(torch.optim.AdamW(groups(theirs), **options), theirs, range(STEPS))
    assert_same(ours, theirs, rtol=1e-9, atol=1e-11)


def test_adamw_is_torch_adamw_in_float32():
    """The order of operations differs, so equality is that of rounding: 200 steps of 1e-7 each, far from adding up."""
    ours, theirs = parameters(torch.float32), parameters(torch.float32)
    options = {"lr": 0.01, "betas": (0.9, 0.95), "weight_decay": 0.1}
    move(AdamW(groups(ours), **options), ours, range(STEPS))
    move(torch.optim.AdamW(groups(theirs), **options), theirs, range(STEPS))
    assert_same(ours, theirs, rtol=2e-5, atol=2e-6)


def lion_update(theta, m, g, *, lr, beta1, beta2, weight_decay):
    """Program 1 of the paper (arXiv 2302.06675), for one Python float."""
    mixture = beta1 * m + (1 - beta1) * g
    sign = (mixture > 0) - (mixture < 0)
    return theta - lr * (sign + weight_decay * theta), beta2 * m + (1 - beta2) * g


@pytest.mark.parametrize(
    ("lr", "betas", "weight_decay"), [(1e-4, (0.9, 0.99), 0.0), (0.03, (0.95, 0.98), 0.2), (0.01, (0.0, 0.0), 0.1)]
)
def test_lion_is_the_paper(lr, betas, weight_decay):
    rng = random.Random(7)
    theta, m = [rng.gauss(0, 1) for _ in range(11)], [0.0] * 11
    parameter = nn.Parameter(torch.tensor(theta, dtype=torch.float64))
    optimizer = Lion([parameter], lr=lr, betas=betas, weight_decay=weight_decay)
    for _ in range(STEPS):
        g = [rng.gauss(0, 10.0 ** rng.randrange(-3, 2)) for _ in theta]
        parameter.grad = torch.tensor(g, dtype=torch.float64)
        optimizer.step()
        pairs = [
            lion_update(*numbers, lr=lr, beta1=betas[0], beta2=betas[1], weight_decay=weight_decay)
            for numbers in zip(theta, m, g)
        ]
        theta, m = [list(column) for column in zip(*pairs)]
    expected = torch.tensor(theta, dtype=torch.float64)
    torch.testing.assert_close(parameter.detach(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("warmup", "total", "floor"), [(4, 12, 0.1), (2, 40, 0.0), (25, 200, 0.25)])
def test_schedule_is_that_of_torch(warmup, total, floor):
    """LinearLR from 1/W to 1 over W - 1 ticks, then CosineAnnealingLR over T - W, as a SequentialLR."""
    base = 0.3
    theirs = torch.optim.SGD(parameters(), lr=base)
    torchs = torch.optim.lr_scheduler
    linear = torchs.LinearLR(theirs, start_factor=1 / warmup, total_iters=warmup - 1)
    cosine = torchs.CosineAnnealingLR(theirs, T_max=total - warmup, eta_min=base * floor)
    their_scheduler = torchs.SequentialLR(theirs, [linear, cosine], milestones=[warmup - 1])
    ours = torch.optim.SGD(parameters(), lr=base)
    scheduler = WarmupCosineScheduler(ours, warmup_steps=warmup, total_steps=total, min_lr_ratio=floor)
    for completed in range(total):
        (rate,) = their_scheduler.get_last_lr()
        assert math.isclose(ours.param_groups[0]["lr"], rate, rel_tol=1e-9, abs_tol=1e-12), completed
        factor = learning_rate_factor(completed, warmup_steps=warmup, total_steps=total, min_lr_ratio=floor)
        assert math.isclose(base * factor, rate, rel_tol=1e-9, abs_tol=1e-12), completed
        for optimizer, one in ((theirs, their_scheduler), (ours, scheduler)):
            optimizer.step()
            one.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", [AdamW, Lion])
def test_resuming_is_bit_exact(kind, dtype):
    """Saved at any step and loaded into fresh objects, with several groups, a schedule, and 16 bits as well."""

    def fresh(params):
        optimizer = kind(groups(params), lr=0.05, weight_decay=0.1)
        return optimizer, WarmupCosineScheduler(optimizer, warmup_steps=4, total_steps=20)

    def train(params, optimizer, scheduler, steps):
        for step in steps:
            move(optimizer, params, range(step, step + 1))
            scheduler.step()

    straight = parameters(dtype)
    train(straight, *fresh(straight), range(20))
    for cut in (1, 4, 13):
        first = parameters(dtype)
        optimizer, scheduler = fresh(first)
        train(first, optimizer, scheduler, range(cut))
        file = io.BytesIO()
        saved = {"weights": first, "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
        torch.save(saved, file)
        file.seek(0)
        loaded = torch.load(file, weights_only=True)
        second = [nn.Parameter(weight.detach().clone()) for weight in loaded["weights"]]
        optimizer, scheduler = fresh(second)
        optimizer.load_state_dict(loaded["optimizer"])
        scheduler.load_state_dict(loaded["scheduler"])
        train(second, optimizer, scheduler, range(cut, 20))
        assert all(torch.equal(one, other) for one, other in zip(second, straight, strict=True)), cut


@pytest.mark.parametrize("kind", [AdamW, Lion])
def test_a_loaded_state_is_a_copy_of_its_own_dtype(kind):
    """torch would convert the averages to the parameter's 16 bits, and share those that need no conversion."""
    params = parameters(torch.bfloat16)
    optimizer = kind(params, lr=0.1)
    move(optimizer, params, range(2))
    state_dict = optimizer.state_dict()
    before = {
        (index, name): value.clone()
        for index, state in state_dict["state"].items()
        for name, value in state.items()
        if isinstance(value, Tensor)
    }
    assert all(value.dtype == torch.float32 for value in before.values())
    others = parameters(torch.bfloat16)
    second = kind(others, lr=0.1)
    second.load_state_dict(state_dict)
    assert all(second.state[p]["exp_avg"].dtype == torch.float32 for p in others)
    move(second, others, range(2, 4))
    assert all(torch.equal(state_dict["state"][index][name], value) for (index, name), value in before.items())


@pytest.mark.parametrize("kind", [AdamW, Lion])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_many_tensors_at_once_as_one_by_one(kind, dtype, monkeypatch):
    """How parameters are put together decides the speed alone: the same result bit for bit."""
    together, one_by_one = parameters(dtype), parameters(dtype)
    move(kind(groups(together), lr=0.02, weight_decay=0.1), together, range(12))
    module = {AdamW: "adamw", Lion: "lion"}[kind]
    monkeypatch.setattr(f"intro2llm.optimizer.{module}.device_batches", lambda params: [[p] for p in params])
    move(kind(groups(one_by_one), lr=0.02, weight_decay=0.1), one_by_one, range(12))
    assert_same(together, one_by_one, rtol=0, atol=0)


def test_device_batches_on_a_cpu():
    """In order and by dtype, until the cache is full; a large one goes alone."""
    small = [torch.zeros(CPU_BATCH // 4) for _ in range(5)]
    half, large, empty = torch.zeros(3, dtype=torch.bfloat16), torch.zeros(2 * CPU_BATCH), torch.zeros(0, 2)
    names = {id(t): f"small {i}" for i, t in enumerate(small)} | {
        id(half): "half",
        id(large): "large",
        id(empty): "empty",
    }
    batches = device_batches(iter([*small[:2], half, *small[2:], large, empty]))
    assert [[names[id(t)] for t in batch] for batch in batches] == [
        ["small 0", "small 1", "small 2", "small 3"],
        ["half"],
        ["small 4"],
        ["large"],
        ["empty"],
    ]
    assert device_batches([]) == []


def test_device_batches_elsewhere():
    """On a GPU all of one device and dtype go together, however large."""

    class Elsewhere:
        def __init__(self, device: str, dtype: torch.dtype) -> None:
            self.device, self.dtype = torch.device(device), dtype

        def numel(self) -> int:
            return CPU_BATCH

    first, half, other, second = (
        Elsewhere(device, dtype)
        for device, dtype in [
            ("cuda:0", torch.float32),
            ("cuda:0", torch.bfloat16),
            ("cuda:1", torch.float32),
            ("cuda:0", torch.float32),
        ]
    )
    assert device_batches([first, half, other, second]) == [[first, second], [half], [other]]
