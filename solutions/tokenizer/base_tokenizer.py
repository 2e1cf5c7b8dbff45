"""What every tokenizer has: a vocabulary, special tokens, text to ids and back, batches, and a folder to be kept in.

A tokenizer is two maps. Text ↔ tokens (strings) is what the classes differ in; tokens ↔ ids is a dictionary, and lives
here. `BaseTokenizer` is itself the simplest tokenizer of all: its tokens are single characters. `BPETokenizer` and
`ByteLevelTokenizer` replace `tokenize` and `detokenize` and inherit the rest.
"""

import itertools
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch

DEFAULT_SPECIAL_TOKENS = {"pad_token": "<pad>", "eos_token": "<|endoftext|>", "unk_token": "<unk>"}


class BaseTokenizer:
    """A character tokenizer, and the part that all tokenizers share.

    Attributes:
        special_tokens: role → token: `DEFAULT_SPECIAL_TOKENS`, changed and extended by the argument of that name. The
            roles used here are pad_token, eos_token, unk_token and bos_token (which is absent unless it is given); any
            other role names one more special token. Two roles may share one token.
        vocab: token → id. A copy of the argument; special tokens that it lacks are added (see `add_tokens`), in the
            order of `special_tokens`. With an empty vocabulary the three defaults thus get the ids 0, 1 and 2.
        inverse_vocab: id → token, the exact inverse of `vocab` at any time.

    Example: ``BaseTokenizer({"a": 0, "b": 1}).encode("aba")`` is ``[0, 1, 0]``.
    """

    def __init__(self, vocab: Mapping[str, int] | None = None, special_tokens: Mapping[str, str] | None = None) -> None:
        self.special_tokens: dict[str, str] = {**DEFAULT_SPECIAL_TOKENS, **(special_tokens or {})}
        self.vocab: dict[str, int] = dict(vocab or {})
        self.inverse_vocab: dict[int, str] = {i: token for token, i in self.vocab.items()}
        self.add_tokens(self.special_tokens.values())

    def add_tokens(self, tokens: Iterable[str]) -> None:
        """Give each token that is not in the vocabulary yet the smallest id that is free, in the order given."""
        free = (i for i in itertools.count() if i not in self.inverse_vocab)
        for token in tokens:
            if token not in self.vocab:
                i = next(free)
                self.vocab[token], self.inverse_vocab[i] = i, token

    @property
    def vocab_size(self) -> int:
        """How many tokens the vocabulary has, special tokens included."""
        return len(self.vocab)

    @property
    def pad_token(self) -> str:
        """Fills up the shorter rows of a batch."""
        return self.special_tokens["pad_token"]

    @property
    def eos_token(self) -> str:
        """Ends a text."""
        return self.special_tokens["eos_token"]

    @property
    def unk_token(self) -> str:
        """Stands for whatever the vocabulary does not have."""
        return self.special_tokens["unk_token"]

    @property
    def bos_token(self) -> str | None:
        """Begins a text; None unless it was given."""
        return self.special_tokens.get("bos_token")

    @property
    def pad_token_id(self) -> int:
        return self.vocab[self.pad_token]

    @property
    def eos_token_id(self) -> int:
        return self.vocab[self.eos_token]

    @property
    def unk_token_id(self) -> int:
        return self.vocab[self.unk_token]

    @property
    def bos_token_id(self) -> int | None:
        return None if self.bos_token is None else self.vocab[self.bos_token]

    def tokenize(self, text: str) -> list[str]:
        """Cut text into tokens: here, into characters."""
        return list(text)

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Put tokens together again: the inverse of `tokenize`."""
        return "".join(tokens)

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of the tokens that `tokenize` finds. A token that the vocabulary lacks becomes `unk_token_id`.

        Nothing in `text` is a special token here: "<pad>" is five ordinary characters, whoever wrote them.
        """
        return [self.vocab.get(token, self.unk_token_id) for token in self.tokenize(text)]

    def encode(
        self,
        text: str,
        *,
        add_special_tokens: bool = False,
        max_length: int | None = None,
        allowed_special: Collection[str] = frozenset(),
    ) -> list[int]:
        """Text to ids.

        Args:
            text: any string.
            add_special_tokens: put bos in front (if there is a bos token) and eos at the end.
            max_length: keep only the first `max_length` ids, counted after special tokens were added.
            allowed_special: special tokens that are to be recognised in `text`: each occurrence becomes its one id, and
                the text between them is encoded as usual. Where two of them fit, the longer wins. By default none is
                recognised: a user who types "<|endoftext|>" must not be able to end the text.

        Raises:
            ValueError: `allowed_special` names a string that is not a special token.
        """
        if strangers := set(allowed_special).difference(self.special_tokens.values()):
            raise ValueError(
                f"allowed_special holds {sorted(strangers)}, which this tokenizer has no special tokens for"
            )
        ids: list[int] = []
        for part in self._split_at(allowed_special, text):
            ids += [self.vocab[part]] if part in allowed_special else self.encode_ordinary(part)
        if add_special_tokens:
            bos = [] if self.bos_token_id is None else [self.bos_token_id]
            ids = [*bos, *ids, self.eos_token_id]
        return ids[:max_length]

    @staticmethod
    def _split_at(specials: Collection[str], text: str) -> list[str]:
        """Cut `text` before and after each of `specials`, keeping them."""
        if not specials:
            return [text]
        longest_first = sorted(specials, key=len, reverse=True)
        return re.split(f"({'|'.join(map(re.escape, longest_first))})", text)

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """Ids to text, by way of `detokenize`.

        Which tokens are special is decided by id, never by looking for their strings in the text: ordinary text that
        spells "<pad>" comes back whole.

        Args:
            ids: integers, a list or a one-dimensional tensor. An id that the vocabulary lacks counts as `unk_token_id`.
            skip_special_tokens: leave special tokens out; False writes them as they are spelled.
        """
        tokens = [self.inverse_vocab.get(int(i), self.unk_token) for i in ids]
        if skip_special_tokens:
            special = set(self.special_tokens.values())
            tokens = [token for token in tokens if token not in special]
        return self.detokenize(tokens)

    def encode_batch(
        self,
        texts: Sequence[str],
        *,
        padding: bool | Literal["longest", "max_length"] = True,
        max_length: int | None = None,
        truncation: bool = False,
        add_special_tokens: bool = False,
        padding_side: Literal["right", "left"] = "right",
        return_tensors: Literal["pt"] | None = None,
    ) -> dict[str, Any]:
        """Encode several texts and make them equally long.

        Args:
            texts: B strings; B may be 0, which gives two empty lists.
            padding: True or "longest" fills up to the longest row of this batch, "max_length" up to `max_length`, False
                not at all. No row is ever cut by padding.
            max_length: the length to pad to and to truncate to, in tokens. Without `truncation` it cuts nothing.
            truncation: cut every row to `max_length` (after special tokens were added, as in `encode`).
            add_special_tokens: as in `encode`.
            padding_side: where `pad_token_id` is put.
            return_tensors: "pt" gives torch tensors, None lists of lists.

        Returns:
            "input_ids" and "attention_mask", both (B, T), as lists or as int64 tensors. The mask is 1 where a token of
            the text stands and 0 at padding. It describes places, not ids: an eos that ends a text keeps its 1 even
            when pad_token and eos_token are the same.

        Raises:
            ValueError: `truncation` or padding="max_length" without `max_length`; or "pt" for rows of unequal length.
        """
        if max_length is None and (truncation or padding == "max_length"):
            raise ValueError("max_length is needed to truncate, and for padding='max_length'")
        limit = max_length if truncation else None
        rows = [self.encode(text, add_special_tokens=add_special_tokens, max_length=limit) for text in texts]
        masks = [[1] * len(row) for row in rows]
        if padding:
            longest = max(map(len, rows), default=0)
            width = max_length if padding == "max_length" and max_length is not None else longest
            rows = [self._pad(row, width, self.pad_token_id, padding_side) for row in rows]
            masks = [self._pad(mask, width, 0, padding_side) for mask in masks]
        if return_tensors is None:
            return {"input_ids": rows, "attention_mask": masks}
        if len({len(row) for row in rows}) > 1:
            raise ValueError(
                "rows of unequal length do not fit into one tensor: ask for padding, or for truncation as well"
            )
        return {
            "input_ids": torch.tensor(rows, dtype=torch.long),
            "attention_mask": torch.tensor(masks, dtype=torch.long),
        }

    @staticmethod
    def _pad(row: list[int], width: int, value: int, side: str) -> list[int]:
        fill = [value] * (width - len(row))
        return row + fill if side == "right" else fill + row

    def save(self, directory: str | Path) -> None:
        """Write the tokenizer into a folder, which is made if it is missing.

        vocab.json holds `vocab`. tokenizer_config.json holds {"tokenizer_class": the name of the class,
        "special_tokens": `special_tokens`}. Both are JSON, in UTF-8.
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"tokenizer_class": type(self).__name__, "special_tokens": self.special_tokens}
        for name, content in {"vocab.json": self.vocab, "tokenizer_config.json": config}.items():
            (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what `save` wrote: an equal tokenizer, of the class that `load` is called on.

        Raises:
            ValueError: the folder was saved by another class. The message names both.
            FileNotFoundError: there is no such folder, or a file is missing from it.
        """
        folder = Path(directory)
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        if config["tokenizer_class"] != cls.__name__:
            raise ValueError(f"{folder} holds a {config['tokenizer_class']}, not a {cls.__name__}")
        vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        return cls(vocab, special_tokens=config["special_tokens"])
