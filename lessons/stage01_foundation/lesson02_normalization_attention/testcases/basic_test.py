"""Lesson 02, first contact: both norms, the causal mask, attention, the heads, and the module that joins them."""

import math

import pytest
import torch
from torch import Tensor, nn

import intro2llm.model.attention as attention_module
import intro2llm.model.embedding as embedding_module
from coursecli.expect import (
    diagnosing,
    expect,
    expect_close,
    expect_dtype,
    expect_equal,
    expect_raises,
    expect_shape,
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


def normal(*shape: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """Reproducible normal numbers, float32, that disturb no global state."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale + shift


def fill(parameter: Tensor, *, seed: int, scale: float, shift: float = 0.0) -> None:
    """Overwrite a parameter, so that nothing hides behind the initial ones and zeros."""
    with torch.no_grad():
        parameter.copy_(normal(*parameter.shape, seed=seed, scale=scale, shift=shift))


# --------------------------------------------------------------------------------------------------- layernorm


@pytest.mark.task("layernorm")
def test_layernorm_by_hand():
    """LayerNorm of two small vectors, worked by hand."""
    x = torch.tensor([[[2.0, 4.0, 4.0, 10.0], [1.0, 3.0, 5.0, 7.0]]])
    # mean 5, deviations -3 -1 -1 5, variance 36/4 = 9; mean 4, deviations -3 -1 1 3, variance 20/4 = 5
    deviations = torch.tensor([[[-3.0, -1.0, -1.0, 5.0], [-3.0, -1.0, 1.0, 3.0]]])
    expected = deviations / torch.tensor([3.0, math.sqrt(5.0)])[:, None]
    with diagnosing("ln-no-keepdim", RuntimeError, match="must match the size"):
        normed = LayerNorm(4)(x.clone())
    expect_close(
        normed,
        expected,
        what="LayerNorm of (2, 4, 4, 10) and (1, 3, 5, 7)",
        dims="B T C",
        lookalikes={
            "ln-unbiased": lambda: deviations / torch.tensor([12.0, 20 / 3]).sqrt()[:, None],
            "ln-divides-by-variance": lambda: deviations / torch.tensor([9.0, 5.0])[:, None],
            "ln-not-centred-output": lambda: x / torch.tensor([3.0, math.sqrt(5.0)])[:, None],
            "ln-is-rms": lambda: x / x.square().mean(-1, keepdim=True).sqrt(),
            "ln-over-sequence": lambda: (x - x.mean()) / x.var(unbiased=False).sqrt(),
        },
    )


@pytest.mark.task("layernorm")
def test_layernorm_follows_the_formula():
    """LayerNorm normalises each token's vector on its own, then scales and shifts each channel."""
    x = normal(2, 5, 12, seed=1, scale=3.0, shift=2.0)
    norm = LayerNorm(12)
    fill(norm.weight, seed=2, scale=0.5, shift=1.0)
    fill(norm.bias, seed=3, scale=0.7)
    w, b = norm.weight.detach(), norm.bias.detach()

    def standardised(axes: int | tuple[int, ...], unbiased: bool = False) -> Tensor:
        d = x.double()
        centred = d - d.mean(axes, keepdim=True)
        return (centred / (d.var(axes, keepdim=True, unbiased=unbiased) + 1e-6).sqrt()).float()

    expect_close(
        norm(x.clone()),
        standardised(-1) * w + b,
        what="LayerNorm of a batch, with random weight and bias",
        dims="B T C",
        lookalikes={
            "ln-unbiased": lambda: standardised(-1, unbiased=True) * w + b,
            "ln-over-sequence": lambda: standardised((1, 2)) * w + b,
            "ln-over-tokens": lambda: standardised(1) * w + b,
            "ln-batch-statistics": lambda: standardised((0, 1)) * w + b,
            "ln-no-affine": lambda: standardised(-1),
            "ln-no-bias": lambda: standardised(-1) * w,
            "ln-shift-before-scale": lambda: (standardised(-1) + b) * w,
        },
    )


@pytest.mark.task("layernorm")
def test_layernorm_parameters():
    """LayerNorm has two parameters: weight starts at one, bias at zero, each of length C."""
    norm = LayerNorm(7)
    expect_equal(
        {name: tuple(parameter.shape) for name, parameter in norm.named_parameters()},
        {"weight": (7,), "bias": (7,)},
        what="the parameters of LayerNorm(7), by name and shape",
        lookalikes={"ln-not-parameters": {}},
    )
    expect_close(norm.weight.detach(), torch.ones(7), what="LayerNorm's weight at the start", dims="C")
    expect_close(norm.bias.detach(), torch.zeros(7), what="LayerNorm's bias at the start", dims="C")


@pytest.mark.task("layernorm")
def test_layernorm_eps():
    """LayerNorm adds the eps it was given to the variance, under the root."""
    x = normal(2, 3, 10, seed=4, scale=1e-2)
    d = x.double()
    centred, variance = d - d.mean(-1, keepdim=True), d.var(-1, keepdim=True, unbiased=False)
    expect_close(
        LayerNorm(10, eps=1e-3)(x.clone()),
        (centred / (variance + 1e-3).sqrt()).float(),
        what="LayerNorm with eps=1e-3 of vectors whose variance is about 1e-4",
        dims="B T C",
        lookalikes={
            "ln-eps-outside": lambda: (centred / (variance.sqrt() + 1e-3)).float(),
            "ln-no-eps": lambda: (centred / variance.sqrt()).float(),
            "ln-eps-ignored": lambda: (centred / (variance + 1e-6).sqrt()).float(),
        },
    )


@pytest.mark.task("layernorm")
def test_layernorm_leaves_its_input_alone():
    """LayerNorm does not change the tensor that it is given."""
    x = normal(3, 2, 8, seed=5, shift=1.0)
    with expect_unchanged(x, what="the input of LayerNorm", mistake="ln-in-place"):
        LayerNorm(8)(x)


# --------------------------------------------------------------------------------------------------- rmsnorm


@pytest.mark.task("rmsnorm")
def test_rmsnorm_by_hand():
    """RMSNorm of two small vectors, worked by hand."""
    x = torch.tensor([[[1.0, 1.0, 5.0, 3.0], [2.0, -4.0, 4.0, 8.0]]])
    # squares 1 + 1 + 25 + 9 = 36, mean 9, root 3; squares 4 + 16 + 16 + 64 = 100, mean 25, root 5
    centred = x - x.mean(-1, keepdim=True)
    with diagnosing("rms-no-keepdim", RuntimeError, match="must match the size"):
        normed = RMSNorm(4)(x.clone())
    expect_close(
        normed,
        x / torch.tensor([3.0, 5.0])[:, None],
        what="RMSNorm of (1, 1, 5, 3) and (2, -4, 4, 8)",
        dims="B T C",
        lookalikes={
            "rms-centred": lambda: centred / centred.square().mean(-1, keepdim=True).sqrt(),
            "rms-sum-not-mean": lambda: x / torch.tensor([6.0, 10.0])[:, None],
            "rms-no-root": lambda: x / torch.tensor([9.0, 25.0])[:, None],
            "rms-multiplied": lambda: x * torch.tensor([3.0, 5.0])[:, None],
            "rms-mean-absolute": lambda: x / x.abs().mean(-1, keepdim=True),
            "rms-root-of-mean": lambda: x / x.mean(-1, keepdim=True).abs(),
            "rms-divides-by-deviation": lambda: x / x.std(-1, keepdim=True, unbiased=False),
            "rms-weight-plus-one": lambda: 2 * x / torch.tensor([3.0, 5.0])[:, None],
            "rms-over-sequence": lambda: x / x.square().mean().sqrt(),
        },
    )


@pytest.mark.task("rmsnorm")
def test_rmsnorm_follows_the_formula():
    """RMSNorm divides each token's vector by its root mean square and multiplies by the weight."""
    x = normal(2, 5, 12, seed=6, scale=3.0, shift=2.0)
    norm = RMSNorm(12)
    fill(norm.weight, seed=7, scale=0.5, shift=1.0)
    w, d = norm.weight.detach(), x.double()

    def normed(axes: int | tuple[int, ...]) -> Tensor:
        return (d / (d.square().mean(axes, keepdim=True) + 1e-6).sqrt()).float()

    def centred() -> Tensor:
        deviations = d - d.mean(-1, keepdim=True)
        return (deviations / (deviations.square().mean(-1, keepdim=True) + 1e-6).sqrt()).float()

    expect_close(
        norm(x.clone()),
        normed(-1) * w,
        what="RMSNorm of a batch whose mean is 2, with a random weight",
        dims="B T C",
        lookalikes={
            "rms-centred": lambda: centred() * w,
            "rms-sum-not-mean": lambda: (d / d.square().sum(-1, keepdim=True).sqrt()).float() * w,
            "rms-weight-plus-one": lambda: normed(-1) * (1 + w),
            "rms-no-weight": lambda: normed(-1),
            "rms-over-sequence": lambda: normed((1, 2)) * w,
            "rms-divides-by-deviation": lambda: (d / d.std(-1, keepdim=True, unbiased=False)).float() * w,
        },
    )


@pytest.mark.task("rmsnorm")
def test_rmsnorm_parameters():
    """RMSNorm has one parameter, the weight, which starts at one."""
    norm = RMSNorm(7)
    expect_equal(
        {name: tuple(parameter.shape) for name, parameter in norm.named_parameters()},
        {"weight": (7,)},
        what="the parameters of RMSNorm(7), by name and shape",
        lookalikes={"rms-has-bias": {"weight": (7,), "bias": (7,)}, "rms-not-a-parameter": {}},
    )
    expect_close(norm.weight.detach(), torch.ones(7), what="RMSNorm's weight at the start", dims="C")


@pytest.mark.task("rmsnorm")
def test_rmsnorm_eps():
    """RMSNorm adds the eps it was given to the mean square, under the root."""
    x = normal(2, 3, 10, seed=8, scale=1e-2)
    d = x.double()
    mean_square = d.square().mean(-1, keepdim=True)
    expect_close(
        RMSNorm(10, eps=1e-3)(x.clone()),
        (d / (mean_square + 1e-3).sqrt()).float(),
        what="RMSNorm with eps=1e-3 of vectors whose mean square is about 1e-4",
        dims="B T C",
        lookalikes={
            "rms-eps-outside": lambda: (d / (mean_square.sqrt() + 1e-3)).float(),
            "rms-no-eps": lambda: (d / mean_square.sqrt()).float(),
            "rms-eps-ignored": lambda: (d / (mean_square + 1e-6).sqrt()).float(),
        },
    )


@pytest.mark.task("rmsnorm")
def test_rmsnorm_leaves_its_input_alone():
    """RMSNorm does not change the tensor that it is given."""
    x = normal(3, 2, 8, seed=9, shift=1.0)
    with expect_unchanged(x, what="the input of RMSNorm", mistake="rms-in-place"):
        RMSNorm(8)(x)


# --------------------------------------------------------------------------------------------------- causal mask


@pytest.mark.task("causal-mask")
def test_causal_mask_of_four_tokens():
    """Each of four tokens may attend to itself and to those before it."""
    mask = causal_mask(4)
    expect_dtype(mask, torch.bool, what="the causal mask of four tokens", mistake="mask-not-bool")
    expected = torch.tensor([[s <= t for s in range(4)] for t in range(4)])
    expect_close(
        mask,
        expected,
        what="the causal mask of four tokens",
        dims="T S",
        lookalikes={
            "mask-hides-self": torch.tensor([[s < t for s in range(4)] for t in range(4)]),
            "mask-true-means-hidden": torch.tensor([[s > t for s in range(4)] for t in range(4)]),
            "mask-sees-the-future": torch.tensor([[s >= t for s in range(4)] for t in range(4)]),
        },
    )


@pytest.mark.task("causal-mask")
def test_causal_mask_of_the_last_queries():
    """Three queries that are the last of seven positions see all that went before them."""
    mask = causal_mask(3, 7)

    def table(offset: int) -> Tensor:
        return torch.tensor([[s <= t + offset for s in range(7)] for t in range(3)])

    expect_shape(mask, (3, 7), what="causal_mask(3, 7)", dims="T S", lookalikes={"mask-ignores-key-length": (3, 3)})
    expect_close(
        mask,
        table(4),
        what="causal_mask(3, 7)",
        dims="T S",
        lookalikes={"mask-from-first": table(0), "mask-off-by-one": table(5), "mask-hides-self": table(3)},
    )


# --------------------------------------------------------------------------------------------------- attention


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    allowed: Tensor | None = None,
    hidden: float = -math.inf,
    scale: float | None = None,
    axis: int = -1,
) -> Tensor:
    """softmax(Q Kᵀ · scale) V in float64, with `hidden` as the score of the pairs that are not allowed."""
    q, k, v = query.double(), key.double(), value.double()
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if allowed is not None:
        scores = torch.where(allowed, scores, torch.full_like(scores, hidden))
    powers = torch.exp(scores - scores.amax(axis, keepdim=True))
    return torch.einsum("bhts,bhse->bhte", powers / powers.sum(axis, keepdim=True), v).float()


def attention_inputs(seed: int, *, scale: float = 1.3) -> tuple[Tensor, Tensor, Tensor]:
    """query (2, 3, 5, 8), key (2, 3, 7, 8), value (2, 3, 7, 6): no two sizes alike."""
    return (
        normal(2, 3, 5, 8, seed=seed, scale=scale),
        normal(2, 3, 7, 8, seed=seed + 1, scale=scale),
        normal(2, 3, 7, 6, seed=seed + 2),
    )


def attention(query: Tensor, key: Tensor, value: Tensor, **options: object) -> Tensor:
    """The function under test, given copies: a change in place must not disturb the oracle."""
    return scaled_dot_product_attention(query.clone(), key.clone(), value.clone(), **options)


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_by_hand():
    """Two queries, three keys: weights 3/6, 2/6, 1/6 give (7, 3), equal weights give (6, 4), in each of five heads."""
    query = torch.tensor([[[[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]]).repeat(1, 5, 1, 1)
    key = torch.tensor([[[[math.log(3), 5.0, 0.0, 1.0], [math.log(2), 0.0, 4.0, 1.0], [0.0, 1.0, 1.0, 7.0]]]])
    key = key.repeat(1, 5, 1, 1)
    value = torch.tensor([[[[12.0, 0.0], [0.0, 6.0], [6.0, 6.0]]]]).repeat(1, 5, 1, 1)
    expect_close(
        attention(query, key, value),
        torch.tensor([[[[7.0, 3.0], [6.0, 4.0]]]]).repeat(1, 5, 1, 1),
        what="attention whose scaled scores are ln 3, ln 2, 0 for the first query and 0, 0, 0 for the second",
        dims="B H T D",
        lookalikes={
            "no-scale": lambda: attend(query, key, value, scale=1.0),
            "scale-by-d": lambda: attend(query, key, value, scale=1 / 4),
            "scale-by-heads": lambda: attend(query, key, value, scale=1 / math.sqrt(5)),
            "scale-multiplied": lambda: attend(query, key, value, scale=2.0),
            "softmax-over-queries": lambda: attend(query, key, value, axis=-2),
            "softmax-over-heads": lambda: attend(query, key, value, axis=1),
            "softmax-missing": torch.tensor([[[[math.log(3) * 12, math.log(2) * 6], [0.0, 0.0]]]]).repeat(1, 5, 1, 1),
        },
    )


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_follows_the_formula():
    """Attention without a mask is softmax(Q Kᵀ / √D) V, for every batch row and head."""
    query, key, value = attention_inputs(seed=20)
    expect_close(
        attention(query, key, value),
        attend(query, key, value),
        what="attention of 5 queries over 7 keys, D = 8",
        dims="B H T D",
        lookalikes={
            "no-scale": lambda: attend(query, key, value, scale=1.0),
            "scale-by-d": lambda: attend(query, key, value, scale=1 / 8),
            "scale-multiplied": lambda: attend(query, key, value, scale=math.sqrt(8)),
            "scale-by-key-count": lambda: attend(query, key, value, scale=1 / math.sqrt(7)),
            "softmax-over-queries": lambda: attend(query, key, value, axis=-2),
            "softmax-over-heads": lambda: attend(query, key, value, axis=1),
            "scale-after-softmax": lambda: attend(query, key, value, scale=1.0) / math.sqrt(8),
            "default-causal": lambda: attend(query, key, value, allowed=torch.ones(5, 7).tril(2).bool()),
        },
    )


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_respects_a_mask():
    """Where the mask is False the weight is zero, and the other weights of that query still sum to one."""
    query, key, value = attention_inputs(seed=30)
    mask = normal(2, 1, 5, 7, seed=33) > 0.3
    mask[..., 2] = True  # every query sees at least one key
    visible = mask.double()

    def multiplied_weights() -> Tensor:
        scores = torch.einsum("bhtd,bhsd->bhts", query.double(), key.double()) / math.sqrt(8)
        return (torch.softmax(scores, -1) * visible @ value.double()).float()

    def added_mask() -> Tensor:
        scores = torch.einsum("bhtd,bhsd->bhts", query.double(), key.double()) / math.sqrt(8)
        return (torch.softmax(scores + visible, -1) @ value.double()).float()

    expect_close(
        attention(query, key, value, attention_mask=mask),
        attend(query, key, value, allowed=mask),
        what="attention with a bool mask (B, 1, T, S), True = may attend",
        dims="B H T D",
        lookalikes={
            "mask-ignored": lambda: attend(query, key, value),
            "mask-inverted": lambda: attend(query, key, value, allowed=~mask),
            "mask-after-softmax": multiplied_weights,
            "mask-added": added_mask,
            "mask-zero-score": lambda: attend(query, key, value, allowed=mask, hidden=0.0),
            "mask-weak-fill": lambda: attend(query, key, value, allowed=mask, hidden=-10.0),
        },
    )


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_can_be_causal():
    """With is_causal, five queries that are the last of seven positions do not see their future."""
    query, key, value = attention_inputs(seed=40)
    with diagnosing("is-causal-square", RuntimeError, match="must match the size"):
        output = attention(query, key, value, is_causal=True)
    expect_close(
        output,
        attend(query, key, value, allowed=torch.ones(5, 7).tril(2).bool()),
        what="causal attention of the last 5 of 7 positions",
        dims="B H T D",
        lookalikes={
            "is-causal-ignored": lambda: attend(query, key, value),
            "is-causal-from-first": lambda: attend(query, key, value, allowed=torch.ones(5, 7).tril().bool()),
            "is-causal-inverted": lambda: attend(query, key, value, allowed=~torch.ones(5, 7).tril(2).bool()),
        },
    )


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_combines_both_masks():
    """With is_causal and a mask, a pair must be allowed by both."""
    query, key, value = attention_inputs(seed=50)
    causal = torch.ones(5, 7).tril(2).bool()
    padding = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    padding[0, ..., 2], padding[1, ..., 1:3] = False, False
    expect_close(
        attention(query, key, value, attention_mask=padding, is_causal=True),
        attend(query, key, value, allowed=causal & padding),
        what="causal attention with some keys of each row hidden",
        dims="B H T D",
        lookalikes={
            "mask-replaces-causal": lambda: attend(query, key, value, allowed=padding),
            "causal-replaces-mask": lambda: attend(query, key, value, allowed=causal),
            "masks-either": lambda: attend(query, key, value, allowed=causal | padding),
        },
    )


@pytest.mark.task("scaled-dot-product-attention")
def test_attention_leaves_its_inputs_alone():
    """Attention does not change query, key, value or mask."""
    query, key, value = attention_inputs(seed=60)
    mask = normal(5, 7, seed=63) > -1.0
    with (
        expect_unchanged(query, what="the queries given to attention", mistake="attention-in-place"),
        expect_unchanged(key, what="the keys given to attention", mistake="attention-in-place"),
        expect_unchanged(value, what="the values given to attention", mistake="attention-in-place"),
        expect_unchanged(mask, what="the mask given to attention", mistake="attention-in-place"),
    ):
        scaled_dot_product_attention(query, key, value, attention_mask=mask, is_causal=True)


# --------------------------------------------------------------------------------------------------- heads


@pytest.mark.task("split-merge-heads")
def test_split_heads_gives_each_head_its_own_channels():
    """Head h of token t holds the channels h·D … h·D + D - 1 of that token, in order."""
    B, T, H, D = 2, 3, 4, 5
    x = torch.arange(B * T * H * D, dtype=torch.float32).reshape(B, T, H * D)
    heads = split_heads(x, H)
    expect_shape(
        heads,
        (B, H, T, D),
        what="20 channels of 3 tokens split into 4 heads",
        dims="B H T D",
        lookalikes={"split-without-transpose": (B, T, H, D), "split-count-is-size": (B, D, T, H)},
    )
    expected = torch.zeros(B, H, T, D)
    for b in range(B):
        for t in range(T):
            for c in range(H * D):
                expected[b, c // D, t, c % D] = x[b, t, c]
    expect_close(
        heads,
        expected,
        what="the numbers 0, 1, 2, … split into 4 heads",
        dims="B H T D",
        lookalikes={
            "split-mixes-tokens": x.reshape(B, H, T, D),
            "split-interleaved": x.reshape(B, T, D, H).permute(0, 3, 1, 2),
        },
    )


@pytest.mark.task("split-merge-heads")
def test_merge_heads_lays_the_heads_side_by_side():
    """Merging puts the D numbers of head 0 first, then those of head 1, for each token."""
    B, H, T, D = 2, 4, 3, 5
    heads = torch.arange(B * H * T * D, dtype=torch.float32).reshape(B, H, T, D)
    with diagnosing("merge-view", RuntimeError, match="view size is not compatible"):
        merged = merge_heads(heads)
    expect_shape(merged, (B, T, H * D), what="4 heads of 3 tokens merged", dims="B T C")
    expected = torch.zeros(B, T, H * D)
    for b in range(B):
        for h in range(H):
            for t in range(T):
                for d in range(D):
                    expected[b, t, h * D + d] = heads[b, h, t, d]
    expect_close(
        merged,
        expected,
        what="the numbers 0, 1, 2, … in 4 heads, merged",
        dims="B T C",
        lookalikes={
            "merge-without-transpose": heads.reshape(B, T, H * D),
            "merge-interleaved": heads.permute(0, 2, 3, 1).reshape(B, T, H * D),
        },
    )


# --------------------------------------------------------------------------------------------------- the module


class RecordingRope(nn.Module):
    """Stands in for lesson 01's RoPE: scales every vector by 1 + its position, and remembers what it was given."""

    def __init__(self, head_dim: int = 0, *, base: float = 0.0) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, q: Tensor, k: Tensor, position_ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.shapes += [tuple(q.shape), tuple(k.shape)]
        if q.ndim != 4 or k.ndim != 4 or q.shape[2] != k.shape[2]:
            return q, k
        if position_ids is None:
            position_ids = torch.arange(q.shape[2])
        factor = 1.0 + position_ids.to(q.dtype)
        factor = factor[:, None, :, None] if factor.ndim == 2 else factor[:, None]
        return (q * factor, k * factor) if factor.shape[-2] == q.shape[2] else (q, k)


def make_attention(**fields: object) -> MultiHeadAttention:
    """4 heads on 24 channels, without positions unless asked, all weights random and none small."""
    sizes = {"hidden_size": 24, "num_attention_heads": 4, "position_embedding_type": "sinusoidal"}
    module = MultiHeadAttention(ModelConfig(**{**sizes, **fields})).eval()
    for number, (name, parameter) in enumerate(module.named_parameters()):
        is_norm = "norm" in name
        fill(parameter, seed=100 + number, scale=0.5 if is_norm else 0.3, shift=1.0 if is_norm else 0.0)
    return module


def with_recording_rope(monkeypatch: pytest.MonkeyPatch, **fields: object) -> tuple[MultiHeadAttention, RecordingRope]:
    """A module that rotates, with the rotation replaced: lesson 01 has its own tests."""
    monkeypatch.setattr(embedding_module, "RoPE", RecordingRope, raising=False)
    monkeypatch.setattr(attention_module, "RoPE", RecordingRope, raising=False)
    module = make_attention(position_embedding_type="rope", **fields)
    rope = RecordingRope()
    module.rope = rope
    return module, rope


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


@pytest.mark.task("multi-head-attention")
def test_mha_parameters():
    """The projections have Llama's names and shapes, and no bias unless the config says so."""

    def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
        return {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}

    plain = {"k_proj.weight": (24, 24), "o_proj.weight": (24, 24), "q_proj.weight": (24, 24), "v_proj.weight": (24, 24)}
    biases = {"k_proj.bias": (24,), "q_proj.bias": (24,), "v_proj.bias": (24,)}
    everywhere = {**plain, **biases, "o_proj.bias": (24,)}
    expect_equal(
        shapes(make_attention(num_key_value_heads=2)),
        plain,
        what="the parameters of 4 heads on 24 channels",
        lookalikes={
            "mha-bias-always": everywhere,
            "mha-o-proj-bias": {**plain, "o_proj.bias": (24,)},
            "mha-no-o-proj": {name: shape for name, shape in plain.items() if name != "o_proj.weight"},
            "mha-reads-kv-heads": {**plain, "k_proj.weight": (12, 24), "v_proj.weight": (12, 24)},
        },
    )
    expect_equal(
        shapes(make_attention(attention_bias=True)),
        {**plain, **biases},
        what="the parameters with attention_bias=True",
        lookalikes={"mha-bias-never": plain, "mha-o-proj-bias": everywhere},
    )


@pytest.mark.task("multi-head-attention")
def test_mha_project_shapes():
    """project gives queries, keys and values as (B, H, T, D)."""
    module = make_attention()
    names = ("query", "key", "value")
    for name, part in zip(names, module.project(normal(2, 5, 24, seed=70)), strict=True):
        expect_shape(
            part,
            (2, 4, 5, 6),
            what=f"the {name} of 2 sequences of 5 tokens, 24 channels in 4 heads",
            dims="B H T D",
            lookalikes={"mha-not-split": (2, 5, 24), "mha-one-head": (2, 1, 5, 24)},
        )


@pytest.mark.task("multi-head-attention")
def test_mha_follows_the_formula():
    """The module projects, attends in each head, joins the heads and projects again."""
    module, x = make_attention(), normal(2, 5, 24, seed=71)
    q, k, v = (heads_of(module, name, x) for name in ("q_proj", "k_proj", "v_proj"))

    def rotated(heads: Tensor) -> Tensor:
        angles = torch.arange(5)[:, None] * 10000.0 ** (-torch.arange(3) / 3)  # (T, D/2), with the default rope_theta
        first, second = heads.chunk(2, -1)
        turned = (first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin())
        return torch.cat(turned, -1)

    def mixed_tokens() -> Tensor:
        parts = (torch.cat(part.unbind(1), -1).reshape(2, 4, 5, 6) for part in (q, k, v))
        return joined(module, attend(*parts))

    def badly_merged() -> Tensor:
        merged = attend(q, k, v).reshape(2, 5, 24)
        return (merged.double() @ module.o_proj.weight.detach().double().T).float()

    expect_close(
        module(x),
        joined(module, attend(q, k, v)),
        what="multi-head attention without masks or positions",
        dims="B T C",
        lookalikes={
            "mha-output-not-projected": lambda: torch.cat(attend(q, k, v).unbind(1), -1),
            "mha-query-key-swapped": lambda: joined(module, attend(k, q, v)),
            "mha-keys-as-values": lambda: joined(module, attend(q, k, k)),
            "mha-value-not-projected": lambda: joined(module, attend(q, k, torch.stack(x.chunk(4, -1), 1))),
            "mha-always-rope": lambda: joined(module, attend(rotated(q), rotated(k), v)),
            "mha-mixed-tokens": mixed_tokens,
            "mha-bad-merge": badly_merged,
            "mha-always-causal": lambda: joined(module, attend(q, k, v, allowed=torch.ones(5, 5).tril().bool())),
            "mha-scaled-twice": lambda: joined(module, attend(q, k, v, scale=1 / 6)),
            "mha-scale-by-hidden-size": lambda: joined(module, attend(q, k, v, scale=1 / math.sqrt(24))),
        },
    )


@pytest.mark.task("multi-head-attention")
def test_mha_uses_the_masks():
    """forward hands attention_mask and is_causal on: hidden tokens do not reach the output."""
    module, x = make_attention(), normal(2, 5, 24, seed=72)
    q, k, v = (heads_of(module, name, x) for name in ("q_proj", "k_proj", "v_proj"))
    unmasked = joined(module, attend(q, k, v))
    causal = torch.ones(5, 5).tril().bool()
    padding = torch.tensor([[True, True, True, True, False], [True, True, False, True, True]])[:, None, None]
    expect_close(
        module(x, is_causal=True),
        joined(module, attend(q, k, v, allowed=causal)),
        what="multi-head attention with is_causal=True",
        dims="B T C",
        lookalikes={"mha-drops-is-causal": unmasked},
    )
    expect_close(
        module(x, attention_mask=padding),
        joined(module, attend(q, k, v, allowed=padding)),
        what="multi-head attention with one token of each row hidden",
        dims="B T C",
        lookalikes={"mha-drops-mask": unmasked},
    )


@pytest.mark.task("multi-head-attention")
def test_mha_head_dim_from_the_config():
    """config.head_dim sets the width of a head, so that H·D need not equal C."""
    module, x = make_attention(head_dim=10), normal(2, 5, 24, seed=73)
    expect_equal(
        {name: tuple(parameter.shape) for name, parameter in module.named_parameters()},
        {
            "k_proj.weight": (40, 24),
            "o_proj.weight": (24, 40),
            "q_proj.weight": (40, 24),
            "v_proj.weight": (40, 24),
        },
        what="the parameters with head_dim=10 and 4 heads on 24 channels",
        lookalikes={"mha-head-dim-ignored": {f"{name}_proj.weight": (24, 24) for name in "koqv"}},
    )
    q, k, v = (heads_of(module, name, x) for name in ("q_proj", "k_proj", "v_proj"))
    expect_close(
        module(x),
        joined(module, attend(q, k, v)),
        what="multi-head attention with head_dim=10",
        dims="B T C",
        lookalikes={"mha-scale-by-hidden-size": lambda: joined(module, attend(q, k, v, scale=1 / math.sqrt(24)))},
    )


@pytest.mark.task("multi-head-attention")
def test_mha_rotates_queries_and_keys(monkeypatch: pytest.MonkeyPatch):
    """Queries and keys of every head are rotated to the positions given; values are not."""
    module, rope = with_recording_rope(monkeypatch)
    x, positions = normal(2, 5, 24, seed=74), torch.tensor([[3, 0, 7, 1, 4], [0, 1, 2, 9, 5]])
    query, key, value = module.project(x, positions)
    expect(
        bool(rope.shapes),
        "self.rope was not called, so the model cannot tell the order of the words",
        what="project with position_embedding_type='rope'",
        mistake="mha-rope-not-used",
    )
    expect_shape(
        torch.empty(rope.shapes[0]),
        (2, 4, 5, 6),
        what="what self.rope is given as queries",
        dims="B H T D",
        lookalikes={"mha-rope-before-split": (2, 5, 24)},
    )
    q, k, v = (heads_of(module, name, x) for name in ("q_proj", "k_proj", "v_proj"))
    factor = (1.0 + positions.double())[:, None, :, None]
    default = (1.0 + torch.arange(5).double())[:, None]
    for name, actual, plain, unrotated in (
        ("query", query, q, "mha-rope-result-lost"),
        ("key", key, k, "mha-rope-query-only"),
    ):
        expect_close(
            actual,
            (plain * factor).float(),
            what=f"the {name} after project, with positions given",
            dims="B H T D",
            lookalikes={
                "mha-positions-ignored": (plain * default).float(),
                unrotated: plain.float(),
            },
        )
    expect_close(
        value,
        v.float(),
        what="the value after project",
        dims="B H T D",
        lookalikes={"mha-rope-on-values": (v * factor).float()},
    )


@pytest.mark.task("multi-head-attention")
def test_mha_forward_passes_the_positions(monkeypatch: pytest.MonkeyPatch):
    """forward rotates to position_ids, and to 0, 1, 2, … when there are none."""
    module, _ = with_recording_rope(monkeypatch)
    x = normal(2, 5, 24, seed=75, scale=0.5)
    q, k, v = (heads_of(module, name, x) for name in ("q_proj", "k_proj", "v_proj"))

    def placed(positions: Tensor) -> Tensor:
        factor = (1.0 + positions.double())[:, None, :, None]
        return joined(module, attend(q * factor, k * factor, v))

    default, moved = torch.arange(5)[None], torch.tensor([[3, 0, 4, 1, 2], [0, 1, 2, 5, 3]])
    expect_close(module(x), placed(default), what="multi-head attention without position_ids", dims="B T C")
    expect_close(
        module(x, position_ids=moved),
        placed(moved),
        what="multi-head attention with position_ids",
        dims="B T C",
        lookalikes={"mha-positions-ignored": lambda: placed(default)},
    )


@pytest.mark.task("multi-head-attention")
def test_mha_refuses_heads_that_do_not_fit():
    """A hidden size that is not a multiple of the number of heads is refused when the module is built."""
    config = ModelConfig(hidden_size=25, num_attention_heads=4, position_embedding_type="sinusoidal")
    with expect_raises(Exception, what="25 channels in 4 heads", mistake="mha-floors-head-dim"):
        MultiHeadAttention(config)
    with expect_raises(ValueError, what="25 channels in 4 heads"):
        MultiHeadAttention(config)
