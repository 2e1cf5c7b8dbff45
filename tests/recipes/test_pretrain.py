"""`train`: what a run leaves, that it can be continued as if it had never stopped, and what is refused."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from intro2llm.data import storyworld
from intro2llm.training.run_trainer import RunTrainer
from intro2llm.utils.model_folder import find_run, load_model
from tests.training_runs import Trainings


@pytest.fixture
def trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    return Trainings(tmp_path, monkeypatch)


@contextmanager
def interrupted_at(step: int, number: int = signal.SIGINT) -> Iterator[None]:
    """While inside, a signal is sent to this process when update `step` is being made."""
    before = RunTrainer.train_step

    def train_step(self, batch):
        if self.global_step == step - 1 and self.window_tokens == 0:
            signal.raise_signal(number)
        before(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunTrainer, "train_step", train_step)
        yield


def test_a_run_says_what_it_does_and_leaves_it_on_disk(trainings: Trainings):
    assert trainings("--name", "first", "--seed", "3") == 0
    training = trainings.events("training")[0]
    assert {name: training[name] for name in ("run", "preset", "data", "device", "dtype", "steps", "first_step")} == {
        "run": "first", "preset": "mini", "data": "storyworld", "device": "cpu", "dtype": "float32", "steps": 8,
        "first_step": 0,
    }  # fmt: skip
    assert (training["tokens_per_step"], training["processes"], training["seed"]) == (3 * 2 * 32, 1, 3)
    assert [event["step"] for event in trainings.events("evaluation")] == [3, 6, 8]
    assert [event["step"] for event in trainings.events("sample")] == [3, 6, 8]
    assert [event["step"] for event in trainings.events("saved")] == [2, 4, 6, 8]
    assert trainings.events("step")[-1]["step"] == 8
    assert set(trainings.events("step")[-1]) == {
        "event", "step", "loss", "bits_per_byte", "learning_rate", "grad_norm", "tokens_per_second", "seconds_left",
    }  # fmt: skip

    info, result = trainings.info("first"), trainings.result
    assert (info["kind"], info["state"], info["step"], info["steps"]) == ("pretrain", "finished", 8, 8)
    assert (
        result["eval_bits_per_byte"]
        == info["eval_bits_per_byte"]
        == trainings.events("evaluation")[-1]["bits_per_byte"]
    )
    assert (result["run"], result["exit_code"], result["state"]) == ("first", 0, "finished")
    assert trainings.checkpoints("first") == ["step-000004", "step-000006", "step-000008"]
    lines = trainings.metrics("first")
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 9))
    assert [line["step"] for line in lines if "eval_bits_per_byte" in line] == [3, 6, 8]
    samples = (trainings.run("first") / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in samples] == [3, 6, 8]

    model, tokenizer = load_model(find_run(Path("runs")))
    assert sum(parameter.numel() for parameter in model.parameters()) == training["parameters"] == info["parameters"]
    assert tokenizer.decode(tokenizer.encode("Vera met Tom.")) == "Vera met Tom."


def test_the_figures_are_those_of_whole_held_out_stories(trainings: Trainings):
    trainings("--name", "first")
    model, tokenizer = load_model(find_run(Path("runs")))
    stories = [storyworld.story("validation", index) for index in range(20)]
    eos, nats, windows, used = tokenizer.eos_token_id, 0.0, 0, []
    for story in stories:  # each read alone, with all that stands before a token in the same half-overlapping windows
        ids = [eos, *tokenizer.encode(story.text), eos]
        starts = [0, *range(16, max(1, len(ids) - 16), 16)]
        if used and windows + len(starts) > 20:
            break
        windows += len(starts)
        used.append(story)
        for start in starts:
            window = torch.tensor([ids[start : start + 32]])
            losses = F.cross_entropy(model(window).logits[0, :-1], window[0, 1:], reduction="none")
            nats += losses[15 if start else 0 :].sum().item()
    size = sum(len(story.text.encode()) for story in used)
    assert trainings.result["floor"] == pytest.approx(storyworld.bits_per_byte(used), rel=1e-12)
    assert trainings.result["eval_bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-5)


@pytest.mark.parametrize(("step", "number"), [(3, signal.SIGINT), (7, signal.SIGTERM)])
def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(trainings: Trainings, step: int, number: int):
    trainings("--name", "whole")
    with interrupted_at(step, number):
        assert trainings("--name", "parts") == 128 + number
    assert trainings.result["state"] == trainings.info("parts")["state"] == "interrupted"
    assert trainings.result["step"] == step  # the update was finished, and saved
    assert trainings.events("saved")[-1]["step"] == step

    torch.manual_seed(99)
    assert trainings.resume() == 0
    assert trainings.events("training")[0]["first_step"] == step
    assert trainings.weights("parts", 8) == trainings.weights("whole", 8)
    assert trainings.metrics("parts") == trainings.metrics("whole")
    assert (trainings.run("parts") / "samples.jsonl").read_text() == (
        trainings.run("whole") / "samples.jsonl"
    ).read_text()
    assert trainings.info("parts")["state"] == "finished"
