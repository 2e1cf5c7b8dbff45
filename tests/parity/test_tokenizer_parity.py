"""Byte-level BPE against `tokenizers` (training and encoding) and `tiktoken` (encoding): equal merges, equal ids."""

from __future__ import annotations

import json
import random
import sys
import unicodedata

import pytest
import tiktoken
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from intro2llm.tokenizer.bpe_tokenizer import BPETokenizer
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer, bytes_to_unicode

# The rules of `BPETokenizer._pretokenize` in the notation of Rust: \p{L} is a letter, \p{Nl} and \p{No} are numbers
# that are no decimal digits, and Python counts U+001C to U+001F as white space.
SPACE = r"[\s\x{1c}-\x{1f}]"
OTHER = r"[^\s\x{1c}-\x{1f}\p{L}\p{N}]"
PATTERN = (
    rf"'(?:s|t|re|ve|m|ll|d)| ?[\p{{L}}\p{{Nl}}\p{{No}}]+| ?\p{{Nd}}+| ?{OTHER}+"
    rf"|{SPACE}+(?![^\s\x{{1c}}-\x{{1f}}])|{SPACE}+"
)
SPECIAL = ["<pad>", "<|endoftext|>", "<unk>"]
PIECES = [
    *("the", " the", " of", "ing", "é", "ß", "ﬁ", "Å", "e\u0301", "中", "文", "한", "\u1112\u1161", "🙂", "👩‍🚀"),
    *(" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\x1c", "\x1f", "\x85", "\x00"),
    *(
        "0",
        "12",
        "٣",
        "½",
        "²",
        "Ⅳ",
        "_",
        "'",
        "'s",
        "'ll",
        "'S",
        "...",
        "!?",
        "<pad>",
        "<|endoftext|>",
        "\u200d",
        "\u0301",
    ),
]


def texts(count: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    return ["".join(generator.choices(PIECES, k=generator.randint(1, 40))) for _ in range(count)]


def stories(count: int, seed: int) -> list[str]:
    """Sentences of made-up words, of which a few are frequent and most are rare."""
    generator = random.Random(seed)
    words = ["".join(generator.choices("aeioulnrst", k=generator.randint(1, 8))) for _ in range(400)]
    weights = [1 / (i + 2) for i in range(len(words))]
    return [" ".join(generator.choices(words, weights, k=12)).capitalize() + ".\n" for _ in range(count)]


def trained_by_tokenizers(corpus: list[str], vocab_size: int, min_frequency: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", [texts, stories])
def test_training_gives_the_merges_and_ids_of_tokenizers(kind, seed):
    corpus = kind(120, seed)
    vocab_size, min_frequency = 300 + 97 * seed, 1 + seed % 3
    theirs = trained_by_tokenizers(corpus, vocab_size, min_frequency)
    ours = ByteLevelTokenizer()
    ours.train(corpus, vocab_size, min_frequency=min_frequency)
    model = json.loads(theirs.to_str())["model"]
    assert ours.merges == [tuple(pair) for pair in model["merges"]]
    assert ours.vocab == model["vocab"]
    assert len(ours.merges) > 30


@pytest.mark.parametrize("kind", [texts, stories])
def test_encoding_gives_the_ids_of_tokenizers_and_tiktoken(kind):
    ours = ByteLevelTokenizer()
    ours.train([*texts(150, 1), *stories(150, 1)], 700)
    theirs = Tokenizer(models.BPE(vocab=ours.vocab, merges=ours.merges))
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    ranks = {bytes(byte_of[c] for c in token): i for token, i in ours.vocab.items() if token not in SPECIAL}
    reference = tiktoken.Encoding("ours", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    for text in kind(200, 2):
        ids = ours.encode(text)
        assert ids == theirs.encode(text, add_special_tokens=False).ids, text
        assert ids == reference.encode_ordinary(text), text
        assert ours.decode(ids) == text


def test_character_level_training_gives_the_merges_of_tokenizers():
    for seed in range(10):
        corpus = stories(40, seed)
        theirs = Tokenizer(models.BPE())
        theirs.pre_tokenizer = pre_tokenizers.Split(Regex(PATTERN), "isolated")
        trainer = trainers.BpeTrainer(vocab_size=150, min_frequency=2, special_tokens=SPECIAL, show_progress=False)
        theirs.train_from_iterator(corpus, trainer)
        ours = BPETokenizer()
        ours.train(corpus, 150)
        model = json.loads(theirs.to_str())["model"]
        assert ours.merges == [tuple(pair) for pair in model["merges"]]
        assert ours.vocab == model["vocab"]


def test_a_saved_tokenizer_becomes_a_tokenizer_json(tmp_path):
    """What `save` writes is all that a Hugging Face tokenizer.json needs."""
    ours = ByteLevelTokenizer()
    ours.train(stories(100, 3), 400)
    ours.save(tmp_path)
    vocab = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    merges = json.loads((tmp_path / "merges.json").read_text(encoding="utf-8"))
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    theirs = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(pair) for pair in merges]))
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    theirs.decoder = decoders.ByteLevel()
    theirs.add_special_tokens(list(config["special_tokens"].values()))
    theirs.save(str(tmp_path / "tokenizer.json"))
    read = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = "Once upon a time<|endoftext|>"
    ids = ours.encode(text, allowed_special={"<|endoftext|>"})
    assert read.encode(text, add_special_tokens=False).ids == ids
    assert read.decode(ids, skip_special_tokens=False) == ours.decode(ids, skip_special_tokens=False) == text


def test_the_byte_map_is_that_of_tokenizers():
    assert sorted(bytes_to_unicode().values()) == sorted(pre_tokenizers.ByteLevel.alphabet())


def test_the_classes_of_characters_are_those_of_unicode():
    """A "letter" of `_pretokenize` is \\p{L}, \\p{Nl} or \\p{No}; a digit is \\p{Nd}: for every character there is."""
    for character in map(chr, range(sys.maxunicode + 1)):
        category = unicodedata.category(character)
        letter = character.isalnum() and not character.isdecimal()
        assert letter == (category[0] == "L" or category in ("Nl", "No")), hex(ord(character))
        assert character.isdecimal() == (category == "Nd"), hex(ord(character))
