"""Which of several processes this one is. Given; nothing of what you write is imported here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

PATIENCE = timedelta(hours=2)
"""How long a process waits for another that lives: the first one prepares the data alone. A dead one is noticed."""


@dataclass(frozen=True)
class World:
    """The processes that train together, as torchrun describes them in the environment."""

    rank: int = 0
    local_rank: int = 0
    """The number on this machine."""
    size: int = 1

    @classmethod
    def of_environment(cls) -> World:
        names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
        return cls(*(int(os.environ[name]) for name in names)) if all(name in os.environ for name in names) else cls()

    @property
    def first(self) -> bool:
        """Whether this process is the one that prepares, evaluates, saves and speaks."""
        return self.rank == 0

    def from_first(self, value: Any) -> Any:
        """What the first process gives here, in all of them. Each has to call it."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, src=0)
        return values[0]


@contextmanager
def process_group(world: World, device: torch.device) -> Iterator[None]:
    """While inside, the processes can talk to each other: over NCCL for what is on CUDA, else over gloo."""
    if world.size == 1:
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()
