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
        raise NotImplementedError("lesson05 · ParameterCount.total")

    @property
    def non_embedding(self) -> int:
        """All but the two tables of the vocabulary, `embedding` and `lm_head`: what the blocks and the norms hold.

        This is the figure that model cards give as "non-embedding parameters" (Qwen2.5-0.5B: 357 898 112).
        """
        raise NotImplementedError("lesson05 · ParameterCount.non_embedding")


def count_parameters(config: ModelConfig) -> ParameterCount:
    """Count the parameters of the model that `config` describes, exactly.

    Shapes as nn.Linear stores them: q_proj (H·D, C), k_proj and v_proj (Hkv·D, C), o_proj (C, H·D). With
    `attention_bias`, q_proj, k_proj and v_proj have a bias, and o_proj has none. `hidden_act` "silu" and "gelu" are
    three matrices of C·I without biases; "relu" is two, with biases (I and C). RMSNorm has C parameters, LayerNorm
    2·C. With `qk_norm` every layer has two more RMSNorms, of D parameters each, whatever `norm_type` is.

    Args:
        config: a valid config; it is not changed.
    """
    raise NotImplementedError("lesson05 · count_parameters")


def matmul_parameters(config: ModelConfig) -> int:
    """How many weights one token's vector is multiplied with on its way from the embedding to the logits.

    The entries of all weight matrices on that way: the four projections and the feed-forward matrices of every layer,
    and the V·C of `lm_head`, tied or not. Not the look-up of the embedding, not norms, not biases.
    """
    raise NotImplementedError("lesson05 · matmul_parameters")


def forward_flops(config: ModelConfig, *, batch_size: int, seq_len: int) -> int:
    """FLOPs of one forward pass over (batch_size, seq_len) tokens, with logits at every position.

    Each token is multiplied with every one of the `matmul_parameters`. Beside that, each layer has two products without
    parameters: Q Kᵀ and weights · V, each over H heads, T queries and T keys of D numbers. The causal mask saves
    nothing: the whole T × T table is computed and then masked.
    """
    raise NotImplementedError("lesson05 · forward_flops")


def decode_flops(config: ModelConfig, *, batch_size: int, context_len: int) -> int:
    """FLOPs of generating with a cache: one new token in each of `batch_size` rows.

    Args:
        config: a valid config.
        batch_size: B.
        context_len: how many tokens of each row are in the cache already. The new token attends to these and to itself.
    """
    raise NotImplementedError("lesson05 · decode_flops")


def training_flops(config: ModelConfig, *, batch_size: int, seq_len: int) -> int:
    """FLOPs of one forward and backward pass, when every weight is trained and nothing is computed twice.

    The backward pass of a product Y = X W has two products of the same size, one for the gradient of X and one for that
    of W. The same holds for Q Kᵀ and weights · V.
    """
    raise NotImplementedError("lesson05 · training_flops")


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
    raise NotImplementedError("lesson05 · training_seconds")


def kv_cache_bytes(config: ModelConfig, *, batch_size: int, seq_len: int, dtype: torch.dtype) -> int:
    """Bytes of the cache of lesson 04 when every row of it holds `seq_len` tokens.

    Each layer keeps one key and one value for each token and each key-value head, of D numbers.

    Args:
        config: a valid config.
        batch_size: B.
        seq_len: how many tokens of each row are in the cache.
        dtype: of the keys and values; `dtype.itemsize` is the size of one number.
    """
    raise NotImplementedError("lesson05 · kv_cache_bytes")


def inference_bytes(config: ModelConfig, *, batch_size: int, seq_len: int, dtype: torch.dtype) -> int:
    """Bytes that generation needs when the cache is full: every parameter and the cache, both in `dtype`.

    What a pass needs for a moment (activations, logits, the program itself) is left out.
    """
    raise NotImplementedError("lesson05 · inference_bytes")


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
    raise NotImplementedError("lesson05 · training_state_bytes")


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
    raise NotImplementedError("lesson05 · activation_bytes")
