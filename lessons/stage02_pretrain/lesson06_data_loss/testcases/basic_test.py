"""First contact with lesson 06: cleaning, filters, duplicates, the pipeline, packing, boundaries, and the loss."""

import math
import random
import re
import unicodedata
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor

from coursecli.expect import (
    diagnosing,
    expect,
    expect_close,
    expect_equal,
    expect_raises,
    expect_text,
    expect_tokens,
)
from intro2llm.data.filtering import (
    Deduplicator,
    LanguageFilter,
    LengthFilter,
    NearDuplicates,
    PerplexityFilter,
    Pipeline,
    QualityFilter,
    RepetitionFilter,
    TextFilter,
    clean_text,
    normalize_for_comparison,
)
from intro2llm.data.pretrain_dataset import (
    PretrainDataset,
    document_mask,
    document_positions,
    epoch_order,
    pack_documents,
)
from intro2llm.loss.cross_entropy import CrossEntropyLoss, bits_per_byte, cross_entropy, perplexity

# -------------------------------------------------------------------------------------------------------- clean_text


def cleaned(text: str, *, form: str = "NFC", tag: str = r"</?[A-Za-z][^>]*>", by: str = " ", lines: bool = True) -> str:
    """What the four steps would give if one of them were done differently."""
    text = re.sub(tag, by, unicodedata.normalize(form, text))
    rows = [" ".join(row.split()) for row in text.splitlines()] if lines else [" ".join(text.split())]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(rows)).strip("\n")


@pytest.mark.task("clean-text")
@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("  two   words\tand  more ", "two words and more"),
        ("one\r\ntwo\n \n\n\nthree\n", "one\ntwo\n\nthree"),
        ("<p>One  line.</p>\r\n \n\n\nAnother", "One line.\n\nAnother"),
        ("<h1>Title</h1><p>Text with <b>bold</b> words</p>", "Title Text with bold words"),
        ("while a < b and c > d: go()", "while a < b and c > d: go()"),
        ("E = mc², and ½ of it", "E = mc², and ½ of it"),
        ("cafe\u0301", "café"),
        ('see <a\n href="x">here</a><br/>now', "see here now"),
        ("   \n\t\n", ""),
    ],
)
def test_clean_text(raw: str, wanted: str) -> None:
    """Cleaning: one normal form, no tags, no needless white space, and the lines still there."""
    expect_text(
        clean_text(raw),
        wanted,
        what=f"clean_text({raw!r})",
        lookalikes={
            "tag-any-angle": lambda: cleaned(raw, tag=r"<[^>]*>"),
            "tags-greedy": lambda: cleaned(raw, tag=r"<.*>"),
            "tag-removed": lambda: cleaned(raw, by=""),
            "clean-nfkc": lambda: cleaned(raw, form="NFKC"),
            "lines-lost": lambda: cleaned(raw, lines=False),
        },
    )


# ------------------------------------------------------------------------------------------------------- the filters


@pytest.mark.task("text-filters")
def test_length_filter() -> None:
    """LengthFilter counts characters, and both bounds belong to what is kept."""
    texts = ["ab", "abc", "abcd", "abcde", "abcdef", "中文", "中文字", "a b c d"]
    f = LengthFilter(min_length=3, max_length=5)
    expect_equal(
        {t: f.keep(t) for t in texts},
        dict(zip(texts, [False, True, True, True, False, False, True, False])),
        what="keep of LengthFilter(min_length=3, max_length=5)",
        lookalikes={
            "length-exclusive": lambda: {t: 3 < len(t) < 5 for t in texts},
            "length-words": lambda: {t: 3 <= len(t.split()) <= 5 for t in texts},
            "length-bytes": lambda: {t: 3 <= len(t.encode()) <= 5 for t in texts},
        },
    )
    expect_equal(LengthFilter().keep(""), True, what='LengthFilter().keep("")')


COMMON = ".,;:!?'\"()-–—…‘’“”«»¿¡·。，、；：！？（）「」『』《》"


def ratio_of_symbols(text: str, ordinary: object) -> float:
    characters = "".join(text.split())
    return sum(not ordinary(c) and c not in COMMON for c in characters) / max(1, len(characters))


@pytest.mark.task("text-filters")
def test_quality_filter() -> None:
    """QualityFilter asks for enough words and for few symbols, in any script; the bounds belong to what is kept."""
    texts = [
        "one two three",
        "one two",
        "@@@@ #### ~~~~",
        "ab @ c",
        "(Really?) \"Yes\", she said - 'no'...",
        "今天 天气 很好。",
        "हिन्दी में लिखा",
        "a b c d + +",
    ]
    f = QualityFilter(min_words=3, max_symbol_ratio=0.25)

    def ordinary(c: str) -> bool:
        return unicodedata.category(c)[0] in "LMN"

    def kept(text: str, *, symbols: object = ordinary) -> bool:
        return len(text.split()) >= 3 and ratio_of_symbols(text, symbols) <= 0.25

    expect_equal(
        {t: f.keep(t) for t in texts},
        dict(zip(texts, [True, False, False, True, True, True, True, False])),
        what="keep of QualityFilter(min_words=3, max_symbol_ratio=0.25)",
        lookalikes={
            "quality-or": lambda: {t: len(t.split()) >= 3 or ratio_of_symbols(t, ordinary) <= 0.25 for t in texts},
            "quality-ascii": lambda: {t: kept(t, symbols=lambda c: c.isascii() and c.isalnum()) for t in texts},
            "quality-strict": lambda: {t: len(t.split()) >= 3 and ratio_of_symbols(t, ordinary) < 0.25 for t in texts},
            "quality-counts-spaces": lambda: {
                t: len(t.split()) >= 3
                and sum(not ordinary(c) and c not in COMMON and c != " " for c in t) / len(t) <= 0.25
                for t in texts
            },
            "quality-marks": lambda: {t: kept(t, symbols=str.isalnum) for t in texts},
        },
    )


@pytest.mark.task("text-filters")
def test_quality_filter_without_words() -> None:
    """An empty text, or one of white space, is rejected, also where no words are asked for."""
    for text in ("", " \n\t"):
        with diagnosing("quality-empty-crash", ZeroDivisionError):
            kept = QualityFilter(min_words=0).keep(text)
        expect_equal(kept, False, what=f"QualityFilter(min_words=0).keep({text!r})")


@pytest.mark.task("text-filters")
def test_language_filter() -> None:
    """LanguageFilter compares letters with letters; all else is neutral, and the bound belongs to what is kept."""
    texts = [
        "plain words",
        "Hello world, it is 12:30 on 2026-11-22 !!!",
        "Déjà vu à l'été, ça m'énerve: ééé",
        "Привет, мир",
        "abcdЖ",
        "abcЖЖ",
    ]

    def ratio(text: str, counted: list[str], *, ascii_only: bool = False) -> float:
        latin = [c for c in counted if unicodedata.name(c, "").startswith("LATIN") and (c.isascii() or not ascii_only)]
        return len(latin) / max(1, len(counted))

    def letters(text: str) -> list[str]:
        return [c for c in text if c.isalpha()]

    f = LanguageFilter("en", min_ratio=0.8)
    expect_equal(
        {t: f.keep(t) for t in texts},
        dict(zip(texts, [True, True, True, False, True, False])),
        what='keep of LanguageFilter("en", min_ratio=0.8)',
        lookalikes={
            "language-all-characters": lambda: {t: ratio(t, list(t)) >= 0.8 for t in texts},
        },
    )
    expect_equal(LanguageFilter("ru").keep("Привет, мир"), True, what='LanguageFilter("ru").keep("Привет, мир")')


@pytest.mark.task("text-filters")
def test_language_filter_without_letters() -> None:
    """A text without any letter is in no language, so it is rejected."""
    for text in ("", "12345 + 67 = !!!"):
        with diagnosing("language-no-letters", ZeroDivisionError):
            kept = LanguageFilter().keep(text)
        expect_equal(kept, False, what=f"LanguageFilter().keep({text!r})", mistake="language-no-letters")


@pytest.mark.task("text-filters")
def test_repetition_filter() -> None:
    """RepetitionFilter counts how many of the runs of three words have been there before."""
    texts = [
        "the cat saw the dog and the dog saw it",
        "the the the the the",
        "a b c d a b c d a b c d",
        "hahahahahahahahahahaha said the jester",
    ]

    def ratio(items: list[object]) -> float:
        return 1 - len(set(items)) / max(1, len(items))

    def runs(row: object, *, stride: int = 1) -> list[object]:
        return [tuple(row[i : i + 3]) for i in range(0, len(row) - 2, stride)]

    f = RepetitionFilter(n=3, max_ratio=0.3)
    expect_equal(
        {t: f.keep(t) for t in texts},
        dict(zip(texts, [True, False, False, True])),
        what="keep of RepetitionFilter(n=3, max_ratio=0.3)",
        lookalikes={
            "repetition-inverted": lambda: {t: 1 - ratio(runs(t.split())) <= 0.3 for t in texts},
            "repetition-blocks": lambda: {t: ratio(runs(t.split(), stride=3)) <= 0.3 for t in texts},
        },
    )


@pytest.mark.task("text-filters")
def test_repetition_filter_on_few_words() -> None:
    """A text with fewer words than n has nothing to repeat and is kept."""
    for text in ("", "the", "the the"):
        with diagnosing("repetition-short", ZeroDivisionError):
            kept = RepetitionFilter(n=3).keep(text)
        expect_equal(kept, True, what=f"RepetitionFilter(n=3).keep({text!r})", mistake="repetition-short")


@pytest.mark.task("text-filters")
def test_filters_give_reasons() -> None:
    """reason is None for a text that is kept, and a few words for one that is not."""
    bad = "@ @ @ @ @ @ @"
    for f in (LengthFilter(max_length=6), QualityFilter(), LanguageFilter(), RepetitionFilter(n=2)):
        name = type(f).__name__
        why = f.reason(bad)
        expect(isinstance(why, str) and why, f"It is {why!r}.", what=f"{name}.reason of a bad text", expected="words")
    for f in (LengthFilter(), QualityFilter(), LanguageFilter(), RepetitionFilter()):
        why = f.reason("Five words are quite enough.")
        expect_equal(why, None, what=f"{type(f).__name__}.reason of a good text")


# --------------------------------------------------------------------------------------------------- exact duplicates


@pytest.mark.task("exact-duplicates")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (" Ｈello\nWORLD ", "hello world"),
        ("hello   world", "hello world"),
        ("helloworld", "helloworld"),
        ("ﬁne ², no?", "fine 2, no?"),
        ("Straße", "strasse"),
        ("call ℡ 12", "call tel 12"),
    ],
)
def test_normalize_for_comparison(text: str, wanted: str) -> None:
    """The form in which texts are compared: NFKC, casefold, single spaces."""

    def form(kind: str = "NFKC", *, fold: object = str.casefold, joint: str = " ") -> str:
        return joint.join(fold(unicodedata.normalize(kind, text)).split())

    expect_text(
        normalize_for_comparison(text),
        wanted,
        what=f"normalize_for_comparison({text!r})",
        lookalikes={
            "spaces-removed": lambda: form(joint=""),
            "case-kept": lambda: form(fold=str),
            "lower-only": lambda: form(fold=str.lower),
        },
    )


@pytest.mark.task("exact-duplicates")
def test_deduplicator_asks_without_adding() -> None:
    """is_duplicate only asks; add remembers, and says whether the text was new."""
    d = Deduplicator()
    asked = [d.is_duplicate("A text."), d.is_duplicate("A text.")]
    expect_equal(asked, [False, False], what="is_duplicate of a new text, asked twice", mistake="asking-adds")
    answers = [d.add("A text."), d.is_duplicate("a  TEXT."), d.add("a  TEXT."), d.add("Another."), d.add("A text.")]
    expect_equal(answers, [True, True, False, True, False], what="add, is_duplicate, add, add another, add the first")


@pytest.mark.task("exact-duplicates")
def test_deduplicators_know_nothing_of_each_other() -> None:
    """What one object has seen is new to the next."""
    Deduplicator().add("A text.")
    expect_equal(
        Deduplicator().add("A text."), True, what="add of a second, fresh Deduplicator", mistake="memory-shared"
    )


@pytest.mark.task("exact-duplicates")
def test_deduplicator_keeps_different_texts() -> None:
    """Three thousand different texts are all new, however alike they look."""
    d = Deduplicator()
    new = sum(d.add(f"text number {i}") for i in range(3000))
    expect_equal(new, 3000, what="how many of 3,000 different texts are new", mistake="digest-short")


# ---------------------------------------------------------------------------------------------------- near duplicates


def words(count: int, *, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(count)]


def changed(text: list[str], places: range, *, seed: int) -> list[str]:
    new = words(len(places), seed=seed)
    return [new[places.index(i)] if i in places else word for i, word in enumerate(text)]


@pytest.mark.task("near-duplicates")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The cat sat on", ["cat sat", "sat on", "the cat"]),
        ("so so so so", ["so so"]),
        ("Hello", ["hello"]),
        ("", [""]),
    ],
)
def test_shingles(text: str, wanted: list[str]) -> None:
    """The shingles of a text: its runs of words, each once; of a short text the whole."""
    with diagnosing("shingles-short", IndexError, ValueError):
        found = NearDuplicates(shingle_words=2).shingles(text)
    low = text.lower()
    expect_equal(
        sorted(found),
        wanted,
        what=f"the shingles of two words of {text!r}, sorted",
        lookalikes={
            "shingles-short": lambda: sorted({" ".join(low.split()[i : i + 2]) for i in range(len(low.split()) - 1)}),
        },
    )
    expect_equal(type(found), set, what="the type of what shingles returns")


@pytest.mark.task("near-duplicates")
def test_signature_is_the_smallest_of_each_hash_function() -> None:
    """A text of two shingles has at each place the smaller of the two numbers that the shingles have alone."""
    near = NearDuplicates(shingle_words=1, num_hashes=96, bands=12)
    one, two, both = near.signature("one"), near.signature("two"), near.signature("one two")
    expect_equal((both.shape, both.dtype.name), ((96,), "uint64"), what="shape and dtype of a signature with K = 96")
    expect_equal(
        both.tolist(),
        np.minimum(one, two).tolist(),
        what='the signature of "one two", with shingles of one word',
    )


@pytest.mark.task("near-duplicates")
def test_hash_functions_differ() -> None:
    """The K places of a signature come from K different functions."""
    signature = NearDuplicates().signature("one two three four five six seven")
    different = len(set(signature.tolist()))
    expect(
        different == 128,
        f"Only {different} of the 128 numbers are different.",
        what="the signature of a text with three shingles",
        mistake="one-hash-function",
    )


@pytest.mark.task("near-duplicates")
def test_signature_is_the_same_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature does not depend on the built-in hash, which is another one in the next process."""
    text = "the same words give the same numbers tomorrow"
    before = NearDuplicates().signature(text).tolist()
    real = hash
    monkeypatch.setattr("builtins.hash", lambda thing: real(thing) ^ 0x5A5A5A5A5A5A5A)
    after = NearDuplicates().signature(text).tolist()
    monkeypatch.undo()
    expect_equal(
        after,
        before,
        what="a signature, after the built-in hash has changed as in a new process",
        mistake="builtin-hash",
    )


@pytest.mark.task("near-duplicates")
def test_similarity_estimates_jaccard() -> None:
    """The mean estimate of 40 pairs is their mean Jaccard similarity, as exactly as 128 hash functions allow."""
    estimates, truths, as_sets = [], [], []
    for seed in range(40):
        near = NearDuplicates(shingle_words=1, seed=seed)
        a = words(60, seed=2 * seed)
        b = changed(a, range(17), seed=2 * seed + 1)
        truths.append(len(set(a) & set(b)) / len(set(a) | set(b)))
        estimates.append(near.similarity(" ".join(a), " ".join(b)))
        one, two = set(near.signature(" ".join(a)).tolist()), set(near.signature(" ".join(b)).tolist())
        as_sets.append(len(one & two) / len(one | two))
    expect_close(
        sum(estimates) / 40,
        sum(truths) / 40,
        rtol=0,
        atol=0.04,
        what="the mean estimate of 40 pairs of texts that share 43 of 77 words",
        lookalikes={"signature-as-set": lambda: sum(as_sets) / 40},
    )
    expect_equal(NearDuplicates().similarity("so it is", "So  it is"), 1.0, what="the similarity of a text with itself")
    near = NearDuplicates(shingle_words=1)
    agreeing = sum(x == y for x, y in zip(near.signature("a b c d").tolist(), near.signature("c d e").tolist()))
    expect_close(
        near.similarity("a b c d", "c d e"),
        agreeing / 128,
        what=f"the similarity of two texts whose signatures agree at {agreeing} of 128 places",
    )


@pytest.mark.task("near-duplicates")
def test_near_duplicates_are_known_again() -> None:
    """A text of 300 words with two of them changed is known again; another text is not; asking adds nothing."""
    near = NearDuplicates()
    first = words(300, seed=1)
    again, third = changed(first, range(140, 142), seed=2), words(300, seed=3)
    texts = [" ".join(t) for t in (first, again, third, changed(first, range(30, 32), seed=4))]
    expect_equal([near.is_duplicate(texts[0]), near.is_duplicate(texts[0])], [False, False], what="asking twice")
    expect_equal(
        [near.add(t) for t in texts],
        [True, False, True, False],
        what="add of a text, of the same with two words changed, of another, of the first with two words changed",
        lookalikes={"only-the-last": [True, False, True, True]},
    )
    expect_equal([near.is_duplicate(t) for t in texts], [True] * 4, what="is_duplicate of all four, after that")


@pytest.mark.task("near-duplicates")
def test_a_shared_band_is_not_enough() -> None:
    """Texts that share half of their shingles meet in some band, but are not similar enough."""
    answers = []
    for seed in range(10):
        near = NearDuplicates(shingle_words=1, seed=seed)
        a = words(60, seed=100 + seed)
        near.add(" ".join(a))
        answers.append(near.add(" ".join(changed(a, range(20), seed=200 + seed))))
    expect_equal(
        answers,
        [True] * 10,
        what="whether texts with a Jaccard similarity of 0.5 are new at threshold 0.8",
        mistake="band-is-enough",
    )


# ----------------------------------------------------------------------------------------------------------- Pipeline


class Seen:
    """A stand-in for a deduplicator: exact, and it writes down what it was shown."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.texts: set[str] = set()
        self.log = [] if log is None else log

    def add(self, text: str) -> bool:
        self.log.append(f"dedup {text}")
        new = text not in self.texts
        self.texts.add(text)
        return new


class Without(TextFilter):
    """A stand-in for a filter: rejects texts that contain a letter."""

    def __init__(self, letter: str, log: list[str] | None = None) -> None:
        self.letter = letter
        self.log = [] if log is None else log

    def reason(self, text: str) -> str | None:
        entry = f"{self.letter}? {text}"
        if self.log[-1:] != [entry]:  # whoever asks one filter twice in a row has asked once
            self.log.append(entry)
        return f"contains {self.letter}" if self.letter in text else None


class WithoutToo(Without):
    """The same under another name."""


def tidy(text: str) -> str:
    return text.strip().lower()


@pytest.mark.task("pipeline")
def test_pipeline_cleans_before_it_compares() -> None:
    """Two texts that are equal only after cleaning are duplicates, and what comes out is clean."""
    expect_equal(
        list(Pipeline(clean=tidy, deduplicators=[Seen()]).process([" One ", "one", "two", "ONE", "three "])),
        ["one", "two", "three"],
        what='the texts kept of " One ", "one", "two", "ONE", "three "',
        lookalikes={
            "dedup-before-clean": ["one", "one", "two", "one", "three"],
        },
    )


@pytest.mark.task("pipeline")
def test_pipeline_needs_every_filter() -> None:
    """A text is kept only if no filter objects."""
    filters = [Without("x"), WithoutToo("y")]
    expect_equal(
        list(Pipeline(filters=filters).process(["a", "ax", "ay", "axy", "b"])),
        ["a", "b"],
        what="the texts without x and without y",
        lookalikes={"any-filter": ["a", "ax", "ay", "b"]},
    )


@pytest.mark.task("pipeline")
def test_pipeline_order() -> None:
    """First the deduplicator, then the filters; what is dropped goes no further."""
    log: list[str] = []
    pipeline = Pipeline(clean=None, deduplicators=[Seen(log)], filters=[Without("x", log), Without("y", log)])
    kept = list(pipeline.process(["a", "a", "x"]))
    expect_equal(
        log,
        ["dedup a", "x? a", "y? a", "dedup a", "dedup x", "x? x"],
        what='who is shown "a", "a", "x", when there are a deduplicator and two filters',
        lookalikes={
            "filters-first": ["x? a", "y? a", "dedup a", "x? a", "y? a", "dedup a", "x? x"],
        },
    )
    expect_equal(kept, ["a"], what="the texts that are kept")


@pytest.mark.task("pipeline")
def test_pipeline_reads_one_at_a_time() -> None:
    """The first text comes out before the second is read."""
    read: list[str] = []

    def source() -> Iterator[str]:
        for text in ("one", "two", "three"):
            read.append(text)
            yield text

    first = next(iter(Pipeline().process(source())))
    expect_equal(first, "one", what="the first text out of the pipeline")
    expect_equal(read, ["one"], what="what was read until then", mistake="all-read-first")


@pytest.mark.task("pipeline")
def test_pipeline_counts() -> None:
    """counts says what became of all texts, by the class that dropped them."""
    pipeline = Pipeline(clean=tidy, deduplicators=[Seen()], filters=[Without("x"), WithoutToo("y")])
    list(pipeline.process(["a", "A", "x", "xy", "y", "yy", "b"]))
    wanted = {"read": 7, "Seen": 1, "Without": 2, "WithoutToo": 2, "kept": 2}
    expect_equal(dict(pipeline.counts), wanted, what="counts after seven texts")
    list(pipeline.process(["c", "c"]))
    wanted |= {"read": 9, "Seen": 2, "kept": 3}
    expect_equal(dict(pipeline.counts), wanted, what="counts after two more")


# ------------------------------------------------------------------------------------------------------------ packing


@pytest.mark.task("packing")
def test_pack_documents() -> None:
    """Every document is followed by eos, the last one too; an empty one leaves nothing."""
    expect_tokens(
        pack_documents([[5, 6, 7], [8], [], [9, 4]], eos_token_id=0).tolist(),
        [5, 6, 7, 0, 8, 0, 9, 4, 0],
        what="the documents [5, 6, 7], [8], [] and [9, 4], packed with eos 0",
        lookalikes={
            "eos-between": [5, 6, 7, 0, 8, 0, 9, 4],
            "eos-for-nothing": [5, 6, 7, 0, 8, 0, 0, 9, 4, 0],
        },
    )
    packed = pack_documents([], eos_token_id=0)
    expect_equal((tuple(packed.shape), packed.dtype), ((0,), torch.int64), what="shape and dtype without documents")


@pytest.mark.task("packing")
def test_windows_and_labels() -> None:
    """Window i holds tokens i · T to (i + 1) · T - 1, and labels are the same ids at the same places."""
    tokens = torch.arange(100, 123)
    dataset = PretrainDataset(tokens, seq_length=5)
    window = dataset[1]
    expect_tokens(
        window["input_ids"].tolist(),
        [105, 106, 107, 108, 109],
        what="input_ids of window 1 of the tokens 100, 101, …, with T = 5",
    )
    expect_tokens(
        window["labels"].tolist(),
        [105, 106, 107, 108, 109],
        what="labels of window 1 (the model does the shift)",
        lookalikes={
            "labels-shifted": [106, 107, 108, 109, 110],
        },
    )
    expect_equal(sorted(window), ["input_ids", "labels"], what="the entries of a window")


@pytest.mark.task("packing")
@pytest.mark.parametrize(("count", "windows"), [(23, 4), (25, 5), (5, 1), (4, 0), (0, 0)])
def test_number_of_windows(count: int, windows: int) -> None:
    """Only whole windows count, and what is left over at the end is in none."""
    dataset = PretrainDataset(torch.arange(count), seq_length=5)
    expect_equal(
        len(dataset),
        windows,
        what=f"the number of windows of 5 in {count} tokens",
        lookalikes={
            "short-window": -(-count // 5),
        },
    )


@pytest.mark.task("packing")
def test_no_window_beyond_the_last() -> None:
    """A number that no window has raises IndexError, so that a for loop ends."""
    dataset = PretrainDataset(torch.arange(23), seq_length=5)
    for index in (4, 17, -1):
        with expect_raises(IndexError, what=f"window {index} of 4", mistake="no-index-error"):
            dataset[index]
    found = [w["input_ids"].tolist() for w in islice(dataset, 9)]
    expect_equal(found, [list(range(i, i + 5)) for i in (0, 5, 10, 15)], what="what a for loop over the dataset finds")


@pytest.mark.task("packing")
def test_windows_are_copies() -> None:
    """Writing into the labels of a window changes neither its input_ids nor the corpus."""
    tokens = torch.arange(100, 123)
    window = PretrainDataset(tokens, seq_length=5)[0]
    window["labels"][2] = -100
    window["input_ids"][3] = 7
    expect_equal(
        (window["input_ids"].tolist(), window["labels"].tolist(), tokens[:5].tolist()),
        ([100, 101, 102, 7, 104], [100, 101, -100, 103, 104], [100, 101, 102, 103, 104]),
        what="input_ids, labels and the corpus, after labels[2] = -100 and input_ids[3] = 7",
        mistake="memory-of-others",
    )


@pytest.mark.task("packing")
def test_epoch_order_visits_each_window_once() -> None:
    """An epoch's order is a permutation, the same one whenever it is asked for."""
    order = epoch_order(50, seed=3, epoch=2)
    expect_equal(order.dtype, torch.int64, what="the dtype of the order")
    expect_equal(sorted(order.tolist()), list(range(50)), what="the windows of an epoch, sorted")
    expect(order.tolist() != list(range(50)), "It is 0, 1, 2, ….", what="the order of an epoch")
    again = epoch_order(50, seed=3, epoch=2)
    expect_equal(again.tolist(), order.tolist(), what="the order when asked for again")


@pytest.mark.task("packing")
def test_epoch_order_depends_on_seed_and_epoch() -> None:
    """Another seed and another epoch give another order, also when their sum is the same."""
    orders = {(s, e): epoch_order(50, seed=s, epoch=e).tolist() for s in range(3) for e in range(3)}
    expect(orders[1, 0] != orders[1, 2], "They are equal.", what="epochs 0 and 2 of seed 1")
    expect(orders[0, 1] != orders[2, 1], "They are equal.", what="seeds 0 and 2 in epoch 1")
    expect(
        orders[0, 1] != orders[1, 0],
        "They are equal.",
        what="seed 0 in epoch 1, and seed 1 in epoch 0",
        mistake="seed-plus-epoch",
    )
    expect_equal(len({tuple(o) for o in orders.values()}), 9, what="how many orders 3 seeds have in 3 epochs")


@pytest.mark.task("packing")
def test_epoch_order_leaves_random_states_alone() -> None:
    """Asking for an order changes no random state that belongs to the whole process."""

    def states() -> tuple[object, ...]:
        kind, keys, *rest = np.random.get_state()
        return random.getstate(), torch.get_rng_state().tolist(), kind, keys.tolist(), rest

    before = states()
    epoch_order(20, seed=5, epoch=1)
    expect(before == states(), "One has changed.", what="the random states of the process", mistake="global-seed")


# ------------------------------------------------------------------------------------------------ document boundaries

ROWS = torch.tensor([[5, 6, 0, 7, 8, 0, 9], [3, 4, 2, 0, 0, 6, 1]])


@pytest.mark.task("document-boundaries")
def test_document_positions() -> None:
    """Positions start at 0 in each window and behind each eos; the eos itself still counts on."""
    expect_close(
        document_positions(ROWS, eos_token_id=0),
        torch.tensor([[0, 1, 2, 0, 1, 2, 0], [0, 1, 2, 3, 0, 0, 1]]),
        what="positions in [5, 6, 0, 7, 8, 0, 9] and [3, 4, 2, 0, 0, 6, 1], with eos 0",
        dims="B T",
        lookalikes={
            "eos-begins": torch.tensor([[0, 1, 0, 1, 2, 0, 1], [0, 1, 2, 0, 0, 1, 2]]),
        },
    )


@pytest.mark.task("document-boundaries")
def test_document_mask() -> None:
    """A token attends to itself and to what stands before it in its own document."""
    tokens = torch.tensor([[5, 0, 7, 8], [3, 4, 0, 6]])
    mask = document_mask(tokens, eos_token_id=0)

    def rows(*lines: str) -> list[list[int]]:
        return [[int(c) for c in line] for line in lines]

    wanted = torch.tensor([rows("1000", "1100", "0010", "0011"), rows("1000", "1100", "1110", "0001")])[:, None].bool()
    early = torch.tensor([rows("1000", "0100", "0110", "0111"), rows("1000", "1100", "0010", "0011")])[:, None].bool()
    expect_close(
        mask,
        wanted,
        what="the mask of [5, 0, 7, 8] and [3, 4, 0, 6], with eos 0",
        dims="B 1 T T",
        lookalikes={
            "eos-begins": early,
            "mask-not-causal": lambda: wanted | wanted.transpose(-1, -2),
            "mask-inverted": lambda: ~wanted,
        },
    )


# ------------------------------------------------------------------------------------------------------ cross-entropy


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def prices(logits: Tensor, labels: Tensor, *, ignore_index: int = -100) -> Tensor:
    """-log p of each label in float64, one by one; 0 where the label is ignored. (B, T)"""
    out = torch.zeros(labels.shape, dtype=torch.float64)
    for place in np.ndindex(*labels.shape):
        y = int(labels[place])
        if y != ignore_index:
            z = logits[place].double().tolist()
            top = max(z)
            out[place] = top + math.log(math.fsum(math.exp(v - top) for v in z)) - z[y]
    return out


LABELS = torch.tensor([[4, -100, 0, 6, 2], [-100, -100, 3, -100, -100]])


@pytest.mark.task("cross-entropy")
def test_cross_entropy_worked_example() -> None:
    """The worked example of the README: three predictions over four tokens, one of them ignored."""
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 0.0, 0.0, 3.0], [5.0, 0.0, 0.0, 0.0]])
    labels = torch.tensor([1, 3, -100])
    with diagnosing("gather-before-ignoring", RuntimeError, IndexError):
        loss = cross_entropy(logits, labels)
    expect_close(
        loss,
        torch.tensor(0.7897),
        atol=5e-5,
        what="the mean loss of the README's example",
        lookalikes={
            "mean-over-all": torch.tensor(0.7897 * 2 / 3),
            "sign-lost": torch.tensor(-0.7897),
        },
    )


@pytest.mark.task("cross-entropy")
def test_cross_entropy_follows_the_formula() -> None:
    """The mean over all predictions of a batch; ignored places count neither above nor below the line."""
    logits = draw(2, 5, 7, seed=1, scale=3.0)
    losses = prices(logits, LABELS)
    graded = LABELS != -100
    with diagnosing("gather-before-ignoring", RuntimeError, IndexError):
        loss = cross_entropy(logits, LABELS)
    shifted = LABELS[:, 1:]
    expect_close(
        loss,
        (losses.sum() / 5).float(),
        what="the mean loss of a batch with 4 predictions in one row and 1 in the other",
        lookalikes={
            "mean-over-all": lambda: losses.mean().float(),
            "mean-per-row": lambda: (losses.sum(1) / graded.sum(1)).mean().float(),
            "shifted-inside": lambda: (prices(logits[:, :-1], shifted).sum() / (shifted != -100).sum()).float(),
        },
    )


@pytest.mark.task("cross-entropy")
def test_cross_entropy_of_knowing_nothing() -> None:
    """Equal logits give ln V, whatever the label."""
    expect_close(
        cross_entropy(torch.zeros(3, 50), torch.tensor([0, 17, 49])),
        torch.tensor(math.log(50)),
        atol=1e-6,
        what="the loss of equal logits over 50 tokens",
    )


@pytest.mark.task("cross-entropy")
def test_cross_entropy_of_large_logits() -> None:
    """Logits around 1,000 are as good as any: only their differences matter."""
    expect_close(
        cross_entropy(torch.tensor([[1000.0, 998.0, 995.0]]), torch.tensor([1])),
        torch.tensor(2 + math.log(1 + math.exp(-2) + math.exp(-5))),
        atol=2e-4,
        what="the loss of the logits (1000, 998, 995), label 1",
        lookalikes={"naive-logsumexp": torch.tensor(math.inf)},
    )


@pytest.mark.task("cross-entropy")
def test_cross_entropy_of_a_confident_error() -> None:
    """A right answer 300 below the best logit costs 300, although its probability rounds to 0."""
    expect_close(
        cross_entropy(torch.tensor([[0.0, -300.0, -9.0]]), torch.tensor([1])),
        torch.tensor(300.0 + math.log(1 + math.exp(-9))),
        atol=1e-3,
        what="the loss of the logits (0, -300, -9), label 1",
        lookalikes={
            "log-of-softmax": torch.tensor(math.inf),
            "safety-eps": lambda: -torch.tensor(1e-9).log(),
        },
    )


@pytest.mark.task("cross-entropy")
def test_cross_entropy_gradient() -> None:
    """The gradient is (softmax - onehot) / number of predictions, and exactly 0 where the label is ignored."""
    logits = draw(2, 5, 7, seed=2, scale=2.0).requires_grad_()
    with diagnosing("gather-before-ignoring", RuntimeError, IndexError):
        loss = cross_entropy(logits, LABELS)
    expect(loss.requires_grad, "It has no gradient.", what="the loss of logits that require gradients")
    loss.backward()
    p = torch.softmax(logits.detach().double(), -1)
    wanted = torch.zeros_like(p)
    for place in (LABELS != -100).nonzero().tolist():
        b, t = place
        wanted[b, t] = p[b, t]
        wanted[b, t, LABELS[b, t]] -= 1
    expect_close(
        logits.grad,
        (wanted / 5).float(),
        atol=1e-6,
        what="the gradient of the mean loss",
        dims="B T V",
        lookalikes={"mean-over-all": lambda: (wanted / 10).float()},
    )


@pytest.mark.task("cross-entropy")
def test_cross_entropy_with_nothing_to_grade() -> None:
    """When every label is ignored the loss is 0, and so are the gradients."""
    logits = draw(2, 3, 7, seed=3).requires_grad_()
    labels = torch.full((2, 3), -100)
    with diagnosing("gather-before-ignoring", RuntimeError, IndexError):
        loss = cross_entropy(logits, labels)
    expect_close(
        loss, torch.tensor(0.0), what="the mean loss of no predictions", lookalikes={"nothing-graded": math.nan}
    )
    expect(loss.requires_grad, "It has no gradient.", what="the loss of logits that require gradients")
    loss.backward()
    expect_close(logits.grad, torch.zeros(2, 3, 7), atol=0, rtol=0, what="the gradient of the mean loss")


@pytest.mark.task("cross-entropy")
def test_cross_entropy_reductions() -> None:
    """sum is the sum of the predictions' losses; none has the shape of the labels, and 0 where they are ignored."""
    logits = draw(2, 5, 7, seed=4, scale=2.0)
    losses = prices(logits, LABELS).float()
    expect_close(cross_entropy(logits, LABELS, reduction="sum"), losses.sum(), what='the loss with reduction="sum"')
    expect_close(
        cross_entropy(logits, LABELS, reduction="none"),
        losses,
        what='the losses with reduction="none"',
        dims="B T",
        lookalikes={
            "none-flattened": lambda: losses.flatten(),
        },
    )


@pytest.mark.task("cross-entropy")
def test_cross_entropy_whatever_stands_at_ignored_places() -> None:
    """NaN in the logits of an ignored place reaches neither the loss nor the gradient."""
    logits = draw(2, 5, 7, seed=5)
    wanted = (prices(logits, LABELS).sum() / 5).float()
    logits[0, 1] = math.nan
    logits[1, 4, 3] = math.inf
    logits.requires_grad_()
    loss = cross_entropy(logits, LABELS)
    expect_close(
        loss,
        wanted,
        what="the mean loss with NaN in the logits of ignored places",
        lookalikes={"ignored-times-zero": math.nan},
    )
    loss.backward()
    expect_close(
        logits.grad[LABELS == -100],
        torch.zeros(5, 7),
        atol=0,
        rtol=0,
        what="the gradient at ignored places",
        mistake="ignored-times-zero",
    )


@pytest.mark.task("cross-entropy")
def test_cross_entropy_ignore_index() -> None:
    """ignore_index is what the argument says: -1, or an ordinary id."""
    logits, labels = draw(6, 7, seed=6), torch.tensor([3, -1, 2, 2, -1, 5])
    with diagnosing("ignore-hard-coded", RuntimeError, IndexError):
        loss = cross_entropy(logits, labels, ignore_index=-1)
    expect_close(
        loss, (prices(logits, labels, ignore_index=-1).sum() / 4).float(), what="the loss with ignore_index -1"
    )
    labels = torch.tensor([3, 1, 2, 2, 0, 5])
    expect_close(
        cross_entropy(logits, labels, ignore_index=2),
        (prices(logits, labels, ignore_index=2).sum() / 4).float(),
        what="the loss with ignore_index 2, which two labels have",
        lookalikes={"ignore-negative": lambda: prices(logits, labels).mean().float()},
    )


@pytest.mark.task("cross-entropy")
def test_cross_entropy_module() -> None:
    """CrossEntropyLoss hands its three options on to cross_entropy."""
    logits, labels = draw(6, 7, seed=7), torch.tensor([3, 1, 2, 2, 0, 5])
    losses = prices(logits, labels, ignore_index=2).float()
    expect_close(
        CrossEntropyLoss(ignore_index=2, reduction="none")(logits, labels),
        losses,
        what='CrossEntropyLoss(ignore_index=2, reduction="none")',
    )
    expect_close(
        CrossEntropyLoss()(logits, labels), prices(logits, labels).mean().float(), what="CrossEntropyLoss() by default"
    )
    every = logits.double().logsumexp(-1, keepdim=True) - logits.double()  # -log p of every token
    own = every.gather(-1, labels[:, None])[:, 0]
    smooth = CrossEntropyLoss(label_smoothing=1.0)(logits, labels)
    expect_close(
        smooth,
        every.mean().float(),
        what="CrossEntropyLoss(label_smoothing=1.0): the mean of -log p over all tokens",
        lookalikes={"smoothing-to-others": lambda: ((every.mean(-1) * 7 - own) / 6).mean().float()},
    )


@pytest.mark.task("cross-entropy")
def test_cross_entropy_refuses() -> None:
    """Labels of another shape, an unknown reduction and a smoothing beyond 1 are errors."""
    logits = draw(2, 5, 7, seed=8)
    shapes = r"2, 4\D.*2, 5, 7|2, 5, 7.*2, 4\b"  # in either order, and as torch.Size too
    with expect_raises(ValueError, what="labels (2, 4) for logits (2, 5, 7)", match=shapes):
        cross_entropy(logits, torch.zeros(2, 4, dtype=torch.int64))
    with expect_raises(ValueError, what='reduction="avg"', match="avg"):
        cross_entropy(logits, LABELS, reduction="avg")
    with expect_raises(ValueError, what="label_smoothing=1.5", match="label_smoothing"):
        cross_entropy(logits, LABELS, label_smoothing=1.5)


# --------------------------------------------------------------------------------------------------------- perplexity


@pytest.mark.task("perplexity")
def test_perplexity_of_equal_choices() -> None:
    """A model that hesitates between 32 equal choices has perplexity 32."""
    expect_close(
        perplexity(torch.zeros(2, 3, 32), torch.tensor([[1, 5, 9], [31, 0, 7]])),
        torch.tensor(32.0),
        atol=1e-3,
        what="the perplexity of equal logits over 32 tokens",
        lookalikes={
            "perplexity-base-2": torch.tensor(2.0 ** math.log(32)),
        },
    )


@pytest.mark.task("perplexity")
def test_perplexity_is_exp_of_the_mean() -> None:
    """First the mean over all predictions of the batch, then the exponential."""
    logits = draw(2, 5, 7, seed=9, scale=2.0)
    losses, graded = prices(logits, LABELS), LABELS != -100
    expect_close(
        perplexity(logits, LABELS),
        (losses.sum() / 5).exp().float(),
        what="the perplexity of a batch with 4 predictions in one row and 1 in the other",
        lookalikes={
            "perplexity-base-2": lambda: (2 ** (losses.sum() / 5)).float(),
            "mean-of-exp": lambda: losses[graded].exp().mean().float(),
        },
    )


@pytest.mark.task("perplexity")
def test_bits_per_byte() -> None:
    """All nats, as bits, shared over all bytes."""
    expect_close(
        bits_per_byte(3.0, 1000, 4200),
        3.0 * 1000 / 4200 / math.log(2),
        what="3 nats per token, 1,000 tokens, 4,200 bytes, in bits per byte",
        lookalikes={
            "nats-for-bits": 3.0 * 1000 / 4200,
        },
    )
    with expect_raises(ValueError, what="bits_per_byte over 0 bytes", match="0"):
        bits_per_byte(3.0, 10, 0)


# --------------------------------------------------------------------------------------------------- PerplexityFilter

SAMPLE = [2.0, 2.1, 2.2, 2.3, 50.0]  # median 2.2, distances 0.2, 0.1, 0, 0.1, 47.8: MAD 0.1


@pytest.mark.task("perplexity-filter")
def test_perplexity_filter() -> None:
    """Kept is what lies within threshold · MAD / 0.6745 of the median, on either side."""
    f = PerplexityFilter(float, SAMPLE, threshold=3.5)  # reach 0.5189
    texts = ["2.2", "2.7", "2.73", "1.7", "1.6", "50", "0.1", "2.6"]
    mean = sum(SAMPLE) / 5
    deviation = math.sqrt(sum((s - mean) ** 2 for s in SAMPLE) / 5)
    expect_equal(
        {t: f.keep(t) for t in texts},
        dict(zip(texts, [True, True, False, True, False, False, False, True])),
        what=f"keep of texts with these scores, where the sample has {SAMPLE}",
        lookalikes={
            "mean-and-deviation": lambda: {t: abs(float(t) - mean) <= 3.5 * deviation for t in texts},
            "only-too-hard": lambda: {t: float(t) - 2.2 <= 3.5 * 0.1 / 0.6745 for t in texts},
        },
    )


@pytest.mark.task("perplexity-filter")
def test_perplexity_filter_of_a_sample_without_spread() -> None:
    """If most of the sample has one score, MAD is 0, and only texts with that score are kept."""
    with diagnosing("mad-zero", ZeroDivisionError):
        f = PerplexityFilter(float, [2.0, 2.0, 2.0, 9.0])
        kept = [f.keep(t) for t in ("2.0", "2.1", "9.0")]
    expect_equal(kept, [True, False, False], what="keep at the scores 2.0, 2.1 and 9.0, where MAD is 0")


@pytest.mark.task("perplexity-filter")
def test_perplexity_filter_on_what_is_no_number() -> None:
    """A text whose score is NaN or infinite is rejected."""
    f = PerplexityFilter(float, SAMPLE)
    kept = [f.keep(t) for t in ("nan", "inf", "-inf")]
    expect_equal(kept, [False, False, False], what="keep at the scores NaN, inf and -inf")
    with expect_raises(ValueError, what="PerplexityFilter with an empty sample"):
        PerplexityFilter(float, [])
