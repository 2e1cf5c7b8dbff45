"""A corpus as tokens on disk: tokenised once, then mapped into memory, so that its size does not matter. Given.

    train.bin       the packed training documents: ids of 16 or 32 bits, little-endian, nothing else
    held_out.bin    the documents for evaluation, in the same way
    data.json       how many tokens and bytes, their hashes, and what they were made from

The folder appears complete or not at all. The ids come from your tokenizer and the packing is yours (lesson 06).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from intro2llm.data.corpus import Document, Source
from intro2llm.data.pretrain_dataset import pack_documents
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer
from intro2llm.utils.errors import CheckpointError
from intro2llm.utils.new_folder import new_folder

FORMAT = 1
TRAIN, HELD_OUT, INFO = "train.bin", "held_out.bin", "data.json"
Progress = Callable[[float, float | None], None]
"""Called with what is done and how much there is: tokens, or bytes of the source; None where nobody knows."""


@dataclass(frozen=True)
class TokenData:
    """A tokenised corpus. Both rows of tokens are mapped from their files: what is not looked at is not in memory."""

    train: np.ndarray
    """(N,), the packed training documents."""
    held_out: np.ndarray
    """(M,), the packed documents for evaluation."""
    train_bytes: int
    """How many bytes of text (UTF-8) the training tokens stand for."""
    sha256: str
    """Of the file with the training tokens."""
    held_out_documents: list[tuple[int, float | None]]
    """For each of the documents for evaluation: its bytes, and its nats by the source's own probabilities, if known."""

    @property
    def bytes_per_token(self) -> float:
        return self.train_bytes / max(1, len(self.train))


def write_tokens(
    folder: Path,
    source: Source,
    tokenizer: BaseTokenizer,
    *,
    limit: int | None = None,
    on_progress: Progress = lambda done, total: None,
) -> None:
    """Tokenise a source into a folder; one that is there, of the same name, gives way.

    Args:
        limit: end as soon as there are this many training tokens; None takes all there is.

    Raises:
        CorpusError: the source cannot be read.
        ValueError: the tokenizer gives no ids for a text, or one outside its vocabulary.
    """
    dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
    with (
        new_folder(folder, replace=True) as partial,
        (partial / TRAIN).open("wb") as train,
        (partial / HELD_OUT).open("wb") as held_out,
    ):
        files = {False: _TokenFile(train, dtype, tokenizer), True: _TokenFile(held_out, dtype, tokenizer)}
        read, said = 0, time.monotonic()
        for document in source.documents():
            read += files[document.held_out].add(document)
            if time.monotonic() - said > 0.2:
                said = time.monotonic()
                tokens = files[False].tokens
                by_tokens = limit is not None and (source.size is None or tokens / limit > read / source.size)
                on_progress(*((tokens, limit) if by_tokens else (read, source.size)))
            if limit is not None and files[False].tokens >= limit:
                break
        info = {
            "format": FORMAT,
            "made_from": made_from(source, tokenizer, limit),
            "dtype": dtype.str,
            "train": files[False].described(),
            "held_out": files[True].described() | {"documents": files[True].documents},
        }
        (partial / INFO).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")


def read_tokens(folder: Path, *, expected: str | None = None) -> TokenData:
    """Map what `write_tokens` wrote, after making sure that it is whole.

    Args:
        expected: what it must have been made from, by `made_from`; None takes it as it is.

    Raises:
        CheckpointError: something is missing or damaged, or was made from something else.
    """
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
        if info["format"] != FORMAT:
            raise CheckpointError(f"{folder / INFO}: has the format {info['format']}; this version reads {FORMAT}.")
        if expected is not None and info["made_from"] != expected:
            raise CheckpointError(f"{folder}: was made from other text, or with another tokenizer.")
        dtype = np.dtype(info["dtype"])
        train, held_out = (
            _mapped(folder / name, dtype, info[key]) for name, key in ((TRAIN, "train"), (HELD_OUT, "held_out"))
        )
        documents = [(int(size), None if nats is None else float(nats)) for size, nats in info["held_out"]["documents"]]
        return TokenData(train, held_out, int(info["train"]["bytes"]), info["train"]["sha256"], documents)
    except OSError as error:
        raise CheckpointError(f"{error.filename or folder}: cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{folder / INFO}: is damaged.") from error


def made_from(source: Source, tokenizer: BaseTokenizer, limit: int | None) -> str:
    """What the tokens depend on, in one line."""
    return f"{source.fingerprint()}; tokenizer {tokenizer_hash(tokenizer)}; limit {limit}"


def tokenizer_hash(tokenizer: BaseTokenizer) -> str:
    """A hash of the vocabulary, the special tokens and the merges."""
    parts = [type(tokenizer).__name__, tokenizer.vocab, tokenizer.special_tokens, getattr(tokenizer, "merges", None)]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


class _TokenFile:
    """One row of tokens, written document by document."""

    def __init__(self, file: BinaryIO, dtype: np.dtype, tokenizer: BaseTokenizer) -> None:
        self._file = file
        self._dtype = dtype
        self._tokenizer = tokenizer
        self._digest = hashlib.sha256()
        self.tokens = self.bytes = self.count = 0
        self.documents: list[tuple[int, float | None]] = []
        """Of those that are held out."""

    def add(self, document: Document) -> int:
        """Write a document, and return its bytes."""
        ids = self._tokenizer.encode(document.text)
        packed = pack_documents([ids], eos_token_id=self._tokenizer.eos_token_id).numpy()
        last = self._tokenizer.vocab_size - 1
        if len(packed) == 0 or not 0 <= packed.min() <= packed.max() <= last:
            raise ValueError(f"the tokenizer gave no ids, or one that is not in 0 … {last}, for {document.text[:40]!r}")
        data = packed.astype(self._dtype).tobytes()
        self._file.write(data)
        self._digest.update(data)
        size = len(document.text.encode())
        self.tokens += len(packed)
        self.bytes += size
        self.count += 1
        if document.held_out:
            self.documents.append((size, document.nats))
        return size

    def described(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "bytes": self.bytes, "count": self.count, "sha256": self._digest.hexdigest()}


def _mapped(path: Path, dtype: np.dtype, described: dict[str, Any]) -> np.ndarray:
    size = described["tokens"] * dtype.itemsize
    if path.stat().st_size != size:
        raise CheckpointError(f"{path}: has {path.stat().st_size} bytes; it was written with {size}.")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != described["sha256"]:
            raise CheckpointError(f"{path}: is damaged: its content is not what was written.")
    if size == 0:  # nothing cannot be mapped
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, mode="r")
