"""Weights in safetensors: what a folder holds, whether it fits, and how it comes into your model.

safetensors is a header (for each tensor: name, dtype, shape, place) and then the bytes. The header is read first and
compared with the configuration, tensor by tensor, so a file that does not fit is refused before anything is loaded.
A pickle (`pytorch_model.bin`, `*.pt`) is a program: loading one runs it. None is ever opened here.

Published files write `model.` in front of every name but `lm_head.weight`; in your model there is no such prefix.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from intro2llm.model.config import ModelConfig
from intro2llm.model.layout import parameters_of
from intro2llm.utils.errors import CheckpointError, WriteError
from intro2llm.utils.hf_config import read_json

FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
TABLE, HEAD, OUTPUT_BIAS = "embed_tokens.weight", "lm_head.weight", "self_attn.o_proj.bias"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


class StoredTensor(NamedTuple):
    """One tensor of a checkpoint, as its header describes it."""

    name: str
    """As in the file, with the prefix."""
    file: Path
    dtype: str
    """In the words of safetensors: "F32", "BF16", …"""
    shape: tuple[int, ...]


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: one, or those that its index names, in the order of their names.

    Raises:
        CheckpointError: there are none, one is missing, or the index names a file outside the folder.
    """
    index = folder / INDEX
    if index.is_file():
        names = read_json(index).get("weight_map")
        if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
            raise CheckpointError(f"{index}: weight_map must say for each tensor in which file it is.")
        for name in sorted(set(names.values())):
            if not name.endswith(".safetensors") or set(name) & set("/\\:\0"):
                raise CheckpointError(f"{index}: weight_map names {name!r}; a safetensors file beside it is needed.")
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder / name}: is missing; {INDEX} names it.")
        return [folder / name for name in sorted(set(names.values()))]
    if (folder / FILE).is_file():
        return [folder / FILE]
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles:
        raise CheckpointError(
            f"{folder / pickles[0]}: is a pickle, which can run any program when it is loaded; "
            f"it is not opened. A {FILE} is needed."
        )
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder.")
    for name in (FILE, INDEX):
        if (folder / name).is_symlink():
            raise CheckpointError(f"{folder / name}: is a link to a file that is not there.")
    others = sorted(path.name for path in folder.glob("*.safetensors") if path.is_file())
    found = f" It has {others[0]}: rename it, or add its index." if others else ""
    raise CheckpointError(f"{folder}: holds no {FILE} and no {INDEX}.{found}")


def read_layout(folder: Path) -> dict[str, StoredTensor]:
    """The headers of all files of a checkpoint: the tensors by their names in your model. No tensor is loaded.

    `rotary_emb.inv_freq`, which old files hold, is left out: it follows from the configuration.

    Raises:
        CheckpointError: a file is no whole safetensors file, or index and files do not agree.
    """
    layout: dict[str, StoredTensor] = {}
    for file in weight_files(folder):
        with _opened(file) as content:
            for name in content.keys():  # noqa: SIM118  (not a dict)
                part = content.get_slice(name)
                if own_name(name) in layout:
                    raise CheckpointError(f"{file}: {name} is also in {layout[own_name(name)].file.name}.")
                layout[own_name(name)] = StoredTensor(name, file, part.get_dtype(), tuple(part.get_shape()))
    index = folder / INDEX
    if index.is_file():
        for name, file_name in read_json(index)["weight_map"].items():
            stored = layout.get(own_name(name))
            if stored is None or stored.file.name != file_name:
                raise CheckpointError(f"{folder / file_name}: has no tensor {name}, which {INDEX} says it has.")
    return {name: stored for name, stored in layout.items() if not name.endswith("rotary_emb.inv_freq")}


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt", device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        try:
            with file.open("rb") as content:
                start = content.read(64)
        except OSError as unreadable:
            raise CheckpointError(f"{file}: cannot be read: {unreadable.strerror}.") from unreadable
        if start.startswith(b"version https://git-lfs"):
            raise CheckpointError(f"{file}: is a Git LFS pointer, not the file; fetch it with: git lfs pull") from error
        raise CheckpointError(f"{file}: is not a whole safetensors file: {' '.join(str(error).split())}.") from error


def own_name(name: str) -> str:
    """A published name without its prefix: "model.norm.weight" → "norm.weight"."""
    return name.removeprefix("model.")


def published_name(name: str) -> str:
    """The inverse: "norm.weight" → "model.norm.weight"; "lm_head.weight" stays."""
    return name if name.startswith("lm_head.") else f"model.{name}"


def check_layout(layout: Mapping[str, StoredTensor], config: ModelConfig, folder: Path) -> None:
    """Compare a checkpoint with what the configuration implies.

    With tied embeddings the file may lack `lm_head.weight`, as published ones do, or hold it. With `attention_bias` it
    may hold a bias of o_proj.

    Raises:
        CheckpointError: a tensor is missing, has another shape or dtype, or has no place in the model: the first one.
    """
    rest = dict(layout)
    for name, shape, _ in parameters_of(config):
        if name not in rest:
            raise CheckpointError(f"{folder}: the tensor {published_name(name)}, {_words(shape)}, is missing.")
        _check_tensor(rest.pop(name), shape)
    for name in [name for name in rest if _may_be_there(name, config)]:
        shape = (config.vocab_size, config.hidden_size) if name == HEAD else (config.hidden_size,)
        _check_tensor(rest.pop(name), shape)
    if rest:
        extra = next(iter(rest.values()))
        more = f" {len(rest) - 1} more like it." if len(rest) > 1 else ""
        raise CheckpointError(
            f"{extra.file}: the tensor {extra.name}, {_words(extra.shape)}, has no place in this model.{more}"
        )


def _may_be_there(name: str, config: ModelConfig) -> bool:
    """Whether a tensor that the model does not have may stand in its file."""
    if name == HEAD:
        return config.tie_word_embeddings
    layer = re.fullmatch(rf"layers\.(\d+)\.{re.escape(OUTPUT_BIAS)}", name)
    return config.attention_bias and layer is not None and int(layer[1]) < config.num_hidden_layers


def _check_tensor(stored: StoredTensor, shape: tuple[int, ...]) -> None:
    if stored.shape != shape:
        raise CheckpointError(
            f"{stored.file}: the tensor {stored.name} is {_words(stored.shape)}; config.json says {_words(shape)}."
        )
    if stored.dtype not in DTYPES:
        raise CheckpointError(
            f"{stored.file}: the tensor {stored.name} holds {stored.dtype}; one of {', '.join(DTYPES)} is needed."
        )


def _words(shape: Iterable[int]) -> str:
    return f"({', '.join(map(str, shape))})"


@torch.no_grad()
def load_weights(model: nn.Module, config: ModelConfig, folder: Path) -> None:
    """Copy the weights of a checkpoint into the model, one tensor at a time, in the model's own dtype and device.

    Raises:
        CheckpointError: the checkpoint does not fit; the model is then as it was.
    """
    layout = read_layout(folder)
    check_layout(layout, config, folder)
    check_values(layout, config)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, tensor in read_tensors({name: layout[name] for name, *_ in parameters_of(config)}):
        parameters[name].copy_(tensor)


def check_values(layout: Mapping[str, StoredTensor], config: ModelConfig) -> None:
    """Look into the tensors that the model does without: a tied `lm_head.weight`, and biases of o_proj.

    Raises:
        CheckpointError: the first differs from the table, or the second are not zero.
    """
    if config.tie_word_embeddings and HEAD in layout:
        head, table = layout[HEAD], layout[TABLE]
        tensors = dict(read_tensors({HEAD: head, TABLE: table}))
        if not torch.equal(tensors[HEAD], tensors[TABLE]):
            raise CheckpointError(
                f"{head.file}: {head.name} is not equal to {table.name}, although config.json says tie_word_embeddings."
            )
    biases = {name: stored for name, stored in layout.items() if name.endswith(OUTPUT_BIAS)}
    for name, bias in read_tensors(biases):
        if bias.count_nonzero():
            stored = biases[name]
            raise CheckpointError(
                f"{stored.file}: the tensor {stored.name} (config.json: attention_bias) is not zero; "
                "o_proj has no bias in this model."
            )


def read_tensors(layout: Mapping[str, StoredTensor]) -> Iterator[tuple[str, Tensor]]:
    """The tensors, file by file, one in memory at a time."""
    for file in sorted({stored.file for stored in layout.values()}):
        with _opened(file) as content:
            for name, stored in layout.items():
                if stored.file == file:
                    yield name, content.get_tensor(stored.name)


def save_weights(tensors: Mapping[str, Tensor], config: ModelConfig, file: Path, *, output_bias: bool = False) -> None:
    """Write the parameters of a model under their published names; a tied `lm_head.weight` only once, as the table.

    Args:
        tensors: at least the parameters that `config` implies, by their names in your model.
        output_bias: also write a bias of zeros for each o_proj, as some configurations of `transformers` want it.

    Raises:
        WriteError: the file cannot be written.
    """
    named = {published_name(name): tensors[name].detach().cpu().contiguous() for name, *_ in parameters_of(config)}
    if output_bias:
        for i in range(config.num_hidden_layers):
            zeros = torch.zeros(config.hidden_size, dtype=tensors[TABLE].dtype)
            named[published_name(f"layers.{i}.{OUTPUT_BIAS}")] = zeros
    try:
        save_file(named, file, metadata={"format": "pt"})
        file.chmod(0o644)  # the library makes a file that only its owner may read
    except (SafetensorError, OSError) as error:
        raise WriteError(f"{file}: cannot be written: {' '.join(str(error).split())}.") from error
