"""First contact with lesson 07: AdamW, its groups, Lion, the curve of the learning rate and who applies it."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from coursecli.expect import diagnosing, expect, expect_close, expect_equal, expect_raises, expect_unchanged
from intro2llm.optimizer.adamw import AdamW, configure_parameter_groups
from intro2llm.optimizer.lion import Lion
from intro2llm.optimizer.scheduler import WarmupCosineScheduler, learning_rate_factor


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) * scale


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def run(kind: type, theta: Tensor, grads: list[Tensor | None], **options: object) -> Tensor:
    """The parameter after each step of a fresh optimizer, one row for each of the gradients."""
    parameter = nn.Parameter(theta.clone())
    optimizer = kind([parameter], **options)
    rows = []
    for grad in grads:
        parameter.grad = None if grad is None else grad.clone()
        with diagnosing(
            "update-recorded" if kind is AdamW else "lion-update-recorded", RuntimeError, match="leaf Variable"
        ):
            optimizer.step()
        rows.append(parameter.detach().clone())
    return torch.stack(rows)


# ------------------------------------------------------------------------------------------------------------- AdamW


def adamw(
    theta: Tensor,
    grads: list[Tensor | None],
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    wrong: str = "",
) -> Tensor:
    """The formula of the docstring, line by line; `wrong` names what is done differently. One row for each step."""
    beta1, beta2 = betas
    if wrong == "betas-swapped":
        beta1, beta2 = beta2, beta1
    m, v, t, rows = torch.zeros_like(theta), torch.zeros_like(theta), 0, []
    for grad in grads:
        if grad is None and wrong == "none-decays":
            theta = theta * (1 - lr * weight_decay)
        if grad is None and wrong == "shared-step":
            t += 1
        if grad is None and wrong != "none-as-zero":
            rows.append(theta)
            continue
        g = torch.zeros_like(theta) if grad is None else grad
        t += 1
        decay = {"decay-without-lr": weight_decay, "l2-coupled": 0.0, "decay-after-update": 0.0}
        if wrong == "l2-coupled":
            g = g + weight_decay * theta
        theta = theta * (1 - decay.get(wrong, lr * weight_decay))
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        age = {"no-bias-correction": math.inf, "step-counted-late": t - 1}.get(wrong, t)
        m_hat, v_hat = m / (1 - beta1**age), v / (1 - beta2**age)
        if wrong == "correction-stored":
            m, v = m_hat, v_hat
        if wrong == "eps-inside-sqrt":
            denominator = (v_hat + eps).sqrt()
        elif wrong == "eps-before-correction":
            denominator = (v.sqrt() + eps) / math.sqrt(1 - beta2**t)
        elif wrong == "no-sqrt":
            denominator = v_hat + eps
        else:
            denominator = v_hat.sqrt() + eps
        theta = theta - lr * m_hat / denominator
        if wrong == "decay-after-update":
            theta = theta * (1 - lr * weight_decay)
        rows.append(theta)
    return torch.stack(rows)


ADAMW_WRONG = [
    "l2-coupled",
    "decay-after-update",
    "decay-without-lr",
    "no-bias-correction",
    "correction-stored",
    "step-counted-late",
    "eps-inside-sqrt",
    "eps-before-correction",
    "no-sqrt",
    "betas-swapped",
]


def adamw_lookalikes(theta: Tensor, grads: list[Tensor | None], names: list[str] = ADAMW_WRONG, **options: object):
    return {name: lambda name=name: adamw(theta, grads, **options, wrong=name) for name in names}


@pytest.mark.task("adamw")
def test_adamw_worked_example() -> None:
    """The worked example of the README: two numbers, two steps, without decay."""
    theta, grads = numbers(1.0, -2.0), [numbers(0.5, -4.0), numbers(-0.1, -4.0)]
    options = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0}
    with diagnosing("step-counted-late", ZeroDivisionError):
        after = run(AdamW, theta, grads, **options)
    expect_close(
        after,
        torch.stack([numbers(0.9, -1.9), numbers(0.8487903, -1.8)]),
        atol=1e-6,
        what="θ = (1, -2) after a step with g = (0.5, -4), and after another one with g = (-0.1, -4)",
        dims="step θ",
        lookalikes=adamw_lookalikes(theta, grads, **options),
    )


@pytest.mark.task("adamw")
def test_adamw_follows_the_formula_without_decay() -> None:
    """Twelve steps without decay, with settings that make every part of the formula visible."""
    theta, grads = draw(3, 2, seed=1), [draw(3, 2, seed=10 + i) for i in range(12)]
    options = {"lr": 0.1, "betas": (0.8, 0.95), "eps": 0.1, "weight_decay": 0.0}
    expect_close(
        run(AdamW, theta, grads, **options),
        adamw(theta, grads, **options),
        rtol=1e-9,
        atol=1e-11,
        what="θ after each of 12 steps, with lr 0.1, betas (0.8, 0.95), eps 0.1 and no decay",
        dims="step row column",
        lookalikes=adamw_lookalikes(theta, grads, **options),
    )


@pytest.mark.task("adamw")
def test_adamw_follows_the_formula_with_decay() -> None:
    """Twelve steps with a strong decay: it is that of the formula, and does not pass through m and v."""
    theta, grads = draw(2, 5, seed=2, scale=3.0), [draw(2, 5, seed=30 + i) for i in range(12)]
    options = {"lr": 0.1, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.5}
    expect_close(
        run(AdamW, theta, grads, **options),
        adamw(theta, grads, **options),
        rtol=1e-9,
        atol=1e-11,
        what="θ after each of 12 steps, with lr 0.1 and weight_decay 0.5",
        dims="step row column",
        lookalikes=adamw_lookalikes(theta, grads, **options),
    )


@pytest.mark.task("adamw")
def test_adamw_with_gradients_of_zeros() -> None:
    """A gradient of zeros is a gradient: θ decays, and the step counts."""
    theta = numbers(2.0, -3.0, 0.5)
    grads = [torch.zeros(3, dtype=torch.float64), numbers(1.0, -0.2, 3.0), torch.zeros(3, dtype=torch.float64)]
    options = {"lr": 0.1, "betas": (0.9, 0.95), "weight_decay": 0.3}
    taken_for_none = [grad if grad.any() else None for grad in grads]
    expect_close(
        run(AdamW, theta, grads, **options),
        adamw(theta, grads, **options),
        rtol=1e-9,
        atol=1e-11,
        what="θ after three steps, the first and the last with a gradient of zeros",
        dims="step θ",
        lookalikes={"zero-as-none": lambda: adamw(theta, taken_for_none, **options)},
    )


@pytest.mark.task("adamw")
def test_adamw_leaves_parameters_without_gradient_alone() -> None:
    """Where `grad` is None nothing happens: no decay, no step, and the averages wait."""
    theta, first, last = draw(4, seed=3), draw(4, seed=4), draw(4, seed=5)
    grads = [None, first, None, None, last]
    options = {"lr": 0.1, "betas": (0.9, 0.95), "weight_decay": 0.3}
    expect_close(
        run(AdamW, theta, grads, **options),
        adamw(theta, grads, **options),
        rtol=1e-9,
        atol=1e-11,
        what="θ after five steps; the gradient is None in the first, third and fourth",
        dims="step θ",
        lookalikes=adamw_lookalikes(theta, grads, ["none-decays", "none-as-zero", "shared-step"], **options),
    )


@pytest.mark.task("adamw")
def test_adamw_counts_the_steps_of_each_parameter() -> None:
    """Two parameters, one of which gets a gradient in every third step only: each has its own t."""
    always, seldom = nn.Parameter(draw(3, seed=6)), nn.Parameter(draw(2, seed=7))
    grads = [draw(3, seed=50 + i) for i in range(9)]
    rare = [draw(2, seed=70 + i) if i % 3 == 1 else None for i in range(9)]
    options = {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.2}
    start = seldom.detach().clone()
    optimizer = AdamW([always, seldom], **options)
    rows = []
    for grad, maybe in zip(grads, rare):
        always.grad, seldom.grad = grad, maybe
        optimizer.step()
        rows.append(seldom.detach().clone())
    expect_close(
        torch.stack(rows),
        adamw(start, rare, **options),
        rtol=1e-9,
        atol=1e-11,
        what="a parameter that gets a gradient in every third step, beside one that always gets one",
        dims="step θ",
        lookalikes=adamw_lookalikes(start, rare, ["shared-step", "none-decays", "none-as-zero"], **options),
    )


@pytest.mark.task("adamw")
def test_adamw_groups_have_their_own_options() -> None:
    """Options of a group hold for its parameters; the others take what was given to AdamW itself."""
    theta, grads = draw(3, seed=8), [draw(3, seed=90 + i) for i in range(4)]
    own = {"lr": 0.02, "betas": (0.7, 0.9), "eps": 0.2, "weight_decay": 0.8}
    given = {"lr": 0.1, "betas": (0.9, 0.95), "eps": 1e-3, "weight_decay": 0.1}
    one, two = nn.Parameter(theta.clone()), nn.Parameter(theta.clone())
    optimizer = AdamW([{"params": [one]}, {"params": [two], **own}], **given)
    for grad in grads:
        one.grad, two.grad = grad.clone(), grad.clone()
        optimizer.step()
    expect_close(
        torch.stack([one.detach(), two.detach()]),
        torch.stack([adamw(theta, grads, **given)[-1], adamw(theta, grads, **own)[-1]]),
        rtol=1e-9,
        atol=1e-11,
        what="two parameters after four steps: the first in a group without options, the second in one with all four",
        dims="group θ",
        lookalikes={"global-options": lambda: adamw(theta, grads, **given)[-1].expand(2, 3)},
    )


@pytest.mark.task("adamw")
def test_adamw_reads_the_rate_at_every_step() -> None:
    """A rate that was changed in param_groups, as a scheduler does, holds from the next step on."""
    parameter = nn.Parameter(numbers(1.0, -1.0))
    optimizer = AdamW([parameter], lr=0.5, weight_decay=0.0)
    rows = []
    for rate in (0.5, 0.25, 0.0):
        optimizer.param_groups[0]["lr"] = rate
        parameter.grad = numbers(2.0, -3.0)
        optimizer.step()
        rows.append(parameter.detach().clone())
    expect_close(
        torch.stack(rows),
        torch.stack([numbers(0.5, -0.5), numbers(0.25, -0.25), numbers(0.25, -0.25)]),
        atol=1e-6,
        what="θ after three steps with the same gradient, at the rates 0.5, 0.25 and 0",
        dims="step θ",
        lookalikes={
            "rate-remembered": lambda: torch.stack([numbers(0.5, -0.5), numbers(0.0, 0.0), numbers(-0.5, 0.5)])
        },
    )


@pytest.mark.task("adamw")
def test_adamw_defaults() -> None:
    """AdamW(params) has lr 1e-3, betas (0.9, 0.999), eps 1e-8 and weight_decay 0.01, in every group."""
    (group,) = AdamW([nn.Parameter(numbers(1.0))]).param_groups
    expect_equal(
        {name: group.get(name) for name in ("lr", "betas", "eps", "weight_decay")},
        {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01},
        what="the options in param_groups[0] of AdamW(params)",
    )


@pytest.mark.task("adamw")
def test_adamw_leaves_the_gradients_alone() -> None:
    """After a step, `grad` holds the same numbers as before."""
    parameter = nn.Parameter(draw(2, 3, seed=9))
    optimizer = AdamW([parameter], lr=0.1, weight_decay=0.5)
    for seed in (11, 12):
        parameter.grad = draw(2, 3, seed=seed)
        with expect_unchanged(parameter.grad, what="the gradient, over a step of AdamW", mistake="gradient-changed"):
            optimizer.step()


@pytest.mark.task("adamw")
def test_adamw_calls_a_closure() -> None:
    """step(closure) calls it once, with gradients on, before it moves anything, and returns its loss."""
    check_closure(AdamW)


def check_closure(kind: type) -> None:
    parameter = nn.Parameter(numbers(3.0, -2.0))
    optimizer = kind([parameter], lr=0.1, weight_decay=0.0)
    seen = []

    def closure() -> Tensor:
        seen.append(parameter.detach().clone())
        optimizer.zero_grad()
        loss = parameter.square().sum()
        loss.backward()
        return loss.detach()

    with diagnosing("closure-under-no-grad", RuntimeError, match="does not require grad"):
        loss = optimizer.step(closure)
    what = f"{kind.__name__}.step(closure)"
    expect_equal(len(seen), 1, what=f"how often {what} calls the closure")
    expect_close(seen[0], numbers(3.0, -2.0), what="θ when the closure is called")
    expect_close(loss, numbers(13.0)[0], what=f"what {what} returns, where the closure returns 13")
    expect_close(parameter.detach(), numbers(2.9, -1.9), atol=1e-6, what=f"θ = (3, -2) after {what}")
    expect(optimizer.step() is None, "It is not None.", what=f"what {kind.__name__}.step() returns without a closure")


# -------------------------------------------------------------------------------------------------- parameter groups


class Model(nn.Module):
    """Something of each kind: a matrix of its own, an embedding, biases, two kinds of norm, a number, a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(2, 3))  # a matrix, whatever its name says
        self.embed = nn.Embedding(7, 6)
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.conv = nn.Conv1d(6, 4, 3)
        self.norm = nn.LayerNorm(6)
        self.proj = nn.Linear(6, 5)
        self.gain = nn.Parameter(torch.ones(6))  # the weight of a norm that is no module
        self.head = nn.Linear(6, 7, bias=False)


MATRICES = ["bias", "embed.weight", "conv.weight", "proj.weight", "head.weight"]
VECTORS = ["scale", "conv.bias", "norm.weight", "norm.bias", "proj.bias", "gain"]


def names_in(groups: list[dict], model: nn.Module) -> list[list[str]]:
    """The names of the parameters in each group. One that is not the model's own is called by its shape."""
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    return [[known.get(id(p), f"not a parameter of the model: {tuple(p.shape)}") for p in g["params"]] for g in groups]


@pytest.mark.task("parameter-groups")
def test_matrices_decay_and_vectors_do_not() -> None:
    """Two groups: parameters with two or more axes, with the decay; all others, without."""
    model = Model()
    groups = configure_parameter_groups(model, weight_decay=0.3)
    expect_equal(len(groups), 2, what="the number of groups")
    names = [name for name, _ in model.named_parameters()]
    by_bias = [[n for n in names if not n.endswith("bias")], [n for n in names if n.endswith("bias")]]
    expect_equal(
        [sorted(group) for group in names_in(groups, model)],
        [sorted(MATRICES), sorted(VECTORS)],
        what="which parameters are in the decaying group, and which in the other",
        lookalikes={
            "by-name": [sorted(group) for group in by_bias],
            "embeddings-left-out": [sorted(set(MATRICES) - {"embed.weight"}), sorted([*VECTORS, "embed.weight"])],
        },
    )
    expect_equal(
        [group.get("weight_decay") for group in groups],
        [0.3, 0.0],
        what="weight_decay of the two groups, for weight_decay=0.3",
    )


@pytest.mark.task("parameter-groups")
def test_tied_weights_are_taken_once() -> None:
    """A parameter that two modules share is in the groups once."""
    model = Model()
    model.head.weight = model.embed.weight
    names = [name for group in names_in(configure_parameter_groups(model, weight_decay=0.1), model) for name in group]
    expect_equal(
        names.count("embed.weight"),
        1,
        what="how often the tied weight of embedding and head is in the groups",
        mistake="tied-twice",
    )
    expect_equal(len(names), 10, what="the number of parameters in both groups, of a model that has ten")


@pytest.mark.task("parameter-groups")
def test_frozen_parameters_are_left_out() -> None:
    """A parameter that does not require gradients is in neither group."""
    model = Model()
    model.proj.requires_grad_(False)
    names = [name for group in names_in(configure_parameter_groups(model, weight_decay=0.1), model) for name in group]
    expect_equal(
        sorted(name for name in names if name.startswith("proj")),
        [],
        what="parameters of the frozen layer `proj` in the groups",
        mistake="frozen-taken",
    )
    expect_equal(len(names), 9, what="the number of parameters in both groups, with two of eleven frozen")


# -------------------------------------------------------------------------------------------------------------- Lion


def lion(
    theta: Tensor,
    grads: list[Tensor | None],
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
    wrong: str = "",
) -> Tensor:
    """The formula of the docstring, line by line; `wrong` names what is done differently. One row for each step."""
    beta1, beta2 = betas
    if wrong == "lion-betas-swapped":
        beta1, beta2 = beta2, beta1
    m, rows = torch.zeros_like(theta), []
    for grad in grads:
        if grad is None and wrong == "none-decays":
            theta = theta * (1 - lr * weight_decay)
        if grad is None and wrong != "none-as-zero":
            rows.append(theta)
            continue
        g = torch.zeros_like(theta) if grad is None else grad
        if wrong == "lion-l2":
            g = g + weight_decay * theta
        if wrong == "lion-momentum-first":
            m = beta2 * m + (1 - beta2) * g
        mixture = beta1 * m + (1 - beta1) * g
        if wrong == "lion-signs-the-momentum":
            m = mixture
        elif wrong != "lion-momentum-first":
            m = beta2 * m + (1 - beta2) * g
        if wrong == "lion-signs-the-gradient":
            mixture = g
        u = mixture if wrong == "lion-no-sign" else mixture.sign()
        if wrong == "lion-sign-of-zero":
            u = torch.where(mixture >= 0, 1.0, -1.0).to(theta)
        shrink = {"lion-decay-without-lr": weight_decay, "lion-l2": 0.0}
        theta = theta * (1 - shrink.get(wrong, lr * weight_decay)) - lr * u
        rows.append(theta)
    return torch.stack(rows)


LION_WRONG = [
    "lion-signs-the-momentum",
    "lion-momentum-first",
    "lion-signs-the-gradient",
    "lion-no-sign",
    "lion-betas-swapped",
    "lion-l2",
    "lion-decay-without-lr",
    "lion-sign-of-zero",
]


def lion_lookalikes(theta: Tensor, grads: list[Tensor | None], names: list[str] = LION_WRONG, **options: object):
    return {name: lambda name=name: lion(theta, grads, **options, wrong=name) for name in names}


@pytest.mark.task("lion")
def test_lion_worked_example() -> None:
    """The worked example of the README: the second gradient points the other way, and is small or large."""
    for second, after in {-0.5: 1.0, -0.086: 0.8}.items():
        theta, grads = numbers(1.0), [numbers(1.0), numbers(second)]
        options = {"lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.0}
        expect_close(
            run(Lion, theta, grads, **options),
            numbers(0.9, after)[:, None],
            atol=1e-9,
            what=f"θ = 1 after a step with g = 1 and another with g = {second}",
            dims="step θ",
        )


@pytest.mark.task("lion")
def test_lion_follows_the_formula_without_decay() -> None:
    """Thirty steps of random gradients without decay."""
    theta, grads = draw(5, 3, seed=21), [draw(5, 3, seed=130 + i) for i in range(30)]
    options = {"lr": 0.1, "betas": (0.7, 0.95), "weight_decay": 0.0}
    expect_close(
        run(Lion, theta, grads, **options),
        lion(theta, grads, **options),
        rtol=1e-9,
        atol=1e-11,
        what="θ after each of 30 steps, with lr 0.1, betas (0.7, 0.95) and no decay",
        dims="step row column",
        lookalikes=lion_lookalikes(theta, grads, **options),
    )


@pytest.mark.task("lion")
def test_lion_follows_the_formula_with_decay() -> None:
    """Thirty steps with a strong decay: it is that of the formula, and does not pass through the sign or m."""
    theta, grads = draw(4, 3, seed=22, scale=3.0), [draw(4, 3, seed=170 + i) for i in range(30)]
    options = {"lr": 0.1, "betas": (0.9, 0.95), "weight_decay": 0.5}
    expect_close(
        run(Lion, theta, grads, **options),
        lion(theta, grads, **options),
        rtol=1e-9,
        atol=1e-11,
        what="θ after each of 30 steps, with lr 0.1 and weight_decay 0.5",
        dims="step row column",
        lookalikes=lion_lookalikes(theta, grads, **options),
    )


@pytest.mark.task("lion")
def test_lion_without_anything_to_follow() -> None:
    """The sign of zero is zero: with m and the gradient both zero, nothing moves."""
    theta, grads = numbers(1.0, -2.0), [numbers(0.0, 3.0), numbers(0.0, -7.0)]
    expect_close(
        run(Lion, theta, grads, lr=0.1),
        torch.stack([numbers(1.0, -2.1), numbers(1.0, -2.0)]),
        atol=1e-9,
        what="θ = (1, -2) after two steps, where the first number's gradient is 0 in both",
        dims="step θ",
        lookalikes=lion_lookalikes(theta, grads, ["lion-sign-of-zero"], lr=0.1),
    )


@pytest.mark.task("lion")
def test_lion_leaves_parameters_without_gradient_alone() -> None:
    """Where `grad` is None nothing happens: no decay, no move along the old m, and m stays."""
    theta, first, last = draw(4, seed=23), draw(4, seed=24), draw(4, seed=25, scale=0.05)
    grads = [None, first, None, None, last]
    options = {"lr": 0.1, "betas": (0.9, 0.6), "weight_decay": 0.3}
    expect_close(
        run(Lion, theta, grads, **options),
        lion(theta, grads, **options),
        rtol=1e-9,
        atol=1e-11,
        what="θ after five steps; the gradient is None in the first, third and fourth",
        dims="step θ",
        lookalikes=lion_lookalikes(theta, grads, ["none-decays", "none-as-zero"], **options),
    )


@pytest.mark.task("lion")
def test_lion_groups_have_their_own_options() -> None:
    """Options of a group hold for its parameters, also when they are changed between two steps."""
    theta, grads = draw(6, seed=26), [draw(6, seed=210 + i) for i in range(8)]
    own = {"lr": 0.02, "betas": (0.5, 0.9), "weight_decay": 0.8}
    given = {"lr": 0.1, "betas": (0.9, 0.95), "weight_decay": 0.1}
    one, two = nn.Parameter(theta.clone()), nn.Parameter(theta.clone())
    optimizer = Lion([{"params": [one]}, {"params": [two], **own}], **given)
    for grad in grads:
        one.grad, two.grad = grad.clone(), grad.clone()
        optimizer.step()
    expect_close(
        torch.stack([one.detach(), two.detach()]),
        torch.stack([lion(theta, grads, **given)[-1], lion(theta, grads, **own)[-1]]),
        rtol=1e-9,
        atol=1e-11,
        what="two parameters after eight steps: the first in a group without options, the second in one with all three",
        dims="group θ",
        lookalikes={"global-options": lambda: lion(theta, grads, **given)[-1].expand(2, 6)},
    )
    optimizer.param_groups[1]["lr"] = 0.0
    with expect_unchanged(two, what="the second parameter, over a step with its group's lr set to 0"):
        optimizer.step()


@pytest.mark.task("lion")
def test_lion_defaults() -> None:
    """Lion(params) has lr 1e-4, betas (0.9, 0.99) and weight_decay 0, in every group."""
    (group,) = Lion([nn.Parameter(numbers(1.0))]).param_groups
    expect_equal(
        {name: group.get(name) for name in ("lr", "betas", "weight_decay")},
        {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0},
        what="the options in param_groups[0] of Lion(params)",
    )


@pytest.mark.task("lion")
def test_lion_leaves_the_gradients_alone() -> None:
    """After a step, `grad` holds the same numbers as before."""
    parameter = nn.Parameter(draw(2, 3, seed=27))
    optimizer = Lion([parameter], lr=0.1, weight_decay=0.5)
    for seed in (28, 29):
        parameter.grad = draw(2, 3, seed=seed)
        with expect_unchanged(parameter.grad, what="the gradient, over a step of Lion", mistake="gradient-changed"):
            optimizer.step()


@pytest.mark.task("lion")
def test_lion_calls_a_closure() -> None:
    """step(closure) calls it once, with gradients on, before it moves anything, and returns its loss."""
    check_closure(Lion)


# ------------------------------------------------------------------------------------------------- the curve by itself


def factor(completed: int, W: int, T: int, r: float, wrong: str = "") -> float:
    """The formula of the docstring; `wrong` names what is done differently."""
    s = completed + (0 if wrong == "first-rate-zero" else 1)
    if wrong == "warm-up-over-w-plus-one" and s <= W:
        return s / (W + 1)
    if s <= W:
        return s / W
    if s >= T and wrong not in ("cosine-forever", "progress-over-total", "full-cycle"):
        return 0.0 if wrong == "floor-ignored" else r
    progress = (s - W) / (T - W)
    if wrong == "progress-over-total":
        progress = min(s / T, 1.0)
    if wrong == "progress-one-late":
        progress = (s - 1 - W) / (T - W)
    if wrong == "full-cycle":
        return r + (1 - r) * 0.5 * (1 + math.cos(2 * math.pi * min(progress, 1.0)))
    half = 0.5 * (1 + math.cos(math.pi * progress))
    if wrong == "floor-ignored":
        return half
    if wrong == "floor-by-max":
        return max(r, half)
    return r + (1 - r) * half


FACTOR_WRONG = [
    "first-rate-zero",
    "warm-up-over-w-plus-one",
    "cosine-forever",
    "progress-over-total",
    "progress-one-late",
    "full-cycle",
    "floor-ignored",
    "floor-by-max",
]


@pytest.mark.task("learning-rate-factor")
def test_factor_table() -> None:
    """The table of the README: 4 updates of warm-up in 12, a floor of 0.1, and two updates more than planned."""
    table = [0.25, 0.5, 0.75, 1.0, 0.965746, 0.868198, 0.722208, 0.55, 0.377792, 0.231802, 0.134254, 0.1, 0.1, 0.1]
    got = [learning_rate_factor(i, warmup_steps=4, total_steps=12, min_lr_ratio=0.1) for i in range(14)]
    expect_close(
        got,
        table,
        atol=1e-6,
        rtol=0,
        what="the factor of 14 updates in a row, with warmup_steps 4, total_steps 12 and min_lr_ratio 0.1",
        lookalikes={
            wrong: lambda wrong=wrong: [factor(i, 4, 12, 0.1, wrong) for i in range(14)] for wrong in FACTOR_WRONG
        },
    )


@pytest.mark.task("learning-rate-factor")
def test_factor_is_a_closed_form() -> None:
    """Asked in any order, and twice, the function gives the same: it remembers nothing."""
    for completed in (30, 3, 11, 30, 0, 19, 3):
        expect_close(
            learning_rate_factor(completed, warmup_steps=7, total_steps=29, min_lr_ratio=0.25),
            factor(completed, 7, 29, 0.25),
            rtol=1e-12,
            atol=1e-12,
            what=f"the factor after {completed} updates, with warmup_steps 7, total_steps 29 and min_lr_ratio 0.25",
        )


@pytest.mark.task("learning-rate-factor")
def test_factor_without_warm_up_and_without_decay() -> None:
    """warmup_steps may be 0, and may be all of total_steps; a run may be one update long."""
    for W, T, r in [(0, 5, 0.2), (5, 5, 0.2), (1, 1, 0.3), (0, 1, 0.3), (3, 4, 0.0)]:
        what = f"the factors of {T + 1} updates, with warmup_steps {W}, total_steps {T} and min_lr_ratio {r}"
        with diagnosing("division-by-zero", ZeroDivisionError):
            got = [learning_rate_factor(i, warmup_steps=W, total_steps=T, min_lr_ratio=r) for i in range(T + 1)]
        expect_close(got, [factor(i, W, T, r) for i in range(T + 1)], rtol=1e-12, atol=1e-12, what=what)


@pytest.mark.task("learning-rate-factor")
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("completed_updates", {"completed_updates": -1}),
        ("warmup_steps", {"warmup_steps": -1}),
        ("warmup_steps", {"warmup_steps": 13}),
        ("total_steps", {"total_steps": 0, "warmup_steps": 0}),
        ("min_lr_ratio", {"min_lr_ratio": -0.1}),
        ("min_lr_ratio", {"min_lr_ratio": 1.1}),
    ],
)
def test_factor_refuses_what_makes_no_sense(name: str, wrong: dict[str, float]) -> None:
    """An argument outside its range is a ValueError whose message names it."""
    arguments = {"completed_updates": 3, "warmup_steps": 4, "total_steps": 12, "min_lr_ratio": 0.1, **wrong}
    written = ", ".join(f"{key}={value}" for key, value in arguments.items())
    with expect_raises(ValueError, what=f"learning_rate_factor with {written}", match=name):
        learning_rate_factor(arguments.pop("completed_updates"), **arguments)


# ------------------------------------------------------------------------------------------------------ the scheduler


def fake(*rates: float) -> SimpleNamespace:
    """Stands in for an optimizer: groups with rates are all that a scheduler may use."""
    return SimpleNamespace(param_groups=[{"params": [], "lr": rate} for rate in rates])


def rates_of(optimizer: SimpleNamespace) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


@pytest.mark.task("scheduler")
def test_scheduler_sets_the_rate_of_every_update() -> None:
    """The rate is there before the first update, and each step sets that of the next one."""
    optimizer = fake(0.02)
    scheduler = WarmupCosineScheduler(optimizer, warmup_steps=3, total_steps=8, min_lr_ratio=0.25)
    seen = []
    for _ in range(10):
        seen += rates_of(optimizer)
        scheduler.step()
    curve = [factor(i, 3, 8, 0.25) for i in range(11)]

    def compounded() -> list[float]:
        rates = [0.02]
        for value in curve[:10]:
            rates.append(rates[-1] * value)
        return rates[1:]

    expect_close(
        seen,
        [0.02 * value for value in curve[:10]],
        rtol=1e-9,
        atol=0,
        what="the rate in param_groups before each of ten updates, with base rate 0.02",
        lookalikes={
            "not-applied-at-first": lambda: [0.02, *(0.02 * value for value in curve[1:10])],
            "compounding": compounded,
        },
    )


@pytest.mark.task("scheduler")
def test_scheduler_keeps_the_ratio_of_the_groups() -> None:
    """Every group follows the curve from its own base rate."""
    optimizer = fake(0.5, 0.02, 3.0)
    scheduler = WarmupCosineScheduler(optimizer, warmup_steps=2, total_steps=7, min_lr_ratio=0.1)
    for _ in range(4):
        scheduler.step()
    value = factor(4, 2, 7, 0.1)
    expect_close(
        rates_of(optimizer),
        [0.5 * value, 0.02 * value, 3.0 * value],
        rtol=1e-9,
        atol=0,
        what="the rates of three groups with base rates 0.5, 0.02 and 3, after four updates",
        lookalikes={
            "first-group-only": [0.5 * value, 0.02, 3.0],
            "one-rate-for-all": [0.5 * value] * 3,
        },
    )


@pytest.mark.task("scheduler")
def test_scheduler_tells_its_rates() -> None:
    """get_last_lr gives the rates that are set now, as a list of its own."""
    optimizer = fake(0.4, 0.1)
    scheduler = WarmupCosineScheduler(optimizer, warmup_steps=5, total_steps=9)
    for completed in range(3):
        share = (completed + 1) / 5
        expect_close(
            scheduler.get_last_lr(),
            [0.4 * share, 0.1 * share],
            rtol=1e-9,
            atol=0,
            what=f"get_last_lr after {completed} updates, with base rates 0.4 and 0.1",
        )
        expect_equal(scheduler.completed_updates, completed, what=f"completed_updates after {completed} calls of step")
        scheduler.get_last_lr().clear()
        scheduler.step()
    expect_equal(len(rates_of(optimizer)), 2, what="the number of groups of the optimizer")
    expect_close(scheduler.base_lrs, [0.4, 0.1], what="base_lrs after three updates")


@pytest.mark.task("scheduler")
def test_scheduler_continues_from_its_state() -> None:
    """A new scheduler that loads the state has the same rates at once, and afterwards."""
    first = fake(0.4, 0.1)
    settings = {"warmup_steps": 3, "total_steps": 9, "min_lr_ratio": 0.2}
    scheduler = WarmupCosineScheduler(first, **settings)
    for _ in range(5):
        scheduler.step()
    second = fake(0.4, 0.1)
    resumed = WarmupCosineScheduler(second, **settings)
    resumed.load_state_dict(scheduler.state_dict())
    expect_close(
        rates_of(second),
        [0.4 * factor(5, 3, 9, 0.2), 0.1 * factor(5, 3, 9, 0.2)],
        rtol=1e-9,
        atol=0,
        what="the rates right after load_state_dict, of a state with five completed updates",
        lookalikes={
            "load-not-applied": [0.4 * factor(0, 3, 9, 0.2), 0.1 * factor(0, 3, 9, 0.2)],
        },
    )
    resumed.step()
    expect_close(
        rates_of(second),
        [0.4 * factor(6, 3, 9, 0.2), 0.1 * factor(6, 3, 9, 0.2)],
        rtol=1e-9,
        atol=0,
        what="the rates one update after load_state_dict",
    )
