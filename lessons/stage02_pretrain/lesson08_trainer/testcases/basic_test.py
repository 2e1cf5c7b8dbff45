"""First contact with lesson 08: one update made of several micro-batches."""

import pytest
import torch
from torch import nn

from coursecli.expect import expect_close
from intro2llm.training.trainer import clip_grad_norm


def parameter(*values: float) -> nn.Parameter:
    made = nn.Parameter(torch.zeros(len(values), dtype=torch.float64))
    made.grad = torch.tensor(values, dtype=torch.float64)
    return made


@pytest.mark.task("clip-grad-norm")
def test_clip_grad_norm_worked_example() -> None:
    """Gradients (3, 4) and (12) have the norm 13: clipped to 1 they keep their direction."""
    parameters = [parameter(3.0, 4.0), parameter(12.0)]
    expect_close(clip_grad_norm(parameters, 1.0), 13.0, what="the norm of (3, 4) and (12)")
    clipped = torch.cat([p.grad for p in parameters])
    wanted = torch.tensor([3.0, 4.0, 12.0], dtype=torch.float64) / 13
    expect_close(clipped, wanted, what="the gradients (3, 4) and (12), clipped to 1")
