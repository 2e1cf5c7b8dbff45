"""The rotary frequencies of Llama 3.1 and later. Given: an arithmetic trick on top of your `RoPE`.

A model that was trained on texts of 8192 tokens has never seen the slow planes of RoPE turn further than they do in
8192 steps. To read longer texts the slow planes are slowed down, so that their angles stay in the known range; the fast
ones, which have gone round many times, are left alone; between them the change is gradual.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from intro2llm.model.config import RopeScaling
from intro2llm.model.embedding import apply_rotary_pos_emb


class ScaledRoPE(nn.Module):
    """Rotary position embedding with the frequencies of Llama 3; otherwise used as `RoPE` is.

    With f = base^(-2i/D), the wavelength w = 2π / f of plane i, and L = original_max_position_embeddings:

        w < L / high_freq_factor:    f
        w > L / low_freq_factor:     f / factor
        between:                     (1 - s) · f / factor + s · f,    s = (L / w - low_freq_factor)
                                                                        / (high_freq_factor - low_freq_factor)

    Source: "The Llama 3 Herd of Models", arXiv 2407.21783, section 3.4, and the code that came with Llama 3.1.
    """

    inv_freq: Tensor

    def __init__(self, head_dim: int, *, base: float, scaling: RopeScaling) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.base = base
        self.scaling = scaling
        self.register_buffer("inv_freq", self._inverse_frequencies(), persistent=False)

    def _inverse_frequencies(self) -> Tensor:
        """(D/2,), float32, on the CPU."""
        scaling = self.scaling
        exponent = torch.arange(0, self.head_dim, 2, dtype=torch.float32, device="cpu") / self.head_dim
        frequency = 1.0 / self.base**exponent
        turns = scaling.original_max_position_embeddings * frequency / (2 * math.pi)  # L / w: rounds in L steps
        blend = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
        blend = blend.clamp(0, 1)  # 0: slowed down, 1: left alone
        return (1 - blend) * frequency / scaling.factor + blend * frequency

    def forward(self, q: Tensor, k: Tensor, position_ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Turn every query and key to its position, as `RoPE.forward` does: q (B, H, T, D), k (B, Hkv, T, D)."""
        if position_ids is None:
            position_ids = torch.arange(q.shape[-2], device=q.device)  # (T,)
        if position_ids.ndim == 1:
            position_ids = position_ids[None]  # (1, T)
        dtype = torch.promote_types(q.dtype, torch.float32)
        angle = position_ids.to(dtype)[..., None] * self.inv_freq.to(dtype)  # (B, T, D/2)
        angle = torch.cat((angle, angle), dim=-1)  # (B, T, D)
        return apply_rotary_pos_emb(q, k, angle.cos(), angle.sin())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ScaledRoPE":
        """Called by `.to()`, `.half()`, `.cuda()`: the frequencies follow to the device, and stay in float32."""
        super()._apply(fn, recurse)
        self.inv_freq = self._inverse_frequencies().to(self.inv_freq.device)
        return self
