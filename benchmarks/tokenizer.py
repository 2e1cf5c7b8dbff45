"""Byte-level BPE: training and encoding by the reference, against the Rust library `tokenizers`, in CPU time.

Two corpora of 5 MB, in documents of about 5 KB: English, the lessons' own paragraphs in a random order, with few
different words; and made-up words, of which tens of thousands are different, so that a tokenizer cannot live on what it
remembers. Equal merges and equal ids are asserted. For context, on a text small enough: byte-pair encoding as it is
explained, which counts all pairs anew for every merge and remembers nothing (the way of minbpe).
"""

from __future__ import annotations

import os
import random
import sys
from itertools import accumulate
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"  # one thread each; read when `tokenizers` starts its pool

from _paired import Call, compare, compare_speeds
from _reference import bind_reference

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
SIZE, VOCAB_SIZE = 5_000_000, 4096
SMALL, SMALL_VOCAB_SIZE = 60_000, 600
TRAINING_BAR, ENCODING_BAR = 1.1, 2.5
ROUNDS = 7
Documents = list[str]


def main() -> int:
    bind_reference()
    met = True
    for name, documents in {"English": english(), "made-up words": made_up_words()}.items():
        met &= measure(name, documents)
    return 0 if met else 1


def measure(name: str, documents: Documents) -> bool:
    from intro2llm.recipes import peers
    from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer

    def train(documents: Documents = documents, vocab_size: int = VOCAB_SIZE) -> ByteLevelTokenizer:
        tokenizer = ByteLevelTokenizer()
        tokenizer.train(documents, vocab_size)
        return tokenizer

    def train_theirs() -> peers.Merges:
        return peers.train_by_library(documents, specials, VOCAB_SIZE)

    def encode(tokenizer: ByteLevelTokenizer) -> list[list[int]]:
        return [tokenizer.encode(document) for document in documents]

    def encode_cold() -> list[list[int]]:
        return encode(ByteLevelTokenizer(vocab, merges))

    def encode_theirs() -> list[list[int]]:
        tokenizer = peers.library_tokenizer(vocab, merges)
        return [tokenizer.encode(document).ids for document in documents]

    trained = train()
    vocab, merges, specials = trained.vocab, trained.merges, list(trained.special_tokens.values())
    distinct = len({pretoken for document in documents for pretoken in trained._pretokenize(document)})
    megabytes = sum(len(document.encode()) for document in documents) / 1e6
    print(f"{name}: {megabytes:.1f} MB, {distinct:,} different pretokens, {len(vocab):,} entries", flush=True)
    if train_theirs() != merges:
        raise SystemExit("the merges are not those of tokenizers: nothing to compare")
    if encode_theirs() != encode(trained):
        raise SystemExit("the ids are not those of tokenizers: nothing to compare")
    ours, theirs = Call("  training", train), Call("tokenizers", train_theirs)
    met = compare(ours, theirs, bar=TRAINING_BAR, rounds=ROUNDS, judged="cpu")
    met &= compare_speeds(
        Call("  encoding by tokenizers", encode_theirs),
        Call("  ours, cold", encode_cold),
        Call("  ours, warm", lambda: encode(trained)),
        amount=megabytes,
        unit="MB",
        bars={"  ours, cold": ENCODING_BAR},
        rounds=ROUNDS,
        judged="cpu",
    )

    small = "\n".join(documents)[:SMALL]
    start = [*specials, *trained.alphabet([])]

    def recount() -> peers.Merges:
        return peers.train_by_recount([small], trained._pretokenize, trained.symbols, start, SMALL_VOCAB_SIZE)

    def search() -> list[int]:
        return peers.encode_by_search(small, trained._pretokenize, trained.symbols, merges, vocab)

    if recount() != train([small], SMALL_VOCAB_SIZE).merges or search() != trained.encode(small):
        raise SystemExit("the recount gives other merges or ids: nothing to compare")
    for peer, function in (
        (Call(f"  training by recount, {SMALL // 1000} KB", recount), lambda: train([small], SMALL_VOCAB_SIZE)),
        (
            Call(f"  encoding by search, {SMALL // 1000} KB", search),
            lambda: ByteLevelTokenizer(vocab, merges).encode(small),
        ),
    ):
        compare_speeds(peer, Call("  ours", function), amount=SMALL / 1e6, unit="MB", bars={}, rounds=3, judged="cpu")
    return met


def english() -> Documents:
    """The paragraphs of all lessons, drawn with replacement."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(LESSONS.rglob("README.md"))]
    paragraphs = [paragraph for text in texts for paragraph in text.split("\n\n")]
    return documents_of(paragraphs, [1.0] * len(paragraphs), separator="\n\n")


def made_up_words() -> Documents:
    """Words of one to four syllables; the r-th most frequent word occurs about 1/r as often as the first."""
    generator = random.Random(0)
    onsets, rimes = ["", *"bdfgklmnprst", "st", "tr", "ch"], [*"aeiou", "an", "er", "in", "on", "ing", "al"]
    syllables = [onset + rime for onset in onsets for rime in rimes]
    words = list(dict.fromkeys("".join(generator.choices(syllables, k=generator.randint(1, 4))) for _ in range(80_000)))
    return documents_of(words, [1 / (rank + 3) ** 0.9 for rank in range(len(words))], separator=" ")


def documents_of(pieces: list[str], weights: list[float], *, separator: str) -> Documents:
    """Draw pieces until the corpus is SIZE characters long, and a document whenever 5,000 have come together."""
    generator, cumulative = random.Random(1), list(accumulate(weights))
    documents: Documents = []
    while sum(map(len, documents)) < SIZE:
        document: list[str] = []
        while sum(map(len, document)) < 5000:
            document += generator.choices(pieces, cum_weights=cumulative, k=20)
        documents.append(separator.join(document))
    return documents


if __name__ == "__main__":
    sys.exit(main())
