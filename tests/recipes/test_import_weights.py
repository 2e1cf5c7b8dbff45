"""Weights that do not fit are refused with the first tensor that does not, and a pickle is never opened."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from intro2llm.recipes import import_hf
from intro2llm.utils.hf_config import write_json
from tests.published import change_tensors, edit, refusal

Change = Callable[[Path], object]


# ---- Weights ----


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


def test_a_name_in_a_file_does_not_steer_the_terminal(published: Path) -> None:
    change_tensors(published, lambda tensors: tensors.update({"a\x1b[31m\n" + "b" * 5000: torch.zeros(1)}))
    message = refusal(published)
    assert message.isprintable()
    assert r"the tensor a\x1b[31m\nbbb" in message
    assert message.endswith("bbb, (1), has no place in this model.")
    assert len(message) < 1000


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_no_number_is_refused(value: float, published: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    change_tensors(published, lambda tensors: tensors[name][3, 4].fill_(value))
    assert f"model.safetensors: the tensor {name} holds NaN or infinite values." in refusal(published)


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


def test_a_link_that_leads_nowhere_is_called_so(published: Path) -> None:
    file = published / "model.safetensors"
    file.rename("blob")
    file.symlink_to(Path("blob").resolve())
    import_hf.main([str(published), "--name", "linked"])
    Path("blob").unlink()
    assert f"{file}: is a link to a file that is not there." in refusal(published)


def test_weights_that_may_not_be_read_are_named(published: Path) -> None:
    file = published / "model.safetensors"
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("this user may read everything")
    assert f"{file}: cannot be read: Permission denied." in refusal(published)


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
