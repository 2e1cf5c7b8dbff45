"""What `bench` measures your code against: the same work with the functions of PyTorch and of the tokenizers library.

Nothing here is made to be read first: it is how the pieces look once someone else has written them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    import tokenizers

    from intro2llm.model.config import ModelConfig

Merges = list[tuple[str, str]]
Cut = Callable[[str], list[str]]
"""Cuts a text into pretokens, or a pretoken into symbols."""

# The rules of `BPETokenizer._pretokenize` in the notation of Rust's regular expressions.
_SPACE = r"[\s\x{1c}-\x{1f}]"
_SEEN = r"[^\s\x{1c}-\x{1f}"
_PRETOKEN = (
    rf"'(?:s|t|re|ve|m|ll|d)| ?[\p{{L}}\p{{Nl}}\p{{No}}]+| ?\p{{Nd}}+| ?{_SEEN}\p{{L}}\p{{N}}]+"
    rf"|{_SPACE}+(?!{_SEEN}])|{_SPACE}+"
)


class PlainDecoder:
    """A Llama in PyTorch's own functions over given weights, with a cache of keys and values made once."""

    def __init__(self, weights: Mapping[str, Tensor], config: ModelConfig, *, batch_size: int, max_length: int) -> None:
        self.weights, self.config = weights, config
        self.D = config.hidden_size // config.num_attention_heads
        table = weights["embed_tokens.weight"]
        shape = (config.num_hidden_layers, batch_size, config.num_attention_heads, max_length, self.D)
        self.keys, self.values = table.new_zeros(shape), table.new_zeros(shape)
        inv_freq = config.rope_theta ** (-torch.arange(0, self.D, 2, device=table.device) / self.D)
        angle = torch.outer(torch.arange(max_length, device=table.device), inv_freq).repeat(1, 2)  # (max_length, D)
        self.cos, self.sin = angle.cos(), angle.sin()

    @torch.no_grad()
    def logits(self, input_ids: Tensor, start: int = 0) -> Tensor:
        """(B, T) → (B, T, V). With `start` above 0, T is 1 and the cache holds what stands before `start`."""
        B, T = input_ids.shape
        C, end, weights = self.config.hidden_size, start + T, self.weights
        cos, sin = self.cos[start:end], self.sin[start:end]
        x = F.embedding(input_ids, weights["embed_tokens.weight"])  # (B, T, C)
        for i in range(self.config.num_hidden_layers):

            def of(name: str, layer: str = f"layers.{i}.") -> Tensor:
                return weights[f"{layer}{name}.weight"]

            h = F.rms_norm(x, (C,), of("input_layernorm"), self.config.rms_norm_eps)
            query, key, value = (
                F.linear(h, of(f"self_attn.{name}_proj")).view(B, T, -1, self.D).transpose(1, 2) for name in "qkv"
            )  # (B, H, T, D)
            self.keys[i, :, :, start:end] = _rotate(key, cos, sin)
            self.values[i, :, :, start:end] = value
            heads = F.scaled_dot_product_attention(
                _rotate(query, cos, sin), self.keys[i, :, :, :end], self.values[i, :, :, :end], is_causal=T > 1
            )
            x = x + F.linear(heads.transpose(1, 2).flatten(2), of("self_attn.o_proj"))
            h = F.rms_norm(x, (C,), of("post_attention_layernorm"), self.config.rms_norm_eps)
            x = x + swiglu(h, of("mlp.gate_proj"), of("mlp.up_proj"), of("mlp.down_proj"))
        x = F.rms_norm(x, (C,), weights["norm.weight"], self.config.rms_norm_eps)
        return F.linear(x, weights["lm_head.weight"])  # (B, T, V)

    def greedy(self, input_ids: Tensor, count: int) -> Tensor:
        """The prompt (B, P) and the `count` likeliest tokens after it, one by one: (B, P + count)."""
        ids, new, start = [input_ids], input_ids, 0
        for _ in range(count):
            logits = self.logits(new, start)
            start += new.shape[1]
            new = logits[:, -1:].argmax(dim=-1)
            ids.append(new)
        return torch.cat(ids, dim=1)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    x1, x2 = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-x2, x1), dim=-1) * sin


def swiglu(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    return F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)


def library_tokenizer(vocab: Mapping[str, int] | None = None, merges: Merges | None = None) -> tokenizers.Tokenizer:
    """A byte-level BPE of the tokenizers library, written in Rust. Raises ImportError where it is not installed."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(dict(vocab or {}), merges or []))
    cut = pre_tokenizers.Split(Regex(_PRETOKEN), "isolated")
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, bytes_only])
    return tokenizer


def train_by_library(texts: Iterable[str], special_tokens: list[str], vocab_size: int) -> Merges:
    """Its trainer, in Rust as well. Raises ImportError where it is not installed."""
    tokenizer = library_tokenizer()
    from tokenizers import pre_tokenizers, trainers

    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=special_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]


def train_by_recount(
    texts: Iterable[str], pretokenize: Cut, symbols: Cut, start: Iterable[str], vocab_size: int
) -> Merges:
    """Byte-pair encoding as it is explained: count every pair, join the most frequent one, count again."""
    frequency = Counter(pretoken for text in texts for pretoken in pretokenize(text))
    words = {pretoken: symbols(pretoken) for pretoken in frequency}
    ids = {token: i for i, token in enumerate(start)}
    merges: Merges = []
    while len(ids) < vocab_size:
        pairs: Counter[tuple[str, str]] = Counter()
        for pretoken, tokens in words.items():
            for pair in pairwise(tokens):
                pairs[pair] += frequency[pretoken]
        new = [pair for pair, count in pairs.items() if count > 1 and "".join(pair) not in ids]
        if not new:
            break
        best = max(new, key=lambda pair: (pairs[pair], -ids[pair[0]], -ids[pair[1]]))
        ids["".join(best)] = len(ids)
        merges.append(best)
        words = {pretoken: join(tokens, best) for pretoken, tokens in words.items()}
    return merges


def encode_by_search(text: str, pretokenize: Cut, symbols: Cut, merges: Merges, vocab: Mapping[str, int]) -> list[int]:
    """Byte-pair encoding as it is explained: for every pretoken, join its earliest pair until none is left."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    ids: list[int] = []
    for pretoken in pretokenize(text):
        tokens = symbols(pretoken)
        while best := min((pair for pair in pairwise(tokens) if pair in ranks), key=ranks.__getitem__, default=None):
            tokens = join(tokens, best)
        ids += [vocab[token] for token in tokens]
    return ids


def join(tokens: list[str], pair: tuple[str, str]) -> list[str]:
    """Every occurrence of the pair made one token, from left to right."""
    joined: list[str] = []
    i = 0
    while i < len(tokens):
        width = 2 if tuple(tokens[i : i + 2]) == pair else 1
        joined.append("".join(tokens[i : i + width]))
        i += width
    return joined
