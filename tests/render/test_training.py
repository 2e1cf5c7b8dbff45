"""What is said of a training: the fullest line that fits, times, a summary of whatever is known."""

from __future__ import annotations

import io

import pytest

from coursecli.recipes.events import Evaluation, Step, Training
from coursecli.recipes.runs import Run
from coursecli.render.console import make_console
from coursecli.render.runs import list_view, size
from coursecli.render.training import clock, duration, evaluation_line, step_line, summary_view

TRAINING = Training(
    run="mine", preset="nano", data="storyworld", device="cpu", dtype="float32", parameters=1000, steps=1000,
    first_step=0, tokens_per_step=2048, processes=1, seed=0, floor=0.461,
)  # fmt: skip
STEP = Step(
    step=120, loss=2.345, bits_per_byte=1.053, learning_rate=0.004, grad_norm=1.0, tokens_per_second=12300.0,
    seconds_left=501.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (96, "120/1000  loss 2.345  1.053 bits/byte (floor 0.461)  rate 0.004  12,300 tokens/s  8:21 left"),
        (80, "120/1000  loss 2.345  1.053 bits/byte (floor 0.461)  12,300 tokens/s  8:21 left"),
        (56, "120/1000  1.053 bits/byte (floor 0.461)  8:21 left"),
        (36, "120/1000  1.053 bits/byte  8:21 left"),
        (20, "120/1000  8:21 left"),
        (5, "120/1000"),
    ],
)
def test_the_line_is_the_fullest_that_fits(width: int, line: str):
    assert step_line(STEP, TRAINING, width=width) == line


def test_without_bytes_the_line_has_the_loss():
    step = Step(
        step=1,
        loss=2.5,
        bits_per_byte=None,
        learning_rate=1e-5,
        grad_norm=1.0,
        tokens_per_second=5.0,
        seconds_left=None,
    )
    assert step_line(step, TRAINING) == "1/1000  loss 2.500  rate 1e-05  5 tokens/s"
    assert step_line(step, TRAINING, width=20) == "1/1000  loss 2.500"
    known = Evaluation(step=1, loss=2.5, bits_per_byte=None, floor=None)
    assert evaluation_line(known).plain == "After update 1, on held-out text: 2.500 nats per token"


@pytest.mark.parametrize(
    ("seconds", "short", "long"),
    [(0, "0:00", "0 s"), (59.6, "1:00", "1 min 0 s"), (501, "8:21", "8 min 21 s"), (3725, "1:02:05", "1 h 2 min")],
)
def test_times(seconds: float, short: str, long: str):
    assert (clock(seconds), duration(seconds)) == (short, long)


@pytest.mark.parametrize("data", [{}, {"eval_bits_per_byte": "x", "steps": None, "seconds": None, "floor": 0}])
def test_a_summary_is_of_what_is_known(data: dict):
    stream = io.StringIO()
    make_console(stream, width=60).print(summary_view(data, ["intro2llm chat"]))
    assert stream.getvalue() == "Next     intro2llm chat\n"


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (999_600, "1 MB"), (12_345_678, "12.3 MB"), (5 * 10**12, "5 TB")],
)
def test_sizes(count: int, words: str):
    assert size(count) == words


def test_eighty_columns_hold_the_table_of_runs():
    run = Run(
        name="nano-12", kind="pretrain", state="interrupted", preset="nano", step=300, steps=1000,
        bits_per_byte=0.61, floor=0.5, times_floor=1.22, bytes=123_456_789, created="2026-01-02T03:04:05+00:00",
    )  # fmt: skip
    stream = io.StringIO()
    make_console(stream, width=80).print(list_view([run], width=80))
    header, row = stream.getvalue().splitlines()[2:4]
    assert header.split() == ["run", "from", "state", "updates", "bits/byte", "×", "floor", "size", "made"]
    assert row.split()[:5] == ["nano-12", "nano", "interrupted", "300/1000", "0.610"]
