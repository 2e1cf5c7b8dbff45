"""Loss curves: points of the right height, on any width, with and without colour; of too little, nothing."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from coursecli.recipes.runs import Metrics, Point
from coursecli.render.curves import compared_curves, run_curve

FLOOR = 0.5


def falling(last: int = 100, *, bits: bool = True, high: float = 4.0) -> list[Point]:
    return [Point(step, 2 * high / step, high / step if bits else None) for step in range(1, last + 1)]


def drawn(view, width: int, **options) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, **options).print(view)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 100])
def test_a_curve_fits_and_names_what_it_shows(width: int):
    metrics = Metrics(training=falling(), held_out=[Point(50, 1.0, 0.9), Point(100, 1.0, 0.8)])
    lines = drawn(run_curve(metrics, FLOOR, width=width), width)
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for words in ("Bits per byte", "⠒ training", "x held-out text", "── floor 0.500", "updates", "100"):
        assert words in text
    assert ("no model can be below" in text) == (width == 100)
    assert sum(line.count("x") for line in lines if "│" in line or "┤" in line) == 2
    assert any(re.match(r" *0\.5├─", line) for line in lines)
    assert "\x1b" not in "".join(lines)


def test_colour_is_for_those_who_want_it():
    view = run_curve(Metrics(training=falling()), FLOOR, width=60)
    assert "\x1b[" in "".join(drawn(view, 60, force_terminal=True, color_system="standard"))
    assert "\x1b" not in "".join(drawn(view, 60, force_terminal=True, color_system=None, no_color=True))


def test_a_point_has_the_height_of_its_value():
    """On the logarithmic axis 1 lies half way between 4 and 1/4."""
    metrics = Metrics(held_out=[Point(1, 1.0, 4.0), Point(2, 1.0, 1.0), Point(3, 1.0, 0.25)])
    rows = [place for place, line in enumerate(drawn(run_curve(metrics, None, width=60), 60)[1:]) if "x" in line]
    assert len(rows) == 3
    assert rows[0] < rows[1] < rows[2]
    assert abs((rows[0] + rows[2]) / 2 - rows[1]) <= 0.5


def test_without_bytes_the_loss_is_drawn_and_there_is_no_floor():
    text = " ".join(drawn(run_curve(Metrics(training=falling(bits=False)), FLOOR, width=60), 60))
    assert "Loss, nats per token" in text
    assert "floor" not in text


@pytest.mark.parametrize("points", [[], [Point(5, 1.0, 1.0)], [Point(5, 0.0, 0.0), Point(6, 0.0, 0.0)]])
def test_too_little_is_not_drawn(points: list[Point]):
    assert run_curve(Metrics(training=points), FLOOR, width=60) is None


@pytest.mark.parametrize("value", [1.0, 1e-9, 1e9])
def test_a_curve_that_does_not_move_can_be_drawn(value: float):
    points = [Point(step, value, value) for step in (1, 2)]
    assert len(drawn(run_curve(Metrics(training=points), None, width=60), 60)) > 10


def test_a_long_run_has_round_numbers_of_updates():
    points = [Point(step, 1.0, 1.0 + 1 / step) for step in range(10, 1_000_001, 1000)]
    lines = drawn(run_curve(Metrics(training=points), FLOOR, width=60), 60)
    assert [int(number) for number in re.findall(r"\d+", lines[-2])] == [200_000, 400_000, 600_000, 800_000]


def test_runs_share_a_plot_with_marks_of_their_own():
    runs = [
        ("first", Metrics(held_out=falling(10))),
        ("second", Metrics(held_out=falling(10, high=8.0))),
        ("third", Metrics(training=falling(10, high=16.0))),
    ]
    lines = drawn(compared_curves(runs, FLOOR, width=60), 60)
    assert lines[0] == "Bits per byte  x first  o second  + third  ── floor 0.500"
    for mark in "xo+":
        assert sum(line.count(mark) for line in lines[1:-1]) >= 5
