"""The numbers that describe a pre-training: the section `training` of a preset. Given."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained. An update looks at batch_size · gradient_accumulation_steps · seq_length tokens."""

    steps: int = 1000
    """How many updates the run has."""
    batch_size: int = 8
    """Windows in a micro-batch, on each process."""
    gradient_accumulation_steps: int = 1
    """Micro-batches of one update."""
    seq_length: int = 256
    """T: tokens in a window."""
    order: Literal["random", "sequential"] = "random"
    """In which order an epoch visits the windows."""

    optimizer: Literal["adamw", "lion"] = "adamw"
    lr: float = 1e-3
    """The highest learning rate, after the warm-up."""
    min_lr_ratio: float = 0.1
    """Where its decay ends, as a share of `lr`."""
    warmup_steps: int = 50
    """Updates until the full rate. A run of fewer than ten times as many warms up for a tenth of its updates."""
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    max_grad_norm: float | None = 1.0
    """Gradients longer than this are shortened to it."""

    tokens: int | None = None
    """How many training tokens are made of the text. None: of a corpus all, of the story world as many as are used."""
    tokenizer_bytes: int = 2_000_000
    """How much text the tokenizer learns its merges from."""

    logging_steps: int = 10
    eval_steps: int = 100
    """Every so many updates the held-out documents are scored, and a sample is written."""
    eval_windows: int = 100
    """How many windows of held-out text are scored."""
    save_steps: int = 200
    save_total_limit: int = 3
    """How many checkpoints are kept."""
    sample_tokens: int = 60
    """How long the samples are; 0 writes none."""
    seed: int = 0

    @property
    def warmup(self) -> int:
        """The updates until the full rate, in this run."""
        return min(self.warmup_steps, self.steps // 10)

    def __post_init__(self) -> None:
        at_least = {"steps": 1, "batch_size": 1, "gradient_accumulation_steps": 1, "seq_length": 2, "warmup_steps": 0}
        at_least |= {"tokenizer_bytes": 1, "logging_steps": 1, "eval_steps": 1, "eval_windows": 1, "save_steps": 1}
        at_least |= {"save_total_limit": 1, "sample_tokens": 0, "seed": 0, "lr": 0, "weight_decay": 0}
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {least} or more")
        if self.tokens is not None and self.tokens < 1:
            raise ValueError(f"tokens is {self.tokens}; it must be 1 or more, or null")
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm is {self.max_grad_norm}; it must be above 0, or null")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more, and less than 1")
        if not 0 <= self.min_lr_ratio <= 1:
            raise ValueError(f"min_lr_ratio is {self.min_lr_ratio}; it must be from 0 to 1")
        if self.seed >= 1 << 63:
            raise ValueError(f"seed is {self.seed}; it must be below 2 to the 63")
