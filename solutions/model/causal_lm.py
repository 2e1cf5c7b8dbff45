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
    logits = logits[:, :-1].flatten(0, 1)  # (B * (T - 1), V)
    labels = labels[:, 1:].flatten()  # (B * (T - 1),)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    total = F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)


def check_prompts(input_ids: Tensor, attention_mask: Tensor | None, max_new_tokens: int) -> None:
    """Refuse what `generate` cannot continue."""
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must be 0 or more; it is {max_new_tokens}")
    if input_ids.shape[1] == 0:
        raise ValueError("the prompt is empty; the model needs a token to start from")
    if attention_mask is not None:
        if attention_mask.shape != input_ids.shape:
            wanted = tuple(input_ids.shape)
            raise ValueError(f"attention_mask is {tuple(attention_mask.shape)}, but must be (B, P) = {wanted}")
        if not attention_mask[:, -1].all():
            raise ValueError("a prompt ends with padding; pad on the left, so that its last token is the last")


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
        super().__init__()
        V, C = config.vocab_size, config.hidden_size
        self.config = config
        self.embed_tokens = TokenEmbedding(V, C)
        self.position_embeddings = (
            PositionalEncoding(C, max_len=config.max_position_embeddings)
            if config.position_embedding_type == "sinusoidal"
            else None
        )
        self.layers = nn.ModuleList(TransformerBlock(config, layer_idx=i) for i in range(config.num_hidden_layers))
        self.norm = get_norm(config)
        self.lm_head = nn.Linear(C, V, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.embed_tokens.weight

        for module in self.modules():
            if isinstance(module, nn.Linear | TokenEmbedding):
                nn.init.normal_(module.weight, std=config.initializer_range)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

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
        B, T = input_ids.shape
        past = past_key_values[0][0].shape[-2] if past_key_values else 0
        if attention_mask is not None:
            if attention_mask.is_floating_point():
                raise TypeError(f"attention_mask is {attention_mask.dtype}; give integers or bools, 1 for a token")
            if attention_mask.shape != (B, past + T):
                raise ValueError(
                    f"attention_mask is {tuple(attention_mask.shape)}, but must be (B, past + T) = {(B, past + T)}"
                )
            if position_ids is None:
                position_ids = (attention_mask.cumsum(dim=-1) - 1).clamp(min=0)[:, past:]  # (B, T)
            attention_mask = attention_mask[:, None, None].bool()  # (B, 1, 1, S): hides keys, from every query
        elif position_ids is None:
            position_ids = torch.arange(past, past + T, device=input_ids.device)  # (T,)

        hidden_states = self.embed_tokens(input_ids)  # (B, T, C)
        if self.position_embeddings is not None:
            limit = self.config.max_position_embeddings
            if position_ids.max() >= limit:
                raise ValueError(f"position {position_ids.max()} is beyond max_position_embeddings = {limit}")
            hidden_states = self.position_embeddings(hidden_states, position_ids=position_ids)

        options = {"position_ids": position_ids, "attention_mask": attention_mask}
        if not use_cache and not past_key_values:
            for layer in self.layers:
                hidden_states = layer(hidden_states, is_causal=True, **options)
            return self.norm(hidden_states), None

        present_key_values: KeyValueCache = []
        for layer, past_key_value in zip(self.layers, past_key_values or [None] * len(self.layers), strict=True):
            hidden_states, present = layer.forward_with_cache(hidden_states, past_key_value, **options)
            present_key_values.append(present)
        return self.norm(hidden_states), present_key_values if use_cache else None

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
        hidden_states, present_key_values = self.compute_hidden_states(
            input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
        )
        logits = self.lm_head(hidden_states)  # (B, T, V)
        loss = None if labels is None else next_token_loss(logits, labels)
        return CausalLMOutput(logits, loss, present_key_values)

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
        check_prompts(input_ids, attention_mask, max_new_tokens)
        B, P = input_ids.shape
        ids = F.pad(input_ids.long(), (0, max_new_tokens))  # (B, P + max_new_tokens), filled from the left
        if attention_mask is not None:
            attention_mask = F.pad(attention_mask, (0, max_new_tokens), value=1)  # (B, P + max_new_tokens)
        stop_tokens = torch.tensor(list(stop_token_ids), dtype=torch.long, device=ids.device)
        ended = torch.zeros(B, dtype=torch.bool, device=ids.device)
        past_key_values, fed, length = None, 0, P

        was_training = self.training
        self.eval()
        try:
            while length < P + max_new_tokens and not (stop_token_ids and ended.all()):
                mask = None if attention_mask is None else attention_mask[:, :length]
                hidden_states, past_key_values = self.compute_hidden_states(
                    ids[:, fed:length], attention_mask=mask, past_key_values=past_key_values, use_cache=use_cache
                )
                logits = self.lm_head(hidden_states[:, -1])  # (B, V)
                if repetition_penalty != 1:
                    logits = apply_repetition_penalty(logits, ids[:, :length], repetition_penalty, attention_mask=mask)
                token = sample_next_token(
                    logits, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator
                )  # (B,)
                if stop_token_ids:
                    filler = ids[:, length - 1] if pad_token_id is None else pad_token_id  # the last is its stop token
                    token = torch.where(ended, filler, token)
                    ended = ended | torch.isin(token, stop_tokens)
                ids[:, length] = token
                fed = length if use_cache else 0
                length += 1
                if on_token is not None:
                    on_token(token)
        finally:
            self.train(was_training)
        return ids[:, :length]
