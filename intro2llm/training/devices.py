"""Where a training computes, and in which numbers. Given."""

from __future__ import annotations

import torch

from intro2llm.model.config import ModelConfig
from intro2llm.recipes.events import RecipeError
from intro2llm.recipes.generate import pick_device
from intro2llm.utils.compute import training_flops

BFLOAT16_PEAKS = {
    "H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12,
    "RTX 4090": 165e12, "RTX 3090": 71e12,
}  # fmt: skip
"""Dense bfloat16 products, in FLOP/s, by a part of the device's name, from NVIDIA's data sheets; longer names first."""


def training_device(name: str, local_rank: int = 0) -> torch.device:
    """The device of that name ("auto": the fastest kind); of several CUDA devices, one for each process.

    Raises:
        RecipeError: this machine has no such device, or fewer of them than processes.
    """
    device = pick_device(name)
    if device.type != "cuda":
        return device
    if local_rank >= torch.cuda.device_count():
        raise RecipeError(
            f"This machine has {torch.cuda.device_count()} CUDA devices: too few for {local_rank + 1} processes.",
            "Give a smaller --nproc, or --device cpu",
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def autocast_dtype(name: str | None, device: torch.device) -> torch.dtype | None:
    """In which dtype matrix products are to be computed; None: in float32, as the weights are kept.

    Args:
        name: "float32", "bfloat16", or None for the better one: bfloat16 on CUDA devices that have it, else float32.

    Raises:
        RecipeError: bfloat16 on a device that only imitates it, which is many times slower than float32.
    """
    if name is None:
        name = "bfloat16" if device.type == "cuda" and has_bfloat16(device) else "float32"
    if name == "float32":
        return None
    if not has_bfloat16(device):
        raise RecipeError(
            f"The {device.type} of this machine has no bfloat16 of its own; imitated, it is ten times slower.",
            "Leave out --dtype",
        )
    return torch.bfloat16


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 matrices natively."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":  # names that torch keeps for itself: one that is gone counts as "no"
        return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return device.type == "mps"


def peak_flops(device: torch.device, autocast: torch.dtype | None) -> float | None:
    """What the device could do at most in bfloat16, in FLOP/s; None where that is not known, or not what it does."""
    if device.type != "cuda" or autocast is not torch.bfloat16:
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in BFLOAT16_PEAKS.items() if part in name), None)


def flops_utilization(config: ModelConfig, *, seq_len: int, tokens_per_second: float, peak: float) -> float:
    """Model FLOPs utilisation: the share of the peak that the model's own matrix products would need.

    Source: Chowdhery et al. 2022, "PaLM", arXiv 2204.02311, appendix B.
    """
    return training_flops(config, batch_size=1, seq_len=seq_len) / seq_len * tokens_per_second / peak
