"""The transformer block: attention, then the feed-forward network, each added to the residual stream.

Letters: B batch, T tokens (queries), S keys, C channels (hidden_size).
"""

from torch import Tensor, nn

from intro2llm.model.attention import MultiHeadAttention
from intro2llm.model.config import ModelConfig
from intro2llm.model.feedforward import get_feed_forward
from intro2llm.model.norm import get_norm


class TransformerBlock(nn.Module):
    """A pre-norm block: two branches, one after the other; each reads a normalised copy and adds to the stream.

        h = x + self_attn(input_layernorm(x))
        y = h + mlp(post_attention_layernorm(h))

    Nothing stands on the path from x to y but the two additions. The names are those of Llama in Hugging Face
    transformers: `post_attention_layernorm` stands after the attention and before the mlp.

    Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture", figure 1(b).

    Attributes:
        input_layernorm, post_attention_layernorm: two norms with their own weights, each from `get_norm(config)`.
        self_attn: MultiHeadAttention(config), the one of lesson 02.
        mlp: from `get_feed_forward(config)`.
        layer_idx: which layer of the model this is, counted from 0. The computation does not depend on it.
    """

    def __init__(self, config: ModelConfig, *, layer_idx: int = 0) -> None:
        """Build the four parts. The block has no parameters beside theirs."""
        raise NotImplementedError("lesson03 · TransformerBlock.__init__")

    def forward(
        self,
        hidden_states: Tensor,
        *,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Run both branches. The three options are handed to `self_attn` as they are; see there for their meaning.

        Args:
            hidden_states: (B, T, C), the residual stream. It is not changed: whoever called may still need it.
            position_ids: integer positions (B, T) or (T,), or None.
            attention_mask: bool, True = may attend, broadcasting to (B, H, T, S), or None.
            is_causal: whether a token may attend only to itself and to what stands before it.

        Returns:
            (B, T, C), in the dtype of `hidden_states`: the block adds in that dtype, and converts nothing.
        """
        raise NotImplementedError("lesson03 · TransformerBlock.forward")

    def forward_with_cache(
        self,
        hidden_states: Tensor,
        past_key_value: tuple[Tensor, Tensor] | None = None,
        *,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run both branches for the new tokens only; the attention sees the past through the cache.

        The same as `forward` with `is_causal=True`, but for the attention, which is `self_attn.forward_with_cache`: it
        is handed the cache and both options as they are. The norms and the mlp treat each token alone and need no past.

        Args:
            hidden_states: (B, T, C), the new tokens only. It is not changed.
            past_key_value: what this block gave back for the tokens before, or None. It is not changed.
            position_ids: integer positions (B, T) or (T,), or None.
            attention_mask: bool, True = may attend, broadcasting to (B, H, T, S) with S = past + T, or None.

        Returns:
            (B, T, C), and the cache of `self_attn` for all S tokens.
        """
        raise NotImplementedError("lesson04 · TransformerBlock.forward_with_cache")
