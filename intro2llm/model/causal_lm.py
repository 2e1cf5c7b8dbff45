"""The language model: token ids in, a score for every possible next token out, and the loop that writes text with it.

Letters: B texts side by side, T tokens given now, past tokens in the cache, S = past + T, C channels, V vocabulary, P
tokens of a prompt.

Choosing a token from its logits is in `sampling.py`; training is left to later lessons.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intro2llm.model.config import ModelConfig
from intro2llm.model.embedding import PositionalEncoding, TokenEmbedding
from intro2llm.model.norm import get_norm
from intro2llm.model.sampling import apply_repetition_penalty, sample_next_token
from intro2llm.model.transformer_block import TransformerBlock

KeyValueCache = list[tuple[Tensor, Tensor]]
"""One pair (key, value) for each layer, from the bottom up, each (B, H, S, D)."""


@dataclass
class CausalLMOutput:
    """What one call of the model gives back."""

    logits: Tensor
    """(B, T, V): the scores of the token that comes after each given one."""
    loss: Tensor | None = None
    """One number, if labels were given."""
    past_key_values: KeyValueCache | None = None
    """The cache of all S tokens, if it was asked for."""


def next_token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean cross-entropy of every token, judged by the logits of the token before it.

    The labels stand where the tokens stand: `labels` is usually `input_ids` itself. The shift by one happens here and
    nowhere else: the logits at place t are compared with the label at place t + 1; the first label and the last logits
    are compared with nothing. A label of -100 is ignored: it adds nothing, and the mean is over the others. When
    nothing is left to compare the loss is 0.

    Args:
        logits: (B, T, V), any floating dtype; the loss is computed in float32 (float64 stays float64).
        labels: (B, T), ids, or -100.

    Returns:
        One number, in nats, in the dtype of the computation.
    """
    raise NotImplementedError("lesson04 · next_token_loss")


class CausalLM(nn.Module):
    """A decoder-only language model: embedding, a stack of blocks, a norm, and a projection onto the vocabulary.

        logits = lm_head(norm(layers[-1](… layers[0](embed_tokens(ids)))))

    The names and shapes of the parameters are those of Llama in Hugging Face transformers without its prefix `model.`:
    `embed_tokens.weight`, `layers.0.self_attn.q_proj.weight`, …, `norm.weight`, `lm_head.weight`.

    All weights of `embed_tokens` and of every `nn.Linear` start from a normal distribution with mean 0 and standard
    deviation `config.initializer_range`, all biases of `nn.Linear` from 0; the norms start as they are built.

    Args:
        config: see `ModelConfig`. It is not changed.

    Attributes:
        config: the one that was given.
        embed_tokens: TokenEmbedding(vocab_size, hidden_size).
        position_embeddings: PositionalEncoding(hidden_size, max_len=config.max_position_embeddings) if
            `config.position_embedding_type == "sinusoidal"`, to be added to the embeddings; else None.
        layers: nn.ModuleList of config.num_hidden_layers blocks, TransformerBlock(config, layer_idx=0), 1, ….
        norm: from `get_norm(config)`, after the last block.
        lm_head: nn.Linear, hidden_size to vocab_size, without a bias. If `config.tie_word_embeddings` its weight IS the
            weight of `embed_tokens`: one parameter with two names. If not, it is a parameter of its own.
    """

    def __init__(self, config: ModelConfig) -> None:
        raise NotImplementedError("lesson04 · CausalLM.__init__")

    def compute_hidden_states(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: KeyValueCache | None = None,
        use_cache: bool = False,
    ) -> tuple[Tensor, KeyValueCache | None]:
        """Everything but the projection onto the vocabulary: what the last norm gives for each of the T tokens.

        No token sees one that comes after it, or padding. A token's position is the number of tokens before it in its
        text: padding takes up no place. Without a mask, positions are past, …, past + T - 1. With one, they are
        cumsum(attention_mask) - 1, never below 0, of its last T columns. What comes out at a padding token has no
        meaning, but is finite. Whatever is made on the way is made on the device of `input_ids`.

        Args:
            input_ids: (B, T), the tokens that are not in the cache yet.
            attention_mask: (B, past + T), 1 or True for a token, 0 or False for padding, at either end; None means that
                all are tokens.
            position_ids: (B, T) or (T,), to be used instead of the rule above.
            past_key_values: the cache that an earlier call gave back, or None. It is not changed.
            use_cache: whether a cache of all past + T tokens is wanted.

        Returns:
            The hidden states (B, T, C), and the new cache, or None if it is not wanted.

        Raises:
            TypeError: `attention_mask` is floating-point.
            ValueError: `attention_mask` is not (B, past + T): the message names both shapes. Or the positions are
                sinusoidal and one is not below config.max_position_embeddings: the message names both numbers. (RoPE
                has no such limit.)
        """
        raise NotImplementedError("lesson04 · CausalLM.compute_hidden_states")

    def forward(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: KeyValueCache | None = None,
        use_cache: bool = False,
        labels: Tensor | None = None,
    ) -> CausalLMOutput:
        """Score every possible next token at each of the T places, and the labels too if there are any.

        Args:
            input_ids, attention_mask, position_ids, past_key_values, use_cache: as for `compute_hidden_states`.
            labels: (B, T), aligned with `input_ids`: see `next_token_loss`. Padding is ignored only where its label is
                -100.

        Returns:
            The logits, in the dtype of the weights; the loss, or None without labels; the cache, or None if it is not
            wanted.
        """
        raise NotImplementedError("lesson04 · CausalLM.forward")

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor,
        *,
        max_new_tokens: int = 100,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        repetition_penalty: float = 1.0,
        stop_token_ids: Collection[int] = (),
        pad_token_id: int | None = None,
        attention_mask: Tensor | None = None,
        generator: torch.Generator | None = None,
        use_cache: bool = True,
        on_token: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Continue every prompt, token by token.

        Each step takes the logits of the last place, applies the repetition penalty against all that stands in the text
        (prompt included, padding not), and chooses with `sample_next_token`. A text ends with its first *generated*
        stop token, which is kept; from then on `pad_token_id` is appended to it (None: its stop token again). When all
        texts have ended, generation stops.

        The model runs in eval mode and is afterwards in the mode in which it was, also if an error ends the generation.
        No gradient is recorded. Nothing is remembered between calls.

        Args:
            input_ids: (B, P), prompts, P at least 1. Shorter prompts are padded on the LEFT, and `attention_mask` says
                where: each text then goes on as it would alone.
            max_new_tokens: 0 or more; how many tokens are appended at most.
            temperature, top_k, top_p, generator: as for `sample_next_token`.
            repetition_penalty: as for `apply_repetition_penalty`.
            stop_token_ids: ids that end a text.
            pad_token_id: what follows the end of a text that has ended before the others.
            attention_mask: (B, P), 1 or True for a token, 0 or False for padding; None means that all are tokens.
            use_cache: feed each token to the model once and keep its keys and values: the same tokens, faster. False
                feeds the whole text at each step. Either way, the last new token is not fed.
            on_token: called at each step with the (B,) ids that are being appended.

        Returns:
            (B, P + n), int64: the prompts with what was appended; n is at most `max_new_tokens`.

        Raises:
            ValueError: `max_new_tokens` is below 0; the prompt has no token; `attention_mask` is not (B, P) (the
                message names both shapes) or has padding at the right end; a sampling option is outside its range; or
                what `compute_hidden_states` raises.
        """
        raise NotImplementedError("lesson04 · CausalLM.generate")
