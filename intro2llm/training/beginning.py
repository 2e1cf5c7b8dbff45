"""Where a training starts: at the beginning of a new run, or at the last whole checkpoint of an old one. Given."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path

import torch

from intro2llm.configs.presets import Preset, load_preset
from intro2llm.recipes.events import RecipeError, emit
from intro2llm.training.preparation import source_of, with_tokens
from intro2llm.training.run_folder import RunFolder
from intro2llm.training.run_trainer import RunTrainer
from intro2llm.training.world import World
from intro2llm.utils.checkpoint import checkpoint_step, latest_checkpoint, list_checkpoints, read_manifest
from intro2llm.utils.hf_config import read_config


def overrides(chosen: argparse.Namespace) -> list[str]:
    """The options that stand for settings of the preset, as changes to it."""
    named = {"steps": "steps", "batch_size": "batch_size", "seq_len": "seq_length", "tokens": "tokens", "seed": "seed"}
    values = {setting: getattr(chosen, option) for option, setting in named.items()}
    return [*chosen.set, *(f"training.{name}={value}" for name, value in values.items() if value is not None)]


def data_name(data: str) -> str:
    """What `--data` names, in the same words wherever it is typed."""
    return data if data == "storyworld" or data.startswith("hub:") else str(Path(data).expanduser().resolve())


def begin(chosen: argparse.Namespace, world: World) -> tuple[RunFolder, Preset]:
    """A new run.

    Raises:
        RecipeError, PresetError, CorpusError: what was asked for does not fit, or is not there. Nothing has been made.
    """
    data = data_name(chosen.data or "storyworld")
    preset = load_preset(chosen.preset or "nano", overrides(chosen))
    longest = preset.model.max_position_embeddings
    if preset.training.seq_length > longest:
        raise RecipeError(
            f"Windows of {preset.training.seq_length} tokens are too long: the model is meant for {longest}.",
            f"Give --seq-len {longest}, or --set model.max_position_embeddings={preset.training.seq_length}",
        )
    source_of(data, preset)  # what does not exist is refused before anything is made
    preset = with_tokens(preset, data, world.size)
    info = {"preset": preset.name, "data": data, "dtype": chosen.dtype, "steps": preset.training.steps}
    return RunFolder.create(chosen.name, preset, info), preset


def resume(chosen: argparse.Namespace) -> tuple[RunFolder, Preset]:
    """A run that is there already.

    Raises:
        RecipeError: there is none, it is complete, or something was asked for that it cannot take.
    """
    run = RunFolder.find(chosen.name)
    given = {"preset": chosen.preset and Path(chosen.preset).stem, "data": chosen.data and data_name(chosen.data)}
    for name, value in given.items():
        if value not in (None, run.info.get(name)):
            raise RecipeError(
                f"--{name} is {value} here, and {run.info.get(name)} in the run {run.name!r}.",
                "Leave it out, or start a new run with another --name.",
            )
    preset = run.preset(overrides(chosen))
    last = latest_checkpoint(run.checkpoints)
    made = 0 if last is None else checkpoint_step(last) or 0
    if run.info.get("state") == "finished" and made >= preset.training.steps:
        raise RecipeError(
            f"The run {run.name!r} has made all of its {made} updates.",
            f"For more of them: --resume --name {run.name} --steps {2 * preset.training.steps}",
        )
    return run, preset


def check_fit(checkpoint: Path, preset: Preset) -> None:
    """Raise RecipeError, with the field, if a checkpoint is of another model than the run's config.yaml describes."""
    saved = read_config(checkpoint / "config.json")
    resolved = {"num_key_value_heads": "key_value_heads", "head_dim": "attention_head_dim"}
    for field in dataclasses.fields(saved):
        name = resolved.get(field.name, field.name)
        before, now = getattr(saved, name), getattr(preset.model, name)
        if before != now:
            raise RecipeError(
                f"{checkpoint}: model.{field.name} is {before} there, and {now} in config.yaml.",
                "Put it back in config.yaml, or start a new run with another --name.",
            )


def continue_from(trainer: RunTrainer, run: RunFolder, preset: Preset, world: World) -> None:
    """Take up a run that is there already: at its last whole checkpoint, or, without any, at its beginning.

    Raises:
        RecipeError: the checkpoint is of another model, or of more updates than the run is to have; or none is whole.
    """
    saved, checkpoint = list_checkpoints(run.checkpoints), latest_checkpoint(run.checkpoints)
    if not saved:
        return
    if checkpoint is None:
        raise RecipeError(
            f"None of the {len(saved)} checkpoints in {run.checkpoints} is whole, so the run cannot go on.",
            "Start a new one with another --name.",
        )
    check_fit(checkpoint, preset)
    if world.first and saved[-1] != checkpoint:
        emit("notice", message=f"{saved[-1]} is damaged: going on from {checkpoint.name}.")
    threads = read_manifest(checkpoint).get("threads")
    if world.size == 1 and isinstance(threads, int) and 0 < threads <= (os.cpu_count() or 1):
        torch.set_num_threads(threads)  # sums in another order are other sums
    trainer.load_checkpoint(checkpoint)
    if trainer.global_step > preset.training.steps:
        raise RecipeError(
            f"The run {run.name!r} has made {trainer.global_step} updates already, more than --steps "
            f"{preset.training.steps}.",
            "Give more.",
        )
