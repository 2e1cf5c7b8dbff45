"""Train a model from nothing: your tokenizer, your model, your loss, your optimizer, your trainer. Given.

python -m intro2llm.recipes.pretrain --preset nano --name first

On several machines that share this folder, with the same arguments, on each of them:

torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29400 --rdzv-id first \
    -m intro2llm.recipes.pretrain --preset small --name first
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from intro2llm.configs.presets import Preset, PresetError
from intro2llm.data.pretrain_dataset import PretrainDataset
from intro2llm.data.token_file import TokenData, read_tokens
from intro2llm.model.build import build_model
from intro2llm.optimizer.scheduler import WarmupCosineScheduler
from intro2llm.recipes.events import Options, RecipeError, emit, run_by_hand
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer
from intro2llm.training.beginning import begin, continue_from, resume
from intro2llm.training.devices import autocast_dtype, flops_utilization, peak_flops, training_device
from intro2llm.training.distributed import DistributedRunTrainer
from intro2llm.training.ending import ending
from intro2llm.training.launch import launch, launched
from intro2llm.training.preparation import held_out_windows, prepare
from intro2llm.training.pretrain_trainer import build_optimizer
from intro2llm.training.run_folder import RunFolder
from intro2llm.training.run_trainer import RunTrainer
from intro2llm.training.stopping import Stop, listening
from intro2llm.training.trackers import TensorBoardTracker, WandbTracker
from intro2llm.training.trainer import TrainerConfig
from intro2llm.training.trainer_logger import TrainerLogger
from intro2llm.training.world import World, process_group
from intro2llm.utils.errors import CheckpointError
from intro2llm.utils.model_folder import load_tokenizer


def options() -> argparse.ArgumentParser:
    parser = Options(__doc__.splitlines()[0])
    parser.add_argument("--preset", help="nano, tiny, small, or a YAML file; without it, nano")
    parser.add_argument("--data", help="storyworld, a text file, a folder, a .jsonl file, or hub:NAME")
    parser.add_argument("--name", help="what to call the run")
    parser.add_argument("--steps", type=int, help="how many updates")
    parser.add_argument("--batch-size", type=int, help="windows in a micro-batch")
    parser.add_argument("--seq-len", type=int, help="tokens in a window")
    parser.add_argument("--tokens", type=int, help="how many training tokens to make of the text")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="model.… or training.…")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="of the matrix products")
    parser.add_argument("--compile", action="store_true", help="torch.compile: a slow first update, then faster ones")
    parser.add_argument("--resume", action="store_true", help="go on with the run NAME, or the newest unfinished one")
    parser.add_argument("--track", action="append", default=[], choices=["tensorboard", "wandb"])
    parser.add_argument("--nproc", type=int, default=1, help="how many processes on this machine")
    return parser


def build(
    run: RunFolder,
    preset: Preset,
    chosen: argparse.Namespace,
    world: World,
    text: tuple[BaseTokenizer, TokenData],
) -> RunTrainer:
    """The trainer, as the preset describes it, at the beginning of the run."""
    training, (tokenizer, data) = preset.training, text
    device = training_device(chosen.device, world.local_rank)
    torch.manual_seed(training.seed)
    model = build_model(preset.model).to(device)
    if chosen.compile:
        model.compile()
        emit("notice", message="torch.compile: the first update takes up to a minute.")
    optimizer = build_optimizer(
        model,
        lr=training.lr,
        weight_decay=training.weight_decay,
        betas=(training.beta1, training.beta2),
        optimizer=training.optimizer,
    )
    scheduler = WarmupCosineScheduler(
        optimizer, warmup_steps=training.warmup, total_steps=training.steps, min_lr_ratio=training.min_lr_ratio
    )
    config = TrainerConfig(
        max_steps=training.steps,
        batch_size=training.batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        max_grad_norm=training.max_grad_norm,
        logging_steps=training.logging_steps,
        eval_steps=training.eval_steps,
        save_steps=training.save_steps,
        save_total_limit=training.save_total_limit,
        seed=training.seed,
    )
    return (RunTrainer if world.size == 1 else DistributedRunTrainer)(
        model,
        optimizer,
        scheduler,
        PretrainDataset(data.train, seq_length=training.seq_length),
        config=config,
        eval_dataset=held_out_windows(data, tokenizer, preset) if world.first else None,
        checkpoint_dir=run.checkpoints if world.first else None,
        device=device,
        tokenizer=tokenizer,
        data=data,
        run=run if world.first else None,
        sequential=training.order == "sequential",
        autocast=autocast_dtype(chosen.dtype or run.info["dtype"], device),
        sample_tokens=training.sample_tokens,
        seconds=float(run.info.get("seconds", 0)),
    )


def train(
    run: RunFolder,
    preset: Preset,
    chosen: argparse.Namespace,
    world: World,
    stop: Stop,
    text: tuple[BaseTokenizer, TokenData],
) -> None:
    """The run, from where it is to its end."""
    trainer = build(run, preset, chosen, world, text)
    if chosen.resume:
        continue_from(trainer, run, preset, world)
    if world.first:
        trainer.logger = TrainerLogger(run.metrics, trackers=trackers(chosen, run), resume_step=trainer.global_step)
        run.drop_samples(after=trainer.global_step)
        say_training(run, preset, trainer, world)
    stop.on_stop = trainer.ask_to_stop
    try:
        trainer.train()
        evaluates = world.first and trainer.eval_dataset is not None and stop.number is None
        if evaluates and trainer.evaluated.get("step") != trainer.global_step:
            trainer.log(trainer.evaluate())
    finally:
        if trainer.logger is not None:
            trainer.logger.close()
    if world.first:
        run.record(**trainer.progress())
        say_utilization(trainer, preset, world)


def say_utilization(trainer: RunTrainer, preset: Preset, world: World) -> None:
    """How much of a GPU the training has used, where its peak is known."""
    peak = peak_flops(trainer.device, trainer.autocast)
    if peak is None or not trainer.tokens_per_second:
        return
    share = flops_utilization(
        preset.model,
        seq_len=preset.training.seq_length,
        tokens_per_second=trainer.tokens_per_second,
        peak=peak * world.size,
    )
    emit("notice", message=f"{trainer.tokens_per_second:,.0f} tokens/s: {share:.0%} of what the GPU could do at most.")


def trackers(chosen: argparse.Namespace, run: RunFolder) -> list[Any]:
    """Who draws curves beside metrics.jsonl."""
    kinds = {
        "tensorboard": lambda: TensorBoardTracker(run.path / "tensorboard"),
        "wandb": lambda: WandbTracker(run.path, project="intro2llm", name=run.name),
    }
    return [kinds[name]() for name in dict.fromkeys(chosen.track)]


def say_training(run: RunFolder, preset: Preset, trainer: RunTrainer, world: World) -> None:
    """What is about to be trained, for run.json and for the screen."""
    training = preset.training
    windows = training.batch_size * training.gradient_accumulation_steps * world.size
    dtype = "float32" if trainer.autocast is None else str(trainer.autocast).removeprefix("torch.")
    known = {
        "seed": training.seed,
        "steps": training.steps,
        "parameters": sum(parameter.numel() for parameter in trainer.bare_model.parameters()),
        "floor": trainer.eval_dataset.floor if trainer.eval_dataset is not None else None,
    }
    run.record(**known, step=trainer.global_step, dtype=dtype, device=trainer.device.type, command=sys.argv)
    emit(
        "training",
        run=run.name,
        preset=preset.name,
        data=run.info["data"],
        device=trainer.device.type,
        dtype=dtype,
        first_step=trainer.global_step,
        tokens_per_step=windows * training.seq_length,
        processes=world.size,
        **known,
    )
    rounds = training.steps * windows / len(trainer.train_dataset)
    if rounds > 1.5:
        emit(
            "notice", message=f"The text has {len(trainer.data.train):,} tokens: each is looked at {rounds:.1f} times."
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and return the exit code: 0, or 130 or 143 if a signal has ended it."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    chosen, world = options().parse_args(words), World.of_environment()
    if chosen.nproc < 1:
        raise RecipeError(f"--nproc {chosen.nproc}: there is at least one process.")
    if chosen.nproc > 1 and world.size == 1:
        return launch("pretrain", chosen.nproc, words)
    device = training_device(chosen.device, world.local_rank)
    autocast_dtype(chosen.dtype, device)  # what cannot be is refused before the text is prepared
    for name in chosen.track:
        if importlib.util.find_spec(name) is None:
            raise RecipeError(f"{name} is not installed.", "Get it with: pip install 'intro2llm[track]'")
    with listening(launched=launched(), torchrun=world.size > 1) as stop, process_group(world, device):
        if not world.first:
            run, preset = world.from_first(None)
            text = load_tokenizer(run.tokenizer), read_tokens(run.data)
            train(run, preset, chosen, world, stop, text)
            return 0
        try:
            run, preset = resume(chosen) if chosen.resume else begin(chosen, world)
        except (PresetError, CheckpointError) as error:
            raise RecipeError(str(error)) from error
        with ending(run, stop):
            text = prepare(run, preset)
            world.from_first((run, preset))
            train(run, preset, chosen, world, stop, text)
    return stop.exit_code


if __name__ == "__main__":
    run_by_hand(main)
