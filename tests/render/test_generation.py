"""A recipe on the screen: two streams on one terminal or apart, tables of any width, the learner's lines."""

from __future__ import annotations

import io

import pytest

from coursecli.check.results import Frame
from coursecli.recipes.endings import LearnerFailure
from coursecli.recipes.events import Answer, Progress, Started, Table
from coursecli.render.console import make_console
from coursecli.render.generation import Screen, failure_view, figures, table_view


class Terminal(io.StringIO):
    """One of the two streams on a terminal; `seen` is what both have written."""

    def __init__(self, seen: io.StringIO) -> None:
        super().__init__()
        self.seen = seen

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return self.seen.write(text)


def screen(monkeypatch, out: io.StringIO, aside: io.StringIO) -> Screen:
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", aside)
    return Screen(make_console(out, plain=True, width=60), make_console(aside, plain=True, width=60))


def write_a_text(on: Screen) -> None:
    on.text("Once ")
    on.printed("debug ")
    on.printed("more\n")
    on.text("upon\x1b[31m")
    on.end_text()
    on.say("[two]")


def test_on_one_terminal_neither_breaks_into_the_others_line(monkeypatch):
    seen = io.StringIO()
    write_a_text(screen(monkeypatch, Terminal(seen), Terminal(seen)))
    assert seen.getvalue() == "Once \ndebug more\nupon\\x1b[31m\n[two]\n"


def test_in_a_file_the_text_is_the_text(monkeypatch):
    out, aside = io.StringIO(), io.StringIO()
    write_a_text(screen(monkeypatch, out, aside))
    assert out.getvalue() == "Once upon\\x1b[31m\n"
    assert aside.getvalue() == "debug more\n[two]\n"


def test_a_text_in_a_file_is_whole_though_the_rest_is_on_a_terminal(monkeypatch):
    out, aside = io.StringIO(), Terminal(io.StringIO())
    write_a_text(screen(monkeypatch, out, aside))
    assert out.getvalue() == "Once upon\\x1b[31m\n"


def test_a_text_in_a_file_ends_its_line_though_something_else_was_said_last(monkeypatch):
    out, aside = io.StringIO(), io.StringIO()
    on = screen(monkeypatch, out, aside)
    on.text("Once")
    on.printed("debug")
    on.end_text()
    on.end_text()
    assert (out.getvalue(), aside.getvalue()) == ("Once\n", "debug")


def test_progress_is_for_terminals_and_is_taken_away(monkeypatch):
    aside = io.StringIO()
    on = screen(monkeypatch, io.StringIO(), aside)
    on.progress(Progress(done=1, total=3, what="files"))
    on.settle()
    assert aside.getvalue() == ""


def test_the_figures():
    started = Started(what="mine", device="cuda", parameters=10, seed=None)
    answer = Answer(text="x", tokens=1, seconds=0.25, stopped="eos")
    assert figures(started, answer).plain == "1 token, 4.0 tokens/s, cuda, mine"
    assert "0.0 tokens/s" in figures(started, Answer(text="", tokens=0, seconds=0.0, stopped="eos")).plain


@pytest.mark.parametrize("width", [40, 100])
def test_a_table_breaks_no_word_on_any_width(width: int):
    table = Table(
        title="Speed",
        columns=["part", "work", "yours", "peer", "yours/peer", "gap closes"],
        rows=[
            ["attention", "256 tokens, causal", "249.5 ms", "1.6 ms", "159.31", "lesson 15"],
            ["[b]", "", "", "", "", ""],
        ],
        notes=["A note."],
    )
    stream = io.StringIO()
    make_console(stream, width=width).print(table_view(table, width=width))
    out = stream.getvalue()
    assert max(map(len, out.splitlines())) <= width
    for row in table.rows:
        for cell in row:
            assert cell in out
    assert ("part" in out) == (width == 100)  # as a list, the first cell is the heading
    assert out.rstrip().endswith("A note.")


def test_a_failure_shows_the_line_and_where_it_was_called_from(tmp_path):
    (tmp_path / "model.py").write_text("a = 1\nb = a / 0\nc = 2\n")
    frames = [Frame(file="model.py", line=3, function="outer"), Frame(file="model.py", line=2, function="inner")]
    stream = io.StringIO()
    make_console(stream, width=60).print(failure_view(LearnerFailure("ZeroDivisionError: \x1b[2J", frames), tmp_path))
    out = stream.getvalue()
    assert "\x1b" not in out
    assert "Your code: model.py:2 in inner" in out
    assert "> 2 b = a / 0" in out
    assert "called from model.py:3 in outer" in out


def test_given_code_is_not_called_the_learners(tmp_path):
    stream = io.StringIO()
    failure = LearnerFailure("TypeError: None", [Frame(file="recipes/run.py", line=2)], given=True)
    make_console(stream, width=60).print(failure_view(failure, tmp_path))
    assert "Given code: recipes/run.py:2" in stream.getvalue()
