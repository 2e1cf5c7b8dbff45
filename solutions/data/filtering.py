"""From raw texts to texts worth reading: cleaning, filters, exact and near duplicates, and the pipeline of all three.

Everything here works on one text at a time, in the order in which texts come, so that a corpus never has to fit into
memory. Nothing is random: the same texts give the same result on every machine.
"""

import hashlib
import math
import re
import statistics
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

COMMON_PUNCTUATION = frozenset(".,;:!?'\"()-–—…‘’“”«»¿¡·。，、；：！？（）「」『』《》")
"""The marks of running text, which QualityFilter takes for ordinary."""

SCRIPTS = {
    "en": "LATIN",
    "de": "LATIN",
    "fr": "LATIN",
    "es": "LATIN",
    "el": "GREEK",
    "ru": "CYRILLIC",
    "ar": "ARABIC",
    "he": "HEBREW",
    "hi": "DEVANAGARI",
    "ko": "HANGUL",
    "zh": "CJK",
}
"""The script in which each language is written: how the Unicode names of its letters begin."""


def clean_text(text: str) -> str:
    """Bring a text into a regular form, without changing what it says. Four steps, in this order:

    1. Unicode normal form NFC: a letter and its accent become one character where there is one. (Not NFKC, which would
       turn "x²" into "x2".)
    2. Each HTML tag becomes one space. A tag is "<", perhaps "/", one of a–z or A–Z directly behind it, and all that
       follows up to the next ">", which may be lines away: "</p>", "<br/>", '<a href="x">'. In "a < b and c > d" there
       is none.
    3. Each line (as `str.splitlines` cuts them): every run of white space becomes one space, and none is left at either
       end. Lines are joined by "\\n".
    4. Two or more empty lines in a row become one; at the start and at the end of the text none is left.

    Cleaning twice is the same as cleaning once.

    Example: ``clean_text("<p>One  line.</p>\\r\\n \\n\\n\\nAnother")`` is ``"One line.\\n\\nAnother"``.
    """
    text = unicodedata.normalize("NFC", text)
    head, end, tail = text.rpartition(">")  # no tag ends in the tail; searching it would cost quadratic time
    text = re.sub(r"</?[A-Za-z][^>]*>", " ", head + end) + tail
    text = "\n".join(" ".join(line.split()) for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


class TextFilter:
    """What every filter is: something that finds a reason against a text, or none."""

    def reason(self, text: str) -> str | None:
        """Why `text` is rejected, in a few words for people (never an empty string); None if it is kept."""
        raise NotImplementedError

    def keep(self, text: str) -> bool:
        """Whether `text` is kept."""
        return self.reason(text) is None


class LengthFilter(TextFilter):
    """Keep texts of `min_length` to `max_length` characters, both included. A character is what `len` counts."""

    def __init__(self, *, min_length: int = 0, max_length: float = math.inf) -> None:
        self.min_length = min_length
        self.max_length = max_length

    def reason(self, text: str) -> str | None:
        """See the class, and `TextFilter.reason`."""
        if self.min_length <= len(text) <= self.max_length:
            return None
        return f"{len(text)} characters"


class QualityFilter(TextFilter):
    """Keep texts that have enough words and not too many symbols. Both must hold.

    Words are what `text.split()` finds: at least `min_words` of them. A symbol is a character that is not white space,
    neither a letter, a mark nor a number in any script (its `unicodedata.category` begins with none of L, M, N), and
    not in `COMMON_PUNCTUATION`. Their share among the characters that are not white space is at most
    `max_symbol_ratio`. A text that is empty, or white space only, is rejected.
    """

    def __init__(self, *, min_words: int = 5, max_symbol_ratio: float = 0.1) -> None:
        self.min_words = min_words
        self.max_symbol_ratio = max_symbol_ratio

    def reason(self, text: str) -> str | None:
        """See the class, and `TextFilter.reason`."""
        words = text.split()
        if not words or len(words) < self.min_words:
            return f"{len(words)} words"
        characters = "".join(words)
        symbols = sum(unicodedata.category(c)[0] not in "LMN" and c not in COMMON_PUNCTUATION for c in characters)
        ratio = symbols / len(characters)
        return None if ratio <= self.max_symbol_ratio else f"{ratio:.0%} symbols"


class LanguageFilter(TextFilter):
    """Keep texts that are written in the script of one language: a cheap stand-in for telling the language itself.

    Of all letters (`str.isalpha`), at least `min_ratio` must be of that script: those whose `unicodedata.name` begins
    with `SCRIPTS[language]`. Whatever is not a letter does not count, for or against. A text without any letter is
    rejected.

    Raises:
        ValueError: `language` is not in `SCRIPTS`. The message contains it.
    """

    def __init__(self, language: str = "en", *, min_ratio: float = 0.9) -> None:
        if language not in SCRIPTS:
            raise ValueError(f"unknown language {language!r}: one of {', '.join(SCRIPTS)} is needed")
        self.script = SCRIPTS[language]
        self.min_ratio = min_ratio

    def reason(self, text: str) -> str | None:
        """See the class, and `TextFilter.reason`."""
        letters = [c for c in text if c.isalpha()]
        if not letters:
            return "no letters"
        ratio = sum(unicodedata.name(c, "").startswith(self.script) for c in letters) / len(letters)
        return None if ratio >= self.min_ratio else f"{ratio:.0%} {self.script.lower()} letters"


class RepetitionFilter(TextFilter):
    """Keep texts that do not say the same thing again and again.

    The n-grams of a text are all runs of `n` consecutive words (`text.split()`, as they stand), one beginning at each
    word that has n - 1 words behind it. (n-grams - distinct n-grams) / n-grams is the share that repeats an earlier
    one; it is at most `max_ratio`. A text with fewer than `n` words has no n-grams and is kept.

    Source: a simplification of the repetition rules of Gopher (Rae et al., arXiv 2112.11446, appendix A.1.1), which
    count characters and have a limit for each n.
    """

    def __init__(self, *, n: int = 5, max_ratio: float = 0.3) -> None:
        self.n = n
        self.max_ratio = max_ratio

    def reason(self, text: str) -> str | None:
        """See the class, and `TextFilter.reason`."""
        words = text.split()
        ngrams = [tuple(words[i : i + self.n]) for i in range(len(words) - self.n + 1)]
        if not ngrams:
            return None
        ratio = (len(ngrams) - len(set(ngrams))) / len(ngrams)
        return None if ratio <= self.max_ratio else f"{ratio:.0%} of the {self.n}-grams are repeated"


class PerplexityFilter(TextFilter):
    """Keep texts that a model finds neither far harder nor far easier than the others of the corpus.

    With m the median of `scores`, and MAD the median of |score - m| over `scores`, a text is kept if

        |score(text) - m| ≤ threshold · MAD / 0.6745

    both sides included. (0.6745 · σ is the MAD of normally distributed numbers with standard deviation σ, so
    `threshold` counts standard deviations, but of a kind that outliers cannot inflate.) A text whose score is NaN or
    infinite is rejected.

    Source: the modified z-score of Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993.

    Args:
        score: gives a text's score, once per text: the logarithm of its perplexity, such as nats per token or bits per
            byte. Perplexities themselves are too skewed for this rule.
        scores: those of a sample of the corpus; one or more finite numbers.

    Raises:
        ValueError: `scores` is empty.
    """

    def __init__(self, score: Callable[[str], float], scores: Sequence[float], *, threshold: float = 3.5) -> None:
        if len(scores) == 0:
            raise ValueError("scores is empty: without a sample nothing is an outlier")
        self.score = score
        self.center = statistics.median(scores)
        mad = statistics.median(abs(s - self.center) for s in scores)
        self.reach = threshold * mad / 0.6745

    def reason(self, text: str) -> str | None:
        """See the class, and `TextFilter.reason`."""
        score = self.score(text)
        if abs(score - self.center) <= self.reach:
            return None
        return f"score {score:.3f}, usual is {self.center:.3f} ± {self.reach:.3f}"


def normalize_for_comparison(text: str) -> str:
    """The form in which texts are compared: NFKC, then `str.casefold`, then every run of white space one space, and
    none at either end. It may lose what a reader would miss; it is never what the model reads.

    Example: ``normalize_for_comparison(" Ｈello\\nWORLD ")`` is ``"hello world"``.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Deduplicator:
    """Remembers texts, and knows one again: the same text, after `normalize_for_comparison`.

    It keeps a digest of 16 bytes or more for each distinct text, not the text itself: two different texts must not be
    taken for the same one, not even among billions.
    """

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def is_duplicate(self, text: str) -> bool:
        """Whether `text` was added before. Asking adds nothing."""
        return self._digest(text) in self._seen

    def add(self, text: str) -> bool:
        """Remember `text`. True if it was new, False if it was a duplicate."""
        new = not self.is_duplicate(text)
        self._seen.add(self._digest(text))
        return new

    def _digest(self, text: str) -> bytes:
        key = normalize_for_comparison(text).encode("utf-8", errors="surrogatepass")
        return hashlib.blake2b(key, digest_size=16).digest()


class NearDuplicates:
    """Remembers texts, and knows those again of which only little was changed: MinHash, with bands.

    Two texts are as similar as their sets of shingles: J = |A ∩ B| / |A ∪ B|, the Jaccard similarity. A signature of
    K = `num_hashes` numbers stands for the set: the smallest value that each of K hash functions takes on its shingles.
    For one hash function, the smallest value of A equals that of B with probability J. So the share of the K places at
    which two signatures agree is an unbiased estimate of J, with standard deviation √(J (1 - J) / K).

    So that a text is not compared with all others, signatures are cut into `bands` bands of K / bands numbers, and only
    texts that agree in at least one whole band are compared: those of similarity J with probability
    1 - (1 - J^(K / bands))^bands.

    Sources: Broder, "On the Resemblance and Containment of Documents", 1997; Leskovec, Rajaraman and Ullman, "Mining of
    Massive Datasets", chapter 3.

    Args:
        threshold: the estimated similarity from which on a text counts as a near duplicate, the bound included.
        shingle_words: how many consecutive words make a shingle.
        num_hashes: K.
        bands: a divisor of K.
        seed: chooses the K hash functions. Same seed, same signatures, on every machine and in every process.

    Raises:
        ValueError: `bands` does not divide `num_hashes`.
    """

    def __init__(
        self,
        *,
        threshold: float = 0.8,
        shingle_words: int = 5,
        num_hashes: int = 128,
        bands: int = 32,
        seed: int = 0,
    ) -> None:
        if num_hashes % bands:
            raise ValueError(f"bands is {bands}: it must divide num_hashes, {num_hashes}")
        self.threshold = threshold
        self.shingle_words = shingle_words
        self.bands = bands
        random = np.random.default_rng(seed)
        # Hash function k takes the 64-bit number x to (multipliers[k] · x + offsets[k]) mod 2⁶⁴.
        self.multipliers = random.integers(2**64, size=num_hashes, dtype=np.uint64) | np.uint64(1)  # odd
        self.offsets = random.integers(2**64, size=num_hashes, dtype=np.uint64)
        self.signatures: list[np.ndarray] = []
        self.buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)

    def shingles(self, text: str) -> set[str]:
        """All runs of `shingle_words` consecutive words of `normalize_for_comparison(text)`, each joined by one space.

        A text with fewer words has one shingle: all its words (so an empty text has the shingle "").
        """
        n, words = self.shingle_words, normalize_for_comparison(text).split()
        return {" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}

    def signature(self, text: str) -> np.ndarray:
        """For each of the K hash functions, the smallest value that it takes on the shingles of `text`: (K,), uint64.

        A shingle first becomes a 64-bit number x, by a hash that is the same in every process (not the built-in
        `hash`); then hash function k takes x to (multipliers[k] · x + offsets[k]) mod 2⁶⁴.
        """
        digests = b"".join(
            hashlib.blake2b(shingle.encode("utf-8", errors="surrogatepass"), digest_size=8).digest()
            for shingle in self.shingles(text)
        )
        x = np.frombuffer(digests, dtype="<u8")  # (S,), one number per shingle
        return (self.multipliers[:, None] * x + self.offsets[:, None]).min(axis=1)  # arithmetic of uint64 is mod 2⁶⁴

    def similarity(self, a: str, b: str) -> float:
        """The estimated Jaccard similarity of two texts, from 0 to 1. Nothing is remembered."""
        return self._agreement(self.signature(a), self.signature(b))

    def is_duplicate(self, text: str) -> bool:
        """Whether `text` agrees with an added text in a whole band, and is estimated to be as similar as `threshold` or
        more. Asking adds nothing."""
        return self._is_known(self.signature(text))

    def add(self, text: str) -> bool:
        """True if `text` was new: then it is remembered. False if it was a near duplicate: then it is not."""
        signature = self.signature(text)
        if self._is_known(signature):
            return False
        for key in self._bands(signature):
            self.buckets[key].append(len(self.signatures))
        self.signatures.append(signature)
        return True

    def _agreement(self, a: np.ndarray, b: np.ndarray) -> float:
        return float((a == b).mean())

    def _bands(self, signature: np.ndarray) -> list[tuple[int, bytes]]:
        return [(i, band.tobytes()) for i, band in enumerate(np.split(signature, self.bands))]

    def _is_known(self, signature: np.ndarray) -> bool:
        candidates = {i for key in self._bands(signature) for i in self.buckets.get(key, ())}
        return any(self._agreement(signature, self.signatures[i]) >= self.threshold for i in candidates)


class Pipeline:
    """Clean, then deduplicate, then filter.

    Args:
        clean: applied to every text first; what follows sees, and what is kept is, the cleaned text. None: no cleaning.
        deduplicators: objects with `add(text) -> bool` (True = new), in order. The first that knows the text drops it.
        filters: in order. The first that finds a reason drops it. A text is kept if none does.

    Attributes:
        counts: how many texts there were ("read"), how many each part dropped (under the name of its class, such as
            "Deduplicator" or "LengthFilter"), and how many were kept ("kept"). It goes on counting over several calls.
    """

    def __init__(
        self,
        *,
        clean: Callable[[str], str] | None = clean_text,
        deduplicators: Sequence[Deduplicator | NearDuplicates] = (),
        filters: Sequence[TextFilter] = (),
    ) -> None:
        self.clean = clean
        self.deduplicators = list(deduplicators)
        self.filters = list(filters)
        self.counts: Counter[str] = Counter()

    def process(self, texts: Iterable[str]) -> Iterator[str]:
        """Give back the texts that are kept, cleaned, in their order, each as soon as it was read: no text is fetched
        from `texts` before the one before it was dealt with. A text that one part drops is not shown to the next."""
        for raw in texts:
            self.counts["read"] += 1
            text = raw if self.clean is None else self.clean(raw)
            dropped_by = self._first_objection(text)
            self.counts[dropped_by or "kept"] += 1
            if dropped_by is None:
                yield text

    def _first_objection(self, text: str) -> str | None:
        for deduplicator in self.deduplicators:
            if not deduplicator.add(text):
                return type(deduplicator).__name__
        for text_filter in self.filters:
            if not text_filter.keep(text):
                return type(text_filter).__name__
        return None
