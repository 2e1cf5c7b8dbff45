"""Byte-level BPE: the symbols are the 256 bytes of UTF-8, so that no text is ever unknown.

Radford et al. (2019), "Language Models are Unsupervised Multitask Learners", §2.2. Training, merging and pretokens are
those of `BPETokenizer`; what changes is what a symbol is. GPT-2, Llama 3 and Qwen use this scheme.
"""

from collections.abc import Iterable, Sequence
from functools import cache

from intro2llm.tokenizer.bpe_tokenizer import BPETokenizer


@cache
def bytes_to_unicode() -> dict[int, str]:
    """GPT-2's reversible map from the 256 bytes to 256 different characters that can be seen.

    A byte whose Latin-1 character can be seen stands for itself: 33–126, 161–172 and 174–255. The other 68 (controls,
    space, 127–160, and 173, the soft hyphen) get the characters from U+0100 on, in the order of the bytes.

    Example: 65 → "A", 0 → "Ā" (U+0100), 10 → "Ċ", 32 → "Ġ", 173 → "Ń", 255 → "ÿ".
    """
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


class ByteLevelTokenizer(BPETokenizer):
    """Byte-pair encoding over UTF-8 bytes, each written as its character in `bytes_to_unicode`.

    Tokens are strings of such characters: " the" is the token "Ġthe". All 256 are in the vocabulary from the start,
    before any training, so every text can be encoded, and ``decode(encode(text)) == text`` for every text.
    """

    def symbols(self, pretoken: str) -> list[str]:
        """The bytes of the pretoken in UTF-8, each as its character.

        Example: "é!" → ["Ã", "©", "!"].
        """
        character = bytes_to_unicode()
        return [character[byte] for byte in pretoken.encode("utf-8")]

    def alphabet(self, pretokens: Iterable[str]) -> list[str]:
        """The characters of all 256 bytes, sorted as characters (so "!" is first and "Ń" last), whatever occurs."""
        return sorted(bytes_to_unicode().values())

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Put the bytes of all tokens together, then read them as UTF-8.

        A token may hold a part of a character only, so the bytes are joined first. What still is not UTF-8 (a model may
        produce anything) becomes U+FFFD, the replacement character; nothing is left out silently, and nothing raises. A
        special token is written as it is spelled.
        """
        byte_of = _unicode_to_bytes()
        special = set(self.special_tokens.values())
        data = b"".join(
            token.encode("utf-8") if token in special else bytes(byte_of[character] for character in token)
            for token in tokens
        )
        return data.decode("utf-8", errors="replace")


@cache
def _unicode_to_bytes() -> dict[str, int]:
    return {character: byte for byte, character in bytes_to_unicode().items()}
