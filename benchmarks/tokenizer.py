"""Byte-level BPE: training and encoding by the reference, against the Rust library `tokenizers`, in CPU time.

Two texts of 5 MB: English, the lessons' own paragraphs in a random order, with few different words; and made-up words,
of which tens of thousands are different, so that a tokenizer cannot live on what it remembers. Equal merges and equal
ids are asserted. For context, on a text small enough: byte-pair encoding as it is explained, which counts all pairs
anew for every merge and remembers nothing (the way of minbpe).
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"  # one thread each; read when `tokenizers` starts its pool

from _paired import Call, compare, compare_speeds
from _reference import bind_reference

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
SIZE, VOCAB_SIZE = 5_000_000, 4096
SMALL, SMALL_VOCAB_SIZE = 60_000, 600
TRAINING_BAR, ENCODING_BAR = 1.1, 2.5
ROUNDS = 7


def main() -> int:
    bind_reference()
    met = True
    for name, text in {"English": english(), "made-up words": made_up_words()}.items():
        met &= measure(name, text)
    return 0 if met else 1


def measure(name: str, text: str) -> bool:
    from intro2llm.recipes import peers
    from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer

    def trained(text: str = text, vocab_size: int = VOCAB_SIZE) -> ByteLevelTokenizer:
        tokenizer = ByteLevelTokenizer()
        tokenizer.train([text], vocab_size)
        return tokenizer

    warm = trained()
    vocab, merges, specials = warm.vocab, warm.merges, list(warm.special_tokens.values())
    ids, distinct = warm.encode(text), len(set(warm._pretokenize(text)))
    print(f"{name}: {len(text.encode()) / 1e6:.1f} MB, {distinct:,} different pretokens, {len(vocab):,} entries")
    if peers.train_by_library([text], specials, VOCAB_SIZE) != merges:
        raise SystemExit("the merges are not those of tokenizers: nothing to compare")
    if peers.library_tokenizer(vocab, merges).encode(text).ids != ids:
        raise SystemExit("the ids are not those of tokenizers: nothing to compare")

    met = compare(
        Call("  training", trained),
        Call("tokenizers", lambda: peers.train_by_library([text], specials, VOCAB_SIZE)),
        bar=TRAINING_BAR,
        rounds=ROUNDS,
        judged="cpu",
    )
    met &= compare_speeds(
        Call("  encoding by tokenizers", lambda: peers.library_tokenizer(vocab, merges).encode(text).ids),
        Call("  ours, cold", lambda: ByteLevelTokenizer(vocab, merges).encode(text)),
        Call("  ours, warm", lambda: warm.encode(text)),
        amount=len(text.encode()) / 1e6,
        unit="MB",
        bars={"  ours, cold": ENCODING_BAR},
        rounds=ROUNDS,
        judged="cpu",
    )

    small = text[:SMALL]
    start = [*specials, *warm.alphabet([])]
    few = trained(small, SMALL_VOCAB_SIZE)

    def recount() -> peers.Merges:
        return peers.train_by_recount([small], warm._pretokenize, warm.symbols, start, SMALL_VOCAB_SIZE)

    def search() -> list[int]:
        return peers.encode_by_search(small, warm._pretokenize, warm.symbols, merges, vocab)

    if recount() != few.merges or search() != warm.encode(small):
        raise SystemExit("the recount gives other merges or ids: nothing to compare")
    for peer, ours in {
        Call(f"  training by recount, {SMALL // 1000} KB", recount): lambda: trained(small, SMALL_VOCAB_SIZE),
        Call(f"  encoding by search, {SMALL // 1000} KB", search): lambda: ByteLevelTokenizer(vocab, merges).encode(
            small
        ),
    }.items():
        compare_speeds(peer, Call("  ours", ours), amount=SMALL / 1e6, unit="MB", bars={}, rounds=3, judged="cpu")
    return met


def english() -> str:
    """The paragraphs of all lessons, drawn with replacement."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(LESSONS.rglob("README.md"))]
    paragraphs = [paragraph for text in texts for paragraph in text.split("\n\n")]
    drawn = random.Random(0).choices(paragraphs, k=SIZE // 100)
    return cut("\n\n".join(drawn))


def made_up_words() -> str:
    """Words of one to four syllables; the r-th most frequent word occurs about 1/r as often as the first."""
    generator = random.Random(0)
    onsets, rimes = ["", *"bdfgklmnprst", "st", "tr", "ch"], [*"aeiou", "an", "er", "in", "on", "ing", "al"]
    syllables = [onset + rime for onset in onsets for rime in rimes]
    words = list(dict.fromkeys("".join(generator.choices(syllables, k=generator.randint(1, 4))) for _ in range(80_000)))
    drawn = generator.choices(words, [1 / (rank + 3) ** 0.9 for rank in range(len(words))], k=SIZE // 5)
    return cut(" ".join(drawn))


def cut(text: str) -> str:
    assert len(text) >= SIZE
    return text[:SIZE]


if __name__ == "__main__":
    sys.exit(main())
