"""Lesson 03's reference against Hugging Face transformers: gated networks and a whole Llama layer, weights copied."""

import pytest
import torch
from torch import Tensor, nn

from intro2llm.model.config import ModelConfig
from intro2llm.model.feedforward import FeedForward, SwiGLU
from intro2llm.model.transformer_block import TransformerBlock

B, T, C, INNER, H, D = 2, 9, 24, 40, 3, 8


@pytest.fixture(scope="module")
def llama():
    return pytest.importorskip("transformers.models.llama.modeling_llama")


def their_config(**changes: object):
    from transformers import LlamaConfig

    return LlamaConfig(
        **{
            "hidden_size": C,
            "intermediate_size": INNER,
            "num_attention_heads": H,
            "num_key_value_heads": H,
            "head_dim": D,
            "vocab_size": 31,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-3,
            "attn_implementation": "eager",
            **changes,
        }
    )


def our_config(**changes: object) -> ModelConfig:
    return ModelConfig(
        **{
            "hidden_size": C,
            "intermediate_size": INNER,
            "num_attention_heads": H,
            "rms_norm_eps": 1e-3,
            **changes,
        }
    )


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def randomise(module: nn.Module, *, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    assert actual.dtype == expected.dtype
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_swiglu_is_llama_mlp(llama):
    theirs, ours = llama.LlamaMLP(their_config(hidden_act="silu")), SwiGLU(our_config())
    randomise(theirs, seed=1)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        x = draw(B, T, C, seed=2)
        assert_same(ours(x), theirs(x))


def test_geglu_is_llama_mlp_with_exact_gelu(llama):
    """ "gelu" names the exact erf form in transformers; Gemma's own default is the tanh form, which must differ."""
    theirs, ours = llama.LlamaMLP(their_config(hidden_act="gelu")), FeedForward(our_config(hidden_act="gelu"))
    randomise(theirs, seed=3)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        x = draw(B, T, C, seed=4)
        assert_same(ours(x), theirs(x))


def test_geglu_is_gemma_mlp_but_for_the_form_of_gelu():
    gemma = pytest.importorskip("transformers.models.gemma.modeling_gemma")
    from transformers import GemmaConfig

    config = GemmaConfig(hidden_size=C, intermediate_size=INNER, num_attention_heads=H, num_key_value_heads=H)
    theirs, ours = gemma.GemmaMLP(config), FeedForward(our_config(hidden_act="gelu"))
    randomise(theirs, seed=5)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = draw(B, T, C, seed=6)
    with torch.no_grad():
        difference = (ours(x) - theirs(x)).abs().max()
        assert 1e-5 < difference < 1e-2  # tanh: at most 4.8e-4 a unit, times weights
        theirs.act_fn = nn.GELU()
        assert_same(ours(x), theirs(x))


def test_geglu_is_t5_gated_dense_layer():
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    from transformers import T5Config

    config = T5Config(d_model=C, d_ff=INNER, feed_forward_proj="gated-gelu", dropout_rate=0.0)
    theirs, ours = t5.T5DenseGatedActDense(config), FeedForward(our_config(hidden_act="gelu"))
    theirs.act = nn.GELU()  # T5 v1.1 asks for the tanh form
    randomise(theirs, seed=7)
    renamed = {"wi_0": "gate_proj", "wi_1": "up_proj", "wo": "down_proj"}
    weights = theirs.state_dict()
    ours.load_state_dict({f"{ours_}.weight": weights[f"{name}.weight"] for name, ours_ in renamed.items()}, strict=True)
    with torch.no_grad():
        x = draw(B, T, C, seed=8)
        assert_same(ours(x), theirs(x))


def pair(llama, **changes: object) -> tuple[nn.Module, nn.Module, TransformerBlock]:
    """Their layer, the module that gives it cosines and sines, and our block with the layer's weights."""
    theirs = their_config(**changes)
    layer, rotary = llama.LlamaDecoderLayer(theirs, layer_idx=0), llama.LlamaRotaryEmbedding(theirs)
    bias = bool(changes.get("attention_bias", False))
    block = TransformerBlock(our_config(attention_bias=bias), layer_idx=0)
    randomise(layer, seed=9)
    if bias:
        with torch.no_grad():
            layer.self_attn.o_proj.bias.zero_()  # ours, like Qwen2's, has none
    weights = {name: value for name, value in layer.state_dict().items() if name != "self_attn.o_proj.bias"}
    block.load_state_dict(weights, strict=True)
    return layer.eval(), rotary, block.eval()


def their_mask(allowed: Tensor) -> Tensor:
    """(B, T, T) bool, True = may attend → what eager attention adds to the scores."""
    return torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)[:, None]


POSITIONS = {
    "from-zero": torch.arange(T).expand(B, T),
    "two-starts": torch.stack((torch.arange(T), torch.arange(T) + 100)),
    "with-gaps": torch.stack((torch.arange(T) * 3 + 7, torch.arange(T) * 2)),
    "far-away": torch.stack((torch.arange(T) + 2000, torch.arange(T) + 4000)),
}


@pytest.mark.parametrize("positions", POSITIONS.values(), ids=POSITIONS.keys())
@pytest.mark.parametrize("attention_bias", [False, True])
def test_block_is_llama_decoder_layer_under_a_causal_mask(llama, positions, attention_bias):
    layer, rotary, block = pair(llama, attention_bias=attention_bias)
    x = draw(B, T, C, seed=10)
    causal = torch.ones(T, T, dtype=torch.bool).tril().expand(B, T, T)
    with torch.no_grad():
        expected = layer(
            x,
            attention_mask=their_mask(causal),
            position_ids=positions,
            position_embeddings=rotary(x, positions),
        )
        assert_same(block(x, position_ids=positions, is_causal=True), expected)
        assert_same(block(x, position_ids=positions, attention_mask=causal[:, None]), expected)


def test_block_is_llama_decoder_layer_under_a_padding_mask(llama):
    layer, rotary, block = pair(llama)
    x, positions = draw(B, T, C, seed=11), POSITIONS["from-zero"]
    real = torch.ones(B, T, dtype=torch.bool)
    real[1, T - 3 :] = False
    allowed = torch.ones(T, T, dtype=torch.bool).tril() & real[:, None, :]
    with torch.no_grad():
        expected = layer(
            x,
            attention_mask=their_mask(allowed),
            position_ids=positions,
            position_embeddings=rotary(x, positions),
        )
        assert_same(block(x, is_causal=True, attention_mask=real[:, None, None, :]), expected)


def test_gradients_of_the_block_are_those_of_llama_decoder_layer(llama):
    layer, rotary, block = pair(llama)
    positions = POSITIONS["two-starts"]
    causal = torch.ones(T, T, dtype=torch.bool).tril().expand(B, T, T)
    ours, theirs = draw(B, T, C, seed=12).requires_grad_(), draw(B, T, C, seed=12).requires_grad_()
    arriving = draw(B, T, C, seed=13)
    layer(
        theirs,
        attention_mask=their_mask(causal),
        position_ids=positions,
        position_embeddings=rotary(theirs, positions),
    ).backward(arriving)
    block(ours, position_ids=positions, is_causal=True).backward(arriving)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)
    expected = {name: parameter.grad for name, parameter in layer.named_parameters()}
    for name, parameter in block.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-4)
