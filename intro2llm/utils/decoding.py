"""Making a model ready to write text. Given: the same numbers, laid out otherwise in memory.

A step of decoding multiplies every matrix by a single vector. The library that does this for PyTorch on Intel and AMD
processors, MKL, then reads a matrix faster if the numbers of a *column* lie side by side, and training wants rows.
"""

import torch
from torch import nn


def lay_out_for_decoding(model: nn.Module) -> None:
    """Store the weights of the linear layers by columns, in place; shapes, values and tied weights stay as they are.

    Weights on other devices than the CPU, and installations without MKL, are left alone: nothing is gained there.
    """
    if not torch.backends.mkl.is_available():
        return
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.weight.device.type == "cpu":
            module.weight.data = module.weight.data.t().contiguous().t()
