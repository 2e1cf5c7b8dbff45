"""First contact with lesson 04: a step with a cache, the model against its parts, the loss, sampling, a text."""

import math

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
    expect_raises,
    expect_shape,
    expect_unchanged,
)
from intro2llm.model.attention import MultiHeadAttention
from intro2llm.model.causal_lm import CausalLM, CausalLMOutput, next_token_loss
from intro2llm.model.config import ModelConfig
from intro2llm.model.sampling import apply_repetition_penalty, filter_top_k, filter_top_p, sample_next_token
from intro2llm.model.transformer_block import TransformerBlock

B, T, H, D, C, INNER, V = 2, 7, 3, 4, 18, 20, 37  # batch, tokens, heads, head size, channels, inner width, vocabulary
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
        "rope_theta": 500.0,
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
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4 + (parameter.ndim == 1))
    return module


# -------------------------------------------------------------------------------------------------- cached attention


def rotated(x: Tensor, positions: Tensor, base: float = 500.0) -> Tensor:
    """Rotary positions for (B, H, T, D), written out."""
    angle = positions.double()[:, None] * base ** (-torch.arange(0, D, 2).double() / D)  # (T, D/2)
    left, right = x[..., : D // 2], x[..., D // 2 :]
    turned = (left * angle.cos() - right * angle.sin(), right * angle.cos() + left * angle.sin())
    return torch.cat(turned, dim=-1)


class Written:
    """Causal attention in float64: `output` (B, T, C), `key` and `value` (B, H, T, D), and `raw_key`, not rotated."""

    def __init__(
        self,
        attention: MultiHeadAttention,
        x: Tensor,
        *,
        positions: Tensor | None = None,
        allowed: Tensor | None = None,
    ) -> None:
        weight = {name: parameter.detach().double() for name, parameter in attention.named_parameters()}
        length = x.shape[1]
        positions = torch.arange(length) if positions is None else positions
        allowed = torch.ones(length, length).tril().bool() if allowed is None else allowed

        def heads(name: str) -> Tensor:
            projected = x.detach().double() @ weight[f"{name}.weight"].T
            return torch.stack(projected.split(D, dim=-1), dim=1)  # (B, H, T, D)

        self.raw_key, self.value = heads("k_proj"), heads("v_proj")
        self.key = rotated(self.raw_key, positions)
        scores = rotated(heads("q_proj"), positions) @ self.key.transpose(-1, -2) / math.sqrt(D)
        weights = torch.where(allowed, scores, torch.full_like(scores, NONE)).softmax(dim=-1)
        answers = weights.nan_to_num() @ self.value
        self.output = torch.cat(answers.unbind(dim=1), dim=-1) @ weight["o_proj.weight"].T

    def cache(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        return self.key[:, :, start:end].float().clone(), self.value[:, :, start:end].float().clone()


def attention_and_input(seed: int) -> tuple[MultiHeadAttention, Tensor]:
    attention = randomised(MultiHeadAttention(make_config()), seed=seed)
    return attention, draw(B, T, C, seed=seed + 1)


def pair_of(result: object, what: str) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The output and the cache that a `forward_with_cache` gave back."""
    expect(
        isinstance(result, tuple) and len(result) == 2,
        "It should be a pair: the output and the cache.",
        what=what,
        actual=type(result).__name__,
    )
    output, cache = result
    expect(
        isinstance(cache, tuple | list) and len(cache) == 2,
        "The second part should be a pair: the keys and the values.",
        what=what,
        actual=type(cache).__name__,
    )
    return output, (cache[0], cache[1])


@pytest.mark.task("cached-attention")
def test_first_piece_of_a_text() -> None:
    """Without a past, the output is that of causal attention, and the cache holds every key and value, (B, H, T, D)."""
    attention, x = attention_and_input(seed=1)
    right = Written(attention, x)
    everyone = torch.ones(T, T, dtype=torch.bool)
    with torch.no_grad():
        output, (key, value) = pair_of(attention.forward_with_cache(x.clone()), "what forward_with_cache gives back")
    expect_close(
        output,
        right.output.float(),
        what="the output for a first piece of 7 tokens",
        dims="B T C",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={
            "cached-never-causal": lambda: Written(attention, x, allowed=everyone).output.float(),
            "causal-strict": lambda: Written(attention, x, allowed=everyone.tril(-1)).output.float(),
        },
    )
    expect_close(
        key,
        right.key.float(),
        what="the keys in the cache after a first piece of 7 tokens",
        dims="B H S D",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={"cache-swapped": right.value.float(), "keys-cached-unrotated": right.raw_key.float()},
    )
    expect_close(
        value,
        right.value.float(),
        what="the values in the cache after a first piece of 7 tokens",
        dims="B H S D",
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.task("cached-attention")
def test_one_token_after_a_past() -> None:
    """After six tokens, the seventh alone, with their cache, gives what it gives in the whole text."""
    attention, x = attention_and_input(seed=3)
    right, new = Written(attention, x), x[:, 6:].clone()
    only_first = torch.ones(T, T, dtype=torch.bool).tril()
    only_first[6] = torch.arange(T) == 0
    not_itself = torch.ones(T, T, dtype=torch.bool).tril()
    not_itself[6, 6] = False
    zero_again = torch.tensor([0, 1, 2, 3, 4, 5, 0])
    with torch.no_grad():
        result = attention.forward_with_cache(new, right.cache(0, 6))
    output, (key, value) = pair_of(result, "what forward_with_cache gives back, given a past")
    expect_close(
        output,
        right.output[:, 6:].float(),
        what="the output for one token after a past of six",
        dims="B T C",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={
            "cache-position-restart": lambda: Written(attention, x, positions=zero_again).output[:, 6:].float(),
            "cache-ignored": lambda: Written(attention, new).output.float(),
            "causal-no-offset": lambda: Written(attention, x, allowed=only_first).output[:, 6:].float(),
            "causal-strict": lambda: Written(attention, x, allowed=not_itself).output[:, 6:].float(),
        },
    )
    expect_close(
        key,
        right.key.float(),
        what="the keys in the new cache: six old ones and the new one behind them",
        dims="B H S D",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={
            "cache-only-new": right.key[:, :, 6:].float(),
            "cache-new-in-front": torch.cat((right.key[:, :, 6:], right.key[:, :, :6]), dim=2).float(),
            "cache-returns-the-past": right.key[:, :, :6].float(),
            "cache-swapped": right.value.float(),
        },
    )
    expect_close(
        value,
        right.value.float(),
        what="the values in the new cache",
        dims="B H S D",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={"cache-new-in-front": torch.cat((right.value[:, :, 6:], right.value[:, :, :6]), dim=2).float()},
    )


@pytest.mark.task("cached-attention")
def test_the_past_stays_as_it_was() -> None:
    """The cache that is handed in is not changed, so that two texts can go on from it."""
    attention, x = attention_and_input(seed=5)
    past = Written(attention, x[:, :6]).cache(0, 6)
    with torch.no_grad(), expect_unchanged(past, what="the past_key_value that is given", mistake="cache-in-place"):
        attention.forward_with_cache(x[:, 6:].clone(), past)


# -------------------------------------------------------------------------------------------------- cached block


class CachedAttention:
    """Stands in for `self_attn`: a known function, a known cache, and a memory of what it was given."""

    def __init__(self, function) -> None:
        self.function = function
        self.calls: list[dict[str, object]] = []
        self.present = (draw(B, H, 9, D, seed=90), draw(B, H, 9, D, seed=91))

    def __call__(self, hidden_states, past_key_value=None, *, position_ids=None, attention_mask=None):
        given = {"past_key_value": past_key_value, "position_ids": position_ids, "attention_mask": attention_mask}
        self.calls.append(given)
        return self.function(hidden_states), self.present


def assembled(first_norm, attention, second_norm, mlp) -> TransformerBlock:
    """A block whose parts compute known functions, so that only its wiring is tested."""
    block = TransformerBlock(make_config())
    block.input_layernorm.forward = first_norm
    block.self_attn.forward = lambda hidden_states, **options: attention(hidden_states)
    block.self_attn.forward_with_cache = CachedAttention(attention)
    block.post_attention_layernorm.forward = second_norm
    block.mlp.forward = mlp
    return block


def run_block(block: TransformerBlock, *given: object, **options: object) -> tuple[Tensor, object]:
    """What the block gives back, after a look at whether it asked its attention for a cache."""
    with diagnosing("block-asks-no-cache", ValueError, TypeError, match="unpack|positional|unexpected keyword"):
        result = block.forward_with_cache(*given, **options)
    expect(
        len(block.self_attn.forward_with_cache.calls) == 1,
        "self_attn.forward_with_cache did not run exactly once.",
        what="one call of the block's forward_with_cache",
        mistake="block-asks-no-cache",
    )
    expect(
        isinstance(result, tuple) and len(result) == 2,
        "It should be a pair: the hidden states and the cache.",
        what="what the block's forward_with_cache gives back",
        actual=type(result).__name__,
    )
    return result


@pytest.mark.task("cached-block")
def test_cached_block_adds_two_branches() -> None:
    """With a cache the block computes what it always computes: two branches, each through its norm, each added."""

    def first(x: Tensor) -> Tensor:
        return x * 0.5 + 1

    def second(x: Tensor) -> Tensor:
        return x * 2 - 3

    x = draw(B, T, C, seed=7)
    block = assembled(first, torch.sin, second, torch.cos)
    output, _ = run_block(block, x.clone())
    h = x + torch.sin(first(x))
    expect_close(
        output,
        h + torch.cos(second(h)),
        what="a block with a cache, whose parts are simple functions",
        dims="B T C",
        lookalikes={
            "block-cached-no-mlp": lambda: h,
        },
    )


@pytest.mark.task("cached-block")
def test_cached_block_hands_everything_on() -> None:
    """The past and both options reach self_attn as they are, and what comes back is the cache of self_attn."""
    block = assembled(lambda v: v, torch.zeros_like, lambda v: v, torch.zeros_like)
    past = (draw(B, H, 5, D, seed=8), draw(B, H, 5, D, seed=9))
    positions = torch.tensor([[3, 4, 5, 6], [1, 2, 3, 4]])
    mask = torch.ones(B, 1, 4, 9, dtype=torch.bool).tril(4)
    x = draw(B, 4, C, seed=10)
    output, present = run_block(block, x.clone(), past, position_ids=positions, attention_mask=mask)
    (call,) = block.self_attn.forward_with_cache.calls
    what = "what self_attn is given when the block is given a past and both options"
    expect(
        call["past_key_value"] is not None,
        "past_key_value is None",
        what=what,
        mistake="block-option-dropped",
    )
    expect(call["position_ids"] is not None, "position_ids is None", what=what, mistake="block-option-dropped")
    expect(call["attention_mask"] is not None, "attention_mask is None", what=what, mistake="block-option-dropped")
    expect_equal(call["past_key_value"][0].tolist(), past[0].tolist(), what="the keys that self_attn is given")
    expect_equal(call["position_ids"].tolist(), positions.tolist(), what="the position_ids that self_attn is given")
    expect_equal(call["attention_mask"].tolist(), mask.tolist(), what="the attention_mask that self_attn is given")
    expect_close(output, x, what="the output of a block whose branches answer with zeros", dims="B T C")
    expect_close(
        present[0],
        block.self_attn.forward_with_cache.present[0],
        what="the cache that the block gives back",
        dims="B H S D",
        lookalikes={"cache-returns-the-past": past[0]},
    )


@pytest.mark.task("cached-block")
def test_cached_block_leaves_its_input_alone() -> None:
    """The hidden states that the block is given still hold the same numbers afterwards."""
    block = assembled(lambda v: v + 1, torch.sin, lambda v: v - 1, torch.cos)
    x = draw(B, T, C, seed=11)
    with expect_unchanged(x, what="the hidden_states given to the block"):
        run_block(block, x)


# -------------------------------------------------------------------------------------------------- CausalLM: parts


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The state dict of a Llama of this size, with Hugging Face's names."""
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (V, C), "norm.weight": (C,), "lm_head.weight": (V, C)}
    for i in range(config.num_hidden_layers):
        shapes |= {
            f"layers.{i}.self_attn.q_proj.weight": (H * D, C),
            f"layers.{i}.self_attn.k_proj.weight": (H * D, C),
            f"layers.{i}.self_attn.v_proj.weight": (H * D, C),
            f"layers.{i}.self_attn.o_proj.weight": (C, H * D),
            f"layers.{i}.mlp.gate_proj.weight": (INNER, C),
            f"layers.{i}.mlp.up_proj.weight": (INNER, C),
            f"layers.{i}.mlp.down_proj.weight": (C, INNER),
            f"layers.{i}.input_layernorm.weight": (C,),
            f"layers.{i}.post_attention_layernorm.weight": (C,),
        }
    return dict(sorted(shapes.items()))


@pytest.mark.task("causal-lm")
def test_model_has_the_names_of_llama() -> None:
    """The state dict has the names and shapes of Llama's parameters and nothing else, whatever the positions."""
    for kind in ("rope", "sinusoidal"):
        config = make_config(num_hidden_layers=3, position_embedding_type=kind)
        right = parameter_shapes(config)
        model = CausalLM(config)
        expect_equal(
            {name: tuple(tensor.shape) for name, tensor in sorted(model.state_dict().items())},
            right,
            what=f"names and shapes in the state dict of a model with 3 layers and {kind} positions",
            lookalikes={
                "layers-in-a-plain-list": {k: s for k, s in right.items() if not k.startswith("layers.")},
                "head-with-bias": dict(sorted({**right, "lm_head.bias": (V,)}.items())),
            },
        )
        expect(model.config is config, "config is another object", what="the attribute config")
        expect(
            (model.position_embeddings is None) == (kind == "rope"),
            f"It is {type(model.position_embeddings).__name__}.",
            what=f"position_embeddings of a model with {kind} positions",
        )


@pytest.mark.task("causal-lm")
def test_layers_are_blocks_of_their_own() -> None:
    """Every layer is a TransformerBlock with parameters of its own, and knows which layer it is."""
    model = CausalLM(make_config(num_hidden_layers=3))
    expect_equal(len({id(layer) for layer in model.layers}), 3, what="different layers", mistake="layers-shared")
    expect_equal([layer.layer_idx for layer in model.layers], [0, 1, 2], what="layer_idx of the layers")


@pytest.mark.task("causal-lm")
def test_tied_weights_are_one_parameter() -> None:
    """With tie_word_embeddings, lm_head.weight is embed_tokens.weight itself; without, they are two."""
    tied, untied = CausalLM(make_config(tie_word_embeddings=True)), CausalLM(make_config())
    count = sum(parameter.numel() for parameter in untied.parameters())
    expect(
        untied.lm_head.weight is not untied.embed_tokens.weight,
        "lm_head.weight and embed_tokens.weight are one parameter, though the config does not ask for it.",
        what="a model with tie_word_embeddings=False",
        mistake="always-tied",
    )
    same_memory = tied.lm_head.weight.data_ptr() == tied.embed_tokens.weight.data_ptr()
    expect(
        tied.lm_head.weight is tied.embed_tokens.weight,
        "lm_head.weight is another parameter, on the same memory."
        if same_memory
        else "lm_head.weight and embed_tokens.weight are two parameters.",
        what="a model with tie_word_embeddings=True",
        mistake="tied-by-data" if same_memory else "tied-by-copy",
    )
    expect_equal(
        sum(parameter.numel() for parameter in tied.parameters()),
        count - V * C,
        what="the number of parameters when the table is shared",
    )


@pytest.mark.task("causal-lm")
def test_first_weights() -> None:
    """Matrices start from a normal distribution with the standard deviation of the config, biases at 0, norms at 1."""
    model = CausalLM(make_config(hidden_act="relu", attention_bias=True, initializer_range=0.05, vocab_size=500))
    for name, parameter in model.named_parameters():
        what = f"the first value of {name}, with initializer_range=0.05"
        if "norm" in name:
            expect_close(parameter, torch.ones_like(parameter), what=what, mistake="init-norms-too")
        elif name.endswith("bias"):
            expect_close(parameter, torch.zeros_like(parameter), what=what, mistake="init-biases-left")
        else:
            std = parameter.std().item()
            named = {"init-std-1": 1.0, "init-left-to-torch": 1 / math.sqrt(3 * parameter.shape[1])}
            likely = next((mistake for mistake, wrong in named.items() if abs(std / wrong - 1) < 0.2), None)
            expect(
                0.04 < std < 0.06,
                f"Its standard deviation is {std:.3f}.",
                what=what,
                expected="about 0.05",
                actual=f"{std:.3f}",
                mistake=likely,
            )
            expect(abs(parameter.mean().item()) < 0.02, f"Its mean is {parameter.mean().item():.3f}.", what=what)


# -------------------------------------------------------------------------------------------------- through the stack


def sinusoids(positions: Tensor) -> Tensor:
    """The table of lesson 01, written out: (..., C)."""
    angle = positions.double()[..., None] * 10000.0 ** (-torch.arange(0, C, 2).double() / C)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2).float()


def stack(
    model: CausalLM,
    ids: Tensor,
    *,
    positions: Tensor | None = None,
    allowed: Tensor | None = None,
    table: bool | None = None,
) -> Tensor:
    """The hidden states, put together from the model's own embedding, layers and norm, with an explicit mask."""
    length = ids.shape[1]
    positions = torch.arange(length) if positions is None else positions
    allowed = torch.ones(length, length).tril().bool() if allowed is None else allowed
    table = model.config.position_embedding_type == "sinusoidal" if table is None else table
    h = model.embed_tokens.weight[ids]
    if table:
        h = h + sinusoids(positions)
    for layer in model.layers:
        h = layer(h, position_ids=positions, attention_mask=allowed)
    return model.norm(h)


def build(*, seed: int, **changes: object) -> CausalLM:
    return randomised(CausalLM(make_config(**changes)), seed=seed)


def outputs_of(result: object) -> tuple[Tensor, list[tuple[Tensor, Tensor]] | None]:
    expect(
        isinstance(result, tuple) and len(result) == 2,
        "It should be a pair: the hidden states and the cache, or None for the cache.",
        what="what compute_hidden_states gives back",
        actual=type(result).__name__,
    )
    return result


@pytest.mark.task("hidden-states")
@torch.no_grad()
def test_hidden_states_go_through_every_part() -> None:
    """The hidden states are norm(last layer(… first layer(embedding))), and no token sees the ones after it."""
    model, ids = build(seed=12), draw_ids(B, T, seed=13)
    hidden_states, cache = outputs_of(model.compute_hidden_states(ids))
    embedded = model.embed_tokens.weight[ids]
    positions, causal = torch.arange(T), torch.ones(T, T).tril().bool()

    def run(h: Tensor, layers, after=lambda v: v) -> Tensor:
        for layer in layers:
            h = after(layer(h, position_ids=positions, attention_mask=causal))
        return h

    expect_close(
        hidden_states,
        stack(model, ids),
        what="the hidden states of 7 tokens",
        dims="B T C",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={
            "no-final-norm": lambda: run(embedded, model.layers),
            "norm-after-every-layer": lambda: run(embedded, model.layers, after=model.norm),
            "not-causal": lambda: stack(model, ids, allowed=torch.ones(T, T, dtype=torch.bool)),
            "layers-not-chained": lambda: model.norm(run(embedded, model.layers[-1:])),
        },
    )
    expect(cache is None, "A cache came back.", what="a call without use_cache")


@pytest.mark.task("hidden-states")
@torch.no_grad()
def test_sinusoidal_positions_are_added_once() -> None:
    """With sinusoidal positions, the table's rows are added to the embeddings, before the first layer."""
    model, ids = build(seed=14, position_embedding_type="sinusoidal"), draw_ids(B, T, seed=15)
    hidden_states, _ = outputs_of(model.compute_hidden_states(ids))
    expect_close(
        hidden_states,
        stack(model, ids),
        what="the hidden states with sinusoidal positions",
        dims="B T C",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={
            "table-not-added": lambda: stack(model, ids, table=False),
            "positions-from-one": lambda: stack(model, ids, positions=torch.arange(T) + 1),
        },
    )


@pytest.mark.task("hidden-states")
@torch.no_grad()
@pytest.mark.parametrize("kind", ["rope", "sinusoidal"])
def test_token_by_token_is_the_whole_text(kind: str) -> None:
    """Seven calls with one token each, every one with the cache of the one before, give what the whole text gives."""
    model, ids = build(seed=16, position_embedding_type=kind), draw_ids(B, T, seed=17)
    pieces, cache = [], None
    for t in range(T):
        result = model.compute_hidden_states(ids[:, t : t + 1], past_key_values=cache, use_cache=True)
        piece, cache = outputs_of(result)
        expect(cache is not None, "It is None.", what=f"the cache after {t + 1} tokens")
        expect(
            isinstance(cache, list | tuple) and len(cache) == 2 and not isinstance(cache[0], Tensor),
            "The cache should be a list with one pair for each of the 2 layers.",
            what=f"the cache after {t + 1} tokens",
            mistake="cache-of-one-layer",
        )
        what = f"the second layer's keys after {t + 1} tokens"
        expect_shape(cache[1][0], (B, H, t + 1, D), what=what, dims="B H S D")
        pieces.append(piece)
    by_heads = torch.tensor([0, *[H] * (T - 1)])
    expect_close(
        torch.cat(pieces, dim=1),
        stack(model, ids),
        what=f"the hidden states, token by token ({kind})",
        dims="B T C",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={
            "position-restart": lambda: stack(model, ids, positions=torch.zeros(T)),
            "past-from-the-wrong-axis": lambda: stack(model, ids, positions=by_heads),
        },
    )


class Recorder(nn.Module):
    """Stands in for a layer: adds one, gives back a cache of its own, and remembers which past it was given."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number
        self.pasts: list[object] = []

    def forward(self, hidden_states: Tensor, **options: object) -> Tensor:
        return hidden_states + 1

    def forward_with_cache(self, hidden_states: Tensor, past_key_value=None, **options: object):
        self.pasts.append(past_key_value)
        past = 0 if past_key_value is None else past_key_value[0].shape[2]
        present = torch.full((B, H, past + hidden_states.shape[1], D), self.number)
        return hidden_states + 1, (present, present + 0.5)


@pytest.mark.task("hidden-states")
@torch.no_grad()
def test_every_layer_gets_its_own_cache() -> None:
    """Layer i is given pair number i, and the new cache has the pairs in the same order; the old list stays."""
    model = build(seed=18)
    model.layers = nn.ModuleList([Recorder(10.0), Recorder(20.0)])
    past = [(torch.full((B, H, 3, D), n), torch.full((B, H, 3, D), n + 0.5)) for n in (1.0, 2.0)]
    with expect_unchanged(past, what="the past_key_values that are given", mistake="cache-list-overwritten"):
        result = model.compute_hidden_states(draw_ids(B, 2, seed=19), past_key_values=past, use_cache=True)
    _, present = outputs_of(result)
    given = [layer.pasts[-1] for layer in model.layers]
    expect(
        all(pair is not None for pair in given),
        "A layer was given no past.",
        what="what the layers are given when there is a cache",
    )
    expect_equal(
        [pair[0][0, 0, 0, 0].item() for pair in given],
        [1.0, 2.0],
        what="the pasts that layers 0 and 1 are given (past_key_values has 1.0 for layer 0 and 2.0 for layer 1)",
        lookalikes={"first-cache-for-all": [1.0, 1.0]},
    )
    expect_equal(
        [pair[0][0, 0, 0, 0].item() for pair in present],
        [10.0, 20.0],
        what="the new caches, layer 0 first",
    )


# -------------------------------------------------------------------------------------------------- loss and forward


def nll(logits: Tensor, ids: Tensor) -> Tensor:
    """-log softmax(logits)[id], written out in float64: logits (N, V), ids (N,)."""
    logits = logits.detach().double()
    largest = logits.amax(-1, keepdim=True)
    total = (logits - largest).exp().sum(-1).log() + largest[:, 0]
    return total - logits[torch.arange(len(ids)), ids]


@pytest.mark.task("next-token-loss")
def test_loss_of_the_worked_example() -> None:
    """The worked example of the README: three tokens, a vocabulary of four."""
    probabilities = torch.tensor([[[0.1, 0.2, 0.3, 0.4], [0.5, 0.25, 0.125, 0.125], [0.7, 0.1, 0.1, 0.1]]])
    expect_close(
        next_token_loss(probabilities.log(), torch.tensor([[3, 2, 1]])),
        torch.tensor(-(math.log(0.3) + math.log(0.25)) / 2),
        what="the loss of the text 3, 2, 1",
        lookalikes={
            "loss-not-shifted": torch.tensor(-(math.log(0.4) + math.log(0.125) + math.log(0.1)) / 3),
            "loss-shifted-backwards": torch.tensor(-(math.log(0.125) + math.log(0.1)) / 2),
            "loss-summed": torch.tensor(-(math.log(0.3) + math.log(0.25))),
        },
    )


@pytest.mark.task("next-token-loss")
def test_loss_compares_each_place_with_the_next_label() -> None:
    """The loss is the mean of -log p(next token) over the labels that are not -100."""
    logits, labels = draw(B, T, V, seed=20, scale=2.0), draw_ids(B, T, seed=21)
    labels[0, :3] = -100  # a row that begins with a prompt, and one that ends with padding: 2 + 1 … places differ
    labels[1, 6:] = -100

    def mean(logits: Tensor, labels: Tensor, *, over: int | None = None) -> Tensor:
        flat, wanted = logits.flatten(0, 1), labels.flatten()
        counted = wanted != -100
        return (nll(flat[counted], wanted[counted]).sum() / (over or counted.sum())).float()

    def of_rows() -> Tensor:
        return torch.stack([mean(logits[b : b + 1, :-1], labels[b : b + 1, 1:]) for b in range(B)]).mean()

    expect_close(
        next_token_loss(logits.clone(), labels.clone()),
        mean(logits[:, :-1], labels[:, 1:]),
        what="the loss of two texts in which some labels are -100",
        lookalikes={
            "loss-not-shifted": lambda: mean(logits, labels),
            "loss-shifted-backwards": lambda: mean(logits[:, 1:], labels[:, :-1]),
            "loss-shifted-twice": lambda: mean(logits[:, :-2], labels[:, 2:]),
            "loss-counts-ignored": lambda: mean(logits[:, :-1], labels[:, 1:], over=B * (T - 1)),
            "loss-mean-of-rows": of_rows,
        },
    )


@pytest.mark.task("forward")
@torch.no_grad()
def test_forward_gives_logits() -> None:
    """forward gives a CausalLMOutput with logits (B, T, V): the hidden states through lm_head; no loss, no cache."""
    model, ids = build(seed=22), draw_ids(B, T, seed=23)
    output = model(ids)
    expect(
        isinstance(output, CausalLMOutput),
        f"It is {type(output).__name__}.",
        what="what forward gives back",
        expected="a CausalLMOutput",
    )
    right = stack(model, ids) @ model.lm_head.weight.T
    expect_close(
        output.logits,
        right,
        what="the logits of 7 tokens",
        dims="B T V",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={
            "logits-of-the-last-place": right[:, -1:],
            "logits-through-the-embedding": lambda: stack(model, ids) @ model.embed_tokens.weight.T,
            "logits-as-probabilities": right.softmax(dim=-1),
        },
    )
    expect(output.loss is None, "There is a loss.", what="forward without labels")
    expect(output.past_key_values is None, "There is a cache.", what="forward without use_cache")


@pytest.mark.task("forward")
@torch.no_grad()
def test_forward_with_labels_and_cache() -> None:
    """With labels there is a loss, shifted once; with use_cache a cache, with which the text can go on."""
    model, ids = build(seed=24), draw_ids(B, T, seed=25)
    right = stack(model, ids) @ model.lm_head.weight.T
    labels = ids.clone()
    labels[1, 4:] = -100

    def mean(logits: Tensor, labels: Tensor) -> Tensor:
        counted = labels.flatten() != -100
        return nll(logits.flatten(0, 1)[counted], labels.flatten()[counted]).mean().float()

    output = model(ids, labels=labels)
    expect(output.loss is not None, "loss is None.", what="forward with labels")
    expect_close(
        output.loss,
        mean(right[:, :-1], labels[:, 1:]),
        what="the loss of forward",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={
            "loss-not-shifted": lambda: mean(right, labels),
            "loss-shifted-twice": lambda: mean(right[:, :-2], labels[:, 2:]),
        },
    )
    first = model(ids[:, :4], use_cache=True)
    expect(
        first.past_key_values is not None,
        "past_key_values is None.",
        what="forward with use_cache=True",
        mistake="forward-drops-the-cache",
    )
    expect_close(
        model(ids[:, 4:5], past_key_values=first.past_key_values, use_cache=True).logits,
        right[:, 4:5],
        what="the logits of the fifth token, with the cache of the first four",
        dims="B T V",
        rtol=1e-4,
        atol=1e-4,
        lookalikes={
            "forward-option-dropped": lambda: stack(model, ids[:, 4:5]) @ model.lm_head.weight.T,
        },
    )


@pytest.mark.task("forward")
@torch.no_grad()
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_a_new_model_knows_nothing(tied: bool) -> None:
    """Before any training the loss is about ln V: the model holds every token for equally likely."""
    model = CausalLM(make_config(vocab_size=512, hidden_size=48, tie_word_embeddings=tied))
    ids = draw_ids(4, 21, seed=26, below=512)
    loss = model(ids, labels=ids).loss.item()
    expect(
        abs(loss - math.log(512)) < 0.25,
        f"The loss is {loss:.2f}.",
        what="the loss of a new model with 512 tokens",
        expected=f"about ln 512 = {math.log(512):.2f}",
        actual=f"{loss:.2f}",
    )


# -------------------------------------------------------------------------------------------------- sampling


@pytest.mark.task("repetition-penalty")
def test_repetition_penalty_lowers_what_was_said() -> None:
    """With penalty 2, tokens of the text become less likely: 3 becomes 1.5, and -3 becomes -6. The others stay."""
    logits = torch.tensor([[3.0, -3.0, 1.0, -1.0, 0.5], [3.0, -3.0, 1.0, -1.0, 0.5]])
    ids = torch.tensor([[0, 1, 0], [3, 2, 3]])
    what = "logits (3, -3, 1, -1, 0.5) with penalty 2; row 0 says 0 1 0, row 1 says 3 2 3"
    expect_close(
        apply_repetition_penalty(logits.clone(), ids, 2.0),
        torch.tensor([[1.5, -6.0, 1.0, -1.0, 0.5], [3.0, -3.0, 0.5, -2.0, 0.5]]),
        what=what,
        dims="B V",
        lookalikes={
            "penalty-always-divides": torch.tensor([[1.5, -1.5, 1.0, -1.0, 0.5], [3.0, -3.0, 0.5, -0.5, 0.5]]),
            "penalty-subtracted": torch.tensor([[1.0, -5.0, 1.0, -1.0, 0.5], [3.0, -3.0, -1.0, -3.0, 0.5]]),
            "penalty-per-occurrence": torch.tensor([[0.75, -6.0, 1.0, -1.0, 0.5], [3.0, -3.0, 0.5, -4.0, 0.5]]),
            "penalty-over-the-batch": torch.tensor([[1.5, -6.0, 0.5, -2.0, 0.5], [1.5, -6.0, 0.5, -2.0, 0.5]]),
        },
    )


@pytest.mark.task("top-k")
def test_top_k_keeps_the_largest() -> None:
    """The k largest logits of each row stay where they are; the others become minus infinity."""
    logits = torch.tensor([[0.1, 2.0, -1.0, 1.5, 0.3], [7.0, 5.0, 9.0, 6.0, 8.0]])
    expect_close(
        filter_top_k(logits.clone(), 2),
        torch.tensor([[NONE, 2.0, NONE, 1.5, NONE], [NONE, NONE, 9.0, NONE, 8.0]]),
        what="the top 2 of (0.1, 2, -1, 1.5, 0.3) and of (7, 5, 9, 6, 8)",
        dims="B V",
        lookalikes={
            "top-k-one-too-many": torch.tensor([[NONE, 2.0, NONE, 1.5, 0.3], [7.0, NONE, 9.0, NONE, 8.0]]),
            "top-k-one-too-few": torch.tensor([[NONE, 2.0, NONE, NONE, NONE], [NONE, NONE, 9.0, NONE, NONE]]),
            "top-k-zeros": torch.tensor([[0.0, 2.0, 0.0, 1.5, 0.0], [0.0, 0.0, 9.0, 0.0, 8.0]]),
            "top-k-first-row-for-all": torch.tensor([[NONE, 2.0, NONE, 1.5, NONE], [7.0, 5.0, 9.0, 6.0, 8.0]]),
            "top-k-sorted": torch.tensor([[2.0, 1.5, NONE, NONE, NONE], [9.0, 8.0, NONE, NONE, NONE]]),
        },
    )


@pytest.mark.task("top-p")
def test_top_p_keeps_the_nucleus() -> None:
    """Tokens stay, from the likeliest down, until together they have p; the one with which they reach it stays too."""
    probabilities = torch.tensor(
        [[0.15, 0.4, 0.05, 0.3, 0.1], [0.05, 0.1, 0.15, 0.6, 0.1], [0.02, 0.1, 0.08, 0.05, 0.75]]
    )
    logits = probabilities.log() + 3.0

    def keep(*rows: list[int]) -> Tensor:
        kept = torch.full_like(logits, NONE)
        for row, tokens in enumerate(rows):
            kept[row, tokens] = logits[row, tokens]
        return kept

    expect_close(
        filter_top_p(logits.clone(), 0.65),
        keep([1, 3], [3, 2], [4]),
        what="the nucleus 0.65 of three distributions: in the first, 0.4 and 0.3 are needed to reach it",
        dims="B V",
        lookalikes={
            "top-p-drops-the-crossing-token": keep([1], [3], [4]),
            "top-p-empty": keep([1], [3], []),
            "top-p-one-too-many": keep([1, 3, 0], [3, 2, 1], [4, 1]),
            "top-p-in-sorted-order": keep([0, 1], [0, 1], [0]),
            "top-p-from-the-least-likely": logits,
            "top-p-as-a-threshold": keep([], [], [4]),
            "top-p-gives-log-probabilities": lambda: keep([1, 3], [3, 2], [4]) - 3.0,
        },
    )


@pytest.mark.task("sample-next-token")
def test_temperature_zero_takes_the_largest() -> None:
    """At temperature 0 the largest logit of each row wins: an id for each row, int64."""
    logits = draw(5, V, seed=27)
    with diagnosing("temperature-zero-divides", RuntimeError, ZeroDivisionError, match="inf|nan|zero"):
        chosen = sample_next_token(logits.clone(), temperature=0.0)
    expect_close(
        chosen,
        torch.tensor([max(range(V), key=lambda v, row=row: row[v].item()) for row in logits]),
        what="the choice at temperature 0 for 5 rows",
        lookalikes={"temperature-zero-divides": torch.zeros(5, dtype=torch.long)},  # argmax of NaN: the first
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


@pytest.mark.task("sample-next-token")
def test_every_row_has_its_own_draw() -> None:
    """60 rows with the same logits do not all get the same token: one draw is made for each row."""
    generator = torch.Generator().manual_seed(28)
    logits = torch.zeros(60, V)
    logits[:, 20] = 0.3
    chosen = sample_next_token(logits, generator=generator)
    expect_shape(chosen, (60,), what="the choice for 60 rows", dims="B")
    expect_dtype(chosen, torch.int64, what="the dtype of the choice")
    expect(
        len(set(chosen.tolist())) > 1,
        f"All 60 rows got token {chosen[0].item()}, though all 37 are nearly equally likely.",
        what="60 draws from an almost uniform distribution",
        mistake="always-the-largest" if chosen[0] == 20 else "one-draw-for-all-rows",
    )
    for temperature in (1.0, 0.0):
        one = sample_next_token(logits[:1], temperature=temperature, generator=generator)
        what = f"the choice for one row, temperature {temperature}"
        expect_shape(one, (1,), what=what, dims="B", lookalikes={"one-row-squeezed": ()})


@pytest.mark.task("sample-next-token")
@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_temperature_sharpens_or_flattens(temperature: float) -> None:
    """Tokens are drawn with the probabilities softmax(logits / temperature): 20,000 draws."""
    chosen = sample_next_token(rows_of(P, 20_000), temperature=temperature, generator=torch.Generator().manual_seed(29))
    expect_distribution(
        chosen,
        normalised({token: p ** (1 / temperature) for token, p in P.items()}),
        what=f"20,000 draws at temperature {temperature}",
        lookalikes={
            "temperature-multiplied": normalised({token: p**temperature for token, p in P.items()}),
            "temperature-on-probabilities": P,
        },
    )


# -------------------------------------------------------------------------------------------------- generate


class Passing(nn.Module):
    """Stands in for a layer: passes its input on, and remembers how many tokens it was fed, after how many."""

    def __init__(self) -> None:
        super().__init__()
        self.fed: list[tuple[int, int]] = []

    def forward(self, hidden_states: Tensor, **options: object) -> Tensor:
        self.fed.append((0, hidden_states.shape[1]))
        return hidden_states

    def forward_with_cache(self, hidden_states: Tensor, past_key_value=None, **options: object):
        new = hidden_states[:, None, :, :2]  # (B, 1, T, 2)
        past = new[:, :, :0] if past_key_value is None else past_key_value[0]
        self.fed.append((past.shape[2], hidden_states.shape[1]))
        present = torch.cat((past, new), dim=2)
        return hidden_states, (present, present)


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
    """The script of `chain`: which token follows."""
    return (5 * token + 3) % WORDS


def chain() -> CausalLM:
    table = draw(WORDS, WORDS, seed=30)
    for token in range(WORDS):
        table[token, after(token)] = 9.0
    return scripted(table)


def follow(token: int, count: int) -> list[int]:
    """`count` tokens of the script after `token`."""
    tokens = []
    for _ in range(count):
        token = after(token)
        tokens.append(token)
    return tokens


@pytest.mark.task("generate")
def test_generate_writes_after_the_prompt() -> None:
    """The prompt stays in front, and behind it stand the most likely tokens, one after the other (temperature 0)."""
    prompt = torch.tensor([[4, 11, 2], [9, 0, 16]])
    result = chain().generate(prompt.clone(), max_new_tokens=5, temperature=0.0)
    rows = prompt.tolist()
    expect_equal(
        result.tolist(),
        [row + follow(row[-1], 5) for row in rows],
        what="5 tokens after the prompts (4, 11, 2) and (9, 0, 16), when 5·i + 3 (mod 18) follows i",
        lookalikes={
            "prompt-dropped": [follow(row[-1], 5) for row in rows],
            "logits-of-the-first-place": [row + follow(row[0], 5) for row in rows],
            "one-token-too-few": [row + follow(row[-1], 4) for row in rows],
        },
    )
    expect_dtype(result, torch.int64, what="the dtype of what generate gives back")
    alone = chain().generate(prompt[:1].clone(), max_new_tokens=5, temperature=0.0)
    expect_equal(alone.tolist(), result.tolist()[:1], what="5 tokens after the prompt (4, 11, 2) alone")


@pytest.mark.task("generate")
def test_no_new_tokens_gives_the_prompt() -> None:
    """With max_new_tokens=0 the prompt comes back as it is."""
    prompt = draw_ids(B, 3, seed=31, below=WORDS)
    expect_equal(
        chain().generate(prompt.clone(), max_new_tokens=0).tolist(), prompt.tolist(), what="the prompt and nothing more"
    )


@pytest.mark.task("generate")
@torch.no_grad()
def test_greedy_is_the_loop_without_a_cache() -> None:
    """With a real stack, temperature 0 takes at each step the largest logit that the whole text gives."""
    model, prompt = build(seed=32), draw_ids(B, 4, seed=33)
    ids = prompt
    for _ in range(9):
        logits = stack(model, ids)[:, -1] @ model.lm_head.weight.T
        ids = torch.cat((ids, logits.argmax(dim=-1, keepdim=True)), dim=1)
    result = model.generate(prompt.clone(), max_new_tokens=9, temperature=0.0)
    expect_equal(result.tolist(), ids.tolist(), what="9 tokens at temperature 0, two prompts of 4 tokens")


@pytest.mark.task("generate")
def test_each_token_is_fed_once() -> None:
    """With the cache, the prompt is fed in the first step, and after that only the newest token."""
    model = chain()
    model.generate(torch.tensor([[4, 11, 2], [9, 0, 16]]), max_new_tokens=5, temperature=0.0)
    expect_equal(
        model.layers[0].fed,
        [(0, 3), (3, 1), (4, 1), (5, 1), (6, 1)],
        what="(tokens in the cache, tokens fed) at each of 5 steps after a prompt of 3 tokens",
        lookalikes={
            "whole-text-fed-again": [(0, 3), (3, 4), (7, 5), (12, 6), (18, 7)],
            "cache-never-used": [(0, 3), (0, 4), (0, 5), (0, 6), (0, 7)],
            "fed-after-the-last": [(0, 3), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1)],
        },
    )


@pytest.mark.task("generate")
def test_each_text_ends_at_its_own_stop_token() -> None:
    """A text ends with its stop token; padding follows until the others have ended as well; then nothing more."""
    # The script: 4 → 5 → 10 → 17 → 16 → 11 → 4 …, and 2 → 13 → 14 → 1 → 8 → 7 → 2 …
    prompt = torch.tensor([[4], [2]])
    long, short = follow(4, 9), follow(2, 9)
    result = chain().generate(
        prompt, max_new_tokens=9, temperature=0.0, stop_token_ids=[17, 7], pad_token_id=12
    )  # 17 is the third token of row 0; 7 is the fifth of row 1
    first, second = [4, *long[:3]], [2, *short[:5]]
    expect_equal(
        result.tolist(),
        [[*first, 12, 12], second],
        what="two texts, of which the first ends (17) after three tokens and the second (7) after five; 12 is padding",
        lookalikes={
            "text-goes-on-after-its-end": [[4, *long[:5]], second],
            "one-end-ends-all": [first, [2, *short[:3]]],
            "never-stops": [[*first, *[12] * 6], [*second, *[12] * 4]],
            "stop-tokens-ignored": [[4, *long], [2, *short]],
            "stop-token-replaced": [[*first[:-1], 12, 12, 12], [*second[:-1], 12]],
        },
    )


@pytest.mark.task("generate")
def test_arguments_that_cannot_be_meant() -> None:
    """A negative number of tokens and an empty prompt are refused."""
    prompt = torch.tensor([[4, 11], [9, 0]])
    chain().generate(prompt, max_new_tokens=1)
    with expect_raises(ValueError, what="generate with max_new_tokens=-1", mistake="arguments-unchecked"):
        chain().generate(prompt, max_new_tokens=-1)
    with expect_raises(ValueError, what="generate with a prompt of no tokens", mistake="arguments-unchecked"):
        chain().generate(prompt[:, :0], max_new_tokens=3)
