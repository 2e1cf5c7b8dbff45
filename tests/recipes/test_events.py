"""The two ends of the line: what the learner's package emits is what the runner reads; by hand it is text."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
    (
        "training",
        {
            "run": "mine",
            "preset": "nano",
            "data": "storyworld",
            "device": "cpu",
            "dtype": "float32",
            "steps": 100,
            "first_step": 0,
            "tokens_per_step": 2048,
            "parameters": 1000,
            "processes": 1,
            "seed": 0,
            "floor": 0.46,
        },
    ),
    (
        "step",
        {
            "step": 3,
            "loss": 5.5,
            "bits_per_byte": 1.25,
            "learning_rate": 1e-3,
            "grad_norm": 1.5,
            "tokens_per_second": 4000.0,
            "seconds_left": 60.0,
        },
    ),
    ("evaluation", {"step": 3, "loss": 5.5, "bits_per_byte": None, "floor": None}),
    ("evaluation", {"step": 3, "loss": 5.5, "bits_per_byte": 1.25, "floor": 0.5}),
    ("sample", {"step": 3, "prompt": "", "text": "Once\n"}),
    ("saved", {"step": 3, "path": "runs/mine/checkpoints/step-000003"}),
    ("score", {"task": "mmlu", "name": "accuracy", "value": 0.25, "done": 4, "total": 57}),
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
    for name, value in fields.items():
        if isinstance(value, str) and event not in ("answer",) and name not in ("preset", "data", "dtype"):
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

    def full(arguments):
        raise said.StorageError("No room.")

    with pytest.raises(SystemExit) as caught:
        said.run_by_hand(refuse)
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        said.run_by_hand(full)
    assert caught.value.code == 3
    assert capsys.readouterr().err == "No such file. Choose another.\nNo room.\n"
    with pytest.raises(SystemExit) as caught:
        said.run_by_hand(lambda arguments: None)
    assert caught.value.code == 0
    with pytest.raises(SystemExit) as caught:
        said.run_by_hand(lambda arguments: 130)
    assert caught.value.code == 130


def test_started_processes_speak_in_the_same_place(tmp_path):
    """As in `train --nproc 2`: what a process two generations below says arrives where its recipe's events go."""
    script = "from intro2llm.recipes import events; events.emit('notice', message='from below')"
    outer = (
        "import subprocess, sys; from intro2llm.recipes import events; events.hand_down();"
        f"subprocess.run([sys.executable, '-c', {script!r}], check=True)"
    )
    root = Path(said.__file__).parent.parent.parent
    ours, theirs = os.pipe()
    environment = {**os.environ, "PYTHONPATH": str(root), "INTRO2LLM_EVENTS": str(theirs)}
    subprocess.run([sys.executable, "-c", outer], env=environment, pass_fds=[theirs], check=True)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        assert read.decoder.decode(pipe.read()) == read.Notice(message="from below")
