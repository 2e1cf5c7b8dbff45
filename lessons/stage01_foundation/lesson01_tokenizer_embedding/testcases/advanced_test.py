"""Lesson 01, in depth: edge cases, random text against oracles, precision, and how work grows."""

import json
import math
import random
import tempfile
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from coursecli.expect import (
    diagnosing,
    expect,
    expect_close,
    expect_dtype,
    expect_equal,
    expect_growth,
    expect_raises,
    expect_shape,
    expect_text,
    expect_tokens,
    expect_unchanged,
)
from intro2llm.model.embedding import PositionalEncoding, RoPE, TokenEmbedding, apply_rotary_pos_emb, rotate_half
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer
from intro2llm.tokenizer.bpe_tokenizer import BPETokenizer
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer, bytes_to_unicode

PAD, EOS, UNK = "<pad>", "<|endoftext|>", "<unk>"
ODD_TEXT = "e\u0301 \u1112\u1161\u11ab \u212b \ufb01 \t\r\n  \x00\x1c½² _x1 don't \u4e2d\u6587 👩‍🚀 a\u200bb  "
ALPHABET = [*"aaabeést  019_.,!'\n\t\u00a0½²Ⅳ٣中文🙂\u0301\u200d\x1c\x85", "'s", "'ll", "  "]


@pytest.fixture
def folder():
    """A folder that is gone after the test."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_text(generator: random.Random, most: int = 30) -> str:
    return "".join(generator.choices(ALPHABET, k=generator.randint(0, most)))


# ------------------------------------------------------------------------------------------------- base-tokenizer


@pytest.mark.task("base-tokenizer")
def test_tokens_can_be_added_later():
    """add_tokens fills the gaps in order, passes over tokens that are there, and keeps the inverse exact."""
    tokenizer = BaseTokenizer({"x": 5, "y": 9})
    tokenizer.add_tokens(["m", "x", "n", "m", "o", "q", "r"])
    expected = {"x": 5, "y": 9, PAD: 0, EOS: 1, UNK: 2, "m": 3, "n": 4, "o": 6, "q": 7, "r": 8}
    expect_equal(tokenizer.vocab, expected, what="vocab after add_tokens")
    expect_equal(
        tokenizer.inverse_vocab,
        {i: token for token, i in expected.items()},
        what="inverse_vocab after add_tokens",
        mistake="inverse-too-early",
    )
    expect_equal(tokenizer.vocab_size, 10, what="vocab_size after add_tokens")


@pytest.mark.task("base-tokenizer")
def test_of_two_allowed_tokens_the_longer_wins():
    """Where two allowed special tokens fit, the longer one is meant."""
    tokenizer = BaseTokenizer({"a": 10, "?": 11}, special_tokens={"one": "<t>", "two": "<t>?"})
    one, two = tokenizer.vocab["<t>"], tokenizer.vocab["<t>?"]
    expect_tokens(
        tokenizer.encode("a<t>?a<t>a?", allowed_special={"<t>", "<t>?"}),
        [10, two, 10, one, 10, 11],
        what='encode("a<t>?a<t>a?") with <t> and <t>? allowed',
        lookalikes={"shorter-special-first": [10, one, 11, 10, one, 10, 11]},
    )


@pytest.mark.task("base-tokenizer")
def test_only_special_tokens_can_be_allowed():
    """allowed_special with a string that is not a special token is an error."""
    tokenizer = BaseTokenizer({"a": 3, "b": 4})
    with expect_raises(ValueError, what='allowed_special={"b"}', mistake="any-string-allowed"):
        tokenizer.encode("ab", allowed_special={"b"})
    expect_tokens(tokenizer.encode("ba"), [4, 3], what='encode("ba")')


@pytest.mark.task("base-tokenizer")
def test_a_special_token_at_either_end():
    """Allowed special tokens are found at the ends of the text and side by side."""
    tokenizer = BaseTokenizer({"a": 10}, special_tokens={"bos_token": "<s>"})
    pad, eos, bos = tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id
    expect_tokens(
        tokenizer.encode("<pad><pad>aa<pad>", allowed_special=[PAD], add_special_tokens=True),
        [bos, pad, pad, 10, 10, pad, eos],
        what='encode("<pad><pad>aa<pad>") with <pad> allowed and special tokens added',
    )
    expect_tokens(tokenizer.encode(""), [], what='encode("")')


@pytest.mark.task("base-tokenizer")
def test_any_max_length_gives_a_prefix():
    """encode(…, max_length=n) is the beginning of encode(…), for every n from 0 up."""
    tokenizer = BaseTokenizer({"a": 3, "b": 5}, special_tokens={"bos_token": "<s>"})
    full = [tokenizer.bos_token_id, 5, 3, 3, 5, tokenizer.eos_token_id]
    for n in range(9):
        expect_tokens(
            tokenizer.encode("baab", add_special_tokens=True, max_length=n),
            full[:n],
            what=f'encode("baab", add_special_tokens=True, max_length={n})',
            lookalikes={"max-length-zero-ignored": full} if n == 0 else None,
        )


@pytest.mark.task("base-tokenizer")
def test_two_roles_can_share_a_token():
    """pad and eos may be the same token: it has one id."""
    tokenizer = BaseTokenizer({"a": 0}, special_tokens={"pad_token": EOS})
    expect_equal(tokenizer.vocab, {"a": 0, EOS: 1, UNK: 2}, what="vocab when pad_token is <|endoftext|>")
    expect_equal((tokenizer.pad_token_id, tokenizer.eos_token_id), (1, 1), what="the ids of pad and eos")


@pytest.mark.task("base-tokenizer")
def test_a_special_token_may_be_in_the_vocabulary_already():
    """A special token that the given vocabulary has keeps its id."""
    tokenizer = BaseTokenizer({"a": 0, EOS: 50})
    expect_equal(tokenizer.vocab, {"a": 0, EOS: 50, PAD: 1, UNK: 2}, what='vocab of {"a": 0, "<|endoftext|>": 50}')


@pytest.mark.task("base-tokenizer")
def test_decode_takes_a_tensor():
    """decode reads a one-dimensional tensor of ids as well as a list."""
    tokenizer = BaseTokenizer({"a": 3, "b": 4})
    ids = torch.tensor([4, 3, 1, 4])
    expect_text(
        tokenizer.decode(ids),
        "bab",
        what="decode of a tensor with the ids of b, a, eos, b",
        lookalikes={"tensor-ids-unknown": ""},
    )
    expect_text(tokenizer.decode([]), "", what="decode([])")


# ------------------------------------------------------------------------------------------------- batch-encoding


@pytest.mark.task("batch-encoding")
def test_padding_on_the_left():
    """padding_side="left" puts the padding in front, in the ids and in the mask."""
    tokenizer = BaseTokenizer({"a": 3, "b": 4})
    expect_equal(
        tokenizer.encode_batch(["ab", "bab", "b"], padding_side="left"),
        {"input_ids": [[0, 3, 4], [4, 3, 4], [0, 0, 4]], "attention_mask": [[0, 1, 1], [1, 1, 1], [0, 0, 1]]},
        what='encode_batch(["ab", "bab", "b"], padding_side="left")',
        lookalikes={
            "padding-side-ignored": {
                "input_ids": [[3, 4, 0], [4, 3, 4], [4, 0, 0]],
                "attention_mask": [[1, 1, 0], [1, 1, 1], [1, 0, 0]],
            },
            "mask-stays-on-the-right": {
                "input_ids": [[0, 3, 4], [4, 3, 4], [0, 0, 4]],
                "attention_mask": [[1, 1, 0], [1, 1, 1], [1, 0, 0]],
            },
        },
    )


@pytest.mark.task("batch-encoding")
def test_batches_that_cannot_be_made():
    """A width that is not given, and ragged rows as one tensor, are errors."""
    tokenizer = BaseTokenizer({"a": 3})
    with expect_raises(ValueError, what='padding="max_length" without max_length', mistake="max-length-not-asked-for"):
        tokenizer.encode_batch(["a"], padding="max_length")
    with expect_raises(ValueError, what="truncation=True without max_length", mistake="max-length-not-asked-for"):
        tokenizer.encode_batch(["a"], truncation=True)
    with expect_raises(ValueError, what='ragged rows with return_tensors="pt"'):
        tokenizer.encode_batch(["a", "aaa"], padding=False, return_tensors="pt")


@pytest.mark.task("batch-encoding")
def test_padding_never_cuts():
    """padding="max_length" leaves a row that is already longer as it is."""
    tokenizer = BaseTokenizer({"a": 3, "b": 4})
    expect_equal(
        tokenizer.encode_batch(["abbab", "b"], padding="max_length", max_length=3),
        {"input_ids": [[3, 4, 4, 3, 4], [4, 0, 0]], "attention_mask": [[1, 1, 1, 1, 1], [1, 0, 0]]},
        what='encode_batch(["abbab", "b"], padding="max_length", max_length=3), without truncation',
        lookalikes={
            "padding-cuts": {"input_ids": [[3, 4, 4], [4, 0, 0]], "attention_mask": [[1, 1, 1], [1, 0, 0]]},
        },
    )


@pytest.mark.task("batch-encoding")
def test_no_padding():
    """padding=False leaves every row its own length."""
    tokenizer = BaseTokenizer({"a": 3, "b": 4})
    expect_equal(
        tokenizer.encode_batch(["ab", "", "bab"], padding=False),
        {"input_ids": [[3, 4], [], [4, 3, 4]], "attention_mask": [[1, 1], [], [1, 1, 1]]},
        what='encode_batch(["ab", "", "bab"], padding=False)',
    )
    expect_equal(tokenizer.encode_batch([]), {"input_ids": [], "attention_mask": []}, what="encode_batch([])")


@pytest.mark.task("batch-encoding")
def test_batches_of_random_texts():
    """Every row is the ids of its text and padding; every mask is as long, with a 1 per id."""
    tokenizer = BaseTokenizer({"a": 3, "b": 4}, special_tokens={"pad_token": "a"})
    pad, eos = 3, tokenizer.eos_token_id
    generator = random.Random(11)
    for _ in range(40):
        texts = ["".join(generator.choices("ab", k=generator.randint(0, 9))) for _ in range(generator.randint(1, 4))]
        limit, left, specials = generator.randint(1, 8), generator.random() < 0.5, generator.random() < 0.5
        rows = [([{"a": 3, "b": 4}[c] for c in text] + [eos] * specials)[:limit] for text in texts]
        width = max(map(len, rows))
        fill = [[pad] * (width - len(row)) for row in rows]
        gaps = [[0] * (width - len(row)) for row in rows]
        ones = [[1] * len(row) for row in rows]
        expect_equal(
            tokenizer.encode_batch(
                texts,
                max_length=limit,
                truncation=True,
                add_special_tokens=specials,
                padding_side="left" if left else "right",
            ),
            {
                "input_ids": [f + r if left else r + f for r, f in zip(rows, fill)],
                "attention_mask": [g + o if left else o + g for o, g in zip(ones, gaps)],
            },
            what=f"encode_batch({texts}) with truncation to {limit}, padded on the {'left' if left else 'right'}",
        )


@pytest.mark.task("batch-encoding")
def test_tensors_of_full_batches():
    """Left padding to a given length, as int64 tensors."""
    batch = BaseTokenizer({"a": 3, "b": 4}).encode_batch(
        ["ab", "bab"], padding="max_length", max_length=5, padding_side="left", return_tensors="pt"
    )
    expect_dtype(batch["attention_mask"], torch.int64, what="attention_mask")
    expect_close(batch["input_ids"], torch.tensor([[0, 0, 0, 3, 4], [0, 0, 4, 3, 4]]), what="input_ids", dims="B T")
    expect_close(
        batch["attention_mask"], torch.tensor([[0, 0, 0, 1, 1], [0, 0, 1, 1, 1]]), what="attention_mask", dims="B T"
    )


# ------------------------------------------------------------------------------------------------- save-load


class OtherTokenizer(BaseTokenizer):
    """A subclass, as learners will write them."""


@pytest.mark.task("save-load")
def test_any_token_survives_saving(folder):
    """Tokens with quotes, line breaks, back-slashes and any script come back as they were; saving again replaces."""
    vocab = {token: 7 * i for i, token in enumerate(['"', "\n", "\\", "# x", "中", "🙂", " ", "{}", "\u2028", "é"])}
    BaseTokenizer({"old": 0}).save(folder)
    tokenizer = BaseTokenizer(vocab)
    with expect_unchanged(tokenizer.vocab, what="vocab, after save"):
        tokenizer.save(str(folder))
    loaded = BaseTokenizer.load(str(folder))
    expect_equal(loaded.vocab, tokenizer.vocab, what="vocab with unusual tokens, after save and load")


@pytest.mark.task("save-load")
def test_the_files_are_plain_json(folder):
    """vocab.json is the vocabulary; tokenizer_config.json names the class and the special tokens."""
    tokenizer = BaseTokenizer({"a": 3}, special_tokens={"user": "<|user|>"})
    tokenizer.save(folder)
    with diagnosing("other-files", FileNotFoundError, ValueError):
        vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    expect_equal(vocab, tokenizer.vocab, what="vocab.json")
    expect_equal(
        config,
        {"tokenizer_class": "BaseTokenizer", "special_tokens": tokenizer.special_tokens},
        what="tokenizer_config.json",
    )


@pytest.mark.task("save-load")
def test_load_gives_the_class_it_is_called_on(folder):
    """A subclass loads as itself, and refuses what another class has saved."""
    OtherTokenizer({"a": 3}).save(folder / "other")
    loaded = OtherTokenizer.load(folder / "other")
    expect(
        type(loaded) is OtherTokenizer,
        "load returns an object of another class.",
        what="the class of OtherTokenizer.load(…)",
        expected="OtherTokenizer",
        actual=type(loaded).__name__,
        mistake="load-builds-the-base-class",
    )
    refused = "BaseTokenizer.load of a folder that OtherTokenizer has saved"
    with expect_raises(ValueError, what=refused, mistake="class-not-checked"):
        BaseTokenizer.load(folder / "other")
    for name in ("OtherTokenizer", "BaseTokenizer"):
        with expect_raises(ValueError, what=f"{refused}: the message", match=name):
            BaseTokenizer.load(folder / "other")
    with expect_raises(FileNotFoundError, what="load of a folder that is not there"):
        BaseTokenizer.load(folder / "nowhere")


# ------------------------------------------------------------------------------------------------- pretokenization


def kind(character: str) -> str:
    if character.isspace():
        return "white"
    if character.isdecimal():
        return "digit"
    return "letter" if character.isalnum() else "sign"


def pieces_by_hand(text: str) -> list[str]:
    """The five rules of the docstring, character by character."""
    pieces, i = [], 0
    while i < len(text):
        contraction = next((c for c in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d") if text.startswith(c, i)), "")
        start = i + (text[i] == " " and i + 1 < len(text) and kind(text[i + 1]) != "white")
        end = i + len(contraction) or start
        if contraction:
            pass
        elif kind(text[start]) != "white":
            end = start
            while end < len(text) and kind(text[end]) == kind(text[start]):
                end += 1
        else:
            end = start
            while end < len(text) and kind(text[end]) == "white":
                end += 1
            if end < len(text) and end - i > 1:
                end -= 1
        pieces.append(text[i:end])
        i = end
    return pieces


@pytest.mark.task("pretokenization")
def test_nothing_is_lost():
    """The pretokens of any text, put together, are the text."""
    tokenizer = BPETokenizer()
    pieces = tokenizer._pretokenize(ODD_TEXT)
    expect_text(
        "".join(pieces),
        ODD_TEXT,
        what="the pretokens of an unusual text, put together",
        lookalikes={
            "text-normalised": unicodedata.normalize("NFC", ODD_TEXT),
            "text-normalised-by-compatibility": unicodedata.normalize("NFKC", ODD_TEXT),
        },
    )
    expect_tokens(tokenizer._pretokenize(""), [], what='_pretokenize("")', lookalikes={"empty-pretoken": [""]})


@pytest.mark.task("pretokenization")
def test_what_counts_as_a_letter():
    """Letters of every script, ½ and ² are rule 2; decimal digits of every script are rule 3; marks are rule 4."""
    expect_tokens(
        BPETokenizer()._pretokenize("naïve Straße 中文 ٣٤x ½² x_y"),
        ["naïve", " Straße", " 中文", " ٣٤", "x", " ½²", " x", "_", "y"],
        what='_pretokenize("naïve Straße 中文 ٣٤x ½² x_y")',
        lookalikes={
            "ascii-letters-only": ["na", "ï", "ve", " Stra", "ß", "e", " 中文", " ٣٤", "x", " ½²", " x", "_", "y"],
        },
    )


@pytest.mark.task("pretokenization")
def test_white_space_before_a_line_break():
    """Only a space travels with a word; a tab or a line break in front of a word is a pretoken of its own."""
    expect_tokens(
        BPETokenizer()._pretokenize("a\nb \tc \n  d"),
        ["a", "\n", "b", " ", "\t", "c", " \n ", " d"],
        what='_pretokenize("a\\nb \\tc \\n  d")',
        lookalikes={"any-white-space-travels": ["a", "\nb", " ", "\tc", " \n ", " d"]},
    )


@pytest.mark.task("pretokenization")
def test_random_texts_follow_the_five_rules():
    """Random text is cut as the five rules say."""
    tokenizer = BPETokenizer()
    generator = random.Random(3)
    for _ in range(150):
        text = random_text(generator)
        expect_tokens(tokenizer._pretokenize(text), pieces_by_hand(text), what=f"_pretokenize({text!r})")


# ------------------------------------------------------------------------------------------------- bpe-training


def learn(words: Counter[str], vocab_size: int, min_frequency: int = 2) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """Byte-pair encoding as the docstring tells it, counting everything anew for each merge."""
    tokens = [PAD, EOS, UNK, *sorted({c for word in words for c in word})]
    ids = {token: i for i, token in enumerate(tokens)}
    split = {word: list(word) for word in words}
    merges = []
    while len(ids) < vocab_size:
        counts: Counter[tuple[str, str]] = Counter()
        for word, symbols in split.items():
            for pair in pairwise(symbols):
                counts[pair] += words[word]
        best = min(counts, key=lambda pair: (-counts[pair], ids[pair[0]], ids[pair[1]]), default=None)
        if best is None or counts[best] < min_frequency:
            break
        merges.append(best)
        ids[best[0] + best[1]] = len(ids)
        for symbols in split.values():
            i = 0
            while i < len(symbols) - 1:
                if (symbols[i], symbols[i + 1]) == best:
                    symbols[i : i + 2] = [best[0] + best[1]]
                i += 1
    return merges, ids


@pytest.mark.task("bpe-training")
def test_random_corpora():
    """On random words the merges and ids are those of counting everything anew."""
    generator = random.Random(5)
    for _ in range(12):
        letters = "abcdefgh"[: generator.randint(2, 8)]
        words = ["".join(generator.choices(letters, k=generator.randint(1, 9))) for _ in range(12)]
        texts = [" ".join(generator.choices(words, k=15)) for _ in range(3)]
        size = generator.randint(14, 45)
        least = generator.choice([1, 2, 3])
        found = Counter(piece for text in texts for piece in pieces_by_hand(text))
        merges, ids = learn(found, size, least)
        tokenizer = BPETokenizer()
        tokenizer.train(texts, size, min_frequency=least)
        expect_equal(tokenizer.merges, merges, what=f"merges of {texts}, vocab_size={size}, min_frequency={least}")
        expect_equal(tokenizer.vocab, ids, what=f"vocab of {texts}, vocab_size={size}, min_frequency={least}")


@pytest.mark.task("bpe-training")
def test_the_order_of_the_texts_does_not_matter():
    """Shuffled texts give the same merges and ids."""
    texts = ["newest widest", "low lower", "lowest wide", "new low", "slow slower"] * 2
    first = BPETokenizer()
    first.train(texts, 35)
    generator = random.Random(0)
    for _ in range(4):
        generator.shuffle(texts)
        again = BPETokenizer()
        again.train(texts, 35)
        expect_equal(
            again.merges, first.merges, what="merges of the same texts in another order", mistake="tie-first-seen"
        )
        expect_equal(again.vocab, first.vocab, what="vocab of the same texts in another order")
    streamed = BPETokenizer()
    streamed.train(iter(texts), 35)
    expect_equal(
        streamed.merges,
        first.merges,
        what="merges of texts that can be gone through only once, such as a file",
        lookalikes={"texts-read-twice": []},
    )


@pytest.mark.task("bpe-training")
def test_training_forgets_what_was_learned_before():
    """A second training gives what a fresh tokenizer would learn, and encodes with it."""
    tokenizer = BPETokenizer()
    tokenizer.train(["xyxy xyxy"], 8)
    before = list(tokenizer.merges)
    tokenizer.encode("abab xy")
    tokenizer.train(["abab abab"], 8)
    fresh = [("a", "b"), ("ab", "ab")]
    expect_equal(
        tokenizer.merges,
        fresh,
        what="merges after training on other texts",
        lookalikes={"merges-kept": [*before, *fresh]},
    )
    expect_equal(
        tokenizer.vocab,
        {PAD: 0, EOS: 1, UNK: 2, " ": 3, "a": 4, "b": 5, "ab": 6, "abab": 7},
        what="vocab after training on other texts",
        mistake="vocab-kept",
    )
    expect_equal(tokenizer.inverse_vocab, {i: token for token, i in tokenizer.vocab.items()}, what="inverse_vocab")
    expect_equal(tokenizer.ranks, {pair: i for i, pair in enumerate(fresh)}, what="ranks", mistake="ranks-not-trained")


@pytest.mark.task("bpe-training")
def test_no_merge_spells_a_special_token():
    """A corpus full of a special token's string never teaches that string as an ordinary token."""
    tokenizer = BPETokenizer(special_tokens={"eos_token": "zoo"})
    tokenizer.train(["zoo", "zoo", "zoo", "zoom", "zoom"], 30)
    expect_equal(
        tokenizer.merges,
        [("o", "o"), ("oo", "m"), ("z", "oom")],
        what="merges of zoo ×3, zoom ×2, when zoo is the eos token",
        lookalikes={"merge-spells-a-special-token": [("o", "o"), ("z", "oo"), ("zoo", "m")]},
    )
    expect_equal(tokenizer.vocab["zoo"], 1, what="the id of zoo", mistake="merge-spells-a-special-token")


@pytest.mark.task("bpe-training")
def test_training_ends_when_no_pair_is_left():
    """Without any pair that is frequent enough, the vocabulary stays smaller than asked for."""
    tokenizer = BPETokenizer()
    with diagnosing("training-does-not-end", ValueError, IndexError, KeyError, TypeError):
        tokenizer.train(["ab", "ab"], 50)
    expect_equal(tokenizer.vocab_size, 6, what="vocab_size after training on ab ×2 for 50 entries")
    with diagnosing("training-does-not-end", ValueError, IndexError, KeyError, TypeError):
        tokenizer.train([], 50)
    expect_equal(tokenizer.merges, [], what="merges of no text at all")
    expect_equal(tokenizer.vocab_size, 3, what="vocab_size after training on nothing")


@pytest.mark.task("bpe-training")
def test_a_vocabulary_too_small_for_its_alphabet():
    """A vocab_size below special tokens and alphabet is an error that says how many are needed, and changes nothing."""
    tokenizer = BPETokenizer()
    tokenizer.train(["ab", "ab"], 6)
    with expect_raises(ValueError, what="nine entries for seven letters", mistake="too-small-not-refused"):
        tokenizer.train(["abcdefg"], 9)
    with expect_raises(ValueError, what="nine entries for seven letters: the message", match="10"):
        tokenizer.train(["abcdefg"], 9)
    expect_equal(tokenizer.merges, [("a", "b")], what="merges after the training that was refused")
    expect_equal(
        tokenizer.vocab,
        {PAD: 0, EOS: 1, UNK: 2, "a": 3, "b": 4, "ab": 5},
        what="vocab after the training that was refused",
        mistake="too-small-refused-too-late",
    )
    expect_tokens(tokenizer.encode("ab"), [5], what='encode("ab") after the training that was refused')


class SplitAtSpaces(BPETokenizer):
    """Pretokens in one step, so that the steps of training are what is counted."""

    def _pretokenize(self, text: str) -> list[str]:
        return text.split()


def chains_and_filler(size: int) -> tuple[list[str], int]:
    """A corpus, and the vocabulary for `size` merges: all within eight frequent words, beside 200 rare ones."""
    generator = random.Random(7)
    filler = ["".join(generator.choices("xy", k=14)) for _ in range(200)]
    letters = [chr(0x4E00 + i) for i in range(8 * 13)]
    chains = ["".join(letters[13 * i : 13 * i + 13]) for i in range(8)]
    return [" ".join([*filler, *(chains * 800)])], 3 + 2 + len(letters) + size


@pytest.mark.task("bpe-training")
def test_a_merge_looks_only_at_what_it_changes():
    """Four times as many merges of a few words cost far less than four times the work."""

    def train(argument: tuple[list[str], int]) -> None:
        SplitAtSpaces().train(*argument)

    expect_growth(
        train,
        [12, 24, 48],
        at_most=0.75,
        prepare=chains_and_filler,
        what="the work of training, as the number of merges grows and the texts stay",
        mistake="full-recount",
    )


# ------------------------------------------------------------------------------------------------- bpe-encoding


def merged_by_hand(symbols: list[str], merges: list[tuple[str, str]]) -> list[str]:
    """In the order of the merges, each wherever it stands: right when every part is learned before the whole."""
    for pair in merges:
        i, tokens = 0, []
        while i < len(symbols):
            both = tuple(symbols[i : i + 2]) == pair
            tokens.append(pair[0] + pair[1] if both else symbols[i])
            i += 1 + both
        symbols = tokens
    return symbols


@pytest.mark.task("bpe-encoding")
def test_random_merges():
    """With merges learned from random words, other random words are merged as the ranks say."""
    generator = random.Random(9)
    for _ in range(10):
        words = Counter("".join(generator.choices("abcd", k=generator.randint(2, 9))) for _ in range(20))
        merges, ids = learn(words, 27, 1)
        tokenizer = BPETokenizer(ids, merges)
        for _ in range(5):
            word = "".join(generator.choices("abcde", k=generator.randint(1, 14)))
            expect_tokens(
                tokenizer.apply_merges(list(word)),
                merged_by_hand(list(word), merges),
                what=f"apply_merges of {word!r} with {merges}",
            )


@pytest.mark.task("bpe-encoding")
def test_encode_merges_within_pretokens():
    """encode cuts into pretokens, merges each, and looks up the ids; a second call gives the same."""
    merges = [("l", "o"), ("lo", "w"), (" ", "low")]
    vocab = {token: 3 + i for i, token in enumerate([" ", "l", "o", "w", "lo", "low", " low"])}
    tokenizer = BPETokenizer(vocab, merges)
    for _ in range(2):
        expect_tokens(
            tokenizer.encode("low lowXlow"),
            [8, 9, tokenizer.unk_token_id, 8],
            what='encode("low lowXlow") with the merges (l, o), (lo, w), ( , low)',
        )
    expect_tokens(tokenizer.apply_merges([]), [], what="apply_merges([])")


@pytest.mark.task("bpe-encoding")
def test_new_merges_replace_the_old_ones():
    """After set_merges the new merge list counts, also for text that was encoded before."""
    tokenizer = BPETokenizer({"a": 3, "b": 4, "c": 5, "ab": 6, "bc": 7}, [("a", "b")])
    expect_tokens(tokenizer.encode("abc"), [6, 5], what='encode("abc") with (a, b)')
    tokenizer.set_merges([("b", "c")])
    expect_tokens(
        tokenizer.encode("abc"),
        [3, 7],
        what='encode("abc") after set_merges([("b", "c")])',
        lookalikes={"old-merges-remembered": [6, 5]},
    )


@pytest.mark.task("bpe-encoding")
def test_long_words():
    """A pretoken of more than a thousand symbols is merged, too."""
    tokenizer = BPETokenizer({"a": 3, "aa": 4, "aaaa": 5}, [("a", "a"), ("aa", "aa")])
    with diagnosing("recursion-per-merge", RecursionError):
        tokens = tokenizer.apply_merges(["a"] * 1501)
    expect_equal(Counter(tokens), Counter({"aaaa": 375, "a": 1}), what="the tokens of a word of 1,501 a")


# ------------------------------------------------------------------------------------------------- bpe-save-load


@pytest.mark.task("bpe-save-load")
def test_merges_of_unusual_tokens_come_back(folder):
    """Parts with spaces, line breaks, quotes, commas and # are kept apart."""
    for name, merges in {
        "hash": [("#", "#"), ("##", "a"), ("a", "#")],
        "space": [(" ", "a"), ("a", " "), (" ", " a"), ("  a", "b  c")],
        "line": [("\n", "\n"), ("a", "\n"), ("\r", "\n"), ("\t", "a"), ("\u2028", "a")],
        "quote": [('"', "'"), (",", '"'), ("\\", "n"), ("中", "文")],
    }.items():
        pieces = dict.fromkeys(piece for left, right in merges for piece in (left, right, left + right))
        tokenizer = BPETokenizer({piece: i for i, piece in enumerate(pieces)}, merges)
        tokenizer.save(folder / name)
        with diagnosing("merges-space-joined", ValueError, IndexError):
            loaded = BPETokenizer.load(folder / name)
        expect_equal(
            loaded.merges,
            merges,
            what=f"merges with a {name} in them, after save and load",
            lookalikes={
                "comment-lines-skipped": [pair for pair in merges if not pair[0].startswith("#")],
                "merges-stripped": [(left.strip(), right.strip()) for left, right in merges],
            },
        )
    text = "\n\na##a b  c"
    expect_tokens(loaded.encode(text), tokenizer.encode(text), what="ids after save and load")


@pytest.mark.task("bpe-save-load")
def test_merges_are_a_json_list(folder):
    """merges.json is a list of [left, right], so that other programs can read it; special tokens are kept, too."""
    merges = [("b", "a"), ("a", "b"), ("ab", "ba")]
    tokenizer = BPETokenizer({"a": 7, "b": 8, "ba": 9, "ab": 10, "abba": 12}, merges, {"bos_token": "<s>"})
    tokenizer.save(folder)
    with diagnosing("merges-not-json", FileNotFoundError, ValueError):
        stored = json.loads((folder / "merges.json").read_text(encoding="utf-8"))
    expect_equal(stored, [list(pair) for pair in merges], what="merges.json")
    loaded = BPETokenizer.load(folder)
    expect_equal(
        loaded.special_tokens, tokenizer.special_tokens, what="special_tokens", mistake="bpe-specials-not-loaded"
    )
    expect_equal(loaded.vocab, tokenizer.vocab, what="vocab")
    with expect_raises(ValueError, what="ByteLevelTokenizer.load of a folder that BPETokenizer has saved"):
        ByteLevelTokenizer.load(folder)


@pytest.mark.task("bpe-save-load")
def test_a_subclass_keeps_its_class(folder):
    """load on a subclass gives that subclass."""

    class Mine(BPETokenizer):
        pass

    Mine({"a": 3, "b": 4, "ab": 5}, [("a", "b")]).save(folder)
    loaded = Mine.load(folder)
    expect(
        type(loaded) is Mine,
        "load returns an object of another class.",
        what="the class of Mine.load(…), where Mine is a subclass of BPETokenizer",
        expected="Mine",
        actual=type(loaded).__name__,
        mistake="bpe-load-builds-one-class",
    )
    expect_tokens(loaded.encode("abab"), [5, 5], what='encode("abab")')


# ------------------------------------------------------------------------------------------------- byte-map


@pytest.mark.task("byte-map")
def test_the_whole_map():
    """Every byte has a character of its own: itself if Latin-1 shows it, the next one from U+0100 on if not."""
    hidden = [byte for byte in range(256) if unicodedata.category(chr(byte)) in ("Cc", "Cf", "Zs")]
    expected = {byte: chr(256 + hidden.index(byte)) if byte in hidden else chr(byte) for byte in range(256)}
    mapping = bytes_to_unicode()
    expect_equal(dict(mapping), expected, what="bytes_to_unicode()")
    expect_equal(len(set(mapping.values())), 256, what="how many different characters there are")


# ------------------------------------------------------------------------------------------------- byte-level


@pytest.mark.task("byte-level")
def test_the_alphabet_is_sorted_by_character():
    """The 256 byte characters follow the special tokens, sorted as characters, before and after training."""
    characters = sorted(bytes_to_unicode().values())
    by_byte = [bytes_to_unicode()[byte] for byte in range(256)]
    tokenizer = ByteLevelTokenizer()
    for when in ("before", "after"):
        expect_tokens(
            [tokenizer.inverse_vocab.get(3 + i) for i in range(256)],
            characters,
            what=f"the tokens with the ids 3 … 258 {when} training",
            lookalikes={"alphabet-by-byte": by_byte},
        )
        tokenizer.train(["abab"], 260)
    expect_equal(tokenizer.merges, [("a", "b")], what="merges of abab for 260 entries")


@pytest.mark.task("byte-level")
def test_training_on_bytes():
    """Merges are learned between bytes: the two bytes of é become one token, then n and é."""
    tokenizer = ByteLevelTokenizer()
    tokenizer.train(["né né été", "né"], 3 + 256 + 3)
    expect_equal(
        tokenizer.merges,
        [("Ã", "©"), ("n", "Ã©")],
        what='merges of "né né été", "né"',
        lookalikes={"symbols-are-characters": [("n", "é")]},
    )
    expect_tokens(tokenizer.tokenize(" né"), ["Ġ", "nÃ©"], what='tokenize(" né") with these merges')


@pytest.mark.task("byte-level")
def test_any_text_comes_back():
    """decode(encode(text)) is the text: for combining marks, jamo, ligatures, control characters, emoji, spaces."""
    tokenizer = ByteLevelTokenizer()
    tokenizer.train([ODD_TEXT, "中文中文 🙂🙂 e\u0301te\u0301"], 290)
    expect_text(
        tokenizer.decode(tokenizer.encode(ODD_TEXT)),
        ODD_TEXT,
        what="an unusual text after encode and decode",
        lookalikes={
            "bytes-of-normalised-text": "".join(unicodedata.normalize("NFC", p) for p in pieces_by_hand(ODD_TEXT)),
            "text-stripped": ODD_TEXT.strip(),
        },
    )
    generator = random.Random(2)
    for _ in range(120):
        text = random_text(generator, 20) + chr(generator.choice([0, 0x7F, 0xFFFD, 0xFEFF, 0x10FFFF, 0x1F680]))
        ids = tokenizer.encode(text)
        expect_text(tokenizer.decode(ids), text, what=f"{text!r} after encode and decode")
        expect(tokenizer.unk_token_id not in ids, "The ids hold unk.", what=f"encode({text!r})")


@pytest.mark.task("byte-level")
def test_half_a_character_becomes_the_replacement_character():
    """Bytes that are not UTF-8 give U+FFFD: nothing is hidden, nothing raises."""
    tokenizer = ByteLevelTokenizer()
    ids = tokenizer.encode("a🚀b")
    with diagnosing("strict-decoding", UnicodeDecodeError):
        text = tokenizer.decode(ids[:3])
        rest = tokenizer.decode(ids[3:])
    expect_text(
        text, "a\ufffd", what='decode of the first three of the six ids of "a🚀b"', lookalikes={"errors-ignored": "a"}
    )
    expect_text(rest, "\ufffd\ufffdb", what="decode of the last three", lookalikes={"errors-ignored": "b"})


@pytest.mark.task("byte-level")
def test_every_id_can_be_decoded():
    """Any single id decodes without an exception, and special tokens can be shown."""
    tokenizer = ByteLevelTokenizer(special_tokens={"eos_token": "<end of text>", "user": "⟨user⟩"})
    with diagnosing("specials-read-as-bytes", KeyError, ValueError, UnicodeError):
        shown = tokenizer.decode([tokenizer.eos_token_id, tokenizer.vocab["a"]], skip_special_tokens=False)
        user = tokenizer.decode([tokenizer.vocab["⟨user⟩"]], skip_special_tokens=False)
    expect_text(shown, "<end of text>a", what="decode of eos and a, with skip_special_tokens=False")
    expect_text(user, "⟨user⟩", what="decode of the special token ⟨user⟩, with skip_special_tokens=False")
    with diagnosing("strict-decoding", UnicodeDecodeError):
        for i in tokenizer.inverse_vocab:
            tokenizer.decode([i], skip_special_tokens=False)


@pytest.mark.task("byte-level")
def test_special_strings_stay_ordinary_text():
    """Text that spells a special token comes back whole, also after training on a corpus full of it."""
    tokenizer = ByteLevelTokenizer()
    tokenizer.train(["<pad> <pad> <pad><|endoftext|>"] * 5, 320)
    text = "a <pad><|endoftext|>b <unk>"
    ids = tokenizer.encode(text)
    special = {tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}
    expect(not special & set(ids), "Ordinary text was encoded as a special token.", what=f"encode({text!r})")
    expect_text(tokenizer.decode(ids), text, what=f"{text!r} after encode and decode")


# ------------------------------------------------------------------------------------------------- token-embedding


@pytest.mark.task("token-embedding")
def test_initial_weights():
    """The table starts as normal numbers with mean 0 and standard deviation 0.02, its only parameter being weight."""
    embedding = TokenEmbedding(3000, 40)
    weight = embedding.weight.detach()
    expect_equal([name for name, _ in embedding.named_parameters()], ["weight"], what="the names of the parameters")
    expect_close(
        weight.std().item(),
        0.02,
        rtol=0.03,
        atol=0,
        what="the standard deviation of weight",
        lookalikes={"init-std-one": 1.0, "init-xavier": math.sqrt(2 / 3040)},
    )
    expect_close(weight.mean().item(), 0.0, rtol=0, atol=5e-4, what="the mean of weight")
    within = (weight.abs() < 0.02).double().mean().item()
    expect_close(
        within,
        0.6827,
        rtol=0,
        atol=0.01,
        what="the part of weight within one standard deviation",
        mistake="init-uniform",
    )


@pytest.mark.task("token-embedding")
def test_embedding_takes_any_shape_and_dtype():
    """Ids of any shape are looked up; the output has the dtype of the table."""
    embedding = TokenEmbedding(7, 4).to(torch.bfloat16)
    ids = torch.tensor([6, 0, 3, 6, 1])
    expect_close(
        embedding(ids),
        torch.stack([embedding.weight.detach()[i] for i in ids.tolist()]),
        rtol=0,
        atol=0,
        what="the embeddings of five ids in bfloat16",
        dims="T C",
    )
    expect_shape(embedding(torch.zeros(2, 3, 5, dtype=torch.int32)), (2, 3, 5, 4), what="ids of shape (2, 3, 5)")


# ------------------------------------------------------------------------------------------------- sinusoidal-positions


def waves(positions: list[int], size: int) -> torch.Tensor:
    rows = []
    for p in positions:
        angles = [p * 10000.0 ** (-(c - c % 2) / size) for c in range(size)]
        rows.append([math.cos(angle) if c % 2 else math.sin(angle) for c, angle in enumerate(angles)])
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.task("sinusoidal-positions")
def test_late_positions():
    """Positions in the thousands follow the formula, too."""
    encoding = PositionalEncoding(10)
    positions = [0, 1, 57, 1234, 4999]
    x = torch.zeros(2, 5, 10)
    expect_close(
        encoding(x, position_ids=torch.tensor(positions)),
        waves(positions, 10).float().expand(2, 5, 10),
        atol=1e-3,
        what=f"rows {positions} of the table",
        dims="B T C",
        lookalikes={"table-positions-ignored": lambda: waves(list(range(5)), 10).float().expand(2, 5, 10)},
    )


@pytest.mark.task("sinusoidal-positions")
def test_each_row_its_own_positions():
    """position_ids of shape (B, T) give each row of the batch its own positions."""
    encoding = PositionalEncoding(6, 50)
    x = seeded(2, 3, 6, seed=1)
    expected = x + torch.stack((waves([7, 8, 9], 6), waves([0, 0, 1], 6))).float()
    expect_close(
        encoding(x, position_ids=torch.tensor([[7, 8, 9], [0, 0, 1]])),
        expected,
        what="two rows at different positions",
        dims="B T C",
        lookalikes={
            "table-positions-ignored": lambda: x + waves([0, 1, 2], 6).float(),
        },
    )


@pytest.mark.task("sinusoidal-positions")
def test_odd_sizes():
    """With an odd number of channels the last column is a sine."""
    x = seeded(3, 4, 7, seed=2)
    with diagnosing("even-sizes-only", RuntimeError, ValueError):
        output = PositionalEncoding(7, 9)(x)
    expect_close(output, x + waves([0, 1, 2, 3], 7).float(), what="seven channels", dims="B T C")


@pytest.mark.task("sinusoidal-positions")
def test_positions_keep_the_dtype():
    """A bfloat16 input gives a bfloat16 output, a float64 one float64."""
    encoding = PositionalEncoding(6, 9)
    for dtype in (torch.bfloat16, torch.float64):
        expect_dtype(
            encoding(torch.zeros(2, 3, 6, dtype=dtype)),
            dtype,
            what=f"the sum for {dtype}",
            mistake="table-promotes-dtype",
        )


@pytest.mark.task("sinusoidal-positions")
def test_one_row_is_not_stretched():
    """A table of one row is not silently used for every position."""
    with expect_raises(ValueError, what="four tokens with max_len=1", mistake="too-long-not-refused"):
        PositionalEncoding(6, 1)(torch.zeros(2, 4, 6))
    output = PositionalEncoding(6, 4)(torch.zeros(2, 4, 6))
    expect_close(output[1], waves([0, 1, 2, 3], 6).float(), what="four tokens with max_len=4", dims="T C")


@pytest.mark.task("sinusoidal-positions")
def test_the_table_moves_with_the_module():
    """The table is a buffer: module.to(device) takes it along."""
    encoding = PositionalEncoding(6, 9)
    plain = [name for name, value in vars(encoding).items() if isinstance(value, torch.Tensor)]
    expect_shape(encoding(torch.zeros(2, 3, 6)), (2, 3, 6), what="the output", dims="B T C")
    expect_equal(plain, [], what="tensors that are attributes and not buffers", mistake="table-stays-behind")


# ------------------------------------------------------------------------------------------------- rope


def rotated(x: torch.Tensor, positions: torch.Tensor, base: float = 10000.0) -> torch.Tensor:
    """Complex multiplication of x_i + j x_{i + D/2} by e^{j p θ_i}, in float64. Positions (B, T)."""
    half = x.shape[-1] // 2
    theta = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = positions.double()[:, None, :, None] * theta
    z = torch.complex(x[..., :half].double(), x[..., half:].double()) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat((z.real, z.imag), dim=-1)


@pytest.mark.task("rope")
def test_another_base_and_fewer_key_heads():
    """Another base changes every frequency but the first; keys may have fewer heads than queries."""
    q, k = seeded(2, 4, 3, 6, seed=1), seeded(2, 2, 3, 6, seed=2)
    positions = torch.tensor([[7, 8, 9], [2, 31, 4]])
    rope = RoPE(6, base=500.0)
    new_q, new_k = rope(q, k, positions)
    for name, new, old in (("queries", new_q, q), ("keys", new_k, k)):
        expect_close(
            new,
            rotated(old, positions, 500.0).float(),
            what=f"{name} with base=500",
            dims="B H T D",
            lookalikes={"base-ignored": lambda old=old: rotated(old, positions).float()},
        )


@pytest.mark.task("rope")
def test_rotations_add_up():
    """Turning to position m and then to n is turning to m + n; lengths stay."""
    rope = RoPE(8)
    q, k = seeded(2, 3, 5, 8, seed=3), seeded(2, 1, 5, 8, seed=4)
    m, n = torch.tensor([3, 1, 4, 1, 5]), torch.tensor([[2, 7, 1, 8, 2], [8, 1, 8, 2, 8]])
    twice, _ = rope(*rope(q, k, m), n)
    once, _ = rope(q, k, m + n)
    expect_close(twice, once, atol=1e-4, what="turned by m, then by n, and turned by m + n", dims="B H T D")
    expect_close(once.norm(dim=-1), q.norm(dim=-1), atol=1e-4, what="the lengths of the vectors", dims="B H T")


@pytest.mark.task("rope")
def test_positions_far_out():
    """There is no longest position: 9,000 and 100,003 follow the formula."""
    rope = RoPE(6)
    q, k = seeded(2, 1, 3, 6, seed=5), seeded(2, 1, 3, 6, seed=6)
    positions = torch.tensor([[2050, 9000, 100_003], [5, 2047, 2048]])
    with diagnosing("positions-limited", IndexError, ValueError, RuntimeError):
        new_q, _ = rope(q, k, positions)
    expect_close(
        new_q, rotated(q, positions).float(), atol=3e-2, what="queries at 2,050, 9,000 and 100,003", dims="B H T D"
    )


@pytest.mark.task("rope")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 5e-2), (torch.float16, 8e-3)])
def test_rope_in_low_precision(dtype, tolerance):
    """Inputs of 16 bits come back in 16 bits, turned by exact angles, also when the module itself was cast."""
    positions = torch.tensor([[4095, 4001, 3333, 257]])
    q, k = seeded(1, 2, 4, 8, seed=7).to(dtype), seeded(1, 1, 4, 8, seed=8).to(dtype)
    for rope, described, mistake in (
        (RoPE(8), "from a RoPE of float32", "half-precision-angles"),
        (RoPE(8).to(dtype), "from a RoPE that was cast as well", "buffer-cast-with-the-module"),
    ):
        new_q, new_k = rope(q, k, positions)
        expect_dtype(new_q, dtype, what=f"queries of {dtype}", mistake="rope-promotes-dtype")
        expect_dtype(new_k, dtype, what=f"keys of {dtype}", mistake="rope-promotes-dtype")
        error = (new_q.double() - rotated(q, positions)).abs().max().item()
        expect(
            error < tolerance,
            f"The largest error is {error:.3g}; rounding to {dtype} explains no more than {tolerance}.",
            what=f"queries of {dtype} at the positions 4095, 4001, 3333 and 257, {described}",
            expected=f"an error below {tolerance}",
            actual=f"{error:.3g}",
            mistake=mistake,
        )


@pytest.mark.task("rope")
def test_rope_in_float64():
    """float64 inputs stay float64; q and k may differ in dtype."""
    q, k = seeded(2, 3, 4, 6, seed=9).double(), seeded(2, 3, 4, 6, seed=10)
    new_q, new_k = RoPE(6)(q, k)
    expect_dtype(new_q, torch.float64, what="queries of float64", mistake="rope-demotes-dtype")
    expect_dtype(new_k, torch.float32, what="keys of float32 beside queries of float64")
    expect_close(new_q, rotated(q, torch.arange(4).expand(2, 4)), what="queries of float64", dims="B H T D")


@pytest.mark.task("rope")
def test_rope_has_nothing_to_save():
    """RoPE has no parameters and saves nothing; inv_freq holds the D/2 frequencies."""
    rope = RoPE(10, base=123.0)
    expect_equal(len(list(rope.parameters())), 0, what="the number of parameters", mistake="frequencies-are-learned")
    expect_equal(list(rope.state_dict()), [], what="state_dict() of RoPE", mistake="rope-buffer-saved")
    expected = torch.tensor([123.0 ** (-2 * i / 10) for i in range(5)])
    expect_close(rope.inv_freq, expected, what="inv_freq of RoPE(10, base=123)", dims="D/2")


@pytest.mark.task("rope")
def test_rope_follows_the_device_of_its_inputs():
    """What RoPE makes for itself is on the device of q. (Here, q is on the CPU and the default device another one.)"""
    rope = RoPE(6)
    q, k = seeded(2, 3, 5, 6, seed=16), seeded(2, 1, 5, 6, seed=17)
    with diagnosing("positions-on-the-default-device", RuntimeError), torch.device("meta"):
        new_q, new_k = rope(q, k)
    expect_equal((new_q.device.type, new_k.device.type), ("cpu", "cpu"), what="the devices of q' and k'")
    plain = [name for name, value in vars(rope).items() if isinstance(value, torch.Tensor)]
    expect_equal(plain, [], what="tensors that are attributes and not buffers", mistake="frequencies-stay-behind")


@pytest.mark.task("rope")
def test_an_odd_head_size_is_refused():
    """Coordinates are turned in pairs, so head_dim must be even."""
    with expect_raises(ValueError, what="RoPE(7)", mistake="odd-head-accepted"):
        RoPE(7)
    expect_close(rotate_half(torch.tensor([5.0, 7.0])), torch.tensor([-7.0, 5.0]), what="rotate_half([5, 7])")


@pytest.mark.task("rope")
def test_gradients_are_rotated_back():
    """The gradient of q is the incoming gradient turned by the opposite angle."""
    q, k = seeded(2, 3, 4, 6, seed=11).requires_grad_(), seeded(2, 1, 4, 6, seed=12).requires_grad_()
    positions = torch.tensor([[3, 1, 2, 9], [0, 4, 4, 5]])
    weights = seeded(2, 3, 4, 6, seed=13)
    new_q, _ = RoPE(6)(q, k, positions)
    expect(new_q.requires_grad, "Autograd does not reach q.", what="the queries", mistake="rope-detached")
    (new_q * weights).sum().backward()
    expect_close(q.grad, rotated(weights, -positions).float(), what="the gradient of q", dims="B H T D")


@pytest.mark.task("rope")
def test_angles_of_one_row_serve_a_batch():
    """cos and sin of batch size 1 serve every row; their dtype may be wider than that of q and k."""
    q, k = seeded(3, 2, 4, 6, seed=14).to(torch.bfloat16), seeded(3, 1, 4, 6, seed=15).to(torch.bfloat16)
    half = torch.arange(4.0)[None, :, None] * torch.tensor([1.0, 0.3, 0.1])
    angle = torch.cat((half, half), dim=-1)
    with diagnosing("one-batch-size-only", RuntimeError):
        new_q, new_k = apply_rotary_pos_emb(q, k, angle.cos(), angle.sin())
    expect_dtype(
        new_q, torch.bfloat16, what="queries of bfloat16 with angles of float32", mistake="rope-promotes-dtype"
    )
    expect_dtype(new_k, torch.bfloat16, what="keys of bfloat16", mistake="rope-promotes-dtype")
    x = k.float()
    expected = torch.cat((-x[..., 3:], x[..., :3]), dim=-1) * angle.sin()[:, None] + x * angle.cos()[:, None]
    expect_close(new_k.float(), expected, atol=5e-2, rtol=0, what="keys turned by given angles", dims="B H T D")
