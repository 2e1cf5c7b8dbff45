"""Presets: the sizes they promise, counted by transformers and by our own model, and what is refused."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from intro2llm.configs.presets import FOLDER, PresetError, load_preset, preset_names
from intro2llm.configs.training_config import TrainingConfig
from intro2llm.model.config import ModelConfig, RopeScaling

PUBLISHED = {"llama-3.2-1b": 1_235_814_400, "qwen2.5-0.5b": 494_032_768}  # from the models' cards
OWN = {"nano": 1_066_112, "tiny": 9_988_800, "small": 29_499_904}


def stated_count(name: str) -> int:
    """The number of parameters in the comment at the top of the file."""
    found = re.search(r"([\d ]+) parameters", (FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    assert found
    return int(found[1].replace(" ", ""))


def test_every_preset_is_known_and_named() -> None:
    assert preset_names() == sorted([*PUBLISHED, *OWN])
    for name in preset_names():
        preset = load_preset(name)
        assert preset.name == name
        assert type(preset.model) is ModelConfig


@pytest.mark.parametrize(("name", "count"), [*PUBLISHED.items(), *OWN.items()])
def test_the_stated_count_is_that_of_the_same_model_in_transformers(name: str, count: int) -> None:
    transformers = pytest.importorskip("transformers")
    ours = load_preset(name).model
    sizes = ("hidden_act", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    others = ("num_attention_heads", "num_key_value_heads", "max_position_embeddings", "tie_word_embeddings")
    shape = {key: getattr(ours, key) for key in (*sizes, *others)}
    qwen = name.startswith("qwen")
    theirs = transformers.Qwen2Config(**shape) if qwen else transformers.LlamaConfig(**shape, head_dim=ours.head_dim)
    with torch.device("meta"):
        model = (transformers.Qwen2ForCausalLM if qwen else transformers.LlamaForCausalLM)(theirs)
    model.tie_weights()
    assert sum(parameter.numel() for parameter in model.parameters()) == stated_count(name) == count


@pytest.mark.parametrize("name", OWN)
def test_the_stated_count_is_that_of_our_own_model(name: str) -> None:
    causal_lm = pytest.importorskip("intro2llm.model.causal_lm")
    with torch.device("meta"):
        model = causal_lm.CausalLM(load_preset(name).model)
    assert sum(parameter.numel() for parameter in model.parameters()) == stated_count(name)


def test_published_settings_beside_the_sizes() -> None:
    llama, qwen = load_preset("llama-3.2-1b").model, load_preset("qwen2.5-0.5b").model
    assert llama.rope_scaling == RopeScaling("llama3", 32.0, 1.0, 4.0, 8192)
    assert (llama.rope_theta, llama.rms_norm_eps, llama.max_position_embeddings) == (500_000.0, 1e-5, 131_072)
    assert (qwen.rope_theta, qwen.rms_norm_eps, qwen.attention_bias) == (1e6, 1e-6, True)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model:\n  hidden_size: 64\n  rope_theta: 1e6\n  head_dim: null\ntraining:\n  steps: 10\n")
    preset = load_preset(path)
    assert preset.name == "mine"
    assert preset.model == ModelConfig(hidden_size=64, rope_theta=1e6)
    assert type(preset.model.rope_theta) is float
    assert preset.training == TrainingConfig(steps=10)


def test_empty_sections_are_all_defaults(tmp_path: Path) -> None:
    path = tmp_path / "empty.yml"
    path.write_text("model:\ntraining:\n")
    assert load_preset(str(path)).model == ModelConfig()


def test_changes_are_typed_and_the_last_one_wins() -> None:
    changes = [
        "model.hidden_size=64",
        "model.hidden_size=96",
        "model.rms_norm_eps=1e-5",
        "model.tie_word_embeddings=false",
        "model.hidden_act=gelu",
        "model.head_dim=48",
        "model.head_dim=null",
        "model.rope_scaling.factor=16",
        "training.steps=7",
    ]
    preset = load_preset("nano", changes)
    expected = dataclasses.replace(
        load_preset("nano").model,
        hidden_size=96,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        hidden_act="gelu",
        rope_scaling=RopeScaling(factor=16.0),
    )
    assert preset.model == expected
    assert preset.training == dataclasses.replace(load_preset("nano").training, steps=7)
    assert load_preset("nano").training.steps > 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.hiden_size=1", "model.hiden_size=1: model.hiden_size is not known; did you mean 'hidden_size'?"),
        ("modle.hidden_size=1", "modle.hidden_size=1: modle is not known; did you mean 'model'?"),
        ("model.hidden_size=wide", "is 'wide'; it must be a whole number"),
        ("model.hidden_size=1.5", "is 1.5; it must be a whole number"),
        ("model.hidden_size=true", "is True; it must be a whole number"),
        ("model.hidden_size=", "is None; it must be a whole number"),
        ("model.head_dim=none", "is 'none'; it must be a whole number, or null"),
        ("model.rms_norm_eps=small", "is 'small'; it must be a number"),
        ("model.rms_norm_eps=.inf", "is inf; it must be a number"),
        ("model.rms_norm_eps=true", "is True; it must be a number"),
        ("model.attention_bias=1", "is 1; it must be true or false"),
        ("model.hidden_act=tanh", "model.hidden_act is 'tanh'; known: gelu, relu, silu"),
        ("model.hidden_act=gelo", "model.hidden_act is 'gelo'; did you mean 'gelu'?"),
        ("model.head_dim.x=1", "model.head_dim.x=1: model.head_dim is {'x': 1}; it must be a whole number"),
        ("model.rope_scaling=8", "is 8; it must be a section with keys of its own, or null"),
        ("model.rope_scaling.fator=8", "model.rope_scaling.fator is not known; did you mean 'factor'?"),
        ("model=8", "'model=8' is not a change; write it like model.hidden_size=128"),
        ("hidden_size", "'hidden_size' is not a change"),
        ("model.hidden_size=[", "the value is not YAML"),
    ],
)
def test_a_change_that_does_not_fit_is_named_in_one_line(change: str, message: str) -> None:
    with pytest.raises(PresetError) as raised:
        load_preset("nano", [change])
    assert message in str(raised.value)
    assert change.partition("=")[0] in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_key_of_a_file_that_does_not_fit_is_named_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model:\n  hidden_size: 64\n  num_layers: 3\n")
    with pytest.raises(
        PresetError, match=r"^mine\.yaml: model\.num_layers is not known; did you mean 'num_hidden_layers'"
    ):
        load_preset(path, ["model.hidden_size=32"])


@pytest.mark.parametrize(
    ("text", "message"),
    [("- 1\n", "holds no sections"), ("model: [\n", "is not YAML"), ("model: 3\n", "must be a section")],
)
def test_a_file_that_is_no_preset(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(PresetError, match=message):
        load_preset(path)


def test_unknown_names_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="there is no preset 'tny'; did you mean 'tiny'"):
        load_preset("tny")
    with pytest.raises(PresetError, match="cannot be read: No such file"):
        load_preset(tmp_path / "none.yaml")
