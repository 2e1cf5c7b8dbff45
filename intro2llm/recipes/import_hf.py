"""Bring a published model in, as a run of yours: Llama, Qwen2 or Qwen3 in safetensors. Given.

python -m intro2llm.recipes.import_hf ~/models/Qwen2.5-0.5B --name qwen

The folder is compared with its own config.json, your classes are built and given the weights, and only then is the run
written. The weights are copied as they are: bf16 stays bf16.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from intro2llm.model.build import ModelBuildError, build_model, require_attention
from intro2llm.recipes.events import Options, RecipeError, StorageError, emit, run_by_hand
from intro2llm.utils.errors import CheckpointError, WriteError
from intro2llm.utils.hf_config import named_ids, read_config, read_json
from intro2llm.utils.hf_tokenizer_reader import read_tokenizer
from intro2llm.utils.hf_weights import (
    DTYPES,
    StoredTensor,
    check_layout,
    load_weights,
    read_layout,
    read_tensors,
    weight_files,
)
from intro2llm.utils.model_folder import check_vocabulary, write_model, write_run
from intro2llm.utils.new_folder import TakenError, new_folder, refuse_if_taken

RUNS = Path("runs")


def import_model(source: Path, run: Path, *, replace: bool = False) -> int:
    """Read a published model and write it as the run `run`. Returns how many parameters it has.

    Raises:
        CheckpointError: the folder cannot be followed exactly, or the run is there already.
        ModelBuildError: your classes do not build such a model (yet).
    """
    if replace and run.is_dir() and any(run.iterdir()) and not (run / "run.json").is_file():
        raise CheckpointError(f"{run}: is no run, so it is not replaced.")
    refuse_if_taken(run, replace=replace)
    config = read_config(source / "config.json")
    require_attention(config)
    tokenizer = read_tokenizer(source)
    check_vocabulary(tokenizer, config, source)
    layout = read_layout(source)
    check_layout(layout, config, source)
    settings = source / "generation_config.json"
    values = read_json(settings if settings.is_file() else source / "config.json")
    ends = named_ids(values.get("eos_token_id"), range(config.vocab_size))

    emit("notice", message="Names and shapes fit. Your model is being built, and given the weights.")
    model = build_model(config, random_weights=False).to(DTYPES[layout["embed_tokens.weight"].dtype])
    load_weights(model, config, source)
    _refuse_what_is_no_number(model, layout)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    del model

    with new_folder(run, replace=replace) as partial:
        tensors = dict(read_tensors(layout))  # views of the files, read from the disk when they are written
        write_model(partial, config, tensors, tokenizer, stop_ids=ends)
        write_run(partial, "import", source=str(source.resolve()), parameters=parameters)
    return parameters


def _refuse_what_is_no_number(model: nn.Module, layout: Mapping[str, StoredTensor]) -> None:
    """Raise CheckpointError if a weight is NaN or infinite: every text of the model would end in an error."""
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            stored = layout[name]
            raise CheckpointError(f"{stored.file}: the tensor {stored.name} holds NaN or infinite values.")


def source_folder(path: Path) -> Path:
    """The folder of a model, for its folder or for one of its weight files.

    Raises:
        CheckpointError: there is no such thing, or it is neither a model's folder nor a file of weights in one.
    """
    if path.is_dir():
        if not (path / "config.json").is_file():
            deeper = [file.parent for way in ("*", "snapshots/*") for file in path.glob(f"{way}/config.json")]
            found = f" There is one in {min(deeper)}: give that folder." if deeper else ""
            raise CheckpointError(f"{path}: holds no config.json, so it is no model's folder.{found}")
        return path
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such file or folder.")
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path}: is no safetensors file; nothing else is opened. Give the model's folder.")
    if path.name not in {file.name for file in weight_files(path.parent)}:
        raise CheckpointError(f"{path}: is not the file of weights that belongs to {path.parent / 'config.json'}.")
    return path.parent


def run_name(name: str | None, source: Path) -> str:
    """The name that was asked for, or that of the folder."""
    asked = source.resolve().name if name is None else name
    chosen = re.sub(r"[^A-Za-z0-9._-]+", "-", asked).strip("-.") if name is None else name
    if not re.fullmatch(r"\w|\w[\w.-]*\w", chosen, re.ASCII):
        raise CheckpointError(
            f"{asked!r} cannot be the name of a run: letters from a to z, digits and _, with . and - between them. "
            "Choose one with --name."
        )
    return chosen


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Options(__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="the model's folder, or the safetensors file in it")
    parser.add_argument("--name", help="of the run; without it, that of the folder")
    parser.add_argument("--force", action="store_true", help="replace a run of that name")
    chosen = parser.parse_args(arguments)
    try:
        source = source_folder(chosen.path)
        name = run_name(chosen.name, source)
        parameters = import_model(source, RUNS / name, replace=chosen.force)
    except TakenError as error:
        raise RecipeError(str(error), "Choose another --name, or replace it with --force.") from error
    except WriteError as error:
        raise StorageError(str(error)) from error
    except (CheckpointError, ModelBuildError) as error:
        raise RecipeError(str(error)) from error
    except OSError as error:
        raise StorageError(f"{error.filename or RUNS}: {error.strerror}.") from error
    emit(
        "finished",
        message=f"{name}: {parameters:,} parameters, in {RUNS / name}. Next: intro2llm generate --run {name}",
        data={"run": name, "folder": str(RUNS / name), "parameters": parameters},
    )


if __name__ == "__main__":
    run_by_hand(main)
