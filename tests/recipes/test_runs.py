"""Runs read from disk: whole ones, damaged ones, ones from elsewhere, and whether a process still trains one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coursecli.recipes.runs import (
    Checkpoint,
    Point,
    Sample,
    read_checkpoints,
    read_metrics,
    read_run,
    read_runs,
    read_samples,
    read_scores,
    read_settings,
    run_names,
)

INFO = {
    "kind": "pretrain",
    "created": "2026-01-02T03:04:05+00:00",
    "preset": "nano",
    "data": "storyworld",
    "state": "finished",
    "step": 20,
    "steps": 30,
    "parameters": 1000,
    "eval_bits_per_byte": 0.75,
    "floor": 0.5,
    "tokens": 4096,
    "seconds": 12,
}


def make(folder: Path, info: object = INFO, **files: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(info if isinstance(info, str) else json.dumps(info), encoding="utf-8")
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return folder


def test_what_a_run_says_of_itself(tmp_path: Path):
    run = read_run(make(tmp_path / "a"))
    assert (run.name, run.kind, run.state, run.preset, run.step, run.steps) == (
        "a",
        "pretrain",
        "finished",
        "nano",
        20,
        30,
    )
    assert (run.bits_per_byte, run.floor, run.times_floor, run.seconds) == (0.75, 0.5, 1.5, 12.0)
    assert run.bytes == (tmp_path / "a" / "run.json").stat().st_size


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\x00", '{"kind": "pretrain"', "[" * 5000])
def test_a_run_whose_description_is_damaged_is_still_listed(tmp_path: Path, text: str):
    make(tmp_path / "a", text)
    assert [(run.name, run.state) for run in read_runs(tmp_path)] == [("a", "damaged")]


def test_values_of_the_wrong_kind_are_passed_over(tmp_path: Path):
    wrong = {
        "kind": 3,
        "step": "x",
        "steps": 1.5,
        "floor": "y",
        "eval_bits_per_byte": True,
        "created": [],
        "seed": True,
    }
    run = read_run(make(tmp_path / "a", wrong))
    assert (run.kind, run.state) == ("", "")
    assert {run.step, run.steps, run.floor, run.bits_per_byte, run.times_floor, run.created, run.seed} == {None}
    assert read_run(make(tmp_path / "b", {**INFO, "floor": 0})).times_floor is None


def test_an_imported_run_has_no_training(tmp_path: Path):
    run = read_run(make(tmp_path / "a", {"kind": "import", "source": "/models/x", "parameters": 5, "created": "?"}))
    assert (run.kind, run.state, run.source, run.parameters, run.steps) == ("import", "", "/models/x", 5, None)


def test_the_newest_comes_first_and_hidden_or_foreign_folders_are_none(tmp_path: Path):
    for name, day in (("old", 1), ("new", 3), ("middle", 2)):
        make(tmp_path / name, {**INFO, "created": f"2026-01-0{day}T00:00:00+00:00"})
    make(tmp_path / ".new.123.partial")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").write_text("x")
    assert [run.name for run in read_runs(tmp_path)] == ["new", "middle", "old"]
    assert run_names(tmp_path) == ["middle", "new", "old"]
    assert read_runs(tmp_path / "nowhere") == []


@pytest.mark.skipif(os.name != "posix", reason="needs the locks of files")
def test_a_run_whose_process_is_gone_has_stopped(tmp_path: Path):
    """A dead process, a living one without the lock (its number was given again), and one that holds the lock."""
    running = {**INFO, "state": "running"}
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert read_run(make(tmp_path / "none", running)).state == "stopped"
    assert read_run(make(tmp_path / "dead", running, lock=f"{gone.pid}\n")).state == "stopped"
    assert read_run(make(tmp_path / "other", running, lock=f"{os.getpid()}\n")).state == "stopped"
    assert read_run(make(tmp_path / "damaged", running, lock="what\n")).state == "stopped"
    owned = make(tmp_path / "owned", running, lock="")
    script = (
        "import fcntl, os, sys; file = open('lock', 'a'); fcntl.flock(file, fcntl.LOCK_EX);"
        "file.write(str(os.getpid())); file.flush(); print('locked', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], cwd=owned, **pipes) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"locked\n"
        assert read_run(owned).state == "running"
        owner.communicate()
    assert read_run(owned).state == "stopped"


def test_the_metrics_of_a_run_without_its_damaged_lines(tmp_path: Path):
    lines = [
        '{"step": 20, "loss": 2.0, "bits_per_byte": 0.9, "learning_rate": 0.1}',
        '{"step": 10, "loss": 3.0}',
        "",
        "not json",
        '{"loss": 4.0}',
        '{"step": "30", "loss": 4.0}',
        '{"step": 30, "loss": null}',
        '{"step": 40, "loss": NaN}',
        '{"step": 20, "eval_loss": 2.5, "eval_bits_per_byte": 1.1}',
        '{"step": 10, "loss": 3.5}',
        '{"step": 50, "lo',
    ]
    metrics = read_metrics(make(tmp_path / "a", metrics_jsonl="\n".join(lines)))
    assert metrics.training == [Point(10, 3.5, None), Point(20, 2.0, 0.9)]
    assert metrics.held_out == [Point(20, 2.5, 1.1)]
    assert metrics.damaged == 5
    assert read_metrics(tmp_path / "nowhere").training == []


def test_samples_checkpoints_settings_and_scores(tmp_path: Path):
    samples = '{"step": 1, "prompt": "A", "text": "b"}\n{"step": 2}\n\xff\n{"step": 3, "text": "c"}\n'
    run = make(
        tmp_path / "a",
        samples_jsonl=samples,
        config_yaml="model: {a: 1, b: {c: 2}}\ntraining: {lr: 0.1}",
        eval_json="{}",
    )
    assert read_samples(run) == [Sample(1, "A", "b"), Sample(3, "", "c")]
    assert read_settings(run) == {"model.a": 1, "model.b.c": 2, "training.lr": 0.1}
    assert read_scores(run) == {}
    for name in ("step-000200", "step-000030", ".step-000300.12.partial", "step-x"):
        (run / "checkpoints" / name).mkdir(parents=True)
    (run / "checkpoints" / "step-000030" / "model").write_bytes(b"12345")
    (run / "checkpoints" / "step-7").write_text("a file")
    assert read_checkpoints(run) == [Checkpoint("step-000030", 30, 5), Checkpoint("step-000200", 200, 0)]


@pytest.mark.parametrize("text", ["", "{", "- 1", "a: [", "\x00"])
def test_settings_that_cannot_be_read_are_none(tmp_path: Path, text: str):
    assert read_settings(make(tmp_path / "a", config_yaml=text)) == {}
    assert read_settings(tmp_path / "nowhere") == {}


def test_links_are_not_followed_when_sizes_are_counted(tmp_path: Path):
    (tmp_path / "big").write_bytes(b"x" * 100_000)
    run = make(tmp_path / "runs" / "a")
    (run / "link").symlink_to(tmp_path / "big")
    (run / "loop").symlink_to(run, target_is_directory=True)
    assert read_run(run).bytes < 10_000
