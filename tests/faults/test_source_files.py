"""Source files as editors and web pages leave them. Each test first shows what Python itself makes of the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursecli.files import SourceProblem, read_source

NBSP, ZERO_WIDTH = "\u00a0", "\u200b"

ACCEPTED = {
    "plain": (b"x = 1\n", "x = 1\n"),
    "empty": (b"", ""),
    "byte order mark": (b"\xef\xbb\xbfx = 1\n", "x = 1\n"),
    "CRLF": (b"def f():\r\n    return 1\r\n", "def f():\n    return 1\n"),
    "CR": (b"x = 1\ry = 2\r", "x = 1\ny = 2\n"),
    "tabs throughout": (b"def f():\n\treturn 1\n", "def f():\n\treturn 1\n"),
    "no-break space in a string": (f"x = '{NBSP}'\n".encode(), f"x = '{NBSP}'\n"),
    "no-break space in a comment": (f"x = 1  #{NBSP}one\n".encode(), f"x = 1  #{NBSP}one\n"),
    "Greek letters": ("σ = 1\n".encode(), "σ = 1\n"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(tmp_path: Path, name: str) -> None:
    data, expected = ACCEPTED[name]
    path = tmp_path / "norm.py"
    path.write_bytes(data)
    assert python_says(path) is None, "Python runs it, so we must"
    assert read_source(path) == expected


REFUSED = {
    "UTF-16 with a mark": ("x = 1\n".encode("utf-16"), "utf-16", 1),
    "UTF-16 without": ("x = 1\n".encode("utf-16-le"), "nul", 1),
    "NUL byte": (b"x = 1\r\ny = 2\r\nz = '\0'\r\n", "nul", 3),
    "Latin-1": (b"\xef\xbb\xbfx = 1\ny = 'caf\xe9'\n", "not-utf-8", 2),
    "mixed tabs": (b"def f():\n        x = 1\n\treturn x\n", "mixed-tabs", 3),
    "no-break space": (f"def f():\n    x ={NBSP}1\n".encode(), "non-breaking-space", 2),
    "no-break indentation": (f"def f():\n{NBSP * 4}return 1\n".encode(), "non-breaking-space", 2),
    "zero-width space": (f"x = 1\ny{ZERO_WIDTH} = 2\n".encode(), "non-breaking-space", 2),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_line(tmp_path: Path, name: str) -> None:
    data, kind, line = REFUSED[name]
    path = tmp_path / "norm.py"
    path.write_bytes(data)
    assert python_says(path) is not None, "the fault is real: Python refuses it too"
    with pytest.raises(SourceProblem) as caught:
        read_source(path)
    problem = caught.value
    assert (problem.kind, problem.line) == (kind, line)
    assert "norm.py" in problem.message and "\n" not in problem.message and problem.remedy
    assert kind == "utf-16" or f"line {line}" in problem.message


def test_a_coding_cookie_does_not_make_another_encoding_right(tmp_path: Path) -> None:
    """Python would read it; the editors and tools of the course would not."""
    path = tmp_path / "norm.py"
    path.write_bytes(b"# -*- coding: latin-1 -*-\n# caf\xe9\n")
    assert python_says(path) is None
    with pytest.raises(SourceProblem, match=r"norm\.py, line 2: byte 0xe9"):
        read_source(path)


def test_an_ordinary_syntax_error_is_left_to_the_parser(tmp_path: Path) -> None:
    path = tmp_path / "norm.py"
    path.write_text("def f(:\n\té\n", encoding="utf-8")
    assert "SyntaxError" in (python_says(path) or "")
    assert read_source(path) == "def f(:\n\té\n"


def test_nesting_too_deep_for_the_parser_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "norm.py"
    path.write_text("x =\t" + "(" * 5000 + "1" + ")" * 5000)
    assert python_says(path) is not None
    assert read_source(path).startswith("x =\t((")


@given(st.binary(max_size=60))
def test_any_bytes_are_text_or_a_problem_with_a_line_that_exists(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.py"
    path.write_bytes(data)
    try:
        text = read_source(path)
    except SourceProblem as problem:
        line = problem.line
        text = None
    if text is None:
        assert 1 <= line <= len(data.splitlines()) + 1
    else:
        assert text == data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def python_says(path: Path) -> str | None:
    """The last line of Python's complaint about the file, or None when it runs."""
    run = subprocess.run(
        [sys.executable, "-IS", str(path)], capture_output=True, text=True, errors="replace", timeout=60
    )
    return None if run.returncode == 0 else run.stderr.strip().rpartition("\n")[2]
