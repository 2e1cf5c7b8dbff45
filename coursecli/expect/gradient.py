"""Gradients against a formula, or against central differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from coursecli.expect.close import expect_close


def expect_gradient(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    *,
    what: str,
    expected: Sequence[Any] | None = None,
    rtol: float = 1e-4,
    atol: float = 1e-6,
    mistake: str | None = None,
) -> None:
    """The gradients of `function(*inputs).sum()` are `expected`, or, without it, central differences in float64."""
    import torch

    if expected is None:
        leaves = [x.detach().to(torch.float64).requires_grad_() if x.is_floating_point() else x for x in inputs]
    else:
        leaves = [x.detach().clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    active = [x for x in leaves if x.requires_grad]
    with torch.enable_grad():
        output = function(*leaves)
        weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        weight = weight.to(output.dtype) if expected is None else torch.ones_like(output)
        found = torch.autograd.grad((output * weight).sum(), active, allow_unused=True)
    if expected is None:
        wanted = [_differences(function, leaves, index, weight) for index, x in enumerate(leaves) if x.requires_grad]
    else:
        wanted = [value for value in expected if value is not None]
    for index, (got, value) in enumerate(zip(found, wanted)):
        got = torch.zeros_like(value) if got is None else got
        expect_close(got, value, what=f"{what}: input {index}", rtol=rtol, atol=atol, mistake=mistake)


def _differences(function: Callable[..., Any], leaves: list[Any], index: int, weight: Any, step: float = 1e-6) -> Any:
    import torch

    with torch.no_grad():
        x = leaves[index].detach().clone()
        result = torch.zeros_like(x)
        flat, out = x.view(-1), result.view(-1)
        for position in range(flat.numel()):
            kept = flat[position].item()
            values = []
            for sign in (1, -1):
                flat[position] = kept + sign * step
                values.append((function(*leaves[:index], x, *leaves[index + 1 :]) * weight).sum().item())
            flat[position] = kept
            out[position] = (values[0] - values[1]) / (2 * step)
        return result
