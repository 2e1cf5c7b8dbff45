"""`import` and `export`: the files that they make, where they put them, and what cannot be exported."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from intro2llm.model.build import build_model
from intro2llm.recipes import export_hf, import_hf
from intro2llm.recipes.events import StorageError
from intro2llm.tokenizer.bpe_tokenizer import BPETokenizer
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer
from intro2llm.utils.errors import CheckpointError
from intro2llm.utils.hf_config import write_json
from intro2llm.utils.model_folder import find_run, load_model, save_model, stop_token_ids, write_run
from tests.published import CONFIG, edit, publish, refusal

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


def test_an_end_that_the_model_cannot_write_is_left_out(published: Path) -> None:
    write_json(published / "generation_config.json", {"eos_token_id": [5, 300, 10**30, True, -1]})
    import_hf.main([str(published)])
    folder = Path("runs/published")
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == [1, 5]
    edit(folder / "config.json", lambda values: values.update(eos_token_id=10**30))
    assert stop_token_ids(folder, load_model(folder)[1]) == {1}


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


@pytest.mark.parametrize("name", ["../outside", "a/b", "", ".hidden", "a b", "/tmp/x", "-x", "x.", "x\n", "é"])
def test_a_name_is_one_plain_word(name: str, published: Path) -> None:
    assert "cannot be the name of a run" in refusal(published, f"--name={name}")


def test_a_folder_whose_name_cannot_be_one_asks_for_another(published: Path) -> None:
    named = published.rename(published.with_name("模型"))
    message = refusal(named)
    assert message.startswith("'模型' cannot be the name of a run")
    assert message.endswith("Choose one with --name.")
    import_hf.main([str(named), "--name", "model"])


def test_a_file_in_the_way_is_never_replaced(published: Path) -> None:
    Path("runs").mkdir()
    Path("runs/published").write_text("mine")
    for force in ((), ("--force",)):
        assert "published: is a file, so no folder can be made here. Choose another" in refusal(published, *force)
    import_hf.main([str(published), "--name", "other"])
    assert "runs/published: is a file" in refusal("other", "runs/published/deeper", recipe=export_hf)
    assert Path("runs/published").read_text() == "mine"


def test_the_folder_above_a_model_points_to_it(published: Path) -> None:
    """The hub's cache holds a model in snapshots/HASH."""
    deeper = Path("models--x/snapshots/abc")
    deeper.parent.mkdir(parents=True)
    published.rename(deeper)
    assert f"holds no config.json, so it is no model's folder. There is one in {deeper}: " in refusal("models--x")
    Path("empty").mkdir()
    assert refusal("empty") == "empty: holds no config.json, so it is no model's folder."


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


# ---- A full disk ----


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
@pytest.mark.parametrize("most", [10, 2000])
def test_a_full_disk_is_said_and_leaves_nothing(published: Path, most: int) -> None:
    """With files of at most 10 bytes the first fails, with 2000 the weights do."""
    import resource

    import_hf.main([str(published)])
    for recipe, arguments in ((import_hf, [str(published), "--name", "again"]), (export_hf, ["published", "exported"])):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
        try:
            with pytest.raises(StorageError) as caught:
                recipe.main(arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert "File too large" in caught.value.message
    assert [path.name for path in Path("runs").iterdir()] == ["published"]
    assert not [path.name for path in Path().iterdir() if "exported" in path.name]
