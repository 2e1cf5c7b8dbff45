"""Reading MMLU's and HumanEval's files: what is in them, and what is said of those that cannot be used."""

import gzip
import json
from pathlib import Path

import pytest

from intro2llm.evaluation.humaneval import Problem, load_humaneval
from intro2llm.evaluation.mmlu import SUBJECTS, Question, load_mmlu

PROBLEM = {
    "task_id": "X/0",
    "prompt": "def f():\n",
    "entry_point": "f",
    "canonical_solution": "    return 1\n",
    "test": "…",
}


def write_subject(folder: Path, subject: str, text: str) -> Path:
    path = folder / "test" / f"{subject}_test.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_mmlu_has_57_subjects() -> None:
    assert len(SUBJECTS) == len(set(SUBJECTS)) == 57


def test_questions_are_read_as_csv_quotes_them(tmp_path: Path) -> None:
    write_subject(tmp_path, "virology", "Which?,a,b,c,d,A\n")
    write_subject(tmp_path, "anatomy", '\ufeff"One, ""two""\nand three?","1, 2",b,c,NA,D\n')
    assert load_mmlu(tmp_path, "test") == [
        Question("anatomy", 'One, "two"\nand three?', ("1, 2", "b", "c", "NA"), 3),
        Question("virology", "Which?", ("a", "b", "c", "d"), 0),
    ]


@pytest.mark.parametrize(
    "text", ["Which?,a,b,c,A\n", "Which?,a,b,c,d,E\n", "Which?,a,b,c,d,AB\n", '"Which?,a,b,c,d,A\n', "\n"]
)
def test_a_row_that_is_no_question_is_named(tmp_path: Path, text: str) -> None:
    path = write_subject(tmp_path, "anatomy", text)
    with pytest.raises(ValueError) as caught:
        load_mmlu(tmp_path, "test")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_questions_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"SUBJECT_dev\.csv") as caught:
        load_mmlu(tmp_path, "dev")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_problems_are_read_packed_or_not(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"problems{suffix}"
    content = (json.dumps(PROBLEM | {"more": 1, "prompt": "a\u2028b"}, ensure_ascii=False) + "\n\n").encode()
    path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    assert load_humaneval(path) == [Problem(**PROBLEM | {"prompt": "a\u2028b"})]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.jsonl", b"{"),
        ("p.jsonl", b"[1]"),
        ("p.jsonl", json.dumps(PROBLEM | {"test": None}).encode()),
        ("p.jsonl", b"\xff\xfe"),
        ("p.jsonl", b""),
        ("p.jsonl.gz", b"no gzip"),
        ("p.jsonl.gz", gzip.compress(b"{}" * 50, mtime=0)[:-9]),
    ],
)
def test_a_file_without_problems_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_humaneval(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        load_humaneval(tmp_path / "nowhere.jsonl")
