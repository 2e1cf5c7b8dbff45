"""A config.json that asks for something else is refused with the file, the key and the value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intro2llm.model import attention
from intro2llm.recipes import import_hf
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer
from intro2llm.utils.hf_config import config_from_hf, config_to_hf
from tests.published import CONFIG, edit, refusal

SCALED = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "mistral"}, 'model_type is "mistral"'),
        ({"model_type": None}, "model_type is null"),
        ({"model_type": ["llama"]}, 'model_type is ["llama"]'),
        ({"hidden_act": "relu"}, 'hidden_act is "relu"'),
        ({"hidden_act": "gelu_pytorch_tanh"}, 'hidden_act is "gelu_pytorch_tanh"'),
        ({"mlp_bias": True}, "mlp_bias is true"),
        ({"quantization_config": {"bits": 4}}, 'quantization_config is {"bits": 4}'),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, 'rope_scaling.type is "linear"'),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, 'rope_parameters.rope_type is "yarn"'),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "rope_parameters.full_attention is"),
        ({"rope_scaling": {**SCALED, "factor": "8"}}, 'rope_scaling.factor is "8"'),
        ({"rope_scaling": {**SCALED, "low_freq_factor": 4.0}}, "rope_scaling.low_freq_factor is 4.0"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "rope_scaling.factor is missing"),
        ({"rope_theta": float("nan"), "rope_parameters": None}, "rope_theta is NaN"),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
            "use_sliding",
        ),
        ({"model_type": "qwen3", "layer_types": ["full_attention", "sliding_attention"]}, "layer_types is"),
        ({"num_key_value_heads": 3}, "num_key_value_heads is 3: it must divide num_attention_heads, which is 4"),
        ({"hidden_size": "24"}, 'hidden_size is "24": it must be a whole number above 0'),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"vocab_size": 300.0}, "vocab_size is 300.0"),
        ({"head_dim": 5}, "head_dim is 5: a head of 5 numbers"),
        ({"tie_word_embeddings": "yes"}, 'tie_word_embeddings is "yes"'),
        ({"rms_norm_eps": -1.0}, "rms_norm_eps is -1.0"),
        ({"initializer_range": 10**400}, "initializer_range is 1000000"),
        ({"attention_dropout": True}, "attention_dropout is true"),
        ({"attention_dropout": 1.5}, "attention_dropout is 1.5: it must be below 1"),
    ],
)
def test_a_setting_that_cannot_be_followed_is_named(changes: dict[str, Any], words: str, published: Path) -> None:
    file = published / "config.json"
    import_hf.main([str(published), "--name", "fits"])
    edit(file, lambda values: values.update(changes))
    message = refusal(published)
    assert message.startswith(f"{file}: ")
    assert words in message


def test_a_missing_size_is_named(published: Path) -> None:
    edit(published / "config.json", lambda values: values.pop("intermediate_size"))
    assert "intermediate_size is missing" in refusal(published)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe{}", b"[" * 100_000])
def test_a_config_that_is_no_json_object_is_refused(content: bytes, published: Path) -> None:
    (published / "config.json").write_bytes(content)
    assert "config.json: " in refusal(published)


def test_a_windowed_setting_that_reaches_no_layer_is_harmless() -> None:
    values = {**config_to_hf(replace(CONFIG, attention_bias=True)), "use_sliding_window": True, "sliding_window": 8}
    assert config_from_hf({**values, "max_window_layers": 2}).attention_bias


def test_grouped_heads_wait_for_lesson_15(
    tmp_path: Path, tokenizer: ByteLevelTokenizer, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(attention, "GroupedQueryAttention", raising=False)
    edit(published / "config.json", lambda values: values.update(num_key_value_heads=2))
    assert "grouped-query attention comes with lesson 15" in refusal(published)
