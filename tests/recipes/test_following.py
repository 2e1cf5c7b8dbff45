"""The log of a run is read on, never anew: the same curve as reading it whole, and bounded."""

from __future__ import annotations

import json
from pathlib import Path

from coursecli.recipes.following import MOST_POINTS, MetricsLog
from coursecli.recipes.runs import read_metrics


def line(step: int, loss: float, *, held_out: bool = False) -> str:
    before = "eval_" if held_out else ""
    return json.dumps({"step": step, f"{before}loss": loss, f"{before}bits_per_byte": loss / 2}) + "\n"


def test_it_reads_what_was_added(tmp_path: Path) -> None:
    file, log = tmp_path / "metrics.jsonl", MetricsLog(tmp_path)
    assert not log.look()
    with file.open("a", encoding="utf-8") as stream:
        for step in range(1, 30):
            text = line(step, 10 / step) + (line(step, 11 / step, held_out=True) if step % 5 == 0 else "")
            stream.write(text[:7])
            stream.flush()
            log.look()  # half a line is not read yet
            stream.write(text[7:])
            stream.flush()
            assert log.look()
            assert log.metrics == read_metrics(tmp_path)
    assert not log.look()


def test_damage_is_counted_and_repeated_updates_count_once(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(line(1, 3) + "no\n\n[1]\n" + line(2, 2) + line(1, 1) + line(2, 9), "utf-8")
    log = MetricsLog(tmp_path)
    log.look()
    assert log.metrics == read_metrics(tmp_path)
    assert log.metrics.damaged == 2


def test_a_log_that_was_cut_or_replaced_is_read_anew(tmp_path: Path) -> None:
    file, log = tmp_path / "metrics.jsonl", MetricsLog(tmp_path)
    file.write_text("".join(line(step, 1) for step in range(1, 9)), "utf-8")
    log.look()
    other = tmp_path / "new"
    other.write_text("".join(line(step, 2) for step in range(1, 12)), "utf-8")
    other.replace(file)
    assert log.look() and log.metrics == read_metrics(tmp_path)
    file.write_text(line(1, 5), "utf-8")
    assert log.look() and log.metrics == read_metrics(tmp_path)
    file.unlink()
    assert log.look() and log.metrics.training == []


def test_a_long_run_is_kept_in_a_bounded_number_of_points(tmp_path: Path) -> None:
    count = 5 * MOST_POINTS
    (tmp_path / "metrics.jsonl").write_text(
        "".join(line(step, 2.0 + step % 2) for step in range(1, count + 1)), "utf-8"
    )
    log = MetricsLog(tmp_path)
    log.look()
    points = log.metrics.training
    assert MOST_POINTS // 4 < len(points) <= MOST_POINTS
    assert points[-1].step == count
    assert [point.step for point in points] == sorted({point.step for point in points})
    assert all(2.0 <= point.loss <= 3.0 for point in points)
    assert abs(sum(point.loss for point in points) / len(points) - 2.5) < 0.01
