"""`import` and `export`: what does not fit is refused in one line, and nothing is half written."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import intro2llm
from intro2llm.model import attention, build
from intro2llm.model.build import ModelBuildError, build_model, check_parameters
from intro2llm.model.config import ModelConfig
from intro2llm.recipes import export_hf, import_hf
from intro2llm.recipes.events import RecipeError
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer
from intro2llm.tokenizer.bpe_tokenizer import BPETokenizer
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer
from intro2llm.utils.errors import CheckpointError
from intro2llm.utils.hf_config import config_from_hf, config_to_hf, write_json
from intro2llm.utils.hf_tokenizer_writer import tokenizer_config_to_hf, tokenizer_to_hf
from intro2llm.utils.hf_weights import save_weights
from intro2llm.utils.model_folder import find_run, load_model, save_model, stop_token_ids, write_run
from intro2llm.utils.new_folder import new_folder

CONFIG = ModelConfig(
    vocab_size=300,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
)
PACKAGE = Path(intro2llm.__file__).resolve().parent
Change = Callable[[Path], object]


@pytest.fixture
def tokenizer() -> ByteLevelTokenizer:
    tokenizer = ByteLevelTokenizer()
    tokenizer.train(["the cat sat on the mat, the hat, that bat"] * 3, 280)
    return tokenizer


def publish(folder: Path, tokenizer: ByteLevelTokenizer, config: ModelConfig = CONFIG) -> Path:
    """A folder as a published model has it."""
    folder.mkdir(parents=True)
    model = build_model(config)
    write_json(folder / "config.json", config_to_hf(config))
    save_weights(dict(model.named_parameters(remove_duplicate=False)), config, folder / "model.safetensors")
    write_json(folder / "tokenizer.json", tokenizer_to_hf(tokenizer))
    write_json(folder / "tokenizer_config.json", tokenizer_config_to_hf(tokenizer, 64))
    return folder


@pytest.fixture
def published(tmp_path: Path, tokenizer: ByteLevelTokenizer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that can be imported, and a workspace to do it in."""
    monkeypatch.chdir(tmp_path)
    return publish(tmp_path / "published", tokenizer)


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


# ---- What works ----


def test_a_run_is_made_with_the_name_of_the_folder(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_hf.main([str(published)])
    assert "intro2llm generate --run published" in capsys.readouterr().out
    run = json.loads(Path("runs/published/run.json").read_text())
    assert run["kind"] == "import"
    assert run["source"] == str(published)
    assert run["parameters"] == sum(parameter.numel() for parameter in build_model(CONFIG).parameters())
    assert [path.name for path in Path("runs").iterdir()] == ["published"]
    model, _ = load_model(find_run(Path("runs")))
    theirs = load_file(published / "model.safetensors")
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, theirs[name if name.startswith("lm_head") else f"model.{name}"])


def test_a_file_of_weights_stands_for_its_folder(published: Path) -> None:
    import_hf.main([str(published / "model.safetensors"), "--name", "by-file"])
    assert find_run(Path("runs"), "by-file") == Path("runs/by-file")
    save_file({"x": torch.ones(1)}, published / "other.safetensors")
    assert "is not the file of weights that belongs to" in refusal(published / "other.safetensors", "--name", "other")


def test_the_files_can_be_read_by_others(published: Path) -> None:
    import_hf.main([str(published)])
    export_hf.main(["published", "exported"])
    for path in (*Path("runs/published").iterdir(), *Path("exported").iterdir()):
        assert path.stat().st_mode & 0o444 == 0o444, path


def test_bf16_stays_bf16(published: Path) -> None:
    before = {name: tensor.bfloat16() for name, tensor in load_file(published / "model.safetensors").items()}
    save_file(before, published / "model.safetensors")
    import_hf.main([str(published)])
    export_hf.main(["published", "exported"])
    after = load_file("exported/model.safetensors")
    assert all(
        torch.equal(after[name], tensor) and after[name].dtype == torch.bfloat16 for name, tensor in before.items()
    )
    for folder in ("runs/published", "exported"):
        assert json.loads(Path(folder, "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_nothing_is_drawn_for_a_model_that_gets_its_weights(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    normal = nn.init.normal_
    import_hf.main([str(published)])
    state = torch.get_rng_state()
    load_model(Path("runs/published"))
    assert torch.equal(torch.get_rng_state(), state)
    assert nn.init.normal_ is normal
    assert build_model(CONFIG).lm_head.weight.std() > 0.01


def test_several_ends_of_a_text_are_kept(published: Path) -> None:
    write_json(published / "generation_config.json", {"eos_token_id": [5, 1, 7]})
    import_hf.main([str(published)])
    export_hf.main(["published", "exported"])
    assert json.loads(Path("exported/generation_config.json").read_text())["eos_token_id"] == [1, 5, 7]
    folder = Path("runs/published")
    assert stop_token_ids(folder, load_model(folder)[1]) == {1, 5, 7}


# ---- Names that are taken ----


def test_an_existing_run_stays_unless_forced(published: Path) -> None:
    import_hf.main([str(published)])
    weights = Path("runs/published/model.safetensors")
    before = weights.read_bytes()
    publish(Path("again/published"), ByteLevelTokenizer())
    assert "published: is there already, and is not empty. Choose another --name" in refusal("again/published")
    assert weights.read_bytes() == before
    import_hf.main(["again/published", "--force"])
    assert weights.read_bytes() != before
    assert [path.name for path in Path("runs").iterdir()] == ["published"]


def test_only_a_run_gives_way_to_a_forced_import(published: Path) -> None:
    notes = Path("runs/published/notes.txt")
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    assert "is no run" in refusal(published, "--force")


@pytest.mark.parametrize("name", ["../outside", "a/b", "", ".hidden", "a b", "/tmp/x", "-x"])
def test_a_name_is_one_plain_word(name: str, published: Path) -> None:
    assert "cannot be the name of a run" in refusal(published, f"--name={name}")


def test_an_export_goes_to_an_empty_folder(published: Path) -> None:
    import_hf.main([str(published)])
    target = Path("exported")
    target.mkdir()
    export_hf.main(["published", "exported"])
    assert {path.name for path in target.iterdir()} == export_hf.WRITTEN
    assert "is there already" in refusal("published", "exported", recipe=export_hf)
    export_hf.main(["published", "exported", "--force"])
    (target / "notes.txt").write_text("mine")
    assert "notes.txt: is no part of an exported model" in refusal("published", "exported", "--force", recipe=export_hf)
    Path("file").write_text("mine")
    assert "is a file" in refusal("published", "file", recipe=export_hf)


def test_a_run_is_found_by_name_or_as_the_newest(
    tmp_path: Path, tokenizer: ByteLevelTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    with pytest.raises(CheckpointError, match="holds no model yet"):
        find_run(runs)
    model = build_model(CONFIG)
    for step in (90, 100, 1000):
        save_model(model, tokenizer, runs / "training" / "checkpoints" / f"step-{step:06d}")
    (runs / "training" / "checkpoints" / "step-002000").mkdir()  # not complete
    write_run(runs / "training", "pretrain")
    assert find_run(runs, "training").name == find_run(runs).name == "step-001000"
    save_model(model, tokenizer, runs / "later")
    write_run(runs / "later", "import")
    os.utime(runs / "later" / "config.json", (2e9, 2e9))
    assert find_run(runs) == runs / "later"
    with pytest.raises(CheckpointError, match="Did you mean 'training'"):
        find_run(runs, "trainin")
    (runs / "empty").mkdir()
    write_run(runs / "empty", "pretrain")
    with pytest.raises(CheckpointError, match="empty: holds no model yet"):
        find_run(runs, "empty")


# ---- config.json ----

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


# ---- Weights ----


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda tensors: tensors.update({"model.layers.1.mlp.up_proj.weight": torch.zeros(24, 40)}),
            "model.layers.1.mlp.up_proj.weight is (24, 40); config.json says (40, 24)",
        ),
        (
            lambda tensors: tensors.pop("model.layers.1.self_attn.k_proj.weight"),
            "the tensor model.layers.1.self_attn.k_proj.weight, (24, 24), is missing",
        ),
        (
            lambda tensors: tensors.update({"model.layers.2.input_layernorm.weight": torch.ones(24)}),
            "model.layers.2.input_layernorm.weight, (24), has no place in this model",
        ),
        (
            lambda tensors: tensors.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(24)}),
            "model.layers.0.self_attn.q_proj.bias, (24), has no place in this model",
        ),
        (
            lambda tensors: tensors.update({"model.norm.weight": torch.ones(24, dtype=torch.int8)}),
            "model.norm.weight holds I8; one of F64, F32, F16, BF16 is needed",
        ),
        (
            lambda tensors: tensors.update({"norm.weight": torch.ones(24)}),
            "norm.weight is also in model.safetensors",
        ),
        (lambda tensors: tensors.pop("lm_head.weight"), "the tensor lm_head.weight, (300, 24), is missing"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(change: Any, words: str, published: Path) -> None:
    change_tensors(published, change)
    assert words in refusal(published)


def test_nothing_is_loaded_before_everything_fits(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is not even built for a file whose last tensor does not fit."""
    monkeypatch.setattr(import_hf, "build_model", lambda config, **_: pytest.fail("a model was built"))
    change_tensors(published, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(299, 24)}))
    assert "lm_head.weight is (299, 24); config.json says (300, 24)" in refusal(published)


def test_a_bias_of_o_proj_is_refused_unless_it_is_zero(published: Path) -> None:
    def add_biases(tensors: dict[str, torch.Tensor]) -> None:
        for i in range(2):
            for projection in "qkvo":
                tensors[f"model.layers.{i}.self_attn.{projection}_proj.bias"] = torch.zeros(24)

    edit(published / "config.json", lambda values: values.update(attention_bias=True))
    change_tensors(published, add_biases)
    import_hf.main([str(published), "--name", "zeros"])
    bias = "model.layers.1.self_attn.o_proj.bias"
    change_tensors(published, lambda tensors: tensors.update({bias: torch.full((24,), 0.1)}))
    assert f"the tensor {bias} (config.json: attention_bias) is not zero" in refusal(published)


class Program:
    """Unpickling it makes a folder: any other program would do as well."""

    def __init__(self, made: str) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.made,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt"])
def test_a_pickle_is_never_opened(name: str, published: Path) -> None:
    (published / "model.safetensors").unlink()
    (published / name).write_bytes(pickle.dumps(Program("ran")))
    pickle.loads((published / name).read_bytes())
    assert Path("ran").is_dir(), "loading the file does not run a program: the test proves nothing"
    Path("ran").rmdir()
    assert f"{name}: is a pickle" in refusal(published)
    assert "is no safetensors file" in refusal(published / name)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: file.write_bytes(file.read_bytes()[:50]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"\x80\x04" + b"x" * 200),
        lambda file: file.write_bytes(b"\xff" * 8 + b"{}"),
        lambda file: file.write_bytes(pickle.dumps(Program("ran"))),
    ],
    ids=["cut", "cut-header", "empty", "foreign", "endless-header", "pickle"],
)
def test_a_damaged_file_is_named(spoil: Change, published: Path) -> None:
    file = published / "model.safetensors"
    spoil(file)
    with pytest.raises((SafetensorError, OSError)):
        safe_open(file, framework="pt")
    assert f"{file}: is not a whole safetensors file" in refusal(published)
    assert not Path("ran").exists()


def test_a_pointer_of_git_lfs_is_called_so(published: Path) -> None:
    (published / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    assert "is a Git LFS pointer" in refusal(published)


# ---- Several files ----


def shard(folder: Path) -> dict[str, str]:
    """Cut the one file into two with an index. Returns the index's map."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    weight_map = {name: file for file, part in parts.items() for name in part}
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors").unlink()
    return weight_map


@pytest.mark.parametrize(
    "place", ["../secret.safetensors", "/tmp/secret.safetensors", "a\\b.safetensors", "..", "x.bin"]
)
def test_an_index_may_not_point_out_of_its_folder(place: str, published: Path) -> None:
    weight_map = shard(published)
    import_hf.main([str(published), "--name", "sharded"])
    name = "model.norm.weight"
    save_file({name: torch.ones(24)}, published.parent / "secret.safetensors")
    if not place.startswith("/"):
        assert place != "../secret.safetensors" or (published / place).is_file()
    write_json(published / "model.safetensors.index.json", {"weight_map": {**weight_map, name: place}})
    assert f"weight_map names {place!r}" in refusal(published)


def test_a_missing_or_wrong_shard_is_named(published: Path) -> None:
    weight_map = shard(published)
    second = published / "model-00002-of-00002.safetensors"
    content = second.read_bytes()
    second.unlink()
    assert f"{second}: is missing" in refusal(published)
    second.write_bytes(content[:-8])
    assert f"{second}: is not a whole safetensors file" in refusal(published)
    second.write_bytes(content)
    wrong = {**weight_map, "lm_head.weight": second.name}
    assert wrong != weight_map
    write_json(published / "model.safetensors.index.json", {"weight_map": wrong})
    assert "has no tensor lm_head.weight, which model.safetensors.index.json says it has" in refusal(published)
    write_json(published / "model.safetensors.index.json", {"weight_map": ["x"]})
    assert "weight_map must say" in refusal(published)


# ---- tokenizer.json ----


def tool(**flags: bool) -> dict[str, Any]:
    return {"id": 290, "content": "<tool>", "special": False, "normalized": False, **flags}


def template(token: str) -> dict[str, Any]:
    single = [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    special = {token: {"id": token, "ids": [299], "tokens": [token]}}
    return {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": special}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t["model"].update(type="Unigram"), "model.type is 'Unigram': only byte-level BPE"),
        (lambda t: t["model"].update(type="WordPiece"), "model.type is 'WordPiece'"),
        (lambda t: t["model"].update(byte_fallback=True), "byte_fallback is true (SentencePiece)"),
        (lambda t: t["model"].update(end_of_word_suffix="</w>"), "end_of_word_suffix is '</w>'"),
        (lambda t: t.update(pre_tokenizer={"type": "Metaspace"}), "pre_tokenizer is 'Metaspace'"),
        (lambda t: t.update(pre_tokenizer=None), "pre_tokenizer is None"),
        (lambda t: t.update(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True}), "add_prefix_space is true"),
        (lambda t: t["pre_tokenizer"]["pretokenizers"][0].update(behavior="MergedWithNext"), "'MergedWithNext'"),
        (lambda t: t["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": "(a"}), "cannot be read"),
        (lambda t: t["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": "[a[b]]"}), "sets inside sets"),
        (lambda t: t.update(normalizer={"type": "NFKC"}), "normalizer is 'NFKC'"),
        (lambda t: t.update(decoder={"type": "Metaspace"}), "decoder is 'Metaspace'"),
        (lambda t: t.update(post_processor={"type": "BertProcessing"}), "post_processor is 'BertProcessing'"),
        (lambda t: t["added_tokens"].append(tool(lstrip=True)), "'<tool>' has lstrip = true"),
        (lambda t: t["added_tokens"].append({**tool(), "id": 3}), "has the id 3, which is not a number of its own"),
        (
            lambda t: t["added_tokens"].append({**tool(), "id": 300}),
            "has the id 300; config.json says vocab_size = 300",
        ),
        (lambda t: t["model"]["merges"].append(["the", "zz"]), "does not join two tokens"),
        (lambda t: t["model"]["vocab"].pop("Ġ"), "does not join two tokens"),
        (lambda t: [t["model"]["vocab"].pop("Ą"), t["model"].update(unk_token="<unk>")], "lacks the byte 'Ą'"),
        (lambda t: t.update(post_processor=template("<nowhere>")), "adds the token '<nowhere>'"),
        (lambda t: t.pop("model"), "is not a tokenizer.json"),
        (lambda t: t.update(model=[]), "is not a tokenizer.json"),
    ],
)
def test_a_tokenizer_that_cannot_be_followed_is_named(change: Any, words: str, published: Path) -> None:
    import_hf.main([str(published), "--name", "fits"])
    edit(published / "tokenizer.json", change)
    message = refusal(published)
    assert words in message
    assert "tokenizer.json" in message or "vocab_size" in message


def test_other_kinds_of_tokenizers_are_named(published: Path) -> None:
    (published / "tokenizer.json").unlink()
    (published / "tokenizer.model").write_bytes(b"\n\x0e")
    assert "tokenizer.model is another kind of tokenizer" in refusal(published)


def test_a_tokenizer_without_an_end_is_refused(published: Path) -> None:
    edit(published / "tokenizer_config.json", lambda values: values.pop("eos_token"))
    assert "names no eos_token" in refusal(published)
    edit(published / "tokenizer_config.json", lambda values: values.update(eos_token="<nowhere>"))
    assert "eos_token '<nowhere>' is not in tokenizer.json" in refusal(published)


def test_a_class_that_adds_to_a_full_vocabulary_is_named(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def add_tokens(self: BaseTokenizer, tokens: Any) -> None:
        self.vocab["<extra>"] = 299

    monkeypatch.setattr(BaseTokenizer, "add_tokens", add_tokens)
    assert "BaseTokenizer.__init__ (lesson 01)" in refusal(published)


def test_a_class_that_passes_its_own_steps_by_is_named(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def encode_ordinary(self: Any, text: str) -> list[int]:
        return [self.vocab[token] for piece in text.split(" ") for token in self.apply_merges(self.symbols(piece))]

    monkeypatch.setattr(BPETokenizer, "encode_ordinary", encode_ordinary)
    assert "BPETokenizer.encode_ordinary (lesson 01) does not give the ids" in refusal(published)


# ---- Export ----


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"norm_type": "layer_norm"}, "norm_type = 'layer_norm'"),
        ({"hidden_act": "relu"}, "hidden_act = 'relu'"),
        ({"position_embedding_type": "sinusoidal"}, "position_embedding_type = 'sinusoidal'"),
        ({"num_attention_heads": 5, "head_dim": 6}, "hidden_size = 24: Llama wants a multiple"),
    ],
)
def test_a_model_that_transformers_does_not_have_is_kept_but_not_exported(
    changes: dict[str, Any], words: str, tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = replace(CONFIG, **changes)
    model = build_model(config).eval()
    save_model(model, tokenizer, Path("runs/odd"))
    write_run(Path("runs/odd"), "pretrain")
    again, _ = load_model(Path("runs/odd"))
    assert again.config == config
    tokens = torch.arange(20)[None]
    assert torch.equal(again(tokens).logits, model(tokens).logits)
    assert words in refusal("odd", "exported", recipe=export_hf)


def test_a_tokenizer_that_cuts_in_its_own_way_is_not_exported(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, vocab_size=400)
    save_model(build_model(config), ByteLevelTokenizer(), Path("runs/mine"))
    write_run(Path("runs/mine"), "pretrain")
    monkeypatch.setattr(BPETokenizer, "_pretokenize", lambda self, text: text.split(" "))
    message = refusal("mine", "exported", recipe=export_hf)
    assert message.startswith("BPETokenizer._pretokenize (lesson 01) cuts")


def test_an_unknown_run_is_refused(published: Path) -> None:
    import_hf.main([str(published)])
    assert "has no run 'publishd'. Did you mean 'published'?" in refusal("publishd", "exported", recipe=export_hf)
    assert "has no run '../published'" in refusal("../published", "exported", recipe=export_hf)


# ---- The learner's own mistakes ----


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

    config = config_from_hf({**config_to_hf(CONFIG), "rope_scaling": SCALED})
    with pytest.raises(ModelBuildError, match="Other has no module `rope`"):
        build._scale_rope(Other(), config)


# ---- Interrupted ----


def test_an_error_or_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    for error in (KeyboardInterrupt, OSError):
        with pytest.raises(error), new_folder(tmp_path / "target") as partial:
            (partial / "file").write_text("half")
            assert partial.parent == tmp_path
            raise error
        assert list(tmp_path.iterdir()) == []


def test_who_comes_second_does_not_overwrite(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is there already"), new_folder(tmp_path / "target") as partial:
        (partial / "file").write_text("second")
        (tmp_path / "target").mkdir()
        (tmp_path / "target" / "file").write_text("first")
    assert everything(tmp_path) == {str(tmp_path / "target" / "file"): 5}


KILLED = """
import os, signal, sys
from intro2llm.recipes import import_hf
from intro2llm.utils import model_folder
write = model_folder.save_weights
def save_weights(*arguments, **options):
    write(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
model_folder.save_weights = save_weights
import_hf.main(sys.argv[1:])
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_import_leaves_no_run_and_the_next_one_cleans_up(published: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-c", KILLED, str(published)], env=environment, capture_output=True)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    (left,) = Path("runs").iterdir()
    assert (left / "model.safetensors").is_file()
    with pytest.raises(CheckpointError, match="has no run"):
        find_run(Path("runs"), left.name)
    import_hf.main([str(published)])
    assert [path.name for path in Path("runs").iterdir()] == ["published"]


KILLED_WHILE_REPLACING = """
import os, signal, sys
from pathlib import Path
from intro2llm.recipes import import_hf
rename, calls = Path.rename, []
def killing(self, target):
    calls.append(target)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
Path.rename = killing
import_hf.main([*sys.argv[1:], "--force"])
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_run_that_was_giving_way_comes_back(published: Path) -> None:
    import_hf.main([str(published)])
    before = Path("runs/published/model.safetensors").read_bytes()
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED_WHILE_REPLACING, str(published)]
    ran = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert not Path("runs/published").exists()
    with pytest.raises(RecipeError, match="is there already"):
        import_hf.main([str(published)])
    assert Path("runs/published/model.safetensors").read_bytes() == before
    assert [path.name for path in Path("runs").iterdir()] == ["published"]


FULL = """
import resource, sys
from intro2llm.recipes import import_hf
from intro2llm.recipes.events import run_by_hand
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
run_by_hand(lambda _: import_hf.main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
def test_a_disk_that_fills_up_is_one_line(published: Path) -> None:
    assert (published / "model.safetensors").stat().st_size > 60_000
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(published)], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode not in (0, -signal.SIGKILL)
    assert "model.safetensors: cannot be written: " in ran.stderr
    assert "Traceback" not in ran.stderr
    assert list(Path("runs").iterdir()) == []
