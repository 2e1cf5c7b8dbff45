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
        for name, value in {"lr": lr, "weight_decay": weight_decay}.items():
            if not value >= 0.0:
                raise ValueError(f"{name} is {value}: it must not be negative")
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"betas are {betas}: both must be at least 0 and less than 1")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

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
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, (beta1, beta2) = group["lr"], group["betas"]
            for batch in device_batches(p for p in group["params"] if p.grad is not None):
                m = [self._momentum(p) for p in batch]
                theta = [p.to(mean.dtype) for p, mean in zip(batch, m)]  # p itself, unless it has 16 bits
                g = [p.grad.to(mean.dtype) for p, mean in zip(batch, m)]

                u = torch._foreach_lerp(m, g, 1 - beta1)
                torch._foreach_sign_(u)
                torch._foreach_mul_(theta, 1 - lr * group["weight_decay"])
                torch._foreach_add_(theta, u, alpha=-lr)
                torch._foreach_lerp_(m, g, 1 - beta2)
                for p, moved in zip(batch, theta):
                    if moved is not p:
                        p.copy_(moved)
        return loss

    def _momentum(self, parameter: Tensor) -> Tensor:
        if parameter.grad.is_sparse:
            raise RuntimeError("a gradient is sparse: Lion needs dense ones, as of nn.Embedding(sparse=False)")
        state = self.state[parameter]
        if not state:
            dtype = torch.promote_types(parameter.dtype, torch.float32)
            state["exp_avg"] = torch.zeros_like(parameter, dtype=dtype)
        return state["exp_avg"]
