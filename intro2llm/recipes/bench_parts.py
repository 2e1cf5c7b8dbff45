"""What `bench` measures, part by part: the work in your code and in a peer's, and what a gap is made of. Given.

A part imports your classes when it is prepared: one that is not written yet stops its own row and no other.
"""

import importlib.util
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from intro2llm.recipes import peers


@dataclass(frozen=True)
class Setting:
    """How large the work is, and where it is done."""

    quick: bool
    device: torch.device

    def pick(self, quick: int, full: int) -> int:
        return quick if self.quick else full

    def draw(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.device)


@dataclass(frozen=True)
class Work:
    """The same work twice. Each call does all of it anew, and returns its result."""

    size: str
    peer: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]


def attention(setting: Setting) -> Work:
    from intro2llm.model.attention import scaled_dot_product_attention

    T = setting.pick(256, 1024)
    query, key, value = setting.draw(3, 1, 8, T, 64)
    return Work(
        f"{T} tokens, causal",
        "F.scaled_dot_product_attention",
        lambda: scaled_dot_product_attention(query, key, value, is_causal=True),
        lambda: F.scaled_dot_product_attention(query, key, value, is_causal=True),
    )


def rms_norm(setting: Setting) -> Work:
    from intro2llm.model.norm import RMSNorm

    T, C = setting.pick(256, 2048), 512
    x, norm = setting.draw(1, T, C), RMSNorm(C).to(setting.device)
    return Work(f"{T} tokens", "F.rms_norm", lambda: norm(x), lambda: F.rms_norm(x, (C,), norm.weight, 1e-6))


def layer_norm(setting: Setting) -> Work:
    from intro2llm.model.norm import LayerNorm

    T, C = setting.pick(256, 2048), 512
    x, norm = setting.draw(1, T, C), LayerNorm(C).to(setting.device)
    return Work(
        f"{T} tokens", "F.layer_norm", lambda: norm(x), lambda: F.layer_norm(x, (C,), norm.weight, norm.bias, 1e-6)
    )


def feed_forward(setting: Setting) -> Work:
    from intro2llm.model.config import ModelConfig
    from intro2llm.model.feedforward import SwiGLU

    T = setting.pick(64, 512)
    x, ffn = setting.draw(1, T, 256), SwiGLU(ModelConfig(hidden_size=256, intermediate_size=688)).to(setting.device)
    weights = ffn.gate_proj.weight, ffn.up_proj.weight, ffn.down_proj.weight
    return Work(f"{T} tokens", "F.linear, F.silu", lambda: ffn(x), lambda: peers.swiglu(x, *weights))


def tokenizer_training(setting: Setting) -> Work:
    from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer

    library = importlib.util.find_spec("tokenizers") is not None
    small = setting.quick or not library  # counting anew for every merge takes hours for what the library does at once
    text, vocab_size = sentences(40_000 if small else 1_000_000), 400 if small else 2000
    untrained = ByteLevelTokenizer()
    specials = list(untrained.special_tokens.values())
    start = [*specials, *untrained.alphabet([])]

    def train() -> list[tuple[str, str]]:
        tokenizer = ByteLevelTokenizer()
        tokenizer.train([text], vocab_size)
        return [(left, right) for left, right in tokenizer.merges]

    return Work(
        f"{len(text) // 1000} KB, {vocab_size} entries",
        "tokenizers (Rust)" if library else "a recount for every merge",
        train,
        (lambda: peers.train_by_library([text], specials, vocab_size))
        if library
        else (lambda: peers.train_by_recount([text], untrained._pretokenize, untrained.symbols, start, vocab_size)),
    )


def tokenizer_encoding(setting: Setting) -> Work:
    from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer

    library = importlib.util.find_spec("tokenizers") is not None
    text, trained = sentences(setting.pick(40_000, 1_000_000)), ByteLevelTokenizer()
    trained.train([text[:100_000]], setting.pick(400, 2000))
    vocab, merges = trained.vocab, [(left, right) for left, right in trained.merges]
    return Work(
        f"{len(text) // 1000} KB",
        "tokenizers (Rust)" if library else "a search for every word",
        lambda: ByteLevelTokenizer(vocab, merges).encode(text),  # a new one each time: nothing is remembered
        (lambda: peers.library_tokenizer(vocab, merges).encode(text).ids)
        if library
        else (lambda: peers.encode_by_search(text, trained._pretokenize, trained.symbols, merges, vocab)),
    )


def prefill(setting: Setting) -> Work:
    from intro2llm.model.causal_lm import CausalLM

    T = setting.pick(64, 512)
    model, decoder, prompt = language_model(CausalLM, setting, prompt=T, length=T)
    return Work(f"{T} tokens", "F.* over your weights", lambda: model(prompt).logits, lambda: decoder.logits(prompt))


def decode(setting: Setting) -> Work:
    from intro2llm.model.causal_lm import CausalLM

    new = setting.pick(16, 64)
    model, decoder, prompt = language_model(CausalLM, setting, prompt=8, length=8 + new)
    return Work(
        f"{new} tokens",
        "F.* over your weights",
        lambda: model.generate(prompt, max_new_tokens=new, temperature=0.0),
        lambda: decoder.greedy(prompt, new),
    )


def language_model(
    kind: Callable[[Any], Any], setting: Setting, *, prompt: int, length: int
) -> tuple[Any, peers.PlainDecoder, Tensor]:
    """A random model of about 5 million parameters, a plain decoder over the same weights, and a prompt."""
    from intro2llm.model.config import ModelConfig

    torch.manual_seed(0)
    config = ModelConfig(hidden_size=256, intermediate_size=688, num_hidden_layers=4, vocab_size=4096)
    model = kind(config).to(setting.device).eval()
    decoder = peers.PlainDecoder(model.state_dict(), config, batch_size=1, max_length=length)
    return model, decoder, torch.randint(config.vocab_size, (1, prompt)).to(setting.device)


def sentences(size: int) -> str:
    """Text of made-up words, of which a few are frequent and most are rare, as in any language."""
    generator = random.Random(0)
    words = ["".join(generator.choices("etaoinshrdlucm", k=generator.randint(1, 9))) for _ in range(size // 50)]
    drawn = generator.choices(words, [1 / (rank + 1) for rank in range(len(words))], k=size // 2)
    return " ".join(drawn)[:size]


@dataclass(frozen=True)
class Part:
    lesson: str
    prepare: Callable[[Setting], Work]
    closes: str
    """Where in the course the gap closes."""
    gap: str
    """What the gap is made of."""


_PASSES = "each step (square, mean, multiply) reads and writes the whole tensor; the peer goes over it once"
PARTS = {
    "attention": Part(
        "02",
        attention,
        "lesson 15",
        "the T × T scores are written to memory and read again, mask and softmax included; "
        "a fused kernel works on tiles that stay in the processor's cache",
    ),
    "rms-norm": Part("02", rms_norm, "torch.compile", _PASSES),
    "layer-norm": Part("02", layer_norm, "torch.compile", _PASSES),
    "ffn": Part(
        "03", feed_forward, "lesson 03", "three matrix products are nearly all of it; whatever is slower is beside them"
    ),
    "bpe-training": Part(
        "01", tokenizer_training, "lesson 01", "Python against Rust; what decides is how little a merge has to recount"
    ),
    "bpe-encoding": Part(
        "01",
        tokenizer_encoding,
        "lesson 01",
        "words repeat: the ids of a pretoken that was seen before need no merging",
    ),
    "prefill": Part("04", prefill, "lesson 15", "the attention and the norms of every layer, as in the rows above"),
    "decode": Part(
        "04",
        decode,
        "torch.compile",
        "a token is a few hundred operations, and each costs some microseconds however small it is: a norm, a rotation "
        "and an attention are several of them in your code and fewer in the peer, whose cache also grows without a "
        "copy; several prompts in one batch share these costs",
    ),
}
