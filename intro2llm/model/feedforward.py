"""Feed-forward networks: what a block does to every token by itself, between two rounds of attention.

Three of them, from the plain one of 2017 to the gated one of today. All read their two sizes from the config, and none
adds its input to its output: that addition belongs to the block.

Letters: B batch, T tokens, C channels (hidden_size), I inner width (intermediate_size).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from intro2llm.model.config import ModelConfig


class BasicFFN(nn.Module):
    """Two linear maps with a ReLU between them: widen, cut off what is negative, narrow again.

        y = relu(x W_up + b_up) W_down + b_down

    Source: Vaswani et al. 2017, "Attention Is All You Need", §3.3.

    Attributes:
        up_proj: nn.Linear from C to I, with a bias.
        down_proj: nn.Linear from I to C, with a bias. Together 2·C·I + I + C parameters, and no others.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Read `hidden_size` (C) and `intermediate_size` (I, used as it is) from the config, and nothing else."""
        raise NotImplementedError("lesson03 · BasicFFN.__init__")

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Apply the formula to the last axis. Every vector is treated alike and by itself.

        Args:
            hidden_states: (..., C), usually (B, T, C), in the dtype of the parameters; any strides. It is not changed.

        Returns:
            (..., C), in the same dtype, on the same device.
        """
        raise NotImplementedError("lesson03 · BasicFFN.forward")


class FeedForward(nn.Module):
    """GeGLU: one linear map is multiplied, number by number, by a gate, the GELU of a second linear map.

        y = (gelu(x W_gate) ⊙ (x W_up)) W_down        gelu(g) = g · Φ(g) = g · ½ (1 + erf(g / √2))

    Φ is the distribution function of the standard normal. This is GELU itself, not the approximation of it with tanh.

    Source: Shazeer 2020, "GLU Variants Improve Transformer", eq. 6 (FFN_GEGLU).

    Attributes:
        gate_proj, up_proj: nn.Linear from C to I, no bias.
        down_proj: nn.Linear from I to C, no bias. Together 3·C·I parameters, and no others.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Read `hidden_size` (C) and `intermediate_size` (I, used as it is) from the config, and nothing else.

        This class is GeGLU whatever `hidden_act` says: choosing is the work of `get_feed_forward`.
        """
        raise NotImplementedError("lesson03 · FeedForward.__init__")

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Apply the formula to the last axis. Every vector is treated alike and by itself.

        Args:
            hidden_states: (..., C), usually (B, T, C), in the dtype of the parameters; any strides. It is not changed.

        Returns:
            (..., C), in the same dtype, on the same device.
        """
        raise NotImplementedError("lesson03 · FeedForward.forward")


class SwiGLU(nn.Module):
    """The same gated network with SiLU (also called Swish) on the gate: that of Llama, Qwen and Mistral.

        y = (silu(x W_gate) ⊙ (x W_up)) W_down        silu(g) = g · σ(g) = g / (1 + exp(-g))

    Source: Shazeer 2020, "GLU Variants Improve Transformer", eq. 6 (FFN_SwiGLU).

    Attributes:
        gate_proj, up_proj: nn.Linear from C to I, no bias.
        down_proj: nn.Linear from I to C, no bias. Together 3·C·I parameters, and no others.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Read `hidden_size` (C) and `intermediate_size` (I, used as it is) from the config, and nothing else.

        This class is SwiGLU whatever `hidden_act` says: choosing is the work of `get_feed_forward`.
        """
        raise NotImplementedError("lesson03 · SwiGLU.__init__")

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Apply the formula to the last axis. Every vector is treated alike and by itself.

        Output and gradients are finite for gates of any size, ±1000 included.

        Args:
            hidden_states: (..., C), usually (B, T, C), in the dtype of the parameters; any strides. It is not changed.

        Returns:
            (..., C), in the same dtype, on the same device.
        """
        raise NotImplementedError("lesson03 · SwiGLU.forward")


def get_feed_forward(config: ModelConfig) -> nn.Module:
    """Build the feed-forward network that `config.hidden_act` asks for.

    Args:
        config: "relu" is BasicFFN, "gelu" is FeedForward (GeGLU), "silu" is SwiGLU.

    Returns:
        A module, a new one at each call: layers do not share weights.

    Raises:
        ValueError: for any other `hidden_act`; the message contains the value that was found.
    """
    raise NotImplementedError("lesson03 · get_feed_forward")
