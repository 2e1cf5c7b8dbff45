"""Lion: the sign of a mixture of old and new gradients. Every number moves by the same amount.

Letters: θ a parameter, g its gradient, m the running mean of g.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from intro2llm.optimizer.base_optimizer import BaseOptimizer, device_batches


class Lion(BaseOptimizer):
    """EvoLved Sign Momentum. One step of one parameter:

        u ← sign(β₁ · m + (1 − β₁) · g)
        θ ← θ · (1 − lr · weight_decay) − lr · u
        m ← β₂ · m + (1 − β₂) · g

    m starts at zero, and sign(0) = 0. The mixture that is signed uses β₁ and the m of the step before; the one that is
    stored uses β₂. Nothing is corrected or divided.

    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", arXiv 2302.06675, algorithm 2.

    Args:
        params: parameters, or groups: dicts with "params" and any of the options below, which then hold for that group
            instead of the ones given here. Every group ends up in `param_groups` with "params", "lr", "betas" and
            "weight_decay"; `torch.optim.Optimizer.__init__(params, defaults)` sees to that.
        lr: the learning rate: how far every number moves at each step. It is read from the group at every step.
        betas: (β₁, β₂).
        weight_decay: by how much of itself, times lr, a parameter shrinks at each step.

    Attributes:
        state: for each parameter that has taken a step, {"exp_avg": m}, and nothing before: half of what AdamW keeps. m
            has the shape of the parameter, and is float32 where it has 16 bits, else of its dtype.

    Raises:
        ValueError: lr or weight_decay is negative or NaN, or one of betas is not in [0, 1). The message contains the
            argument's name.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        raise NotImplementedError("lesson07 · Lion.__init__")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient, in place.

        As in AdamW: a parameter whose `grad` is None is left as it is, and so is its m. Nothing is recorded for
        autograd, no `grad` is changed or kept, and for 16-bit parameters the whole step is computed in float32 and
        rounded once at the end.

        Args:
            closure: a function that computes the gradients anew and returns the loss. It is called once, first, with
                gradients switched on.

        Returns:
            What `closure` returned; None without one.

        Raises:
            RuntimeError: a gradient is sparse. The message contains "sparse".
        """
        raise NotImplementedError("lesson07 · Lion.step")
