"""Lesson 02, the edges: half precision, extreme numbers, empty rows, gradients, dropout, QK-norm, and your own RoPE."""

import math
import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import intro2llm.model.attention as attention_module
import intro2llm.model.embedding as embedding_module
from coursecli.expect import (
    diagnosing,
    expect,
    expect_close,
    expect_distribution,
    expect_dtype,
    expect_equal,
    expect_gradient,
    expect_raises,
    expect_unchanged,
)
from intro2llm.model.attention import (
    MultiHeadAttention,
    causal_mask,
    merge_heads,
    scaled_dot_product_attention,
    split_heads,
)
from intro2llm.model.config import ModelConfig
from intro2llm.model.norm import LayerNorm, RMSNorm

HALF = {torch.float16: 4e-3, torch.bfloat16: 2e-2}
"""The 16-bit formats, and the relative error that rounding the result to each may cause, with a margin of about 4."""


def normal(*shape: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """Reproducible normal numbers, float32, that disturb no global state."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale + shift


def in_words(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def fill(parameter: Tensor, *, seed: int, scale: float, shift: float = 0.0) -> None:
    """Overwrite a parameter, so that nothing hides behind the initial ones and zeros."""
    with torch.no_grad():
        parameter.copy_(normal(*parameter.shape, seed=seed, scale=scale, shift=shift))


# --------------------------------------------------------------------------------------------------- both norms


def layernorm_formula(x: Tensor, norm: LayerNorm, eps: float = 1e-6) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias, in float64."""
    d = x.detach().double()
    centred = d - d.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * norm.weight.double() + norm.bias.double()


def rmsnorm_formula(x: Tensor, norm: RMSNorm, eps: float = 1e-6) -> Tensor:
    """x / sqrt(mean(x²) + eps) * weight, in float64."""
    d = x.detach().double()
    return d / (d.square().mean(-1, keepdim=True) + eps).sqrt() * norm.weight.double()


def layernorm(size: int, **options: float) -> LayerNorm:
    norm = LayerNorm(size, **options)
    fill(norm.weight, seed=1, scale=0.3, shift=1.0)
    fill(norm.bias, seed=2, scale=0.3)
    return norm


def rmsnorm(size: int, **options: float) -> RMSNorm:
    norm = RMSNorm(size, **options)
    fill(norm.weight, seed=3, scale=0.3, shift=1.0)
    return norm


def check_half(norm: nn.Module, formula: Callable[..., Tensor], dtype: torch.dtype, *, name: str, prefix: str) -> None:
    """Large 16-bit numbers: the dtype is kept, the squares do not overflow; parameters in float32, then in 16 bits."""
    x = normal(2, 3, 14, seed=5, scale=300.0).to(dtype)
    for parameters in (torch.float32, dtype):
        norm = norm.to(parameters)
        what = f"{name} of {in_words(dtype)} numbers around 300, with parameters in {in_words(parameters)}"
        y = norm(x.clone())
        expect_dtype(y, dtype, what=what, mistake=f"{prefix}-dtype-promoted")
        with torch.no_grad():
            expected = formula(x, norm).to(dtype)
        expect_close(
            y, expected, what=what, rtol=HALF[dtype], atol=HALF[dtype], dims="B T C", mistake=f"{prefix}-no-upcast"
        )


@pytest.mark.task("layernorm")
def test_layernorm_default_eps():
    """The eps of LayerNorm is 1e-6 unless another is given, and a constant vector becomes the bias."""
    norm, x = layernorm(10), normal(2, 3, 10, seed=9, scale=1e-3)
    with torch.no_grad():
        expected, constant = layernorm_formula(x, norm).float(), norm.bias.expand(2, 3, 10).clone()
        lookalikes = {"ln-default-eps": layernorm_formula(x, norm, eps=1e-5).float()}
    expect_close(
        norm(x.clone()),
        expected,
        what="LayerNorm of numbers around 0.001",
        rtol=1e-4,
        atol=1e-5,
        dims="B T C",
        lookalikes=lookalikes,
    )
    expect_close(norm(torch.full((2, 3, 10), 4.0)), constant, what="LayerNorm of a constant vector", dims="B T C")


@pytest.mark.task("layernorm")
@pytest.mark.parametrize("dtype", HALF, ids=in_words)
def test_layernorm_in_half_precision(dtype: torch.dtype):
    """LayerNorm of 16-bit numbers around 300 is accurate, and stays in 16 bits."""
    check_half(layernorm(14), layernorm_formula, dtype, name="LayerNorm", prefix="ln")


@pytest.mark.task("layernorm")
def test_layernorm_keeps_float64():
    """LayerNorm of float64 numbers is as precise as float64."""
    norm, x = layernorm(9).double(), normal(2, 3, 9, seed=6).double()
    with torch.no_grad():
        expected = layernorm_formula(x, norm)
    expect_close(
        norm(x.clone()),
        expected,
        what="LayerNorm in float64",
        rtol=1e-11,
        atol=1e-11,
        dims="B T C",
        mistake="ln-float32-only",
    )


@pytest.mark.task("layernorm")
def test_layernorm_with_a_large_mean():
    """LayerNorm of vectors with mean 3000 and deviation 1 keeps its accuracy."""
    norm, x = layernorm(16), normal(2, 3, 16, seed=7, shift=3000.0)
    with torch.no_grad():
        expected = layernorm_formula(x, norm).float()
    expect_close(
        norm(x.clone()),
        expected,
        what="LayerNorm of numbers around 3000",
        rtol=1e-2,
        atol=1e-2,
        dims="B T C",
        mistake="ln-naive-variance",
    )


@pytest.mark.task("layernorm")
@pytest.mark.parametrize("shape", [(11,), (3, 11), (2, 3, 5, 11)], ids=str)
def test_layernorm_any_number_of_axes(shape: tuple[int, ...]):
    """LayerNorm works on the last axis, however many axes stand before it."""
    norm, x = layernorm(11), normal(*shape, seed=8, scale=2.0, shift=1.0)
    with torch.no_grad():
        expected = layernorm_formula(x, norm).float()
    with diagnosing("ln-three-axes-only", ValueError, IndexError):
        y = norm(x.clone())
    expect_close(y, expected, what=f"LayerNorm of a tensor of shape {shape}", mistake="ln-three-axes-only")


@pytest.mark.task("layernorm")
def test_layernorm_has_no_memory():
    """LayerNorm gives the same for the same vector, whatever came before and in training as in eval mode."""
    norm, x = layernorm(10), normal(2, 3, 10, seed=10)
    before = norm(x.clone()).detach().clone()
    norm(normal(4, 7, 10, seed=11, scale=5.0, shift=20.0))
    expect_close(
        norm.eval()(x.clone()),
        before,
        what="LayerNorm of the same input, later",
        dims="B T C",
        mistake="ln-keeps-state",
    )


@pytest.mark.task("layernorm")
def test_layernorm_gradient():
    """The gradient of LayerNorm flows through the mean and the variance, and reaches weight and bias."""
    norm, x = layernorm(6).double(), normal(2, 3, 6, seed=12).double()
    expect_gradient(norm, [x], names=["x"], what="LayerNorm", mistake="ln-detached")
    expect_gradient(
        lambda weight, bias: norm(x),
        [norm.weight, norm.bias],
        names=["weight", "bias"],
        what="LayerNorm",
        mistake="ln-parameters-detached",
    )


@pytest.mark.task("rmsnorm")
def test_rmsnorm_default_eps():
    """The eps of RMSNorm is 1e-6 unless another is given, and a vector of zeros stays zero."""
    norm, x = rmsnorm(10), normal(2, 3, 10, seed=15, scale=1e-3)
    with torch.no_grad():
        expected = rmsnorm_formula(x, norm).float()
        lookalikes = {"rms-default-eps": rmsnorm_formula(x, norm, eps=1e-5).float()}
    expect_close(
        norm(x.clone()),
        expected,
        what="RMSNorm of numbers around 0.001",
        rtol=1e-4,
        atol=1e-5,
        dims="B T C",
        lookalikes=lookalikes,
    )
    expect_close(norm(torch.zeros(2, 3, 10)), torch.zeros(2, 3, 10), what="RMSNorm of zeros", dims="B T C")


@pytest.mark.task("rmsnorm")
@pytest.mark.parametrize("dtype", HALF, ids=in_words)
def test_rmsnorm_in_half_precision(dtype: torch.dtype):
    """RMSNorm of 16-bit numbers around 300 is accurate, and stays in 16 bits."""
    check_half(rmsnorm(14), rmsnorm_formula, dtype, name="RMSNorm", prefix="rms")


@pytest.mark.task("rmsnorm")
def test_rmsnorm_keeps_float64():
    """RMSNorm of float64 numbers is as precise as float64."""
    norm, x = rmsnorm(9).double(), normal(2, 3, 9, seed=13).double()
    with torch.no_grad():
        expected = rmsnorm_formula(x, norm)
    expect_close(
        norm(x.clone()),
        expected,
        what="RMSNorm in float64",
        rtol=1e-11,
        atol=1e-11,
        dims="B T C",
        mistake="rms-float32-only",
    )


@pytest.mark.task("rmsnorm")
@pytest.mark.parametrize("shape", [(11,), (3, 11), (2, 3, 5, 11)], ids=str)
def test_rmsnorm_any_number_of_axes(shape: tuple[int, ...]):
    """RMSNorm works on the last axis, however many axes stand before it."""
    norm, x = rmsnorm(11), normal(*shape, seed=14, scale=2.0, shift=1.0)
    with torch.no_grad():
        expected = rmsnorm_formula(x, norm).float()
    with diagnosing("rms-three-axes-only", ValueError, IndexError):
        y = norm(x.clone())
    expect_close(y, expected, what=f"RMSNorm of a tensor of shape {shape}", mistake="rms-three-axes-only")


@pytest.mark.task("rmsnorm")
def test_rmsnorm_gradient():
    """The gradient of RMSNorm flows through the root mean square, and reaches the weight."""
    norm, x = rmsnorm(6).double(), normal(2, 3, 6, seed=16).double()
    expect_gradient(norm, [x], names=["x"], what="RMSNorm", mistake="rms-detached")
    expect_gradient(
        lambda weight: norm(x),
        [norm.weight],
        names=["weight"],
        what="RMSNorm",
        mistake="rms-weight-detached",
    )


# --------------------------------------------------------------------------------------------------- causal mask


@pytest.mark.task("causal-mask")
def test_causal_mask_of_many_sizes():
    """For any number of queries and keys, key s is visible to query t when s ≤ S - T + t."""
    sizes = random.Random(17)
    for _ in range(12):
        T = sizes.randint(1, 9)
        S = T + sizes.randint(0, 9)
        expected = torch.tensor([[s <= S - T + t for s in range(S)] for t in range(T)])
        expect_close(causal_mask(T, S), expected, what=f"causal_mask({T}, {S})", dims="T S")


@pytest.mark.task("causal-mask")
def test_causal_mask_is_fresh():
    """Every call makes a new mask: changing one does not change the next."""
    causal_mask(5).fill_(True)
    expected = torch.tensor([[s <= t for s in range(5)] for t in range(5)])
    expect_close(
        causal_mask(5),
        expected,
        what="causal_mask(5), after another was overwritten",
        dims="T S",
        mistake="mask-shared",
    )


@pytest.mark.task("causal-mask")
def test_causal_mask_device():
    """The mask is made on the device that is asked for."""
    with torch.device("meta"):  # torch's default device, until the block ends
        mask = causal_mask(3, 5, device="cpu")
    expect_equal(
        mask.device.type,
        "cpu",
        what="the device of causal_mask(3, 5, device='cpu') while torch's default is another",
        mistake="mask-device-ignored",
    )


@pytest.mark.task("causal-mask")
def test_causal_mask_refuses_more_queries_than_keys():
    """Five queries cannot be the last of three positions."""
    with expect_raises(Exception, what="causal_mask(5, 3)", mistake="mask-accepts-too-many-queries"):
        causal_mask(5, 3)
    with expect_raises(ValueError, what="causal_mask(5, 3)"):
        causal_mask(5, 3)


# --------------------------------------------------------------------------------------------------- attention


def attend(
    query: Tensor, key: Tensor, value: Tensor, *, allowed: Tensor | None = None, hidden: float = -math.inf
) -> Tensor:
    """softmax(Q Kᵀ / sqrt(D)) V in float64, with `hidden` as the score of the pairs that are not allowed."""
    q, k, v = query.detach().double(), key.detach().double(), value.detach().double()
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) / math.sqrt(q.shape[-1])
    if allowed is not None:
        scores = torch.where(allowed, scores, torch.full_like(scores, hidden))
    powers = torch.exp(scores - scores.amax(-1, keepdim=True))
    return torch.einsum("bhts,bhse->bhte", powers / powers.sum(-1, keepdim=True), v)


def attention_inputs(seed: int, *, scale: float = 1.3) -> tuple[Tensor, Tensor, Tensor]:
    """query (2, 3, 5, 4), key (2, 3, 7, 4), value (2, 3, 7, 6): no two sizes alike."""
    return (
        normal(2, 3, 5, 4, seed=seed, scale=scale),
        normal(2, 3, 7, 4, seed=seed + 1, scale=scale),
        normal(2, 3, 7, 6, seed=seed + 2),
    )


def attention(query: Tensor, key: Tensor, value: Tensor, **options: object) -> Tensor:
    """The function under test, given copies: a change in place must not disturb the oracle."""
    return scaled_dot_product_attention(query.clone(), key.clone(), value.clone(), **options)


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_of_many_sizes():
    """Attention equals the formula for many shapes, masks that broadcast, and inputs that are not contiguous."""
    sizes = random.Random(18)
    for case in range(10):
        B, H, T, S, D, E = (sizes.randint(1, 6) for _ in range(6))
        query = normal(B, T, H, D, seed=500 + case, scale=1.5).transpose(1, 2)
        key = normal(B, S, H, D, seed=600 + case, scale=1.5).transpose(1, 2)
        value = normal(B, S, H, E, seed=700 + case).transpose(1, 2)
        shape = sizes.choice([(T, S), (B, 1, 1, S), (1, H, T, S), (B, 1, T, S), (B, H, T, S)])
        mask = normal(*shape, seed=800 + case) > 0
        mask[..., sizes.randrange(S)] = True
        expect_close(
            attention(query, key, value, attention_mask=mask),
            attend(query, key, value, allowed=mask).float(),
            what=f"attention with B={B} H={H} T={T} S={S} D={D}, values of {E}, mask {tuple(mask.shape)}",
            dims="B H T D",
        )


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_takes_integer_masks():
    """A mask of integers means: 0 hides, anything else shows."""
    query, key, value = attention_inputs(seed=19)
    mask = (normal(2, 1, 5, 7, seed=22) > 0).long() * 2
    mask[..., 3] = 1
    with diagnosing("mask-integer-breaks", RuntimeError, TypeError, IndexError):
        output = attention(query, key, value, attention_mask=mask)
    expect_close(
        output,
        attend(query, key, value, allowed=mask != 0).float(),
        what="attention with an integer mask",
        dims="B H T D",
        lookalikes={
            "mask-integer-only-one": lambda: attend(query, key, value, allowed=mask == 1).float(),
        },
    )


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_refuses_floating_masks():
    """A mask of floats may mean two things, so it is refused."""
    query, key, value = attention_inputs(seed=23)
    what = "attention with a mask of float32 zeros and ones"
    with expect_raises(Exception, what=what, mistake="mask-float-accepted"):
        scaled_dot_product_attention(query, key, value, attention_mask=torch.ones(5, 7))
    with expect_raises(TypeError, what=what):
        scaled_dot_product_attention(query, key, value, attention_mask=torch.ones(5, 7))


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_of_a_query_that_sees_nothing():
    """A query that may attend to no key gets zeros; its gradients are finite, the other queries are not disturbed."""
    query, key, value = (x.requires_grad_() for x in attention_inputs(seed=24))
    mask = normal(2, 1, 5, 7, seed=27) > -0.5
    mask[..., 4] = True
    mask[1, :, 2] = False
    output = attention(query, key, value, attention_mask=mask)
    expect(
        bool(torch.isfinite(output).all()),
        "The query that sees no key gets NaN: its weights are 0 divided by 0.",
        what="attention with one query that may attend to no key",
        mistake="empty-row-nan",
    )
    mean = attend(query, key, value, allowed=mask).float()
    mean[1, :, 2] = 0.0
    uniform = mean.clone()
    uniform[1, :, 2] = value[1].mean(1)
    expect_close(
        output,
        mean,
        what="attention with one query that may attend to no key",
        dims="B H T D",
        lookalikes={"empty-row-uniform": uniform},
    )
    gradients = torch.autograd.grad(output.square().sum(), [query, key, value])
    expect(
        all(bool(torch.isfinite(gradient).all()) for gradient in gradients),
        "A gradient is NaN or infinite, although the output is finite.",
        what="the gradients of attention with one query that may attend to no key",
        mistake="empty-row-nan-gradient",
    )


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_survives_large_scores():
    """Scores of a hundred thousand give the right weights, not infinity divided by infinity."""
    query, key, value = attention_inputs(seed=28)
    query, key = query * 300, key * 300
    expect_close(
        attention(query, key, value),
        attend(query, key, value).float(),
        what="attention with scores of about 1e5",
        rtol=1e-3,
        atol=1e-3,
        dims="B H T D",
        mistake="softmax-overflows",
    )


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_hides_even_from_hopeless_scores():
    """A hidden key has weight zero even when every visible key matches far worse."""
    query, key, value = attention_inputs(seed=31)
    query, key = query.abs() * 200, -key.abs() * 200  # every score is far below zero
    key[:, :, 2] = 0.0  # the hidden key has the score 0
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[:, 2] = False
    expect_close(
        attention(query, key, value, attention_mask=mask),
        attend(query, key, value, allowed=mask).float(),
        what="attention where the visible scores are about -1e5",
        rtol=1e-3,
        atol=1e-3,
        dims="B H T D",
        mistake="mask-fill-too-high",
    )


@pytest.mark.task("scaled-dot-product-attention")
@pytest.mark.parametrize("dtype", HALF, ids=in_words)
def test_attention_in_half_precision(dtype: torch.dtype):
    """Attention works in 16 bits, masks included, and its output has the dtype of the query."""
    query, key, value = (x.to(dtype) for x in attention_inputs(seed=34))
    mask = normal(5, 7, seed=37) > 0
    mask[:, 3] = True
    what = f"attention in {in_words(dtype)}, with a mask"
    with (
        diagnosing("mask-fill-overflows-half", RuntimeError, match="overflow"),
        diagnosing("weights-not-cast-back", RuntimeError, match=r"dtype|scalar type"),
    ):
        output = attention(query, key, value, attention_mask=mask)
    expect_dtype(output, dtype, what=what, mistake="attention-dtype-promoted")
    expect_close(
        output,
        attend(query, key, value, allowed=mask).to(dtype),
        what=what,
        rtol=3 * HALF[dtype],
        atol=3 * HALF[dtype],
        dims="B H T D",
    )


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_keeps_float64():
    """Attention of float64 numbers is as precise as float64."""
    query, key, value = (x.double() for x in attention_inputs(seed=38))
    with diagnosing("attention-float32-only", RuntimeError, match=r"dtype|scalar type"):
        output = attention(query, key, value)
    expect_close(
        output,
        attend(query, key, value),
        what="attention in float64",
        rtol=1e-11,
        atol=1e-11,
        dims="B H T D",
        mistake="attention-float32-only",
    )


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_gradient():
    """Gradients reach query, key and value, and none passes through a hidden pair."""
    query, key, value = (x[:, :2, :, :3] for x in attention_inputs(seed=41, scale=0.8))
    mask = torch.ones(5, 7, dtype=torch.bool).tril(2)
    mask[:, 1] = False
    expect_gradient(
        lambda q, k, v: scaled_dot_product_attention(q, k, v, attention_mask=mask),
        [query, key, value],
        names=["query", "key", "value"],
        what="masked attention",
        mistake="attention-detached",
    )


def dropout_ratios(p: float, *, seed: int) -> Tensor:
    """Each weight after dropout, divided by the weight before: found by attending to an invertible matrix of values."""
    query, key = normal(2, 3, 50, 4, seed=seed), normal(2, 3, 6, 4, seed=seed + 1)
    mixing = torch.eye(6) + 0.3 * normal(6, 6, seed=seed + 2)
    value = mixing.expand(2, 3, 6, 6)
    output = scaled_dot_product_attention(query, key, value, dropout_p=p)
    weights = output.detach().double() @ torch.linalg.inv(mixing.double())
    return weights / attend(query, key, torch.eye(6).expand(2, 3, 6, 6))


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_dropout():
    """Dropout removes a quarter of the weights after the softmax and multiplies the others by 4/3."""
    ratios = dropout_ratios(0.25, seed=44)  # 1,800 weights: that none is dropped has probability 0.75^1800
    dropped = ratios.abs() < 0.02
    kept = (ratios - 4 / 3).abs() < 0.02
    untouched = (ratios - 1).abs() < 0.02
    fourfold = (ratios - 4).abs() < 0.06
    what = "attention with dropout_p=0.25, weight by weight"
    expect(not untouched.all(), "No weight was dropped.", what=what, mistake="dropout-ignored")
    expect(
        not (untouched | dropped).all(),
        "The weights that stay are not enlarged.",
        what=what,
        mistake="dropout-not-rescaled",
    )
    expect(
        not (fourfold | dropped).all(),
        "Three quarters of the weights are dropped, the others are four times as large.",
        what=what,
        mistake="dropout-probability-inverted",
    )
    single = (kept.any(-1) & dropped.any(-1)).any()  # some query lost one key and kept another
    expect(
        bool((kept | dropped).all() and single),
        "What is dropped is not single weights.",
        what=what,
        expected="each weight on its own is 0 or 4/3 of the softmax weight",
        actual=f"{int((~(kept | dropped)).sum())} of {ratios.numel()} weights are neither",
        mistake="dropout-wrong-place",
    )
    expect_distribution(kept.int().flatten().tolist(), [0.25, 0.75], what=f"{what}: dropped (0) and kept (1)")


# --------------------------------------------------------------------------------------------------- heads


@pytest.mark.task("split-merge-heads")
def test_heads_of_many_sizes():
    """Splitting and merging are each other's inverse, also for one head and for heads of one channel."""
    sizes = random.Random(47)
    for case in range(12):
        B, T, H, D = (sizes.randint(1, 6) for _ in range(4))
        x = normal(B, T, H * D, seed=900 + case)
        what = f"{H} heads of {D} channels, {B} sequences of {T} tokens"
        expect_close(split_heads(x, H), torch.stack(x.split(D, dim=-1), dim=1), what=f"split: {what}", dims="B H T D")
        heads = normal(B, H, T, D, seed=950 + case)
        expect_close(merge_heads(heads), torch.cat(heads.unbind(1), dim=-1), what=f"merge: {what}", dims="B T C")
        expect_close(merge_heads(split_heads(x, H)), x, what=f"split, then merged: {what}", dims="B T C")


@pytest.mark.task("split-merge-heads")
def test_heads_of_views():
    """Both work on tensors that are not contiguous, such as transposed ones."""
    x = normal(3, 20, 2, seed=48).transpose(0, 2).transpose(1, 2)  # (2, 3, 20), strides 1, 40, 2
    expect_close(
        split_heads(x, 4),
        torch.stack(x.split(5, dim=-1), dim=1),
        what="a transposed tensor split into 4 heads",
        dims="B H T D",
    )
    spread = normal(2, 3, 4, 5, seed=49).transpose(1, 2)  # (2, 4, 3, 5)
    expect_close(merge_heads(spread), torch.cat(spread.unbind(1), dim=-1), what="transposed heads merged", dims="B T C")
    turned = normal(2, 4, 5, 3, seed=50).transpose(2, 3)  # (2, 4, 3, 5), the last axis is not the fastest
    with diagnosing("merge-view", RuntimeError, match="view size is not compatible"):
        merged = merge_heads(turned)
    expect_close(
        merged, torch.cat(turned.unbind(1), dim=-1), what="heads with another memory order merged", dims="B T C"
    )


# --------------------------------------------------------------------------------------------------- the module


class RecordingRope(nn.Module):
    """Stands in for lesson 01's RoPE: adds to every vector 1 + its position."""

    def __init__(self, head_dim: int = 0, *, base: float = 0.0) -> None:
        super().__init__()

    def forward(self, q: Tensor, k: Tensor, position_ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if position_ids is None:
            position_ids = torch.arange(q.shape[-2])
        term = 1.0 + position_ids.to(q.dtype)
        term = term[:, None, :, None] if term.ndim == 2 else term[:, None]
        return q + term, k + term


def make_attention(**fields: object) -> MultiHeadAttention:
    """4 heads on 24 channels, without positions unless asked, all weights random and none small."""
    sizes = {"hidden_size": 24, "num_attention_heads": 4, "position_embedding_type": "sinusoidal"}
    module = MultiHeadAttention(ModelConfig(**{**sizes, **fields})).eval()
    for number, (name, parameter) in enumerate(module.named_parameters()):
        is_norm = "norm" in name
        fill(parameter, seed=200 + number, scale=0.5 if is_norm else 0.3, shift=1.0 if is_norm else 0.0)
    return module


def heads_of(module: MultiHeadAttention, projection: str, x: Tensor, *, heads: int = 4) -> Tensor:
    """What one projection gives, cut into heads: (B, H, T, D) in float64."""
    linear = getattr(module, projection)
    y = x.double() @ linear.weight.detach().double().T
    if linear.bias is not None:
        y = y + linear.bias.detach().double()
    return torch.stack(y.chunk(heads, dim=-1), dim=1)


def joined(module: MultiHeadAttention, heads: Tensor) -> Tensor:
    """The heads side by side, through the output projection."""
    return (torch.cat(heads.double().unbind(1), dim=-1) @ module.o_proj.weight.detach().double().T).float()


def rms(x: Tensor, weight: Tensor, *, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight.detach().double()


@pytest.mark.task("multi-head-attention")
def test_mha_bias():
    """With attention_bias the biases of queries, keys and values are added."""
    module, x = make_attention(attention_bias=True), normal(2, 5, 24, seed=51)
    for parameter in (module.q_proj.bias, module.k_proj.bias, module.v_proj.bias):
        fill(parameter, seed=52, scale=1.0, shift=0.5)
    q, k, v = (heads_of(module, name, x) for name in ("q_proj", "k_proj", "v_proj"))
    expect_close(module(x), joined(module, attend(q, k, v)), what="multi-head attention with biases", dims="B T C")


@pytest.mark.task("multi-head-attention")
def test_mha_qk_norm():
    """With qk_norm, queries and keys are RMS-normalised per head with their own weights; values are not."""
    module, x = make_attention(qk_norm=True, rms_norm_eps=0.25), normal(2, 5, 24, seed=53)
    expect_equal(
        {name: tuple(parameter.shape) for name, parameter in module.named_parameters() if "norm" in name},
        {"q_norm.weight": (6,), "k_norm.weight": (6,)},
        what="the norms of 4 heads on 24 channels with qk_norm",
        lookalikes={
            "qk-norm-missing": {},
            "qk-norm-shared": {"q_norm.weight": (6,)},
            "qk-norm-all-heads": {"q_norm.weight": (24,), "k_norm.weight": (24,)},
            "qk-norm-layer-norm": {f"{name}_norm.{part}": (6,) for name in "qk" for part in ("weight", "bias")},
        },
    )
    q, k, v = (heads_of(module, name, x) for name in ("q_proj", "k_proj", "v_proj"))
    query, key, value = module.project(x)
    q_weight, k_weight = module.q_norm.weight, module.k_norm.weight
    for name, actual, plain, own, other in (
        ("query", query, q, q_weight, k_weight),
        ("key", key, k, k_weight, q_weight),
    ):
        expect_close(
            actual,
            rms(plain, own, eps=0.25).float(),
            what=f"the {name} with qk_norm and rms_norm_eps=0.25",
            dims="B H T D",
            lookalikes={
                "qk-norm-missing": plain.float(),
                "qk-norm-swapped": lambda p=plain, w=other: rms(p, w, eps=0.25).float(),
                "qk-norm-default-eps": lambda p=plain, w=own: rms(p, w, eps=1e-6).float(),
            },
        )
    expect_close(
        value,
        v.float(),
        what="the value with qk_norm",
        dims="B H T D",
        lookalikes={
            "qk-norm-on-values": lambda: rms(v, k_weight, eps=0.25).float(),
        },
    )


@pytest.mark.task("multi-head-attention")
def test_mha_normalises_before_it_rotates(monkeypatch: pytest.MonkeyPatch):
    """QK-norm comes before the rotation."""
    monkeypatch.setattr(embedding_module, "RoPE", RecordingRope, raising=False)
    monkeypatch.setattr(attention_module, "RoPE", RecordingRope, raising=False)
    module, x = make_attention(qk_norm=True, position_embedding_type="rope"), normal(2, 5, 24, seed=54)
    module.rope = RecordingRope()
    q, term = heads_of(module, "q_proj", x), (1.0 + torch.arange(5).double())[:, None]
    query, _, _ = module.project(x)
    expect_close(
        query,
        (rms(q, module.q_norm.weight, eps=1e-6) + term).float(),
        what="the query with qk_norm and rotation",
        dims="B H T D",
        lookalikes={"qk-norm-after-rope": lambda: rms(q + term, module.q_norm.weight, eps=1e-6).float()},
    )


@pytest.mark.task("multi-head-attention")
def test_mha_dropout_only_while_training():
    """Attention dropout acts in training mode and never in eval mode."""
    module, x = make_attention(attention_dropout=0.25), normal(2, 5, 24, seed=55)
    q, k, v = (heads_of(module, name, x) for name in ("q_proj", "k_proj", "v_proj"))
    expected = joined(module, attend(q, k, v))
    expect_close(
        module.eval()(x),
        expected,
        what="attention_dropout=0.25 in eval mode",
        dims="B T C",
        mistake="mha-dropout-in-eval",
    )
    trained, what = module.train()(x), "attention_dropout=0.25 in training mode"
    expect(  # 200 weights: that none is dropped has probability 0.75^200
        not torch.allclose(trained, expected, atol=1e-4),
        "The output is the same as without dropout.",
        what=what,
        mistake="mha-dropout-never",
    )
    expect(  # a token would have to lose all its 20 weights: probability 0.25^20
        not bool((trained == 0).any()),
        "Single numbers of the output are zero.",
        what=what,
        expected="dropped weights, whose effect is spread over the whole output",
        actual=f"{int((trained == 0).sum())} of {trained.numel()} outputs are zero",
        mistake="mha-dropout-on-output",
    )


@pytest.mark.task("multi-head-attention")
def test_mha_gradients_do_not_come_from_the_future():
    """With is_causal, the output at position 3 has no gradient at all with respect to later tokens."""
    module, x = make_attention(), normal(2, 7, 24, seed=56).requires_grad_()
    (gradient,) = torch.autograd.grad(module(x, is_causal=True)[:, 3].square().sum(), x)
    expect_close(
        gradient[:, 4:],
        torch.zeros(2, 3, 24),
        what="the gradient of output 3 with respect to tokens 4 to 6",
        rtol=0.0,
        atol=0.0,
        dims="B T C",
        mistake="mha-leaks-future",
    )
    reached = gradient[:, :4].abs().amax(dim=(0, 2)) > 0
    expect_equal(reached.tolist(), [True] * 4, what="whether tokens 0 to 3 have a gradient")


@pytest.mark.task("multi-head-attention")
def test_mha_saves_only_its_parameters():
    """The state dict holds the projections and nothing else, so that published weights fit."""
    expect_equal(
        sorted(make_attention().state_dict()),
        ["k_proj.weight", "o_proj.weight", "q_proj.weight", "v_proj.weight"],
        what="the names in the state dict",
        mistake="mha-extra-state",
    )


@pytest.mark.task("multi-head-attention")
def test_mha_of_changing_lengths():
    """One module serves sequences of any length, in any order, also beyond max_position_embeddings."""
    module = make_attention(max_position_embeddings=8)
    for length, seed in ((3, 58), (11, 59), (1, 60), (6, 61)):
        x = normal(2, length, 24, seed=seed)
        q, k, v = (heads_of(module, name, x) for name in ("q_proj", "k_proj", "v_proj"))
        causal = torch.ones(length, length).tril().bool()
        with diagnosing("mha-fixed-length", RuntimeError, IndexError, ValueError):
            y = module(x, is_causal=True)
        expect_close(
            y,
            joined(module, attend(q, k, v, allowed=causal)),
            what=f"causal multi-head attention over {length} tokens",
            dims="B T C",
            mistake="mha-fixed-length",
        )


@pytest.mark.task("multi-head-attention")
def test_mha_reads_the_config_and_leaves_it_alone():
    """Building the module does not change the config, and a given head_dim lifts the divisibility rule."""
    config = ModelConfig(hidden_size=24, num_attention_heads=4, position_embedding_type="sinusoidal")
    with expect_unchanged(vars(config), what="the config given to MultiHeadAttention", mistake="mha-writes-config"):
        MultiHeadAttention(config)
    odd = ModelConfig(hidden_size=25, num_attention_heads=4, head_dim=6, position_embedding_type="sinusoidal")
    with diagnosing("mha-refuses-free-head-dim", ValueError):
        module = MultiHeadAttention(odd)
    expect_equal(
        tuple(module(normal(2, 5, 25, seed=62)).shape), (2, 5, 25), what="the shape for 25 channels and head_dim 6"
    )


@pytest.mark.task("multi-head-attention")
def test_mha_in_bfloat16():
    """A module in bfloat16 gives bfloat16, close to what float32 gives."""
    module, x = make_attention(qk_norm=True), normal(2, 5, 24, seed=63).to(torch.bfloat16)
    exact = module(x.float(), is_causal=True).detach()
    output = module.to(torch.bfloat16)(x, is_causal=True)
    expect_dtype(output, torch.bfloat16, what="multi-head attention in bfloat16")
    error = float((output.detach().float() - exact).norm() / exact.norm())
    expect(
        error < 3e-2,
        f"The relative error is {error:.3f}.",
        what="multi-head attention in bfloat16 against float32",
        expected="a relative error below 0.03",
        actual=f"{error:.3f}",
    )


@pytest.mark.integration
@pytest.mark.task("multi-head-attention")
def test_mha_with_your_own_rope():
    """With lesson 01's RoPE, the module rotates queries and keys by the angles of rope_theta and position_ids."""
    module, x = make_attention(position_embedding_type="rope", rope_theta=500.0), normal(2, 5, 24, seed=64)
    positions = torch.tensor([[0, 1, 2, 3, 4], [17, 3, 40, 8, 21]])
    causal = torch.ones(5, 5).tril().bool()
    q, k, v = (heads_of(module, name, x) for name in ("q_proj", "k_proj", "v_proj"))

    def rotated(heads: Tensor, base: float) -> Tensor:
        """Coordinate i and coordinate i + D/2 turn together by position · base^(-2i/D)."""
        result = heads.clone()
        for i in range(3):
            angle = (positions.double() * base ** (-2 * i / 6))[:, None]  # (B, 1, T)
            first, second = heads[..., i], heads[..., i + 3]
            result[..., i] = first * angle.cos() - second * angle.sin()
            result[..., i + 3] = second * angle.cos() + first * angle.sin()
        return result

    def placed(base: float) -> Tensor:
        return joined(module, attend(rotated(q, base), rotated(k, base), v, allowed=causal))

    expect_close(
        module(x, position_ids=positions, is_causal=True),
        placed(500.0),
        what="causal multi-head attention with RoPE, rope_theta=500",
        atol=1e-4,
        dims="B T C",
        lookalikes={"mha-rope-theta-ignored": lambda: placed(10000.0)},
    )
