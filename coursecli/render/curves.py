"""Loss curves in the terminal: training and held-out loss by update, on a logarithmic scale, and the floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from coursecli.recipes.runs import Metrics, Point
from coursecli.render.console import clean

HEIGHT = 16
MARGIN = 9
"""Columns that the labels of the vertical axis and the frame take."""
TICKS = [first * 10.0**power for power in range(-4, 5) for first in (1, 1.5, 2, 3, 4, 6, 8)]
MARKS = [("braille", "⠒", "cyan"), ("x", "x", "yellow"), ("o", "o", "magenta"), ("+", "+", "green")]
"""How each series is drawn: plotext's name of the mark, the mark itself in the legend, the colour."""


@dataclass(frozen=True)
class Series:
    """One line of a plot."""

    label: str
    points: list[tuple[int, float]]
    """Updates, and the value after each: above 0."""
    scattered: bool = False
    """Few points, each with a mark of its own."""


def run_curve(metrics: Metrics, floor: float | None, *, width: int) -> RenderableType | None:
    """The curve of one run: the loss in training, and on held-out text. None if there is too little to draw."""
    bits = in_bits([metrics])
    training = Series("training", _values(metrics.training, bits=bits))
    held_out = Series("held-out text", _values(metrics.held_out, bits=bits), scattered=True)
    return curve([training, held_out], floor=floor if bits else None, unit=_unit(bits=bits), width=width)


def compared_curves(runs: Sequence[tuple[str, Metrics]], floor: float | None, *, width: int) -> RenderableType | None:
    """The curves of several runs in one plot: on held-out text, or in training if that was not measured."""
    bits = in_bits([metrics for _, metrics in runs])
    series = []
    for name, metrics in runs:
        held_out = _values(metrics.held_out, bits=bits)
        series.append(Series(name, held_out if len(held_out) > 1 else _values(metrics.training, bits=bits), True))
    return curve(series, floor=floor if bits else None, unit=_unit(bits=bits), width=width)


def in_bits(all_metrics: Sequence[Metrics]) -> bool:
    """Whether every measurement is there in bits per byte. Otherwise nats per token are drawn."""
    points = [point for metrics in all_metrics for point in (*metrics.training, *metrics.held_out)]
    return all(point.bits_per_byte is not None for point in points)


def curve(series: Sequence[Series], *, floor: float | None, unit: str, width: int) -> RenderableType | None:
    """Draw the series over the updates. None if no series has two points."""
    series = [each for each in series if each.points]
    if max((len(each.points) for each in series), default=0) < 2:
        return None
    import plotext  # type: ignore[import-untyped]  # 80 ms, paid only when there is a curve to draw

    values = [value for each in series for _, value in each.points] + ([floor] if floor else [])
    lowest, highest = min(values) * 0.93, max(values) * 1.07
    first, last = (pick(step for each in series for step, _ in each.points) for pick in (min, max))
    plotext.clear_figure()
    plotext.limit_size(False, False)  # the width is ours to choose, also where there is no terminal
    plotext.plot_size(width, HEIGHT)
    plotext.theme("clear")
    plotext.xlim(first, last)
    plotext.ylim(math.log(lowest), math.log(highest))
    if floor:
        plotext.horizontal_line(math.log(floor))
    for each, (mark, _, colour) in zip(series, _marks(series)):
        steps, logs = _thinned(each.points, width)
        (plotext.scatter if each.scattered else plotext.plot)(steps, logs, marker=mark, color=colour)
    heights = _heights(lowest, highest, floor)
    plotext.yticks([math.log(tick) for tick in heights], [f"{tick:.3g}" for tick in heights])
    ticks = _steps(first, last, most=max(2, (width - MARGIN) // 12))
    plotext.xticks(ticks, [str(tick) for tick in ticks])
    drawn = Text.from_ansi(plotext.build().rstrip("\n"), no_wrap=True)
    plotext.clear_figure()
    return Group(_legend(series, floor, unit, width), drawn, Text("updates".rjust(width), style="quiet"))


def _legend(series: Sequence[Series], floor: float | None, unit: str, width: int) -> Text:
    line = clean(unit, "title")
    for each, (_, mark, colour) in zip(series, _marks(series)):
        line.append("  ")
        line.append_text(Text.assemble((mark, colour), " ", clean(each.label)))
    if floor:
        line.append(f"  ── floor {floor:.3f}")
        explained = ": no model can be below"
        line.append(explained if line.cell_len + len(explained) <= width else "")
    return line


def _marks(series: Sequence[Series]) -> list[tuple[str, str, str]]:
    """A line has the first kind of mark, scattered points one of the others."""
    kinds = MARKS[1:] if all(each.scattered for each in series) else MARKS
    return [kinds[place % len(kinds)] for place in range(len(series))]


def _values(points: Sequence[Point], *, bits: bool) -> list[tuple[int, float]]:
    pairs = [(point.step, point.bits_per_byte if bits else point.loss) for point in points]
    return [(step, value) for step, value in pairs if value is not None and value > 0]


def _unit(*, bits: bool) -> str:
    return "Bits per byte" if bits else "Loss, nats per token"


def _thinned(points: Sequence[tuple[int, float]], width: int) -> tuple[list[float], list[float]]:
    """As many points as the plot has columns: each the mean of its neighbours, so that noise does not hide the line."""
    share = max(1, math.ceil(len(points) / width))
    groups = [points[place : place + share] for place in range(0, len(points), share)]
    steps = [sum(step for step, _ in group) / len(group) for group in groups]
    return steps, [math.log(sum(value for _, value in group) / len(group)) for group in groups]


def _heights(lowest: float, highest: float, floor: float | None) -> list[float]:
    """Where the vertical axis has its numbers: round ones, unless there are too few between, and the floor's own."""
    heights = [tick for tick in TICKS if lowest <= tick <= highest]
    if len(heights) < 3:
        heights = [lowest * (highest / lowest) ** (part / 4) for part in range(5)]
    if not floor:
        return heights
    row = math.log(highest / lowest) / (HEIGHT - 3)
    return [floor, *(tick for tick in heights if abs(math.log(tick / floor)) > row)]


def _steps(first: int, last: int, *, most: int) -> list[int]:
    """At most so many round numbers of updates, evenly spaced, from the first to the last."""
    rounds = (round(each * 10**power) for power in range(10) for each in (1, 2, 2.5, 5) if each * 10**power >= 1)
    every = next(size for size in rounds if last // size - (first - 1) // size <= most)
    return [step for step in range(first, last + 1) if step % every == 0] or [first, last]
