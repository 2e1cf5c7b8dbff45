"""One place makes consoles: what a learner's program says cannot steer the terminal, and plain means plain."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursecli.render.console import clean, make_console, visible


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain √ text", "plain √ text"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("over\rwritten", r"over\rwritten"),
        ("two\r\nlines", "two\nlines"),
        ("a\tb", "a   b"),
        ("back\b\x7f", r"back\b\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("right\u202eleft", r"right\u202eleft"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("half \ud800", r"half \ud800"),
        ("[bold]no[/bold] [link=x]", "[bold]no[/bold] [link=x]"),
    ],
)
def test_what_could_steer_or_hide_is_written_out(text, seen):
    assert visible(text) == seen


@given(st.text())
def test_nothing_but_line_breaks_is_left_of_control(text):
    for character in visible(text):
        assert character == "\n" or character.isprintable()


def test_markup_is_never_parsed():
    stream = io.StringIO()
    make_console(stream).print(clean("[/b] [link=https://example.org]x[/link] :smile:"))
    assert stream.getvalue() == "[/b] [link=https://example.org]x[/link] :smile:\n"


@pytest.mark.parametrize(
    ("stream", "plain", "environment", "coloured"),
    [
        (Terminal(), False, {}, True),
        (Terminal(), True, {}, False),
        (Terminal(), False, {"NO_COLOR": "1"}, False),
        (Terminal(), False, {"TERM": "dumb"}, False),
        (io.StringIO(), False, {}, False),
    ],
)
def test_colour_only_where_it_is_wanted(monkeypatch, stream, plain, environment, coloured):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm-256color"} | environment).items():
        monkeypatch.setenv(name, value)
    make_console(stream, plain=plain).print(clean("words", "bad"))
    assert ("\x1b[" in stream.getvalue()) is coloured


@pytest.mark.parametrize(("columns", "width"), [(10, 40), (40, 40), (133, 133), (1000, 200)])
def test_width_is_kept_between_40_and_200(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert make_console(io.StringIO()).width == width
