"""How wrong the model is: cross-entropy from logits, and the two readings of it, perplexity and bits per byte.

Letters: B batch, T tokens, V vocabulary, N any number of predictions. Nothing is shifted here: the logits at a place
are compared with the label at the same place.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

Reduction = Literal["mean", "sum", "none"]


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """How much probability the model failed to give to the right answers, in nats.

    For one prediction with logits z, p = softmax(z), and label y:

        loss = -log p[y] = logsumexp(z) - z[y]

    With label smoothing ε the target is not y alone: every one of the V classes, y included, gets ε / V, and y gets the
    remaining 1 - ε on top:

        loss = (1 - ε) · (-log p[y]) + ε · mean over all V classes of (-log p[k])

    A place whose label equals `ignore_index` is no prediction: its logits may hold anything, even NaN, and get a
    gradient of exactly 0. Where no prediction is left, "mean" and "sum" are 0, and all gradients are 0.

    It holds for logits of any finite size: a right answer whose probability would be rounded to 0 still costs what the
    formula says, never infinity and never some largest value. float16 and bfloat16 logits are computed in float32;
    float64 stays float64.

    Args:
        logits: (..., V), any floating dtype: (B, T, V) or (N, V). They need not be contiguous, and are not changed.
        labels: (...), int64: from 0 to V - 1, or `ignore_index`. They are not changed.
        ignore_index: the label that means "no prediction here".
        label_smoothing: ε, from 0 to 1.
        reduction: "mean" over the predictions that are left, each counting the same whatever its row; "sum" of them; or
            "none": the loss at every place, in the shape of `labels`, 0 at the ignored ones.

    Returns:
        One number, or (...) for "none"; float32, or float64 for float64 logits.

    Raises:
        ValueError: `labels` does not have the shape of `logits` without the last axis (the message names both shapes),
            `reduction` is none of the three (the message contains it), or `label_smoothing` is not from 0 to 1 (the
            message contains "label_smoothing").
    """
    raise NotImplementedError("lesson06 · cross_entropy")


class CrossEntropyLoss(nn.Module):
    """`cross_entropy` with its three options fixed at construction, under the same names and with the same defaults."""

    def __init__(
        self, *, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: Reduction = "mean"
    ) -> None:
        raise NotImplementedError("lesson06 · CrossEntropyLoss.__init__")

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Call `cross_entropy` on logits (..., V) and labels (...), with the options of this object."""
        raise NotImplementedError("lesson06 · CrossEntropyLoss.forward")


def perplexity(logits: Tensor, labels: Tensor, *, ignore_index: int = -100) -> Tensor:
    """exp of the mean cross-entropy over all predictions: how many equally likely choices would be as hard.

    A model that gives every token the probability 1 / V has perplexity V; one that is always certain, and right, has 1.

    Args:
        logits: (..., V). labels: (...), as for `cross_entropy`.

    Returns:
        One number, in the dtype of `cross_entropy`; 1 where no prediction is left.
    """
    raise NotImplementedError("lesson06 · perplexity")


def bits_per_byte(nats_per_token: float, tokens: int, bytes: int) -> float:
    """A mean loss per token, expressed in bits for each byte of the text: comparable between tokenizers.

        bits per byte = nats_per_token · tokens / (bytes · ln 2)

    Args:
        nats_per_token: the mean cross-entropy of the predictions.
        tokens: how many predictions it is the mean of.
        bytes: how many bytes the predicted tokens have together, in UTF-8.

    Raises:
        ValueError: `bytes` is not positive. The message contains it.
    """
    raise NotImplementedError("lesson06 · bits_per_byte")
