"""Lesson 01, first contact: each task on small examples that can be followed by hand."""

import math
import tempfile
from pathlib import Path

import pytest
import torch

from coursecli.expect import (
    diagnosing,
    expect,
    expect_close,
    expect_dtype,
    expect_equal,
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

LETTERS = {"a": 3, "b": 4, "d": 6, "p": 7, "<": 8, ">": 9}
PAD, EOS, UNK = "<pad>", "<|endoftext|>", "<unk>"


@pytest.fixture
def folder():
    """A folder that is gone after the test."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------- base-tokenizer


@pytest.mark.task("base-tokenizer")
def test_an_empty_vocabulary_holds_the_special_tokens():
    """A tokenizer without a vocabulary knows its three special tokens, as ids 0, 1 and 2."""
    tokenizer = BaseTokenizer()
    expect_equal(tokenizer.vocab, {PAD: 0, EOS: 1, UNK: 2}, what="vocab of BaseTokenizer()")
    expect_equal(
        tokenizer.inverse_vocab,
        {0: PAD, 1: EOS, 2: UNK},
        what="inverse_vocab of BaseTokenizer()",
        lookalikes={"inverse-too-early": {}},
    )
    expect_equal(
        tokenizer.vocab_size, 3, what="vocab_size, special tokens included", lookalikes={"size-without-specials": 0}
    )
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id)
    expect_equal(ids, (0, 1, 2, None), what="the ids of pad, eos, unk and bos")


@pytest.mark.task("base-tokenizer")
def test_text_becomes_ids_and_text_again():
    """encode looks up every character, decode turns the ids into the text again."""
    tokenizer = BaseTokenizer(LETTERS)
    expect_tokens(
        tokenizer.encode("badda"),
        [4, 3, 6, 6, 3],
        what='encode("badda")',
        lookalikes={"eos-always": [4, 3, 6, 6, 3, tokenizer.eos_token_id]},
    )
    expect_text(tokenizer.decode([6, 3, 4]), "dab", what="decode of the ids of d, a, b")


@pytest.mark.task("base-tokenizer")
def test_special_tokens_take_free_ids():
    """Special tokens take the smallest ids that are free; tokens that were given keep theirs."""
    given = {"x": 2, "y": 5}
    with expect_unchanged(given, what="the dictionary given to BaseTokenizer", mistake="vocab-aliased"):
        tokenizer = BaseTokenizer(given)
    expect_equal(
        tokenizer.vocab,
        {"x": 2, "y": 5, PAD: 0, EOS: 1, UNK: 3},
        what='vocab of BaseTokenizer({"x": 2, "y": 5})',
        lookalikes={
            "ids-from-length": {"x": 2, "y": 5, PAD: 2, EOS: 3, UNK: 4},
            "ids-after-the-largest": {"x": 2, "y": 5, PAD: 6, EOS: 7, UNK: 8},
        },
    )
    expect_equal(tokenizer.inverse_vocab, {2: "x", 5: "y", 0: PAD, 1: EOS, 3: UNK}, what="its inverse_vocab")


@pytest.mark.task("base-tokenizer")
def test_some_special_tokens_can_be_changed():
    """The argument special_tokens changes some roles and adds others; the rest keep their defaults."""
    changed = {"pad_token": "[PAD]", "bos_token": "<s>", "user": "<|user|>"}
    tokenizer = BaseTokenizer({"a": 0}, special_tokens=changed)
    expect_equal(
        tokenizer.special_tokens,
        {"pad_token": "[PAD]", "eos_token": EOS, "unk_token": UNK, "bos_token": "<s>", "user": "<|user|>"},
        what="special_tokens when pad, bos and one more are given",
        lookalikes={"defaults-replaced": changed},
    )
    expect_equal(tokenizer.bos_token, "<s>", what="bos_token")
    expect_equal(tokenizer.vocab_size, 6, what="vocab_size: one letter and five special tokens")
    expect_equal(
        BaseTokenizer().pad_token, PAD, what="pad_token of another, plain tokenizer", mistake="defaults-mutated"
    )


@pytest.mark.task("base-tokenizer")
def test_an_unknown_character_becomes_unk():
    """A character that the vocabulary lacks becomes unk_token_id, so that the length is kept."""
    tokenizer = BaseTokenizer(LETTERS)
    unk = tokenizer.unk_token_id
    with diagnosing("oov-crashes", KeyError):
        ids = tokenizer.encode("aXb")
    expect_tokens(ids, [3, unk, 4], what='encode("aXb"), where X is unknown', lookalikes={"oov-dropped": [3, 4]})
    with diagnosing("oov-crashes", KeyError):
        text = tokenizer.decode([3, 99, 4], skip_special_tokens=False)
    expect_text(text, f"a{UNK}b", what="decode of ids of which the second, 99, is unknown")


@pytest.mark.task("base-tokenizer")
def test_special_tokens_are_added_on_request():
    """add_special_tokens puts eos at the end, and bos in front when there is a bos token."""
    plain = BaseTokenizer(LETTERS)
    eos = plain.eos_token_id
    expect_tokens(
        plain.encode("ab", add_special_tokens=True),
        [3, 4, eos],
        what='encode("ab", add_special_tokens=True) without a bos token',
        lookalikes={"specials-never-added": [3, 4]},
    )
    both = BaseTokenizer(LETTERS, special_tokens={"bos_token": "<s>"})
    bos, eos = both.bos_token_id, both.eos_token_id
    expect_tokens(
        both.encode("ab", add_special_tokens=True),
        [bos, 3, 4, eos],
        what='encode("ab", add_special_tokens=True) with a bos token',
        lookalikes={"specials-never-added": [3, 4]},
    )


@pytest.mark.task("base-tokenizer")
def test_max_length_counts_the_special_tokens():
    """max_length keeps the first ids of the whole row, special tokens included."""
    tokenizer = BaseTokenizer(LETTERS, special_tokens={"bos_token": "<s>"})
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    expect_tokens(
        tokenizer.encode("abbadab", add_special_tokens=True, max_length=4),
        [bos, 3, 4, 4],
        what='encode("abbadab", add_special_tokens=True, max_length=4)',
        lookalikes={
            "cut-before-specials": [bos, 3, 4, 4, 3, eos],
            "room-kept-for-specials": [bos, 3, 4, eos],
            "last-ids-kept": [6, 3, 4, eos],
            "max-length-ignored": [bos, 3, 4, 4, 3, 6, 3, 4, eos],
        },
    )


@pytest.mark.task("base-tokenizer")
def test_special_tokens_in_text_are_ordinary_text():
    """A text that spells "<pad>" holds five ordinary characters, and comes back whole."""
    tokenizer = BaseTokenizer(LETTERS)
    expect_tokens(
        tokenizer.encode("a<pad>b"),
        [3, 8, 7, 3, 6, 9, 4],
        what='encode("a<pad>b")',
        lookalikes={"special-parsed-in-text": [3, tokenizer.pad_token_id, 4]},
    )
    expect_text(
        tokenizer.decode([3, 8, 7, 3, 6, 9, 4]),
        "a<pad>b",
        what='decode of the seven ids of "a<pad>b"',
        lookalikes={"deleted-by-string": "ab"},
    )


@pytest.mark.task("base-tokenizer")
def test_special_tokens_are_recognised_when_allowed():
    """allowed_special names the special tokens that may be recognised in the text, each as one id."""
    plain = BaseTokenizer(LETTERS, special_tokens={"eos_token": "EOT"})
    unk = plain.unk_token_id
    expect_tokens(
        plain.encode("abEOTd", allowed_special={"EOT"}),
        [3, 4, plain.eos_token_id, 6],
        what='encode("abEOTd") with the special token EOT allowed',
        lookalikes={
            "allowed-special-ignored": [3, 4, unk, unk, unk, 6],
            "allowed-special-lost": [3, 4, 6],
        },
    )
    tokenizer = BaseTokenizer(LETTERS)
    expect_tokens(
        tokenizer.encode("ab<|endoftext|>d", allowed_special={EOS}),
        [3, 4, tokenizer.eos_token_id, 6],
        what='encode("ab<|endoftext|>d") with <|endoftext|> allowed',
        lookalikes={"special-not-escaped": lambda: tokenizer.encode_ordinary("ab<|endoftext|>d")},
    )
    expect_tokens(
        tokenizer.encode("a<pad>b", allowed_special={EOS}),
        [3, 8, 7, 3, 6, 9, 4],
        what='encode("a<pad>b") when only <|endoftext|> is allowed',
        lookalikes={"all-specials-allowed": [3, tokenizer.pad_token_id, 4]},
    )


@pytest.mark.task("base-tokenizer")
def test_decode_hides_special_tokens_unless_asked():
    """decode leaves special tokens out; with skip_special_tokens=False it writes them."""
    tokenizer = BaseTokenizer(LETTERS)
    ids = [3, tokenizer.eos_token_id, 4, tokenizer.pad_token_id]
    expect_text(
        tokenizer.decode(ids),
        "ab",
        what="decode of a, eos, b, pad",
        lookalikes={"specials-never-skipped": f"a{EOS}b{PAD}"},
    )
    expect_text(
        tokenizer.decode(ids, skip_special_tokens=False),
        f"a{EOS}b{PAD}",
        what="the same with skip_special_tokens=False",
        lookalikes={"specials-always-skipped": "ab"},
    )


# ------------------------------------------------------------------------------------------------- batch-encoding


@pytest.mark.task("batch-encoding")
def test_shorter_rows_are_padded_on_the_right():
    """Rows are filled up with pad_token_id to the longest one, and the mask says where text stands."""
    tokenizer = BaseTokenizer({"a": 3, "b": 4, "d": 6}, special_tokens={"pad_token": "d"})
    batch = tokenizer.encode_batch(["ab", "babba", "b"])
    expect_equal(sorted(batch), ["attention_mask", "input_ids"], what="the keys of the result")
    expect_equal(
        batch["input_ids"],
        [[3, 4, 6, 6, 6], [4, 3, 4, 4, 3], [4, 6, 6, 6, 6]],
        what='input_ids of ["ab", "babba", "b"] when pad has the id 6',
        lookalikes={
            "padded-with-zero": [[3, 4, 0, 0, 0], [4, 3, 4, 4, 3], [4, 0, 0, 0, 0]],
            "padded-on-the-left": [[6, 6, 6, 3, 4], [4, 3, 4, 4, 3], [6, 6, 6, 6, 4]],
            "cut-to-the-shortest": [[3], [4], [4]],
            "batch-not-padded": [[3, 4], [4, 3, 4, 4, 3], [4]],
        },
    )
    expect_equal(
        batch["attention_mask"],
        [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]],
        what="attention_mask of the same batch",
        lookalikes={
            "mask-inverted": [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0], [0, 1, 1, 1, 1]],
            "mask-all-ones": [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]],
        },
    )


@pytest.mark.task("batch-encoding")
def test_the_mask_describes_places():
    """An eos that ends a text is text, even when eos and pad are the same token."""
    tokenizer = BaseTokenizer({"a": 3, "b": 4}, special_tokens={"pad_token": EOS})
    batch = tokenizer.encode_batch(["ab", "b"], add_special_tokens=True)
    eos = tokenizer.eos_token_id
    expect_equal(
        batch["input_ids"],
        [[3, 4, eos], [4, eos, eos]],
        what="input_ids with eos added, pad being eos too",
        lookalikes={"specials-not-passed-on": [[3, 4], [4, eos]]},
    )
    expect_equal(
        batch["attention_mask"],
        [[1, 1, 1], [1, 1, 0]],
        what="attention_mask when pad_token and eos_token are the same",
        lookalikes={"mask-from-pad-id": [[1, 1, 0], [1, 0, 0]]},
    )


@pytest.mark.task("batch-encoding")
def test_padding_to_max_length_and_truncation():
    """padding="max_length" fills up to max_length; only truncation=True cuts."""
    tokenizer = BaseTokenizer({"a": 3, "b": 4})
    padded = tokenizer.encode_batch(["ab", "b"], padding="max_length", max_length=4)
    expect_equal(
        padded,
        {"input_ids": [[3, 4, 0, 0], [4, 0, 0, 0]], "attention_mask": [[1, 1, 0, 0], [1, 0, 0, 0]]},
        what='encode_batch(["ab", "b"], padding="max_length", max_length=4)',
        lookalikes={"max-length-padding-ignored": {"input_ids": [[3, 4], [4, 0]], "attention_mask": [[1, 1], [1, 0]]}},
    )
    cut = tokenizer.encode_batch(["abbab", "b"], truncation=True, max_length=3)
    expect_equal(
        cut["input_ids"],
        [[3, 4, 4], [4, 0, 0]],
        what='encode_batch(["abbab", "b"], truncation=True, max_length=3)',
        lookalikes={"truncation-ignored": [[3, 4, 4, 3, 4], [4, 0, 0, 0, 0]]},
    )
    whole = tokenizer.encode_batch(["abbab", "b"], max_length=3)
    expect_equal(
        whole["input_ids"],
        [[3, 4, 4, 3, 4], [4, 0, 0, 0, 0]],
        what='encode_batch(["abbab", "b"], max_length=3), without truncation',
        lookalikes={"max-length-always-cuts": [[3, 4, 4], [4, 0, 0]]},
    )


@pytest.mark.task("batch-encoding")
def test_a_batch_as_tensors():
    """return_tensors="pt" gives two int64 tensors of shape (B, T)."""
    batch = BaseTokenizer({"a": 3, "b": 4}).encode_batch(["ab", "bab"], return_tensors="pt")
    expect_dtype(batch["input_ids"], torch.int64, what="input_ids")
    expect_close(batch["input_ids"], torch.tensor([[3, 4, 0], [4, 3, 4]]), what="input_ids", dims="B T")
    expect_close(batch["attention_mask"], torch.tensor([[1, 1, 0], [1, 1, 1]]), what="attention_mask", dims="B T")


# ------------------------------------------------------------------------------------------------- save-load


@pytest.mark.task("save-load")
def test_a_saved_tokenizer_comes_back(folder):
    """What save writes, load reads: the same vocabulary, the same special tokens."""
    tokenizer = BaseTokenizer({"a": 3, "b": 7}, special_tokens={"pad_token": "[PAD]", "bos_token": "<s>"})
    with diagnosing("folder-not-made", FileNotFoundError):
        tokenizer.save(folder / "runs" / "one")
    loaded = BaseTokenizer.load(folder / "runs" / "one")
    expect(isinstance(loaded, BaseTokenizer), "load does not return a tokenizer.", what="BaseTokenizer.load")
    expect_equal(
        loaded.special_tokens,
        tokenizer.special_tokens,
        what="special_tokens after save and load",
        lookalikes={"specials-not-saved": BaseTokenizer().special_tokens},
    )
    expect_equal(
        loaded.vocab,
        {"a": 3, "b": 7, "[PAD]": 0, EOS: 1, UNK: 2, "<s>": 4},
        what="vocab after save and load",
        lookalikes={"ids-renumbered": {"[PAD]": 0, EOS: 1, UNK: 2, "a": 3, "<s>": 4, "b": 5}},
    )
    expect_equal(
        loaded.inverse_vocab, tokenizer.inverse_vocab, what="inverse_vocab after save and load: keys are integers"
    )
    expect_tokens(loaded.encode("abba"), [3, 7, 7, 3], what='encode("abba") after save and load')


# ------------------------------------------------------------------------------------------------- pretokenization


@pytest.mark.task("pretokenization")
def test_a_space_travels_with_the_following_word():
    """Each word takes the space in front of it along."""
    expect_tokens(
        BPETokenizer()._pretokenize("low lower newest"),
        ["low", " lower", " newest"],
        what='_pretokenize("low lower newest")',
        lookalikes={
            "spaces-dropped": ["low", "lower", "newest"],
            "space-travels-behind": ["low ", "lower ", "newest"],
            "whole-text-in-one": ["low lower newest"],
            "spaces-apart": ["low", " ", "lower", " ", "newest"],
            "pieces-are-characters": list("low lower newest"),
        },
    )


@pytest.mark.task("pretokenization")
def test_words_numbers_and_signs_are_kept_apart():
    """Letters, digits and other signs do not share a pretoken."""
    expect_tokens(
        BPETokenizer()._pretokenize("It cost 12eur, or (x_1)!"),
        ["It", " cost", " 12", "eur", ",", " or", " (", "x", "_", "1", ")!"],
        what='_pretokenize("It cost 12eur, or (x_1)!")',
        lookalikes={
            "digits-with-letters": ["It", " cost", " 12eur", ",", " or", " (", "x", "_", "1", ")!"],
            "underscore-is-a-letter": ["It", " cost", " 12", "eur", ",", " or", " (", "x_", "1", ")!"],
            "word-characters": ["It", " cost", " 12eur", ",", " or", " (", "x_1", ")!"],
            "signs-one-by-one": ["It", " cost", " 12", "eur", ",", " or", " (", "x", "_", "1", ")", "!"],
            "split-at-white-space-only": ["It", " cost", " 12eur,", " or", " (x_1)!"],
        },
    )


@pytest.mark.task("pretokenization")
def test_contractions_and_runs_of_white_space():
    """'ll and its kind are pretokens; of a run of white space, the last character goes to what follows."""
    expect_tokens(
        BPETokenizer()._pretokenize("I'll take  2 apples!\n"),
        ["I", "'ll", " take", " ", " 2", " apples", "!", "\n"],
        what='_pretokenize("I\'ll take  2 apples!\\n")',
        lookalikes={
            "contractions-forgotten": ["I", "'", "ll", " take", " ", " 2", " apples", "!", "\n"],
            "last-space-kept-back": ["I", "'ll", " take", "  ", "2", " apples", "!", "\n"],
            "trailing-white-space-lost": ["I", "'ll", " take", " ", " 2", " apples", "!"],
            "all-spaces-to-the-word": ["I", "'ll", " take", "  2", " apples", "!", "\n"],
        },
    )


# ------------------------------------------------------------------------------------------------- bpe-training


@pytest.mark.task("bpe-training")
def test_the_most_frequent_pair_is_merged_first():
    """Training on "abababab" joins a and b, and the vocabulary has the size that was asked for."""
    tokenizer = BPETokenizer()
    tokenizer.train(["abababab", "abab"], 6)
    expect_equal(
        tokenizer.merges, [("a", "b")], what="merges for a vocabulary of 6: three special tokens, a, b and one merge"
    )
    expect_equal(tokenizer.vocab, {PAD: 0, EOS: 1, UNK: 2, "a": 3, "b": 4, "ab": 5}, what="vocab after training")
    expect_equal(
        tokenizer.inverse_vocab,
        {0: PAD, 1: EOS, 2: UNK, 3: "a", 4: "b", 5: "ab"},
        what="inverse_vocab after training",
        mistake="inverse-not-trained",
    )
    expect_equal(tokenizer.ranks, {("a", "b"): 0}, what="ranks after training", mistake="ranks-not-trained")


@pytest.mark.task("bpe-training")
def test_the_size_counts_everything():
    """vocab_size is the size of the whole vocabulary: special tokens, alphabet and merges."""
    tokenizer = BPETokenizer()
    tokenizer.train(["abcdefg", "abcdefg"], 3 + 7 + 2)
    merges = [("a", "b"), ("c", "d"), ("e", "f"), ("ab", "cd"), ("ef", "g"), ("abcd", "efg")]
    expect_equal(
        tokenizer.merges,
        merges[:2],
        what="merges of abcdefg ×2 for a vocabulary of 12: three special tokens, seven letters and two merges",
        lookalikes={"specials-not-counted": merges[:5], "size-counts-merges": merges},
    )


@pytest.mark.task("bpe-training")
def test_every_occurrence_of_a_word_counts():
    """A word that occurs five times counts five times, although it is held once."""
    tokenizer = BPETokenizer()
    tokenizer.train(["xy", "ab", "abz", "abq", "xy", "xy\nxy", "xy"], 11)
    expect_equal(
        tokenizer.merges,
        [("x", "y")],
        what="the first merge where xy occurs five times and ab three times, in three different words",
        lookalikes={"counts-unweighted": [("a", "b")]},
    )


@pytest.mark.task("bpe-training")
def test_a_pair_never_crosses_the_border_of_a_pretoken():
    """Pairs are counted within pretokens, so that no merge glues the end of a word to the next one."""
    tokenizer = BPETokenizer()
    tokenizer.train(["ba b", "ba b", "ca b", "da b"], 11)
    expect_equal(
        tokenizer.merges,
        [(" ", "b"), ("b", "a")],
        what='merges of "ba b", "ba b", "ca b", "da b", as far as pairs occur twice',
        lookalikes={
            "merged-across-pretokens": [(" ", "b"), ("a", " b"), ("b", "a b")],
        },
    )


@pytest.mark.task("bpe-training")
def test_a_merge_changes_the_counts():
    """After a merge, its neighbours form new pairs with the new token, and the old pairs occur less often."""
    words = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    tokenizer = BPETokenizer()
    tokenizer.train(words, 3 + 10 + 10)
    merges = [("e", "s"), ("es", "t"), ("l", "o"), ("lo", "w"), ("e", "w"), ("n", "ew"), ("new", "est")]
    expect_equal(
        tokenizer.merges,
        [*merges, ("d", "est"), ("i", "dest"), ("w", "idest")],
        what="ten merges of low ×5, lower ×2, newest ×6, widest ×3 (the example of Sennrich et al.)",
        lookalikes={
            "counted-only-once": [
                ("e", "s"),
                ("s", "t"),
                ("w", "e"),
                ("l", "o"),
                ("o", "w"),
                ("e", "w"),
                ("n", "e"),
                ("d", "e"),
                ("i", "d"),
                ("w", "i"),
            ],
        },
    )


@pytest.mark.task("bpe-training")
def test_equally_frequent_pairs_are_ordered_by_their_ids():
    """Of equally frequent pairs the one with the smaller left id comes first, then the smaller right id."""
    tokenizer = BPETokenizer()
    tokenizer.train(["ca", "ba", "bd", "ca", "ba", "bd"], 3 + 4 + 3)
    expect_equal(
        [token for token, _ in sorted(tokenizer.vocab.items(), key=lambda item: item[1])][3:7],
        ["a", "b", "c", "d"],
        what="the alphabet, in the order of the ids",
        lookalikes={"alphabet-unsorted": ["c", "a", "b", "d"]},
    )
    expect_equal(
        tokenizer.merges,
        [("b", "a"), ("b", "d"), ("c", "a")],
        what="merges of ca, ba, bd, each of which occurs twice",
        lookalikes={
            "tie-first-seen": [("c", "a"), ("b", "a"), ("b", "d")],
            "tie-greatest": [("c", "a"), ("b", "d"), ("b", "a")],
            "tie-right-id-first": [("b", "a"), ("c", "a"), ("b", "d")],
            "tie-last-seen": [("b", "d"), ("b", "a"), ("c", "a")],
        },
    )


@pytest.mark.task("bpe-training")
def test_ties_between_merged_tokens_use_ids_too():
    """A merged token has the id of its turn: older tokens come first, whatever they are spelled like."""
    tokenizer = BPETokenizer()
    tokenizer.train(["ab", "ab", "ab", "aby", "aby", "bx", "bx"], 3 + 4 + 3)
    expect_equal(
        tokenizer.merges,
        [("a", "b"), ("b", "x"), ("ab", "y")],
        what="merges of ab ×3, aby ×2, bx ×2",
        lookalikes={
            "tie-string-order": [("a", "b"), ("ab", "y"), ("b", "x")],
            "counted-only-once": [("a", "b"), ("b", "x"), ("b", "y")],
        },
    )


@pytest.mark.task("bpe-training")
def test_a_pair_is_merged_wherever_it_stands():
    """A merge joins every occurrence in a word, from left to right, without overlap."""
    tokenizer = BPETokenizer()
    tokenizer.train(["aaabdaaabac"], 3 + 4 + 3)
    expect_equal(
        tokenizer.merges,
        [("a", "a"), ("a", "b"), ("aa", "ab")],
        what="three merges of aaabdaaabac",
        lookalikes={
            "only-the-first-occurrence-trained": [("a", "a"), ("a", "b")],
        },
    )


@pytest.mark.task("bpe-training")
def test_min_frequency_is_inclusive():
    """A pair that occurs exactly min_frequency times is still merged, a rarer one never."""
    words = ["ab"] * 4 + ["cd"] * 3 + ["ef"] * 2
    tokenizer = BPETokenizer()
    tokenizer.train(words, 100, min_frequency=3)
    expect_equal(
        tokenizer.merges,
        [("a", "b"), ("c", "d")],
        what="merges of ab ×4, cd ×3, ef ×2 with min_frequency=3",
        lookalikes={
            "min-frequency-exclusive": [("a", "b")],
            "min-frequency-ignored": [("a", "b"), ("c", "d"), ("e", "f")],
        },
    )


# ------------------------------------------------------------------------------------------------- bpe-encoding


def with_merges(*merges: tuple[str, str]) -> BPETokenizer:
    pieces = dict.fromkeys(piece for left, right in merges for piece in (left, right, left + right))
    return BPETokenizer({piece: 3 + i for i, piece in enumerate(pieces)}, merges)


@pytest.mark.task("bpe-encoding")
def test_merges_are_applied():
    """A pair that is in the merges is joined; what is not in them stays as it is."""
    tokenizer = with_merges(("a", "b"))
    expect_tokens(tokenizer.apply_merges(list("cabd")), ["c", "ab", "d"], what="apply_merges of c a b d, with (a, b)")
    expect_tokens(tokenizer.apply_merges(["c"]), ["c"], what="apply_merges of a single symbol")


@pytest.mark.task("bpe-encoding")
def test_only_merges_make_tokens():
    """A string that is in the vocabulary is made only if the merges lead to it."""
    tokenizer = BPETokenizer({"a": 3, "b": 4, "c": 5, "ab": 6, "abc": 7, "bc": 8}, [("a", "b")])
    expect_tokens(
        tokenizer.apply_merges(list("abcab")),
        ["ab", "c", "ab"],
        what="apply_merges of a b c a b with the one merge (a, b), when abc is in the vocabulary too",
        lookalikes={"longest-match": ["abc", "ab"]},
    )


@pytest.mark.task("bpe-encoding")
def test_rank_decides_not_the_place():
    """The pair that stands earliest in the merges goes first, wherever it stands in the text."""
    tokenizer = with_merges(("b", "c"), ("a", "b"), ("c", "d"), ("d", "e"))
    expect_tokens(
        tokenizer.apply_merges(list("abcde")),
        ["a", "bc", "de"],
        what="apply_merges of a b c d e with the merges (b, c), (a, b), (c, d), (d, e)",
        lookalikes={"first-pair-in-the-text": ["ab", "cd", "e"], "latest-merge-first": ["ab", "c", "de"]},
    )


@pytest.mark.task("bpe-encoding")
def test_merged_tokens_are_merged_again():
    """A joined pair can be part of the next pair."""
    tokenizer = with_merges(("l", "o"), ("lo", "w"), ("e", "r"), ("low", "er"))
    expect_tokens(
        tokenizer.apply_merges(list("slower")),
        ["s", "lower"],
        what="apply_merges of s l o w e r with (l, o), (lo, w), (e, r), (low, er)",
        lookalikes={"merged-only-once": ["s", "lo", "w", "er"]},
    )
    expect_tokens(
        with_merges(("lo", "w"), ("l", "o")).apply_merges(list("slow")),
        ["s", "low"],
        what="apply_merges of s l o w with (lo, w), (l, o), in this order",
        lookalikes={"merges-in-one-pass": ["s", "lo", "w"]},
    )


@pytest.mark.task("bpe-encoding")
def test_pairs_do_not_overlap():
    """Every occurrence is joined, from left to right; a symbol that was used is used up."""
    symbols = list("aaaaa")
    with expect_unchanged(symbols, what="the list given to apply_merges", mistake="symbols-changed-in-place"):
        tokens = with_merges(("a", "a")).apply_merges(symbols)
    expect_tokens(
        tokens,
        ["aa", "aa", "a"],
        what="apply_merges of five a with (a, a)",
        lookalikes={
            "pairs-overlap": ["aa", "aa", "aa", "aa", "a"],
            "only-the-first-occurrence": ["aa", "a", "a", "a"],
            "merged-from-the-right": ["a", "aa", "aa"],
        },
    )


# ------------------------------------------------------------------------------------------------- bpe-save-load


@pytest.mark.task("bpe-save-load")
def test_merges_come_back(folder):
    """save and load keep the merges, in their order."""
    merges = [("b", "c"), ("a", "b"), ("a", "bc"), ("b", "a")]
    tokenizer = with_merges(*merges)
    tokenizer.save(folder)
    loaded = BPETokenizer.load(folder)
    expect_equal(
        loaded.merges,
        merges,
        what="merges after save and load",
        lookalikes={"merges-not-saved": [], "merges-sorted": sorted(merges)},
    )
    expect_equal(loaded.vocab, tokenizer.vocab, what="vocab after save and load")
    expect_equal(loaded.ranks, {pair: i for i, pair in enumerate(merges)}, what="ranks after save and load")


# ------------------------------------------------------------------------------------------------- byte-map


@pytest.mark.task("byte-map")
def test_visible_bytes_stand_for_themselves():
    """A letter's byte is mapped to that letter; space, line feed and zero get a character from U+0100 on."""
    mapping = bytes_to_unicode()
    expect(
        isinstance(mapping, dict) and len(mapping) == 256,
        "It is not a dictionary with 256 entries.",
        what="bytes_to_unicode()",
        expected="a dict with 256 entries",
        actual=f"a dict with {len(mapping)}" if isinstance(mapping, dict) else type(mapping).__name__,
    )
    some = (65, 126, 127, 173, 255, 0, 10, 32)
    expect_equal(
        "".join(mapping[byte] for byte in some),
        "A~ġŃÿĀĊĠ",
        what="what bytes_to_unicode() makes of the bytes 65, 126, 127, 173, 255, 0, 10, 32",
        lookalikes={
            "all-bytes-shifted": "".join(chr(256 + byte) for byte in some),
            "bytes-not-mapped": "".join(map(chr, some)),
            "shifted-by-their-value": "A~\u017f\u01adÿĀĊĠ",
            "soft-hyphen-kept": "A~ġ\xadÿĀĊĠ",
            "only-ascii-kept": "A~ġ\u014f\u01a1ĀĊĠ",
        },
    )


# ------------------------------------------------------------------------------------------------- byte-level


@pytest.mark.task("byte-level")
def test_symbols_are_bytes():
    """The symbols of a pretoken are its bytes in UTF-8, each as its visible character."""
    tokenizer = ByteLevelTokenizer()
    with diagnosing("symbols-are-characters", KeyError, IndexError):
        symbols = tokenizer.symbols(" é中!")
    expect_tokens(
        symbols,
        ["Ġ", "Ã", "©", "ä", "¸", "Ń", "!"],
        what='symbols(" é中!"): bytes 20, C3 A9, E4 B8 AD, 21',
        lookalikes={"symbols-are-characters": [" ", "é", "中", "!"]},
    )


@pytest.mark.task("byte-level")
def test_any_text_survives_without_training():
    """All 256 bytes are in the vocabulary from the start, so decode(encode(text)) is the text."""
    with diagnosing("strict-decoding", UnicodeDecodeError):
        tokenizer = ByteLevelTokenizer()
        text = "Hello, 中文🙂"
        ids = tokenizer.encode(text)
        expect_equal(len(ids), 17, what="how many ids: one per byte", lookalikes={"symbols-are-characters": 10})
        expect(
            tokenizer.unk_token_id not in ids,
            "The ids hold unk: some byte is not in the vocabulary.",
            what='encode("Hello, 中文🙂") of an untrained ByteLevelTokenizer',
            mistake="alphabet-from-the-corpus",
        )
        expect_text(
            tokenizer.decode(ids),
            text,
            what="the text after encode and decode",
            lookalikes={
                "decoded-token-by-token": "Hello, " + "\ufffd" * 10,
                "errors-ignored": "Hello, ",
                "bytes-left-as-characters": "".join(bytes_to_unicode()[byte] for byte in text.encode()),
            },
        )


# ------------------------------------------------------------------------------------------------- token-embedding


@pytest.mark.task("token-embedding")
def test_embedding_looks_up_rows():
    """The embedding of an id is the row of the table with that number."""
    embedding = TokenEmbedding(11, 5)
    expect_equal(tuple(embedding.weight.shape), (11, 5), what="the shape of weight, (V, C)")
    table = embedding.weight.detach().clone()
    ids = torch.tensor([[1, 7, 10], [0, 7, 3]])
    expected = torch.stack([torch.stack([table[i] for i in row]) for row in ids.tolist()])
    expect_close(
        embedding(ids),
        expected,
        rtol=0,
        atol=0,
        what="the embeddings of a batch of ids",
        dims="B T C",
        lookalikes={
            "scaled-by-root-c": expected * math.sqrt(5),
            "row-zero-is-padding": torch.where(ids[..., None] == 0, torch.zeros(()), expected),
        },
    )


@pytest.mark.task("token-embedding")
def test_embedding_learns():
    """A row's gradient is the sum over the places of its id; absent ids get none."""
    embedding = TokenEmbedding(6, 3)
    output = embedding(torch.tensor([[1, 2, 2], [5, 2, 1]]))
    expect(
        output.requires_grad,
        "The output does not depend on weight for autograd.",
        what="whether the embedding can learn",
        mistake="embedding-detached",
    )
    weights = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])[..., None]
    (output * weights).sum().backward()
    expected = torch.tensor([0.0, 33.0, 22.0, 0.0, 0.0, 8.0])[:, None].expand(6, 3)
    expect_close(
        embedding.weight.grad,
        expected,
        what="the gradient of weight for the ids [[1, 2, 2], [5, 2, 1]], when place i is weighted by 2^i",
        dims="V C",
    )


# ------------------------------------------------------------------------------------------------- sinusoidal-positions


def wave(position: int, column: int, size: int) -> float:
    angle = position * 10000.0 ** (-(column - column % 2) / size)
    return math.cos(angle) if column % 2 else math.sin(angle)


def waves(length: int, size: int) -> torch.Tensor:
    return torch.tensor([[wave(p, c, size) for c in range(size)] for p in range(length)])


@pytest.mark.task("sinusoidal-positions")
def test_positions_are_waves():
    """Even columns are sines, odd ones cosines, of p · 10000^(−2i/C)."""
    x = seeded(2, 7, 6, seed=1)
    before = x.clone()
    expected = x + waves(7, 6)
    p, i = torch.arange(7.0)[:, None], torch.arange(3.0)
    angle = p * 10000.0 ** (-2 * i / 6)

    def interleaved(angle: torch.Tensor) -> torch.Tensor:
        return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)

    encoding = PositionalEncoding(6, 20)
    output = encoding(x)
    expect_close(
        output,
        expected,
        what="x plus the position table",
        dims="B T C",
        lookalikes={
            "sine-and-cosine-swapped": before + torch.stack((angle.cos(), angle.sin()), dim=-1).flatten(1),
            "halves-joined": before + torch.cat((angle.sin(), angle.cos()), dim=-1),
            "exponent-doubled": before + interleaved(p * 10000.0 ** (-4 * i / 6)),
            "exponent-halved": before + interleaved(p * 10000.0 ** (-i / 6)),
            "one-frequency-per-column": before
            + torch.tensor(
                [[(math.cos if c % 2 else math.sin)(t * 10000.0 ** (-c / 6)) for c in range(6)] for t in range(7)]
            ),
            "frequencies-reversed": before + interleaved(p * 10000.0 ** (-2 * i.flip(0) / 6)),
            "positions-from-one": before + interleaved(angle + 10000.0 ** (-2 * i / 6)),
            "indexed-by-batch": before + interleaved(angle)[:2, None],
            "table-without-x": interleaved(angle).expand(2, 7, 6),
        },
    )
    expect_close(x, before, rtol=0, atol=0, what="x itself, after the call", mistake="input-changed-in-place")


@pytest.mark.task("sinusoidal-positions")
def test_positions_are_not_learned():
    """The table is neither a parameter nor saved."""
    encoding = PositionalEncoding(6, 9)
    expect(
        not list(encoding.parameters()),
        "The table is a parameter.",
        what="the parameters of PositionalEncoding",
        mistake="table-is-a-parameter",
    )
    expect_equal(list(encoding.state_dict()), [], what="state_dict() of PositionalEncoding", mistake="buffer-is-saved")
    expect_shape(encoding(torch.zeros(3, 4, 6)), (3, 4, 6), what="the output for three rows of four", dims="B T C")


@pytest.mark.task("sinusoidal-positions")
def test_too_long_a_text_is_refused():
    """More tokens than rows of the table is an error that names both numbers."""
    encoding = PositionalEncoding(6, 5)
    expect_shape(encoding(torch.zeros(2, 5, 6)), (2, 5, 6), what="the output for 5 tokens with max_len=5", dims="B T C")
    with expect_raises(ValueError, what="7 tokens with max_len=5", mistake="too-long-not-refused"):
        encoding(torch.zeros(2, 7, 6))
    for number in ("7", "5"):
        with expect_raises(ValueError, what="7 tokens with max_len=5: the message", match=number):
            encoding(torch.zeros(2, 7, 6))


# ------------------------------------------------------------------------------------------------- rope


@pytest.mark.task("rope")
def test_rotate_half():
    """rotate_half swaps the two halves and negates what comes to the front."""
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    expect_close(
        rotate_half(x),
        torch.tensor([[-4.0, -5.0, -6.0, 1.0, 2.0, 3.0]]),
        rtol=0,
        atol=0,
        what="rotate_half([1, 2, 3, 4, 5, 6])",
        lookalikes={
            "neighbours-rotated": torch.tensor([[-2.0, 1.0, -4.0, 3.0, -6.0, 5.0]]),
            "rotated-backwards": torch.tensor([[4.0, 5.0, 6.0, -1.0, -2.0, -3.0]]),
            "halves-only-swapped": torch.tensor([[4.0, 5.0, 6.0, 1.0, 2.0, 3.0]]),
            "rotated-by-180": torch.tensor([[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]]),
        },
    )


@pytest.mark.task("rope")
def test_given_angles_are_applied():
    """apply_rotary_pos_emb turns q and k by the angles given, the same for every head."""
    q, k = seeded(2, 3, 5, 4, seed=2), seeded(2, 1, 5, 4, seed=3)
    half = seeded(2, 5, 2, seed=4)
    angle = torch.cat((half, half), dim=-1)

    def turned(x: torch.Tensor) -> torch.Tensor:
        a, b = x[..., :2], x[..., 2:]
        c, s = half.cos()[:, None], half.sin()[:, None]
        return torch.cat((a * c - b * s, a * s + b * c), dim=-1)

    with diagnosing("head-axis-forgotten", RuntimeError):
        new_q, new_k = apply_rotary_pos_emb(q, k, angle.cos(), angle.sin())
    expect_close(
        new_q,
        turned(q),
        what="q turned by given angles",
        dims="B H T D",
        lookalikes={
            "rotated-backwards": lambda: 2 * q * angle.cos()[:, None] - turned(q),
        },
    )
    expect_close(new_k, turned(k), what="k turned by given angles", dims="B H T D", lookalikes={"only-q-turned": k})


@pytest.mark.task("rope")
def test_one_plane_turns_by_one_radian_per_position():
    """With D = 2 the vector [1, 0] at position 1 becomes [cos 1, sin 1]; at position 0 nothing changes."""
    q = torch.tensor([1.0, 0.0]).expand(1, 2, 3, 2)
    k = torch.tensor([0.0, 1.0]).expand(1, 2, 3, 2)
    new_q, new_k = RoPE(2)(q, k)
    c, s = [math.cos(p) for p in range(3)], [math.sin(p) for p in range(3)]
    expect_close(
        new_q[0, 1],
        torch.tensor([c, s]).T,
        what="[1, 0] at the positions 0, 1, 2",
        dims="T D",
        lookalikes={
            "rotated-backwards": torch.tensor([c, [-value for value in s]]).T,
            "rope-positions-from-one": torch.tensor([[math.cos(p + 1), math.sin(p + 1)] for p in range(3)]),
            "nothing-turned": q[0, 1],
            "turned-by-head": torch.tensor([c[1], s[1]]).expand(3, 2),
        },
    )
    expect_close(
        new_k[0, 1],
        torch.tensor([[-value for value in s], c]).T,
        what="[0, 1] as a key at the positions 0, 1, 2",
        dims="T D",
        lookalikes={"only-q-turned": k[0, 1]},
    )


def rotated(x: torch.Tensor, positions: torch.Tensor, base: float = 10000.0) -> torch.Tensor:
    """Complex multiplication of x_i + j x_{i + D/2} by e^{j p θ_i}, in float64. Positions (B, T)."""
    half = x.shape[-1] // 2
    theta = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = positions.double()[:, None, :, None] * theta
    z = torch.complex(x[..., :half].double(), x[..., half:].double()) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat((z.real, z.imag), dim=-1).to(x.dtype)


@pytest.mark.task("rope")
def test_every_plane_has_its_own_frequency():
    """Plane i, the coordinates i and i + D/2, turns by p · 10000^(−2i/D)."""
    q, k = seeded(2, 3, 5, 6, seed=5), seeded(2, 1, 5, 6, seed=6)
    positions = torch.arange(5).expand(2, 5)
    RoPE(6)(q[:1], k[:1])  # what fails here as well has nothing to do with the size of the batch
    with diagnosing("one-batch-size-only", RuntimeError):
        new_q, new_k = RoPE(6)(q, k)

    def with_angles(angle: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        half = torch.cat((-x[..., 3:], x[..., :3]), dim=-1)
        return x * angle.cos() + half * angle.sin()

    theta = 10000.0 ** (-torch.arange(3.0) / 3)
    angle = torch.arange(5.0)[:, None] * theta
    twice = torch.cat((angle, angle), dim=-1)
    pairs = torch.stack((-q[..., 1::2], q[..., 0::2]), dim=-1).flatten(-2)
    neighbours = angle.repeat_interleave(2, dim=-1)
    expect_close(
        new_q,
        rotated(q, positions),
        what="queries at the positions 0 … 4",
        dims="B H T D",
        lookalikes={
            "layouts-mixed": lambda: with_angles(neighbours, q),
            "neighbours-rotated": lambda: q * neighbours.cos() + pairs * neighbours.sin(),
            "rope-exponent-halved": lambda: with_angles(
                torch.cat((e := torch.arange(5.0)[:, None] * 10000.0 ** (-torch.arange(3.0) / 6), e), dim=-1), q
            ),
            "rope-exponent-doubled": lambda: with_angles(
                torch.cat((e := torch.arange(5.0)[:, None] * 10000.0 ** (-2 * torch.arange(3.0) / 3), e), dim=-1), q
            ),
            "rope-frequencies-reversed": lambda: with_angles(
                torch.cat((e := torch.arange(5.0)[:, None] * theta.flip(0), e), dim=-1), q
            ),
            "rotated-backwards": lambda: with_angles(-twice, q),
            "turned-by-head": lambda: rotated(q.transpose(1, 2), torch.arange(3).expand(2, 3)).transpose(1, 2),
        },
    )
    expect_close(
        new_k, rotated(k, positions), what="keys at the same positions", dims="B H T D", lookalikes={"only-q-turned": k}
    )


@pytest.mark.task("rope")
def test_scores_depend_on_distance_only():
    """Moving queries and keys by the same 17 positions leaves their products as they are."""
    rope = RoPE(8)
    q, k = seeded(2, 3, 5, 8, seed=7), seeded(2, 3, 5, 8, seed=8)

    def scores(start: int) -> torch.Tensor:
        new_q, new_k = rope(q, k, torch.arange(start, start + 5))
        return new_q @ new_k.transpose(-1, -2)

    plain = q @ k.transpose(-1, -2)
    expect_close(scores(17), scores(0), atol=1e-4, rtol=1e-4, what="scores at positions 17 … 21 and at 0 … 4")
    expect(
        not torch.allclose(scores(0), plain, atol=1e-2),
        "The scores are those of vectors that were not rotated.",
        what="scores with and without rotation",
        mistake="nothing-turned",
    )


@pytest.mark.task("rope")
def test_positions_can_be_given():
    """position_ids say where the tokens stand: for all rows (T,), or for each row of the batch (B, T)."""
    rope = RoPE(6)
    q, k = seeded(2, 3, 4, 6, seed=9), seeded(2, 1, 4, 6, seed=10)
    each = torch.tensor([[7, 8, 9, 10], [0, 0, 1, 2]])
    arange = torch.arange(4).expand(2, 4)
    with expect_unchanged([q, k], what="q and k, after the call", mistake="rope-in-place"):
        new_q, new_k = rope(q, k, each)
    expect_close(
        new_q,
        rotated(q, each),
        what="queries of two rows that stand at different places",
        dims="B H T D",
        lookalikes={
            "positions-ignored": lambda: rotated(q, arange),
            "positions-of-the-first-row": lambda: rotated(q, each[:1].expand(2, 4)),
        },
    )
    expect_close(
        new_k,
        rotated(k, each),
        what="keys of the same rows",
        dims="B H T D",
        lookalikes={"positions-ignored": lambda: rotated(k, arange)},
    )
    new_q, _ = rope(q, k, torch.tensor([3, 5, 4, 11]))
    expect_close(
        new_q,
        rotated(q, torch.tensor([3, 5, 4, 11]).expand(2, 4)),
        what="queries at the positions 3, 5, 4, 11, the same in both rows",
        dims="B H T D",
        lookalikes={"positions-ignored": lambda: rotated(q, arange)},
    )
