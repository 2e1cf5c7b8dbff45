"""Where the text of a pre-training comes from: documents, one after the other. Given.

    storyworld          the built-in story world, without end
    book.txt            a text file
    FOLDER              every text file in a folder, and in those below it
    texts.jsonl         a JSON object on each line, with its text under "text"
    hub:OWNER/NAME      a data set of the Hugging Face hub, streamed; hub:OWNER/NAME/SPLIT for another than "train"

A source can be gone through again and again. However large it is, only a piece of it is in memory: a file is read in
blocks, and a text longer than PART is cut into several documents. What a text says is text: an end-of-text token that
is spelled out in it ends nothing.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from intro2llm.data.storyworld import stories
from intro2llm.utils.errors import CheckpointError

PART = 1 << 16
"""The longest document, in characters."""
BLOCK = 1 << 18
"""How many bytes of a file are read at once."""
LINE_LIMIT = 1 << 26
"""The longest line of a JSONL file, in bytes."""
HELD_OUT_SHARE = 1 / 20
HELD_OUT_BYTES = 1 << 20
"""Of the user's own text, about this share of the documents is kept for evaluation, until there are so many bytes."""


class CorpusError(CheckpointError):
    """A corpus cannot be read. The message is one line: which file, where in it, and what would do."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text, and which side of the split it is on."""

    text: str
    held_out: bool = False
    """Kept for evaluation: no training window contains it."""
    nats: float | None = None
    """Minus the natural logarithm of its probability, where that is known."""


class Source(Protocol):
    """Documents that can be gone through from the beginning, any number of times, in the same order."""

    @property
    def size(self) -> int | None:
        """About how many bytes of text there are; None where nobody knows, or there is no end."""

    def fingerprint(self) -> str:
        """A short text that changes when the documents would."""

    def documents(self) -> Iterator[Document]: ...


def open_source(name: str, *, seed: int, held_out: int) -> Source:
    """The source that `--data` names.

    Args:
        name: as at the top of this file.
        seed, held_out: of the story world: which training stories, and how many stories for evaluation.

    Raises:
        CorpusError: there is no such file, or it is of no known kind.
    """
    if name == "storyworld":
        return StoryWorld(seed, held_out)
    if name.startswith("hub:"):
        if name == "hub:":
            raise CorpusError("hub: names no data set. Write hub:OWNER/NAME.")
        return HubDataset(name.removeprefix("hub:"))
    path = Path(name).expanduser()
    if path.suffix in (".jsonl", ".ndjson") and path.is_file():
        return JsonLines(path)
    if path.is_file():
        return TextFiles([path], path)
    if path.is_dir():
        return TextFiles(_text_files(path), path)
    raise CorpusError(f"{name}: is no file and no folder. --data takes storyworld, a path, or hub:NAME.")


@dataclass(frozen=True)
class StoryWorld:
    """Stories for evaluation, always the same ones, then training stories without end, by the seed."""

    seed: int
    held_out: int
    size = None

    def fingerprint(self) -> str:
        return f"storyworld, seed {self.seed}, {self.held_out} held out"

    def documents(self) -> Iterator[Document]:
        for story in itertools.islice(stories("validation"), self.held_out):
            yield Document(story.text, held_out=True, nats=-story.log_prob)
        for story in stories("train", seed=self.seed):
            yield Document(story.text)


@dataclass(frozen=True)
class TextFiles:
    """Plain text in UTF-8. Line ends of any system become "\\n", and a byte order mark is left out.

    A file is cut into parts at empty lines, or at line ends, or between words, so that some of it can be held out.
    """

    paths: list[Path]
    root: Path

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.paths)

    def fingerprint(self) -> str:
        return _stamp(self.root, self.paths)

    def documents(self) -> Iterator[Document]:
        return _split(part for path in self.paths for part in self._parts(path))

    @staticmethod
    def _parts(path: Path) -> Iterator[str]:
        longest = min(PART, max(1024, path.stat().st_size // 50))  # a short book, too, has parts to hold out
        return cut(read_text(path), longest)


@dataclass(frozen=True)
class JsonLines:
    """JSON objects, one a line. Only "text" is read."""

    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def fingerprint(self) -> str:
        return _stamp(self.path, [self.path])

    def documents(self) -> Iterator[Document]:
        return _split(part for text in self._texts() for part in cut([text], PART))

    def _texts(self) -> Iterator[str]:
        with _opened(self.path) as file:
            for number in itertools.count(1):
                line = file.readline(LINE_LIMIT)
                if not line:
                    return
                if len(line) == LINE_LIMIT:
                    raise CorpusError(f"{self.path}: line {number} is longer than {LINE_LIMIT >> 20} MiB.")
                if not line.strip():
                    continue
                try:
                    text = json.loads(line.decode("utf-8-sig"))["text"]
                except (ValueError, RecursionError):
                    raise CorpusError(f"{self.path}: line {number} is not JSON in UTF-8.") from None
                except (KeyError, TypeError, IndexError):
                    raise CorpusError(f'{self.path}: line {number} is not an object with "text".') from None
                if not isinstance(text, str):
                    raise CorpusError(f'{self.path}: line {number}: "text" is not a string.')
                yield text


@dataclass(frozen=True)
class HubDataset:
    """A data set of the Hugging Face hub, or in a folder that the library `datasets` can load, with a column "text"."""

    name: str
    size = None

    def fingerprint(self) -> str:
        return f"hub:{self.name}"

    def documents(self) -> Iterator[Document]:
        return _split(part for text in self._texts() for part in cut([text], PART))

    def _texts(self) -> Iterator[str]:
        try:
            import datasets
        except ImportError:
            raise CorpusError("hub: needs the library datasets. Type: pip install 'intro2llm[hub]'") from None
        name, split = self.name, "train"
        if not Path(name).is_dir() and name.count("/") == 2:
            name, split = name.rsplit("/", 1)
        try:
            for row in datasets.load_dataset(name, split=split, streaming=True):
                if not isinstance(row.get("text"), str):
                    raise CorpusError(f'hub:{name}: has no column "text"; it has {", ".join(map(str, row))}.')
                yield row["text"]
        except CorpusError:
            raise
        except Exception as error:  # the library has no type of its own for "cannot be reached" and "does not exist"
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            remedy = " Is this machine online?" if "reach" in reason else ""
            raise CorpusError(f"hub:{name}: cannot be loaded: {reason}.{remedy}") from error


def read_text(path: Path) -> Iterator[str]:
    """The text of a file, in pieces.

    Raises:
        CorpusError: it is not text in UTF-8: with the first byte that is not.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset = 0
    with _opened(path) as file:
        while True:
            block = file.read(BLOCK)
            waiting = len(decoder.getstate()[0])  # of a character that the last block cut in two
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                raise _not_text(path, offset - waiting + error.start, error.object[error.start]) from None
            if "\0" in text:
                raise _not_text(path, offset + max(0, block.find(b"\0")), 0)
            if offset == 0:
                text = text.removeprefix("\ufeff")
            if text := newlines.decode(text, final=not block):
                yield text
            if not block:
                return
            offset += len(block)


def cut(pieces: Iterable[str], longest: int) -> Iterator[str]:
    """Cut a text anew, into parts of at most `longest` characters that are together the whole text.

    A part ends behind an empty line, if its second half has one, or behind a line, or a space, or else anywhere.
    Parts of white space only are left out.
    """
    rest = ""
    for piece in itertools.chain(pieces, [""]):
        rest, start = rest + piece, 0
        while len(rest) - start > longest or (not piece and start < len(rest)):
            end = min(start + longest, len(rest))
            if end < len(rest):
                ends = (rest.rfind(mark, start + longest // 2, end) + len(mark) for mark in ("\n\n", "\n", " "))
                end = next((place for place in ends if place > start + longest // 2), end)
            if not rest[start:end].isspace():
                yield rest[start:end]
            start = end
        rest = rest[start:]


def _split(texts: Iterable[str]) -> Iterator[Document]:
    """Hold some documents out, by a hash of their text, so that the same text is never on both sides.

    The first one is for training in any case. If the hash chooses none, the last one is held out, unless it is the
    only one.
    """
    chosen: set[bytes] = set()
    size, waiting, trained = 0, None, 0
    for text in texts:
        data = text.encode("utf-8", "replace")  # JSON can spell half a character
        digest = hashlib.blake2b(data, digest_size=8).digest()
        if digest in chosen:
            continue
        if int.from_bytes(digest, "big") < HELD_OUT_SHARE * 2**64 and size < HELD_OUT_BYTES:
            chosen.add(digest)
            if waiting is not None or trained:
                size += len(data)
                yield Document(data.decode(), held_out=True)
                continue
        if waiting is not None:
            yield Document(waiting)
            trained += 1
        waiting = data.decode()
    if waiting is not None:
        yield Document(waiting, held_out=size == 0 and trained > 0)


def sample(source: Source, size: int, *, on_progress: Callable[[float], None] = lambda done: None) -> Iterator[str]:
    """Training texts of `size` bytes together (the last one may go beyond), from all over the source.

    Args:
        on_progress: called now and then with the share that is done.
    """
    step = max(1, (source.size or 0) // max(1, size))
    taken = 0
    training = (document.text for document in source.documents() if not document.held_out)
    for number, text in enumerate(itertools.islice(training, 0, None, step)):
        if number % 256 == 0:
            on_progress(min(1.0, taken / size))
        yield text
        taken += len(text.encode())
        if taken >= size:
            return


def _text_files(folder: Path) -> list[Path]:
    """The files of a folder that begin as text does, in the order of their names; hidden ones are left out.

    Raises:
        CorpusError: there is none.
    """
    found: list[Path] = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(where, name) for name in sorted(files) if not name.startswith(".")]
    texts = [path for path in found if path.is_file() and _begins_as_text(path)]
    if not texts:
        raise CorpusError(f"{folder}: none of its {len(found)} files is text in UTF-8.")
    return texts


def _begins_as_text(path: Path) -> bool:
    with _opened(path) as file:
        block = file.read(4096)
    try:
        return "\0" not in codecs.getincrementaldecoder("utf-8")().decode(block)
    except UnicodeDecodeError:
        return False


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}.") from error


def _not_text(path: Path, offset: int, byte: int) -> CorpusError:
    return CorpusError(
        f"{path}: is not text in UTF-8: byte {byte:#04x} at offset {offset}. Convert it, or name another file."
    )


def _stamp(root: Path, paths: list[Path]) -> str:
    """Names, sizes and times of files: what tells that they are as they were, without reading them."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        status = path.stat()
        digest.update(
            f"{path.relative_to(root) if path != root else ''}\0{status.st_size}\0{status.st_mtime_ns}\0".encode()
        )
    return f"{root.resolve()}, {digest.hexdigest()}"
