"""How surprised a model is by a text: the loss of every token, summed over batches and over windows of a long text.

Letters: B texts side by side, T tokens, V vocabulary.

A model here is any module that, called with ids (B, T), returns an object whose `.logits` are (B, T, V), as
`CausalLM` does; the logits at a place depend on the tokens up to that place and on no later one.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside `with evaluating(model):`, the model is measured; afterwards nothing shows that it has been.

    Inside, every module of the model is in evaluation mode (dropout is off), and no gradient is recorded. Afterwards
    every module is in the mode in which it was, each by itself: a part that was in evaluation mode while the rest was
    training still is. Gradients are recorded again if they were before, and torch's default stream of random numbers
    goes on as if nothing had been drawn from it inside. All of this holds too when an error ends the measurement; the
    error is passed on.
    """
    raise NotImplementedError("lesson09 · evaluating")


def token_losses(model: nn.Module, input_ids: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy -log p of every token, given the tokens before it, in nats.

    Labels stand where their tokens stand, so the one shift of this module is made here: the logits at place t are a bet
    on the label at place t + 1. The first label and the last logits are compared with nothing.

    The model is called once, in the mode in which it is; whoever measures wraps this in `evaluating`.

    Args:
        input_ids: (B, T), int64. labels: (B, T), int64; -100 is no prediction. Neither is changed.

    Returns:
        (B, T - 1), float32 (float64 for float64 logits): at column t the loss of the label at place t + 1, and 0 where
        that is -100. Finite where the logits are, also for a label whose probability is too small for a float.
    """
    raise NotImplementedError("lesson09 · token_losses")


def token_nll(model: nn.Module, input_ids: Tensor, labels: Tensor) -> tuple[float, int]:
    """The negative log-likelihood of one batch: the sum of its `token_losses`, measured with `evaluating`.

    Args:
        input_ids, labels: (B, T), as for `token_losses`.

    Returns:
        The sum, in nats, and how many predictions it is the sum of: the labels from the second place on that are not
        -100. A float and an int.
    """
    raise NotImplementedError("lesson09 · token_nll")


def evaluate_perplexity(
    model: nn.Module, batches: Iterable[Mapping[str, Tensor]], *, device: torch.device | str | None = None
) -> dict[str, float]:
    """The loss and the perplexity of a whole corpus.

        loss = Σ of the losses of all predictions / number of predictions;   perplexity = exp(loss)

    Every prediction counts the same, in whichever batch it stands, so the result does not depend on how the corpus was
    cut into batches. All of it, drawing the batches included, happens in `evaluating`.

    Args:
        batches: dicts with "input_ids" and "labels", each (B, T), as for `token_losses`; B and T may differ from batch
            to batch. They are taken one at a time, once.
        device: where the batches are moved to; None means the device of the model's parameters.

    Returns:
        "loss": nats per token. "perplexity": infinite where it is too large for a float. "tokens": the number of
        predictions. Plain numbers of Python.

    Raises:
        ValueError: there is no prediction in any batch. The message contains "no prediction".
    """
    raise NotImplementedError("lesson09 · evaluate_perplexity")


def strided_nll(model: nn.Module, ids: Tensor, *, max_length: int, stride: int) -> tuple[float, int]:
    """The negative log-likelihood of one text that is longer than the model can read at once.

    The model reads windows of up to `max_length` tokens, which begin at 0, stride, 2 · stride, …; the last is the first
    one that reaches the end of the text. Windows overlap, and each scores only the tokens that no window before it has
    scored. So each of the T - 1 tokens that have a token before them is scored exactly once, and all but those of the
    first window have at least max_length - stride tokens of context.

    Example: T = 10, max_length = 6, stride = 4. The windows are tokens 0–5 and 4–9. The first scores tokens 1 to 5, the
    second 6 to 9.

    Args:
        ids: (T,), int64. Not changed.
        max_length: at most so many tokens are given to the model at once.
        stride: from 1 to max_length - 1: how far a window begins behind the one before it. Small is exact and slow.

    Returns:
        The sum, in nats, and the number of tokens scored: T - 1, or 0 for a text without tokens. Measured with
        `evaluating`.

    Raises:
        ValueError: `stride` is not from 1 to max_length - 1. The message contains "stride".
    """
    raise NotImplementedError("lesson09 · strided_nll")
