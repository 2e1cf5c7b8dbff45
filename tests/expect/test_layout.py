"""How a failure looks: whole messages as plain text, and in the terminal at three widths, with and without colour."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
import torch
from rich.console import Console

from coursecli.course.manifest import Mistake
from coursecli.expect import (
    Failure,
    expect_causal,
    expect_close,
    expect_distribution,
    expect_equal,
    expect_shape,
    expect_text,
    expect_tokens,
)
from coursecli.expect.layout import cells, lay_out
from coursecli.expect.payload import Cell, Grid, SequencePart
from coursecli.expect.text import plain
from coursecli.expect.words import visible
from coursecli.render.failure import failure_view

X = torch.arange(24.0).reshape(2, 3, 4) + 1


def text_of(failure_of, *args, **options):
    return plain(failure_of(*args, **options))


def test_a_tensor(failure_of):
    actual = X.clone()
    actual[1, 2, 0] = 0.5
    assert (
        text_of(failure_of, expect_close, actual, X, what="the scores", dims="B T C")
        == """\
the scores
Expected 21.0 at [1, 2, 0], but it is 0.5.

  B = 1, T = 0–2, C = 0–3
     expected                   actual
        0     1     2     3        0     1     2     3
  0  13.0  14.0  15.0  16.0     13.0  14.0  15.0  16.0
  1  17.0  18.0  19.0  20.0     17.0  18.0  19.0  20.0
  2  21.0  22.0  23.0  24.0     ≠0.5  22.0  23.0  24.0
  ≠ marks what differs

  largest error  20.5 at [1, 2, 0]
  differing      1 of 24
  allowed        1e-05 + 1e-05 · |expected|

→ Only one element differs, at B = 1, T = 2 and C = 0."""
    )


def test_a_shape(failure_of):
    assert (
        text_of(failure_of, expect_shape, X, (2, 4, 3), what="the keys", dims="B T C", mistake="swapped")
        == """\
the keys
The shape is (2, 3, 4), not (2, 4, 3).

  axis  expected    actual
  B            2         2
  T            4         3  ≠
  C            3         4  ≠

→ T and C are exchanged: a transpose is missing, or one too many.

This points to “swapped” in the lesson's mistakes.yaml."""
    )


def test_tokens(failure_of):
    assert (
        text_of(failure_of, expect_tokens, ["lo", "w", "er"], ["low", "er"], what="pieces of “lower”")
        == """\
pieces of “lower”
The tokens differ from position 0 on: expected 'low', but it is 'lo'.

  expected  'low'     'er'
  actual    'lo'  'w' 'er'
            ≠     +
  ≠ differs   + extra

  length  3, expected 2"""
    )


def test_text(failure_of):
    assert (
        text_of(failure_of, expect_text, "a\u00a0b\n", "a b\n", what="the decoded text")
        == """\
the decoded text
The text differs from character 1 on.

  expected  a␣   b\\n
  actual    a\\xa0b\\n
             ≠
  ≠ differs

  character 1  U+00A0 NO-BREAK SPACE, expected U+0020 SPACE

→ Only the white space between the words differs."""
    )


def test_a_plain_value(failure_of):
    assert (
        text_of(failure_of, expect_equal, {"a": 1}, {"a": 2}, what="the counts")
        == """\
the counts
At ['a'], expected 2, but it is 1.

  expected   actual
  {'a': 2}   {'a': 1}"""
    )


def test_the_failure_reads_well_under_plain_pytest(tmp_path):
    script = "from coursecli.expect import expect_equal\ndef test_it():\n    expect_equal(3, 4, what='two plus two')\n"
    (tmp_path / "test_it.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert "E       coursecli.expect.ExpectationFailed: two plus two" in lines
    assert "E       Expected 4, but it is 3." in lines
    assert "test_it.py:3: ExpectationFailed" in lines
    assert not any("exact.py" in line for line in lines)


@pytest.fixture(scope="module")
def failures(failure_of):
    """One of every kind."""
    table = torch.randn(3, 12, 40, generator=torch.Generator().manual_seed(0)) * 1e-5
    return [
        failure_of(expect_close, table * 3, table, atol=1e-9, dims="B T C"),
        failure_of(expect_close, [1.0, -2e-12, 3e30], [1.0, 2.0, 3.0]),
        failure_of(expect_close, 1.0, 2.0),
        failure_of(expect_close, torch.full((9, 9), float("nan")), torch.ones(9, 9)),
        failure_of(expect_close, X.long(), X),
        failure_of(expect_shape, X, (2, 4, 3, 5, 6)),
        failure_of(expect_tokens, [*range(80), *range(5)], [*range(40), *range(42, 90)]),
        failure_of(expect_tokens, ["[bold]x[/bold]" * 9, "\x1b[31m"], ["a"]),
        failure_of(expect_text, "日本語のテキスト" * 9 + "[red]", "日本語のテクスト" * 9 + "\u202e\x07"),
        failure_of(expect_equal, {"k" * 200: [1] * 200}, {"k" * 200: [2] * 200}),
        failure_of(expect_causal, lambda x: x.flip(1), torch.randn(1, 20, 2)),
        failure_of(expect_distribution, [0] * 50 + [11] * 40, [1 / 12] * 12),
        failure_of(expect_equal, None, "x" * 500, what="w" * 300, mistake="some-mistake"),
        Failure(kind="values", what="", summary=""),
        Failure(kind="statement", what="[link=file:///etc]x[/link]", summary="[bold]\x1b]0;title\x07", actual="\r\n\t"),
    ]


def rendered(failure, width, mistake=None, **options):
    screen = io.StringIO()
    console = Console(file=screen, width=width, legacy_windows=False, **options)
    console.print(failure_view(failure, width=width, mistake=mistake))
    return screen.getvalue()


@pytest.mark.parametrize("width", [100, 60, 40])
def test_every_line_fits_and_is_printable(failures, width):
    for failure in failures:
        for line in rendered(failure, width, no_color=True).split("\n"):
            assert cells(line) <= width, line
            assert line.isprintable()


@pytest.mark.parametrize("width", [100, 60, 40])
def test_the_terminal_shows_the_words_of_the_plain_text(failures, width):
    for failure in failures:
        assert rendered(failure, width).rstrip("\n") == plain(failure, width)


def test_colours_are_there_but_carry_nothing_alone(failures):
    for failure in failures:
        coloured = rendered(failure, 100, force_terminal=True, color_system="truecolor")
        assert "\x1b[" in coloured or not failure.what
        assert "\x1b[31m" not in coloured
        bare = rendered(failure, 100, force_terminal=True, no_color=True, color_system=None)
        assert "\x1b" not in bare
        if failure.grid and any(cell.differs for row in failure.grid.rows for cell in row):
            assert "≠" in bare


def test_no_color_is_honoured(failures, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    coloured = rendered(failures[0], 100, force_terminal=True, color_system="truecolor")
    assert "\x1b[33" not in coloured
    assert "\x1b[36" not in coloured


def test_markup_and_control_characters_are_shown_as_they_are(failures):
    text = rendered(failures[-1], 100)
    assert "[link=file:///etc]x[/link]" in text
    assert "[bold]\\x1b]0;title\\x07" in text
    assert "\\r\\n\\t" in text


def test_the_explanation_of_the_mistake_is_shown(failures):
    mistake = Mistake(
        id="m",
        task="t",
        name="a name",
        symbol="s",
        code="pass",
        explanation="You have [bold]mixed up[/bold] two things.",
    )
    assert rendered(failures[0], 100, mistake).rstrip().endswith("You have [bold]mixed up[/bold] two things.")
    assert "mistakes.yaml" not in rendered(failures[12], 100, mistake)


def test_a_narrow_screen_keeps_the_column_of_the_largest_error():
    row = [Cell(expected=f"{i}.00000", actual="9.00000" if i == 4 else f"{i}.00000", differs=i == 4) for i in range(5)]
    grid = Grid(title="t", row_labels=["0"], column_labels=list("01234"), rows=[row], row=0, column=4)
    text = plain(Failure(kind="values", what="w", summary="s", grid=grid), 40)
    assert "≠9.00000" in text
    assert "0.00000" not in text


def test_a_long_alignment_is_cut_and_the_rest_is_counted():
    part = SequencePart(op="replace", expected=["1"] * 200, actual=["2"] * 200, position=0)
    text = plain(Failure(kind="tokens", what="w", summary="s", sequence=[part]), 60)
    shown = sum(line.count("≠") for line in text.splitlines() if set(line) <= {" ", "≠"})
    assert f"… and {200 - shown} more differences further on" in text


def test_roles_are_known_to_the_terminal(failures):
    from coursecli.render.failure import STYLES

    roles = {role for failure in failures for line in lay_out(failure, 80) for _, role in line}
    assert roles <= set(STYLES)


def test_visible_text_stays_visible():
    for text in ("\x00\x1b[2J", "\u200b\u202e", "a\u00a0b", "\ud800", "é日本"):
        assert visible(text).isprintable()
        assert visible(visible(text)) == visible(text)
