"""From token ids to vectors, and from places in a text to something that attention can feel.

Letters used below: B batch, T tokens, C channels (hidden_size), H heads, D head size, V vocabulary.

`TokenEmbedding` gives every id a vector that is learned. `PositionalEncoding` adds a fixed pattern of waves to it,
once, at the bottom of the model (Vaswani et al. 2017, §3.5). `RoPE` adds nothing: it turns queries and keys inside
every attention layer, so that their product depends on how far apart they are (Su et al. 2021, §3.4). A model uses one
of the two.

Left out on purpose: the scaling of the frequencies for long contexts, and any cache of the sines and cosines.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenEmbedding(nn.Module):
    """A table with one learned vector per token id.

    The table is the parameter `weight` of shape (V, C), drawn from a normal distribution with mean 0 and standard
    deviation 0.02. It is the module's only parameter; an output projection may share it.

    Example: ``TokenEmbedding(1000, 64)(torch.tensor([[5, 17, 5]]))`` has shape (1, 3, 64); its rows 0 and 2 are equal.
    """

    def __init__(self, vocab_size: int, hidden_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, hidden_size))  # (V, C)
        nn.init.normal_(self.weight, mean=0.0, std=0.02)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Look up the row of every id.

        The gradient of a row is the sum over all the places where its id stands; rows of absent ids get zero.

        Args:
            input_ids: integer ids, any shape, usually (B, T).

        Returns:
            The rows, (B, T, C), in the dtype of `weight`.
        """
        return F.embedding(input_ids, self.weight)  # (B, T, C)


class PositionalEncoding(nn.Module):
    """The sinusoidal position table of "Attention Is All You Need" (§3.5), added to the embeddings.

    Row p of the table holds, for each i in 0 … C/2−1, at the columns 2i and 2i+1::

        table[p, 2i]     = sin(p · 10000^(−2i/C))
        table[p, 2i + 1] = cos(p · 10000^(−2i/C))

    Column 0 turns fastest, by one radian per position; the last columns turn slowest. If C is odd the last column is a
    sine. The table has `max_len` rows. It is not learned and not saved: the module has no parameters and an empty
    `state_dict()`; as a buffer, the table still follows the module to another device.
    """

    table: Tensor

    def __init__(self, hidden_size: int, max_len: int = 5000) -> None:
        super().__init__()
        position = torch.arange(max_len, dtype=torch.float32)[:, None]  # (max_len, 1)
        frequency = 10000.0 ** (-torch.arange(0, hidden_size, 2, dtype=torch.float32) / hidden_size)  # (⌈C/2⌉,)
        angle = position * frequency  # (max_len, ⌈C/2⌉)
        table = torch.empty(max_len, hidden_size)
        table[:, 0::2] = torch.sin(angle)
        table[:, 1::2] = torch.cos(angle[:, : hidden_size // 2])
        self.register_buffer("table", table, persistent=False)
        self.max_len = max_len

    def forward(self, x: Tensor, *, position_ids: Tensor | None = None) -> Tensor:
        """Add to every vector the row of its position. `x` itself is left as it is.

        Args:
            x: embeddings (B, T, C), floating point.
            position_ids: integer positions (B, T) or (T,); None means 0 … T−1 in every row of the batch.

        Returns:
            x + table[position], (B, T, C), in the dtype of `x` (the sum of a bfloat16 `x` is bfloat16).

        Raises:
            ValueError: no positions are given and T > max_len. The message names both numbers.
        """
        if position_ids is None:
            if x.shape[1] > self.max_len:
                raise ValueError(f"{x.shape[1]} tokens, but the position table has only max_len = {self.max_len} rows")
            rows = self.table[: x.shape[1]]  # (T, C)
        else:
            rows = self.table[position_ids]  # (B, T, C) or (T, C)
        return x + rows.to(x.dtype)


def rotate_half(x: Tensor) -> Tensor:
    """Turn every plane (x_i, x_{i + D/2}) by 90 degrees: (x1, x2) → (−x2, x1), the two halves of the last axis.

    Example: [1, 2, 3, 4] → [−3, −4, 1, 2].

    Args:
        x: any shape (…, D), D even.
    """
    x1, x2 = x.chunk(2, dim=-1)  # (…, D/2) each
    return torch.cat((-x2, x1), dim=-1)  # (…, D)


def apply_rotary_pos_emb(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate queries and keys by given angles: x · cos + rotate_half(x) · sin.

    The number of heads may differ between q and k, and cos and sin may be of a wider dtype than they.

    Args:
        q: queries (B, H, T, D).
        k: keys (B, Hkv, T, D).
        cos, sin: of the angles (B, T, D); the same for every head, so the head axis is missing. B may be 1.

    Returns:
        q' and k' with the shapes and dtypes of q and k.
    """
    cos, sin = cos[:, None], sin[:, None]  # (B, 1, T, D)
    rotated_q = q * cos + rotate_half(q) * sin
    rotated_k = k * cos + rotate_half(k) * sin
    return rotated_q.to(q.dtype), rotated_k.to(k.dtype)


class RoPE(nn.Module):
    """Rotary position embedding in the rotate-half layout (that of the Hugging Face Llama and Qwen models).

    Coordinates i and i + D/2 form a plane (i = 0 … D/2−1). At position p it is turned by the angle p · inv_freq[i]::

        inv_freq[i] = base^(−2i/D)

    Plane 0 turns by one radian per position, whatever the base. The product of a query at position m with a key at
    position n then depends on m − n only. There is no longest position: the formula goes on.

    `inv_freq` is a buffer of shape (D/2,) that is not saved (`state_dict()` is empty). Angles, sines and cosines are
    computed in float32 (float64 for float64 inputs), even after `module.to(torch.bfloat16)`: a 16-bit float cannot tell
    position 4095 from 4096.

    Raises:
        ValueError: `head_dim` is odd.
    """

    inv_freq: Tensor

    def __init__(self, head_dim: int, *, base: float = 10000.0) -> None:
        super().__init__()
        if head_dim % 2:
            raise ValueError(f"head_dim must be even, because coordinates are turned in pairs; it is {head_dim}")
        self.head_dim = head_dim
        self.base = base
        self.register_buffer("inv_freq", self._inverse_frequencies(torch.float32), persistent=False)

    def forward(self, q: Tensor, k: Tensor, position_ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Turn every query and key to its position. q and k themselves are left as they are.

        Args:
            q: queries (B, H, T, D).
            k: keys (B, Hkv, T, D); Hkv may differ from H.
            position_ids: integer positions, (B, T) when the rows of the batch stand at different places, or (T,) for
                all of them; None means 0 … T−1.

        Returns:
            q' and k' with the shapes and dtypes of q and k, on their device.
        """
        if position_ids is None:
            position_ids = torch.arange(q.shape[-2], device=q.device)  # (T,)
        if position_ids.ndim == 1:
            position_ids = position_ids[None]  # (1, T)
        dtype = torch.promote_types(q.dtype, torch.float32)
        angle = position_ids.to(dtype)[..., None] * self.inv_freq.to(dtype)  # (B, T, D/2)
        angle = torch.cat((angle, angle), dim=-1)  # (B, T, D): coordinate i and i + D/2 share one angle
        return apply_rotary_pos_emb(q, k, angle.cos(), angle.sin())

    def _inverse_frequencies(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        exponent = torch.arange(0, self.head_dim, 2, dtype=dtype, device=device) / self.head_dim  # (D/2,)
        return self.base**-exponent

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "RoPE":
        """Called by `.to()`, `.half()`, `.cuda()`: the frequencies follow to the device, never to a 16-bit dtype."""
        super()._apply(fn, recurse)
        dtype = torch.promote_types(self.inv_freq.dtype, torch.float32)
        self.inv_freq = self._inverse_frequencies(dtype, self.inv_freq.device)
        return self
