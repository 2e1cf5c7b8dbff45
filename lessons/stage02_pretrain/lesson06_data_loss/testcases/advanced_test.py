"""Second look at lesson 06: edges, dtypes, memory, chance, and the parts together."""

import math
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from coursecli.expect import (
    diagnosing,
    expect,
    expect_close,
    expect_distribution,
    expect_equal,
    expect_gradient,
    expect_growth,
    expect_raises,
    expect_tokens,
    expect_unchanged,
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
from intro2llm.loss.cross_entropy import bits_per_byte, cross_entropy, perplexity

# -------------------------------------------------------------------------------------------------------- clean_text


@pytest.mark.task("clean-text")
def test_cleaning_twice_is_cleaning_once() -> None:
    """What is clean stays as it is: 2,000 random texts, full of brackets, accents and white space."""
    rng = random.Random(11)
    for _ in range(2000):
        text = "".join(rng.choices("<<>>/ab \n\t\r\u0301\u0338\u00e9\u00b2\u2028", k=rng.randrange(14)))
        once = clean_text(text)
        expect_equal(clean_text(once), once, what=f"clean_text of its own result, for {text!r}")


@pytest.mark.task("clean-text")
@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("a <b <i> c> d", "a c> d"),
        ("1 <2 and 3> 2", "1 <2 and 3> 2"),
        ("x <y", "x <y"),
        ("<é> </ b> <!-- c --> <_d>", "<é> </ b> <!-- c --> <_d>"),
        ("one\x0btwo\x1cthree\x85four\u2029five", "one\ntwo\nthree\nfour\nfive"),
        ("R&amp;D, “quoted”", "R&amp;D, “quoted”"),
        ("\n\none\x0c\x0c\x0ctwo\u2028three\u00a0\u3000four", "one\n\ntwo\nthree four"),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", "한글"),
    ],
)
def test_clean_text_at_its_edges(raw: str, wanted: str) -> None:
    """Brackets that are no tag, every kind of line and of white space, letters in pieces."""
    expect_equal(clean_text(raw), wanted, what=f"clean_text({raw!r})")


# ------------------------------------------------------------------------------------------------------- the filters


@pytest.mark.task("text-filters")
@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("el", "Καλημέρα κόσμε"),
        ("ar", "مرحبا بالعالم"),
        ("he", "שלום עולם"),
        ("hi", "नमस्ते दुनिया"),
        ("ko", "안녕하세요 세계"),
        ("zh", "你好，世界"),
        ("de", "Grüße aus Köln"),
    ],
)
def test_language_filter_knows_scripts(language: str, text: str) -> None:
    """Each language is recognised by its own script, and taken for no other."""
    expect_equal(LanguageFilter(language).keep(text), True, what=f"LanguageFilter({language!r}).keep({text!r})")
    expect_equal(LanguageFilter("ru").keep(text), False, what=f'LanguageFilter("ru").keep({text!r})')


@pytest.mark.task("text-filters")
def test_filters_at_their_bounds() -> None:
    """Ratios are compared exactly: 3 of 10 is not more than 0.3, and 7 of 10 not less than 0.7."""
    with expect_raises(ValueError, what='LanguageFilter("tlh")', match="tlh"):
        LanguageFilter("tlh")
    three_of_ten = "a b c d e f g a b c"
    expect_equal(
        RepetitionFilter(n=1, max_ratio=0.3).keep(three_of_ten),
        True,
        what="3 of 10 words repeated, at 0.3 (1 - 7 / 10 is 0.30000000000000004)",
    )
    expect_equal(RepetitionFilter(n=1, max_ratio=0.29).keep(three_of_ten), False, what="3 of 10 words, at 0.29")
    expect_equal(RepetitionFilter(n=1, max_ratio=0.3).keep("So so SO sO"), True, what="words that differ in their case")
    expect_equal(LanguageFilter(min_ratio=0.7).keep("abcdefgЖЖЖ"), True, what="7 of 10 letters Latin, at 0.7")
    expect_equal(QualityFilter(min_words=1, max_symbol_ratio=0.3).keep("abcdefg+++"), True, what="3 of 10 symbols")
    expect_equal(QualityFilter(min_words=1, max_symbol_ratio=0.29).keep("abcdefg+++"), False, what="3 of 10, at 0.29")


@pytest.mark.task("text-filters")
def test_filters_by_default() -> None:
    """The defaults: no bounds of length, five words and 10 % symbols, 90 % Latin letters, 30 % repeated 5-grams."""
    nine = "abcdefghiЖ"
    answers = {
        "a million characters": LengthFilter().keep("a" * 1_000_000),
        "four words": QualityFilter().keep("four words are few"),
        "1 symbol in 10 characters": QualityFilter().keep("a b c defg hi +"),
        "9 of 10 letters Latin": LanguageFilter().keep(nine),
        "8 of 10 letters Latin": LanguageFilter().keep("abcdefghЖЖ"),
        "one word 6 times": RepetitionFilter().keep("so " * 6),
        "four words, all the same": RepetitionFilter().keep("so so so so"),
    }
    wanted = dict(zip(answers, [True, False, True, True, False, False, True]))
    expect_equal(answers, wanted, what="what the filters keep with their defaults")


# --------------------------------------------------------------------------------------------------- exact duplicates


@pytest.mark.task("exact-duplicates")
def test_deduplicator_does_not_keep_texts() -> None:
    """Memory grows by a digest for each text, not by the text."""

    def remember(count: int) -> None:
        d = Deduplicator()
        for i in range(count):
            d.add(f"{i:04}" * 2_000)

    expect_growth(
        remember,
        [8, 64],
        at_most=0.4,
        measure="memory",
        what="remembering n texts of 8,000 characters",
        mistake="texts-kept",
    )


@pytest.mark.task("exact-duplicates")
def test_deduplicator_among_many_texts() -> None:
    """Of 200,000 different texts each is new: with four bytes for a digest, about five of them would not be."""
    d = Deduplicator()
    new = sum(d.add(f"{i * i} is the square of {i}") for i in range(200_000))
    expect_equal(new, 200_000, what="how many of 200,000 different texts are new", mistake="digest-short")


@pytest.mark.task("exact-duplicates")
def test_deduplicator_does_not_lean_on_the_built_in_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Different texts are different, also where the built-in hash is the same for all of them."""
    monkeypatch.setattr("builtins.hash", lambda thing: 7)
    d = Deduplicator()
    answers = [d.add("one"), d.add("two"), d.is_duplicate("three")]
    monkeypatch.undo()
    expect_equal(answers, [True, True, False], what="add of two texts and is_duplicate of a third, all different")


@pytest.mark.task("exact-duplicates")
def test_normal_form_of_any_text() -> None:
    """The form has single spaces only, and equal texts stay equal whatever their case."""
    rng = random.Random(12)
    for _ in range(300):
        text = "".join(rng.choices("aAßÄ ﬁİ\n\t\u00a0²ж", k=rng.randrange(12)))
        form = normalize_for_comparison(text)
        expect_equal(form, " ".join(form.split()), what=f"normalize_for_comparison({text!r}), its white space")
        twin = f"  {text}\n"
        expect_equal(normalize_for_comparison(twin), form, what=f"normalize_for_comparison({twin!r})")


# ---------------------------------------------------------------------------------------------------- near duplicates


def words(count: int, *, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(count)]


def changed(text: list[str], places: range, *, seed: int) -> list[str]:
    new = words(len(places), seed=seed)
    return [new[places.index(i)] if i in places else word for i, word in enumerate(text)]


@pytest.mark.task("near-duplicates")
def test_each_estimate_is_within_five_deviations() -> None:
    """Each estimate lies within 5 · √(J (1 - J) / K) of the similarity of the sets of shingles."""
    for count in range(0, 60, 4):
        near = NearDuplicates(shingle_words=2, num_hashes=200, bands=20, seed=count)
        a = words(60, seed=300 + count)
        b = changed(a, range(count), seed=400 + count)
        one, two = set(pairwise(a)), set(pairwise(b))
        truth = len(one & two) / len(one | two)
        expect_close(
            near.similarity(" ".join(a), " ".join(b)),
            truth,
            rtol=0,
            atol=5 * math.sqrt(truth * (1 - truth) / 200) + 1e-9,
            what=f"the similarity of two texts of 60 words, {count} of which differ, by 200 hash functions",
        )


@pytest.mark.task("near-duplicates")
def test_seed_chooses_the_hash_functions() -> None:
    """The same seed gives the same signature, another one another."""
    text = " ".join(words(30, seed=5))
    one, same, other = (NearDuplicates(seed=s).signature(text).tolist() for s in (1, 1, 2))
    expect_equal(same, one, what="the signature by another object with the same seed")
    expect(one != other, "They are equal.", what="the signatures by seeds 1 and 2")


@pytest.mark.task("near-duplicates")
def test_hash_functions_are_the_given_ones() -> None:
    """Every hash function, undone, leads back to the same 64-bit number: that of the text's only shingle."""
    near, bits = NearDuplicates(num_hashes=8, bands=2), 0
    inverses = [pow(int(m), -1, 2**64) for m in near.multipliers]
    for word in words(64, seed=10):
        numbers = near.signature(word).tolist()
        undone = {(s - int(b)) * i % 2**64 for s, b, i in zip(numbers, near.offsets, inverses)}
        expect_equal(len(undone), 1, what=f"how many numbers x give the signature of {word!r}, with K = 8")
        bits |= undone.pop()
    expect_equal(bits.bit_count(), 64, what="how many of the 64 bits of x are ever used, in 64 texts")


@pytest.mark.task("near-duplicates")
def test_all_texts_of_a_bucket_are_compared() -> None:
    """Three texts meet in the bands of one of them, whichever comes first: each is known again."""
    near = NearDuplicates(num_hashes=2, bands=2)
    draws = ((u, v, near.signature(u), near.signature(v)) for u in words(40, seed=11) for v in words(40, seed=12))
    u, v = next((u, v) for u, v, one, two in draws if one[0] < two[0] and one[1] > two[1])
    for texts in ([u, v, f"{u} {v}"], [f"{u} {v}", u, v]):
        near = NearDuplicates(threshold=1.0, shingle_words=1, num_hashes=2, bands=2)
        answers = [near.add(t) for t in texts] + [near.is_duplicate(t) for t in texts]
        expect_equal(
            answers, [True] * 6, what=f"add, and then is_duplicate, of {texts}, with K = 2, 2 bands, threshold 1"
        )


@pytest.mark.task("near-duplicates")
def test_a_near_duplicate_is_not_remembered() -> None:
    """Texts that drift step by step are compared with the one that was kept, not with those that were dropped."""
    near = NearDuplicates(threshold=0.5, shingle_words=1, num_hashes=512, bands=128)
    first = words(100, seed=6)
    second = changed(first, range(25), seed=7)
    third = changed(second, range(25, 50), seed=8)
    answers = [near.add(" ".join(t)) for t in (first, second, third)]
    expect_equal(
        answers,
        [True, False, True],
        what="add of a text, of one with similarity 0.6 to it, and of one with 0.6 to the second and 0.33 to the first",
        lookalikes={"dropped-remembered": [True, False, False]},
    )


@pytest.mark.task("near-duplicates")
def test_a_text_is_not_compared_with_all_others() -> None:
    """With 16 times as many unrelated texts in memory, asking takes no more steps."""
    question = " ".join(words(30, seed=9))

    def prepare(count: int) -> NearDuplicates:
        near = NearDuplicates(shingle_words=2)
        for i in range(count):
            near.add(" ".join(words(8, seed=1000 + i)))
        return near

    expect_growth(
        lambda near: near.is_duplicate(question),
        [30, 120, 480],
        at_most=0.25,
        prepare=prepare,
        what="asking about a text when n others are known",
        mistake="compared-with-all",
    )


@pytest.mark.task("near-duplicates")
def test_threshold_belongs_to_the_duplicates() -> None:
    """At threshold 1 the same text is still a duplicate, whatever its case and spaces."""
    near = NearDuplicates(threshold=1.0)
    answers = [near.add("It was a dark and stormy night."), near.add("it was a DARK and\nstormy night.")]
    expect_equal(answers, [True, False], what="add of a text and of the same text in another case, at threshold 1")


# ----------------------------------------------------------------------------------------------------------- Pipeline


@pytest.mark.task("pipeline")
def test_pipeline_of_real_parts() -> None:
    """All parts of this lesson together, on a small corpus."""
    story = " ".join(words(40, seed=13))
    texts = [
        f"<p>{story}</p>",
        story.upper(),
        " ".join(changed(story.split(), range(1), seed=14)),
        "short",
        "buy now " * 20,
        "Это предложение написано совсем другими буквами.",
        "A second text that everybody would like to keep.",
    ]
    pipeline = Pipeline(
        deduplicators=[Deduplicator(), NearDuplicates(threshold=0.6)],
        filters=[QualityFilter(), RepetitionFilter(n=2), LanguageFilter()],
    )
    expect_equal(list(pipeline.process(texts)), [story, texts[6]], what="the texts that are kept")
    wanted = {
        "read": 7,
        "Deduplicator": 1,
        "NearDuplicates": 1,
        "QualityFilter": 1,
        "RepetitionFilter": 1,
        "LanguageFilter": 1,
        "kept": 2,
    }
    expect_equal(dict(pipeline.counts), wanted, what="the counts of the pipeline")


@pytest.mark.task("pipeline")
def test_pipeline_without_parts() -> None:
    """Without parts a pipeline cleans; without cleaning it changes nothing."""
    texts = ["<b>one</b>", "", "one"]
    expect_equal(list(Pipeline().process(texts)), ["one", "", "one"], what="Pipeline().process")
    expect_equal(list(Pipeline(clean=None).process(iter(texts))), texts, what="Pipeline(clean=None).process")
    expect_equal(list(Pipeline().process([])), [], what="Pipeline().process of no texts")


# ------------------------------------------------------------------------------------------------------------ packing


@pytest.mark.task("packing")
def test_packing_in_pieces() -> None:
    """Packings put one behind the other are the packing of all documents; any sequence of ids is a document."""
    rng = random.Random(15)
    documents = [[rng.randrange(1, 60) for _ in range(rng.randrange(6))] for _ in range(30)]
    whole: list[int] = []
    for document in documents:
        whole += [*document, 77] if document else []
    pieces = [pack_documents(documents[i : i + 7], eos_token_id=77) for i in range(0, 30, 7)]
    expect_tokens(torch.cat(pieces).tolist(), whole, what="30 documents, packed seven by seven")
    mixed = pack_documents((d for d in [(3, 4), range(5, 7)]), eos_token_id=77)
    expect_tokens(mixed.tolist(), [3, 4, 77, 5, 6, 77], what="a tuple and a range, out of a generator, packed")


@pytest.mark.task("packing")
def test_packing_refuses_a_second_eos() -> None:
    """A document that contains eos would end twice: that is an error, which says where."""
    with expect_raises(ValueError, what="document 1 of 3 contains eos", match="1", mistake="eos-twice"):
        pack_documents([[5, 6], [7, 2], [8]], eos_token_id=2)
    with expect_raises(ValueError, what="document 0 begins with eos", match="0", mistake="eos-twice"):
        pack_documents([[2, 5]], eos_token_id=2)


class Watched:
    """A corpus that writes down which parts of it are read, and has nothing but a length and slices."""

    def __init__(self, tokens: np.ndarray) -> None:
        self._tokens = tokens
        self.read: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop, _ = part.indices(len(self._tokens))
        self.read.append((start, stop))
        return self._tokens[part]


@pytest.mark.task("packing")
def test_a_window_reads_its_own_slice_only() -> None:
    """Making a dataset reads nothing, and a window reads its T tokens: the corpus may be larger than memory."""
    corpus = Watched(np.arange(40, dtype=np.uint16))
    with diagnosing("corpus-read-whole", TypeError, ValueError, AttributeError):
        dataset = PretrainDataset(corpus, seq_length=7)
        window = dataset[3]["input_ids"]
    expect_tokens(window.tolist(), list(range(21, 28)), what="window 3")
    expect(
        sum(stop - start for start, stop in corpus.read) <= 16,
        f"These parts were read: {corpus.read}.",
        what="what making a dataset of 40 tokens, and taking window 3 of 7 tokens, reads",
        expected="7 tokens, for each of input_ids and labels at most",
        mistake="corpus-read-whole",
    )


@pytest.mark.task("packing")
def test_a_corpus_in_a_file(tmp_path: Path) -> None:
    """Ids from a file that is mapped into memory, in 16 bits without sign, become int64 without a change."""
    tokens = np.array([65535, 0, 32768, 5, 40000, 1, 9, 65534, 3], dtype=np.uint16)
    tokens.tofile(tmp_path / "train.bin")
    dataset = PretrainDataset(np.memmap(tmp_path / "train.bin", dtype=np.uint16, mode="r"), seq_length=4)
    windows = [dataset[i] for i in range(2)]
    for name in ("input_ids", "labels"):
        expect_close(
            torch.stack([w[name] for w in windows]),
            torch.tensor([[65535, 0, 32768, 5], [40000, 1, 9, 65534]]),
            what=f"{name} of both windows",
        )
    windows[0]["labels"][0] = -100
    expect_equal(int(dataset[0]["labels"][0]), 65535, what="a window, after an earlier copy of it was changed")


@pytest.mark.task("packing")
def test_small_numbers_of_windows() -> None:
    """There are orders of no window and of one; a window must have two tokens."""
    expect_equal(epoch_order(0, seed=1, epoch=0).tolist(), [], what="the order of no windows")
    expect_equal(epoch_order(1, seed=1, epoch=0).tolist(), [0], what="the order of one window")
    with expect_raises(ValueError, what="PretrainDataset with seq_length=1"):
        PretrainDataset(torch.arange(9), seq_length=1)
    order = epoch_order(3, seed=1, epoch=0)
    found = [PretrainDataset(torch.arange(9), seq_length=3)[i]["input_ids"][0].item() // 3 for i in order]
    expect_equal(found, order.tolist(), what="the windows found with the numbers of epoch_order")


@pytest.mark.task("packing")
def test_no_seed_shares_its_orders_with_another() -> None:
    """A sum such as 1000 · seed + epoch, or seed + 1000 · epoch, would give far epochs of two seeds one order."""
    first, zero = epoch_order(40, seed=1, epoch=0).tolist(), epoch_order(40, seed=0, epoch=1).tolist()
    for far in (10, 100, 1000, 1024, 10_000):
        late = epoch_order(40, seed=0, epoch=far).tolist()
        expect(late != first, "They are equal.", what=f"seed 0 in epoch {far}, and seed 1 in epoch 0")
        high = epoch_order(40, seed=far, epoch=0).tolist()
        expect(high != zero, "They are equal.", what=f"seed {far} in epoch 0, and seed 0 in epoch 1")


@pytest.mark.task("packing")
@pytest.mark.parametrize("which", ["seed", "epoch"])
def test_all_orders_are_equally_likely(which: str) -> None:
    """Over 1,200 seeds, and over 1,200 epochs, each of the six orders of three windows comes equally often."""
    names = {(a, b, 3 - a - b): a * 2 + (b > 3 - a - b) for a in range(3) for b in range(3) if a != b}
    found = []
    for i in range(1200):
        order = epoch_order(3, **({"seed": i, "epoch": 5} if which == "seed" else {"seed": 5, "epoch": i}))
        found.append(names[tuple(order.tolist())])
    expect_distribution(torch.tensor(found), torch.full((6,), 1 / 6), what=f"the order of three windows, over {which}s")


# ------------------------------------------------------------------------------------------------ document boundaries


def documents_of(row: list[int], eos: int) -> list[tuple[int, int]]:
    """For each token, the number of its document and its place in it, counted one by one."""
    out, document, place = [], 0, 0
    for token in row:
        out.append((document, place))
        place += 1
        if token == eos:
            document, place = document + 1, 0
    return out


@pytest.mark.task("document-boundaries")
def test_boundaries_of_random_rows() -> None:
    """Positions and masks of random rows, with several eos in a row and at both ends, as counted one by one."""
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        B, T = 2 + seed % 3, 1 + seed
        rows = torch.randint(4, 7, (B, T), generator=generator)  # eos is 5
        kept = rows.clone()
        counted = [documents_of(row, 5) for row in rows.tolist()]
        expect_close(
            document_positions(rows, eos_token_id=5),
            torch.tensor([[place for _, place in row] for row in counted]),
            what=f"positions of {rows.tolist()}, eos 5",
        )
        number = [[document for document, _ in row] for row in counted]
        wanted = [[[[row[q] == row[k] and k <= q for k in range(T)] for q in range(T)]] for row in number]
        expect_close(document_mask(rows, eos_token_id=5), torch.tensor(wanted), what=f"mask of {rows.tolist()}, eos 5")
        expect_equal(rows.tolist(), kept.tolist(), what="the ids afterwards")


@pytest.mark.task("document-boundaries")
def test_packed_documents_do_not_see_each_other() -> None:
    """With positions and mask, attention over a packed row gives each document what it gets when it is alone."""
    table = torch.randn(9, 6, generator=torch.Generator().manual_seed(16), dtype=torch.float64)
    places = torch.randn(9, 6, generator=torch.Generator().manual_seed(17), dtype=torch.float64)

    def attend(ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        h = table[ids] + places[positions]  # (B, T, 6)
        scores = h @ (2.0 * h.roll(1, -1)).transpose(1, 2)
        return scores.masked_fill(~mask[:, 0], -math.inf).softmax(-1) @ h

    documents = [[5, 6, 7, 0], [8, 0], [4, 4, 1, 3, 0]]
    row = torch.tensor([[t for document in documents for t in document]] * 2)
    packed = attend(row, document_positions(row, eos_token_id=0), document_mask(row, eos_token_id=0))
    alone = []
    for document in documents:
        T = len(document)
        causal = torch.ones(T, T, dtype=torch.bool).tril()[None, None]
        alone.append(attend(torch.tensor([document]), torch.arange(T)[None], causal)[0])
    expect_close(
        packed, torch.cat(alone).expand(2, -1, -1), rtol=1e-9, atol=1e-12, what="attention over three packed documents"
    )


# ------------------------------------------------------------------------------------------------------ cross-entropy


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def targets(labels: Tensor, V: int, smoothing: float, *, others: bool = False) -> Tensor:
    """The distributions that the answers are, in float64; `others`: the share of ε goes to the wrong classes only."""
    onehot = torch.zeros(*labels.shape, V, dtype=torch.float64)
    for place in np.ndindex(*labels.shape):
        if labels[place] != -100:
            onehot[place][labels[place]] = 1
    if others:
        return (1 - smoothing) * onehot + smoothing / (V - 1) * (1 - onehot)
    return (1 - smoothing) * onehot + smoothing / V


def expected_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0, *, others: bool = False) -> Tensor:
    """The cross-entropy between targets and predictions at each place, in float64; 0 where the label is ignored."""
    z = logits.double()
    log_p = z - z.amax(-1, keepdim=True)
    log_p = log_p - log_p.exp().sum(-1, keepdim=True).log()
    losses = -(targets(labels, z.shape[-1], smoothing, others=others) * log_p).sum(-1)
    return torch.where(labels == -100, 0.0, losses)


LABELS = torch.tensor([[4, -100, 0, 6, 2], [-100, -100, 3, -100, -100]])


@pytest.mark.task("cross-entropy")
@pytest.mark.parametrize("smoothing", [0.08, 0.5, 1.0])
def test_label_smoothing(smoothing: float) -> None:
    """With smoothing ε every token gets ε / V of the target, the right one too; ignored places stay out."""
    logits = draw(2, 5, 7, seed=21, scale=3.0)
    losses = expected_loss(logits, LABELS, smoothing)
    lookalikes = {
        "smoothing-to-others": lambda: (expected_loss(logits, LABELS, smoothing, others=True).sum() / 5).float(),
    }
    what = f"the mean loss with label_smoothing={smoothing}"
    loss = cross_entropy(logits, LABELS, label_smoothing=smoothing)
    expect_close(loss, (losses.sum() / 5).float(), what=what, lookalikes=lookalikes)
    none = cross_entropy(logits, LABELS, label_smoothing=smoothing, reduction="none")
    expect_close(none, losses.float(), what=f"the losses with label_smoothing={smoothing} and no reduction")


@pytest.mark.task("cross-entropy")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_loss_of_16_bit_logits(dtype: torch.dtype) -> None:
    """16-bit logits are computed, and the loss given back, in float32: right to a thousandth."""
    logits = draw(3, 11, 300, seed=22, scale=2.0).to(dtype)
    labels = torch.randint(0, 300, (3, 11), generator=torch.Generator().manual_seed(23))
    expect_close(
        cross_entropy(logits, labels),
        expected_loss(logits, labels).mean().float(),
        atol=1e-4,
        what=f"the mean loss of {dtype} logits",
        mistake="half-precision",
    )
    expect_close(
        cross_entropy(torch.tensor([[60000.0, -60000.0]]).half(), torch.tensor([1])),
        torch.tensor(119968.0),
        rtol=1e-3,
        what="the loss of float16 logits (60000, -60000), label 1",
    )


@pytest.mark.task("cross-entropy")
def test_loss_stays_in_float64() -> None:
    """float64 logits give a float64 loss, right to twelve digits; nothing is modified."""
    logits, labels = draw(2, 5, 7, seed=24, scale=3.0).double(), LABELS.clone()
    with expect_unchanged(logits, what="the logits"), expect_unchanged(labels, what="the labels"):
        loss = cross_entropy(logits, labels)
    expect_close(loss, expected_loss(logits, LABELS).sum() / 5, rtol=1e-12, atol=0, what="the loss of float64 logits")


@pytest.mark.task("cross-entropy")
def test_loss_of_logits_that_are_not_contiguous() -> None:
    """Logits and labels may be transposed views, as they are after slicing off the last token."""
    logits, labels = draw(5, 2, 7, seed=25).transpose(0, 1), LABELS.T.contiguous().T
    with diagnosing("view-of-a-view", RuntimeError, match="view"):
        loss = cross_entropy(logits[:, :-1], labels[:, 1:])
    wanted = expected_loss(logits[:, :-1], labels[:, 1:])
    expect_close(loss, (wanted.sum() / 4).float(), what="the loss of transposed and cut logits")


@pytest.mark.task("cross-entropy")
def test_gradient_of_the_loss() -> None:
    """The gradient with smoothing, for every reduction, as by finite differences."""
    logits = draw(2, 5, 7, seed=26).double()
    for reduction in ("mean", "sum", "none"):
        expect_gradient(
            lambda z, how=reduction: cross_entropy(z, LABELS, label_smoothing=0.2, reduction=how),
            [logits],
            what=f'the loss with label_smoothing=0.2 and reduction="{reduction}"',
            names=["logits"],
        )


@pytest.mark.task("cross-entropy")
def test_loss_of_random_batches() -> None:
    """Batches of many shapes and scales, with a third of the labels ignored, by every reduction."""
    for seed in range(25):
        rng = random.Random(seed)
        shape = (rng.randrange(1, 5), rng.randrange(1, 6)) if seed % 3 else (rng.randrange(1, 9),)
        V = rng.randrange(1, 12)
        logits = draw(*shape, V, seed=seed, scale=10.0 ** rng.randrange(-1, 3))
        generator = torch.Generator().manual_seed(seed + 50)
        labels = torch.randint(0, V, shape, generator=generator)
        labels[torch.rand(shape, generator=generator) < 0.33] = -100
        losses = expected_loss(logits, labels)
        count = max(1, int((labels != -100).sum()))
        wanted = {"mean": losses.sum() / count, "sum": losses.sum(), "none": losses}
        for reduction, value in wanted.items():
            expect_close(
                cross_entropy(logits, labels, reduction=reduction),
                value.float(),
                atol=1e-4,
                what=f'the loss of logits {tuple(logits.shape)} with reduction="{reduction}"',
            )


@pytest.mark.task("cross-entropy")
def test_loss_counts_what_is_left() -> None:
    """Padding a batch changes nothing, and doubling it changes nothing either."""
    logits, labels = draw(2, 5, 7, seed=27), LABELS
    loss = cross_entropy(logits, labels)
    padded = torch.cat([logits, draw(2, 4, 7, seed=28)], 1), torch.cat([labels, torch.full((2, 4), -100)], 1)
    twice = torch.cat([logits, logits]), torch.cat([labels, labels])
    wanted = (expected_loss(logits, labels).sum() / 5).float()
    expect_close(loss, wanted, what="the mean loss")
    expect_close(cross_entropy(*padded), wanted, what="the mean loss with four more ignored places in each row")
    expect_close(cross_entropy(*twice), wanted, what="the mean loss of the batch and its copy")


@pytest.mark.task("cross-entropy")
@pytest.mark.integration
def test_your_causal_lm_on_your_windows() -> None:
    """Your windows through your model: its own loss is cross_entropy of logits and labels that are shifted once."""
    from intro2llm.model.causal_lm import CausalLM
    from intro2llm.model.config import ModelConfig

    config = ModelConfig(
        vocab_size=19, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3
    )
    model = CausalLM(config)
    rng = random.Random(29)
    packed = pack_documents([[rng.randrange(1, 19) for _ in range(9)] for _ in range(6)], eos_token_id=0)
    dataset = PretrainDataset(packed, seq_length=8)
    windows = [dataset[int(i)] for i in epoch_order(len(dataset), seed=1, epoch=0)[:3]]
    batch = {name: torch.stack([w[name] for w in windows]) for name in ("input_ids", "labels")}
    with torch.no_grad():
        output = model(**batch)
    logits, labels = output.logits[:, :-1], batch["labels"][:, 1:]
    expect_close(cross_entropy(logits, labels), expected_loss(logits, labels).mean().float(), what="cross_entropy")
    expect_close(
        output.loss,
        expected_loss(logits, labels).mean().float(),
        what="the loss of your CausalLM on three of your windows",
    )


# --------------------------------------------------------------------------------------------------------- perplexity


@pytest.mark.task("perplexity")
def test_perplexity_at_its_edges() -> None:
    """Nothing to grade gives 1; certain and right gives 1; ignore_index is respected; 16 bits give float32."""
    logits = draw(4, 7, seed=31)
    expect_close(perplexity(logits, torch.full((4,), -100)), torch.tensor(1.0), what="the perplexity of no predictions")
    expect_close(
        perplexity(torch.eye(7)[:4] * 200, torch.arange(4)), torch.tensor(1.0), what="perplexity when always right"
    )
    labels = torch.tensor([3, 5, 3, 1])
    wanted = expected_loss(logits[[1, 3]], labels[[1, 3]]).mean().exp().float()
    expect_close(perplexity(logits, labels, ignore_index=3), wanted, what="the perplexity with ignore_index=3")
    half = logits.bfloat16()
    wanted = expected_loss(half, labels).mean().exp().float()
    expect_close(perplexity(half, labels), wanted, atol=1e-3, what="the perplexity of bfloat16 logits")


@pytest.mark.task("perplexity")
def test_bits_per_byte_of_one_text_under_two_tokenizers() -> None:
    """A loss per token that differs only because tokens are longer gives the same bits per byte."""
    short, long = bits_per_byte(1.2, 6000, 9000), bits_per_byte(2.4, 3000, 9000)
    expect_close([short, long], [0.8 / math.log(2)] * 2, what="1.2 nats over 6,000 tokens, 2.4 nats over 3,000 tokens")


# --------------------------------------------------------------------------------------------------- PerplexityFilter


@pytest.mark.task("perplexity-filter")
def test_each_text_is_scored_once() -> None:
    """The sample is not scored again, and a text is scored once for each decision: scores are expensive."""
    asked: list[str] = []

    def score(text: str) -> float:
        asked.append(text)
        return float(len(text))

    sample = [9.0, 3.0, 4.0, 5.0, 8.0, 2.0]
    f = PerplexityFilter(score, sample, threshold=2.0)  # median 4.5, MAD 2.0: reach 5.93
    answers = {text: f.keep(text) for text in ("", "a" * 10, "a" * 11)}
    expect_equal(asked, ["", "a" * 10, "a" * 11], what="the texts that were scored")
    expect_equal(list(answers.values()), [True, True, False], what="keep of texts with the scores 0, 10 and 11")
    why = f.reason("a" * 30)
    expect(isinstance(why, str) and why, f"It is {why!r}.", what="the reason against an outlier", expected="words")


@pytest.mark.task("perplexity-filter")
def test_sample_is_not_changed() -> None:
    """The sample keeps its order, whatever the medians need."""
    sample = [3.0, 1.0, 2.0]
    f = PerplexityFilter(float, sample, threshold=1.0)
    kept = [f.keep(t) for t in ("2", "3.4", "3.6", "0.6", "0.4")]
    expect_equal(kept, [True, True, False, True, False], what="keep with median 2 and MAD 1 at threshold 1")
    expect_equal(sample, [3.0, 1.0, 2.0], what="the sample afterwards")
