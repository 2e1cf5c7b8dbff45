"""Training: tokens per second of the reference's trainer, against transformers and nanoGPT in plain loops.

All train a model of the same width, depth and inner width, in float32, with AdamW, clipping and the same data. Machines
are shared, so the CPU second is what counts. Besides: what the trainer costs over a bare loop, and two processes
against one. `--compile` adds our model under torch.compile (a minute more), `--threads N` takes more than one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _paired import Call, compare, compare_speeds
from _reference import bind_reference
from torch import Tensor, nn
from torch.nn import functional as F

EAGER, COMPILED, OVERHEAD = 1.0, 1.15, 1.02
"""Times the tokens per CPU second of transformers, eager and compiled; times the CPU seconds of a bare loop."""
SHAPE = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "vocab_size": 1024,
    "tie_word_embeddings": True,
}
"""5.5 million parameters."""
BATCH, LENGTH, UPDATES = 8, 128, 2
TOKENS = BATCH * LENGTH * UPDATES
OPTIMIZER = {"lr": 1e-3, "betas": (0.9, 0.95), "weight_decay": 0.1}
ROUNDS = 9


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compile", action="store_true", help="also our model under torch.compile")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--process", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    bind_reference()
    torch.set_num_threads(chosen.threads)
    if chosen.process:
        return one_process()

    trainer = reference()
    peer = Call("transformers, plain loop", transformers_loop())
    sides = [Call("ours", partial(run, trainer)), Call("GPT-2 in a loop like nanoGPT's", nano_loop())]
    bars = {"ours": EAGER}
    if chosen.compile:
        compiled = reference()
        compiled.model.compile()
        sides.append(Call("ours, compiled", partial(run, compiled)))
        bars["ours, compiled"] = COMPILED
    million = sum(parameter.numel() for parameter in trainer.model.parameters()) / 1e6
    print(f"{million:.1f} million parameters, {BATCH} windows of {LENGTH} tokens, {chosen.threads} thread(s):")
    met = compare_speeds(peer, *sides, amount=TOKENS, unit="tokens", bars=bars, rounds=ROUNDS, judged="cpu")

    print("the trainer over a bare loop of the same model, loss, optimizer and data:")
    bare = Call("bare loop", bare_loop(reference()))
    met &= compare(Call("Trainer", partial(run, reference())), bare, bar=OVERHEAD, rounds=2 * ROUNDS + 1, judged="cpu")

    print("two processes with a thread each against one, both with windows of their own:")
    alone, together = processes(1), processes(2)
    print(f"one: {alone:.0f} tokens/s · two: {together:.0f} tokens/s · ratio {together / alone:.2f} (no bar: cores)")
    return 0 if met else 1


def reference(kind: str = "PretrainTrainer") -> Any:
    """Our trainer on a model of its own, on random tokens."""
    from intro2llm.data.pretrain_dataset import PretrainDataset
    from intro2llm.model.causal_lm import CausalLM
    from intro2llm.model.config import ModelConfig
    from intro2llm.optimizer.scheduler import WarmupCosineScheduler
    from intro2llm.training.distributed import Distributed
    from intro2llm.training.pretrain_trainer import PretrainTrainer, build_optimizer
    from intro2llm.training.trainer import TrainerConfig

    kinds = {"PretrainTrainer": PretrainTrainer, "Distributed": type("Together", (PretrainTrainer, Distributed), {})}
    torch.manual_seed(0)
    model = CausalLM(ModelConfig(**SHAPE))
    optimizer = build_optimizer(model, **OPTIMIZER)
    return kinds[kind](
        model,
        optimizer,
        WarmupCosineScheduler(optimizer, warmup_steps=10, total_steps=10_000),
        PretrainDataset(torch.randint(SHAPE["vocab_size"], (1000 * LENGTH,)), seq_length=LENGTH),
        config=TrainerConfig(max_steps=1, batch_size=BATCH),
    )


def run(trainer: Any, updates: int = UPDATES) -> None:
    """So many updates more."""
    trainer.config = replace(trainer.config, max_steps=trainer.global_step + updates)
    trainer.train()


def bare_loop(trainer: Any) -> Callable[[], None]:
    """What the trainer does, written out, without whatever makes it a trainer."""
    from intro2llm.data.pretrain_dataset import epoch_order
    from intro2llm.loss.cross_entropy import cross_entropy

    model, optimizer, scheduler, dataset = trainer.model, trainer.optimizer, trainer.scheduler, trainer.train_dataset
    order = iter(epoch_order(len(dataset), seed=0, epoch=0).tolist() * 10)

    def loop() -> None:
        for _ in range(UPDATES):
            input_ids = torch.stack([dataset[next(order)]["input_ids"] for _ in range(BATCH)])
            loss = cross_entropy(model(input_ids).logits[:, :-1], input_ids[:, 1:])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()

    return loop


def plain_loop(model: nn.Module, loss_of: Callable[[Tensor], Tensor]) -> Callable[[], None]:
    """The usual loop over PyTorch's own optimizer."""
    optimizer = torch.optim.AdamW(model.parameters(), **OPTIMIZER)
    data = torch.randint(SHAPE["vocab_size"], (1000 * LENGTH,))

    def loop() -> None:
        for _ in range(UPDATES):
            starts = torch.randint(len(data) - LENGTH, (BATCH,)).tolist()
            loss = loss_of(torch.stack([data[start : start + LENGTH] for start in starts]))
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return loop


def transformers_loop() -> Callable[[], None]:
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(**SHAPE, max_position_embeddings=2048, bos_token_id=None, eos_token_id=None))
    return plain_loop(model.train(), lambda input_ids: model(input_ids, labels=input_ids).loss)


def nano_loop() -> Callable[[], None]:
    model = Gpt()

    def loss(input_ids: Tensor) -> Tensor:
        return F.cross_entropy(model(input_ids)[:, :-1].flatten(0, 1), input_ids[:, 1:].flatten())

    return plain_loop(model, loss)


class Gpt(nn.Module):
    """GPT-2's architecture as nanoGPT has it: learned positions, LayerNorm, one projection for q, k and v, GELU.

    Its feed-forward network has two matrices, not three, so its inner width is half as large again: equal products.
    """

    def __init__(self) -> None:
        super().__init__()
        C, V = SHAPE["hidden_size"], SHAPE["vocab_size"]
        self.tokens, self.positions = nn.Embedding(V, C), nn.Embedding(LENGTH, C)
        self.blocks = nn.ModuleList(GptBlock(C, SHAPE["intermediate_size"] * 3 // 2) for _ in range(8))
        self.norm = nn.LayerNorm(C, bias=False)
        self.head = nn.Linear(C, V, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.tokens(input_ids) + self.positions.weight[: input_ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class GptBlock(nn.Module):
    def __init__(self, C: int, inner: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(C, bias=False), nn.LayerNorm(C, bias=False)
        self.qkv, self.project = nn.Linear(C, 3 * C, bias=False), nn.Linear(C, C, bias=False)
        self.up, self.down = nn.Linear(C, inner, bias=False), nn.Linear(inner, C, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        heads = (B, T, SHAPE["num_attention_heads"], -1)
        q, k, v = (part.view(heads).transpose(1, 2) for part in self.qkv(self.norm_1(x)).split(C, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(mixed.transpose(1, 2).reshape(B, T, C))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


def processes(number: int) -> float:
    """Tokens per second of so many processes with a thread each: the median of three starts."""
    here = Path(__file__).resolve()
    launcher = [] if number == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={number}"]
    speeds = []
    for _ in range(3):
        ended = subprocess.run(
            [sys.executable, *launcher, str(here), "--process"],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            cwd=here.parent,
        )
        speeds.append(json.loads(ended.stdout))
    return sorted(speeds)[1]


def one_process() -> int:
    """Train some updates, alone or as one of several, and print the tokens per second of all."""
    import torch.distributed as dist

    from intro2llm.training.world import World, process_group

    world = World.of_environment()
    with process_group(world, torch.device("cpu")):
        trainer = reference("PretrainTrainer" if world.size == 1 else "Distributed")
        run(trainer, 2)
        if world.size > 1:
            dist.barrier()
        began = time.perf_counter()
        run(trainer, 8)
        if world.first:
            print(json.dumps(8 * BATCH * LENGTH * world.size / (time.perf_counter() - began)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
