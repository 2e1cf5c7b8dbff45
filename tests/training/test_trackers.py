"""The given trackers, with the real packages: what they write can be read again, offline, and nothing else happens."""

import subprocess
import sys
from pathlib import Path

import pytest

from intro2llm.training.trackers import TensorBoardTracker, WandbTracker
from intro2llm.training.trainer_logger import TrainerLogger


def test_tensorboard_reads_what_was_logged(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TrainerLogger(tmp_path / "metrics.jsonl", trackers=[TensorBoardTracker(tmp_path / "curves")])
    logger.log({"loss": 2.5, "tokens": 512}, step=10)
    logger.log({"eval_loss": 2.25}, step=10)
    logger.log({"loss": 2.0, "tokens": 500}, step=20)
    logger.close()
    read = EventAccumulator(str(tmp_path / "curves")).Reload()
    assert {(event.step, event.value) for event in read.Scalars("loss")} == {(10, 2.5), (20, 2.0)}
    assert {(event.step, event.value) for event in read.Scalars("eval_loss")} == {(10, 2.25)}
    assert {(event.step, event.value) for event in read.Scalars("tokens")} == {(10, 512.0), (20, 500.0)}


def test_wandb_writes_a_run_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    tracker = WandbTracker(tmp_path / "wandb runs", project="course", name="mine")
    logger = TrainerLogger(tmp_path / "metrics.jsonl", trackers=[tracker])
    logger.log({"loss": 2.5}, step=10)
    logger.log({"eval_loss": 2.25}, step=10)
    logger.log({"loss": 2.0}, step=20)
    logger.close()
    (written,) = (tmp_path / "wandb runs").glob("wandb/offline-run-*/run-*.wandb")
    content = written.read_bytes()
    for expected in (b"course", b"mine", b"eval_loss", b"2.25"):
        assert expected in content


@pytest.mark.parametrize(("package", "maker"), [("tensorboard", "TensorBoardTracker"), ("wandb", "WandbTracker")])
def test_a_missing_package_is_named_with_its_remedy(package: str, maker: str, tmp_path: Path) -> None:
    arguments = "(Path('x'))" if maker == "TensorBoardTracker" else "(Path('x'), 'p', 'n')"
    program = (
        "import sys; from pathlib import Path\n"
        f"sys.modules[{package!r}] = None\n"
        "from intro2llm.training import trackers\n"
        f"trackers.{maker}{arguments}\n"
    )
    import intro2llm

    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(intro2llm.__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert "pip install 'intro2llm[track]'" in ran.stderr.strip().split("\n")[-1]


def test_nothing_optional_is_imported_before_it_is_needed() -> None:
    import intro2llm

    program = (
        "import sys, intro2llm.training.trackers, intro2llm.training.trainer_logger\n"
        "print([name for name in ('tensorboard', 'wandb', 'torch.utils.tensorboard') if name in sys.modules])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(intro2llm.__file__).parents[1], capture_output=True, text=True
    )
    assert ran.stdout.strip() == "[]", ran.stderr
