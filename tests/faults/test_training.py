"""What can happen to a training: it loses at most the updates since its last checkpoint, and makes them again."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

import intro2llm
from intro2llm.recipes.events import RecipeError, StorageError
from intro2llm.training.run_trainer import RunTrainer
from intro2llm.utils.checkpoint import is_valid_checkpoint
from tests.checking import marked, wait_until
from tests.training_runs import Trainings

ROOT = Path(intro2llm.__file__).parent.parent


@pytest.fixture
def trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    return Trainings(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    """A run `whole` of eight updates to which nothing has happened, to compare with, or to damage a copy of."""
    with pytest.MonkeyPatch.context() as patch:
        trainings = Trainings(tmp_path_factory.mktemp("undisturbed"), patch)
        assert trainings("--name", "whole") == 0
    return trainings


def copied(undisturbed: Trainings, trainings: Trainings, name: str = "mine") -> None:
    shutil.copytree(undisturbed.run("whole"), trainings.run(name))


def damage(file: Path) -> None:
    """Flip one bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def same_end(trainings: Trainings, name: str, undisturbed: Trainings) -> None:
    assert trainings.weights(name, 8) == undisturbed.weights("whole", 8)
    assert trainings.metrics(name) == undisturbed.metrics("whole")


@contextmanager
def meanwhile(step: int, act: Any) -> Iterator[list[int]]:
    """While inside, `act` is called when update `step` begins. Gives the list of the times that it was."""
    before, done = RunTrainer.train_step, []

    def train_step(self, batch):
        if self.global_step == step - 1 and self.window_tokens == 0:
            done.append(step)
            act()
        before(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunTrainer, "train_step", train_step)
        yield done


def by_script(trainings: Trainings, prelude: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The recipe in a process of its own, after some lines that arrange a fault."""
    script = f"{prelude}\nfrom intro2llm.recipes import events, pretrain\nevents.run_by_hand(pretrain.main)"
    return subprocess.run(
        [sys.executable, "-c", script, "--preset=mini.yaml", "--device=cpu", *arguments],
        cwd=trainings.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


KILLED_WHILE_SAVING = """
import os, signal
from intro2llm.training.run_trainer import RunTrainer
write_model = RunTrainer.write_model
def killed(self, folder):
    write_model(self, folder)
    if self.global_step == 6:
        os.kill(os.getpid(), signal.SIGKILL)
RunTrainer.write_model = killed
"""


def test_killed_while_saving(trainings: Trainings, undisturbed: Trainings):
    ended = by_script(trainings, KILLED_WHILE_SAVING, "--name", "mine")
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert list((trainings.run("mine") / "checkpoints").glob(".step-000006.*.partial"))  # it was being written
    assert trainings.checkpoints("mine")[-2:] == ["step-000002", "step-000004"]
    assert trainings.info("mine")["state"] == "running"

    assert trainings.resume() == 0
    assert trainings.events("training")[0]["first_step"] == 4
    same_end(trainings, "mine", undisturbed)
    assert not list((trainings.run("mine") / "checkpoints").glob(".*"))


TWICE = """
import signal
from intro2llm.training.run_trainer import RunTrainer
train_step = RunTrainer.train_step
def interrupted(self, batch):
    if self.global_step == 4:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    train_step(self, batch)
RunTrainer.train_step = interrupted
"""


def test_a_second_ctrl_c_ends_it_at_once(trainings: Trainings, undisturbed: Trainings):
    ended = by_script(trainings, TWICE, "--name", "mine")
    assert ended.returncode == 130, ended.stderr
    assert trainings.checkpoints("mine") == ["step-000002", "step-000004"]  # nothing of the update in progress
    assert trainings.resume() == 0
    same_end(trainings, "mine", undisturbed)


def test_ctrl_c_while_the_text_is_prepared(trainings: Trainings, undisturbed: Trainings):
    from intro2llm.training import preparation

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "read_tokens", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
        assert trainings("--name", "mine") == 143
    assert trainings.result["state"] == "interrupted"
    assert "Stopped before the first update" in trainings.said[-1]["message"]
    assert trainings.resume() == 0
    same_end(trainings, "mine", undisturbed)


def test_the_last_checkpoint_is_damaged(trainings: Trainings, undisturbed: Trainings):
    copied(undisturbed, trainings)
    folder = trainings.run("mine") / "checkpoints" / "step-000008"
    damage(folder / "model.safetensors")
    assert not is_valid_checkpoint(folder)
    assert trainings.resume("--name", "mine") == 0
    assert "step-000008 is damaged: going on from step-000006" in trainings.events("notice")[0]["message"]
    assert trainings.events("training")[0]["first_step"] == 6
    same_end(trainings, "mine", undisturbed)


def test_every_checkpoint_is_damaged(trainings: Trainings, undisturbed: Trainings):
    copied(undisturbed, trainings)
    for folder in (trainings.run("mine") / "checkpoints").iterdir():
        damage(folder / "training_state.pt")
    with pytest.raises(RecipeError, match=r"None of the 3 checkpoints .* is whole"):
        trainings.resume("--name", "mine", "--steps", "10")
    assert len(trainings.checkpoints("mine")) == 3  # nothing was thrown away


def test_the_tokens_are_damaged_and_made_again(trainings: Trainings, undisturbed: Trainings):
    copied(undisturbed, trainings)
    tokens = trainings.run("mine") / "data" / "train.bin"
    damage(tokens)
    shutil.rmtree(trainings.run("mine") / "checkpoints" / "step-000008")
    trainings.resume("--name", "mine")
    assert any("train.bin: is damaged" in event["message"] for event in trainings.events("notice"))
    assert tokens.read_bytes() == (undisturbed.run("whole") / "data" / "train.bin").read_bytes()
    same_end(trainings, "mine", undisturbed)


def test_a_config_that_does_not_fit_the_checkpoint(trainings: Trainings, undisturbed: Trainings):
    copied(undisturbed, trainings)
    config = trainings.run("mine") / "config.yaml"
    values = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**values, "model": {**values["model"], "intermediate_size": 48}}))
    with pytest.raises(RecipeError, match=r"model\.intermediate_size is 32 there, and 48 in config\.yaml"):
        trainings.resume("--name", "mine", "--steps", "10")
    assert trainings.info("mine")["state"] == "finished"


@pytest.mark.parametrize("change", ["model.hidden_size=32", "training.lr=0.5", "training.batch_size=4"])
def test_a_change_that_a_run_cannot_take_names_the_field(trainings: Trainings, undisturbed: Trainings, change: str):
    copied(undisturbed, trainings)
    field, _, value = change.partition("=")
    with pytest.raises(RecipeError, match=rf"{field} is {value} here, and .* in the run 'mine'"):
        trainings.resume("--name", "mine", "--steps", "10", "--set", change)


def test_the_loss_is_no_number(trainings: Trainings, undisturbed: Trainings):
    compute_loss = RunTrainer.compute_loss

    def broken(self, batch):
        loss, tokens = compute_loss(self, batch)
        return (loss * float("nan") if self.global_step == 6 and self.model.training else loss), tokens

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunTrainer, "compute_loss", broken)
        with pytest.raises(RecipeError) as caught:
            trainings("--name", "mine")
    assert "update 7: the loss is nan" in caught.value.message
    assert "step-000006, is whole" in caught.value.message
    assert trainings.info("mine")["state"] == "failed"
    assert trainings.weights("mine", 6) == undisturbed.weights("whole", 6)
    assert trainings.resume() == 0  # a fault that does not come again
    same_end(trainings, "mine", undisturbed)


def test_the_disk_is_full(trainings: Trainings, undisturbed: Trainings):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = 10_000

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):  # what the disk says now
            (trainings.folder / "large").write_bytes(bytes(2 * size))

    assert (undisturbed.run("whole") / "checkpoints" / "step-000008" / "model.safetensors").stat().st_size > size
    try:
        with meanwhile(5, fill) as filled, pytest.raises(StorageError) as caught:
            trainings("--name", "mine")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert filled
    assert "step-000006" in caught.value.message
    assert "cannot be written" in caught.value.message
    assert os.strerror(errno.EFBIG) in caught.value.message
    assert "step-000004, is whole" in caught.value.message
    assert caught.value.remedy == "When that is mended: intro2llm train --resume --name mine"
    assert trainings.info("mine")["state"] == "failed"
    assert trainings.resume() == 0
    same_end(trainings, "mine", undisturbed)


def test_two_trainings_in_one_folder(trainings: Trainings, undisturbed: Trainings):
    first = trainings.start("--name", "mine", "--steps", "100000")
    assert wait_until(lambda: (trainings.run("mine") / "checkpoints" / "step-000002").is_dir(), seconds=60)
    with pytest.raises(RecipeError, match=rf"is being trained by another process \({first.pid}\)"):
        trainings.resume("--name", "mine")
    with pytest.raises(RecipeError, match="There is a run 'mine' already"):
        trainings("--name", "mine")
    assert first.poll() is None  # it went on
    first.kill()
    first.communicate()
    assert (trainings.run("mine") / "lock").read_text() == f"{first.pid}\n"  # nobody tidied up
    with meanwhile(100000, lambda: None), pytest.raises(RecipeError, match="more than --steps 1"):
        trainings.resume("--name", "mine", "--steps", "1")  # it is ours now


def test_what_fails_is_told_although_the_search_for_checkpoints_fails_too(trainings: Trainings):
    """As in a workspace where `latest_checkpoint` is a stub still, and the training has never come so far."""
    from intro2llm.training import ending

    def stub(*arguments):
        raise NotImplementedError("lesson08 · latest_checkpoint")

    def broken(self, batch):
        raise NotImplementedError("lesson08 · PretrainTrainer.compute_loss")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ending, "latest_checkpoint", stub)
        patch.setattr(RunTrainer, "compute_loss", broken)
        with pytest.raises(NotImplementedError, match=r"PretrainTrainer\.compute_loss"):
            trainings("--name", "mine")
    assert not trainings.run("mine").exists()


def test_a_learners_error_leaves_its_own_lines(trainings: Trainings):
    def broken(self, batch):
        raise ZeroDivisionError("mine")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunTrainer, "compute_loss", broken)
        with pytest.raises(ZeroDivisionError, match="mine"):
            trainings("--name", "mine")
    assert not trainings.run("mine").exists()  # it had come to nothing; the name is free


def test_the_terminal_of_a_training_by_hand_is_closed(trainings: Trainings):
    pytest.importorskip("termios", reason="terminals of POSIX systems")
    from tests.terminal import Terminal

    command = [sys.executable, "-m", "intro2llm.recipes.pretrain", "--preset=mini.yaml", "--device=cpu", "--name=first"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with Terminal([*command, "--steps=100000"], trainings.folder, environment) as terminal:
        terminal.wait_for("update 4")
        terminal.close()
        terminal.wait()
    info = trainings.info("first")
    assert info["state"] == "interrupted"
    assert trainings.checkpoints("first")[-1] == f"step-{info['step']:06d}"


# --- several processes ----------------------------------------------------------------------------------------------

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")


@pytest.fixture
def mark() -> Iterator[str]:
    mark = f"mark-{uuid.uuid4().hex}"
    yield mark
    if sys.platform == "linux":
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)


def of_rank(mark: str, rank: int) -> int:
    [found] = [pid for pid in marked(mark) if f"\0RANK={rank}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()]
    return found


def several(trainings: Trainings, mark: str, **variables: str) -> subprocess.Popen[str]:
    """Two processes at work, which have saved something."""
    process = trainings.start(
        "--name", "mine", "--nproc", "2", "--steps", "100000", "--set", "training.tokens=4000", MARK=mark, **variables
    )
    assert wait_until(lambda: (trainings.run("mine") / "checkpoints" / "step-000002").is_dir(), seconds=60)
    return process


@needs_proc
def test_one_of_several_processes_is_killed(trainings: Trainings, mark: str):
    process = several(trainings, mark)
    os.kill(of_rank(mark, 1), signal.SIGKILL)
    said, _ = process.communicate()
    assert process.returncode == 2
    assert "Process 1 was ended by SIGKILL, and the others with it." in " ".join(said.split())
    assert not marked(mark)
    assert trainings.info("mine")["step"] >= 2


@needs_proc
def test_ctrl_c_stops_several_processes_after_the_same_update(trainings: Trainings, mark: str):
    process = several(trainings, mark)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    assert process.returncode == 130, said
    assert trainings.info("mine")["state"] == "interrupted"
    assert trainings.checkpoints("mine")[-1] == f"step-{trainings.info('mine')['step']:06d}"
    assert not marked(mark)


@needs_proc
def test_the_launcher_is_killed(trainings: Trainings, mark: str):
    process = several(trainings, mark)
    process.kill()
    process.communicate()
    assert wait_until(lambda: not marked(mark), seconds=60)


def test_an_error_in_one_of_several_processes_is_told_once(trainings: Trainings, tmp_path: Path):
    package = shutil.copytree(ROOT / "intro2llm", tmp_path / "copy" / "intro2llm")
    loss = package / "loss" / "cross_entropy.py"
    loss.write_text(loss.read_text() + "\nimport os\nif os.environ.get('RANK') == '1':\n    del cross_entropy\n")
    process = trainings.start("--name", "mine", "--nproc", "2", PYTHONPATH=str(package.parent))
    said, _ = process.communicate()
    assert process.returncode == 2
    assert said.strip().splitlines()[-1].startswith("Process 1 failed: ImportError: cannot import name 'cross_entropy'")
