"""Trackers draw curves of what a run measured: TensorBoard, and Weights & Biases. Given; the packages are optional.

Each has what `TrainerLogger` asks for: `log(metrics, step=…)` and `close()`. A package is imported when its tracker is
made, not before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any


class TensorBoardTracker:
    """Writes event files for TensorBoard: `tensorboard --logdir FOLDER` shows them.

    Args:
        folder: where they go; it is made if need be.

    Raises:
        ImportError: the package is not installed; the message says how to get it.
    """

    def __init__(self, folder: Path) -> None:
        _import("tensorboard", "TensorBoard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, global_step=step)

    def close(self) -> None:
        self._writer.close()


class WandbTracker:
    """Writes a run for Weights & Biases.

    Nothing leaves this machine unless the environment variable WANDB_MODE is "online": the run is written into
    `folder`, and `wandb sync FOLDER/wandb/offline-run-…` sends it later, should you want that.

    Args:
        folder: where the run is written; it is made if need be.
        project, name: under which Weights & Biases shows it.

    Raises:
        ImportError: the package is not installed; the message says how to get it.
    """

    def __init__(self, folder: Path, project: str, name: str) -> None:
        wandb = _import("wandb", "Weights & Biases")
        folder.mkdir(parents=True, exist_ok=True)
        mode = os.environ.get("WANDB_MODE", "offline")
        settings = wandb.Settings(silent=True, console="off")
        self._run = wandb.init(dir=str(folder), project=project, name=name, mode=mode, settings=settings)

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        self._run.finish()


def _import(package: str, title: str) -> Any:
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ImportError(f"{title} is not installed. Get it with: pip install 'intro2llm[track]'") from error
