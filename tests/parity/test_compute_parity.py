"""Lesson 05 against others: parameters of transformers' models, FLOPs as torch measures them, bytes of real caches."""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from intro2llm.model.causal_lm import CausalLM
from intro2llm.model.config import ModelConfig
from intro2llm.utils.compute import (
    count_parameters,
    decode_flops,
    forward_flops,
    kv_cache_bytes,
    training_flops,
)

transformers = pytest.importorskip("transformers")

SMALL = ModelConfig(
    vocab_size=97, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=6, head_dim=4
)
PUBLISHED = {
    "Llama-3.2-1B": ModelConfig(
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        tie_word_embeddings=True,
    ),
    "Qwen2.5-0.5B": ModelConfig(
        vocab_size=151936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        attention_bias=True,
        tie_word_embeddings=True,
    ),
    "Qwen3-0.6B": ModelConfig(
        vocab_size=151936,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        qk_norm=True,
        tie_word_embeddings=True,
    ),
}


def numel_in_transformers(family: str, config: ModelConfig) -> int:
    """The parameters of the published model class of these sizes, made without memory on torch's meta device."""
    theirs = getattr(transformers, f"{family}Config")(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.key_value_heads,
        tie_word_embeddings=config.tie_word_embeddings,
        **({"head_dim": config.attention_head_dim} if family != "Qwen2" else {}),
    )
    with torch.device("meta"):
        model = getattr(transformers, f"{family}ForCausalLM")(theirs)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kv_heads", [1, 2, 6])
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("Llama", {}),
        ("Llama", {"head_dim": 10}),
        ("Qwen2", {"attention_bias": True}),
        ("Qwen3", {"qk_norm": True, "head_dim": 10}),
    ],
)
def test_parameters_of_small_models(family: str, changes: dict[str, object], kv_heads: int, tied: bool):
    config = dataclasses.replace(SMALL, num_key_value_heads=kv_heads, tie_word_embeddings=tied, **changes)
    config.validate()
    assert count_parameters(config).total == numel_in_transformers(family, config)


@pytest.mark.parametrize(
    ("family", "name"), [("Llama", "Llama-3.2-1B"), ("Qwen2", "Qwen2.5-0.5B"), ("Qwen3", "Qwen3-0.6B")]
)
def test_parameters_of_published_models(family: str, name: str):
    config = PUBLISHED[name]
    config.validate()
    assert count_parameters(config).total == numel_in_transformers(family, config)


OURS = [
    {},
    {"head_dim": 10, "tie_word_embeddings": True},
    {"hidden_act": "gelu", "attention_bias": True},
    {"hidden_act": "relu", "norm_type": "layer_norm"},
    {"qk_norm": True, "position_embedding_type": "sinusoidal"},
]


@pytest.mark.parametrize("changes", OURS, ids=str)
def test_figures_of_the_reference_model(changes: dict[str, object]):
    """Parameters, forward, backward, one decoding step, and the cache of the reference CausalLM: all exact."""
    config = dataclasses.replace(SMALL, **changes)
    B, T = 5, 11
    model = CausalLM(config)
    assert count_parameters(config).total == sum(parameter.numel() for parameter in model.parameters())

    ids = torch.randint(config.vocab_size, (B, T), generator=torch.Generator().manual_seed(5))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(ids)
    assert forward_flops(config, batch_size=B, seq_len=T) == counter.get_total_flops()

    with FlopCounterMode(display=False) as counter:
        model(ids, labels=ids).loss.backward()
    assert training_flops(config, batch_size=B, seq_len=T) == counter.get_total_flops()

    with torch.no_grad():
        cache = model(ids[:, :-1], use_cache=True).past_key_values
        with FlopCounterMode(display=False) as counter:
            cache = model(ids[:, -1:], past_key_values=cache, use_cache=True).past_key_values
    assert decode_flops(config, batch_size=B, context_len=T - 1) == counter.get_total_flops()
    held = sum(part.numel() * part.element_size() for pair in cache for part in pair)
    assert kv_cache_bytes(config, batch_size=B, seq_len=T, dtype=torch.float32) == held
