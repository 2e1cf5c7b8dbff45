"""What a model costs, before it is built: parameters, operations, bytes, seconds. Arithmetic on a ModelConfig.

Everything is exact and in the smallest unit: parameters, FLOPs and bytes are Python ints. Divide by 2**30 for GiB, or
by 1e9 for GB, where you print. Nothing here builds a model or a part of one, not on torch's meta device either.

One FLOP is one addition or one multiplication, so multiplying an (m, k) by a (k, n) matrix costs 2·m·k·n. Only matrix
products are counted: norms, activations, the softmax, the rotation, biases and the look-up of embeddings are left out.

The model is the one of this course: TokenEmbedding, L TransformerBlocks, a last norm, and `lm_head`, a linear map to
the vocabulary without bias. Key and value projections have Hkv heads, so grouped-query attention is counted too.

Letters: B batch, T tokens, C channels, I inner width, L layers, H heads, Hkv heads of keys and values, D head size,
V vocabulary.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from intro2llm.model.config import ModelConfig


@dataclass(frozen=True)
class ParameterCount:
    """How many parameters a model has, by kind, over all layers."""

    embedding: int
    """The table of the token embedding. Sinusoidal positions and RoPE have no parameters."""
    attention: int
    """The four projections of every layer, with the biases of the query, key and value projections if there are any."""
    feed_forward: int
    """The feed-forward networks, with the biases of the plain one."""
    norms: int
    """Two norms in every layer and one after the last; also the two norms per layer of `qk_norm`."""
    lm_head: int
    """The output projection; 0 when it is tied, since then it is the embedding's table again."""

    @property
    def total(self) -> int:
        """The sum of the five."""
        return self.embedding + self.attention + self.feed_forward + self.norms + self.lm_head

    @property
    def non_embedding(self) -> int:
        """All but the two tables of the vocabulary, `embedding` and `lm_head`: what the blocks and the norms hold.

        This is the figure that model cards give as "non-embedding parameters" (Qwen2.5-0.5B: 357 898 112).
        """
        return self.attention + self.feed_forward + self.norms


def count_parameters(config: ModelConfig) -> ParameterCount:
    """Count the parameters of the model that `config` describes, exactly.

    Shapes as nn.Linear stores them: q_proj (H·D, C), k_proj and v_proj (Hkv·D, C), o_proj (C, H·D). With
    `attention_bias`, q_proj, k_proj and v_proj have a bias, and o_proj has none. `hidden_act` "silu" and "gelu" are
    three matrices of C·I without biases; "relu" is two, with biases (I and C). RMSNorm has C parameters, LayerNorm
    2·C. With `qk_norm` every layer has two more RMSNorms, of D parameters each, whatever `norm_type` is.

    Args:
        config: a valid config; it is not changed.
    """
    C, L, V = config.hidden_size, config.num_hidden_layers, config.vocab_size
    inner = config.intermediate_size  # I
    query_width = config.num_attention_heads * config.attention_head_dim  # H·D
    key_width = config.key_value_heads * config.attention_head_dim  # Hkv·D

    attention = 2 * C * query_width + 2 * C * key_width
    if config.attention_bias:
        attention += query_width + 2 * key_width
    feed_forward = 2 * C * inner + inner + C if config.hidden_act == "relu" else 3 * C * inner
    norm = 2 * C if config.norm_type == "layer_norm" else C
    qk_norms = 2 * config.attention_head_dim if config.qk_norm else 0
    return ParameterCount(
        embedding=V * C,
        attention=L * attention,
        feed_forward=L * feed_forward,
        norms=L * (2 * norm + qk_norms) + norm,
        lm_head=0 if config.tie_word_embeddings else V * C,
    )


def matmul_parameters(config: ModelConfig) -> int:
    """How many weights one token's vector is multiplied with on its way from the embedding to the logits.

    The entries of all weight matrices on that way: the four projections and the feed-forward matrices of every layer,
    and the V·C of `lm_head`, tied or not. Not the look-up of the embedding, not norms, not biases.
    """
    C, L = config.hidden_size, config.num_hidden_layers
    heads = 2 * config.num_attention_heads + 2 * config.key_value_heads  # q and o, k and v
    matrices = 2 if config.hidden_act == "relu" else 3
    per_layer = heads * config.attention_head_dim * C + matrices * C * config.intermediate_size
    return L * per_layer + config.vocab_size * C


def forward_flops(config: ModelConfig, *, batch_size: int, seq_len: int) -> int:
    """FLOPs of one forward pass over (batch_size, seq_len) tokens, with logits at every position.

    Each token is multiplied with every one of the `matmul_parameters`. Beside that, each layer has two products without
    parameters: Q Kᵀ and weights · V, each over H heads, T queries and T keys of D numbers. The causal mask saves
    nothing: the whole T × T table is computed and then masked.
    """
    width = config.num_attention_heads * config.attention_head_dim  # H·D
    scores = 4 * config.num_hidden_layers * width * seq_len  # of one query with T keys: Q Kᵀ, then weights · V
    return batch_size * seq_len * (2 * matmul_parameters(config) + scores)


def decode_flops(config: ModelConfig, *, batch_size: int, context_len: int) -> int:
    """FLOPs of generating with a cache: one new token in each of `batch_size` rows.

    Args:
        config: a valid config.
        batch_size: B.
        context_len: how many tokens of each row are in the cache already. The new token attends to these and to itself.
    """
    width = config.num_attention_heads * config.attention_head_dim  # H·D
    scores = 4 * config.num_hidden_layers * width * (context_len + 1)
    return batch_size * (2 * matmul_parameters(config) + scores)


def training_flops(config: ModelConfig, *, batch_size: int, seq_len: int) -> int:
    """FLOPs of one forward and backward pass, when every weight is trained and nothing is computed twice.

    The backward pass of a product Y = X W has two products of the same size, one for the gradient of X and one for that
    of W. The same holds for Q Kᵀ and weights · V.
    """
    return 3 * forward_flops(config, batch_size=batch_size, seq_len=seq_len)


def training_seconds(flops: float, *, peak_flops: float, utilization: float, devices: int = 1) -> float:
    """How long `flops` operations take, in seconds, as a float.

    Args:
        flops: the whole work.
        peak_flops: operations per second that one device could do at best, as in 312e12 (NVIDIA A100, bfloat16).
        utilization: the share of the peak that is reached, greater than 0 and at most 1 (40 % is 0.4).
        devices: how many work on it; they are taken to share the work without loss.

    Raises:
        ValueError: `utilization` is not greater than 0 and at most 1. NaN is neither.
    """
    if not 0 < utilization <= 1:
        raise ValueError(f"utilization is {utilization}; a share greater than 0 and at most 1 is needed")
    return flops / (peak_flops * utilization * devices)


def kv_cache_bytes(config: ModelConfig, *, batch_size: int, seq_len: int, dtype: torch.dtype) -> int:
    """Bytes of the cache of lesson 04 when every row of it holds `seq_len` tokens.

    Each layer keeps one key and one value for each token and each key-value head, of D numbers.

    Args:
        config: a valid config.
        batch_size: B.
        seq_len: how many tokens of each row are in the cache.
        dtype: of the keys and values; `dtype.itemsize` is the size of one number.
    """
    numbers = 2 * config.num_hidden_layers * config.key_value_heads * config.attention_head_dim
    return batch_size * seq_len * numbers * dtype.itemsize


def inference_bytes(config: ModelConfig, *, batch_size: int, seq_len: int, dtype: torch.dtype) -> int:
    """Bytes that generation needs when the cache is full: every parameter and the cache, both in `dtype`.

    What a pass needs for a moment (activations, logits, the program itself) is left out.
    """
    weights = count_parameters(config).total * dtype.itemsize
    return weights + kv_cache_bytes(config, batch_size=batch_size, seq_len=seq_len, dtype=dtype)


def training_state_bytes(
    config: ModelConfig, *, optimizer: Literal["adamw", "lion"] = "adamw", mixed_precision: bool = True
) -> int:
    """Bytes that training keeps from step to step: weights, gradients, and the state of the optimizer.

    With mixed precision, weights and gradients have 2 bytes per parameter, and the optimizer keeps a master copy of the
    weights in float32, 4 bytes. Without it, weights and gradients have 4 bytes, and there is no copy. The moments are
    float32 in either case, 4 bytes: AdamW keeps two per parameter, Lion one.

    Source: Rajbhandari et al. 2020, "ZeRO", arXiv 1910.02054, section 3.1 (AdamW, mixed precision).

    Raises:
        ValueError: `optimizer` is neither "adamw" nor "lion"; the message says what it was.
    """
    moments = {"adamw": 2, "lion": 1}
    if optimizer not in moments:
        raise ValueError(f"unknown optimizer {optimizer!r}: one of {', '.join(moments)} is needed")
    weights, gradients, master = (2, 2, 4) if mixed_precision else (4, 4, 0)
    return count_parameters(config).total * (weights + gradients + master + 4 * moments[optimizer])


def activation_bytes(config: ModelConfig, *, batch_size: int, seq_len: int, checkpointing: bool = False) -> int:
    """Bytes of what the forward pass keeps for the backward pass, in 16-bit training: an estimate, by a known formula.

        every layer         34·B·T·C + 5·H·B·T²
        around the layers   4·B·T·(C + V): the last norm, the input of lm_head, and the logits in float32

    With checkpointing, each layer keeps only its input, 2·B·T·C, and computes the rest again when its turn comes in the
    backward pass. One layer at a time is then there in full, so the formula's sum for one layer comes on top. What
    stands around the layers stays.

    The formula was derived for a GPT block (plain feed-forward network of width 4·C, dropout, scores written to
    memory). It reads hidden_size, num_attention_heads, num_hidden_layers and vocab_size, and no other field.

    Source: Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models", arXiv 2205.05198,
    sections 4.1 and 4.3.
    """
    tokens = batch_size * seq_len
    C, L = config.hidden_size, config.num_hidden_layers
    layer = 34 * tokens * C + 5 * config.num_attention_heads * tokens * seq_len
    around = 4 * tokens * (C + config.vocab_size)
    if checkpointing:
        return L * 2 * tokens * C + layer + around
    return L * layer + around
