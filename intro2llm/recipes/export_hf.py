"""Write a model of yours in Hugging Face's layout, for `transformers` and whatever reads the same files. Given.

python -m intro2llm.recipes.export_hf my-run exported

The folder holds config.json, generation_config.json, model.safetensors, tokenizer.json and what belongs to it.
"""

from collections.abc import Sequence
from pathlib import Path

from intro2llm.recipes.events import Options, RecipeError, StorageError, emit, run_by_hand
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer
from intro2llm.tokenizer.pretrained_tokenizer import QWEN2_PATTERN
from intro2llm.utils.errors import CheckpointError, WriteError
from intro2llm.utils.hf_config import config_to_hf, has_output_bias, read_config, write_json
from intro2llm.utils.hf_tokenizer_writer import rules_of, tokenizer_config_to_hf, tokenizer_to_hf
from intro2llm.utils.hf_weights import FILE, check_layout, read_layout, read_tensors, save_weights
from intro2llm.utils.model_folder import find_run, load_tokenizer, other_settings, stop_token_ids
from intro2llm.utils.new_folder import TakenError, new_folder, refuse_if_taken

RUNS = Path("runs")
WRITTEN = {"config.json", "generation_config.json", FILE}
WRITTEN |= {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}


def export_model(folder: Path, target: Path, *, replace: bool = False) -> None:
    """Write a model folder of ours as `transformers` and `tokenizers` read it.

    Raises:
        CheckpointError: `transformers` has no such model, the folder is damaged, or the target is not empty.
    """
    if replace and target.is_dir() and (others := {path.name for path in target.iterdir()} - WRITTEN):
        raise CheckpointError(f"{target / min(others)}: is no part of an exported model, so {target} is not replaced.")
    refuse_if_taken(target, replace=replace)
    config = read_config(folder / "config.json")
    tokenizer = load_tokenizer(folder / "tokenizer")
    values = config_to_hf(config, allow_qwen2=cuts_like_qwen2(tokenizer))
    layout = read_layout(folder)
    check_layout(layout, config, folder)
    content, beside = tokenizer_to_hf(tokenizer), tokenizer_config_to_hf(tokenizer, config.max_position_embeddings)

    with new_folder(target, replace=replace) as partial:
        tensors = dict(read_tensors(layout))  # views of the file, read from the disk when they are written
        settings = other_settings(tensors, tokenizer, stop_token_ids(folder, tokenizer))
        write_json(partial / "config.json", values | settings)
        ids = {key: settings[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
        write_json(partial / "generation_config.json", ids)
        save_weights(tensors, config, partial / FILE, output_bias=has_output_bias(values))
        write_json(partial / "tokenizer.json", content)
        write_json(partial / "tokenizer_config.json", beside)
        roles = {role: token for role, token in beside.items() if role.endswith("_token")}
        write_json(partial / "special_tokens_map.json", roles)


def cuts_like_qwen2(tokenizer: BaseTokenizer) -> bool:
    """Whether a tokenizer does what `transformers` makes every tokenizer of a Qwen2 model do."""
    rules = rules_of(tokenizer)
    return rules is not None and rules.patterns == (QWEN2_PATTERN,) and rules.nfc and not rules.ignore_merges


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Options(__doc__.splitlines()[0])
    parser.add_argument("run", help=f"a folder in {RUNS}/")
    parser.add_argument("folder", type=Path, help="the folder to make")
    parser.add_argument("--force", action="store_true", help="replace an earlier export")
    chosen = parser.parse_args(arguments)
    try:
        export_model(find_run(RUNS, chosen.run), chosen.folder, replace=chosen.force)
    except TakenError as error:
        raise RecipeError(str(error), "Choose another folder, or replace an earlier export with --force.") from error
    except WriteError as error:
        raise StorageError(str(error)) from error
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    except OSError as error:
        raise StorageError(f"{error.filename or chosen.folder}: {error.strerror}.") from error
    emit(
        "finished",
        message=f"{chosen.folder} is ready: AutoModelForCausalLM.from_pretrained({str(chosen.folder)!r})",
        data={"run": chosen.run, "folder": str(chosen.folder)},
    )


if __name__ == "__main__":
    run_by_hand(main)
