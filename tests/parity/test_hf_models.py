"""Published models in the learner's classes, and the learner's models in `transformers`: equal logits, equal ids.

The models are small and random; norm weights and biases are drawn as well, because at their initial values a missing
one would not be seen.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, Qwen2Config, Qwen3Config

from intro2llm.model import attention
from intro2llm.model.attention import MultiHeadAttention, scaled_dot_product_attention
from intro2llm.model.build import build_model
from intro2llm.model.config import ModelConfig, RopeScaling
from intro2llm.model.rope_scaling import ScaledRoPE
from intro2llm.recipes.export_hf import export_model
from intro2llm.recipes.import_hf import import_model
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer
from intro2llm.tokenizer.bpe_tokenizer import BPETokenizer
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer
from intro2llm.tokenizer.pretrained_tokenizer import QWEN2_PATTERN, PretrainedTokenizer
from intro2llm.utils.errors import CheckpointError
from intro2llm.utils.hf_config import config_from_hf, config_to_hf, write_json
from intro2llm.utils.hf_tokenizer_reader import read_tokenizer
from intro2llm.utils.hf_tokenizer_writer import tokenizer_to_hf
from intro2llm.utils.model_folder import load_model, load_tokenizer, save_model

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SIZES = {
    "vocab_size": 420,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 256,
}
LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3_ROPE |= {"original_max_position_embeddings": 64}


@dataclass(frozen=True)
class Case:
    """A model of `transformers`, and how it is saved."""

    config: Any
    dtype: torch.dtype = torch.float32
    shard: str = "5GB"


def llama(**changes: Any) -> LlamaConfig:
    return LlamaConfig(**{**SIZES, "attention_bias": False, "rms_norm_eps": 1e-5, **changes})


def qwen2(**changes: Any) -> Qwen2Config:
    return Qwen2Config(**{**SIZES, **changes})


def qwen3(**changes: Any) -> Qwen3Config:
    return Qwen3Config(**{**SIZES, "head_dim": 20, **changes})


CASES = {
    "llama": Case(llama()),
    "llama-tied": Case(llama(tie_word_embeddings=True, hidden_act="gelu")),
    "llama-grouped": Case(llama(num_key_value_heads=2)),
    "llama-head-dim": Case(llama(head_dim=16)),
    "llama3-rope": Case(llama(rope_parameters={"rope_theta": 500000.0, **LLAMA3_ROPE}, num_key_value_heads=1)),
    "llama-sharded": Case(llama(), shard="60KB"),
    "llama-bf16": Case(llama(), dtype=torch.bfloat16),
    "qwen2": Case(qwen2(rope_parameters={"rope_type": "default", "rope_theta": 1000000.0})),
    "qwen2-tied-grouped-sharded": Case(qwen2(num_key_value_heads=2, tie_word_embeddings=True), shard="60KB"),
    "qwen3": Case(qwen3()),
    "qwen3-tied-grouped-bf16": Case(
        qwen3(num_key_value_heads=2, tie_word_embeddings=True), dtype=torch.bfloat16, shard="60KB"
    ),
}


class GroupedQueryAttention(MultiHeadAttention):
    """What lesson 15 will write: fewer key and value heads; query head h uses number h // (H / Hkv)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        D = config.head_dim or config.hidden_size // config.num_attention_heads
        self.kv_heads = config.num_key_value_heads or config.num_attention_heads
        self.k_proj = nn.Linear(config.hidden_size, self.kv_heads * D, bias=config.attention_bias)
        self.v_proj = nn.Linear(config.hidden_size, self.kv_heads * D, bias=config.attention_bias)

    def project(self, hidden_states, position_ids=None):
        query = self.q_norm(attention.split_heads(self.q_proj(hidden_states), self.num_heads))
        key = self.k_norm(attention.split_heads(self.k_proj(hidden_states), self.kv_heads))
        value = attention.split_heads(self.v_proj(hidden_states), self.kv_heads)
        return (*self.rope(query, key, position_ids), value)

    def attend(self, query, key, value, **options):
        repeats = self.num_heads // self.kv_heads
        key, value = (each.repeat_interleave(repeats, dim=1) for each in (key, value))
        return self.o_proj(attention.merge_heads(scaled_dot_product_attention(query, key, value, **options)))

    def forward(self, hidden_states, *, position_ids=None, attention_mask=None, is_causal=False):
        projected = self.project(hidden_states, position_ids)
        return self.attend(*projected, attention_mask=attention_mask, is_causal=is_causal)

    def forward_with_cache(self, hidden_states, past_key_value=None, *, position_ids=None, attention_mask=None):
        T = hidden_states.shape[1]
        past = 0 if past_key_value is None else past_key_value[0].shape[-2]
        position_ids = torch.arange(past, past + T) if position_ids is None else position_ids
        query, *new = self.project(hidden_states, position_ids)
        if past_key_value is not None:
            new = [torch.cat(pair, dim=-2) for pair in zip(past_key_value, new)]
        return self.attend(query, *new, attention_mask=attention_mask, is_causal=True), tuple(new)


@pytest.fixture(autouse=True)
def lesson_15(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(attention, "GroupedQueryAttention"):
        monkeypatch.setattr(attention, "GroupedQueryAttention", GroupedQueryAttention, raising=False)


def randomise(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                parameter.copy_(1 + 0.4 * noise)
            else:
                parameter.copy_(0.4 * noise if parameter.ndim == 1 else 0.8 * noise / parameter.shape[-1] ** 0.5)


@cache
def corpus() -> list[str]:
    generator = random.Random(5)
    words = ["".join(generator.choices("aeioulnrst", k=generator.randint(1, 7))) for _ in range(150)]
    return [" ".join(generator.choices(words, k=12)).capitalize() + ". It's 1234!\n" for _ in range(150)]


TRICKY = [
    "",
    " ",
    "It's a test, isn't it? I'LL see 12345678 ½ x² 3.14",
    "  two  spaces\t\ttabs \n\n\r\n newlines \n ",
    "🙂👩\u200d🚀 flags 🇫🇷 — “quotes” …",
    "e\u0301 vs é, A\u030a vs Å, \u1112\u1161\u11ab, ﬁ, \u212b \u2126",
    "中文混合 English 한국어 العربية हिन्दी",
    "\x00\x1c\x1f\x85\u00a0\u3000\u200b",
    "'ſ '\u212a 'S 'LL",
    "snake_case __init__ #!?/\\ a<b>c",
    "plain <|end|> and <pad> and <tool> in text<|end|>",
    "<｜über▁｜> — — –",
    " ".join(corpus()[:5]),
]


def published_tokenizer(style: str) -> Tokenizer:
    """A small tokenizer in the manner of Llama 3, of Qwen2, or of GPT-2."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=style == "llama3"))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=style == "gpt2")
    pattern = LLAMA3_PATTERN if style == "llama3" else QWEN2_PATTERN
    steps = [] if style == "gpt2" else [pre_tokenizers.Split(Regex(pattern), "isolated")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    if style == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>", "<pad>", "<｜über▁｜>"])
    tokenizer.add_tokens(
        [AddedToken("<tool>", normalized=False), AddedToken("é!", normalized=True), AddedToken("— —", normalized=False)]
    )
    if style == "llama3":
        begin = ("<|begin|>", tokenizer.token_to_id("<|begin|>"))
        template = processors.TemplateProcessing(
            single="<|begin|> $A", pair="<|begin|> $A <|begin|>:1 $B:1", special_tokens=[begin]
        )
        tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


@cache
def tokenizer_text(style: str) -> str:
    return published_tokenizer(style).to_str()


def write_tokenizer(folder: Path, style: str) -> Tokenizer:
    (folder / "tokenizer.json").write_text(tokenizer_text(style), encoding="utf-8")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "pad_token": {"content": "<pad>"}}
    config |= {"bos_token": "<|begin|>"} if style == "llama3" else {"bos_token": None}
    write_json(folder / "tokenizer_config.json", config)
    return Tokenizer.from_str(tokenizer_text(style))


def published_model(folder: Path, case: Case, style: str) -> nn.Module:
    """A random model of `transformers`, saved, and loaded in fp32 for the comparison.

    (Loaded, not converted: `.to(torch.bfloat16)` rounds the rotary frequencies of `transformers` for good.)
    """
    theirs = AutoModelForCausalLM.from_config(case.config, attn_implementation="eager")
    randomise(theirs, seed=1)
    theirs.to(case.dtype).save_pretrained(folder, max_shard_size=case.shard)
    write_tokenizer(folder, style)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def ids(batch: int, length: int, seed: int = 3) -> torch.Tensor:
    return torch.randint(SIZES["vocab_size"], (batch, length), generator=torch.Generator().manual_seed(seed))


def greedy(theirs: nn.Module, prompt: torch.Tensor) -> torch.Tensor:
    return theirs.generate(prompt, max_new_tokens=64, do_sample=False, eos_token_id=None, pad_token_id=0)


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_a_published_model_gives_the_same_logits_and_the_same_text(name, tmp_path):
    case = CASES[name]
    theirs = published_model(tmp_path / "published", case, "llama3")
    if case.shard != "5GB":
        assert len(list((tmp_path / "published").glob("model-*.safetensors"))) > 3
    import_model(tmp_path / "published", tmp_path / "run")
    as_stored, _ = load_model(tmp_path / "run")
    assert {parameter.dtype for parameter in as_stored.parameters()} == {case.dtype}
    ours, _ = load_model(tmp_path / "run", dtype=torch.float32)

    tokens = ids(2, 150)
    expected, actual = theirs(tokens).logits, ours(tokens).logits
    assert expected.std() > 0.3
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)
    assert torch.equal(ours.generate(tokens[:, :9], max_new_tokens=64, temperature=0), greedy(theirs, tokens[:, :9]))


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_cached_and_uncached_decoding_give_the_same_logits(name, tmp_path):
    config = config_from_hf(CASES[name].config.to_dict())
    ours = build_model(config).eval()
    randomise(ours, seed=2)
    tokens = ids(2, 90)
    whole = ours(tokens).logits
    past, pieces = None, []
    for piece in tokens.split([40, 1, 1, 17, 31], dim=1):
        output = ours(piece, past_key_values=past, use_cache=True)
        past = output.past_key_values
        pieces.append(output.logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=0, atol=1e-5 * max(1, float(whole.abs().max())))


CONFIGS = {
    "llama": {},
    "tied": {"tie_word_embeddings": True},
    "grouped": {"num_key_value_heads": 2},
    "geglu": {"hidden_act": "gelu"},
    "llama3-rope": {"rope_scaling": RopeScaling(original_max_position_embeddings=64), "rope_theta": 500000.0},
    "head-dim": {"head_dim": 18},
    "qwen2": {"attention_bias": True},
    "qwen3": {"qk_norm": True, "head_dim": 20, "tie_word_embeddings": True},
    "qwen3-bias": {"qk_norm": True, "attention_bias": True},
}


@cache
def course_tokenizer() -> ByteLevelTokenizer:
    tokenizer = ByteLevelTokenizer()
    tokenizer.train(corpus(), 400)
    return tokenizer


@pytest.mark.parametrize(
    ("name", "style"), [*((name, "course") for name in CONFIGS), ("llama", "qwen2"), ("qwen2", "qwen2")]
)
@torch.no_grad()
def test_an_exported_model_gives_the_same_in_transformers(name, style, tmp_path):
    if style == "course":
        tokenizer = course_tokenizer()
    else:
        write_tokenizer(tmp_path, style)
        tokenizer = read_tokenizer(tmp_path)
    config = ModelConfig(**{**SIZES, "rms_norm_eps": 1e-5, **CONFIGS[name]})
    ours = build_model(config).eval()
    randomise(ours, seed=4)
    save_model(ours, tokenizer, tmp_path / "run")
    again, tokenizer_again = load_model(tmp_path / "run")
    assert again.config == replace(config, num_key_value_heads=again.config.num_key_value_heads)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), ours.state_dict().values(), strict=True))
    assert tokenizer_again.vocab == tokenizer.vocab

    export_model(tmp_path / "run", tmp_path / "exported")
    theirs, loading = AutoModelForCausalLM.from_pretrained(
        tmp_path / "exported", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokens = ids(2, 150)
    torch.testing.assert_close(theirs(tokens).logits, ours(tokens).logits, rtol=0, atol=1e-4)
    assert torch.equal(ours.generate(tokens[:, :9], max_new_tokens=64, temperature=0), greedy(theirs, tokens[:, :9]))
    assert theirs.generation_config.eos_token_id == tokenizer.eos_token_id

    by_library = Tokenizer.from_file(str(tmp_path / "exported" / "tokenizer.json"))
    by_transformers = AutoTokenizer.from_pretrained(tmp_path / "exported")
    assert by_transformers.eos_token_id == tokenizer.eos_token_id
    assert by_transformers.pad_token_id == tokenizer.pad_token_id
    special = set(tokenizer.special_tokens.values())
    for text in TRICKY:
        expected = tokenizer.encode(text, allowed_special=special)
        assert by_library.encode(text).ids == expected, text
        assert by_transformers(text)["input_ids"] == expected, text
        assert by_transformers.decode(expected) == tokenizer.decode(expected, skip_special_tokens=False), text
        by_library.encode_special_tokens = True  # the strings of special tokens are plain text
        assert by_library.encode(text).ids == tokenizer.encode(text), text
        by_library.encode_special_tokens = False

    import_model(tmp_path / "exported", tmp_path / "imported")
    back, tokenizer_back = load_model(tmp_path / "imported")
    assert back.config == again.config
    assert all(torch.equal(a, b) for a, b in zip(back.state_dict().values(), ours.state_dict().values(), strict=True))
    assert [tokenizer_back.encode(text) for text in TRICKY] == [tokenizer.encode(text) for text in TRICKY]


@pytest.mark.parametrize("style", ["llama3", "qwen2", "gpt2"])
def test_a_published_tokenizer_gives_the_same_ids_and_survives_saving(style, tmp_path):
    theirs = write_tokenizer(tmp_path, style)
    read = read_tokenizer(tmp_path)
    read.save(tmp_path / "saved")
    loaded = load_tokenizer(tmp_path / "saved")
    assert type(loaded) is PretrainedTokenizer
    special = {"<|begin|>", "<|end|>", "<pad>", "<｜über▁｜>"}
    for ours in (read, loaded):
        assert ours.vocab == theirs.get_vocab()
        assert (ours.bos_token_id is None) == (style != "llama3")
        for text in TRICKY + corpus()[:20]:
            theirs.encode_special_tokens = False
            expected = theirs.encode(text, add_special_tokens=False).ids
            assert ours.encode(text, allowed_special=special) == expected, text
            assert ours.encode(text, add_special_tokens=True, allowed_special=special) == theirs.encode(text).ids
            assert ours.decode(expected, skip_special_tokens=False) == theirs.decode(
                expected, skip_special_tokens=False
            )
            theirs.encode_special_tokens = True
            plain = ours.encode(text)
            assert plain == theirs.encode(text, add_special_tokens=False).ids, text
            if style != "qwen2":  # NFC is not to be undone
                assert ours.decode(plain) == text
        assert ours.encode("a<tool>b") == [*ours.encode("a"), ours.vocab["<tool>"], *ours.encode("b")]


def test_ids_agree_on_random_text(tmp_path):
    """Every style on 300 random strings of the pieces where tokenizers disagree most."""
    pieces = [piece for text in TRICKY for piece in text] + [
        "'s",
        "'Re",
        "  ",
        "\r\n",
        "123",
        "<|end|>",
        "é!",
        "e\u0301!",
    ]
    generator = random.Random(8)
    texts = ["".join(generator.choices(pieces, k=generator.randint(1, 30))) for _ in range(300)]
    for style in ("llama3", "qwen2", "gpt2"):
        theirs = write_tokenizer(tmp_path, style)
        theirs.encode_special_tokens = True
        ours = read_tokenizer(tmp_path)
        for text in texts:
            assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids, (style, text)


@pytest.mark.parametrize("as_strings", [True, False])
def test_merges_are_read_as_strings_and_as_pairs(as_strings, tmp_path):
    write_tokenizer(tmp_path, "gpt2")
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    pairs = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in content["model"]["merges"]]
    content["model"]["merges"] = [" ".join(pair) for pair in pairs] if as_strings else [list(pair) for pair in pairs]
    write_json(tmp_path / "tokenizer.json", content)
    assert read_tokenizer(tmp_path).merges == pairs
    assert len(pairs) > 100


def test_digits_are_cut_as_in_smollm(tmp_path):
    """SmolLM's way: single digits, then GPT-2's cuts."""
    theirs = published_tokenizer("gpt2")
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    theirs.pre_tokenizer = pre_tokenizers.Sequence(steps)
    write_tokenizer(tmp_path, "gpt2")
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = read_tokenizer(tmp_path)
    for text in [*TRICKY, "a 1234 ½Ⅳ٣ b"]:
        theirs.encode_special_tokens = True
        assert ours.encode(text) == theirs.encode(text).ids, text


def test_bytes_that_the_vocabulary_lacks_are_left_out_as_tokenizers_does(tmp_path):
    """SmolLM2's vocabulary lacks bytes. What stands around a gap is merged."""
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = decoders.ByteLevel()
    theirs.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=300, show_progress=False))
    theirs.add_special_tokens(["<|end|>"])
    write_tokenizer(tmp_path, "gpt2")
    edited = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}
    write_json(tmp_path / "tokenizer_config.json", edited)
    theirs.save(str(tmp_path / "tokenizer.json"))
    read = read_tokenizer(tmp_path)
    read.save(tmp_path / "saved")
    exported = Tokenizer.from_str(json.dumps(tokenizer_to_hf(read)))
    for ours in (read, load_tokenizer(tmp_path / "saved")):
        assert ours.vocab == theirs.get_vocab()
        assert "Q" not in ours.vocab
        assert ours.encode("laQna") == ours.encode("lana")
        for text in [*TRICKY, "tQaQo", *corpus()[:20]]:
            for each in (theirs, exported):
                each.encode_special_tokens = True
                assert ours.encode(text) == each.encode(text).ids, text


@pytest.mark.parametrize("kind", [BaseTokenizer, BPETokenizer, ByteLevelTokenizer])
def test_every_tokenizer_of_the_course_is_written_with_equal_ids(kind):
    if kind is BaseTokenizer:
        ours = BaseTokenizer({character: i for i, character in enumerate(sorted(set("".join(corpus()))))})
    else:
        ours = kind()
        ours.train(corpus(), 400)
    theirs = Tokenizer.from_str(json.dumps(tokenizer_to_hf(ours)))
    theirs.encode_special_tokens = True
    assert theirs.get_vocab() == ours.vocab
    for text in TRICKY + corpus()[:20]:
        expected = ours.encode(text)
        assert theirs.encode(text).ids == expected, text
        assert theirs.decode(expected, skip_special_tokens=False) == ours.decode(expected, skip_special_tokens=False)


def test_the_two_spellings_of_rope_scaling_are_one():
    old = {**llama().to_dict(), "rope_theta": 500000.0, "rope_scaling": dict(LLAMA3_ROPE)}
    del old["rope_parameters"]
    new = {**llama().to_dict(), "rope_parameters": {"rope_theta": 500000.0, **LLAMA3_ROPE}}
    older = {**old, "rope_scaling": {"type": "llama3", **{key: LLAMA3_ROPE[key] for key in list(LLAMA3_ROPE)[1:]}}}
    assert config_from_hf(old) == config_from_hf(new) == config_from_hf(older)
    assert config_from_hf(old).rope_scaling == RopeScaling(original_max_position_embeddings=64)
    assert config_from_hf(old).rope_theta == 500000.0
    written = config_to_hf(config_from_hf(old))
    for key in ("rope_scaling", "rope_parameters"):  # who reads only one of the two gets the same
        assert config_from_hf({k: v for k, v in written.items() if k != key}).rope_scaling is not None


@pytest.mark.parametrize("scaling", [RopeScaling(), RopeScaling("llama3", 32.0, 1.0, 4.0, 8192)])
def test_scaled_frequencies_are_those_of_transformers(scaling):
    rope = ScaledRoPE(64, base=500000.0, scaling=scaling)
    parameters = {**vars(scaling), "rope_theta": 500000.0}
    config = LlamaConfig(head_dim=64, max_position_embeddings=131072, rope_parameters=parameters)
    expected, factor = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    assert factor == 1.0
    torch.testing.assert_close(rope.inv_freq, expected, rtol=1e-6, atol=0)
    before = rope.inv_freq.clone()
    rope.to(torch.bfloat16)
    assert torch.equal(rope.inv_freq, before)
    assert not rope.state_dict()
    rope.double()
    q = torch.randn(1, 1, 1, 64, dtype=torch.float64)
    assert rope(q, q, torch.tensor([100_000]))[0].dtype == torch.float64


def test_old_frequencies_in_the_file_are_passed_over(tmp_path):
    published_model(tmp_path / "published", CASES["llama"], "gpt2")
    from safetensors.torch import save_file

    file = tmp_path / "published" / "model.safetensors"
    tensors = load_file(file)
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(6)
    save_file(tensors, file)
    import_model(tmp_path / "published", tmp_path / "run")
    assert not any("rotary" in name for name in load_file(tmp_path / "run" / "model.safetensors"))


@pytest.mark.parametrize("equal", [True, False])
def test_a_tied_checkpoint_may_hold_its_output_projection(equal, tmp_path):
    published_model(tmp_path / "published", CASES["llama-tied"], "gpt2")
    from safetensors.torch import save_file

    file = tmp_path / "published" / "model.safetensors"
    tensors = load_file(file)
    assert "lm_head.weight" not in tensors
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["lm_head.weight"][7, 5] += 0 if equal else 1
    save_file(tensors, file)
    if equal:
        import_model(tmp_path / "published", tmp_path / "run")
    else:
        with pytest.raises(CheckpointError, match=r"lm_head\.weight is not equal to model\.embed_tokens\.weight"):
            import_model(tmp_path / "published", tmp_path / "run")
        assert not (tmp_path / "run").exists()
