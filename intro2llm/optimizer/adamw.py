"""AdamW: a step of its own size for every number, and a decay that the gradient's size does not touch.

Letters: θ a parameter, g its gradient, t how many steps θ has taken, m and v the running means of g and of g².
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from intro2llm.optimizer.base_optimizer import BaseOptimizer, device_batches


class AdamW(BaseOptimizer):
    """Adam with decoupled weight decay. One step of one parameter, with t counted from 1:

        θ ← θ · (1 − lr · weight_decay)
        m ← β₁ · m + (1 − β₁) · g
        v ← β₂ · v + (1 − β₂) · g²
        θ ← θ − lr · m̂ / (√v̂ + eps)        m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ)

    m and v start at zero. All of it is done for each number by itself. The result is that of `torch.optim.AdamW`.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101, algorithm 2, with lr · λ
    as the decay, as in PyTorch; Kingma and Ba, "Adam", arXiv 1412.6980, for m, v and their corrections.

    Args:
        params: parameters, or groups: dicts with "params" and any of the options below, which then hold for that group
            instead of the ones given here. Every group ends up in `param_groups` with "params", "lr", "betas", "eps"
            and "weight_decay"; `torch.optim.Optimizer.__init__(params, defaults)` sees to that.
        lr: the learning rate. It is read from the group at every step, so that a schedule can change it there.
        betas: (β₁, β₂), how much of the running means is kept at each step.
        eps: keeps the division away from zero. It is added to the root, outside of it.
        weight_decay: by how much of itself, times lr, a parameter shrinks at each step.

    Attributes:
        state: for each parameter that has taken a step, {"step": t, "exp_avg": m, "exp_avg_sq": v}: nothing before. m
            and v have the shape of the parameter, and are float32 where it has 16 bits, else of its dtype. t is an int
            or a tensor with one number; 1 − βᵗ is computed from plain numbers, because in float32 it loses digits.
            Whatever an optimizer remembers is here, so that `state_dict` contains it.

    Raises:
        ValueError: lr, eps or weight_decay is negative or NaN, or one of betas is not in [0, 1). The message contains
            the argument's name.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        raise NotImplementedError("lesson07 · AdamW.__init__")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient, in place.

        A parameter whose `grad` is None is left as it is: it does not decay, and its t does not advance. A `grad` of
        zeros is a gradient like any other. Nothing is recorded for autograd, and no `grad` is changed or kept.

        For 16-bit parameters the whole step is computed in float32, from θ to the new θ, and rounded once at the end.

        Args:
            closure: a function that computes the gradients anew and returns the loss. It is called once, first, with
                gradients switched on.

        Returns:
            What `closure` returned; None without one.

        Raises:
            RuntimeError: a gradient is sparse. The message contains "sparse".
        """
        raise NotImplementedError("lesson07 · AdamW.step")


def configure_parameter_groups(model: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Divide a model's parameters into those that decay and those that do not, for the optimizer's `params`.

    Matrices decay: every parameter with two or more axes (linear layers, embeddings, convolutions). Vectors and single
    numbers do not: biases and the weights of norms. The number of axes decides, not the name and not the module.

    Args:
        model: its parameters are taken in the order of `named_parameters`. A parameter that occurs in several places
            (tied weights) is taken once; one that does not require gradients (frozen) is left out.
        weight_decay: that of the matrices.

    Returns:
        Exactly two groups, in this order, even where one of them is empty:
        [{"params": [matrices], "weight_decay": weight_decay}, {"params": [the others], "weight_decay": 0.0}].
        The parameters are the model's own, in lists.
    """
    raise NotImplementedError("lesson07 · configure_parameter_groups")
