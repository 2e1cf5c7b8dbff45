"""Model folders: a model and its tokenizer on disk. And runs: the folders in which your models are kept.

    config.json          the configuration, as Hugging Face `transformers` writes it
    model.safetensors    the weights, with the names that `transformers` uses
    tokenizer/           what `tokenizer.save` writes

`runs/NAME/` is a run. It holds run.json, which says what made it, and either the model itself (an imported one), or
`checkpoints/step-000100/`, `step-000200/`, …, each a model folder (training).
"""

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from intro2llm.model.build import build_model
from intro2llm.model.causal_lm import CausalLM
from intro2llm.model.config import ModelConfig
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer
from intro2llm.tokenizer.bpe_tokenizer import BPETokenizer
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer
from intro2llm.tokenizer.pretrained_tokenizer import PretrainedTokenizer
from intro2llm.utils.errors import CheckpointError
from intro2llm.utils.hf_config import (
    config_to_hf,
    config_to_own,
    has_output_bias,
    named_ids,
    read_config,
    read_json,
    write_json,
)
from intro2llm.utils.hf_weights import DTYPES, FILE, INDEX, check_layout, load_weights, read_layout, save_weights
from intro2llm.utils.new_folder import new_folder

TOKENIZERS = {kind.__name__: kind for kind in (BaseTokenizer, BPETokenizer, ByteLevelTokenizer, PretrainedTokenizer)}


def save_model(model: CausalLM, tokenizer: BaseTokenizer, folder: Path) -> None:
    """Write a model folder. It appears complete or not at all.

    Raises:
        CheckpointError: something is there already, or cannot be written.
    """
    with new_folder(folder) as partial:
        write_model(partial, model.config, dict(model.named_parameters(remove_duplicate=False)), tokenizer)


def write_model(
    folder: Path,
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    tokenizer: BaseTokenizer,
    *,
    stop_ids: Collection[int] = (),
) -> None:
    """Write the parts of a model folder into a folder that is there.

    Where `transformers` knows such a model, config.json is written for it; if not, with our own field names.

    Args:
        tensors: the parameters by their names in your model.
        stop_ids: ids that end a text, beside the tokenizer's eos.
    """
    try:
        values = config_to_hf(config)
    except CheckpointError:
        values = config_to_own(config)
    write_json(folder / "config.json", values | other_settings(tensors, tokenizer, stop_ids))
    save_weights(tensors, config, folder / FILE, output_bias=has_output_bias(values))
    tokenizer.save(folder / "tokenizer")


def other_settings(
    tensors: Mapping[str, Tensor], tokenizer: BaseTokenizer, stop_ids: Collection[int] = ()
) -> dict[str, Any]:
    """The rest of a config.json: the dtype of the weights, and the ids of bos, eos and pad."""
    ends = [tokenizer.eos_token_id, *sorted(set(stop_ids) - {tokenizer.eos_token_id})]
    return {
        "torch_dtype": str(tensors["embed_tokens.weight"].dtype).removeprefix("torch."),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": ends if len(ends) > 1 else ends[0],
        "pad_token_id": tokenizer.pad_token_id,
    }


def load_model(
    folder: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> tuple[CausalLM, BaseTokenizer]:
    """Read a model folder into your classes: the model, in eval mode, and its tokenizer.

    Args:
        folder: a model folder.
        device: where the model is to live.
        dtype: of the weights in memory; None is that of the file.

    Raises:
        CheckpointError: the folder does not hold such a model, or its parts do not fit together.
        ModelBuildError: your classes do not build what config.json describes.
    """
    config = read_config(folder / "config.json")
    layout = read_layout(folder)
    check_layout(layout, config, folder)
    tokenizer = load_tokenizer(folder / "tokenizer")
    check_vocabulary(tokenizer, config, folder)
    model = build_model(config, random_weights=False).to(
        device=device, dtype=dtype or DTYPES[layout["embed_tokens.weight"].dtype]
    )
    load_weights(model, config, folder)
    return model.eval(), tokenizer


def load_tokenizer(folder: Path) -> BaseTokenizer:
    """Read what a tokenizer's `save` wrote, whichever of our classes it was.

    Raises:
        CheckpointError: the folder is missing, damaged, or was written by an unknown class.
    """
    name = read_json(folder / "tokenizer_config.json").get("tokenizer_class")
    if not isinstance(name, str) or name not in TOKENIZERS:
        raise CheckpointError(f"{folder}: was written by {name!r}; known are {', '.join(TOKENIZERS)}.")
    try:
        return TOKENIZERS[name].load(folder)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: cannot be read: {error}.") from error


def check_vocabulary(tokenizer: BaseTokenizer, config: ModelConfig, folder: Path) -> None:
    """Raise CheckpointError if the tokenizer has an id for which the model has no row."""
    token, last = max(tokenizer.vocab.items(), key=lambda item: item[1])
    if last >= config.vocab_size:
        raise CheckpointError(
            f"{folder}: the token {token!r} has the id {last}; config.json says vocab_size = {config.vocab_size}."
        )


def stop_token_ids(folder: Path, tokenizer: BaseTokenizer) -> set[int]:
    """The ids that end a text: the tokenizer's eos, and those of config.json (a model that chats may have several)."""
    values = read_json(folder / "config.json")
    return {tokenizer.eos_token_id, *named_ids(values.get("eos_token_id"), range(values["vocab_size"]))}


def is_model_folder(folder: Path) -> bool:
    """Whether a folder has the parts of a model."""
    weights = (folder / FILE).is_file() or (folder / INDEX).is_file()
    return weights and (folder / "config.json").is_file() and (folder / "tokenizer").is_dir()


def find_run(runs: Path, name: str | None = None) -> Path:
    """The model folder of a run: of the newest, or of the one with that name; of its checkpoints the last.

    Raises:
        CheckpointError: there is no run, none of that name, or it holds no model yet; or the folder cannot be read.
    """
    try:
        names = [path.name for path in runs.iterdir() if (path / "run.json").is_file()] if runs.is_dir() else []
    except OSError as error:
        raise CheckpointError(f"{error.filename or runs}: cannot be read: {error.strerror}.") from error
    names = sorted(each for each in names if not each.startswith("."))
    if name is None:
        models = [model for each in names if (model := _model_of(runs / each))]
        if not models:
            raise CheckpointError(f"{runs}: holds no model yet.")
        return max(models, key=lambda model: ((model / "config.json").stat().st_mtime_ns, model))
    if name not in names:
        near = get_close_matches(name, names, n=1)
        known = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names)}." if names else "It is empty."
        raise CheckpointError(f"{runs}: has no run {name!r}. {known}")
    model = _model_of(runs / name)
    if model is None:
        raise CheckpointError(f"{runs / name}: holds no model yet.")
    return model


def _model_of(run: Path) -> Path | None:
    if is_model_folder(run):
        return run
    steps = [path for path in run.glob("checkpoints/step-*") if re.fullmatch(r"step-\d+", path.name)]
    complete = [path for path in steps if is_model_folder(path)]
    return max(complete, key=lambda path: int(path.name.removeprefix("step-")), default=None)


def write_run(folder: Path, kind: str, **fields: Any) -> None:
    """Write the run.json of a run: what made it, and when."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    (folder / "run.json").write_text(json.dumps({"kind": kind, "created": created, **fields}, indent=2) + "\n")
