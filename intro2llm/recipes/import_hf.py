"""Bring a published model in, as a run of yours: Llama, Qwen2 or Qwen3 in safetensors. Given.

python -m intro2llm.recipes.import_hf ~/models/Qwen2.5-0.5B --name qwen

The folder is compared with its own config.json, your classes are built and given the weights, and only then is the run
written. The weights are copied as they are: bf16 stays bf16.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from intro2llm.model.build import ModelBuildError, build_model, require_attention
from intro2llm.recipes.events import Options, RecipeError, emit, run_by_hand
from intro2llm.utils.errors import CheckpointError
from intro2llm.utils.hf_config import read_config, read_json
from intro2llm.utils.hf_tokenizer_reader import read_tokenizer
from intro2llm.utils.hf_weights import DTYPES, check_layout, load_weights, read_layout, read_tensors, weight_files
from intro2llm.utils.model_folder import check_vocabulary, named_ids, write_model, write_run
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

    emit("notice", message="The files fit. Your model is being built, and given the weights.")
    model = build_model(config, random_weights=False).to(DTYPES[layout["embed_tokens.weight"].dtype])
    load_weights(model, config, source)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    del model

    settings = source / "generation_config.json"
    ends = named_ids(read_json(settings if settings.is_file() else source / "config.json").get("eos_token_id"))
    with new_folder(run, replace=replace) as partial:
        tensors = dict(read_tensors(layout))  # views of the files, read from the disk when they are written
        write_model(partial, config, tensors, tokenizer, stop_ids=ends)
        write_run(partial, "import", source=str(source.resolve()), parameters=parameters)
    return parameters


def source_folder(path: Path) -> Path:
    """The folder of a model, for its folder or for one of its weight files.

    Raises:
        CheckpointError: there is no such thing, or it is not a file of weights that may be opened.
    """
    if path.is_dir():
        return path
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such file or folder.")
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path}: is no safetensors file; nothing else is opened, least of all a pickle.")
    if path.name not in {file.name for file in weight_files(path.parent)}:
        raise CheckpointError(f"{path}: is not the file of weights that belongs to {path.parent / 'config.json'}.")
    return path.parent


def run_name(name: str | None, source: Path) -> str:
    """The name that was asked for, or that of the folder."""
    chosen = name if name is not None else re.sub(r"[^A-Za-z0-9._-]+", "-", source.resolve().name).strip("-.")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", chosen):
        raise CheckpointError(f"{chosen!r} cannot be the name of a run: letters, digits, and . _ - between them.")
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
    except (CheckpointError, ModelBuildError) as error:
        raise RecipeError(str(error)) from error
    except OSError as error:
        raise RecipeError(f"{error.filename or RUNS}: {error.strerror}.") from error
    emit(
        "finished",
        message=f"{name}: {parameters:,} parameters, in {RUNS / name}. Next: intro2llm generate --run {name}",
        data={"run": name, "folder": str(RUNS / name), "parameters": parameters},
    )


if __name__ == "__main__":
    run_by_hand(main)
