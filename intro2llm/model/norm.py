"""Normalisation: LayerNorm and RMSNorm, which give every token's vector a known size.

Letters: B batch, T tokens, C channels. Both work on the last axis alone, so any number of axes may stand before it.
"""

import torch
from torch import Tensor, nn

from intro2llm.model.config import ModelConfig


class LayerNorm(nn.Module):
    """Centre each vector, divide it by its standard deviation, then scale and shift each channel.

        y = (x - mean) / sqrt(variance + eps) * weight + bias

    Mean and variance are those of the C numbers of one token's vector; no token sees another. The variance is the mean
    of the squared deviations (divided by C, not by C - 1), and eps is added to it under the root. Nothing is remembered
    from one call to the next, and training and evaluation are the same.

    Source: Ba, Kiros and Hinton, "Layer Normalization", arXiv 1607.06450, section 3.

    Args:
        hidden_size: C, the length of the last axis.
        eps: a small number that keeps the root away from zero.

    Attributes:
        weight: parameter (C,), one at the start.
        bias: parameter (C,), zero at the start.
    """

    def __init__(self, hidden_size: int, *, eps: float = 1e-6) -> None:
        raise NotImplementedError("lesson02 · LayerNorm.__init__")

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis.

        The arithmetic is done in float32 (float64 stays float64): float16 ends at 65504, so 300 * 300 overflows there.
        Subtract the mean before you square: mean(x²) - mean(x)² loses its digits when the mean is large. `x` itself is
        not changed.

        Args:
            x: (..., C), any floating dtype.

        Returns:
            (..., C), in the dtype of `x`, whatever the dtype of the parameters.
        """
        raise NotImplementedError("lesson02 · LayerNorm.forward")


class RMSNorm(nn.Module):
    """Divide each vector by its root mean square, then scale each channel. Nothing is subtracted, nothing is added.

        y = x / sqrt(mean(x²) + eps) * weight

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", arXiv 1910.07467, section 4 (the eps under the
    root is the convention of Llama).

    Args:
        hidden_size: C, the length of the last axis.
        eps: a small number that keeps the root away from zero.

    Attributes:
        weight: parameter (C,), one at the start. There is no bias.
    """

    def __init__(self, hidden_size: int, *, eps: float = 1e-6) -> None:
        raise NotImplementedError("lesson02 · RMSNorm.__init__")

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis.

        As in LayerNorm, the arithmetic is done in float32 (float64 stays float64), and `x` itself is not changed.

        Args:
            x: (..., C), any floating dtype.

        Returns:
            (..., C), in the dtype of `x`, whatever the dtype of `weight`.
        """
        raise NotImplementedError("lesson02 · RMSNorm.forward")


def get_norm(config: ModelConfig) -> LayerNorm | RMSNorm:
    """Build the norm that `config.norm_type` asks for, over `config.hidden_size` channels.

    Args:
        config: "rms_norm" is RMSNorm, "layer_norm" is LayerNorm. Either takes its eps from `rms_norm_eps`.

    Returns:
        A module, a new one at each call: every place in the model has weights of its own.

    Raises:
        ValueError: for any other `norm_type`; the message contains the value that was found.
    """
    raise NotImplementedError("lesson03 · get_norm")
