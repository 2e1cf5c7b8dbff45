"""A published byte-level tokenizer (GPT-2, Llama 3, Qwen) on top of your `ByteLevelTokenizer`. Given.

Merging is the same in all of them, and yours. They differ in how text is cut before merging, and in a few rules around
it, which `TokenizerRules` holds. Cutting needs the `regex` library: Python's `re` has no \\p{L}, "a letter".

`tokenizers` knows the letters of an older Unicode, so characters that were added to it since 2021 may be cut otherwise.
"""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import regex

from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Qwen2's cuts. `transformers` 5 gives them to every Qwen2 model, whatever its tokenizer.json says."""
RULES_FILE = "rules.json"


@dataclass(frozen=True)
class TokenizerRules:
    """What a published tokenizer does beside merging."""

    patterns: tuple[str, ...] = (GPT2_PATTERN,)
    """Regular expressions, one after the other: each cuts every piece so far into its matches and what lies between."""
    nfc: bool = False
    """Whether text is brought into Unicode's composed form first (Qwen): e + ´ becomes é."""
    ignore_merges: bool = False
    """Whether a pretoken that is a token as a whole stays whole, whatever the merges say (Llama 3)."""
    added: tuple[str, ...] = ()
    """Tokens that are found in any text before it is cut, although they are not special."""
    added_normalized: tuple[str, ...] = ()
    """The same, but found after NFC."""
    prefix: tuple[str, ...] = ()
    """Special tokens that `add_special_tokens` puts in front (Llama 3: its bos)."""
    suffix: tuple[str, ...] = ()
    """And at the end."""


class PretrainedTokenizer(ByteLevelTokenizer):
    """Byte-level BPE with the rules of a published tokenizer.

    Special tokens in text are plain text here as everywhere in this package, unless `allowed_special` names them.

    A published vocabulary may lack bytes that its makers never met (SmolLM2's does). They are left out of the text
    before merging, as `tokenizers` does; nothing is added to the vocabulary.
    """

    def __init__(
        self,
        vocab: Mapping[str, int] | None = None,
        merges: Iterable[Sequence[str]] = (),
        special_tokens: Mapping[str, str] | None = None,
        *,
        rules: TokenizerRules | None = None,
    ) -> None:
        super().__init__(vocab, merges, special_tokens)
        self.set_rules(rules or TokenizerRules())

    def set_rules(self, rules: TokenizerRules) -> None:
        """Take over the rules, and forget what was encoded with other ones.

        Raises:
            ValueError: they name a token that the vocabulary lacks.
        """
        named = (*rules.added, *rules.added_normalized, *rules.prefix, *rules.suffix)
        if missing := [token for token in named if token not in self.vocab]:
            raise ValueError(f"the rules name the token {missing[0]!r}, which the vocabulary lacks")
        self.rules = rules
        self._patterns = [regex.compile(pattern) for pattern in rules.patterns]
        self._raw, self._normalized = _any_of(rules.added), _any_of(rules.added_normalized)
        added = {*rules.added, *rules.added_normalized}
        bytes_only = set(super().alphabet([])).issuperset
        self._literal = {token for token in self.vocab if token in added or not bytes_only(token)}
        apart = added.union(self.special_tokens.values())
        self._whole = self.vocab.keys() - apart if rules.ignore_merges else set()
        self.set_merges(self.merges)

    def alphabet(self, pretokens: Iterable[str]) -> list[str]:
        """Those of the 256 bytes that the vocabulary has."""
        vocab = getattr(self, "vocab", {})
        return [byte for byte in super().alphabet(pretokens) if byte in vocab]

    def symbols(self, pretoken: str) -> list[str]:
        """The bytes of the pretoken that the vocabulary has, each as its character."""
        return [byte for byte in super().symbols(pretoken) if byte in self.vocab]

    def _pretokenize(self, text: str) -> list[str]:
        pieces = [text]
        for pattern in self._patterns:
            pieces = [part for piece in pieces for part, _ in split(pattern, piece)]
        return pieces

    def apply_merges(self, symbols: list[str]) -> list[str]:
        """Merge as `BPETokenizer` does, unless the whole is a token and the rules let it stay whole."""
        whole = "".join(symbols)
        return [whole] if whole in self._whole else super().apply_merges(symbols)

    def tokenize(self, text: str) -> list[str]:
        """Cut text into tokens; the added ones first."""
        tokens: list[str] = []
        for part, added in self._parts(text):
            tokens += [part] if added else super().tokenize(part)
        return tokens

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of `tokenize(text)`."""
        ids: list[int] = []
        for part, added in self._parts(text):
            ids += [self.vocab[part]] if added else super().encode_ordinary(part)
        return ids

    def _parts(self, text: str) -> Iterator[tuple[str, bool]]:
        """The text in parts, normalised, and whether each is an added token."""
        for raw, added in split(self._raw, text):
            if added:
                yield raw, True
            else:
                yield from split(self._normalized, unicodedata.normalize("NFC", raw) if self.rules.nfc else raw)

    def encode(
        self,
        text: str,
        *,
        add_special_tokens: bool = False,
        max_length: int | None = None,
        allowed_special: Collection[str] = frozenset(),
    ) -> list[int]:
        """Text to ids. `add_special_tokens` puts around it what the published tokenizer does, not bos and eos."""
        ids = super().encode(text, allowed_special=allowed_special)
        if add_special_tokens:
            around = [[self.vocab[token] for token in tokens] for tokens in (self.rules.prefix, self.rules.suffix)]
            ids = [*around[0], *ids, *around[1]]
        return ids[:max_length]

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Put tokens together. Added tokens are text, not bytes in disguise."""
        as_bytes = super().symbols
        return super().detokenize(["".join(as_bytes(each)) if each in self._literal else each for each in tokens])

    def save(self, directory: str | Path) -> None:
        """Write what `ByteLevelTokenizer.save` writes, and rules.json."""
        super().save(directory)
        text = json.dumps(asdict(self.rules), ensure_ascii=False, indent=1) + "\n"
        (Path(directory) / RULES_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: rules.json holds something else.
        """
        tokenizer = super().load(directory)
        values = json.loads((Path(directory) / RULES_FILE).read_text(encoding="utf-8"))
        try:
            values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
            tokenizer.set_rules(TokenizerRules(**values))
        except (AttributeError, TypeError, regex.error) as error:
            raise ValueError(f"{RULES_FILE} does not hold the rules of a tokenizer: {error}") from error
        return tokenizer


def _any_of(tokens: Collection[str]) -> re.Pattern[str] | None:
    """Finds the leftmost of the tokens; where two begin, the longer."""
    if not tokens:
        return None
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))))


def split(pattern: Any, text: str) -> Iterator[tuple[str, bool]]:
    """The text in parts, none of them empty: what the pattern matches (True), and what lies between (False)."""
    end = 0
    for match in pattern.finditer(text) if pattern else ():
        if match.start() > end:
            yield text[end : match.start()], False
        if match.end() > match.start():
            yield match.group(), True
        end = match.end()
    if end < len(text):
        yield text[end:], False
