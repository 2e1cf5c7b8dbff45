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
        raise NotImplementedError("lesson01 · BPETokenizer._pretokenize")

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
        raise NotImplementedError("lesson01 · BPETokenizer.train")

    def apply_merges(self, symbols: list[str]) -> list[str]:
        """Merge the symbols of one pretoken as far as the merge list goes. The argument is left as it is.

        Again and again: of all adjacent pairs take the one that stands earliest in `merges` (where it occurs several
        times, the leftmost) and replace the two by their concatenation. Stop when no adjacent pair is in `merges`.
        Neither the place of a pair in the text nor the length of the joined token counts: only its rank.

        Example: with merges [("b", "c"), ("a", "b")], ["a", "b", "c"] → ["a", "bc"].
        """
        raise NotImplementedError("lesson01 · BPETokenizer.apply_merges")

    def save(self, directory: str | Path) -> None:
        """Write what `BaseTokenizer.save` writes, and merges.json: a JSON list of the pairs, [left, right] each.

        A token may hold spaces, quotes, line breaks and "#": whatever is written must come back as it was.
        """
        raise NotImplementedError("lesson01 · BPETokenizer.save")

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what `save` wrote: an equal tokenizer with the same merges in the same order."""
        raise NotImplementedError("lesson01 · BPETokenizer.load")
