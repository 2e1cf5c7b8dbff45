"""A class of the learner that is not what the configuration describes is named with its lesson."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from intro2llm.model import build
from intro2llm.model.build import ModelBuildError, build_model, check_parameters
from intro2llm.model.config import ModelConfig, RopeScaling
from tests.published import CONFIG


def broken(change: Callable[[nn.Module], object], config: ModelConfig = CONFIG) -> str:
    model = build_model(config)
    check_parameters(model, config)
    change(model)
    with pytest.raises(ModelBuildError) as caught:
        check_parameters(model, config)
    return str(caught.value)


def test_a_parameter_that_is_not_as_it_should_be_is_named_with_its_lesson() -> None:
    def transpose(model: Any) -> None:
        model.layers[1].mlp.gate_proj = nn.Linear(40, 24, bias=False)

    def drop(model: Any) -> None:
        del model.layers[0].post_attention_layernorm

    def add(model: Any) -> None:
        model.layers[1].self_attn.o_proj.bias = nn.Parameter(torch.zeros(24))

    def untie(model: Any) -> None:
        model.lm_head.weight = nn.Parameter(model.embed_tokens.weight.clone())

    message = broken(transpose)
    assert "layers.1.mlp.gate_proj.weight is (24, 40); the configuration says (40, 24)" in message
    assert "SwiGLU (lesson 03)" in message
    assert "no parameter layers.0.post_attention_layernorm.weight, (24,). Look at RMSNorm (lesson 02)" in broken(drop)
    assert "layers.1.self_attn.o_proj.bias" in broken(add)
    assert "Look at CausalLM (lesson 04)" in broken(untie, replace(CONFIG, tie_word_embeddings=True))


def test_an_attention_without_rope_cannot_be_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(nn.Module):
        rope = None

    config = replace(CONFIG, rope_scaling=RopeScaling())
    with pytest.raises(ModelBuildError, match="Other has no module `rope`"):
        build._scale_rope(Other(), config)
