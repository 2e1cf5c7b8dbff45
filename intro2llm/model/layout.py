"""Which parameters a model has, and in which shapes: the layout of Llama in Hugging Face `transformers`.

It follows from the configuration alone, so a file can be compared with it before anything is loaded, and your classes
can be compared with it before anything is trained.
"""

from collections.abc import Iterator
from typing import NamedTuple

from intro2llm.model.config import ModelConfig


class Parameter(NamedTuple):
    """One parameter, and who makes it."""

    name: str
    shape: tuple[int, ...]
    owner: str
    """The class, and its lesson: "SwiGLU (lesson 03)"."""


def parameters_of(config: ModelConfig) -> Iterator[Parameter]:
    """All parameters of the model that `config` describes. With tied embeddings there is no `lm_head.weight`."""
    V, C, I = config.vocab_size, config.hidden_size, config.intermediate_size  # noqa: E741
    H = config.num_attention_heads
    Hkv = config.num_key_value_heads or H
    D = config.head_dim or C // H
    norm = "RMSNorm (lesson 02)" if config.norm_type == "rms_norm" else "LayerNorm (lesson 02)"
    attention = "MultiHeadAttention (lesson 02)" if Hkv == H else "GroupedQueryAttention (lesson 15)"
    ffn = {"silu": "SwiGLU", "gelu": "FeedForward", "relu": "BasicFFN"}[config.hidden_act] + " (lesson 03)"

    yield Parameter("embed_tokens.weight", (V, C), "TokenEmbedding (lesson 01)")
    for i in range(config.num_hidden_layers):
        layer = f"layers.{i}"
        yield from _norm(f"{layer}.input_layernorm", config, norm)
        for projection, width in {"q_proj": H * D, "k_proj": Hkv * D, "v_proj": Hkv * D}.items():
            yield Parameter(f"{layer}.self_attn.{projection}.weight", (width, C), attention)
            if config.attention_bias:
                yield Parameter(f"{layer}.self_attn.{projection}.bias", (width,), attention)
        yield Parameter(f"{layer}.self_attn.o_proj.weight", (C, H * D), attention)
        if config.qk_norm:
            yield Parameter(f"{layer}.self_attn.q_norm.weight", (D,), attention)
            yield Parameter(f"{layer}.self_attn.k_norm.weight", (D,), attention)
        yield from _norm(f"{layer}.post_attention_layernorm", config, norm)
        gated = config.hidden_act != "relu"
        for projection, shape in {"gate_proj": (I, C), "up_proj": (I, C), "down_proj": (C, I)}.items():
            if gated or projection != "gate_proj":
                yield Parameter(f"{layer}.mlp.{projection}.weight", shape, ffn)
            if not gated and projection != "gate_proj":
                yield Parameter(f"{layer}.mlp.{projection}.bias", shape[:1], ffn)
    yield from _norm("norm", config, norm)
    if not config.tie_word_embeddings:
        yield Parameter("lm_head.weight", (V, C), "CausalLM (lesson 04)")


def _norm(name: str, config: ModelConfig, owner: str) -> Iterator[Parameter]:
    yield Parameter(f"{name}.weight", (config.hidden_size,), owner)
    if config.norm_type == "layer_norm":
        yield Parameter(f"{name}.bias", (config.hidden_size,), owner)
