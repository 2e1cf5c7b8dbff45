"""Learners' lines out of tracebacks and stack dumps."""

from __future__ import annotations

import faulthandler
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from coursecli.check.frames import MOST_FRAMES, describe, dumped_frames, learner_frames

DEEP = """
def outer(n):
    return inner(n)

def inner(n):
    if n:
        return inner(n - 1)
    raise ValueError("deep")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "code.py").write_text(DEEP, encoding="utf-8")
    return tmp_path


def raised(root: Path, n: int) -> ValueError:
    path = root / "pack" / "code.py"
    space: dict = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
    with pytest.raises(ValueError) as caught:
        space["outer"](n)
    return caught.value


def test_only_lines_below_the_root_are_kept_outermost_first(root: Path):
    frames = learner_frames(raised(root, 0).__traceback__, str(root))
    assert [(frame.file, frame.function, frame.source) for frame in frames] == [
        ("pack/code.py", "outer", "return inner(n)"),
        ("pack/code.py", "inner", 'raise ValueError("deep")'),
    ]


def test_of_many_frames_both_ends_stay(root: Path):
    frames = learner_frames(raised(root, 200).__traceback__, str(root))
    assert len(frames) == MOST_FRAMES
    assert frames[0].function == "outer"
    assert frames[-1].source == 'raise ValueError("deep")'


def test_an_exception_whose_text_fails_is_described_all_the_same(root: Path):
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    shown = describe(BrokenError(), str(root))
    assert shown.type == "BrokenError"
    assert "RuntimeError" in shown.message


def test_a_long_message_is_cut(root: Path):
    assert len(describe(ValueError("x" * 10**6), str(root)).message) < 3000


def test_a_real_dump_is_read(root: Path):
    """The dump is made by faulthandler itself, so that a new format in a new Python shows here."""
    code = f"""
import faulthandler, sys
sys.path.insert(0, {str(root)!r})
from pack import code
code.inner.__globals__["ValueError"] = lambda words: faulthandler.dump_traceback()
try:
    code.outer(1)
except TypeError:
    pass
"""
    dump = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    frames = dumped_frames(dump, root)
    assert [(frame.function, frame.line) for frame in frames] == [("outer", 3), ("inner", 7), ("inner", 8)]
    assert frames[-1].source == 'raise ValueError("deep")'


def test_a_crash_counts_more_than_what_was_dumped_before(root: Path):
    file = root / "pack" / "code.py"
    old = f'Current thread 0x1 (most recent call first):\n  File "{file}", line 3 in outer\n'
    new = "Fatal Python error: Aborted\n\n" + old.replace("3 in outer", "7 in inner")
    assert [frame.line for frame in dumped_frames(old + new, root)] == [7]


def test_of_several_threads_the_current_one_counts_unless_it_has_nothing_of_the_learners(root: Path):
    file = root / "pack" / "code.py"
    other = f'Thread 0x1 (most recent call first):\n  File "{file}", line 3 in outer\n\n'
    current = 'Current thread 0x2 (most recent call first):\n  File "{}", line 7 in inner\n'
    assert [frame.line for frame in dumped_frames(other + current.format(file), root)] == [7]
    assert [frame.line for frame in dumped_frames(other + current.format("/lib/threading.py"), root)] == [3]


def test_a_path_that_is_not_ascii_is_found_in_a_dump(tmp_path: Path):
    file = tmp_path / "my model – ü" / "code.py"
    file.parent.mkdir()
    file.write_text("import faulthandler, sys\nfaulthandler.dump_traceback(sys.stdout)\n", encoding="utf-8")
    dump = subprocess.run([sys.executable, file], capture_output=True, text=True, check=True).stdout
    assert str(file) not in dump
    [frame] = dumped_frames(dump, file.parent)
    assert (frame.file, frame.line) == ("code.py", 2)


def test_a_dump_without_the_learner_has_no_frames(root: Path):
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        assert dumped_frames(file.read(), root) == []
    assert dumped_frames("", root) == []
