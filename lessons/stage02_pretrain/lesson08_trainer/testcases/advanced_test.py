"""Lesson 08 at its edges."""

import pytest
import torch
from torch import nn

from coursecli.expect import expect_close
from intro2llm.training.trainer import clip_grad_norm


@pytest.mark.task("clip-grad-norm")
def test_clip_grad_norm_without_gradients() -> None:
    """Where there is no gradient at all, the norm is 0."""
    expect_close(clip_grad_norm([nn.Parameter(torch.zeros(3))], 1.0), 0.0, what="the norm of no gradients")
