"""What AdamW and Lion share and this course does not teach: exact reloading of their state, and lists for fast updates.

Given. `torch.optim.Optimizer` brings the rest: `param_groups`, `state`, `zero_grad`, `state_dict`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class BaseOptimizer(torch.optim.Optimizer):
    """`torch.optim.Optimizer`, but for one thing: a state that is loaded keeps its dtype.

    torch converts it to the dtype of the parameter. For 16-bit parameters that would round the float32 state of this
    course at every resume, and a resumed run would part from one that was never interrupted.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from `state_dict` with tensors of its own: later steps do not write into `state_dict`."""
        super().load_state_dict(state_dict)
        saved = [index for group in state_dict["param_groups"] for index in group["params"]]
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        for index, parameter in zip(saved, parameters):
            for name, value in state_dict["state"].get(index, {}).items():
                if isinstance(value, Tensor):
                    device = self.state[parameter][name].device
                    self.state[parameter][name] = value.to(device=device, copy=True)


CPU_BATCH = 2**16
"""How many numbers go together on a CPU: with gradients and averages, about as many as its cache holds."""


def device_batches(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """The lists to give to `torch._foreach_…` operations, which do the same to every tensor of a list.

    On a GPU, where starting an operation costs more than a small one takes, all parameters of one device and dtype go
    together. On a CPU, only as many as stay in the cache from one operation to the next; a large one goes alone.
    """
    batches: list[list[Tensor]] = []
    filling: dict[tuple[torch.device, torch.dtype], tuple[list[Tensor], int]] = {}
    for parameter in parameters:
        key = (parameter.device, parameter.dtype)
        batch, size = filling.get(key, ([], 0))
        full = parameter.device.type == "cpu" and size + parameter.numel() > CPU_BATCH
        if not batch or full:
            batch, size = [], 0
            batches.append(batch)
        batch.append(parameter)
        filling[key] = batch, size + parameter.numel()
    return batches
