"""Lesson 09 in depth: models with a memory, ragged batches, long texts, other tokenizers, and programs that cheat."""

import contextlib
import io
import itertools
import math
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from coursecli.expect import (
    diagnosing,
    expect,
    expect_close,
    expect_dtype,
    expect_equal,
    expect_raises,
    expect_shape,
    expect_text,
    expect_unchanged,
)
from intro2llm.evaluation.humaneval import (
    STOPS,
    Problem,
    build_program,
    check_completion,
    pass_at_k,
    pass_rates,
    sample_completions,
    truncate_at_stop,
)
from intro2llm.evaluation.mmlu import (
    LETTERS,
    Question,
    accuracy,
    build_prompt,
    format_question,
    predict,
    score_choices,
    select_shots,
)
from intro2llm.evaluation.perplexity import (
    evaluate_perplexity,
    evaluating,
    strided_nll,
    token_losses,
    token_nll,
)


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64) * scale


def draw_ids(*shape: int, vocab_size: int, seed: int) -> Tensor:
    return torch.randint(vocab_size, shape, generator=torch.Generator().manual_seed(seed))


class MemoryModel(nn.Module):
    """A language model that remembers: h(t) = decay · h(t - 1) + E[token t], and the logits are h · U.

    With decay 0 it looks at one token. It counts its calls, and remembers what it read and in which mode.
    """

    def __init__(self, vocab_size: int = 11, *, decay: float = 0.6, seed: int = 1, dtype: torch.dtype | None = None):
        super().__init__()
        self.E = nn.Parameter(draw(vocab_size, 4, seed=seed))
        self.U = nn.Parameter(draw(4, vocab_size, seed=seed + 1))
        self.decay = decay
        self.dtype = dtype
        self.read: list[Tensor] = []
        self.modes: list[bool] = []

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        self.read.append(input_ids.clone())
        self.modes.append(self.training)
        h = torch.zeros(input_ids.shape[0], 4, dtype=torch.float64)
        states = []
        for column in self.E[input_ids].unbind(1):
            h = self.decay * h + column
            states.append(h)
        logits = torch.stack(states, dim=1) @ self.U
        return SimpleNamespace(logits=logits if self.dtype is None else logits.to(self.dtype))

    def log_prob(self, context: Sequence[int], token: int) -> float:
        """log p(token | context), with nothing of the above but the two tables."""
        h = torch.zeros(4, dtype=torch.float64)
        for one in context:
            h = self.decay * h + self.E.detach()[int(one)]
        logits = h @ self.U.detach()
        return float(logits[int(token)] - logits.exp().sum().log())


class Noisy(nn.Module):
    """Dropout before a table: what it says depends on its mode, and in training mode on the dice."""

    def __init__(self, vocab_size: int = 7) -> None:
        super().__init__()
        self.table = nn.Parameter(draw(vocab_size, vocab_size, seed=3))
        self.dropout = nn.Dropout(0.5)

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.dropout(self.table[input_ids]))


def expect_no_trace(model: nn.Module, measure, *, what: str, mistake: str) -> None:
    """After `measure()`, modes, parameters, gradients and the stream of random numbers are as they were."""
    model.train()
    parameters = [p.detach().clone() for p in model.parameters()]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = measure(), measure()
    following = torch.rand(3)
    expect(
        all(module.training for module in model.modules()),
        "Some are not.",
        what=f"whether all modules are in training mode again after {what}",
        mistake=mistake,
    )
    expect(
        first == second,
        "They differ.",
        what=f"two results of {what}, with a model that has dropout",
        expected=str(first),
        actual=str(second),
        mistake=mistake,
    )
    expect_close(
        following,
        expected,
        what=f"the random numbers after {what}",
        mistake=mistake,
    )
    expect(all(p.grad is None for p in model.parameters()), "There are some.", what=f"gradients after {what}")
    for parameter, before in zip(model.parameters(), parameters):
        expect_close(parameter.detach(), before, rtol=0, atol=0, what=f"a parameter after {what}")


# -------------------------------------------------------------------------------------------------------- evaluating


@pytest.mark.task("evaluating")
def test_evaluating_does_not_move_the_random_numbers() -> None:
    """What is drawn inside does not change what is drawn afterwards."""
    model = nn.Linear(2, 2)
    torch.manual_seed(12)
    expected = torch.rand(4)
    torch.manual_seed(12)
    with evaluating(model):
        torch.randperm(10)
    expect_close(
        torch.rand(4), expected, what="the random numbers drawn after evaluating", mistake="random-stream-moved"
    )
    torch.manual_seed(13)
    with evaluating(model):
        first = torch.rand(3)
    torch.manual_seed(14)
    with evaluating(model):
        second = torch.rand(3)
    expect(
        not torch.equal(first, second),
        "They are the same.",
        what="random numbers drawn inside, after two different seeds outside",
        mistake="seeded",
    )


@pytest.mark.task("evaluating")
def test_evaluating_cleans_up_after_an_error() -> None:
    """An error inside is passed on, and everything is put back all the same."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    torch.manual_seed(11)
    expected = torch.rand(2)
    torch.manual_seed(11)
    caught = None
    try:
        with evaluating(model):
            torch.rand(5)
            raise ZeroDivisionError("in the middle of a measurement")
    except ZeroDivisionError as error:
        caught = error
    expect(caught is not None, "It was swallowed.", what="an error inside evaluating", mistake="error-swallowed")
    grad = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    expect(grad, "They are not.", what="whether gradients are recorded after an error", mistake="no-finally")
    expect_equal(
        [module.training for module in model.modules()],
        [True, True, True],
        what="module.training after an error inside evaluating",
        mistake="no-finally",
    )
    expect_close(
        torch.rand(2), expected, what="the random numbers drawn after an error inside evaluating", mistake="no-finally"
    )


@pytest.mark.task("evaluating")
def test_evaluating_in_a_place_without_gradients() -> None:
    """Where no gradients were recorded before, none are recorded afterwards; frozen parameters stay frozen."""
    model = nn.Linear(2, 3)
    model.bias.requires_grad_(False)
    with torch.no_grad():
        with evaluating(model):
            pass
        inner = torch.is_grad_enabled()
    expect(
        not inner,
        "Yes.",
        what="whether gradients are recorded after evaluating, inside torch.no_grad",
        mistake="grad-switched-on",
    )
    expect_equal(
        [p.requires_grad for p in model.parameters()],
        [True, False],
        what="requires_grad of weight and (frozen) bias after evaluating",
        mistake="requires-grad-touched",
    )


@pytest.mark.task("evaluating")
def test_evaluating_remembers_parts_of_parts() -> None:
    """A frozen part deep inside of a part that is training stays frozen, and what surrounds it is training again."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Linear(2, 2))))
    model[1][0].eval()
    before = [module.training for module in model.modules()]
    with evaluating(model):
        pass
    expect_equal(
        [module.training for module in model.modules()],
        before,
        what="module.training of the six modules afterwards; the Dropout in the inner part was frozen before",
        mistake="mode-of-children",
    )


@pytest.mark.task("evaluating")
def test_evaluating_inside_evaluating() -> None:
    """The inner one puts back what it found; the outer one what was before."""
    model = nn.Dropout(0.5)
    with evaluating(model):
        with evaluating(model):
            pass
        inside = (model.training, torch.is_grad_enabled())
    expect_equal(
        inside,
        (False, False),
        what="training mode and recording, after the inner of two",
        lookalikes={"mode-of-all": (True, False), "grad-switched-on": (False, True)},
    )
    expect(model.training, "It is not.", what="whether the model is in training mode after the outer one")


# --------------------------------------------------------------------------------------------------------- token-nll


@pytest.mark.task("token-nll")
@pytest.mark.parametrize(("B", "T"), [(3, 8), (1, 5), (4, 2)])
def test_token_losses_of_a_model_with_a_memory(B: int, T: int) -> None:
    """Every token is judged by the logits of the place before it, in every row."""
    model = MemoryModel()
    ids = draw_ids(B, T, vocab_size=11, seed=B)
    wanted = [[-model.log_prob(row[:t], row[t]) for t in range(1, T)] for row in ids.tolist()]
    losses = token_losses(model, ids, ids)
    expect_shape(losses, (B, T - 1), what="token_losses", dims="B T-1")
    expect_close(
        losses.detach(),
        torch.tensor(wanted, dtype=torch.float64),
        rtol=1e-9,
        atol=1e-9,
        what=f"token_losses of {B} texts of {T} tokens",
        dims="B T-1",
    )
    expect_equal(len(model.read), 1, what="how often the model was called")


@pytest.mark.task("token-nll")
def test_labels_decide_what_is_scored() -> None:
    """-100 costs 0 and does not count, wherever it stands; a label need not be the token itself."""
    model = MemoryModel()
    ids = draw_ids(2, 7, vocab_size=11, seed=9)
    labels = torch.tensor([[4, -100, 3, 3, -100, 10, 0], [-100, -100, -100, -100, 7, 2, 5]])
    wanted = [
        [0.0 if label == -100 else -model.log_prob(row[:t], label) for t, label in enumerate(marks) if t]
        for row, marks in zip(ids.tolist(), labels.tolist())
    ]
    with expect_unchanged([ids, labels], what="input_ids and labels", mistake="labels-changed"):
        losses = token_losses(model, ids, labels)
        nll, tokens = token_nll(model, ids, labels)
    expect_close(
        losses.detach(),
        torch.tensor(wanted, dtype=torch.float64),
        rtol=1e-9,
        atol=1e-9,
        what="token_losses under labels with -100 that are not the tokens",
        dims="B T-1",
        lookalikes={
            "labels-not-used": lambda: torch.tensor(
                [[-model.log_prob(row[:t], row[t]) for t in range(1, 7)] for row in ids.tolist()], dtype=torch.float64
            )
        },
    )
    expect_close(nll, sum(map(sum, wanted)), what="the sum")
    expect_equal(
        tokens,
        7,
        what="the number of predictions: the labels that are not -100, but for the first place",
        lookalikes={"first-counted": 8, "all-places-counted": 12, "last-not-first": 6},
    )


@pytest.mark.task("token-nll")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_losses_are_computed_in_32_bits(dtype: torch.dtype) -> None:
    """Logits of 16 bits are widened before anything is computed."""
    model = MemoryModel(dtype=dtype)
    ids = draw_ids(2, 6, vocab_size=11, seed=4)
    losses = token_losses(model, ids, ids)
    expect_dtype(losses, torch.float32, what=f"token_losses of {dtype} logits", mistake="losses-in-16-bits")
    logits = model(ids).logits[:, :-1].double()
    wanted = logits.logsumexp(-1) - logits.gather(-1, ids[:, 1:, None])[..., 0]
    expect_close(
        losses.detach(),
        wanted.float(),
        what=f"token_losses of {dtype} logits",
        dims="B T-1",
        mistake="losses-in-16-bits",
    )


@pytest.mark.task("token-nll")
def test_a_text_of_one_token_has_no_prediction() -> None:
    """Where nothing can be predicted the sum and the count are 0."""
    ids = torch.tensor([[3], [5]])
    expect_equal(token_nll(MemoryModel(), ids, ids), (0.0, 0), what="token_nll of two texts of one token")


@pytest.mark.task("token-nll")
def test_a_model_that_knows_nothing_costs_log_v() -> None:
    """Equal logits cost log V for every token."""
    model = MemoryModel(vocab_size=13)
    with torch.no_grad():
        model.U.zero_()
    ids = draw_ids(2, 5, vocab_size=13, seed=2)
    nll, tokens = token_nll(model, ids, ids)
    expect_close(nll / tokens, math.log(13), what="the loss of equal logits over 13 tokens")


@pytest.mark.task("token-nll")
def test_a_loss_of_zero_is_a_prediction_too() -> None:
    """A model that is certain, and right, has a loss of 0 at every place, and all of them count."""
    model = MemoryModel(decay=0.0, dtype=torch.float32)
    with torch.no_grad():
        model.E.zero_()[:4] = 1000 * torch.eye(4)
        model.U.zero_()[:, :4] = torch.eye(4)
    ids = torch.full((2, 4), 3)
    expect_equal(
        token_nll(model, ids, ids),
        (0.0, 6),
        what="token_nll of two texts of four tokens that the model was certain of",
        lookalikes={"zero-losses-not-counted": (0.0, 0)},
    )


@pytest.mark.task("token-nll")
def test_impossible_tokens_have_a_finite_loss() -> None:
    """A token that is 1,000 nats less likely than another costs 1,000 nats, though its probability is 0 in a float."""
    model = MemoryModel(decay=0.0)
    with torch.no_grad():
        model.E.zero_()[:4] = 1000 * torch.eye(4)
        model.U.zero_()[:, :4] = torch.eye(4)
    ids = torch.tensor([[3, 2, 2]])
    losses = token_losses(model, ids, ids).detach()
    expect_close(
        losses,
        torch.tensor([[1000.0, 0.0]], dtype=torch.float64),
        what="token_losses of 3 2 2, where after each token itself is 1,000 nats likelier than all others",
        mistake="log-of-softmax",
    )


@pytest.mark.task("token-nll")
def test_token_losses_leave_the_mode_alone() -> None:
    """token_losses is no measurement by itself: the model runs in the mode in which it is."""
    model = MemoryModel().train()
    ids = draw_ids(2, 4, vocab_size=11, seed=1)
    losses = token_losses(model, ids, ids)
    expect_equal(
        (model.modes, losses.requires_grad),
        ([True], True),
        what="model.training while token_losses called a model in training mode, and requires_grad of the losses",
        mistake="losses-switch-the-mode",
    )


@pytest.mark.task("token-nll")
def test_token_nll_leaves_no_trace() -> None:
    """Dropout is off while it is measured, and nothing shows afterwards."""
    ids = draw_ids(2, 6, vocab_size=7, seed=6)
    model = Noisy()
    expect_no_trace(model, lambda: token_nll(model, ids, ids), what="token_nll", mistake="nll-leaves-traces")


# -------------------------------------------------------------------------------------------------------- perplexity


def corpus(seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Seven texts of 9 places, of which the labels of some are ignored."""
    ids = draw_ids(7, 9, vocab_size=11, seed=seed)
    labels = ids.clone()
    rng = random.Random(seed)
    for row in range(7):
        for place in range(9):
            if rng.random() < 0.35:
                labels[row, place] = -100
    return list(zip(ids, labels))


def batches_of(texts: list[tuple[Tensor, Tensor]], sizes: Sequence[int]) -> Iterator[dict[str, Tensor]]:
    rest = iter(texts)
    for size in sizes:
        rows = list(itertools.islice(rest, size))
        yield {
            "input_ids": torch.stack([ids for ids, _ in rows]),
            "labels": torch.stack([labels for _, labels in rows]),
        }


@pytest.mark.task("corpus-perplexity")
@pytest.mark.parametrize("sizes", [(7,), (3, 3, 1), (1, 6), (1, 1, 1, 1, 1, 1, 1)], ids=str)
def test_perplexity_does_not_depend_on_the_batches(sizes: tuple[int, ...]) -> None:
    """However the corpus is cut, the figures are those of all its predictions."""
    model = MemoryModel()
    texts = corpus()
    costs = [
        -model.log_prob(ids[:t].tolist(), int(labels[t]))
        for ids, labels in texts
        for t in range(1, 9)
        if labels[t] != -100
    ]
    loss = sum(costs) / len(costs)
    result = evaluate_perplexity(model, batches_of(texts, sizes))
    expect_close(
        result["loss"],
        loss,
        rtol=1e-9,
        what=f"the loss of seven texts in batches of {sizes}",
        lookalikes={"pads-counted": sum(costs) / (7 * 8)},
    )
    expect_close(result["perplexity"], math.exp(loss), rtol=1e-9, what="the perplexity")
    expect_equal(
        [type(result["loss"]), type(result["perplexity"]), int(result["tokens"])],
        [float, float, len(costs)],
        what="the types of loss and perplexity, and the number of predictions",
    )


@pytest.mark.task("corpus-perplexity")
def test_perplexity_takes_one_batch_at_a_time() -> None:
    """A corpus need not fit into memory: a batch is used before the next is asked for."""
    model = MemoryModel()
    calls_before: list[int] = []

    def stream() -> Iterator[dict[str, Tensor]]:
        for batch in batches_of(corpus(), (2, 2, 2, 1)):
            calls_before.append(len(model.read))
            yield batch

    evaluate_perplexity(model, stream())
    expect_equal(
        calls_before,
        [0, 1, 2, 3],
        what="how many batches the model had read, each time the next one was asked for",
        lookalikes={"batches-hoarded": [0, 0, 0, 0]},
    )


@pytest.mark.task("corpus-perplexity")
def test_perplexity_of_nothing_is_refused() -> None:
    """Without any prediction there is no figure: a ValueError, not a perplexity of 1."""
    ids = torch.tensor([[1, 2, 3]])
    nothing = {"input_ids": ids, "labels": torch.tensor([[1, -100, -100]])}
    for batches, what in (([], "no batches"), ([nothing], "a batch in which only the first label is not -100")):
        with expect_raises(
            ValueError, match="no prediction", what=f"evaluate_perplexity of {what}", mistake="nothing-is-perfect"
        ):
            evaluate_perplexity(MemoryModel(), batches)


@pytest.mark.task("corpus-perplexity")
def test_a_hopeless_model_has_an_infinite_perplexity() -> None:
    """Where exp overflows, the perplexity is infinite and no error."""
    model = MemoryModel()
    with torch.no_grad():
        model.U.mul_(1e5)
    ids = draw_ids(2, 6, vocab_size=11, seed=8)
    with diagnosing("perplexity-overflows", OverflowError):
        result = evaluate_perplexity(model, [{"input_ids": ids, "labels": ids}])
    expect(1000 < result["loss"] < math.inf, "No.", what="whether the loss is finite, and above 1000 nats")
    expect_equal(
        result["perplexity"], math.inf, what="the perplexity of a loss above 1000", mistake="perplexity-capped"
    )


@pytest.mark.task("corpus-perplexity")
def test_a_large_perplexity_is_still_a_number() -> None:
    """The perplexity of a loss of 100 nats is 2.7e43: too large for 32 bits, not for a float of Python."""
    model = MemoryModel(decay=0.0)
    with torch.no_grad():
        model.E.zero_()[:4] = 100 * torch.eye(4)
        model.U.zero_()[:, :4] = torch.eye(4)
    ids = torch.tensor([[3, 2]])
    result = evaluate_perplexity(model, [{"input_ids": ids, "labels": ids}])
    expect(
        math.isclose(result["perplexity"], math.exp(100), rel_tol=1e-9),
        "It is not.",
        what="whether the perplexity of a loss of 100 nats is exp(100), to nine digits",
        expected=str(math.exp(100)),
        actual=str(result["perplexity"]),
        mistake="perplexity-in-32-bits",
    )


class Parcel:
    """A batch's tensor that can only be used after it was moved to a device."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.moved: list[object] = []

    def to(self, *args: object, **kwargs: object) -> Tensor:
        self.moved += [*args, *(value for name, value in kwargs.items() if name == "device")]
        return self.tensor


@pytest.mark.task("corpus-perplexity")
def test_batches_are_moved_to_the_device() -> None:
    """Both tensors of a batch go to the device that is named, or to that of the parameters."""
    ids = draw_ids(2, 5, vocab_size=11, seed=8)
    for device in (None, "cpu", torch.device("cpu")):
        parcels = {"input_ids": Parcel(ids), "labels": Parcel(ids)}
        with diagnosing("batches-not-moved", AttributeError, TypeError):
            evaluate_perplexity(MemoryModel(), [parcels], device=device)
        places = [str(place) for parcel in parcels.values() for place in parcel.moved[:1]]
        expect_equal(places, ["cpu", "cpu"], what=f"where input_ids and labels were moved to, with device={device!r}")


@pytest.mark.task("corpus-perplexity")
def test_perplexity_leaves_no_trace() -> None:
    """Not even where the batches are drawn at random."""
    model = Noisy()

    def stream() -> Iterator[dict[str, Tensor]]:
        for _ in range(2):
            torch.rand(3)
            ids = draw_ids(2, 6, vocab_size=7, seed=6)
            yield {"input_ids": ids, "labels": ids}

    expect_no_trace(
        model,
        lambda: evaluate_perplexity(model, stream()),
        what="evaluate_perplexity",
        mistake="batches-outside-evaluating",
    )


# ----------------------------------------------------------------------------------------------------------- strided


@pytest.mark.task("strided")
@pytest.mark.parametrize("T", [2, 5, 9, 14, 23])
@pytest.mark.parametrize(("max_length", "stride"), [(2, 1), (5, 4), (6, 3), (7, 1), (9, 5), (30, 7)])
def test_every_target_is_scored_once(T: int, max_length: int, stride: int) -> None:
    """For a model that looks at one token, windows make no difference."""
    model = MemoryModel(decay=0.0)
    ids = draw_ids(T, vocab_size=11, seed=T)
    wanted = sum(-model.log_prob(ids[t - 1 : t].tolist(), int(ids[t])) for t in range(1, T))
    nll, tokens = strided_nll(model, ids, max_length=max_length, stride=stride)
    full = 1 + (T - max_length) // stride if max_length <= T else 0
    widths = [min(max_length, T - begin) for begin in range(0, T, stride)]
    widths = widths[: next(i for i, width in enumerate(widths) if i * stride + width == T) + 1]
    expect_equal(
        tokens,
        T - 1,
        what=f"how many of {T} tokens were scored, with max_length={max_length} and stride={stride}",
        lookalikes={
            "last-window-lost": max_length - 1 + (full - 1) * stride if full else 0,
            "last-stride-only": widths[0] - 1 + sum(min(stride, width - 1) for width in widths[1:]),
        },
    )
    expect_close(
        nll, wanted, rtol=1e-9, what=f"the sum over {T - 1} targets, with max_length={max_length} and stride={stride}"
    )
    widths = [ids.shape[-1] for ids in model.read]
    expect(
        max(widths) <= max_length,
        "It is more.",
        what=f"the longest window that the model read, with max_length={max_length}",
        actual=str(max(widths)),
        mistake="window-too-long",
    )


@pytest.mark.task("strided")
@pytest.mark.parametrize(("T", "max_length", "stride"), [(17, 6, 4), (17, 6, 1), (16, 7, 5), (11, 11, 3), (12, 11, 3)])
def test_the_context_of_every_target(T: int, max_length: int, stride: int) -> None:
    """Each token is scored by the first window that contains it, with all that the window has before it."""
    model = MemoryModel(decay=0.9)
    ids = draw_ids(T, vocab_size=11, seed=T + stride).tolist()
    wanted, later, moved = 0.0, 0.0, 0.0
    for t in range(1, T):
        begins = [b for b in range(0, T, stride) if b < t < b + max_length]
        wanted -= model.log_prob(ids[begins[0] : t], ids[t])
        later -= model.log_prob(ids[begins[-1] : t], ids[t])
        moved -= model.log_prob(ids[min(begins[0], T - max_length) : t], ids[t])
    nll, _ = strided_nll(model, torch.tensor(ids), max_length=max_length, stride=stride)
    expect_close(
        nll,
        wanted,
        rtol=1e-9,
        what=f"the sum over {T - 1} targets of a model with a memory, max_length={max_length} and stride={stride}",
        lookalikes={"scored-by-last-window": later, "last-window-moved": moved},
    )


@pytest.mark.task("strided")
def test_strided_changes_nothing() -> None:
    """The text is as it was, and nothing shows on the model."""
    ids = draw_ids(12, vocab_size=7, seed=3)
    model = Noisy()
    with expect_unchanged(ids, what="the ids", mistake="ids-overwritten"):
        strided_nll(model, ids, max_length=5, stride=2)
    expect_no_trace(
        model,
        lambda: strided_nll(model, ids, max_length=5, stride=2),
        what="strided_nll",
        mistake="strided-leaves-traces",
    )


@pytest.mark.task("strided")
def test_strided_of_very_short_texts() -> None:
    """A text of no token, or of one, has no target."""
    for T in (0, 1):
        result = strided_nll(MemoryModel(), torch.zeros(T, dtype=torch.long), max_length=4, stride=2)
        expect_equal(result, (0.0, 0), what=f"strided_nll of {T} tokens")


@pytest.mark.task("strided")
@pytest.mark.parametrize("stride", [0, -1, 4, 5])
def test_windows_must_overlap(stride: int) -> None:
    """With a stride of max_length or more a target would have no context; below 1 there is no way forward."""
    with expect_raises(
        ValueError, match="stride", what=f"strided_nll with max_length=4, stride={stride}", mistake="stride-unchecked"
    ):
        strided_nll(MemoryModel(), torch.arange(6), max_length=4, stride=stride)


# ------------------------------------------------------------------------------------------------------- mmlu-prompt


def question(subject: str, number: int, answer: int = 0) -> Question:
    return Question(subject, f"Question {number}?", tuple(f"{number}{letter}" for letter in "wxyz"), answer)


@pytest.mark.task("mmlu-prompt")
def test_texts_are_written_as_they_are() -> None:
    """Nothing of question and choices is stripped, joined or changed."""
    odd = Question("virology", "  Two\n\nlines: \u2018A.\u2019 or %s {0}?  ", ("", " b ", "C. c", "d\ne"), 3)
    wanted = "  Two\n\nlines: \u2018A.\u2019 or %s {0}?  \nA. \nB.  b \nC. C. c\nD. d\ne\nAnswer:"
    lookalikes = {
        "texts-stripped": "Two\n\nlines: \u2018A.\u2019 or %s {0}?\nA. \nB. b\nC. C. c\nD. d\ne\nAnswer:",
    }
    expect_text(format_question(odd), wanted, what="a question with odd white space", lookalikes=lookalikes)


@pytest.mark.task("mmlu-prompt")
@pytest.mark.parametrize("answer", range(4))
def test_every_answer_has_its_letter(answer: int) -> None:
    """The letter of the right choice, for each of the four."""
    text = format_question(question("virology", 1, answer), with_answer=True)
    expect_text(
        text[text.index("Answer:") :], f"Answer: {LETTERS[answer]}\n\n", what=f"the answer with answer = {answer}"
    )


@pytest.mark.task("mmlu-prompt")
def test_select_shots_in_order() -> None:
    """The first n of the subject, in the order given; all of them where there are fewer."""
    examples = [question(subject, i, i % 4) for i in range(9) for subject in ("anatomy", "virology")]
    asked = question("virology", 99)
    virology = [example for example in examples if example.subject == "virology"]
    for n in (0, 1, 3, 9, 20):
        with expect_unchanged([hash(e) for e in examples], what="examples"):
            shots = select_shots(asked, examples, n)
        expect_equal(
            list(shots),
            virology[:n],
            what=f"{n} shots out of nine of the subject, which stand between nine of another",
            lookalikes={
                "shots-any-subject": examples[:n],
                "shots-cut-first": [e for e in examples[:n] if e.subject == "virology"],
                "shots-from-the-end": virology[max(0, 9 - n) :],
                "shots-all": virology,
                "shots-reversed": virology[:n][::-1],
            },
        )


@pytest.mark.task("mmlu-prompt")
def test_a_question_is_no_example_for_itself() -> None:
    """Where shots come from the list that is being asked, the question itself is passed over."""
    examples = [question("anatomy", i) for i in range(4)]
    for i in range(4):
        others = [e for e in examples if e != examples[i]]
        expect_equal(
            list(select_shots(question("anatomy", i), examples, 2)),
            others[:2],
            what=f"two shots for question {i} out of questions 0 to 3",
            lookalikes={
                "question-shows-itself": examples[:2],
                "shot-too-few": [e for e in examples[:2] if e != examples[i]],
            },
        )


@pytest.mark.task("mmlu-prompt")
def test_questions_that_only_begin_alike_are_examples() -> None:
    """MMLU asks "Which of the following is true?" many times, with other choices each time."""
    asked, other, same = (
        Question("virology", "Which of these is true?", tuple(f"{word} {i}" for i in range(4)), 1)
        for word in ("virus", "host", "virus")
    )
    expect_equal(
        select_shots(asked, [same, other], 2),
        [other],
        what="the shots for a question, out of an equal one and one with the same words and other choices",
        lookalikes={"same-words-passed-over": [], "question-shows-itself": [same, other]},
    )


@pytest.mark.task("mmlu-prompt")
def test_prompts_with_many_shots_and_none() -> None:
    """Shots stand in the order given, each with its own answer; without any, the first line remains."""
    subject = "high_school_us_history"
    shots = [question(subject, i, i) for i in (3, 0, 2)]
    head = "The following are multiple choice questions (with answers) about high school us history.\n\n"
    blocks = [
        f"Question {i}?\nA. {i}w\nB. {i}x\nC. {i}y\nD. {i}z\nAnswer: {letter}\n\n"
        for i, letter in ((3, "D"), (0, "A"), (2, "C"))
    ]
    last = "Question 7?\nA. 7w\nB. 7x\nC. 7y\nD. 7z\nAnswer:"
    expect_text(
        build_prompt(question(subject, 7, 1), shots),
        head + "".join(blocks) + last,
        what="a prompt with three shots",
        lookalikes={
            "shots-reversed-in-the-prompt": head + "".join(blocks[::-1]) + last,
            "header-underscore-once": (head + "".join(blocks) + last).replace("school us history", "school_us_history"),
        },
    )
    expect_text(
        build_prompt(question(subject, 7, 1)),
        head + last,
        what="a prompt without shots",
        lookalikes={"header-with-shots-only": last},
    )


# ----------------------------------------------------------------------------------------------------- score-choices


def chain(model: MemoryModel, prompt: list[int], choice: list[int]) -> float:
    return sum(model.log_prob([*prompt, *choice[:i]], token) for i, token in enumerate(choice))


@pytest.mark.task("score-choices")
@pytest.mark.parametrize(
    "choices",
    [
        [[4], [0], [7], [9]],
        [[4, 2, 2], [8], [4, 2], [1, 1, 1, 1, 5]],
        [[3, 6], [3, 7]],
        [[0, 0, 0], [0], [0, 0]],
        [[5, 1, 2]],
        [[2], [2], [2, 2]],
    ],
    ids=str,
)
@pytest.mark.parametrize("prompt", [[6], [2, 0, 10, 3]], ids=str)
def test_scores_of_ragged_choices(prompt: list[int], choices: list[list[int]]) -> None:
    """Every continuation gets what it would get alone, however long the others are."""
    model = MemoryModel()
    wanted = torch.tensor([chain(model, prompt, choice) for choice in choices], dtype=torch.float64)
    with expect_unchanged([prompt, choices], what="prompt_ids and choice_ids", mistake="choices-changed"):
        scores = score_choices(model, prompt, choices)
    longest = max(map(len, choices))

    def padded_on_the_left() -> Tensor:
        rows = [[0] * (longest - len(choice)) + prompt for choice in choices]
        return torch.tensor([chain(model, row, choice) for row, choice in zip(rows, choices)], dtype=torch.float64)

    def padding_scored() -> Tensor:
        rows = [choice + [0] * (longest - len(choice)) for choice in choices]
        return torch.tensor([chain(model, prompt, row) for row in rows], dtype=torch.float64)

    def from_the_last_place() -> Tensor:
        rows = [prompt + choice + [0] * (longest - len(choice)) for choice in choices]
        return torch.tensor(
            [
                sum(model.log_prob(row[: len(row) - len(c) + i], t) for i, t in enumerate(c))
                for row, c in zip(rows, choices)
            ],
            dtype=torch.float64,
        )

    expect_shape(scores, (len(choices),), what="the scores", dims="n")
    expect_close(
        scores.detach(),
        wanted,
        rtol=1e-9,
        atol=1e-9,
        what=f"the scores of {choices} after {prompt}",
        dims="n",
        lookalikes={
            "padded-on-the-left": padded_on_the_left,
            "padding-scored": padding_scored,
            "last-place-of-the-row": from_the_last_place,
        },
    )
    expect_equal(
        len(model.read),
        1,
        what=f"how often the model was called for {len(choices)} choices",
        lookalikes={"one-call-each": len(choices)},
    )


@pytest.mark.task("score-choices")
def test_scores_are_computed_in_32_bits() -> None:
    """16-bit logits are widened first: two choices that differ by a thousandth are told apart."""
    model = MemoryModel(dtype=torch.bfloat16)
    scores = score_choices(model, [3, 1], [[2], [7, 5]])
    expect_dtype(scores, torch.float32, what="the scores under bfloat16 logits", mistake="scores-in-16-bits")
    logits = model(torch.tensor([[3, 1, 7]])).logits.double().log_softmax(-1)[0]
    wanted = torch.stack([logits[1, 2], logits[1, 7] + logits[2, 5]]).float()
    expect_close(scores.detach(), wanted, what="the scores under bfloat16 logits", mistake="scores-in-16-bits")


@pytest.mark.task("score-choices")
@pytest.mark.parametrize(("prompt", "choices"), [([], [[1], [2]]), ([1], [[1], []]), ([1], [[], [2]])], ids=str)
def test_empty_texts_are_refused(prompt: list[int], choices: list[list[int]]) -> None:
    """An empty continuation would win every time: its log-probability is 0."""
    with expect_raises(
        ValueError, match="empty", what=f"score_choices of {choices} after {prompt}", mistake="empty-accepted"
    ):
        score_choices(MemoryModel(), prompt, choices)


@pytest.mark.task("score-choices")
def test_score_choices_leaves_no_trace() -> None:
    """Dropout is off while it is measured, and nothing shows afterwards."""
    model = Noisy()
    expect_no_trace(
        model,
        lambda: score_choices(model, [1, 2], [[3], [4, 5]]).tolist(),
        what="score_choices",
        mistake="scores-leave-traces",
    )
    expect(
        not score_choices(model, [1, 2], [[3]]).requires_grad,
        "A graph was recorded.",
        what="the scores",
        mistake="scores-leave-traces",
    )


# ----------------------------------------------------------------------------------------------------------- predict


class Words:
    """A tokenizer whose tokens are words with the space before them, single marks, and single white space."""

    eos_token_id = 0
    pad_token_id = 0
    bos_token_id = 1
    pattern = r" ?\w+|\s| ?[^\w\s]"

    def __init__(self) -> None:
        self.tokens = ["<end>", "<bos>"]

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        pieces = re.findall(self.pattern, text)
        for piece in pieces:
            if piece not in self.tokens:
                self.tokens.append(piece)
        ids = [self.tokens.index(piece) for piece in pieces]
        return [self.bos_token_id, *ids, self.eos_token_id] if add_special_tokens else ids

    def encode_batch(self, texts: Sequence[str], *, return_tensors: str | None = None, **options: object) -> dict:
        rows = [self.encode(text) for text in texts]
        ones = [[1] * len(row) for row in rows]
        make = torch.tensor if return_tensors else list
        return {"input_ids": make(rows), "attention_mask": make(ones)}

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        ids = [int(i) for i in ids]
        return "".join(self.tokens[i] for i in ids if i > 1 or not skip_special_tokens)


class Characters(Words):
    """Every character is a token, so that " A" is two."""

    pattern = r"[\s\S]"


class Marks(Words):
    """A character and a mark behind it: " A" is four tokens, and no letter is the first or the last of them."""

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        for piece in [*text, "\u00b7"]:
            if piece not in self.tokens:
                self.tokens.append(piece)
        ids = [self.tokens.index(piece) for character in text for piece in (character, "\u00b7")]
        return [self.bos_token_id, *ids, self.eos_token_id] if add_special_tokens else ids


class Favourite(nn.Module):
    """Gives 3 to one token wherever it stands, a little to the others, and 9 to a token that is no letter."""

    def __init__(self, favourite: int, distraction: int) -> None:
        super().__init__()
        scores = torch.linspace(0, 0.1, 400, dtype=torch.float64)
        scores[favourite], scores[distraction] = 3.0, 9.0
        self.scores = nn.Parameter(scores)
        self.read: list[Tensor] = []

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        self.read.append(input_ids.clone())
        return SimpleNamespace(logits=self.scores.expand(*input_ids.shape, -1))


@pytest.mark.task("predict")
@pytest.mark.parametrize("kind", [Words, Characters, Marks], ids=["words", "characters", "marks"])
@pytest.mark.parametrize("answer", range(4))
def test_the_answer_follows_the_logits(kind: type[Words], answer: int) -> None:
    """Whichever letter the model prefers, under three tokenizers, and whatever else is likelier still."""
    tokenizer = kind()
    pieces = tokenizer.encode(f" {LETTERS[answer]}")
    others = {i for letter in LETTERS if letter != LETTERS[answer] for i in tokenizer.encode(f" {letter}")}
    (favourite,) = {i for i in pieces if i not in others}
    model = Favourite(favourite, tokenizer.encode("~")[0])
    expect_equal(
        predict(model, tokenizer, question("virology", 5)),
        answer,
        what=f"the answer of a model that prefers {LETTERS[answer]}, where the tokens of its answer are {pieces}",
        mistake={Characters: "first-token-of-answer", Marks: "last-token-of-answer"}.get(kind),
    )


@pytest.mark.task("predict")
def test_ties_go_to_the_first() -> None:
    """A model that prefers no letter answers A."""
    model = MemoryModel(vocab_size=90)
    with torch.no_grad():
        model.U.zero_()
    expect_equal(
        predict(model, Words(), question("virology", 5, 3)),
        0,
        what="the answer of a model without preferences",
        lookalikes={"tie-goes-to-the-last": 3},
    )


@pytest.mark.task("predict")
def test_prompts_that_do_not_fit() -> None:
    """The last shots are left out until the rest fits; when none is left, the beginning of the prompt is cut off."""
    tokenizer = Characters()
    asked = question("virology", 5)
    shots = [question("virology", i, i) for i in range(3)]
    length = [len(build_prompt(asked, shots[:n])) for n in range(4)]
    letters = 2  # " A" is two characters
    cases = [(None, 3, 0), (length[1] + letters, 1, 0), (length[3] + letters, 3, 0), (length[3], 2, 0)]
    cases += [(length[3] + letters - 1, 2, 0), (length[0] + letters, 0, 0)]
    cases += [(length[0] + letters - 7, 0, 7), (30, 0, length[0] + letters - 30)]
    for max_length, kept, cut in cases:
        model = MemoryModel(vocab_size=90)
        given = list(shots)
        predict(model, tokenizer, asked, given, max_length=max_length)
        expect_equal(given, shots, what="the list of shots afterwards", mistake="shots-removed-from-the-list")
        row = model.read[-1][0].tolist()
        prompt = build_prompt(asked, shots[:kept])
        wanted = prompt[cut:]
        all_shots = build_prompt(asked, shots)
        room = (max_length or 0) - letters
        excess = len(row) - (max_length or len(row))
        if excess > 0:
            ignored = "max-length-ignored" if excess > letters else "no-room-for-the-choice"
        else:
            ignored = "prompt-cut-on-the-right"
        expect_text(
            tokenizer.decode(row)[: len(wanted)],
            wanted,
            what=f"what the model read, with max_length={max_length} and shots for a prompt of {length[3]} characters",
            lookalikes={
                "first-shots-left-out": build_prompt(asked, shots[3 - kept :])[cut:],
                ignored: all_shots[: max(room, len(wanted) if excess > 0 else 0)][: len(wanted)],
                "shots-cut-in-the-middle": all_shots[-room:][: len(wanted)],
            },
        )
        if max_length is not None:
            expect(
                len(row) <= max_length,
                "It is more.",
                what=f"the number of tokens that the model read, with max_length={max_length}",
                actual=str(len(row)),
            )


# ---------------------------------------------------------------------------------------------------------- accuracy


@pytest.mark.task("accuracy")
def test_subjects_of_different_sizes() -> None:
    """Subjects come in the order of their first question, even where questions are mixed."""
    subjects = ["virology", "anatomy", "virology", "zoology", "virology", "anatomy", "virology"]
    questions = [question(subject, i, i % 4) for i, subject in enumerate(subjects)]
    predictions = [0, 1, 2, 0, 0, 0, 3]  # right: virology 0, 2 and 4; anatomy 1
    result = accuracy(questions, predictions)
    wanted = {"virology": 0.75, "anatomy": 0.5, "zoology": 0.0}
    expect_equal(
        dict(result.by_subject),
        wanted,
        what="the accuracy of each subject",
        lookalikes={"subjects-by-neighbours": dict.fromkeys(wanted, 0.0)},
    )
    expect_equal(
        list(result.by_subject),
        list(wanted),
        what="the order of the subjects",
        lookalikes={"subjects-sorted": sorted(wanted)},
    )
    expect_close(
        [result.micro, result.macro],
        [4 / 7, 1.25 / 3],
        what="micro and macro average",
        lookalikes={
            "macro-as-micro": [1.25 / 3, 1.25 / 3],
            "micro-as-macro": [4 / 7, 4 / 7],
            "averages-swapped": [1.25 / 3, 4 / 7],
        },
    )


@pytest.mark.task("accuracy")
def test_accuracy_needs_an_answer_to_every_question() -> None:
    """No question, or another number of predictions than of questions, is a ValueError."""
    one = question("anatomy", 1)
    for questions, predictions in (([], []), ([one, one], [0]), ([one], [0, 0])):
        with expect_raises(
            ValueError,
            what=f"accuracy of {len(questions)} questions and {len(predictions)} predictions",
            mistake="lengths-unchecked",
        ):
            accuracy(questions, predictions)


# ---------------------------------------------------------------------------------------------------------- truncate


@pytest.mark.task("truncate")
@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("before", ["", "    return 1\n", "    return 1"], ids=repr)
def test_each_of_the_five_stops(stop: str, before: str) -> None:
    """Every stop cuts, also at the very beginning, and also when it comes twice."""
    text = f"{before}{stop} more\n\nand {stop} again"
    expect_text(
        truncate_at_stop(text),
        before,
        what=f"what is left of {text!r}",
        lookalikes={
            "not-found-cuts": text[:-1],
            "stop-at-the-start-missed": text,
            "last-stop": text[: text.rindex(stop)],
        },
    )


@pytest.mark.task("truncate")
def test_stops_of_your_own() -> None:
    """Stops are plain text, and only those that are given count."""
    text = "x = f(a)\ndef g():\n    y = [b]*2\n"
    cases = [(["[b]*"], "x = f(a)\ndef g():\n    y = "), (["(", ")"], "x = f"), ([".", "x.*"], text), ([], text)]
    for stops, wanted in cases:
        with diagnosing("stops-as-patterns", re.error):
            got = truncate_at_stop(text, stops)
        expect_text(
            got,
            wanted,
            what=f"what is left of {text!r} with the stops {stops}",
            lookalikes={"stops-fixed": "x = f(a)", "stops-as-patterns": ""},
        )


# ------------------------------------------------------------------------------------------------------- completions


class Writer(nn.Module):
    """Stands for a CausalLM: `generate` appends the rows that it was made with, and remembers how it was called."""

    def __init__(self, rows: list[list[int]]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.rows = rows
        self.calls: list[tuple[Tensor, dict[str, object]]] = []

    def generate(self, input_ids: Tensor, **options: object) -> Tensor:
        self.calls.append((input_ids.clone(), options))
        written = [self.rows[i % len(self.rows)] for i in range(len(input_ids))]
        return torch.cat([input_ids, torch.tensor(written)], dim=1)


@pytest.mark.task("completions")
def test_options_reach_the_generation() -> None:
    """Every option arrives as it was given; only the end of text stops, and top-k is off."""
    tokenizer = Words()
    model = Writer([tokenizer.encode("    pass\n")])
    generator = torch.Generator().manual_seed(1)
    sample_completions(
        model,
        tokenizer,
        "def f():\n",
        num_samples=2,
        max_new_tokens=17,
        temperature=0.3,
        top_p=0.7,
        generator=generator,
    )
    expect_equal(len(model.calls), 1, what="how often generate was called", mistake="one-sample-at-a-time")
    options = model.calls[0][1]
    expect_equal(
        {name: options.get(name) for name in ("max_new_tokens", "temperature", "top_p")},
        {"max_new_tokens": 17, "temperature": 0.3, "top_p": 0.7},
        what="max_new_tokens, temperature and top_p of generate",
        mistake="options-not-handed-on",
    )
    expect(
        options.get("generator") is generator,
        "It is another, or none.",
        what="the generator that generate was given",
        mistake="generator-not-handed-on",
    )
    expect_equal(options.get("top_k"), None, what="top_k of generate", mistake="top-k-left-on")
    expect_equal(
        [int(i) for i in options.get("stop_token_ids", ())],
        [tokenizer.eos_token_id],
        what="stop_token_ids of generate",
        mistake="end-of-text-not-a-stop",
    )


@pytest.mark.task("completions")
def test_every_sample_is_returned() -> None:
    """Equal completions are several samples; and torch's own stream of random numbers is not touched."""
    tokenizer = Words()
    model = Writer([tokenizer.encode("    pass\n")])
    torch.manual_seed(29)
    before = torch.get_rng_state()
    completions = sample_completions(
        model, tokenizer, "def f():\n", num_samples=4, generator=torch.Generator().manual_seed(1)
    )
    expect_equal(
        list(completions),
        ["    pass\n"] * 4,
        what="four samples, which came out equal",
        lookalikes={"equal-samples-merged": ["    pass\n"]},
    )
    expect(
        torch.equal(torch.get_rng_state(), before),
        "It has moved.",
        what="torch's default stream of random numbers, after samples from a generator",
        mistake="sampling-reseeds",
    )


@pytest.mark.task("completions")
def test_defaults_of_sampling() -> None:
    """256 tokens, temperature 0.8, top-p 0.95, and torch's own dice."""
    tokenizer = Words()
    model = Writer([tokenizer.encode("    pass\n")])
    sample_completions(model, tokenizer, "def f():\n", num_samples=1)
    options = model.calls[0][1]
    expect_equal(
        {name: options.get(name) for name in ("max_new_tokens", "temperature", "top_p", "generator")},
        {"max_new_tokens": 256, "temperature": 0.8, "top_p": 0.95, "generator": None},
        what="what generate is given by default",
    )


class Lossy(Words):
    """Writes an unknown sign for digits, and says what a special token is called when it is not to be skipped."""

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        return super().encode(re.sub(r"\d", "\ufffd!?", text), add_special_tokens=add_special_tokens)


@pytest.mark.task("completions")
def test_the_prompt_is_cut_off_in_tokens() -> None:
    """The text of a decoded prompt can be longer or shorter than the prompt: only the new tokens are decoded."""
    tokenizer = Lossy()
    prompt = "def f(x1, x2, x3):\n"
    rows = [[*tokenizer.encode("    return x\n"), 0, 0], [*tokenizer.encode("    return x + x\n")]]
    rows[0] += [0] * (len(rows[1]) - len(rows[0]))
    decoded = tokenizer.decode(tokenizer.encode(prompt))
    completions = sample_completions(Writer(rows), tokenizer, prompt, num_samples=2)
    wanted = ["    return x\n", "    return x + x\n"]
    expect_equal(
        list(completions),
        wanted,
        what=f"two completions of the prompt {prompt!r}, which the tokenizer decodes as {decoded!r}",
        lookalikes={
            "prompt-cut-in-characters": [(decoded + text)[len(prompt) :] for text in wanted],
            "end-of-text-decoded": lambda: [tokenizer.decode(row, skip_special_tokens=False) for row in rows],
        },
    )


# ----------------------------------------------------------------------------------------------------------- verdict

ADD = Problem(
    task_id="Example/0",
    prompt='def add(a, b):\n    """Return the sum of a and b."""\n',
    entry_point="add",
    canonical_solution="    return a + b\n",
    test="def check(candidate):\n    assert candidate(2, 3) == 5\n    assert candidate(-1, 1) == 0",
)


def ran(stdout: str = "", *, ended: str = "exited", stderr: str = "", code: int | None = 0) -> SimpleNamespace:
    return SimpleNamespace(stdout=stdout, stderr=stderr, ended=ended, code=code, isolation="none")


def run_here(source: str, *, timeout: float = 1.0) -> SimpleNamespace:
    """Run a harmless program in this process."""
    stdout, code = io.StringIO(), 0
    with contextlib.redirect_stdout(stdout):
        try:
            exec(compile(source, "<program>", "exec"), {"__name__": "__main__"})
        except BaseException:
            code = 1
    return ran(stdout.getvalue(), code=code)


def run_apart(source: str, *, timeout: float = 30.0) -> SimpleNamespace:
    """Run a program in a process of its own, as the sandbox does, only without its walls."""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", source], capture_output=True, text=True, timeout=60)
    return ran(done.stdout, stderr=done.stderr, code=done.returncode)


@pytest.mark.task("verdict")
@pytest.mark.parametrize(
    "body",
    [
        "    import sys\n    sys.exit(0)\n",
        "    import os\n    os._exit(0)\n",
        "    print('passed')\n    raise SystemExit\n",
        "    return 5\nraise SystemExit(0)\n",
    ],
    ids=["sys.exit", "os._exit", "says-passed", "exit-before-the-tests"],
)
def test_leaving_early_is_no_pass(body: str) -> None:
    """A program that ends itself with exit code 0, or prints that all is well, has not passed."""
    expect_equal(
        check_completion(ADD, body, run=run_apart),
        "failed",
        what=f"the outcome of the body {body!r}",
        lookalikes={"exit-code-trusted": "passed", "printed-word-trusted": "passed"}
        if "print" not in body
        else {"printed-word-trusted": "passed"},
    )


@pytest.mark.task("verdict")
def test_only_the_nonce_decides() -> None:
    """Exit code, stderr, and what else is printed do not matter."""
    loud = "    print('adding', end='')\n    return a + b\n"
    expect_equal(
        check_completion(ADD, loud, run=run_here),
        "passed",
        what="the outcome of a right body that prints without a newline at the end",
        lookalikes={"nonce-not-in-a-line-of-its-own": "failed"},
    )

    def warned(source: str, *, timeout: float) -> SimpleNamespace:
        return ran(run_here(source).stdout, stderr="a warning")

    def bad_ending(source: str, *, timeout: float) -> SimpleNamespace:
        return ran(run_here(source).stdout, code=1)

    expect_equal(
        check_completion(ADD, "    return a + b\n", run=warned),
        "passed",
        what="the outcome of a program that printed the nonce, and a warning on stderr",
        lookalikes={"stderr-fails": "failed"},
    )
    expect_equal(
        check_completion(ADD, "    return a + b\n", run=bad_ending),
        "passed",
        what="the outcome of a program that printed the nonce, and ended with exit code 1",
        lookalikes={"exit-code-trusted": "failed"},
    )

    def last_words(source: str, *, timeout: float) -> SimpleNamespace:
        return ran(run_here(source).stdout + "printed on leaving\n")

    expect_equal(
        check_completion(ADD, "    return a + b\n", run=last_words),
        "passed",
        what="the outcome of a program that printed the nonce, and on leaving (atexit) another line",
        lookalikes={"nonce-must-be-last": "failed"},
    )

    def silent(source: str, *, timeout: float) -> SimpleNamespace:
        return ran("passed\nTrue\nok\nNone\n0\n", code=0)

    expect_equal(
        check_completion(ADD, "    return a + b\n", run=silent),
        "failed",
        what="the outcome of a program that printed passed, True, ok, None and 0, but no nonce",
        lookalikes={"exit-code-trusted": "passed", "printed-word-trusted": "passed"},
    )


@pytest.mark.task("verdict")
def test_a_program_that_prints_itself_does_not_pass() -> None:
    """The nonce stands in the source; it must be a line of what was printed, and on stdout."""

    def itself(source: str, *, timeout: float) -> SimpleNamespace:
        return ran(source)

    expect_equal(
        check_completion(ADD, "    return a - b\n", run=itself),
        "failed",
        what="the outcome of a program that printed its own source",
        lookalikes={"nonce-anywhere": "passed"},
    )

    def on_stderr(source: str, *, timeout: float) -> SimpleNamespace:
        return ran("", stderr=run_here(source).stdout)

    expect_equal(
        check_completion(ADD, "    return a + b\n", run=on_stderr),
        "failed",
        what="the outcome of a program that printed the nonce on stderr",
        lookalikes={"stderr-counts": "passed"},
    )


@pytest.mark.task("verdict")
def test_the_nonce_cannot_be_foreseen() -> None:
    """What one run printed does not pass the next, even when every generator is seeded alike."""
    heard = []

    def record(source: str, *, timeout: float) -> SimpleNamespace:
        heard.append(run_here(source))
        return heard[-1]

    def replay(source: str, *, timeout: float) -> SimpleNamespace:
        return heard[0]

    for seed in (None, 3):
        heard.clear()
        outcomes = []
        for run in (record, replay):
            if seed is not None:
                random.seed(seed)
                torch.manual_seed(seed)
            outcomes.append(check_completion(ADD, "    return a + b\n", run=run))
        nonces = [line for line in heard[0].stdout.splitlines() if re.fullmatch("[0-9a-f]{32}", line)]
        expect_equal(
            len(nonces),
            1,
            what="how many lines of the program's output are 32 hexadecimal digits",
            mistake="nonce-guessable",
        )
        expect_equal(
            outcomes,
            ["passed", "failed"],
            what="the outcomes of a run, and of a second one that printed what the first had printed"
            + ("" if seed is None else f", with seed {seed} before each"),
            lookalikes={"nonce-fixed" if seed is None else "nonce-seeded": ["passed", "passed"]},
        )


@pytest.mark.task("verdict")
def test_the_nonce_is_told_in_the_last_statement_only() -> None:
    """While the tests run, no variable of the program holds the nonce: printing them all gives nothing away."""
    body = "    print(*globals().values(), sep='\\n')\n    raise SystemExit\n"
    lines = run_here(build_program(ADD, body, "n0nce")).stdout.splitlines()
    expect(
        "n0nce" not in lines,
        "It was printed.",
        what="the nonce of a body that prints all global variables, and exits",
        mistake="nonce-told-early",
    )


@pytest.mark.task("verdict")
@pytest.mark.parametrize(("ended", "outcome"), [("timeout", "timed out"), ("killed", "killed"), ("flooded", "flooded")])
def test_a_program_that_was_ended_does_not_pass(ended: str, outcome: str) -> None:
    """Not even if it had printed the nonce before."""

    def cut_short(source: str, *, timeout: float) -> SimpleNamespace:
        return ran(run_here(source).stdout, ended=ended, code=None)

    expect_equal(
        check_completion(ADD, "    return a + b\n", run=cut_short),
        outcome,
        what=f"the outcome of a program that printed the nonce and ended as {ended!r}",
        lookalikes={"ending-not-looked-at": "passed", "ending-not-told": "failed", "ending-passed-on": ended},
    )


@pytest.mark.task("verdict")
def test_tests_that_print_and_names_that_differ() -> None:
    """check is called with the function that entry_point names; helpers that the model wrote do not disturb it."""
    problem = Problem(
        "Example/2",
        "def helper(x):\n    return x\n\n\ndef twice(x):\n",
        "twice",
        "",
        "import math\n\n\ndef check(candidate):\n    assert candidate(math.pi) == 2 * math.pi\n    print('checked')\n",
    )
    body = "    return x + helper(x)\n\ncheck = None\n"
    lines = run_here(build_program(problem, body, "n0nce")).stdout.splitlines()
    expect(
        "n0nce" in lines,
        "It does not.",
        what="the program of a right body prints the nonce, where the body is followed by `check = None`",
        actual="\n".join(lines),
        mistake="test-before-the-completion",
    )
    lines = run_here(build_program(problem, "    return x\n", "n0nce")).stdout.splitlines()
    expect("n0nce" not in lines, "It does.", what="the program of a wrong body prints the nonce")


@pytest.mark.task("verdict")
@pytest.mark.parametrize(
    ("prompt", "completion", "passes", "mistake"),
    [
        (
            "from __future__ import annotations\n\n\ndef add(a: int, b: int) -> Int:\n",
            "    return a + b\n",
            True,
            "something-before-the-prompt",
        ),
        (
            "def half(x):\n    return x / 2\n\n\ndef add(a, b):\n",
            "    return half(2 * a) + half(2 * b)\n",
            True,
            "completion-stripped-of-indentation",
        ),
        ("def add(a, b):\n    return", " a + b\n", True, "newline-behind-the-prompt"),
        ("def add(a, b):\n", "    return b + a  # no newline behind this", True, "parts-run-together"),
        ("def add(a, b):\n", "    return a + b + (a < 0)\n", False, "nonce-whatever-happens"),
        ("def add(a, b):\n", '    """\n', False, "nonce-whatever-happens"),
    ],
    ids=["future", "helper", "middle-of-a-line", "comment-at-the-end", "partly-right", "open-string"],
)
def test_the_parts_of_the_program(prompt: str, completion: str, passes: bool, mistake: str) -> None:
    """Prompt and completion stand together at the very beginning; each later part has lines of its own."""
    problem = Problem("Example/1", prompt, "add", "", ADD.test)
    lines = run_here(build_program(problem, completion, "n0nce")).stdout.splitlines()
    expect_equal(
        "n0nce" in lines,
        passes,
        what=f"whether the nonce is printed for the prompt {prompt!r} and the completion {completion!r}",
        mistake=mistake,
    )


# --------------------------------------------------------------------------------------------------------- pass-at-k


@pytest.mark.task("pass-at-k")
@pytest.mark.parametrize(
    ("n", "c", "k", "wanted"),
    [
        (10, 3, 5, 11 / 12),
        (200, 1, 100, 0.5),
        (200, 0, 10, 0.0),
        (200, 20, 10, 0.6602256238),
        (1, 1, 1, 1.0),
        (4, 4, 4, 1.0),
    ],
)
def test_pass_at_k_table(n: int, c: int, k: int, wanted: float) -> None:
    """Known figures, for as many samples as the paper took."""
    with diagnosing("factorials-overflow", OverflowError):
        value = pass_at_k(n, c, k)
    expect_close(
        value,
        wanted,
        rtol=1e-9,
        atol=1e-9,
        what=f"pass_at_k({n}, {c}, {k})",
        lookalikes={"plug-in": 1 - (1 - c / n) ** k},
    )


@pytest.mark.task("pass-at-k")
def test_pass_at_k_counts_subsets() -> None:
    """For up to seven samples, every subset of size k is listed and looked at."""
    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                subsets = list(itertools.combinations([i < c for i in range(n)], k))
                wanted = sum(map(any, subsets)) / len(subsets)
                with diagnosing("few-wrong-samples", ValueError, ZeroDivisionError):
                    value = pass_at_k(n, c, k)
                expect_close(
                    value,
                    wanted,
                    rtol=1e-9,
                    atol=1e-9,
                    what=f"pass_at_k({n}, {c}, {k}), against all subsets",
                    lookalikes={"plug-in": 1 - (1 - c / n) ** k, "few-wrong-samples": 0.0},
                )


@pytest.mark.task("pass-at-k")
def test_pass_at_k_has_no_bias() -> None:
    """A model that is right with probability 0.3, ten samples: the mean of pass@5 over all outcomes is 1 - 0.7^5."""
    chance = [math.comb(10, c) * 0.3**c * 0.7 ** (10 - c) for c in range(11)]
    mean = sum(chance[c] * pass_at_k(10, c, 5) for c in range(11))
    plug_in = sum(chance[c] * (1 - (1 - c / 10) ** 5) for c in range(11))
    expect_close(
        mean, 1 - 0.7**5, rtol=1e-9, what="the expectation of pass_at_k(10, c, 5)", lookalikes={"plug-in": plug_in}
    )


@pytest.mark.task("pass-at-k")
def test_pass_at_k_of_thousands_of_samples() -> None:
    """No intermediate number may be too large."""
    for n, c, k in ((3000, 3, 1000), (5000, 4999, 2), (3000, 1500, 1500)):
        wanted = 1 - math.comb(n - c, k) / math.comb(n, k)
        with diagnosing("factorials-overflow", OverflowError):
            value = pass_at_k(n, c, k)
        expect_close(
            value, wanted, rtol=1e-6, atol=1e-9, what=f"pass_at_k({n}, {c}, {k})", mistake="factorials-overflow"
        )


@pytest.mark.task("pass-at-k")
def test_ks_that_the_samples_cannot_answer() -> None:
    """A k larger than the n of any problem is left out; the rest keeps the order of ks."""
    counts = {"a": (20, 3), "b": (10, 10)}
    rates = pass_rates(counts, ks=(10, 1, 20, 100))
    expect_equal(
        list(rates),
        ["pass@10", "pass@1"],
        what="the keys for ks = (10, 1, 20, 100), where one problem has 20 samples and one 10",
        lookalikes={
            "k-within-the-largest-n": ["pass@10", "pass@1", "pass@20"],
            "all-ks-kept": ["pass@10", "pass@1", "pass@20", "pass@100"],
            "ks-sorted": ["pass@1", "pass@10"],
            "k-equal-n-left-out": ["pass@1"],
        },
    )
    expect_equal(list(pass_rates(counts)), ["pass@1", "pass@10"], what="the keys for the ks of the default")
    expect_equal(list(pass_rates({"a": (100, 5)}, ks=iter([1, 100]))), ["pass@1", "pass@100"], what="the keys")
    with expect_raises(ValueError, match="no problem", what="pass_rates of no problem", mistake="no-problem-accepted"):
        pass_rates({})


# ------------------------------------------------------------------------------------------------------- integration


@pytest.mark.task("pass-at-k")
@pytest.mark.integration
def test_your_model_and_tokenizer_are_evaluated() -> None:
    """Your CausalLM and your tokenizer through all of it: its own loss, its scores, its completions."""
    from intro2llm.model.causal_lm import CausalLM
    from intro2llm.model.config import ModelConfig
    from intro2llm.tokenizer.base_tokenizer import BaseTokenizer

    letters = sorted(set(build_prompt(question("virology", 5)) + "def return:()\n" + LETTERS))
    tokenizer = BaseTokenizer({letter: i for i, letter in enumerate(letters)})
    torch.manual_seed(3)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=12,
        intermediate_size=20,
        num_hidden_layers=2,
        num_attention_heads=3,
        initializer_range=0.5,
    )
    model = CausalLM(config)

    ids = torch.randint(len(letters), (2, 9))
    labels = ids.clone()
    labels[0, 6:] = -100
    nll, tokens = token_nll(model, ids, labels)
    with torch.no_grad():
        loss = model(ids, labels=labels).loss
    expect_equal(tokens, 13, what="the predictions of 9 tokens, and of 9 of which the last 3 are not scored")
    expect_close(nll / tokens, float(loss), what="token_nll / tokens, against the loss that your CausalLM computes")

    prompt, choices = [3, 1, 4, 1], [[5], [9, 2, 6], [5, 3]]
    with torch.no_grad():
        alone = [model(torch.tensor([prompt + choice])).logits[0, 3:-1].log_softmax(-1) for choice in choices]
    wanted = torch.stack([row[range(len(c)), c].sum() for row, c in zip(alone, choices)])
    expect_close(score_choices(model, prompt, choices), wanted, what="score_choices, against one row at a time")
    expect(predict(model, tokenizer, question("virology", 5)) in range(4), "It is not.", what="an answer from 0 to 3")

    def sample(seed: int) -> list[str]:
        generator = torch.Generator().manual_seed(seed)
        return sample_completions(
            model, tokenizer, "def f():\n", num_samples=3, max_new_tokens=20, temperature=1.0, generator=generator
        )

    first, again, other = sample(1), sample(1), sample(2)
    expect_equal(first, again, what="completions from the same seed")
    expect(first != other and len(set(first)) > 1, "They are equal.", what="completions from other dice")
