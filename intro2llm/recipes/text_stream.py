"""From token ids to text, as they come: never half a character, and not beyond where the text is to end. Given."""

from intro2llm.tokenizer.base_tokenizer import BaseTokenizer


class TextStream:
    """Ids to text, one at a time. A character whose bytes are not all there yet is held back."""

    def __init__(self, tokenizer: BaseTokenizer, until: str = "") -> None:
        self.tokenizer = tokenizer
        self.until = until
        self.over = False
        """Whether `until` has come. It is not part of the text, and neither is what follows."""
        self.text = ""
        """What has been given out."""
        self._ids: list[int] = []
        self._used = 0  # characters of decode(_ids) that are in `text` or `_held`
        self._held = ""  # what may be the beginning of `until`

    def add(self, token_id: int) -> str:
        """The text that is certain now, and was not given out before: often one token's, sometimes none."""
        self._ids.append(token_id)
        decoded = self._decode()
        certain = decoded.removesuffix("\ufffd")  # half a character decodes to this; the next token may complete it
        new, self._used = certain[self._used :], max(self._used, len(certain))
        if certain == decoded and len(self._ids) > 16:  # what is long past need not be decoded again with every token
            self._ids = self._ids[-1:]
            self._used = len(self._decode())
        return self._give(new)

    def end(self) -> str:
        """What was held back to the end."""
        piece = "" if self.over else self._held + self._decode()[self._used :]
        self._ids, self._used, self._held = [], 0, ""
        self.text += piece
        return piece

    def _decode(self) -> str:
        text = self.tokenizer.decode(self._ids)
        if not isinstance(text, str):
            name = type(self.tokenizer).__name__
            raise TypeError(f"{name}.decode gives {type(text).__name__} for {self._ids}; it must give a str")
        return text

    def _give(self, new: str) -> str:
        piece, self._held = self._held + new, ""
        if self.until and self.until in piece:
            piece, self.over = piece.partition(self.until)[0], True
        else:
            begun = max(n for n in range(len(self.until) or 1) if piece.endswith(self.until[:n]))
            piece, self._held = piece[: len(piece) - begun], piece[len(piece) - begun :]
        self.text += piece
        return piece
