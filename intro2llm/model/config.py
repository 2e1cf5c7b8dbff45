"""The numbers that describe a model. Given: every layer reads its sizes from here.

The field names are those of a Hugging Face Llama `config.json`, so that a published model's file can be read as it is.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass
class ModelConfig:
    """Sizes and choices of a decoder-only transformer.

    Example: ``ModelConfig(hidden_size=64, num_attention_heads=4, intermediate_size=172)``
    """

    vocab_size: int = 4096
    """V: how many token ids there are."""
    hidden_size: int = 256
    """C: the width of the residual stream."""
    intermediate_size: int = 688
    """The inner width of the feed-forward network; about 8/3 of `hidden_size` for the gated ones."""
    num_hidden_layers: int = 4
    """How many transformer blocks are stacked."""
    num_attention_heads: int = 4
    """H: the number of query heads."""
    num_key_value_heads: int | None = None
    """Heads of keys and values; None means as many as query heads. Fewer is grouped-query attention (lesson 15)."""
    head_dim: int | None = None
    """D: the width of one head; None means hidden_size // num_attention_heads."""
    max_position_embeddings: int = 2048
    """The longest sequence that the model is meant for, in tokens."""

    hidden_act: Literal["silu", "gelu", "relu"] = "silu"
    """Which feed-forward network: "silu" is SwiGLU, "gelu" is GeGLU, "relu" is the plain two-layer one."""
    norm_type: Literal["rms_norm", "layer_norm"] = "rms_norm"
    """Which normalisation every block uses."""
    rms_norm_eps: float = 1e-6
    """ε of the normalisation, whichever it is."""
    position_embedding_type: Literal["rope", "sinusoidal"] = "rope"
    """Where positions enter: "rope" turns queries and keys in every layer, "sinusoidal" is added to the embeddings."""
    rope_theta: float = 10000.0
    """Base of the rotary frequencies."""
    attention_bias: bool = False
    """Whether the query, key and value projections have a bias (Qwen2: True)."""
    qk_norm: bool = False
    """Whether queries and keys are RMS-normalised per head before the rotation (Qwen3: True)."""
    attention_dropout: float = 0.0
    """Probability of dropping an attention weight while training."""
    initializer_range: float = 0.02
    """Standard deviation of the initial weights."""
