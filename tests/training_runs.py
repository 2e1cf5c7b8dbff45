"""Trainings of a very small model in a folder of their own, in this process or in one that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PRESET = """\
model:
  vocab_size: 300
  hidden_size: 16
  intermediate_size: 32
  num_hidden_layers: 1
  num_attention_heads: 2
  max_position_embeddings: 64
  attention_dropout: 0.1       # so that a lost stream of random numbers shows
  tie_word_embeddings: true
training:
  steps: 8
  batch_size: 3
  gradient_accumulation_steps: 2
  seq_length: 32
  tokens: 1200                 # 37 windows: an epoch of seven updates, the last one of a single window
  lr: 0.01
  tokenizer_bytes: 20000
  logging_steps: 1
  eval_steps: 3
  eval_windows: 20
  save_steps: 2
  sample_tokens: 6
"""


@dataclass
class Trainings:
    """Somebody in a workspace who trains."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    said: list[dict[str, Any]] = field(default_factory=list)
    """The events of the last run."""

    def __post_init__(self) -> None:
        self.monkeypatch.chdir(self.folder)
        (self.folder / "mini.yaml").write_text(PRESET, encoding="utf-8")

    def __call__(self, *arguments: str, preset: str | None = "mini.yaml") -> int:
        """Run the recipe in this process. What it says is in `said`."""
        from intro2llm.recipes import events, pretrain

        with tempfile.TemporaryFile() as file:
            self.monkeypatch.setattr(events, "_DESCRIPTOR", file.fileno())
            try:
                return pretrain.main([*([f"--preset={preset}"] if preset else []), "--device=cpu", *arguments])
            finally:
                file.seek(0)
                self.said = [json.loads(line) for line in file.read().splitlines()]

    def resume(self, *arguments: str) -> int:
        return self("--resume", *arguments, preset=None)

    def start(
        self, *arguments: str, preset: str | None = "mini.yaml", pass_fds: Sequence[int] = (), **variables: str
    ) -> subprocess.Popen[str]:
        """Run the recipe by hand, in a process of its own."""
        import intro2llm

        root = Path(intro2llm.__file__).parent.parent
        words = [*([f"--preset={preset}"] if preset else []), "--device=cpu", *arguments]
        return subprocess.Popen(
            [sys.executable, "-m", "intro2llm.recipes.pretrain", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=pass_fds,
        )

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.said if event["event"] == kind]

    @property
    def result(self) -> dict[str, Any]:
        """The data of the last event."""
        assert self.said[-1]["event"] == "finished"
        return self.said[-1]["data"]

    def run(self, name: str) -> Path:
        return self.folder / "runs" / name

    def info(self, name: str) -> dict[str, Any]:
        return json.loads((self.run(name) / "run.json").read_text(encoding="utf-8"))

    def metrics(self, name: str) -> list[dict[str, Any]]:
        """What the run measured, without how long it took."""
        lines = (self.run(name) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [{key: value for key, value in json.loads(line).items() if key != "tokens_per_second"} for line in lines]

    def weights(self, name: str, step: int) -> bytes:
        return (self.run(name) / "checkpoints" / f"step-{step:06d}" / "model.safetensors").read_bytes()

    def checkpoints(self, name: str) -> list[str]:
        return sorted(path.name for path in (self.run(name) / "checkpoints").iterdir())
