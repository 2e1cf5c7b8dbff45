"""Two sources, aligned: every line appears once and in order, equal lines stand in one row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursecli.render.console import make_console
from coursecli.render.sidebyside import align, side_by_side

LINES = st.lists(st.sampled_from(["a", "b", "c", "  d", ""]), max_size=12)


@given(LINES, LINES)
def test_alignment_loses_nothing(left, right):
    rows = align(left, right)
    assert [a for a, _ in rows if a is not None] == list(range(len(left)))
    assert [b for _, b in rows if b is not None] == list(range(len(right)))
    assert all(row != (None, None) for row in rows)


@given(LINES)
def test_equal_texts_stand_row_by_row(lines):
    assert align(lines, lines) == [(number, number) for number in range(len(lines))]


def shown(left: str, right: str, width: int) -> list[str]:
    console = make_console(width=width)
    with console.capture() as capture:
        console.print(side_by_side(left, right, titles=("yours", "reference"), width=width))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_wide_screens_show_two_columns():
    lines = shown("def f():\n    return 1\n", "def f():\n    x = 2\n    return 1\n", 100)
    assert any(line.count("def f():") == 2 for line in lines)
    assert any(line.count("return 1") == 2 for line in lines)
    assert sum("x = 2" in line for line in lines) == 1


def test_narrow_screens_show_one_below_the_other():
    lines = shown("def f(): 1", "def f(): 2", 60)
    assert lines.index("yours") < lines.index("reference")
    assert not any(line.count("def f()") == 2 for line in lines)


@pytest.mark.parametrize("width", [40, 60, 90, 100, 200])
def test_long_lines_are_folded_not_cut(width):
    long = "value = " + "+".join(f"name{number}" for number in range(60))
    lines = shown(long, "value = 0", width)
    assert max(map(len, lines)) <= width
    left = "".join("".join(lines).split())
    assert "name0+name1" in left
    assert "name59" in left
