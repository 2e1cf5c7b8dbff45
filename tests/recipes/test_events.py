"""The two ends of the line: what the learner's package emits is what the runner reads; by hand it is text."""

from __future__ import annotations

import os

import pytest

from coursecli.recipes import events as read
from intro2llm.recipes import events as said

EVERY = [
    ("started", {"what": "mine", "device": "cpu", "parameters": 1000, "seed": 3}),
    ("started", {"what": "mine", "device": "cpu", "parameters": 1000}),
    ("token", {"text": "é\n"}),
    ("answer", {"text": "é", "tokens": 1, "seconds": 0.25, "stopped": "eos"}),
    ("ready", {}),
    ("progress", {"done": 1, "total": 4, "what": "files"}),
    ("progress", {"done": 1.5, "total": None, "what": "MB"}),
    ("notice", {"message": "Mind."}),
    ("table", {"title": "T", "columns": ["a", "b"], "rows": [["1", "22"]], "notes": ["n"]}),
    ("finished", {"message": "Done.", "data": {"x": [1]}}),
]


@pytest.mark.parametrize(("event", "fields"), EVERY, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_emitted_is_what_is_read(monkeypatch, event, fields):
    ours, theirs = os.pipe()
    monkeypatch.setattr(said, "_DESCRIPTOR", theirs)
    said.emit(event, **fields)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        line = pipe.read()
    decoded = read.decoder.decode(line)
    assert type(decoded).__struct_config__.tag == event
    for name, value in fields.items():
        assert getattr(decoded, name) == value


def test_half_a_character_does_not_lose_the_event(monkeypatch):
    ours, theirs = os.pipe()
    monkeypatch.setattr(said, "_DESCRIPTOR", theirs)
    said.emit("token", text="a\udc80b")
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        assert read.decoder.decode(pipe.read()) == read.Token(text="a?b")


@pytest.mark.parametrize(("event", "fields"), EVERY, ids=lambda value: value if isinstance(value, str) else "")
def test_by_hand_every_event_is_text(capfd, event, fields):
    said.emit(event, **fields)
    out, err = capfd.readouterr()
    for value in fields.values():
        if isinstance(value, str) and event not in ("answer",):
            assert value in out + err


def test_by_hand_a_models_text_cannot_steer_the_terminal(capsys):
    said.emit("token", text="a\x1b[2J\n\u202eb")
    assert capsys.readouterr().out == "a\\x1b[2J\n\\u202eb"


def test_a_table_by_hand_has_its_columns_in_line(capsys):
    said.emit("table", title="Speed", columns=["part", "ratio"], rows=[["attention", "1.5"], ["ffn", "12"]])
    assert capsys.readouterr().out == "Speed\npart       ratio\nattention  1.5\nffn        12\n"


def test_by_hand_a_refusal_is_one_line_and_an_exit_code(capsys):
    def refuse(arguments):
        raise said.RecipeError("No such file.", "Choose another.")

    with pytest.raises(SystemExit) as caught:
        said.run_by_hand(refuse)
    assert caught.value.code == 2
    assert capsys.readouterr().err == "No such file. Choose another.\n"
    with pytest.raises(SystemExit) as caught:
        said.run_by_hand(lambda arguments: None)
    assert caught.value.code == 0
