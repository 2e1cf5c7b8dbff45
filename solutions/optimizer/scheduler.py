"""The learning rate over a training run: up in a straight line, then down along half a cosine.

Letters: s the number of the update that comes next, counted from 1; W warm-up steps, T total steps.
"""

import math
from typing import Any

from torch.optim import Optimizer


def learning_rate_factor(
    completed_updates: int, *, warmup_steps: int, total_steps: int, min_lr_ratio: float = 0.1
) -> float:
    """What to multiply the base learning rate with for the next update. A closed form: nothing is remembered.

    With s = completed_updates + 1, the number of the update that comes next:

        s ≤ W          s / W
        W < s < T      r + (1 − r) · ½ · (1 + cos(π · (s − W) / (T − W)))        r = min_lr_ratio
        otherwise      r

    So the first update already moves, update W runs at the full rate, and update T, the last of the run, at r times it;
    so does any later one. With W = 0 there is no warm-up, with W = T no decay before the run is over.

    Source: Loshchilov and Hutter, "SGDR", arXiv 1608.03983, eq. 5, with one period and a warm-up before it.

    Args:
        completed_updates: how many updates of the run are done; 0 before the first.
        warmup_steps: W, the number of updates until the full rate.
        total_steps: T, the number of updates in the run.
        min_lr_ratio: r, where the decay ends, as a share of the full rate.

    Returns:
        A plain number of Python, from 0 to 1.

    Raises:
        ValueError: completed_updates is negative, total_steps is below 1, warmup_steps is negative or greater than
            total_steps, or min_lr_ratio is not in [0, 1]. The message contains the argument's name.
    """
    if completed_updates < 0:
        raise ValueError(f"completed_updates is {completed_updates}: it must not be negative")
    if total_steps < 1:
        raise ValueError(f"total_steps is {total_steps}: a run has at least one update")
    if not 0 <= warmup_steps <= total_steps:
        raise ValueError(f"warmup_steps is {warmup_steps}: it must be between 0 and total_steps, {total_steps}")
    if not 0.0 <= min_lr_ratio <= 1.0:
        raise ValueError(f"min_lr_ratio is {min_lr_ratio}: it must be between 0 and 1")
    s = completed_updates + 1
    if s <= warmup_steps:
        return s / warmup_steps
    if s >= total_steps:
        return min_lr_ratio
    progress = (s - warmup_steps) / (total_steps - warmup_steps)
    return min_lr_ratio + (1 - min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * progress))


class WarmupCosineScheduler:
    """Sets the learning rate of every group of an optimizer to its base rate times `learning_rate_factor`.

    The base rate of a group is the "lr" that it had when the scheduler was made. The rate of the first update is set
    at once; after that, call `step` once after every update of the optimizer. `get_last_lr` and the optimizer agree at
    any time.

    Args:
        optimizer: its `param_groups`, a list of dicts with "lr", is all that is read or written.
        warmup_steps, total_steps, min_lr_ratio: as for `learning_rate_factor`, and refused in the same cases.

    Attributes:
        optimizer: the one that was given.
        completed_updates: how often `step` was called, 0 at the start.
        base_lrs: the base rate of each group, a list of floats.
    """

    def __init__(self, optimizer: Optimizer, *, warmup_steps: int, total_steps: int, min_lr_ratio: float = 0.1) -> None:
        self.optimizer = optimizer
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.min_lr_ratio = min_lr_ratio
        self.completed_updates = 0
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self._apply()

    def step(self) -> None:
        """Count one more completed update, and set the learning rates for the next one."""
        self.completed_updates += 1
        self._apply()

    def get_last_lr(self) -> list[float]:
        """The rates that are set now, one for each group: those of the next update. A new list at each call."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What a run needs to continue: completed_updates and base_lrs, plain numbers in a dict that JSON can hold.

        The dict is a copy: it does not change with later steps. The other settings are not in it. They belong to the
        run's configuration, so that a run may be resumed with another total_steps.
        """
        return {"completed_updates": self.completed_updates, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken, and set the learning rates accordingly, at once."""
        self.completed_updates = state_dict["completed_updates"]
        self.base_lrs = list(state_dict["base_lrs"])
        self._apply()

    def _apply(self) -> None:
        factor = learning_rate_factor(
            self.completed_updates,
            warmup_steps=self.warmup_steps,
            total_steps=self.total_steps,
            min_lr_ratio=self.min_lr_ratio,
        )
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs):
            group["lr"] = base_lr * factor
