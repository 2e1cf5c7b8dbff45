"""Documents out of files, folders and JSON lines: none is lost, none is on both sides, memory stays as it is."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from intro2llm.data import corpus
from intro2llm.data.corpus import BLOCK, PART, CorpusError, Document, cut, open_source, read_text, sample
from intro2llm.data.held_out import HeldOutWindows
from intro2llm.data.pretrain_dataset import PretrainDataset
from intro2llm.data.token_file import made_from, read_tokens, write_tokens
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer
from intro2llm.utils.errors import CheckpointError

WORDS = ["the", "old", "fox", "sees", "a", "river", "and", "señor", "日本", "runs", "away"]


def documents(name: Path | str) -> list[Document]:
    return list(open_source(str(name), seed=0, held_out=3).documents())


def prose(paragraphs: int, seed: int = 0) -> str:
    """Different sentences in paragraphs."""
    chosen = np.random.default_rng(seed).integers(len(WORDS), size=(paragraphs, 30))
    return "\n\n".join(" ".join(WORDS[i] for i in row) + "." for row in chosen) + "\n"


@pytest.fixture
def tokenizer() -> ByteLevelTokenizer:
    tokenizer = ByteLevelTokenizer()
    tokenizer.train([prose(40)], 320)
    return tokenizer


def test_the_parts_of_a_text_are_the_text(tmp_path: Path):
    text = prose(2000)
    (tmp_path / "book.txt").write_text(text, encoding="utf-8")
    found = documents(tmp_path / "book.txt")
    assert "".join(document.text for document in found) == text
    assert all(document.text.endswith("\n\n") for document in found[:-1])  # whole paragraphs
    held_out = sum(len(document.text) for document in found if document.held_out)
    assert 0 < held_out < 0.2 * len(text)


@pytest.mark.parametrize(
    "text",
    ["x" * 5000, "many words " * 700, "line\n" * 900, "ä" * 3001, "a\n\n" + "b" * 99, " \n" * 50 + "end"],
    ids=["one word", "one line", "lines", "two-byte", "short", "white space"],
)
@pytest.mark.parametrize("piece", [1, 7, 1000, 10_000])
def test_cutting_loses_nothing_and_bounds_every_part(text: str, piece: int):
    parts = list(cut((text[i : i + piece] for i in range(0, len(text), piece)), 100))
    assert max(map(len, parts)) <= 100
    assert "".join(parts).replace(" ", "").replace("\n", "") == text.replace(" ", "").replace("\n", "")
    if not any(text[i : i + 50].isspace() for i in range(len(text))):
        assert "".join(parts) == text


def test_a_character_on_the_edge_of_a_block_is_whole(tmp_path: Path):
    text = "x" * (BLOCK - 1) + "€" * BLOCK + "\r\n" * BLOCK
    (tmp_path / "edge.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert "".join(read_text(tmp_path / "edge.txt")) == text.replace("\r\n", "\n")  # and no byte order mark


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9 au lait", "byte 0xe9 at offset 3"),
        (b"x" * (BLOCK + 10) + b"\xff", f"byte 0xff at offset {BLOCK + 10}"),
        (b"x" * (BLOCK - 1) + b"\xe2\x82", f"byte 0xe2 at offset {BLOCK - 1}"),
        (b"\x89PNG\r\n\x1a\n\0\0", "byte 0x89 at offset 0"),
        (b"abc\0def", "byte 0x00 at offset 3"),
        ("text".encode("utf-16"), "byte 0xff at offset 0"),
    ],
    ids=["latin-1", "late", "cut off", "png", "nul", "utf-16"],
)
def test_what_is_not_text_is_refused_with_its_place(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "odd.txt").write_bytes(content)
    with pytest.raises(CorpusError, match=f"odd.txt: is not text in UTF-8: {message}"):
        list(read_text(tmp_path / "odd.txt"))


def test_a_folder_gives_its_texts_and_passes_over_the_rest(tmp_path: Path):
    for name, content in {
        "b.txt": b"second", "a/z.md": b"third\r\n", "a.py": b"first", ".hidden": b"no", ".git/x.txt": b"no",
        "image.png": b"\x89PNG\0", "empty.txt": b"",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert [document.text for document in documents(tmp_path)] == ["first", "second", "third\n"]
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "image.png").write_bytes(b"\x89PNG\0")
    with pytest.raises(CorpusError, match="none of its 1 files is text"):
        documents(tmp_path / "only")


def test_json_lines_give_their_texts(tmp_path: Path):
    texts = ["one\ntwo", "<|endoftext|>", "half \ud83d", "x" * (2 * PART + 5)]
    lines = [json.dumps({"id": 1, "text": text}) for text in texts]
    (tmp_path / "some.jsonl").write_text("\ufeff" + "\n\n".join(lines), encoding="utf-8")
    found = [document.text for document in documents(tmp_path / "some.jsonl")]
    assert "".join(found) == "".join(texts).replace("\ud83d", "?")
    assert found[:3] == ["one\ntwo", "<|endoftext|>", "half ?"]
    assert len(found) == 3 + 3


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"text": "a"', "line 2 is not JSON"),
        ('{"txt": "a"}', 'line 2 is not an object with "text"'),
        ("[1]", 'line 2 is not an object with "text"'),
        ('{"text": 3}', 'line 2: "text" is not a string'),
        ("[" * 100_000, "line 2 is not JSON"),
    ],
    ids=["cut off", "no text", "no object", "no string", "deep"],
)
def test_a_bad_json_line_is_named(tmp_path: Path, line: str, problem: str):
    (tmp_path / "bad.jsonl").write_text(f'{{"text": "fine"}}\n{line}\n')
    with pytest.raises(CorpusError, match=problem):
        documents(tmp_path / "bad.jsonl")


def test_no_text_is_on_both_sides_and_some_is_on_each(tmp_path: Path):
    texts = [f"text number {i % 300}" for i in range(900)]  # each three times
    (tmp_path / "some.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    found = documents(tmp_path / "some.jsonl")
    held_out = {document.text for document in found if document.held_out}
    trained = {document.text for document in found if not document.held_out}
    assert held_out.isdisjoint(trained)
    assert held_out | trained == set(texts)
    assert 3 <= len(held_out) <= 40  # 15 expected


@pytest.mark.parametrize("count", range(1, 12))
def test_of_a_few_documents_one_is_held_out_unless_it_is_the_only(tmp_path: Path, count: int):
    (tmp_path / "few.jsonl").write_text("\n".join(json.dumps({"text": f"text {i}"}) for i in range(count)))
    found = documents(tmp_path / "few.jsonl")
    assert len(found) == count
    assert any(document.held_out for document in found) == (count > 1)
    assert not found[0].held_out


@pytest.mark.parametrize("name", ["missing.txt", "hub:", "nothing at all"])
def test_what_is_not_there_is_refused(tmp_path: Path, name: str):
    with pytest.raises(CorpusError):
        documents(name if name.startswith("hub:") else str(tmp_path / name))


def test_a_sample_is_from_all_over_the_corpus_and_not_of_what_is_held_out(tmp_path: Path):
    lines = [json.dumps({"text": f"{i:05d} " + "x" * 94}) for i in range(5000)]
    (tmp_path / "long.jsonl").write_text("\n".join(lines))
    source = open_source(str(tmp_path / "long.jsonl"), seed=0, held_out=3)
    numbers = [int(text[:5]) for text in sample(source, 10_000)]
    assert 80 <= len(numbers) <= 100
    assert max(numbers) > 4000
    held_out = {int(document.text[:5]) for document in source.documents() if document.held_out}
    assert held_out.isdisjoint(numbers)


def test_a_data_set_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for name, column in (("good", "text"), ("bad", "words")):
        (tmp_path / name).mkdir()
        lines = [json.dumps({column: f"text {i}"}) for i in range(40)]
        (tmp_path / name / "train.jsonl").write_text("\n".join(lines))
    found = documents(f"hub:{tmp_path / 'good'}")
    assert sorted(document.text for document in found) == sorted(f"text {i}" for i in range(40))
    with pytest.raises(CorpusError, match='has no column "text"; it has words'):
        documents(f"hub:{tmp_path / 'bad'}")
    with pytest.raises(CorpusError, match=r"hub:someone/nothing: cannot be loaded: .*reach.* Is this machine online\?"):
        documents("hub:someone/nothing")


def test_without_the_library_for_data_sets_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CorpusError, match=r"pip install 'intro2llm\[hub\]'"):
        documents("hub:someone/nothing")


# --- as tokens on disk ----------------------------------------------------------------------------------------------


def tokenised(folder: Path, name: Path | str, tokenizer: ByteLevelTokenizer, limit: int | None = None):
    source = open_source(str(name), seed=0, held_out=20)
    write_tokens(folder, source, tokenizer, limit=limit)
    return read_tokens(folder, expected=made_from(source, tokenizer, limit))


@pytest.mark.parametrize(("size", "dtype"), [(320, "<u2"), (70_000, "<u4")])
def test_the_tokens_on_disk_are_the_documents(tmp_path: Path, tokenizer: ByteLevelTokenizer, size: int, dtype: str):
    tokenizer.add_tokens(f"token {i}" for i in range(size - tokenizer.vocab_size))
    (tmp_path / "book.txt").write_text(prose(300) + "<|endoftext|> is a text like any other", encoding="utf-8")
    data = tokenised(tmp_path / "data", tmp_path / "book.txt", tokenizer)
    expected: dict[bool, list[int]] = {False: [], True: []}
    for document in documents(tmp_path / "book.txt"):
        expected[document.held_out] += [*tokenizer.encode(document.text), tokenizer.eos_token_id]
    assert data.train.tolist() == expected[False]
    assert data.held_out.tolist() == expected[True]
    assert data.train.dtype == np.dtype(dtype)
    assert data.train_bytes == sum(len(d.text.encode()) for d in documents(tmp_path / "book.txt") if not d.held_out)
    assert tokenizer.decode(data.train).endswith("<|endoftext|> is a text like any other")
    windows = PretrainDataset(data.train, seq_length=16)
    assert windows[len(windows) - 1]["input_ids"].tolist() == expected[False][: 16 * len(windows)][-16:]


def test_tokens_of_other_text_or_another_tokenizer_are_not_taken(tmp_path: Path, tokenizer: ByteLevelTokenizer):
    book = tmp_path / "book.txt"
    book.write_text(prose(100), encoding="utf-8")
    tokenised(tmp_path / "data", book, tokenizer)
    other = ByteLevelTokenizer()
    other.train([prose(40)], 300)
    assert other.merges != tokenizer.merges
    for change in (lambda: (book, other), lambda: (book.write_text(prose(101), encoding="utf-8") and book, tokenizer)):
        path, with_tokenizer = change()
        expected = made_from(open_source(str(path), seed=0, held_out=20), with_tokenizer, None)
        with pytest.raises(CheckpointError, match="was made from other text, or with another tokenizer"):
            read_tokens(tmp_path / "data", expected=expected)


@pytest.mark.parametrize("name", ["train.bin", "held_out.bin", "data.json"])
@pytest.mark.parametrize("fault", ["flipped", "cut", "gone"])
def test_damaged_tokens_are_noticed(tmp_path: Path, tokenizer: ByteLevelTokenizer, name: str, fault: str):
    tokenised(tmp_path / "data", "storyworld", tokenizer, limit=2000)
    file = tmp_path / "data" / name
    content = bytearray(file.read_bytes())
    if fault == "flipped":
        content[0] ^= 1
    file.write_bytes(content[: len(content) // 2] if fault == "cut" else content)
    if fault == "gone":
        file.unlink()
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        read_tokens(tmp_path / "data")


def test_an_interrupted_tokenisation_leaves_nothing(tmp_path: Path, tokenizer: ByteLevelTokenizer):
    (tmp_path / "book.txt").write_bytes(prose(5000).encode() + b"\xff")
    with pytest.raises(CorpusError):
        tokenised(tmp_path / "data", tmp_path / "book.txt", tokenizer)
    assert [path.name for path in tmp_path.iterdir()] == ["book.txt"]


def test_every_held_out_token_is_predicted_once_with_context(tmp_path: Path, tokenizer: ByteLevelTokenizer):
    lines = [json.dumps({"text": prose(1, seed)[: 5 + 60 * (seed % 4)]}) for seed in range(400)]
    (tmp_path / "some.jsonl").write_text("\n".join(lines))
    data = tokenised(tmp_path / "data", tmp_path / "some.jsonl", tokenizer)
    eos, T = tokenizer.eos_token_id, 12
    windows = HeldOutWindows(data, seq_length=T, eos_token_id=eos, max_windows=10_000)
    scored: list[int] = []
    for item in (windows[i] for i in range(len(windows))):
        ids, labels = item["input_ids"], item["labels"]
        assert ids.shape == labels.shape == (T,)
        places = (labels != -100).nonzero()[:, 0].tolist()
        assert places == list(range(places[0], places[-1] + 1))
        assert labels[places].tolist() == ids[places].tolist()
        if places[0] == 1:  # a document begins: an eos is all that stands before
            assert ids[0] == eos
        else:
            assert places[0] == T // 2
        scored += labels[places].tolist()
    assert scored == data.held_out.tolist()  # the eos behind each document too
    assert (windows.documents, windows.tokens) == (len(data.held_out_documents), len(scored))
    assert windows.floor is None
    few = HeldOutWindows(data, seq_length=T, eos_token_id=eos, max_windows=9)
    assert len(few) <= 9
    assert few.bytes == sum(size for size, _ in data.held_out_documents[: few.documents])
    assert HeldOutWindows(data, seq_length=T, eos_token_id=eos, max_windows=1).documents == 1


def test_memory_does_not_grow_with_the_corpus(
    tmp_path: Path, tokenizer: ByteLevelTokenizer, monkeypatch: pytest.MonkeyPatch
):
    """From text to batches, at two sizes: the peak of what Python and NumPy hold is the same."""
    monkeypatch.setattr(corpus, "PART", 4096)  # small ones, so that both sizes are many times as large
    monkeypatch.setattr(corpus, "BLOCK", 8192)
    paragraph = prose(50)
    peaks, sizes = [], []
    for copies in (30, 300):
        path = tmp_path / f"{copies}.txt"
        with path.open("w", encoding="utf-8") as file:
            for number in range(copies):
                file.write(f"{number}\n\n{paragraph}")
        sizes.append(path.stat().st_size)
        tracemalloc.start()
        data = tokenised(tmp_path / f"data{copies}", path, tokenizer)
        windows = PretrainDataset(data.train, seq_length=64)
        for index in range(0, len(windows), 50):
            windows[index]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert sizes[0] > 50 * corpus.PART
    assert peaks[1] < 1.2 * peaks[0], (peaks, sizes)
    assert isinstance(data.train, np.memmap)
