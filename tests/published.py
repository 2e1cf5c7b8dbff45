"""A small published model to import, and what `import` and `export` say when they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import intro2llm
from intro2llm.model.build import build_model
from intro2llm.model.config import ModelConfig
from intro2llm.recipes import import_hf
from intro2llm.recipes.events import RecipeError
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer
from intro2llm.utils.hf_config import config_to_hf, write_json
from intro2llm.utils.hf_tokenizer_writer import tokenizer_config_to_hf, tokenizer_to_hf
from intro2llm.utils.hf_weights import save_weights

CONFIG = ModelConfig(
    vocab_size=300,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
)
PACKAGE = Path(intro2llm.__file__).resolve().parent


def publish(folder: Path, tokenizer: ByteLevelTokenizer, config: ModelConfig = CONFIG) -> Path:
    """A folder as a published model has it."""
    folder.mkdir(parents=True)
    model = build_model(config)
    write_json(folder / "config.json", config_to_hf(config))
    save_weights(dict(model.named_parameters(remove_duplicate=False)), config, folder / "model.safetensors")
    write_json(folder / "tokenizer.json", tokenizer_to_hf(tokenizer))
    write_json(folder / "tokenizer_config.json", tokenizer_config_to_hf(tokenizer, 64))
    return folder


def refusal(*arguments: object, recipe: Any = import_hf) -> str:
    """The line with which a recipe refuses, and what it says to do."""
    before = everything(Path())
    with pytest.raises(RecipeError) as caught:
        recipe.main([str(argument) for argument in arguments])
    assert "\n" not in caught.value.message
    assert everything(Path()) == before, "something was written, or left behind"
    return f"{caught.value.message} {caught.value.remedy}".strip()


def everything(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    before = json.dumps(content)
    change(content)
    assert json.dumps(content) != before
    write_json(file, content)


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
