"""Lesson 04, the edges: pieces of any length, padding, limits, 16-bit numbers, sampling, and your own model."""

import math
import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from coursecli.expect import (
    diagnosing,
    expect,
    expect_close,
    expect_distribution,
    expect_dtype,
    expect_equal,
    expect_gradient,
    expect_raises,
    expect_shape,
    expect_unchanged,
)
from intro2llm.model.attention import MultiHeadAttention
from intro2llm.model.causal_lm import CausalLM, next_token_loss
from intro2llm.model.config import ModelConfig
from intro2llm.model.sampling import apply_repetition_penalty, filter_top_k, filter_top_p, sample_next_token

B, T, H, D, C, INNER, V = 2, 9, 3, 4, 18, 20, 37  # batch, tokens, heads, head size, channels, inner width, vocabulary
EPS, BASE = 1e-3, 500.0
NONE = float("-inf")


def make_config(**changes: object) -> ModelConfig:
    sizes = {
        "vocab_size": V,
        "hidden_size": C,
        "intermediate_size": INNER,
        "num_hidden_layers": 2,
        "num_attention_heads": H,
        "head_dim": D,
        "max_position_embeddings": 64,
        "rope_theta": BASE,
        "rms_norm_eps": EPS,
    }
    return ModelConfig(**{**sizes, **changes})


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def draw_ids(*shape: int, seed: int, below: int = V) -> Tensor:
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(seed))


def randomised(module: nn.Module, *, seed: int) -> nn.Module:
    """Every parameter drawn anew and large enough that no part of the formula can hide; norm weights around 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            values = torch.randn(parameter.shape, generator=generator) * 0.4
            parameter.copy_(values + 1 if "norm" in name and name.endswith("weight") else values)
    return module


def causal(length: int) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool).tril()


# -------------------------------------------------------------------------------------------------- cached attention


class Written:
    """Causal attention in float64, from the parameters: `output` (B, T, C), `key` and `value` (B, H, T, D)."""

    def __init__(
        self, attention: nn.Module, x: Tensor, *, positions: Tensor | None = None, allowed: Tensor | None = None
    ) -> None:
        weight = {name: parameter.detach().double() for name, parameter in attention.named_parameters()}
        length = x.shape[1]
        positions = torch.arange(length) if positions is None else positions
        allowed = causal(length) if allowed is None else allowed

        def heads(name: str) -> Tensor:
            projected = x.detach().double() @ weight[f"{name}.weight"].T + weight.get(f"{name}.bias", 0.0)
            return torch.stack(projected.split(D, dim=-1), dim=1)  # (B, H, T, D)

        def normed(v: Tensor, name: str) -> Tensor:
            if f"{name}.weight" not in weight:
                return v
            return v / (v.square().mean(-1, keepdim=True) + EPS).sqrt() * weight[f"{name}.weight"]

        angle = positions.double()[..., None] * BASE ** (-torch.arange(0, D, 2).double() / D)  # (…, T, D/2)
        angle = angle[:, None] if angle.ndim == 3 else angle

        def rotated(v: Tensor) -> Tensor:
            left, right = v[..., : D // 2], v[..., D // 2 :]
            turned = (left * angle.cos() - right * angle.sin(), right * angle.cos() + left * angle.sin())
            return torch.cat(turned, dim=-1)

        self.key, self.value = rotated(normed(heads("k_proj"), "k_norm")), heads("v_proj")
        scores = rotated(normed(heads("q_proj"), "q_norm")) @ self.key.transpose(-1, -2) / math.sqrt(D)
        weights = torch.where(allowed, scores, torch.full_like(scores, NONE)).softmax(dim=-1).nan_to_num()
        answers = torch.cat((weights @ self.value).unbind(dim=1), dim=-1)
        self.output = answers @ weight["o_proj.weight"].T

    def cache(self, end: int) -> tuple[Tensor, Tensor]:
        return self.key[:, :, :end].float().clone(), self.value[:, :, :end].float().clone()


def attention_and_input(seed: int, **changes: object) -> tuple[MultiHeadAttention, Tensor]:
    attention = randomised(MultiHeadAttention(make_config(**changes)), seed=seed)
    return attention, draw(B, T, C, seed=seed + 1)


@pytest.mark.task("cached-attention")
@torch.no_grad()
def test_three_tokens_after_a_past() -> None:
    """Three tokens at once after a past of six: each sees the past, the ones before it and itself, and no later one."""
    attention, x = attention_and_input(seed=1)
    right = Written(attention, x)

    def wrong(rows: Tensor) -> Callable[[], Tensor]:
        """The output of the last three tokens, if they could see these keys, (3, 9)."""
        return lambda: Written(attention, x, allowed=torch.cat((causal(T)[:6], rows))).output[:, 6:].float()

    output, (key, _) = attention.forward_with_cache(x[:, 6:].clone(), right.cache(6))
    expect_close(
        output,
        right.output[:, 6:].float(),
        what="the output for three tokens after a past of six",
        dims="B T C",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={
            "causal-no-offset": wrong(causal(T)[:3]),
            "no-mask-when-cached": wrong(torch.ones(3, T, dtype=torch.bool)),
        },
    )
    expect_close(key, right.key.float(), what="the nine keys of the new cache", dims="B H S D", rtol=1e-4, atol=1e-4)


@pytest.mark.task("cached-attention")
@torch.no_grad()
def test_pieces_of_many_lengths() -> None:
    """Any way of cutting a text into pieces gives what the whole text gives, with biases and with QK-norm too."""
    cuts = random.Random(3)
    for case in range(6):
        attention, _ = attention_and_input(seed=100 + case, attention_bias=case % 2 == 0, qk_norm=case % 3 == 0)
        length = cuts.randint(4, 11)
        x = draw(B, length, C, seed=200 + case)
        right = Written(attention, x)
        ends = [*sorted(cuts.sample(range(1, length), k=cuts.randint(1, 3))), length]
        cache, start, outputs = None, 0, []
        for end in ends:
            output, cache = attention.forward_with_cache(x[:, start:end].clone(), cache)
            outputs.append(output)
            start = end
        expect_close(
            torch.cat(outputs, dim=1),
            right.output.float(),
            what=f"the output for {length} tokens in pieces that end at {ends}",
            dims="B T C",
            rtol=1e-4,
            atol=1e-4,
        )


@pytest.mark.task("cached-attention")
@torch.no_grad()
def test_cached_attention_takes_a_mask() -> None:
    """A mask hides keys, beside the causal mask: (B, 1, 1, S), (T, S) and (B, H, T, S)."""
    attention, x = attention_and_input(seed=5)
    past = Written(attention, x).cache(6)
    hides = torch.ones(B, 1, 1, T, dtype=torch.bool)
    hides[0, ..., :2] = False
    hides[1, ..., 4] = False
    some = draw(B, H, 3, T, seed=7) > -0.7
    some[..., 0] = True
    for mask in (hides, some, some[0, 0]):
        full = mask.expand(B, H, 3, T)
        rows = torch.cat((causal(T)[:6].expand(B, H, 6, T), full & causal(T)[6:]), dim=2)
        without = torch.cat((causal(T)[:6].expand(B, H, 6, T), full), dim=2)
        output, _ = attention.forward_with_cache(x[:, 6:].clone(), past, attention_mask=mask)
        expect_close(
            output,
            Written(attention, x, allowed=rows).output[:, 6:].float(),
            what=f"three tokens after a past of six, with a mask of shape {tuple(mask.shape)}",
            dims="B T C",
            rtol=1e-4,
            atol=1e-4,
            lookalikes={
                "cached-option-dropped": lambda: Written(attention, x).output[:, 6:].float(),
                "mask-instead-of-causal": lambda without=without: (
                    Written(attention, x, allowed=without).output[:, 6:].float()
                ),
            },
        )


@pytest.mark.task("cached-attention")
@torch.no_grad()
def test_cached_attention_takes_positions() -> None:
    """Positions that are given are used, (T,) for all rows or (B, T) for each row."""
    attention, x = attention_and_input(seed=8)
    for ends in (torch.tensor([10, 11, 15]), torch.tensor([[10, 11, 15], [6, 20, 21]])):
        rows = ends.expand(B, 3)
        positions = torch.cat((torch.arange(6).expand(B, 6), rows), dim=1)
        right = Written(attention, x, positions=positions)
        output, (key, _) = attention.forward_with_cache(x[:, 6:].clone(), right.cache(6), position_ids=ends)
        for got, wanted, words, lookalike in (
            (output, right.output[:, 6:], "the output", lambda: Written(attention, x).output[:, 6:].float()),
            (key, right.key, "the keys", lambda: Written(attention, x).key.float()),
        ):
            expect_close(
                got,
                wanted.float(),
                what=f"{words} with position_ids {ends.tolist()}",
                rtol=1e-4,
                atol=1e-4,
                lookalikes={"cached-option-dropped": lookalike},
            )


@pytest.mark.task("cached-attention")
@torch.no_grad()
def test_cached_attention_keeps_nothing() -> None:
    """Two texts can go on from one past, and a new text knows nothing of the one before."""
    attention, x = attention_and_input(seed=10)
    right = Written(attention, x)
    _, past = attention.forward_with_cache(x[:, :6].clone())
    _, other = attention.forward_with_cache(draw(B, 2, C, seed=12), past)
    what = "the past, and the cache of a first text that goes on from it, while a second one goes on"
    with expect_unchanged([*past, *other], what=what, mistake="cache-shares-memory"):
        again, _ = attention.forward_with_cache(x[:, 6:].clone(), past)
    fresh, _ = attention.forward_with_cache(x[:, :4].clone())
    for got, wanted, words in (
        (again, right.output[:, 6:], "a second text that goes on from the same past"),
        (fresh, right.output[:, :4], "a new text, after others"),
    ):
        expect_close(
            got,
            wanted.float(),
            what=f"the output for {words}",
            dims="B T C",
            rtol=1e-4,
            atol=1e-4,
            mistake="cache-kept-in-the-module",
        )


@pytest.mark.task("cached-attention")
@torch.no_grad()
def test_cache_has_the_dtype_of_the_model() -> None:
    """In bfloat16, output, keys and values are bfloat16, with and without a past; in float64 they are float64."""
    for dtype in (torch.bfloat16, torch.float64):
        attention, x = attention_and_input(seed=13)
        attention, x = attention.to(dtype), x.to(dtype)
        cache = None
        for start, end in ((0, 5), (5, 6), (6, 9)):
            output, cache = attention.forward_with_cache(x[:, start:end].clone(), cache)
            what = f"after tokens {start} to {end - 1}"
            expect_dtype(output, dtype, what=f"the output {what}")
            expect_dtype(cache[0], dtype, what=f"the keys of the cache {what}", mistake="cache-in-another-dtype")
            expect_dtype(cache[1], dtype, what=f"the values of the cache {what}", mistake="cache-in-another-dtype")


@pytest.mark.task("cached-attention")
@torch.no_grad()
def test_cached_attention_drops_weights_only_in_training() -> None:
    """With attention_dropout, weights are dropped in training mode and never in eval mode."""
    attention, x = attention_and_input(seed=15, attention_dropout=0.5)
    right = Written(attention, x)
    attention.eval()
    still, _ = attention.forward_with_cache(x[:, 3:].clone(), right.cache(3))
    expect_close(
        still,
        right.output[:, 3:].float(),
        what="the output in eval mode, with attention_dropout=0.5",
        dims="B T C",
        rtol=1e-4,
        atol=1e-4,
    )
    attention.train()
    dropped, _ = attention.forward_with_cache(x[:, 3:].clone(), right.cache(3))
    expect(
        not torch.allclose(dropped, still, atol=1e-3),
        "The output is that of eval mode: of 36 tokens' weights, none was dropped.",
        what="the output in training mode, with attention_dropout=0.5",
        mistake="cached-dropout-missing",
    )


# -------------------------------------------------------------------------------------------------- cached block


@pytest.mark.task("cached-block")
@torch.no_grad()
def test_cached_block_in_pieces() -> None:
    """A whole block, its text cut in three, gives the sums of its branches over the whole text; its dtype stays."""
    model = randomised(CausalLM(make_config()), seed=17)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 0.15)):
        block, x = model.layers[1].to(dtype), draw(B, T, C, seed=18).to(dtype)
        h = x + Written(block.self_attn, block.input_layernorm(x)).output.to(dtype)
        right = h + block.mlp(block.post_attention_layernorm(h))
        cache, pieces = None, []
        for start, end in ((0, 4), (4, 5), (5, 9)):
            piece, cache = block.forward_with_cache(x[:, start:end].clone(), cache)
            pieces.append(piece)
        expect_close(
            torch.cat(pieces, dim=1),
            right,
            what=f"a block in {dtype}, its text in pieces of 4, 1 and 4 tokens",
            dims="B T C",
            rtol=tolerance,
            atol=tolerance,
        )


# -------------------------------------------------------------------------------------------------- CausalLM: parts


@pytest.mark.task("causal-lm")
def test_tied_weights_stay_tied() -> None:
    """The shared table gets the gradients of both its uses, and is still one parameter after a change of dtype."""
    model = randomised(CausalLM(make_config(tie_word_embeddings=True)), seed=19)
    model.lm_head(model.embed_tokens(torch.tensor([3, 8]))).sum().backward()
    gradient = model.embed_tokens.weight.grad
    expect(gradient is not None, "It has none.", what="the gradient of the shared table")
    other = gradient[[row for row in range(V) if row not in (3, 8)]]
    expect(
        bool((other != 0).any()),
        "Only the rows that were looked up have a gradient.",
        what="the gradient of the shared table",
        mistake="tied-by-data",
    )
    model = model.double()
    expect(
        model.lm_head.weight is model.embed_tokens.weight,
        "They are two parameters now.",
        what="the shared table after model.double()",
    )


@pytest.mark.task("causal-lm")
def test_model_follows_its_config() -> None:
    """Norms, networks, positions and sizes are those of the config, and the config is not changed."""
    config = make_config(
        hidden_act="gelu",
        norm_type="layer_norm",
        position_embedding_type="sinusoidal",
        num_hidden_layers=1,
        max_position_embeddings=23,
    )
    before = repr(config)
    model = CausalLM(config)
    expect_equal(repr(config), before, what="the config after the model was built")
    expect_equal(type(model.norm).__name__, "LayerNorm", what="the last norm with norm_type='layer_norm'")
    expect_equal(len(model.layers), 1, what="the number of layers")
    model.position_embeddings(torch.zeros(1, 23, C))
    with expect_raises(
        ValueError,
        what="the position table, given 24 tokens, with max_position_embeddings=23",
        mistake="table-of-default-length",
    ):
        model.position_embeddings(torch.zeros(1, 24, C))
    x = draw(1, 3, C, seed=24, scale=0.02)
    expect_close(
        CausalLM(make_config()).norm(x),
        x / (x.square().mean(-1, keepdim=True) + EPS).sqrt(),
        what=f"the last norm of small numbers, with rms_norm_eps={EPS}",
        mistake="last-norm-default-eps",
    )


# -------------------------------------------------------------------------------------------------- through the stack


def sinusoids(positions: Tensor) -> Tensor:
    """The table of lesson 01, written out: (..., C)."""
    angle = positions.double()[..., None] * 10000.0 ** (-torch.arange(0, C, 2).double() / C)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2).float()


def stack(model: CausalLM, ids: Tensor, *, positions: Tensor | None = None, allowed: Tensor | None = None) -> Tensor:
    """The hidden states, put together from the model's own embedding, layers and norm, with an explicit mask."""
    length = ids.shape[1]
    positions = torch.arange(length) if positions is None else positions
    allowed = causal(length) if allowed is None else allowed
    h = model.embed_tokens.weight[ids]
    if model.config.position_embedding_type == "sinusoidal":
        h = h + sinusoids(positions).to(h.dtype)
    for layer in model.layers:
        h = layer(h, position_ids=positions, attention_mask=allowed)
    return model.norm(h)


def build(*, seed: int, **changes: object) -> CausalLM:
    return randomised(CausalLM(make_config(**changes)), seed=seed)


def left_padded(texts: list[Tensor], *, pad: int) -> tuple[Tensor, Tensor]:
    """Texts of different lengths, padded on the left to one table, and its mask of 0 and 1."""
    length = max(len(text) for text in texts)
    ids = torch.full((len(texts), length), pad)
    mask = torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, length - len(text) :] = text
        mask[row, length - len(text) :] = 1
    return ids, mask


@pytest.mark.task("hidden-states")
@torch.no_grad()
@pytest.mark.parametrize("kind", ["rope", "sinusoidal"])
def test_pieces_of_any_length_are_the_whole_text(kind: str) -> None:
    """A text in pieces of 3, 4 and 2 tokens, or of other lengths, gives the states of the whole text."""
    model, ids = build(seed=20, position_embedding_type=kind), draw_ids(B, T, seed=21)
    right = stack(model, ids)
    for lengths in ((3, 4, 2), (1, 8), (7, 1, 1)):
        cache, pieces, start = None, [], 0
        for number in lengths:
            piece, cache = model.compute_hidden_states(
                ids[:, start : start + number], past_key_values=cache, use_cache=True
            )
            pieces.append(piece)
            start += number
        expect_close(
            torch.cat(pieces, dim=1),
            right,
            what=f"the hidden states in pieces of {lengths} tokens ({kind})",
            dims="B T C",
            rtol=1e-4,
            atol=1e-4,
        )


@pytest.mark.task("hidden-states")
@torch.no_grad()
@pytest.mark.parametrize("kind", ["rope", "sinusoidal"])
def test_left_padding_changes_nothing(kind: str) -> None:
    """A text with padding on its left gives what it gives alone: padding is invisible and takes up no place."""
    model = build(seed=22, position_embedding_type=kind)
    texts = [draw_ids(length, seed=23 + length) for length in (7, 4, 6)]
    ids, mask = left_padded(texts, pad=5)
    with diagnosing("mask-wrong-axes", RuntimeError, IndexError, match="size|shape|imension|ind(ex|ic)"):
        hidden_states, _ = model.compute_hidden_states(ids, attention_mask=mask)
    real = mask.bool()
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)
    keys, queries = real[:, None, None, :], real[:, None, :, None]
    numbers = torch.arange(7)
    expect_close(
        hidden_states[real],
        torch.cat([stack(model, text[None])[0] for text in texts]),
        what=f"the hidden states of texts with 0, 3 and 1 places of padding on the left ({kind})",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={
            "padding-takes-up-places": lambda: stack(model, ids, positions=numbers, allowed=causal(7) & keys)[real],
            "padding-visible": lambda: stack(model, ids, positions=places)[real],
            "mask-ignored": lambda: stack(model, ids)[real],
            "padding-on-the-query-axis": lambda: stack(model, ids, positions=places, allowed=causal(7) & queries)[real],
            "mask-instead-of-causal": lambda: stack(model, ids, positions=places, allowed=keys)[real],
        },
    )
    expect(
        bool(hidden_states.isfinite().all()),
        "There are NaN or infinite numbers at the padding.",
        what="the hidden states of padding",
    )


@pytest.mark.task("hidden-states")
@torch.no_grad()
@pytest.mark.parametrize("kind", ["rope", "sinusoidal"])
def test_left_padding_with_a_cache(kind: str) -> None:
    """Padded texts that go on with the cache, by one token and then by two, give what each gives alone."""
    model = build(seed=30, position_embedding_type=kind)
    texts = [draw_ids(length, seed=31 + length) for length in (9, 5, 8)]
    ids, mask = left_padded(texts, pad=5)
    cache, pieces = None, []
    for start, end in ((0, 6), (6, 7), (7, 9)):
        with diagnosing("mask-wrong-axes", RuntimeError, IndexError, match="size|shape|imension|ind(ex|ic)"):
            piece, cache = model.compute_hidden_states(
                ids[:, start:end], attention_mask=mask[:, :end], past_key_values=cache, use_cache=True
            )
        pieces.append(piece)
    alone = [stack(model, text[None])[0] for text in texts]
    real = mask.bool()
    keys = causal(9) & real[:, None, None, :]
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)
    again = torch.cat([(mask[:, a:b].cumsum(dim=1) - 1).clamp(min=0) for a, b in ((0, 6), (6, 7), (7, 9))], dim=1)
    front = torch.cat([places[:, :6], places[:, :1], places[:, :2]], dim=1)
    absolute = torch.cat([places[:, :6], torch.tensor([[6, 7, 8]]).expand(3, 3)], dim=1)
    expect_close(
        torch.cat(pieces, dim=1)[real],
        torch.cat(alone),
        what=f"the hidden states of padded texts in pieces of 6, 1 and 2 columns ({kind})",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={
            "position-restart-under-a-mask": lambda: stack(model, ids, positions=again, allowed=keys)[real],
            "positions-from-the-front": lambda: stack(model, ids, positions=front, allowed=keys)[real],
            "padding-takes-up-places": lambda: stack(model, ids, positions=absolute, allowed=keys)[real],
        },
    )


@pytest.mark.task("hidden-states")
@torch.no_grad()
def test_right_padding_and_masks_of_any_kind() -> None:
    """Padding on the right changes no token before it; masks may be bool, int64 or uint8, and are not changed."""
    model = build(seed=40, position_embedding_type="sinusoidal")
    ids, mask = draw_ids(B, T, seed=41), torch.ones(B, T, dtype=torch.long)
    mask[0, 5:], mask[1, 8:] = 0, 0
    real = mask.bool()
    right = stack(model, ids)[real]
    for dtype in (torch.long, torch.bool, torch.uint8):
        given = mask.to(dtype)
        with diagnosing("mask-of-one-dtype", RuntimeError, TypeError):
            with expect_unchanged(given, what="the attention_mask that is given"):
                hidden_states, _ = model.compute_hidden_states(ids, attention_mask=given)
        expect_close(
            hidden_states[real],
            right,
            what=f"the hidden states of texts with padding on the right, mask {dtype}",
            rtol=1e-4,
            atol=1e-4,
        )


@pytest.mark.task("hidden-states")
@torch.no_grad()
def test_positions_can_be_given() -> None:
    """Positions that are given are used instead of the rule, with a mask and without one."""
    model, ids = build(seed=42, position_embedding_type="sinusoidal"), draw_ids(B, T, seed=43)
    positions = torch.stack((torch.arange(T) * 3 + 1, torch.arange(T) + 11))
    for mask in (None, torch.ones(B, T, dtype=torch.long)):
        hidden_states, _ = model.compute_hidden_states(ids, position_ids=positions, attention_mask=mask)
        expect_close(
            hidden_states,
            stack(model, ids, positions=positions),
            what=f"the hidden states with given positions, {'without' if mask is None else 'with'} a mask",
            dims="B T C",
            rtol=1e-4,
            atol=1e-4,
            lookalikes={"given-positions-ignored": lambda: stack(model, ids)},
        )


@pytest.mark.task("hidden-states")
@torch.no_grad()
def test_masks_that_do_not_fit() -> None:
    """A mask of the wrong width is refused with both shapes in the message; a floating-point mask is refused."""
    model, ids = build(seed=44), draw_ids(B, 4, seed=45)
    _, cache = model.compute_hidden_states(ids, use_cache=True)
    new = ids[:, :1]
    what = "one new token after four, with a mask of width 1 instead of 5"
    with expect_raises(ValueError, what=what, match=r"1[^0-9].*5", mistake="mask-width-unchecked"):
        model.compute_hidden_states(new, attention_mask=torch.ones(B, 1, dtype=torch.long), past_key_values=cache)
    with expect_raises(ValueError, what="a mask of width 3 for 4 tokens", mistake="mask-width-unchecked"):
        model.compute_hidden_states(ids, attention_mask=torch.ones(B, 3, dtype=torch.long))
    with expect_raises(TypeError, what="a mask of float32 ones"):
        model.compute_hidden_states(ids, attention_mask=torch.ones(B, 4))


@pytest.mark.task("hidden-states")
@torch.no_grad()
def test_the_last_position() -> None:
    """Sinusoidal positions end at max_position_embeddings, and padding does not count; RoPE goes on."""
    model = build(seed=46, position_embedding_type="sinusoidal", max_position_embeddings=8)
    ids = draw_ids(B, 11, seed=47)
    model.compute_hidden_states(ids[:, :8])
    what = "9 tokens with sinusoidal positions and max_position_embeddings=8"
    with expect_raises(ValueError, what=what, match="8"):
        model.compute_hidden_states(ids[:, :9])
    _, cache = model.compute_hidden_states(ids[:, :7], use_cache=True)
    with expect_raises(ValueError, what="tokens 7 and 8, after a cache of seven, with max_position_embeddings=8"):
        model.compute_hidden_states(ids[:, 7:9], past_key_values=cache)
    mask = torch.ones(B, 11, dtype=torch.long)
    mask[:, :4] = 0
    with diagnosing("position-limit-counts-padding", ValueError):
        hidden_states, _ = model.compute_hidden_states(ids, attention_mask=mask)
    expect_shape(hidden_states, (B, 11, C), what="the states of 4 places of padding and 7 tokens", dims="B T C")
    endless = build(seed=48, max_position_embeddings=8)
    with diagnosing("rope-limited", ValueError, IndexError):
        hidden_states, _ = endless.compute_hidden_states(ids)
    expect_close(
        hidden_states, stack(endless, ids), what="11 tokens with RoPE and max_position_embeddings=8", atol=1e-4
    )


@pytest.mark.task("hidden-states")
@torch.no_grad()
def test_two_texts_from_one_past() -> None:
    """The same past serves two continuations, also without a new cache, and a new text knows nothing of them."""
    model, ids = build(seed=49), draw_ids(B, T, seed=50)
    right = stack(model, ids)
    _, past = model.compute_hidden_states(ids[:, :5], use_cache=True)
    with expect_unchanged(past, what="the past_key_values that are given", mistake="cache-list-overwritten"):
        model.compute_hidden_states(draw_ids(B, 3, seed=51), past_key_values=past, use_cache=True)
    hidden_states, cache = model.compute_hidden_states(ids[:, 5:], past_key_values=past)
    expect_close(
        hidden_states,
        right[:, 5:],
        what="four tokens after a past, without use_cache",
        dims="B T C",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={"past-only-with-use-cache": lambda: stack(model, ids[:, 5:])},
    )
    expect(cache is None, "A cache came back.", what="a call with a past, without use_cache")
    fresh, _ = model.compute_hidden_states(ids)
    expect_close(fresh, right, what="a new text after others", dims="B T C", rtol=1e-4, atol=1e-4)


@pytest.mark.task("hidden-states")
@torch.no_grad()
def test_hidden_states_in_16_bits_and_elsewhere() -> None:
    """A bfloat16 model gives bfloat16 states and caches; what the model makes is on the device of its inputs."""
    model, ids = build(seed=52, position_embedding_type="sinusoidal").to(torch.bfloat16), draw_ids(B, T, seed=53)
    hidden_states, cache = model.compute_hidden_states(ids, use_cache=True)
    expect_dtype(hidden_states, torch.bfloat16, what="the hidden states of a bfloat16 model")
    expect_dtype(cache[0][0], torch.bfloat16, what="the cached keys of a bfloat16 model")
    model = build(seed=54)
    _, past = model.compute_hidden_states(ids, use_cache=True)
    with diagnosing("made-on-the-default-device", RuntimeError, match="device|meta"), torch.device("meta"):
        hidden_states, _ = model.compute_hidden_states(ids[:, :2], past_key_values=past)
    expect_equal(hidden_states.device.type, "cpu", what="the device, when the model is on the CPU")


@pytest.mark.task("hidden-states")
def test_gradients_reach_every_parameter() -> None:
    """Gradients of the hidden states reach the embedding, every layer and the norm."""
    model, ids = build(seed=55), draw_ids(B, T, seed=56)
    hidden_states, _ = model.compute_hidden_states(ids)
    (hidden_states * draw(B, T, C, seed=57)).sum().backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if name != "lm_head.weight" and (parameter.grad is None or not bool((parameter.grad != 0).any()))
    ]
    expect_equal(without, [], what="parameters without a gradient")


# -------------------------------------------------------------------------------------------------- loss and forward


def nll(logits: Tensor, ids: Tensor) -> Tensor:
    """-log softmax(logits)[id], written out in float64: logits (N, V), ids (N,)."""
    logits = logits.detach().double()
    largest = logits.amax(-1, keepdim=True)
    total = (logits - largest).exp().sum(-1).log() + largest[:, 0]
    return total - logits[torch.arange(len(ids)), ids]


@pytest.mark.task("next-token-loss")
def test_loss_with_nothing_to_compare() -> None:
    """When no label counts, or there is only one token, the loss is 0 and its gradients are finite."""
    for shape, label in (((B, T), -100), ((B, 1), 3)):
        logits = draw(*shape, V, seed=60).requires_grad_()
        loss = next_token_loss(logits, torch.full(shape, label))
        expect_close(
            loss,
            torch.tensor(0.0),
            what=f"the loss of {shape[1]} tokens with label {label}",
            mistake="loss-of-nothing-is-nan",
        )
        loss.backward()
        expect(bool(logits.grad.isfinite().all()), "They are not finite.", what="the gradients of an empty loss")


@pytest.mark.task("next-token-loss")
def test_loss_of_token_zero() -> None:
    """Token 0 is a token like any other: its labels count."""
    logits, labels = draw(B, T, V, seed=61), draw_ids(B, T, seed=62)
    labels[:, 2::2] = 0
    right = nll(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    counted = labels[:, 1:].flatten() != 0
    expect_close(
        next_token_loss(logits, labels),
        right.mean().float(),
        what="the loss of texts in which every other label is 0",
        lookalikes={"loss-ignores-token-zero": right[counted].mean().float()},
    )


@pytest.mark.task("next-token-loss")
def test_loss_in_16_bits_and_of_huge_logits() -> None:
    """The loss of 16-bit logits is computed in float32; logits of 10,000 do not overflow; nothing changes in place."""
    logits, labels = draw(B, T, V, seed=63, scale=3.0), draw_ids(B, T, seed=64)
    for given in (logits.to(torch.bfloat16), logits.to(torch.float16), logits * 3000, logits.double()):
        right = nll(given[:, :-1].flatten(0, 1), labels[:, 1:].flatten()).mean()
        with expect_unchanged([given, labels], what="the logits and labels that are given", mistake="loss-in-place"):
            loss = next_token_loss(given, labels)
        wide = torch.float64 if given.dtype == torch.float64 else torch.float32
        what = f"the loss of {given.dtype} logits up to {given.abs().max().item():.0f}"
        expect_dtype(loss, wide, what=what, mistake="loss-in-16-bits")
        expect_close(loss, right.to(wide), what=what, rtol=1e-4)


@pytest.mark.task("next-token-loss")
def test_loss_gradient() -> None:
    """The gradient is (softmax − one-hot) / n at the places that count, and zero at the others."""
    logits, labels = draw(B, 4, 5, seed=65).double(), draw_ids(B, 4, seed=66, below=5)
    labels[1, 3] = -100
    expect_gradient(lambda x: next_token_loss(x, labels), [logits], what="the loss", names=["logits"])


@pytest.mark.task("forward")
@torch.no_grad()
def test_forward_hands_every_option_on() -> None:
    """Mask, positions, past and cache reach the stack: padded texts in two pieces, and given positions."""
    model = build(seed=70, position_embedding_type="sinusoidal")
    texts = [draw_ids(length, seed=71 + length) for length in (8, 5)]
    ids, mask = left_padded(texts, pad=2)
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)
    head = model.lm_head.weight.T
    alone = torch.cat([stack(model, text[None])[0] for text in texts]) @ head
    keys = causal(8) & mask.bool()[:, None, None, :]
    output = model(ids, attention_mask=mask)
    expect_close(
        output.logits[mask.bool()],
        alone,
        what="the logits of padded texts",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={"forward-option-dropped": lambda: (stack(model, ids) @ head)[mask.bool()]},
    )
    shifted = places + 7
    expect_close(
        model(ids, attention_mask=mask, position_ids=shifted).logits[mask.bool()],
        (stack(model, ids, positions=shifted, allowed=keys) @ head)[mask.bool()],
        what="the logits with given positions",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={"forward-option-dropped": alone},
    )
    first = model(ids[:, :5], attention_mask=mask[:, :5], use_cache=True)
    second = model(ids[:, 5:], attention_mask=mask, past_key_values=first.past_key_values)
    expect_close(
        second.logits,
        torch.stack([stack(model, text[None])[0, -3:] @ head for text in texts]),
        what="the logits of the last three columns, with the cache of the first five",
        dims="B T V",
        rtol=1e-4,
        atol=1e-4,
    )
    expect(second.past_key_values is None, "A cache came back.", what="forward with a past, without use_cache")


@pytest.mark.task("forward")
@torch.no_grad()
@pytest.mark.parametrize("kind", ["rope", "sinusoidal"])
def test_order_matters(kind: str) -> None:
    """A model of one layer tells "a b" from "b a", whatever its positions: with other weights they would be equal."""
    model, ids = build(seed=75, position_embedding_type=kind, num_hidden_layers=1), draw_ids(B, T, seed=76)
    shuffled = torch.cat((ids[:, :-1].flip(1), ids[:, -1:]), dim=1)
    difference = (model(ids).logits[:, -1] - model(shuffled).logits[:, -1]).abs().max().item()
    expect(
        difference > 1e-3,
        "The last logits are the same after the tokens before were turned round.",
        what=f"the logits of a text and of its reversal ({kind})",
    )


@pytest.mark.task("forward")
def test_loss_of_forward_teaches_every_parameter() -> None:
    """The gradients of the loss reach every parameter, and one step along them lowers the loss."""
    model, ids = build(seed=77), draw_ids(B, T, seed=78)
    loss = model(ids, labels=ids).loss
    loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    expect_equal(without, [], what="parameters that the loss gives no gradient to")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 1e-3 * parameter.grad
        after = model(ids, labels=ids).loss
    expect(bool(after < loss), f"It went from {loss:.4f} to {after:.4f}.", what="the loss after a small step")


# -------------------------------------------------------------------------------------------------- sampling


@pytest.mark.task("repetition-penalty")
def test_repetition_penalty_ignores_padding() -> None:
    """Padding does not count as said; a real token with the id of the padding does, wherever it stands."""
    logits = torch.tensor([[2.0, -2.0, 4.0, -4.0], [2.0, -2.0, 4.0, -4.0], [2.0, -2.0, 4.0, -4.0]])
    ids = torch.tensor([[2, 2, 2, 0, 1], [2, 2, 3, 2, 3], [1, 2, 3, 2, 2]])
    mask = torch.tensor([[0, 0, 0, 1, 1], [0, 0, 1, 1, 1], [1, 1, 1, 0, 0]])
    right = torch.tensor([[1.0, -4.0, 4.0, -4.0], [2.0, -2.0, 2.0, -8.0], [2.0, -4.0, 2.0, -8.0]])
    counted = torch.tensor([[1.0, -4.0, 2.0, -4.0], [2.0, -2.0, 2.0, -8.0], [2.0, -4.0, 2.0, -8.0]])
    never = torch.tensor([[1.0, -4.0, 4.0, -4.0], [2.0, -2.0, 4.0, -8.0], [2.0, -4.0, 4.0, -8.0]])
    last = torch.tensor([[1.0, -4.0, 4.0, -4.0], [2.0, -2.0, 2.0, -8.0], [2.0, -4.0, 4.0, -8.0]])
    for given in (mask, mask.bool()):
        expect_close(
            apply_repetition_penalty(logits.clone(), ids, 2.0, attention_mask=given),
            right,
            what="penalty 2 on three texts with padding of id 2, where rows 1 and 2 also say a real 2",
            dims="B V",
            lookalikes={
                "padding-counts-as-said": counted,
                "padding-id-never-penalised": never,
                "padding-undoes-the-penalty": last,
            },
        )


@pytest.mark.task("repetition-penalty")
def test_repetition_penalty_of_other_sizes() -> None:
    """Random logits and texts against the rule, for penalties above and below 1; nothing is changed in place."""
    numbers = random.Random(79)
    for case in range(6):
        rows, length, size = numbers.randint(1, 4), numbers.randint(1, 9), numbers.randint(5, 40)
        logits, ids = draw(rows, size, seed=300 + case, scale=3.0), draw_ids(rows, length, seed=400 + case, below=size)
        penalty = numbers.choice([0.5, 1.0, 1.2, 3.0])
        right = logits.clone()
        for row in range(rows):
            for token in set(ids[row].tolist()):
                right[row, token] = (
                    right[row, token] / penalty if right[row, token] > 0 else right[row, token] * penalty
                )
        with expect_unchanged([logits, ids], what="the logits and the ids", mistake="logits-in-place"):
            result = apply_repetition_penalty(logits, ids, penalty)
        expect_close(result, right, what=f"logits of a vocabulary of {size} with penalty {penalty}", dims="B V")
    half = apply_repetition_penalty(draw(B, V, seed=80).to(torch.bfloat16), draw_ids(B, 3, seed=81), 1.5)
    expect_dtype(half, torch.bfloat16, what="bfloat16 logits with a penalty")


@pytest.mark.task("repetition-penalty")
def test_repetition_penalty_must_be_positive() -> None:
    """A penalty of 0 or below is refused."""
    logits, ids = draw(B, V, seed=82), draw_ids(B, 3, seed=83)
    for penalty in (0.0, -1.0):
        with expect_raises(ValueError, what=f"a repetition penalty of {penalty}", mistake="option-unchecked"):
            apply_repetition_penalty(logits, ids, penalty)


@pytest.mark.task("top-k")
def test_top_k_of_other_sizes() -> None:
    """Random rows against a sorted list; k = 1; k as large as the vocabulary or larger; 16 bits; nothing in place."""
    numbers = random.Random(84)
    for case in range(8):
        rows, size = numbers.randint(1, 4), numbers.randint(5, 40)
        logits = draw(rows, size, seed=500 + case, scale=3.0)
        k = (1, 2, size - 1, size, size + 1, 1000, 3, 4)[case]
        right = torch.full_like(logits, NONE)
        for row in range(rows):
            best = sorted(range(size), key=lambda v, row=row: -logits[row, v].item())[:k]
            right[row, best] = logits[row, best]
        with expect_unchanged(logits, what="the logits given to filter_top_k", mistake="logits-in-place"):
            with diagnosing("top-k-larger-than-the-row", RuntimeError, IndexError, match="range|size|index"):
                result = filter_top_k(logits, k)
        expect_close(result, right, what=f"the top {k} of rows of {size}", dims="B V")
    half = filter_top_k(draw(B, V, seed=85).to(torch.bfloat16), 4)
    expect_dtype(half, torch.bfloat16, what="the top 4 of bfloat16 logits")
    for k in (0, -3):
        with expect_raises(ValueError, what=f"filter_top_k with k={k}", mistake="option-unchecked"):
            filter_top_k(draw(B, V, seed=86), k)


@pytest.mark.task("top-p")
def test_top_p_of_other_sizes() -> None:
    """Random rows against a loop over the sorted tokens, with some logits of minus infinity; nothing in place."""
    numbers = random.Random(87)
    for case in range(10):
        rows, size = numbers.randint(1, 4), numbers.randint(5, 40)
        logits = draw(rows, size, seed=600 + case, scale=2.0)
        logits[:, numbers.randrange(size)] = NONE
        p = numbers.choice([0.001, 0.2, 0.5, 0.77, 0.95])
        right = torch.full_like(logits, NONE)
        for row in range(rows):
            probability = logits[row].double().softmax(dim=-1).tolist()
            total = 0.0
            for token in sorted(range(size), key=lambda v: -probability[v]):
                right[row, token] = logits[row, token]
                total += probability[token]
                if total >= p:
                    break
        with expect_unchanged(logits, what="the logits given to filter_top_p", mistake="logits-in-place"):
            result = filter_top_p(logits, p)
        expect(
            bool((result > NONE).any(dim=-1).all()),
            "In a row no token is left.",
            what=f"the nucleus {p}",
            mistake="top-p-empty",
        )
        expect_close(result, right, what=f"the nucleus {p} of rows of {size}", dims="B V")


@pytest.mark.task("top-p")
def test_top_p_limits() -> None:
    """p = 1 changes nothing; p of 0 or below, or above 1, is refused."""
    logits = draw(B, V, seed=88, scale=9.0)
    expect_close(filter_top_p(logits.clone(), 1.0), logits, what="the nucleus of p = 1", mistake="top-p-one-filters")
    for p in (0.0, -0.5, 1.5):
        with expect_raises(ValueError, what=f"filter_top_p with p={p}", mistake="option-unchecked"):
            filter_top_p(logits, p)


@pytest.mark.task("top-p")
def test_top_p_of_a_large_vocabulary_in_16_bits() -> None:
    """The nucleus of 4000 almost equally likely tokens with bfloat16 logits is summed in float32; the dtype stays."""
    logits = draw(B, 4000, seed=89, scale=0.05).to(torch.bfloat16)
    probability = logits.double().softmax(dim=-1).sort(dim=-1, descending=True).values
    wanted = [int((row.cumsum(0) < 0.7).sum()) + 1 for row in probability]
    result = filter_top_p(logits, 0.7)
    expect_dtype(result, torch.bfloat16, what="the nucleus of bfloat16 logits")
    for row, count in enumerate(wanted):
        kept = int((result[row] > NONE).sum())
        expect(
            abs(kept - count) <= 3,
            f"{kept} of 4000 tokens are left.",
            what="the nucleus 0.7 of 4000 almost equally likely tokens in bfloat16",
            expected=f"about {count}",
            actual=str(kept),
            mistake="top-p-in-16-bits",
        )


P = {7: 0.4, 0: 0.3, 33: 0.15, 2: 0.1, 31: 0.05}  # ids out of order: whoever forgets to sort back is found out


def rows_of(probabilities: dict[int, float], count: int) -> Tensor:
    """`count` equal rows of logits with these probabilities; all other ids are impossible but for e^-60."""
    row = torch.full((V,), -60.0)
    for token, probability in probabilities.items():
        row[token] = math.log(probability)
    return row.expand(count, V).clone()


def normalised(weights: dict[int, float]) -> dict[int, float]:
    total = sum(weights.values())
    return {token: weight / total for token, weight in weights.items()}


def likeliest(count: int, *, temperature: float = 1.0) -> dict[int, float]:
    tempered = {token: p ** (1 / temperature) for token, p in P.items()}
    return normalised(dict(sorted(tempered.items(), key=lambda item: -item[1])[:count]))


TOGETHER: list[tuple[dict, dict, dict]] = [
    ({"top_k": 2}, likeliest(2), {"filters-ignored": P}),
    ({"top_k": 1}, {7: 1.0}, {"filters-ignored": P}),
    ({"top_k": 1000}, P, {}),
    ({"top_p": 0.65}, likeliest(2), {"filters-ignored": P}),
    ({"top_p": 0.75}, likeliest(3), {}),
    ({"top_p": 0.01}, {7: 1.0}, {}),
    ({"top_p": 1.0}, P, {}),
    (
        {"temperature": 3.0, "top_p": 0.72},
        likeliest(4, temperature=3.0),
        {"nucleus-before-temperature": likeliest(3, temperature=3.0)},
    ),
    (
        {"top_k": 3, "top_p": 0.8},
        likeliest(2),
        {"nucleus-before-top-k": likeliest(3)},
    ),
    (
        {"temperature": 3.0, "top_k": 4, "top_p": 0.88},
        likeliest(4, temperature=3.0),
        {"nucleus-before-temperature": likeliest(3, temperature=3.0)},
    ),
]


@pytest.mark.task("sample-next-token")
@pytest.mark.parametrize(
    ("options", "right", "lookalikes"),
    TOGETHER,
    ids=[", ".join(f"{name}={value}" for name, value in options.items()) for options, _, _ in TOGETHER],
)
def test_options_together(options: dict, right: dict[int, float], lookalikes: dict) -> None:
    """Temperature first, then top-k, then the nucleus of what is left: 6,000 draws from (.4, .3, .15, .1, .05)."""
    with diagnosing("top-k-larger-than-the-row", RuntimeError, match="out of range"):
        chosen = sample_next_token(rows_of(P, 6000), generator=torch.Generator().manual_seed(91), **options)
    expect_distribution(chosen, right, what=f"6,000 draws with {options}", lookalikes=lookalikes)


@pytest.mark.task("sample-next-token")
def test_randomness_comes_from_the_generator() -> None:
    """One seed gives one choice, another seed another; with a generator, torch's own randomness is not touched."""
    logits = torch.zeros(50, V)
    before = torch.random.get_rng_state()
    first, again, other = (
        sample_next_token(logits, generator=torch.Generator().manual_seed(seed)).tolist() for seed in (92, 92, 93)
    )
    untouched = torch.equal(before, torch.random.get_rng_state())
    expect_equal(again, first, what="50 draws with the same seed again", mistake="generator-ignored")
    expect(other != first, "They are the same.", what="50 draws with another seed", mistake="generator-ignored")
    expect(
        untouched,
        "Its state has changed.",
        what="torch's default generator after draws from another",
        mistake="seed-set",
    )
    free = [sample_next_token(logits).tolist() for _ in range(2)]
    expect(free[0] != free[1], "They are the same.", what="twice 50 draws without a generator", mistake="seed-set")


@pytest.mark.task("sample-next-token")
def test_sampling_in_16_bits_and_at_the_ends() -> None:
    """16-bit logits, temperature 0 with filters, options out of range; the logits are not changed."""
    for dtype in (torch.float16, torch.bfloat16):
        chosen = sample_next_token(
            rows_of(P, 6000).to(dtype), temperature=1.0, generator=torch.Generator().manual_seed(94)
        )
        rounded = {token: torch.tensor(math.log(p)).to(dtype).double().exp().item() for token, p in P.items()}
        expect_distribution(chosen, normalised(rounded), what=f"6,000 draws from {dtype} logits")
    logits = draw(5, V, seed=95)
    with expect_unchanged(logits, what="the logits given to sample_next_token", mistake="logits-in-place"):
        sample_next_token(logits, temperature=0.7, top_k=5, top_p=0.9)
        chosen = sample_next_token(logits, temperature=0.0, top_k=2, top_p=0.1)
    expect_close(chosen, logits.argmax(dim=-1), what="temperature 0 with top_k=2 and top_p=0.1")
    for options in ({"temperature": -0.5}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with expect_raises(ValueError, what=f"sample_next_token with {options}", mistake="option-unchecked"):
            sample_next_token(logits, **options)


# -------------------------------------------------------------------------------------------------- generate


class Passing(nn.Module):
    """Stands in for a layer: passes its input on, and remembers how many tokens it was fed, and in which mode."""

    def __init__(self) -> None:
        super().__init__()
        self.fed: list[int] = []
        self.modes: set[bool] = set()

    def forward(self, hidden_states: Tensor, **options: object) -> Tensor:
        self.fed.append(hidden_states.shape[1])
        self.modes.add(self.training)
        return hidden_states

    def forward_with_cache(self, hidden_states: Tensor, past_key_value=None, **options: object):
        new = hidden_states[:, None, :, :2]  # (B, 1, T, 2)
        present = new if past_key_value is None else torch.cat((past_key_value[0], new), dim=2)
        return self.forward(hidden_states), (present, present)


def scripted(table: Tensor) -> CausalLM:
    """A model that follows a script: after token i its logits are row i of the table."""
    size = table.shape[0]
    model = CausalLM(
        ModelConfig(vocab_size=size, hidden_size=size, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1)
    )
    model.embed_tokens = nn.Embedding.from_pretrained(torch.eye(size))
    model.layers = nn.ModuleList([Passing()])
    model.norm = nn.Identity()
    model.lm_head = nn.Linear(size, size, bias=False)
    with torch.no_grad():
        model.lm_head.weight.copy_(table.T)
    return model


WORDS = 18


def after(token: int) -> int:
    return (5 * token + 3) % WORDS


def chain() -> CausalLM:
    table = draw(WORDS, WORDS, seed=96)
    for token in range(WORDS):
        table[token, after(token)] = 9.0
    return scripted(table)


def follow(token: int, count: int) -> list[int]:
    tokens = []
    for _ in range(count):
        token = after(token)
        tokens.append(token)
    return tokens


@torch.no_grad()
def greedy(model: CausalLM, text: Tensor, count: int) -> list[int]:
    """`count` tokens after one text, each the largest logit of the whole text, without any cache."""
    ids = text[None]
    for _ in range(count):
        logits = stack(model, ids)[:, -1] @ model.lm_head.weight.T
        ids = torch.cat((ids, logits.argmax(dim=-1, keepdim=True)), dim=1)
    return ids[0, len(text) :].tolist()


@pytest.mark.task("generate")
@pytest.mark.parametrize("use_cache", [True, False], ids=["cached", "uncached"])
@pytest.mark.parametrize("kind", ["rope", "sinusoidal"])
def test_padded_prompts_go_on_as_alone(kind: str, use_cache: bool) -> None:
    """Prompts of different lengths, padded on the left, go on as each would alone, with the cache and without."""
    model = build(seed=97, position_embedding_type=kind)
    texts = [draw_ids(length, seed=98 + length) for length in (6, 3, 5)]
    ids, mask = left_padded(texts, pad=5)
    with diagnosing("mask-does-not-grow", ValueError, RuntimeError, match="mask|size|shape"):
        result = model.generate(
            ids.clone(), attention_mask=mask, max_new_tokens=10, temperature=0.0, use_cache=use_cache
        )

    def unmasked() -> list[list[int]]:
        return [greedy(model, row, 10) for row in ids]

    expect_equal(
        [row[6:] for row in result.tolist()],
        [greedy(model, text, 10) for text in texts],
        what=f"10 tokens after prompts of 6, 3 and 5 tokens, padded on the left ({kind})",
        lookalikes={"mask-dropped-in-generate": unmasked},
    )


@pytest.mark.task("generate")
def test_without_cache_the_whole_text_is_fed() -> None:
    """use_cache=False writes the same tokens and feeds the whole text at every step; nothing is fed for nothing."""
    prompt = torch.tensor([[4, 11, 2], [9, 0, 16]])
    for use_cache, fed in ((False, [3, 4, 5, 6]), (True, [3, 1, 1, 1])):
        model = chain()
        result = model.generate(prompt.clone(), max_new_tokens=4, temperature=0.0, use_cache=use_cache)
        expect_equal(
            result.tolist(), [[*row, *follow(row[-1], 4)] for row in prompt.tolist()], what=f"use_cache={use_cache}"
        )
        expect_equal(
            model.layers[0].fed,
            fed,
            what=f"tokens fed at each step, use_cache={use_cache}",
        )


@pytest.mark.task("generate")
def test_stop_tokens_in_other_cases() -> None:
    """Without a pad token a text is filled with its own stop token; stop tokens of the prompt end nothing."""
    model = chain()
    # The script: 4 → 5 → 10 → 17 → 16 → 11 → 4 …, and 2 → 13 → 14 → 1 → 8 → 7 → 2 …
    with diagnosing("prompt-ends-the-text", RuntimeError, IndexError):
        begun = model.generate(torch.tensor([[17], [17]]), max_new_tokens=2, temperature=0.0, stop_token_ids=[17])
    what = "two tokens after prompts that end with a stop token"
    expect_equal(begun.tolist(), [[17, 16, 11]] * 2, what=what, mistake="prompt-ends-the-text")
    prompt = torch.tensor([[17, 4], [0, 2]])
    result = model.generate(prompt, max_new_tokens=9, temperature=0.0, stop_token_ids={17, 7})
    first, second = [17, 4, 5, 10, 17], [0, 2, 13, 14, 1, 8, 7]
    expect_equal(
        result.tolist(),
        [[*first, 17, 17], second],
        what="two texts that end with 17 and with 7, no pad_token_id; the first prompt begins with 17",
        lookalikes={
            "filled-with-zero": [[*first, 0, 0], second],
        },
    )
    unending = model.generate(prompt, max_new_tokens=3, temperature=0.0, stop_token_ids=(15,), pad_token_id=6)
    expect_equal(unending.tolist(), [[17, 4, 5, 10, 17], [0, 2, 13, 14, 1]], what="texts that reach no stop token")
    alone = model.generate(torch.tensor([[4]]), max_new_tokens=9, temperature=0.0, stop_token_ids=[17], pad_token_id=6)
    expect_equal(alone.tolist(), [[4, 5, 10, 17]], what="one text alone that ends with 17")


@pytest.mark.task("generate")
def test_every_token_is_announced() -> None:
    """on_token is called once at each step, with the ids that are appended, padding included."""
    seen: list[Tensor] = []
    result = chain().generate(
        torch.tensor([[4], [2]]),
        max_new_tokens=9,
        temperature=0.0,
        stop_token_ids=[17, 7],
        pad_token_id=12,
        on_token=seen.append,
    )
    expect_equal(len(seen), 5, what="the number of calls of on_token in 5 steps")
    expect_equal(
        [tokens.tolist() for tokens in seen],
        result[:, 1:].T.tolist(),
        what="what on_token was given",
        lookalikes={"announced-before-padding": [[5, 13], [10, 14], [17, 1], [after(17), 8], [after(12), 7]]},
    )


@pytest.mark.task("generate")
def test_generate_runs_in_eval_mode() -> None:
    """The model runs in eval mode and has its own mode again afterwards, also after an error; no gradients."""
    prompt = torch.tensor([[4, 11], [9, 0]])

    def fails(tokens: Tensor) -> None:
        raise KeyError("stopped by the test")

    for training in (True, False):
        model = chain().train(training)
        model.generate(prompt, max_new_tokens=3)
        expect_equal(
            model.layers[0].modes,
            {False},
            what="the training flags seen by a layer",
            mistake="generates-in-training-mode",
        )
        expect_equal(
            (model.training, model.layers[0].training),
            (training, training),
            what=f"the training flag after generate, of a model with training={training}",
            mistake="mode-not-restored",
        )
        with expect_raises(KeyError, what="an error in on_token"):
            model.generate(prompt, max_new_tokens=3, on_token=fails)
        expect_equal(
            model.training, training, what="the training flag after an error", mistake="mode-not-restored-on-error"
        )
    expect(torch.is_grad_enabled(), "It is off.", what="the recording of gradients after generate")
    seen: list[bool] = []
    model = chain()
    model.lm_head.register_forward_hook(lambda module, given, output: seen.append(output.requires_grad))
    model.generate(prompt, max_new_tokens=2)
    expect_equal(any(seen), False, what="whether logits of generate carry a gradient", mistake="generate-records")


@pytest.mark.task("generate")
def test_repetition_penalty_counts_the_whole_text() -> None:
    """The penalty falls on tokens of the prompt and on new ones, but not on padding."""
    table = torch.full((WORDS, WORDS), -5.0)
    table[:, [3, 6, 9, 12]] = torch.tensor([8.0, 7.0, 6.0, 5.0])  # whatever came last: 3 before 6 before 9 before 12
    result = scripted(table).generate(
        torch.tensor([[3, 1], [6, 1]]), max_new_tokens=3, temperature=0.0, repetition_penalty=2.0
    )
    expect_equal(
        result[:, 2:].tolist(),
        [[6, 9, 12], [3, 9, 12]],
        what="three tokens with penalty 2 when 3, 6, 9, 12 have logits 8, 7, 6, 5; row 0 begins with 3, row 1 with 6",
        lookalikes={
            "penalty-not-on-the-prompt": [[3, 6, 9], [3, 6, 9]],
            "penalty-only-on-the-prompt": [[6, 6, 6], [3, 3, 3]],
        },
    )
    mask = torch.tensor([[0, 1], [1, 1]])
    result = scripted(table).generate(
        torch.tensor([[3, 1], [3, 1]]), attention_mask=mask, max_new_tokens=3, temperature=0.0, repetition_penalty=2.0
    )
    expect_equal(
        result[:, 2:].tolist(),
        [[3, 6, 9], [6, 9, 12]],
        what="the same, when both prompts begin with 3 and the 3 of row 0 is padding",
        lookalikes={"padding-counts-as-said": [[6, 9, 12], [6, 9, 12]]},
    )


@pytest.mark.task("generate")
@pytest.mark.parametrize(
    ("options", "right"),
    [
        ({}, {3: 0.4, 6: 0.3, 9: 0.2, 12: 0.1}),
        ({"top_k": 2}, {3: 4 / 7, 6: 3 / 7}),
        ({"top_p": 0.65}, {3: 4 / 7, 6: 3 / 7}),
        ({"temperature": 0.5}, {3: 16 / 30, 6: 9 / 30, 9: 4 / 30, 12: 1 / 30}),
    ],
    ids=["default", "top_k", "top_p", "temperature"],
)
def test_generate_samples_with_every_option(options: dict, right: dict[int, float]) -> None:
    """By default tokens are drawn; temperature, top_k, top_p and the generator reach the draw. 2,000 rows."""
    table = torch.full((WORDS, WORDS), -60.0)
    table[:, [3, 6, 9, 12]] = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    model, prompt = scripted(table), torch.zeros(2000, 1, dtype=torch.long)
    draws = [
        model.generate(prompt, max_new_tokens=2, generator=torch.Generator().manual_seed(99), **options)
        for _ in range(2)
    ]
    expect(
        torch.equal(draws[0], draws[1]),
        "They differ.",
        what="two texts of one seed",
        mistake="sampling-option-dropped",
    )
    expect_distribution(
        draws[0][:, 2].tolist(),
        right,
        what=f"the second token of 2,000 texts with {options or 'no options'}",
        mistake="sampling-option-dropped",
    )


@pytest.mark.task("generate")
def test_generate_leaves_its_arguments_alone() -> None:
    """The prompt and the mask are not changed, int32 prompts are taken, and one text does not touch the next."""
    model, prompt = build(seed=100), draw_ids(B, 4, seed=101)
    mask = torch.ones(B, 4, dtype=torch.bool)
    right = [[*row.tolist(), *greedy(model, row, 3)] for row in prompt]
    with expect_unchanged([prompt, mask], what="the prompt and the mask"):
        first = model.generate(prompt, max_new_tokens=3, temperature=0.0, attention_mask=mask)
    again = model.generate(prompt.int(), max_new_tokens=3, temperature=0.0)
    expect_equal(first.tolist(), right, what="a first text")
    expect_equal(again.tolist(), right, what="the same text once more, from an int32 prompt")
    expect_dtype(again, torch.int64, what="the dtype of what generate gives for an int32 prompt")


@pytest.mark.task("generate")
def test_prompts_and_masks_that_do_not_fit() -> None:
    """A mask of another shape is refused with both widths in the message, and so is padding on the right."""
    model, prompt = chain(), torch.tensor([[4, 11, 2], [9, 0, 16]])
    model.generate(prompt, max_new_tokens=1)
    what = "generate with a mask of width 5 for prompts of width 3"
    with expect_raises(ValueError, what=what, match="5.*3|3.*5", mistake="mask-width-unchecked"):
        model.generate(prompt, max_new_tokens=2, attention_mask=torch.ones(B, 5, dtype=torch.long))
    with expect_raises(ValueError, what="generate with padding on the right", mistake="right-padding-accepted"):
        model.generate(prompt, max_new_tokens=2, attention_mask=torch.tensor([[1, 1, 1], [1, 1, 0]]))
    for options in ({"temperature": -1.0}, {"top_k": 0}, {"top_p": 2.0}, {"repetition_penalty": 0.0}):
        with expect_raises(ValueError, what=f"generate with {options}"):
            model.generate(prompt, max_new_tokens=2, **options)


@pytest.mark.task("generate")
def test_generate_at_the_last_position() -> None:
    """With sinusoidal positions a text can fill max_position_embeddings, and one token more; with RoPE it goes on."""
    prompt = draw_ids(B, 5, seed=102)
    model = build(seed=103, position_embedding_type="sinusoidal", max_position_embeddings=8)
    full = model.generate(prompt, max_new_tokens=4, temperature=0.0)  # the ninth token is written, and never fed
    expect_shape(full, (B, 9), what="4 tokens after 5, with 8 positions")
    with expect_raises(ValueError, what="5 tokens after 5, with 8 sinusoidal positions", match="8"):
        model.generate(prompt, max_new_tokens=5, temperature=0.0)
    endless = build(seed=104, max_position_embeddings=8)
    result = endless.generate(prompt, max_new_tokens=6, temperature=0.0)
    expect_equal(
        result.tolist(),
        [[*row.tolist(), *greedy(endless, row, 6)] for row in prompt],
        what="6 tokens after 5, with RoPE and max_position_embeddings=8",
    )


# -------------------------------------------------------------------------------------------------- your own model


def rmsnorm(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt() * weight


def layernorm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + EPS).sqrt() * weight + bias


@pytest.mark.task("generate")
@pytest.mark.integration
@torch.no_grad()
@pytest.mark.parametrize("kind", ["llama", "older"])
def test_whole_model_against_the_formulas(kind: str) -> None:
    """The whole model, from ids to logits, equals the formulas written out; and its text is the one they give."""
    older = {"position_embedding_type": "sinusoidal", "norm_type": "layer_norm", "hidden_act": "gelu"}
    model = build(seed=110, **(older if kind == "older" else {}))
    weight = {name: parameter.detach().double() for name, parameter in model.named_parameters()}

    def norm(x: Tensor, name: str) -> Tensor:
        if kind == "llama":
            return rmsnorm(x, weight[f"{name}.weight"])
        return layernorm(x, weight[f"{name}.weight"], weight[f"{name}.bias"])

    def gate(x: Tensor) -> Tensor:
        return x / (1 + torch.exp(-x)) if kind == "llama" else x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))

    def attention(x: Tensor, name: str) -> Tensor:
        length = x.shape[1]
        angle = torch.arange(length).double()[:, None] * BASE ** (-torch.arange(0, D, 2).double() / D)
        angle = angle if kind == "llama" else torch.zeros_like(angle)

        def heads(which: str) -> Tensor:
            return torch.stack((x @ weight[f"{name}.{which}.weight"].T).split(D, dim=-1), dim=1)

        def rotated(v: Tensor) -> Tensor:
            left, right = v[..., : D // 2], v[..., D // 2 :]
            turned = (left * angle.cos() - right * angle.sin(), right * angle.cos() + left * angle.sin())
            return torch.cat(turned, dim=-1)

        scores = rotated(heads("q_proj")) @ rotated(heads("k_proj")).transpose(-1, -2) / math.sqrt(D)
        shares = scores.masked_fill(~causal(length), NONE).softmax(dim=-1)
        return torch.cat((shares @ heads("v_proj")).unbind(dim=1), dim=-1) @ weight[f"{name}.o_proj.weight"].T

    def logits_of(ids: Tensor) -> Tensor:
        h = weight["embed_tokens.weight"][ids]
        if kind == "older":
            h = h + sinusoids(torch.arange(ids.shape[1])).double()
        for i in range(2):
            h = h + attention(norm(h, f"layers.{i}.input_layernorm"), f"layers.{i}.self_attn")
            x = norm(h, f"layers.{i}.post_attention_layernorm")
            inner = gate(x @ weight[f"layers.{i}.mlp.gate_proj.weight"].T) * (
                x @ weight[f"layers.{i}.mlp.up_proj.weight"].T
            )
            h = h + inner @ weight[f"layers.{i}.mlp.down_proj.weight"].T
        return norm(h, "norm") @ weight["lm_head.weight"].T

    ids = draw_ids(B, T, seed=111)
    expect_close(
        model(ids).logits,
        logits_of(ids).float(),
        what=f"the logits of the whole model ({kind})",
        dims="B T V",
        rtol=1e-3,
        atol=1e-3,
    )
    text = ids[:, :3]
    for _ in range(6):
        text = torch.cat((text, logits_of(text)[:, -1].argmax(dim=-1, keepdim=True)), dim=1)
    written = model.generate(ids[:, :3], max_new_tokens=6, temperature=0.0)
    expect_equal(written.tolist(), text.tolist(), what=f"six tokens at temperature 0 ({kind})")
