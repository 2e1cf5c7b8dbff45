"""`train`: what a run leaves, that it can be continued as if it had never stopped, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from intro2llm.data import storyworld
from intro2llm.recipes.events import RecipeError
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


@pytest.mark.parametrize(("step", "number"), [(3, signal.SIGINT), (5, signal.SIGHUP), (7, signal.SIGTERM)])
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


# --- the user's own text --------------------------------------------------------------------------------------------


def book(paragraphs: int = 300) -> str:
    return "".join(f"Chapter {i}. The fox number {i} crosses the river and sings.\n\n" for i in range(paragraphs))


OWN_TEXT = ["--set", "training.tokens=null", "--steps", "3"]


@pytest.mark.parametrize("kind", ["file", "one line", "folder", "jsonl"])
def test_a_text_of_the_users_is_trained_on(trainings: Trainings, kind: str):
    path = trainings.folder / "mine"
    if kind == "folder":
        path.mkdir()
        for number in range(30):
            (path / f"{number}.txt").write_text(book(20))
    elif kind == "jsonl":
        path = path.with_suffix(".jsonl")
        path.write_text("".join(json.dumps({"text": f"{i} {book(5)}"}) + "\n" for i in range(40)))
    else:
        path.write_text(book() if kind == "file" else book().replace("\n", " "))
    assert trainings("--name", "own", "--data", str(path), *OWN_TEXT) == 0
    assert trainings.events("training")[0]["data"] == str(path)
    assert trainings.events("training")[0]["floor"] is None
    assert trainings.events("evaluation")[-1]["bits_per_byte"] > 0
    assert trainings.resume("--name", "own", "--steps", "4", "--data", str(path)) == 0
    with pytest.raises(RecipeError, match="--data is storyworld here"):
        trainings.resume("--name", "own", "--steps", "5", "--data", "storyworld")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no text"),
        (b" \n\n ", "holds no text"),
        (b"a few words", "and a window has 32"),
        (b"\x7fELF\x02\x01\0", "is not text in UTF-8: byte 0x00 at offset 6"),
        (b"caf\xe9 " * 100, "is not text in UTF-8: byte 0xe9 at offset 3"),
    ],
    ids=["empty", "white", "short", "binary", "latin-1"],
)
def test_a_text_that_cannot_be_trained_on_is_refused_and_leaves_no_run(
    trainings: Trainings, content: bytes, message: str
):
    (trainings.folder / "mine.txt").write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        trainings("--name", "own", "--data", "mine.txt", *OWN_TEXT)
    assert not list((trainings.folder / "runs").iterdir())


def test_a_text_that_has_changed_is_noticed_when_its_tokens_are_made_again(trainings: Trainings):
    path = trainings.folder / "mine.txt"
    path.write_text(book())
    trainings("--name", "own", "--data", "mine.txt", *OWN_TEXT)
    path.write_text(book(301))
    assert trainings.resume("--steps", "4", "--name", "own") == 0  # the run has its own tokens
    shutil.rmtree(trainings.run("own") / "data")
    with pytest.raises(RecipeError, match="is not the one that it began with"):
        trainings.resume("--steps", "5", "--name", "own")
    path.write_text(book())
    assert trainings.resume("--steps", "5", "--name", "own") == 0


# --- what is asked for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "nanno"], "there is no preset 'nanno'; did you mean 'nano'"),
        (["--set", "training.lrr=1"], "training.lrr is not known; did you mean 'lr'"),
        (["--set", "training.steps=x"], "training.steps is 'x'; it must be a whole number"),
        (["--steps", "0"], "steps is 0; it must be 1 or more"),
        (["--seq-len", "65"], "Windows of 65 tokens are too long: the model is meant for 64"),
        (["--data", "nowhere.txt"], "is no file and no folder"),
        (["--name", "a/b"], "cannot be the name of a folder"),
        (["--name", ".hidden"], "cannot be the name of a folder"),
        (["--device", "tpu"], "has no device 'tpu'"),
        (["--track", "paper"], "invalid choice: 'paper'"),
        (["--nproc", "0"], "there is at least one process"),
        (["--set", "model.vocab_size=200"], "The tokenizer cannot be trained"),
        (["--resume"], "There is no unfinished run"),
        (["--resume", "--name", "x"], "There is no run 'x'"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line_and_leaves_no_run(
    trainings: Trainings, arguments: list[str], message: str
):
    with pytest.raises(RecipeError, match=message) as caught:
        trainings(*arguments)
    assert "\n" not in caught.value.message
    assert not list((trainings.folder / "runs").glob("*"))


def test_names_are_given_and_never_taken_twice(trainings: Trainings):
    short = ["--steps", "1", "--set", "training.eval_steps=9"]
    for expected in ("mini-1", "mini-2"):
        trainings(*short)
        assert trainings.result["run"] == expected
    with pytest.raises(RecipeError) as caught:
        trainings("--name", "mini-1")
    assert caught.value.message == "There is a run 'mini-1' already."
    assert "intro2llm train --resume --name mini-1" in caught.value.remedy
    with pytest.raises(RecipeError, match="has made all of its 1 updates"):
        trainings.resume("--name", "mini-1")
    with pytest.raises(RecipeError, match="--preset is nano here, and mini in the run 'mini-1'"):
        trainings.resume("--name", "mini-1", "--preset", "nano")


def test_a_run_goes_on_for_longer(trainings: Trainings):
    trainings("--name", "first")
    assert trainings.resume("--name", "first", "--steps", "11", "--preset", "mini.yaml", "--data", "storyworld") == 0
    assert trainings.events("training")[0]["first_step"] == 8
    assert (trainings.info("first")["step"], trainings.info("first")["steps"]) == (11, 11)
    assert [line["step"] for line in trainings.metrics("first") if "loss" in line] == list(range(1, 12))


def test_windows_can_be_visited_in_order(trainings: Trainings):
    with recorded_batches() as batches:
        trainings("--set", "training.order=sequential", "--steps", "1")
    tokens = np.fromfile(trainings.run("mini-1") / "data" / "train.bin", "<u2")
    assert torch.cat(batches).flatten().tolist() == tokens[: 6 * 32].tolist()


@contextmanager
def recorded_batches() -> Iterator[list[torch.Tensor]]:
    before, seen = RunTrainer.train_step, []

    def train_step(self, batch):
        seen.append(batch["input_ids"])
        before(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunTrainer, "train_step", train_step)
        yield seen


def test_bfloat16_is_for_machines_that_have_it(trainings: Trainings, monkeypatch: pytest.MonkeyPatch):
    from intro2llm.training import devices

    assert devices.autocast_dtype(None, torch.device("cpu")) is None
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: False)
    with pytest.raises(RecipeError, match="has no bfloat16 of its own"):
        trainings("--dtype", "bfloat16")
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: True)
    dtypes = []
    linear = F.linear

    def watched(*arguments, **options):
        dtypes.append(linear(*arguments, **options).dtype)
        return linear(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(F, "linear", watched)
        assert trainings("--dtype", "bfloat16", "--name", "half", "--steps", "2") == 0
    assert torch.bfloat16 in dtypes
    assert trainings.events("training")[0]["dtype"] == "bfloat16"
    model, _ = load_model(find_run(Path("runs"), "half"))
    assert model.lm_head.weight.dtype == torch.float32  # the weights are kept as they were
    trainings.resume("--name", "half", "--steps", "3")
    assert trainings.events("training")[0]["dtype"] == "bfloat16"


# --- trackers -------------------------------------------------------------------------------------------------------


def test_tensorboard_gets_the_figures(trainings: Trainings):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainings("--name", "first", "--track", "tensorboard")
    read = EventAccumulator(str(trainings.run("first") / "tensorboard"))
    read.Reload()
    expected = {line["step"]: line["loss"] for line in trainings.metrics("first") if "loss" in line}
    assert {point.step: point.value for point in read.Scalars("loss")} == pytest.approx(expected)
    assert [point.step for point in read.Scalars("eval_bits_per_byte")] == [3, 6, 8]


def test_weights_and_biases_gets_them_offline(trainings: Trainings):
    pytest.importorskip("wandb")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_MODE", raising=False)
        trainings("--name", "first", "--track", "wandb", "--steps", "3")
    [written] = (trainings.run("first") / "wandb").glob("offline-run-*/run-*.wandb")
    assert b"eval_bits_per_byte" in written.read_bytes()


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb"])
def test_a_tracker_that_is_not_installed_is_named_with_its_remedy(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch, tracker: str
):
    monkeypatch.setitem(sys.modules, tracker, None)
    with pytest.raises(RecipeError, match="is not installed") as caught:
        trainings("--name", "first", "--track", tracker)
    assert "pip install 'intro2llm[track]'" in caught.value.remedy
    assert not trainings.run("first").exists()
