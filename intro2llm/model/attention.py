"""Attention: every token asks all tokens it may see, and takes a weighted mean of what they answer.

Letters: B batch, T query tokens, S key tokens (T = S unless a cache holds the past), C channels, H heads, D head size.

Masks are boolean, True = may attend. Later lessons add to this file: lesson 04 the key-value cache, lesson 15 fewer key
heads than query heads and sliding windows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intro2llm.model.config import ModelConfig
from intro2llm.model.embedding import RoPE
from intro2llm.model.norm import RMSNorm


def causal_mask(
    query_length: int, key_length: int | None = None, *, device: torch.device | str | None = None
) -> Tensor:
    """Which keys each query may attend to when nobody may look into the future.

    The queries are the LAST `query_length` of the `key_length` positions: query t stands at position S - T + t, and may
    attend to itself and to everything before it.

        causal_mask(3)      1 0 0        causal_mask(2, 4)      1 1 1 0
                            1 1 0                               1 1 1 1
                            1 1 1

    Args:
        query_length: T.
        key_length: S, at least T; None means T.
        device: where to make the mask; None is torch's default.

    Returns:
        (T, S), bool, True = may attend; a new tensor on every call.

    Raises:
        ValueError: there are more queries than keys.
    """
    raise NotImplementedError("lesson02 · causal_mask")


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    attention_mask: Tensor | None = None,
    is_causal: bool = False,
    dropout_p: float = 0.0,
) -> Tensor:
    """For every query, the mean of the values, weighted by how well the query matches each key.

        attention(Q, K, V) = softmax(Q Kᵀ / sqrt(D)) V

    The softmax runs over the keys, after the pairs that may not attend have been taken out: their weight is exactly
    zero, and so is every gradient through them. It is computed in float32 (float64 stays float64) and must survive
    scores of 1e5. A query that may attend to no key at all gets zeros, with finite gradients. The inputs are not
    changed.

    Source: Vaswani et al., "Attention Is All You Need", arXiv 1706.03762, section 3.2.1.

    Args:
        query: (B, H, T, D), any floating dtype; the others have the same.
        key: (B, H, S, D).
        value: (B, H, S, Dv); Dv may differ from D.
        attention_mask: broadcasts to (B, H, T, S). Bool, True = may attend; integers are taken as 0 and not 0.
        is_causal: also forbid the future, as in `causal_mask(T, S)`; both masks hold when both are given.
        dropout_p: the probability of dropping each attention weight after the softmax; those that stay are divided by
            1 - dropout_p. A function does not know whether it is training: any probability but 0 is always applied.

    Returns:
        (B, H, T, Dv), in the dtype of `query`.

    Raises:
        TypeError: `attention_mask` is floating-point. Some libraries add such a mask to the scores and others multiply,
            so it is refused.
    """
    raise NotImplementedError("lesson02 · scaled_dot_product_attention")


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Cut the channels of every token into heads: channels 0 … D-1 are head 0, the next D are head 1, and so on.

    Args:
        x: (B, T, H * D), contiguous or not.
        num_heads: H.

    Returns:
        (B, H, T, D): `result[b, h, t, d] == x[b, t, h * D + d]`.
    """
    raise NotImplementedError("lesson02 · split_heads")


def merge_heads(x: Tensor) -> Tensor:
    """Lay the heads of every token side by side again: the inverse of `split_heads`.

    Args:
        x: (B, H, T, D), contiguous or not.

    Returns:
        (B, T, H * D).
    """
    raise NotImplementedError("lesson02 · merge_heads")


class MultiHeadAttention(nn.Module):
    """H attentions side by side, each on its own D channels, between a projection in and a projection out.

    The head size D is `config.head_dim`, or hidden_size // num_attention_heads when that is None; H * D need not be C.
    There are as many key and value heads as query heads: `config.num_key_value_heads` is not read until lesson 15.

    Names and shapes of the parameters are those of Llama's `self_attn`, and the state dict holds nothing else, so that
    published weights fit. Sequences may have any length, and nothing is remembered from one call to the next.

    Source: Vaswani et al., section 3.2.2.

    Args:
        config: reads hidden_size, num_attention_heads, head_dim, attention_bias, qk_norm, rms_norm_eps,
            position_embedding_type, rope_theta and attention_dropout. It is not changed.

    Attributes:
        q_proj, k_proj, v_proj: nn.Linear, C to H * D, with a bias if and only if `config.attention_bias`.
        o_proj: nn.Linear, H * D to C, never with a bias.
        q_norm, k_norm: RMSNorm(D, eps=config.rms_norm_eps), each with its own weight, if `config.qk_norm`; without it
            they hold no parameters.
        rope: RoPE(D, base=config.rope_theta) of lesson 01 if `config.position_embedding_type == "rope"`, else None.

    Raises:
        ValueError: hidden_size is not a multiple of num_attention_heads, and head_dim is None.
    """

    def __init__(self, config: ModelConfig) -> None:
        raise NotImplementedError("lesson02 · MultiHeadAttention.__init__")

    def project(self, hidden_states: Tensor, position_ids: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of every head, ready for `scaled_dot_product_attention`.

        In this order: project, split into heads, normalise queries and keys (if `qk_norm`), rotate queries and keys (if
        there is a `rope`: `self.rope(query, key, position_ids)`). Values are neither normalised nor rotated.

        Args:
            hidden_states: (B, T, C).
            position_ids: (B, T) or (T,), where in the text each token stands; None means 0, 1, …, T - 1.

        Returns:
            query, key and value, each (B, H, T, D).
        """
        raise NotImplementedError("lesson02 · MultiHeadAttention.project")

    def forward(
        self,
        hidden_states: Tensor,
        *,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Let the tokens of each sequence exchange information.

        With neither `attention_mask` nor `is_causal` every token sees every token. Weights are dropped with probability
        `config.attention_dropout` while the module is in training mode, and never after `eval()`.

        Args:
            hidden_states: (B, T, C).
            position_ids: as for `project`.
            attention_mask: as for `scaled_dot_product_attention`: broadcasts to (B, H, T, T), True = may attend.
            is_causal: whether the future is hidden.

        Returns:
            (B, T, C).
        """
        raise NotImplementedError("lesson02 · MultiHeadAttention.forward")

    def forward_with_cache(
        self,
        hidden_states: Tensor,
        past_key_value: tuple[Tensor, Tensor] | None = None,
        *,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Like `forward` with `is_causal=True`, for the last T tokens of a text whose first tokens went before.

        Only the T new tokens are projected. Their queries attend to S = past + T keys: those of the past, then their
        own. Feeding a text in pieces, each with the cache that the piece before gave back, gives what one call of
        `forward` with the whole text gives, up to rounding; the pieces may have any lengths.

        The cache is a pair (key, value) as `project` made them: keys normalised and rotated to their own positions, so
        that nothing in it ever has to be computed again. There is no other state: whoever calls keeps the cache, and
        `past_key_value` is not changed, so that two texts may go on from one past.

        Args:
            hidden_states: (B, T, C), the new tokens only.
            past_key_value: keys and values of the tokens before, each (B, H, past, D); None means that there are none.
            position_ids: (B, T) or (T,), where the new tokens stand; None means past, …, past + T - 1.
            attention_mask: broadcasts to (B, H, T, S), True = may attend. It holds beside the causal mask, which always
                holds.

        Returns:
            The output for the new tokens, (B, T, C), and the pair (key, value) for all S tokens, each (B, H, S, D).
        """
        raise NotImplementedError("lesson04 · MultiHeadAttention.forward_with_cache")
