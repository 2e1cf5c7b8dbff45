"""The numbers that describe a model: every layer reads its sizes from here.

The fields are given. Their names are those of a Hugging Face Llama `config.json`, so that a published model's file can
be read as it is.
"""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RopeScaling:
    """How Llama 3.1 and later stretch the rotary frequencies to longer texts, with the names of their `config.json`."""

    rope_type: Literal["llama3"] = "llama3"
    factor: float = 8.0
    """By how much the slow frequencies are slowed down."""
    low_freq_factor: float = 1.0
    """Wavelengths over original_max_position_embeddings / low_freq_factor are stretched by the whole `factor`."""
    high_freq_factor: float = 4.0
    """Wavelengths under original_max_position_embeddings / high_freq_factor stay; those between are blended."""
    original_max_position_embeddings: int = 8192
    """The longest text before the stretching, in tokens."""


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
    rope_scaling: RopeScaling | None = None
    """How the rotary frequencies are stretched to longer texts; None leaves them alone."""
    attention_bias: bool = False
    """Whether the query, key and value projections have a bias (Qwen2: True)."""
    qk_norm: bool = False
    """Whether queries and keys are RMS-normalised per head before the rotation (Qwen3: True)."""
    attention_dropout: float = 0.0
    """Probability of dropping an attention weight while training."""
    tie_word_embeddings: bool = False
    """Whether the output projection `lm_head` uses the table of the embedding as its weight."""
    initializer_range: float = 0.02
    """Standard deviation of the initial weights."""

    @property
    def attention_head_dim(self) -> int:
        """D: the width of one head, whether it was chosen or not.

        `head_dim`, or hidden_size // num_attention_heads when that is None. The answer always belongs to the fields as
        they are now: it follows when one is assigned later. Reading it changes no field.
        """
        return self.hidden_size // self.num_attention_heads if self.head_dim is None else self.head_dim

    @property
    def key_value_heads(self) -> int:
        """Hkv: how many heads of keys and values there are, whether it was chosen or not.

        `num_key_value_heads`, or num_attention_heads when that is None. Like `attention_head_dim`, it follows later
        assignments and changes no field.
        """
        return self.num_attention_heads if self.num_key_value_heads is None else self.num_key_value_heads

    @property
    def num_key_value_groups(self) -> int:
        """How many query heads share one head of keys and values: H / Hkv, a whole number, as an int.

        1 is plain multi-head attention. Follows later assignments and changes no field.
        """
        return self.num_attention_heads // self.key_value_heads

    def validate(self) -> None:
        """Refuse a config that no model can be built from, before anything is built from it.

        Nothing calls this by itself: a config may be put together field by field, and is looked at when it is complete.
        The config is not changed. In words, for each field:

        * vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, max_position_embeddings:
          an int of at least 1. num_key_value_heads, head_dim: the same, or None.
        * num_attention_heads: a multiple of num_key_value_heads, where that is not None.
        * hidden_size: a multiple of num_attention_heads, but only where head_dim is None. A head_dim that was chosen is
          free: num_attention_heads · head_dim need not be hidden_size (Qwen3-0.6B: 16 · 128 and 1024).
        * attention_head_dim: even, but only where position_embedding_type is "rope", which turns pairs of numbers.
        * hidden_act, norm_type, position_embedding_type: one of the names that their annotations list.
        * rms_norm_eps, rope_theta, initializer_range: a finite number (int or float, no text) greater than 0.
        * attention_dropout: a number as well, of at least 0 and less than 1.

        `rope_scaling` and the fields that are true or false are not looked at.

        Raises:
            ValueError: a rule is broken; which of several is said first is left open. The message is one line, at most
                200 characters, with the name of the field, the value found, and what is needed: "vocab_size is 0; an
                integer of at least 1 is needed". For a rule between two fields it has both names and both values. A
                value stands as str or repr writes it; one that is longer by itself may be cut, or make the line longer.
        """
        sizes = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"]
        sizes += ["max_position_embeddings"]
        sizes += [name for name in ("num_key_value_heads", "head_dim") if getattr(self, name) is not None]
        for name in sizes:
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{name} is {value!r}; an integer of at least 1 is needed")

        H, Hkv, D = self.num_attention_heads, self.key_value_heads, self.attention_head_dim
        if H % Hkv != 0:
            raise ValueError(f"num_attention_heads is {H}; a multiple of num_key_value_heads, {Hkv}, is needed")
        if self.head_dim is None and self.hidden_size % H != 0:
            raise ValueError(
                f"hidden_size is {self.hidden_size}; a multiple of num_attention_heads, {H}, is needed, or a head_dim"
            )

        choices = {
            "hidden_act": ("silu", "gelu", "relu"),
            "norm_type": ("rms_norm", "layer_norm"),
            "position_embedding_type": ("rope", "sinusoidal"),
        }
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} is {value!r}; one of {', '.join(known)} is needed")
        if self.position_embedding_type == "rope" and D % 2 != 0:
            raise ValueError(f"attention_head_dim is {D}; an even number is needed, because rope turns pairs")

        for name in ("rms_norm_eps", "rope_theta", "initializer_range"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 < value < math.inf):
                raise ValueError(f"{name} is {value!r}; a finite number greater than 0 is needed")
        dropout = self.attention_dropout
        if not (isinstance(dropout, int | float) and 0 <= dropout < 1):
            raise ValueError(f"attention_dropout is {dropout!r}; a number of at least 0 and less than 1 is needed")
