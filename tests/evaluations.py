"""Evaluations of small models in a workspace of their own, in this process."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Evaluations:
    """Somebody in a workspace who evaluates."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    said: list[dict[str, Any]] = field(default_factory=list)
    """The events of the last evaluation."""

    def __post_init__(self) -> None:
        self.monkeypatch.chdir(self.folder)

    def __call__(self, *arguments: str) -> int:
        """Run the recipe. What it says is in `said`."""
        from intro2llm.recipes import evaluate, events

        with tempfile.TemporaryFile() as file:
            self.monkeypatch.setattr(events, "_DESCRIPTOR", file.fileno())
            try:
                return evaluate.main(["--device=cpu", *arguments])
            finally:
                file.seek(0)
                self.said = [json.loads(line) for line in file.read().splitlines()]

    def add_run(self, name: str = "first", *, uniform: bool = False, context: int = 512, seed: int = 0) -> Path:
        """A run that was never trained. A uniform model finds every token equally likely, after any other."""
        import torch

        from intro2llm.data.storyworld import story
        from intro2llm.model.build import build_model
        from intro2llm.model.config import ModelConfig
        from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer
        from intro2llm.utils.model_folder import save_model, write_run

        tokenizer = ByteLevelTokenizer()
        tokenizer.train((story("train", index).text for index in range(30)), 500)
        torch.manual_seed(seed)
        config = ModelConfig(
            vocab_size=500,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=context,
            tie_word_embeddings=False,
            initializer_range=0.5,
        )
        model = build_model(config)
        if uniform:
            torch.nn.init.zeros_(model.lm_head.weight)
        run = self.folder / "runs" / name
        save_model(model, tokenizer, run / "checkpoints" / "step-000001")
        write_run(run, "pretrain", data="storyworld")
        return run

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.said if event["event"] == kind]

    def table(self, title: str) -> dict[str, list[str]]:
        """The rows of a table, by their first cell."""
        (table,) = [event for event in self.events("table") if event["title"] == title]
        return {row[0]: row[1:] for row in table["rows"]}

    def notes(self, title: str) -> str:
        return " ".join(note for event in self.events("table") if event["title"] == title for note in event["notes"])

    @property
    def result(self) -> dict[str, Any]:
        """The data of the last event."""
        assert self.said[-1]["event"] == "finished"
        return self.said[-1]["data"]

    def kept(self, task: str, name: str = "first") -> list[Path]:
        return sorted((self.folder / "runs" / name / "eval").glob(f"{task}-*.jsonl"))

    def report(self, name: str = "first") -> dict[str, Any]:
        return json.loads((self.folder / "runs" / name / "eval.json").read_text(encoding="utf-8"))
