"""Lesson 08's reference against a training loop in plain PyTorch, and its clipping against torch.nn.utils."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from intro2llm.data.pretrain_dataset import PretrainDataset, epoch_order
from intro2llm.model.causal_lm import CausalLM
from intro2llm.model.config import ModelConfig
from intro2llm.training.pretrain_trainer import PretrainTrainer, build_optimizer
from intro2llm.training.trainer import TrainerConfig, clip_grad_norm
from intro2llm.training.trainer_logger import TrainerLogger

STEPS, SIZE, ACCUMULATE, WINDOW = 12, 3, 2, 9


def tokens() -> Tensor:
    return torch.randint(0, 19, (WINDOW * 16 + 4,), generator=torch.Generator().manual_seed(5))


def model() -> CausalLM:
    torch.manual_seed(3)
    config = ModelConfig(
        vocab_size=19, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3
    )
    return CausalLM(config).double()


def rate(completed: int) -> float:
    return min(1.0, (completed + 1) / 4) * 0.9**completed


class WithIgnored(PretrainDataset):
    """Every window lacks another number of labels, so that micro-batches differ in their predictions."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        item = super().__getitem__(index)
        item["labels"][: index % (WINDOW - 1)] = -100
        return item


def plain_loop(max_norm: float | None) -> tuple[nn.Module, list[dict[str, float]]]:
    """The big batch of each update at once: nothing is accumulated here."""
    net, data = model(), WithIgnored(tokens(), seq_length=WINDOW)
    matrices = [p for p in net.parameters() if p.ndim >= 2]
    vectors = [p for p in net.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.3}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.03, betas=(0.9, 0.95))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    told, epoch = [], 0
    while len(told) < STEPS:
        order = epoch_order(len(data), seed=7, epoch=epoch).tolist()
        for first in range(0, len(order), SIZE * ACCUMULATE):
            items = [data[i] for i in order[first : first + SIZE * ACCUMULATE]]
            ids, labels = (torch.stack([item[name] for item in items]) for name in ("input_ids", "labels"))
            logits = net(ids).logits
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(net.parameters(), max_norm or math.inf)
            used = scheduler.get_last_lr()[0]
            optimizer.step()
            scheduler.step()
            count = int((labels[:, 1:] != -100).sum())
            told.append({"loss": loss.item(), "grad_norm": norm.item(), "learning_rate": used, "tokens": count})
            if len(told) == STEPS:
                break
        epoch += 1
    return net, told


def trainer(max_norm: float | None, *, torch_optimizer: bool, **options: Any) -> PretrainTrainer:
    net = model()
    optimizer = build_optimizer(net, lr=0.03, weight_decay=0.3, betas=(0.9, 0.95))
    if torch_optimizer:
        groups = [{"params": g["params"], "weight_decay": g["weight_decay"]} for g in optimizer.param_groups]
        optimizer = torch.optim.AdamW(groups, lr=0.03, betas=(0.9, 0.95))
    config = TrainerConfig(
        max_steps=STEPS,
        batch_size=SIZE,
        gradient_accumulation_steps=ACCUMULATE,
        max_grad_norm=max_norm,
        logging_steps=1,
        seed=7,
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    return PretrainTrainer(
        net, optimizer, scheduler, WithIgnored(tokens(), seq_length=WINDOW), config=config, **options
    )


@pytest.mark.parametrize("torch_optimizer", [True, False], ids=["torch.optim.AdamW", "our AdamW"])
@pytest.mark.parametrize("max_norm", [None, 0.3, 1e3], ids=["unclipped", "clipped", "limit never reached"])
def test_trainer_equals_a_plain_loop(max_norm: float | None, torch_optimizer: bool, tmp_path: Path) -> None:
    """16 windows, 6 to an update, the last of each epoch smaller: weights and log of twelve updates, in float64."""
    net, told = plain_loop(max_norm)
    logger = TrainerLogger(tmp_path / "metrics.jsonl")
    ours = trainer(max_norm, torch_optimizer=torch_optimizer, logger=logger)
    ours.train()
    logger.close()

    for one, other in zip(ours.model.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line.pop("step") for line in lines] == list(range(1, STEPS + 1))
    assert [line["tokens"] for line in lines] == [each["tokens"] for each in told]
    for line, each in zip(lines, told, strict=True):
        assert line == pytest.approx(each, rel=1e-9)
    clipped = sum(each["grad_norm"] > (max_norm or math.inf) for each in told)
    assert (clipped > 0) == (max_norm == 0.3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("max_norm", [1e-3, 1.0, 5.0, 1e6])
def test_clipping_equals_torchs(max_norm: float, dtype: torch.dtype) -> None:
    ours, theirs = (
        [nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in ((4, 3), (5,), (), (2, 2, 2))] for _ in range(2)
    )
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        for one, other in zip(ours, theirs):
            one.grad = (torch.randn(one.shape, generator=generator) * 10.0 ** (seed % 4 - 2)).to(dtype)
            other.grad = one.grad.clone()
        norm = clip_grad_norm(ours, max_norm)
        wanted = nn.utils.clip_grad_norm_(theirs, max_norm).item()
        assert norm == pytest.approx(wanted, rel=1e-2 if dtype is torch.bfloat16 else 1e-6)
        for one, other in zip(ours, theirs):
            torch.testing.assert_close(one.grad, other.grad)
