"""Byte-pair encoding: a vocabulary that is learned by joining, again and again, the pair that occurs most often.

Sennrich, Haddow and Birch (2016), "Neural Machine Translation of Rare Words with Subword Units", §3.2. Text is first
cut into *pretokens* (words, mostly); merges never cross their borders. This class works on characters;
`ByteLevelTokenizer` replaces what a symbol is (`symbols`, `alphabet`, `detokenize`) and inherits the algorithm.

Left out on purpose: dropout of merges, a limit to the length of a token, and training in several processes.
"""

import heapq
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self

from intro2llm.tokenizer.base_tokenizer import BaseTokenizer

CACHE_LIMIT = 65_536
"""How many pretokens a tokenizer remembers the ids of."""

PRETOKEN = re.compile(
    r"'(?:s|t|re|ve|m|ll|d)"  # the end of an English contraction
    r"| ?[^\W\d_]+"  # a word, with the space in front of it
    r"| ?\d+"  # a number
    r"| ?(?:[^\s\w]|_)+"  # anything else that can be seen
    r"|\s+(?!\S)"  # white space, except the last one before a pretoken
    r"|\s+"
)


class BPETokenizer(BaseTokenizer):
    """Byte-pair encoding over characters.

    Attributes, beside those of `BaseTokenizer`:
        merges: pairs of tokens in the order in which they were learned; the earlier, the more urgent.
        ranks: pair → its place in `merges`. `set_merges` keeps the two in step.
    """

    def __init__(
        self,
        vocab: Mapping[str, int] | None = None,
        merges: Iterable[Sequence[str]] = (),
        special_tokens: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(vocab, special_tokens)
        self.add_tokens(self.alphabet([]))
        self.set_merges(merges)

    def set_merges(self, merges: Iterable[Sequence[str]]) -> None:
        """Replace the merge list, the ranks that encoding looks up, and forget what was encoded with the old ones."""
        self.merges: list[tuple[str, str]] = [(left, right) for left, right in merges]
        self.ranks: dict[tuple[str, str], int] = {pair: rank for rank, pair in enumerate(self.merges)}
        self._known: dict[str, tuple[int, ...]] = {}

    def symbols(self, pretoken: str) -> list[str]:
        """The smallest units of a pretoken, from which merging starts: here, its characters."""
        return list(pretoken)

    def alphabet(self, pretokens: Iterable[str]) -> list[str]:
        """Every symbol that the vocabulary needs before the first merge, sorted: here, the characters that occur."""
        return sorted({symbol for pretoken in pretokens for symbol in self.symbols(pretoken)})

    def tokenize(self, text: str) -> list[str]:
        """Cut text into tokens: pretokens first, then the merges within each."""
        return [token for pretoken in self._pretokenize(text) for token in self.apply_merges(self.symbols(pretoken))]

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of `tokenize(text)`. Words repeat, so the ids of every pretoken are remembered (up to a limit)."""
        ids: list[int] = []
        id_of, unk = self.vocab.get, self.unk_token_id
        for pretoken in self._pretokenize(text):
            known = self._known.get(pretoken)
            if known is None:
                if len(self._known) >= CACHE_LIMIT:
                    self._known.clear()
                tokens = self.apply_merges(self.symbols(pretoken))
                known = self._known[pretoken] = tuple([id_of(token, unk) for token in tokens])
            ids += known
        return ids

    def _pretokenize(self, text: str) -> list[str]:
        """Cut text into pretokens, losing nothing: their concatenation is `text`, and none is empty.

        At each place the first of these rules that fits takes as many characters as it can:

        1. one of 's 't 're 've 'm 'll 'd, the ends of English contractions;
        2. letters, with one space (U+0020) in front of them if there is one. A letter is what `str.isalnum` accepts and
           `str.isdecimal` does not;
        3. decimal digits (`str.isdecimal`), with one space in front of them if there is one;
        4. other characters that are not white space (`str.isspace`), with one space in front of them if there is one;
        5. white space. If anything else follows, the last character of the run is left for the next pretoken,
           unless it is the only one.

        This is GPT-2's rule (Radford et al. 2019, §2.2), except that ½ and ² go with the letters.

        Example: "I'll take  2 apples!\\n" → ["I", "'ll", " take", " ", " 2", " apples", "!", "\\n"].
        """
        return PRETOKEN.findall(text)

    def train(self, texts: Iterable[str], vocab_size: int, *, min_frequency: int = 2) -> None:
        """Learn the merges from texts, and forget whatever was learned before.

        The vocabulary starts as the special tokens (ids 0, 1, … in the order of `special_tokens`), then `alphabet` of
        the pretokens, in its order. Then, until the vocabulary has `vocab_size` entries: count every adjacent pair of
        symbols within every occurrence of every pretoken; join the most frequent pair wherever it stands (from left to
        right, without overlap); append the pair to the merges, and give the joined string the next id.

        * Of equally frequent pairs the one whose left part has the smaller id comes first, then the smaller right id.
          The result therefore depends on how often each pretoken occurs, not on the order of the texts.
        * A pair that would spell a special token is passed over.
        * Training ends early when no pair is left that occurs `min_frequency` times or more.

        A corpus has far fewer distinct pretokens than occurrences, so each is held once with its count; and a merge
        changes only the pretokens that contain the pair, so only their counts are updated. Counting all of them
        anew for each merge gives the same merges, hundreds of times slower.

        Sets `vocab`, `inverse_vocab`, `merges` and `ranks` (by `set_merges`).

        Args:
            texts: the corpus, any number of strings.
            vocab_size: how many entries the vocabulary is to have, special tokens and alphabet included.
            min_frequency: how often a pair must occur at least.

        Raises:
            ValueError: `vocab_size` is smaller than the special tokens and the alphabet together. The message says how
                many entries are needed, and the tokenizer is left as it was.
        """
        frequency: Counter[str] = Counter()
        for text in texts:
            frequency.update(self._pretokenize(text))
        start = list(dict.fromkeys([*self.special_tokens.values(), *self.alphabet(frequency)]))
        if len(start) > vocab_size:
            raise ValueError(f"vocab_size is {vocab_size}, but the special tokens and the alphabet need {len(start)}")
        self.inverse_vocab = dict(enumerate(start))
        self.vocab = {token: i for i, token in self.inverse_vocab.items()}

        words = ["".join(chr(self.vocab[symbol]) for symbol in self.symbols(pretoken)) for pretoken in frequency]
        pairs = _PairTable(words, list(frequency.values()))
        merges: list[tuple[str, str]] = []
        while len(self.vocab) < vocab_size and (pair := pairs.pop_most_frequent(min_frequency)):
            left, right = self.inverse_vocab[ord(pair[0])], self.inverse_vocab[ord(pair[1])]
            if left + right in self.vocab:
                continue
            i = len(self.vocab)
            self.vocab[left + right], self.inverse_vocab[i] = i, left + right
            merges.append((left, right))
            pairs.merge(pair, chr(i))
        self.set_merges(merges)

    def apply_merges(self, symbols: list[str]) -> list[str]:
        """Merge the symbols of one pretoken as far as the merge list goes. The argument is left as it is.

        Again and again: of all adjacent pairs take the one that stands earliest in `merges` (where it occurs several
        times, the leftmost) and replace the two by their concatenation. Stop when no adjacent pair is in `merges`.
        Neither the place of a pair in the text nor the length of the joined token counts: only its rank.

        Example: with merges [("b", "c"), ("a", "b")], ["a", "b", "c"] → ["a", "bc"].
        """
        tokens = list(symbols)
        rank, never = self.ranks.get, len(self.merges)
        ranks = [rank(pair, never) for pair in pairwise(tokens)]  # ranks[i] is that of tokens[i], tokens[i + 1]
        while ranks and (best := min(ranks)) < never:
            i = ranks.index(best)
            joined = tokens[i] = tokens[i] + tokens.pop(i + 1)
            del ranks[i]
            if i > 0:
                ranks[i - 1] = rank((tokens[i - 1], joined), never)
            if i < len(ranks):
                ranks[i] = rank((joined, tokens[i + 1]), never)
        return tokens

    def save(self, directory: str | Path) -> None:
        """Write what `BaseTokenizer.save` writes, and merges.json: a JSON list of the pairs, [left, right] each.

        A token may hold spaces, quotes, line breaks and "#": whatever is written must come back as it was.
        """
        super().save(directory)
        lines = ",\n".join(json.dumps(pair, ensure_ascii=False) for pair in self.merges)
        (Path(directory) / "merges.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what `save` wrote: an equal tokenizer with the same merges in the same order."""
        plain = super().load(directory)
        merges = json.loads((Path(directory) / "merges.json").read_text(encoding="utf-8"))
        return cls(plain.vocab, merges, plain.special_tokens)


class _PairTable:
    """How often each pair of adjacent symbols occurs in a corpus, kept up to date while pairs are merged.

    A word is held as a string whose characters have the token ids as code points: `str.replace` then merges a pair as
    byte-pair encoding wants it (from left to right, without overlap), and two pairs compare as their ids do.
    """

    def __init__(self, words: list[str], frequencies: list[int]) -> None:
        self.words = words
        self.frequencies = frequencies
        self.counts: dict[str, int] = {}
        self.where: dict[str, tuple[int, ...]] = {}  # pair → the words that have, or once had, it, for each occurrence
        self.heap: list[tuple[int, str]] = []  # (−count, pair)
        where: defaultdict[str, list[int]] = defaultdict(list)
        for number, word in enumerate(words):
            for pair in map("".join, pairwise(word)):
                where[pair].append(number)
        for pair, numbers in where.items():
            self._insert(pair, numbers)

    def _insert(self, pair: str, numbers: list[int]) -> int:
        """Enter a pair that is new, with the words that hold it. Returns its count."""
        count = sum([self.frequencies[number] for number in numbers])
        self.counts[pair] = count
        self.where[pair] = tuple(numbers)  # a tuple of numbers costs the garbage collector nothing, a list does
        heapq.heappush(self.heap, (-count, pair))
        return count

    def pop_most_frequent(self, min_frequency: int) -> str | None:
        """The most frequent pair, of equals the one with the smaller ids; None when it is rarer than `min_frequency`.

        A count in the heap may be too high, because merging other pairs lowers it; such an entry goes back with the
        true count. It is never too low: only pairs with the newest token gain occurrences, and those are just entering.
        """
        while self.heap:
            claimed, pair = heapq.heappop(self.heap)
            count = self.counts[pair]
            if count < max(1, min_frequency):
                continue
            if count == -claimed:
                return pair
            heapq.heappush(self.heap, (-count, pair))
        return None

    def merge(self, pair: str, new: str) -> None:
        """Replace `pair` by the symbol `new` in every word, and correct the counts of its neighbours."""
        left, right = pair[0], pair[1]
        before: defaultdict[str, list[int]] = defaultdict(list)  # symbol → the words in which it stands before `new`
        after: defaultdict[str, list[int]] = defaultdict(list)
        for number in set(self.where.pop(pair)):
            if pair not in self.words[number]:  # another merge took a part of it
                continue
            word = self.words[number] = self.words[number].replace(pair, new)
            at = word.find(new)
            while at >= 0:
                before[word[at - 1 : at]].append(number)  # "" at the start of a word
                after[word[at + 1 : at + 2]].append(number)
                at = word.find(new, at + 1)
        for symbol, numbers in before.items():
            if symbol:  # symbol left right → symbol new; or left right left right → new new
                self.counts[(right if symbol == new else symbol) + left] -= self._insert(symbol + new, numbers)
        for symbol, numbers in after.items():
            if symbol and symbol != new:  # left right symbol → new symbol
                self.counts[right + symbol] -= self._insert(new + symbol, numbers)
        del self.counts[pair]
