"""Lesson 07 in depth: 16 bits, what is remembered and reloaded, odd shapes, other oracles, a whole small training."""

import io
import json
import math
import random
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from coursecli.expect import expect, expect_close, expect_dtype, expect_equal, expect_raises
from intro2llm.optimizer.adamw import AdamW, configure_parameter_groups
from intro2llm.optimizer.lion import Lion
from intro2llm.optimizer.scheduler import WarmupCosineScheduler, learning_rate_factor

F16 = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64) * scale


def numbers(*values: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype)


def adamw_step(theta, g, m, v, t, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    """One step by the formula: the new θ, m and v."""
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g * g
    move = (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + eps)
    return theta * (1 - lr * weight_decay) - lr * move, m, v


def lion_step(theta, g, m, *, lr, betas=(0.9, 0.99), weight_decay=0.0):
    """One step by the formula: the new θ and m."""
    u = (betas[0] * m + (1 - betas[0]) * g).sign()
    return theta * (1 - lr * weight_decay) - lr * u, betas[1] * m + (1 - betas[1]) * g


def steps(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], grads: list[list[Tensor]]) -> None:
    for row in grads:
        for parameter, grad in zip(parameters, row):
            parameter.grad = grad.clone()
        optimizer.step()


# -------------------------------------------------------------------------------------- what both optimizers must do


def check_averages_have_32_bits(kind: type, names: list[str], dtype: torch.dtype) -> None:
    parameter = nn.Parameter(torch.ones(3, dtype=dtype))
    optimizer = kind([parameter], lr=0.5, weight_decay=0.0)
    parameter.grad = numbers(1e-4, -1e-4, 2e-4, dtype=dtype)
    optimizer.step()
    for name in names:
        average = optimizer.state[parameter].get(name)
        expect(
            average is not None,
            "It is missing.",
            what=f"the state {name} of a parameter after a step of {kind.__name__}",
        )
        expect_dtype(
            average,
            torch.float32,
            what=f"the dtype of {name}, for a parameter in {dtype}",
            mistake="averages-in-16-bits",
        )
    share = 1 - optimizer.param_groups[0]["betas"][0 if kind is AdamW else 1]
    expect_close(
        optimizer.state[parameter]["exp_avg"],
        share * parameter.grad.float(),
        rtol=1e-4,
        atol=0,
        what=f"exp_avg after the first gradient, for a parameter in {dtype}",
        lookalikes={"averages-in-16-bits": lambda: (share * parameter.grad).float()},
    )
    expect_close(
        parameter.detach(),
        numbers(0.5, 1.5, 0.5, dtype=dtype),
        rtol=1e-2,
        what=f"θ = 1 in {dtype} after a step at lr 0.5 with gradients of ±0.0001 and 0.0002",
        mistake="averages-in-16-bits",
    )
    parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    expect(
        bool(parameter.isfinite().all()),
        "It is not finite.",
        what="θ after a gradient of zeros",
        mistake="averages-in-16-bits",
    )


def check_one_rounding(kind: type) -> None:
    parameter = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    optimizer = kind([parameter], lr=0.0012, weight_decay=1.0)
    parameter.grad = numbers(1.0, -1.0, dtype=torch.bfloat16)
    optimizer.step()
    # 1 · (1 − 0.0012) ∓ 0.0012 is 0.9976 or 1. The bfloat16 below 1 is 0.99609375, and half way to it is 0.998.
    expect_close(
        parameter.detach(),
        numbers(0.99609375, 1.0, dtype=torch.bfloat16),
        rtol=0,
        atol=0,
        what="θ = 1 in bfloat16, with decay and move of 0.0012 each, in the same direction and in opposite ones",
        lookalikes={"rounded-twice": numbers(1.0, 1.0, dtype=torch.bfloat16)},
    )


def check_nothing_is_recorded(kind: type) -> None:
    parameter = nn.Parameter(draw(3, seed=1))
    optimizer = kind([parameter], lr=0.1)
    for _ in range(2):
        (parameter.grad,) = torch.autograd.grad(parameter.pow(3).sum(), parameter, create_graph=True)
        optimizer.step()
    what = f"after two steps of {kind.__name__} with gradients that have a graph of their own"
    expect(parameter.is_leaf and parameter.requires_grad, "It is not a leaf any more.", what=f"the parameter {what}")
    recorded = [
        name for name, value in optimizer.state[parameter].items() if isinstance(value, Tensor) and value.grad_fn
    ]
    expect_equal(recorded, [], what=f"the parts of the state that hold a graph, {what}", mistake="state-in-the-graph")


def check_state_dict(kind: type, **options: object) -> None:
    start = [draw(3, 2, seed=2), draw(4, seed=3)]
    grads = [[draw(3, 2, seed=100 + i), draw(4, seed=200 + i)] for i in range(7)]
    straight = [nn.Parameter(value.clone()) for value in start]
    steps(kind(straight, lr=0.05, **options), straight, grads)

    before = [nn.Parameter(value.clone()) for value in start]
    optimizer = kind(before, lr=0.05, **options)
    steps(optimizer, before, grads[:4])
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    after = [nn.Parameter(value.detach().clone()) for value in before]
    resumed = kind(after, lr=0.7, betas=(0.1, 0.2), weight_decay=0.9)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    expect_equal(
        resumed.param_groups[0]["lr"], 0.05, what="lr of a fresh optimizer made with lr 0.7, after load_state_dict"
    )
    steps(resumed, after, grads[4:])
    for one, other in zip(after, straight):
        expect_close(
            one.detach(),
            other.detach(),
            rtol=0,
            atol=0,
            what=f"θ after 4 steps of {kind.__name__}, saving, loading into a fresh one and 3 more steps; "
            "expected is θ after 7 steps without a pause",
            mistake="state-outside",
        )


def check_optimizers_are_apart(kind: type, step) -> None:
    thetas = [draw(2, 3, seed=4), draw(2, 3, seed=5)]
    parameters = [nn.Parameter(theta.clone()) for theta in thetas]
    optimizers = [kind([parameter], lr=0.1, weight_decay=0.0) for parameter in parameters]
    for i in range(4):
        for parameter, optimizer, sign in zip(parameters, optimizers, (1, -1)):
            parameter.grad = sign * draw(2, 3, seed=20 + i, scale=1 / (i + 1))
            optimizer.step()
    for theta, parameter, sign in zip(thetas, parameters, (1, -1)):
        expected = step(theta, [sign * draw(2, 3, seed=20 + i, scale=1 / (i + 1)) for i in range(4)])
        expect_close(
            parameter.detach(),
            expected,
            rtol=1e-9,
            atol=1e-11,
            what=f"θ of one of two {kind.__name__} that work side by side",
        )


def check_arguments(kind: type, wrong: dict[str, object]) -> None:
    ((name, value),) = wrong.items()
    with expect_raises(
        ValueError, what=f"{kind.__name__}(params, {name}={value})", match=name, mistake="arguments-unchecked"
    ):
        kind([nn.Parameter(numbers(1.0))], **wrong)


def check_sparse(kind: type) -> None:
    embedding = nn.Embedding(5, 3, sparse=True)
    embedding(torch.tensor([1, 4])).sum().backward()
    optimizer = kind(embedding.parameters(), lr=0.1)
    with expect_raises(RuntimeError, what=f"a step of {kind.__name__} with a sparse gradient", match="sparse"):
        optimizer.step()


def shapes_and_options(seed: int) -> tuple[tuple[int, ...], dict[str, object]]:
    rng = random.Random(seed)
    shape = rng.choice([(), (1,), (7,), (3, 5), (2, 1, 4), (0, 3), (2, 3, 2, 3)])
    betas = (rng.choice([0.0, 0.5, 0.9]), rng.choice([0.0, 0.8, 0.99]))
    return shape, {"lr": rng.uniform(0, 0.2), "betas": betas, "weight_decay": rng.choice([0.0, 0.4])}


def transposed(value: Tensor) -> Tensor:
    """The same numbers in another order of memory, where there are two axes to exchange."""
    return value.transpose(0, -1).contiguous().transpose(0, -1) if value.ndim > 1 else value


# ------------------------------------------------------------------------------------------------------------- AdamW


@pytest.mark.task("adamw")
def test_adamw_is_that_of_torch() -> None:
    """200 steps of a small network, beside torch.optim.AdamW on the same network."""
    inputs, targets = draw(9, 5, seed=6), draw(9, 2, seed=7)
    networks = [nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)).double() for _ in range(2)]
    with torch.no_grad():
        for i, pair in enumerate(zip(*(network.parameters() for network in networks))):
            for parameter in pair:
                parameter.copy_(draw(*parameter.shape, seed=300 + i))
    options = {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}
    optimizers = [AdamW(networks[0].parameters(), **options), torch.optim.AdamW(networks[1].parameters(), **options)]
    for _ in range(200):
        for network, optimizer in zip(networks, optimizers):
            optimizer.zero_grad()
            (network(inputs) - targets).square().mean().backward()
            optimizer.step()
    for (name, ours), theirs in zip(networks[0].named_parameters(), networks[1].parameters()):
        expect_close(ours, theirs, rtol=1e-7, atol=1e-9, what=f"{name} after 200 steps; expected is torch.optim.AdamW")


@pytest.mark.task("adamw")
@pytest.mark.parametrize("seed", range(8))
def test_adamw_for_any_shape(seed: int) -> None:
    """Parameters of any number of axes, of any order in memory, empty ones, and betas of 0."""
    shape, options = shapes_and_options(seed)
    theta = draw(*shape, seed=seed)
    parameter = nn.Parameter(transposed(theta.clone()))
    optimizer = AdamW([parameter], eps=1e-2, **options)
    m, v = torch.zeros_like(theta), torch.zeros_like(theta)
    for t in range(1, 6):
        g = draw(*shape, seed=40 + t)
        parameter.grad = g.clone()
        optimizer.step()
        theta, m, v = adamw_step(theta, g, m, v, t, eps=1e-2, **options)
    expect_close(
        parameter.detach(), theta, rtol=1e-9, atol=1e-11, what=f"θ of shape {shape} after five steps, with {options}"
    )


@pytest.mark.task("adamw")
def test_adamw_remembers_three_things() -> None:
    """The state is empty before the first step; then it is step, exp_avg and exp_avg_sq, without the correction."""
    parameter, waiting = nn.Parameter(numbers(1.0, 2.0)), nn.Parameter(numbers(3.0))
    optimizer = AdamW([parameter, waiting], lr=0.1, betas=(0.75, 0.5))
    expect_equal(len(optimizer.state), 0, what="the number of parameters with a state before the first step")
    steps(optimizer, [parameter], [[numbers(4.0, -8.0)], [numbers(4.0, 0.0)]])
    state = optimizer.state[parameter]
    expect_equal(
        sorted(state), ["exp_avg", "exp_avg_sq", "step"], what="what the state of a parameter contains after two steps"
    )
    expect_equal(float(state["step"]), 2.0, what="step in the state after two steps")
    expect_close(state["exp_avg"], numbers(1.75, -1.5), what="exp_avg after the gradients (4, -8) and (4, 0)")
    expect_close(state["exp_avg_sq"], numbers(12.0, 16.0), what="exp_avg_sq after the gradients (4, -8) and (4, 0)")
    expect_equal(len(optimizer.state.get(waiting, {})), 0, what="the state of a parameter that never had a gradient")


@pytest.mark.task("adamw")
@F16
def test_adamw_averages_have_32_bits(dtype: torch.dtype) -> None:
    """For 16-bit parameters m and v are float32: the square of a small gradient does not vanish."""
    check_averages_have_32_bits(AdamW, ["exp_avg", "exp_avg_sq"], dtype)


@pytest.mark.task("adamw")
def test_adamw_rounds_once() -> None:
    """For 16-bit parameters, decay and move together are rounded once, not each by itself."""
    check_one_rounding(AdamW)


@pytest.mark.task("adamw")
def test_adamw_records_nothing() -> None:
    """The state holds no graph, even when the gradients do."""
    check_nothing_is_recorded(AdamW)


@pytest.mark.task("adamw")
def test_adamw_continues_from_its_state_dict() -> None:
    """Saved to a file and loaded into an optimizer with other options, it continues as if nothing had happened."""
    check_state_dict(AdamW, betas=(0.8, 0.95), weight_decay=0.3)


@pytest.mark.task("adamw")
def test_two_adamw_do_not_share() -> None:
    """Two optimizers side by side know nothing of each other."""

    def expected(theta: Tensor, grads: list[Tensor]) -> Tensor:
        m = v = torch.zeros_like(theta)
        for t, g in enumerate(grads, start=1):
            theta, m, v = adamw_step(theta, g, m, v, t, lr=0.1)
        return theta

    check_optimizers_are_apart(AdamW, expected)


@pytest.mark.task("adamw")
@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": -0.1},
        {"eps": -1e-8},
        {"weight_decay": -0.01},
        {"lr": math.nan},
        {"betas": (1.0, 0.999)},
        {"betas": (0.9, -0.1)},
    ],
    ids=str,
)
def test_adamw_refuses_what_makes_no_sense(wrong: dict[str, object]) -> None:
    """A negative rate, eps or decay, or a beta outside [0, 1), is a ValueError whose message names the argument."""
    check_arguments(AdamW, wrong)


@pytest.mark.task("adamw")
def test_adamw_refuses_sparse_gradients() -> None:
    """A sparse gradient is a RuntimeError that says so."""
    check_sparse(AdamW)


# -------------------------------------------------------------------------------------------------- parameter groups


@pytest.mark.task("parameter-groups")
def test_groups_hold_the_parameters_themselves() -> None:
    """The lists contain the model's own parameters, in the model's order, and a group has no other keys."""
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    groups = configure_parameter_groups(model, weight_decay=0.5)
    for group in groups:
        expect_equal(type(group["params"]).__name__, "list", what="the type of a group's params")
        expect_equal(sorted(group), ["params", "weight_decay"], what="the keys of a group")
    parameters = dict(model.named_parameters())
    for group, names in zip(groups, (["0.weight", "2.weight"], ["0.bias", "1.weight", "1.bias", "2.bias"])):
        expect_equal(
            [next((n for n, p in parameters.items() if p is q), "a copy") for q in group["params"]],
            names,
            what="the parameters of a group, in order",
        )


@pytest.mark.task("parameter-groups")
def test_an_empty_group_stays() -> None:
    """Two groups come back even if no parameter belongs into one of them; an optimizer takes both."""
    matrices = configure_parameter_groups(nn.Linear(3, 2, bias=False), weight_decay=0.1)
    expect_equal(
        [len(group["params"]) for group in matrices], [1, 0], what="the sizes of the groups of a single matrix"
    )
    vectors = configure_parameter_groups(nn.LayerNorm(3), weight_decay=0.1)
    expect_equal([len(group["params"]) for group in vectors], [0, 2], what="the sizes of the groups of a LayerNorm")
    torch.optim.SGD(vectors, lr=0.1)


@pytest.mark.task("parameter-groups")
@pytest.mark.integration
def test_groups_of_your_transformer_block() -> None:
    """In your block of lesson 03, seven matrices decay and the weights of the two norms do not."""
    from intro2llm.model.config import ModelConfig
    from intro2llm.model.transformer_block import TransformerBlock

    block = TransformerBlock(ModelConfig(hidden_size=12, intermediate_size=20, num_attention_heads=3))
    names = {id(parameter): name for name, parameter in block.named_parameters()}
    decayed, others = configure_parameter_groups(block, weight_decay=0.1)
    attention = [f"self_attn.{part}_proj.weight" for part in "qkvo"]
    expect_equal(
        sorted(names.get(id(p), "?") for p in decayed["params"]),
        sorted([*attention, "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"]),
        what="the parameters of a block that decay",
    )
    expect_equal(
        sorted(names.get(id(p), "?") for p in others["params"]),
        ["input_layernorm.weight", "post_attention_layernorm.weight"],
        what="the parameters of a block that do not decay",
    )


# -------------------------------------------------------------------------------------------------------------- Lion


@pytest.mark.task("lion")
def test_lion_knows_no_size_of_gradients() -> None:
    """All gradients times 2⁻³⁰, and the way is the same, bit for bit; every move without decay is exactly lr long."""
    ways = []
    for scale in (1.0, 2.0**-30):
        parameter = nn.Parameter(draw(3, 4, seed=8))
        optimizer = Lion([parameter], lr=0.125)
        rows = [parameter.detach().clone()]
        for i in range(12):
            parameter.grad = draw(3, 4, seed=60 + i) * scale
            optimizer.step()
            rows.append(parameter.detach().clone())
        ways.append(torch.stack(rows))
    moves = ways[0].diff(dim=0).abs()
    expect_close(moves, torch.full_like(moves, 0.125), what="how far each number moves at each step, at lr 0.125")
    expect_close(
        ways[1], ways[0], rtol=0, atol=0, what="θ over 12 steps with tiny gradients; expected is that with large ones"
    )


@pytest.mark.task("lion")
@pytest.mark.parametrize("seed", range(8))
def test_lion_for_any_shape(seed: int) -> None:
    """Parameters of any number of axes, of any order in memory, empty ones, and betas of 0."""
    shape, options = shapes_and_options(seed)
    theta = draw(*shape, seed=seed)
    parameter = nn.Parameter(transposed(theta.clone()))
    optimizer = Lion([parameter], **options)
    m = torch.zeros_like(theta)
    for i in range(6):
        g = draw(*shape, seed=80 + i)
        parameter.grad = g.clone()
        optimizer.step()
        theta, m = lion_step(theta, g, m, **options)
    expect_close(
        parameter.detach(), theta, rtol=1e-9, atol=1e-11, what=f"θ of shape {shape} after six steps, with {options}"
    )


@pytest.mark.task("lion")
def test_lion_remembers_one_thing() -> None:
    """The state is empty before the first step; then it is exp_avg, and nothing else."""
    parameter = nn.Parameter(numbers(1.0, 2.0))
    optimizer = Lion([parameter], lr=0.1, betas=(0.9, 0.75))
    expect_equal(len(optimizer.state), 0, what="the number of parameters with a state before the first step")
    steps(optimizer, [parameter], [[numbers(4.0, -8.0)], [numbers(4.0, 0.0)]])
    state = optimizer.state[parameter]
    expect("exp_avg" in state, "exp_avg is not in it.", what="the state of a parameter after two steps of Lion")
    expect_equal(
        sorted(state),
        ["exp_avg"],
        what="what the state of a parameter contains after two steps",
        mistake="lion-remembers-more",
    )
    expect_close(
        state["exp_avg"], numbers(1.75, -1.5), what="exp_avg after the gradients (4, -8) and (4, 0), with β₂ 0.75"
    )


@pytest.mark.task("lion")
@F16
def test_lion_average_has_32_bits(dtype: torch.dtype) -> None:
    """For 16-bit parameters m is float32."""
    check_averages_have_32_bits(Lion, ["exp_avg"], dtype)


@pytest.mark.task("lion")
def test_lion_rounds_once() -> None:
    """For 16-bit parameters, decay and move together are rounded once, not each by itself."""
    check_one_rounding(Lion)


@pytest.mark.task("lion")
def test_lion_records_nothing() -> None:
    """The state holds no graph, even when the gradients do."""
    check_nothing_is_recorded(Lion)


@pytest.mark.task("lion")
def test_lion_continues_from_its_state_dict() -> None:
    """Saved to a file and loaded into an optimizer with other options, it continues as if nothing had happened."""
    check_state_dict(Lion, betas=(0.8, 0.95), weight_decay=0.3)


@pytest.mark.task("lion")
def test_two_lions_do_not_share() -> None:
    """Two optimizers side by side know nothing of each other."""

    def expected(theta: Tensor, grads: list[Tensor]) -> Tensor:
        m = torch.zeros_like(theta)
        for g in grads:
            theta, m = lion_step(theta, g, m, lr=0.1)
        return theta

    check_optimizers_are_apart(Lion, expected)


@pytest.mark.task("lion")
@pytest.mark.parametrize(
    "wrong",
    [{"lr": -0.1}, {"weight_decay": -0.01}, {"lr": math.nan}, {"betas": (1.0, 0.99)}, {"betas": (0.9, -0.1)}],
    ids=str,
)
def test_lion_refuses_what_makes_no_sense(wrong: dict[str, object]) -> None:
    """A negative rate or decay, or a beta outside [0, 1), is a ValueError whose message names the argument."""
    check_arguments(Lion, wrong)


@pytest.mark.task("lion")
def test_lion_refuses_sparse_gradients() -> None:
    """A sparse gradient is a RuntimeError that says so."""
    check_sparse(Lion)


# ------------------------------------------------------------------------------------------------- the curve by itself


@pytest.mark.task("learning-rate-factor")
@pytest.mark.parametrize("seed", range(6))
def test_factor_rises_then_falls(seed: int) -> None:
    """For random runs: straight up to 1, half way down in the middle, never below the floor, and on it at the end."""
    rng = random.Random(seed)
    W = rng.randrange(1, 40)
    T = W + 2 * rng.randrange(2, 60)
    r = rng.uniform(0.05, 0.6)
    curve = [learning_rate_factor(i, warmup_steps=W, total_steps=T, min_lr_ratio=r) for i in range(T + 5)]
    what = f"with warmup_steps {W}, total_steps {T} and min_lr_ratio {r:.4f}"
    expect_close(curve[:W], [(i + 1) / W for i in range(W)], rtol=1e-12, what=f"the factors of the warm-up, {what}")
    falling = all(a > b for a, b in zip(curve[W - 1 : T - 1], curve[W:T]))
    expect(
        falling, "It does not fall at every step.", what=f"the factor from the end of the warm-up to the end, {what}"
    )
    expect_close(
        curve[(W + T) // 2 - 1], (1 + r) / 2, rtol=1e-12, what=f"the factor in the middle of the decay, {what}"
    )
    expect_close(curve[T - 1 :], [r] * 6, rtol=1e-12, what=f"the factor of the last update and of five more, {what}")


@pytest.mark.task("learning-rate-factor")
def test_factor_of_a_long_run() -> None:
    """A run of a million updates: values worked out by hand, as plain numbers of Python."""
    settings = {"warmup_steps": 2_000, "total_steps": 1_000_000, "min_lr_ratio": 0.0}
    table = {0: 0.0005, 999: 0.5, 1_999: 1.0, 500_999: 0.5, 999_999: 0.0, 3_000_000: 0.0}
    for completed, value in table.items():
        got = learning_rate_factor(completed, **settings)
        expect(isinstance(got, int | float), f"It is a {type(got).__name__}.", what="the factor", expected="a number")
        expect_close(got, value, rtol=1e-9, atol=1e-12, what=f"the factor after {completed:,} of a million updates")
    expect_close(
        learning_rate_factor(5, warmup_steps=2, total_steps=10),
        0.1 + 0.9 * 0.5,
        what="the factor after 5 updates, with warmup_steps 2, total_steps 10 and min_lr_ratio left out",
    )


# ------------------------------------------------------------------------------------------------------ the scheduler


def fake(*rates: float) -> SimpleNamespace:
    """Stands in for an optimizer: groups with rates are all that a scheduler may use."""
    return SimpleNamespace(param_groups=[{"params": [], "lr": rate} for rate in rates])


def rates_of(optimizer: SimpleNamespace) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


SETTINGS = {"warmup_steps": 3, "total_steps": 11, "min_lr_ratio": 0.2}


def after(updates: int, base: float, *, total: int = 11) -> float:
    """The rate after that many updates, past the warm-up of 3 and before the end, with a floor of 0.2."""
    return base * (0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * (updates + 1 - 3) / (total - 3))))


@pytest.mark.task("scheduler")
def test_resuming_does_not_reduce_the_base_rates() -> None:
    """Made on an optimizer that was itself reloaded, at rates already reduced, the state brings the base rates back."""
    optimizer = fake(0.4, 0.1)
    scheduler = WarmupCosineScheduler(optimizer, **SETTINGS)
    for _ in range(6):
        scheduler.step()
    reloaded = fake(*rates_of(optimizer))
    resumed = WarmupCosineScheduler(reloaded, **SETTINGS)
    resumed.load_state_dict(scheduler.state_dict())
    scheduler.step()
    resumed.step()
    reduced = [after(7, after(6, base)) for base in (0.4, 0.1)]
    expect_close(
        rates_of(reloaded),
        [after(7, 0.4), after(7, 0.1)],
        rtol=1e-9,
        atol=0,
        what="the rates after six updates, resuming on an optimizer with reduced rates, and one more update",
        lookalikes={"base-rates-not-saved": reduced},
    )
    expect_equal(rates_of(reloaded), rates_of(optimizer), what="the rates, resumed and without a pause")


@pytest.mark.task("scheduler")
def test_state_is_plain_and_a_copy() -> None:
    """state_dict survives JSON, and does not change with later steps, nor with what is done to the loaded one."""
    scheduler = WarmupCosineScheduler(fake(0.4, 0.1), **SETTINGS)
    for _ in range(4):
        scheduler.step()
    state = scheduler.state_dict()
    expect_equal(
        {"completed_updates": state.get("completed_updates"), "base_lrs": state.get("base_lrs")},
        {"completed_updates": 4, "base_lrs": [0.4, 0.1]},
        what="state_dict after four updates",
    )
    copy = json.loads(json.dumps(state))
    for _ in range(3):
        scheduler.step()
    expect_equal(state["completed_updates"], 4, what="completed_updates in that dict, three updates later")
    optimizer = fake(0.4, 0.1)
    resumed = WarmupCosineScheduler(optimizer, **SETTINGS)
    resumed.load_state_dict(copy)
    copy["base_lrs"].clear()
    resumed.step()
    expect_close(
        rates_of(optimizer),
        [after(5, 0.4), after(5, 0.1)],
        rtol=1e-9,
        atol=0,
        what="the rates after loading a state from JSON, clearing its base_lrs, and one update",
    )


@pytest.mark.task("scheduler")
def test_a_run_can_be_made_longer() -> None:
    """The settings are those of the resumed scheduler, not those of the state."""
    scheduler = WarmupCosineScheduler(fake(0.4), **SETTINGS)
    for _ in range(6):
        scheduler.step()
    optimizer = fake(0.4)
    resumed = WarmupCosineScheduler(optimizer, **{**SETTINGS, "total_steps": 19})
    resumed.load_state_dict(scheduler.state_dict())
    expect_close(
        rates_of(optimizer),
        [after(6, 0.4, total=19)],
        rtol=1e-9,
        atol=0,
        what="the rate after six updates of 11, resumed as a run of 19",
        lookalikes={"settings-from-the-state": [after(6, 0.4)]},
    )


@pytest.mark.task("scheduler")
def test_two_schedulers_do_not_share() -> None:
    """Two schedulers side by side count each for itself."""
    optimizers = fake(0.4), fake(0.1)
    first, second = (WarmupCosineScheduler(optimizer, **SETTINGS) for optimizer in optimizers)
    for _ in range(5):
        first.step()
    second.step()
    expect_close(
        [*rates_of(optimizers[0]), *rates_of(optimizers[1])],
        [after(5, 0.4), 0.1 * 2 / 3],
        rtol=1e-9,
        atol=0,
        what="the rates of two optimizers, whose schedulers have counted five updates and one",
    )


@pytest.mark.task("scheduler")
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("warmup_steps", {"warmup_steps": 12}),
        ("total_steps", {"total_steps": 0, "warmup_steps": 0}),
        ("min_lr_ratio", {"min_lr_ratio": 2.0}),
    ],
    ids=["warmup_steps", "total_steps", "min_lr_ratio"],
)
def test_scheduler_refuses_what_makes_no_sense(name: str, wrong: dict[str, float]) -> None:
    """What learning_rate_factor refuses, the scheduler refuses when it is made."""
    with expect_raises(ValueError, what=f"WarmupCosineScheduler with {wrong}", match=name):
        WarmupCosineScheduler(fake(0.1), **{**SETTINGS, **wrong})


@pytest.mark.task("scheduler")
def test_scheduler_drives_an_optimizer_of_torch() -> None:
    """With torch.optim.SGD, each update moves θ by its own rate."""
    parameter = nn.Parameter(numbers(10.0))
    optimizer = torch.optim.SGD([parameter], lr=2.0)
    scheduler = WarmupCosineScheduler(optimizer, **SETTINGS)
    moves = []
    for _ in range(5):
        parameter.grad = numbers(1.0)
        before = parameter.item()
        optimizer.step()
        scheduler.step()
        moves.append(before - parameter.item())
    expect_close(
        moves,
        [2 / 3, 4 / 3, 2.0, after(3, 2.0), after(4, 2.0)],
        rtol=1e-9,
        what="how far each of five updates moves θ, with a gradient of 1 and base rate 2",
    )


@pytest.mark.task("scheduler")
@pytest.mark.integration
@pytest.mark.parametrize("kind", ["AdamW", "Lion"])
def test_everything_together(kind: str) -> None:
    """Groups, optimizer and schedule together: 120 updates let a small network fit a curve."""
    network = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=400 + i, scale=0.5))
    x = torch.linspace(-3, 3, 41)[:, None]
    y = torch.sin(x)
    groups = configure_parameter_groups(network, weight_decay=0.01)
    optimizer = AdamW(groups, lr=0.05) if kind == "AdamW" else Lion(groups, lr=0.02)
    scheduler = WarmupCosineScheduler(optimizer, warmup_steps=10, total_steps=120, min_lr_ratio=0.1)
    losses = []
    for _ in range(120):
        loss = (network(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    expect(
        losses[-1] < losses[0] / 20,
        f"It fell from {losses[0]:.4f} to {losses[-1]:.4f} only.",
        what=f"the loss over 120 updates with {kind}",
        expected="a twentieth of the first loss, or less",
        actual=f"{losses[-1] / losses[0]:.4f} of it",
    )
    expect_close(scheduler.get_last_lr(), [0.1 * rate for rate in scheduler.base_lrs], what="the rates at the end")
