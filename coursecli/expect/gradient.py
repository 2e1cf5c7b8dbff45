"""Gradients against a formula, or against central differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from coursecli.expect import numeric
from coursecli.expect.numeric import Numeric
from coursecli.expect.outcome import failed, passed, wrong_type
from coursecli.expect.payload import Failure
from coursecli.expect.shapes import axis_names
from coursecli.expect.values import value_failure
from coursecli.expect.words import article, type_name

STEP = 1e-6


def expect_gradient(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    *,
    what: str,
    expected: Sequence[Any] | None = None,
    names: Sequence[str] | None = None,
    rtol: float = 1e-4,
    atol: float = 1e-6,
    mistake: str | None = None,
) -> None:
    """The gradients of `function(*inputs)` with respect to its floating-point inputs are right.

    With `expected` (one for each input, None where it does not matter) they are those of `function(*inputs).sum()`.
    Without it, the output is weighted by fixed random numbers, since a plain sum hides errors, and central differences
    in float64 are the oracle: inputs are converted to float64, except parameters, which are perturbed where they are
    (so that `function` may be a closure over a module) and have to be float64 already. `names` names the inputs.
    """
    __tracebackhide__ = True
    torch = numeric.torch_parts()
    if torch is None:
        raise RuntimeError("expect_gradient needs torch, and nothing has imported it")
    leaves = [_leaf(torch, x, exact=expected is None) for x in inputs]
    labels = list(names or (f"input {index}" for index in range(len(leaves))))
    chosen = [i for i, x in enumerate(leaves) if x is not None and x.requires_grad]
    if expected is not None:
        chosen = [i for i in chosen if expected[i] is not None]
    arguments = [leaf if leaf is not None else x for leaf, x in zip(leaves, inputs)]
    with torch.enable_grad():
        output = function(*arguments)
        weights = _weights(torch, output, exact=expected is None, what=what, mistake=mistake)
        if not output.requires_grad:
            failed(_no_gradient(what, "The output has no gradient at all.", mistake))
        found = torch.grad((output * weights).sum(), [arguments[i] for i in chosen], allow_unused=True)
    for index, gradient in zip(chosen, found):
        wanted = (
            numeric.read(expected[index])
            if expected is not None
            else _differences(torch, function, arguments, index, weights)
        )
        label = f"{what}: the gradient of {labels[index]}"
        if gradient is None:
            if wanted.data.any():
                failed(_no_gradient(what, f"No gradient reaches {labels[index]}.", mistake))
            continue
        weighted = expected is None and output.ndim > 0
        _expect_equal_gradient(numeric.read(gradient), wanted, label, rtol, atol, mistake, weighted)
    passed()


def _leaf(torch: Any, x: Any, exact: bool) -> Any:
    """The input as a leaf of its own; None for what is no floating-point tensor."""
    if not numeric.is_tensor(x) or not torch.is_floating_point(x):
        return None
    if issubclass(type(x), torch.Parameter):
        if exact and x.dtype != torch.float64:
            raise ValueError("central differences need parameters in float64: call module.double() in the test")
        return x
    plain = torch.clone(torch.detach(x))
    return torch.requires_grad_(torch.to(plain, torch.float64) if exact else plain)


def _weights(torch: Any, output: Any, exact: bool, what: str, mistake: str | None) -> Any:
    """What each element of the output counts: 1, or fixed numbers between 0.5 and 1.5."""
    __tracebackhide__ = True
    import numpy

    if not numeric.is_tensor(output):
        wrong_type(
            output,
            f"The output should be a torch.Tensor, but it is {article(type_name(output))}.",
            expected="torch.Tensor",
            what=what,
            mistake=mistake,
        )
    shape = tuple(output.shape)
    values = numpy.random.RandomState(0).uniform(0.5, 1.5, shape) if exact and shape else numpy.ones(shape)
    return torch.to(torch.from_numpy(numpy.asarray(values)), device=output.device, dtype=output.dtype)


def _differences(torch: Any, function: Callable[..., Any], arguments: list[Any], index: int, weights: Any) -> Numeric:
    """The gradient by central differences: one element at a time, there and back."""
    import numpy

    with torch.no_grad():
        x = arguments[index]
        values = torch.detach(x)  # shares its memory with x
        gradient = numpy.zeros(tuple(values.shape))
        for place in numpy.ndindex(*gradient.shape):
            kept = values[place].item()
            both = []
            for step in (STEP, -STEP):
                values[place] = kept + step
                both.append(float((function(*arguments) * weights).sum().item()))
            values[place] = kept
            gradient[place] = (both[0] - both[1]) / (2 * STEP)
    return Numeric(gradient, "tensor", "torch.float64")


def _expect_equal_gradient(
    got: Numeric, wanted: Numeric, what: str, rtol: float, atol: float, mistake: str | None, weighted: bool
) -> None:
    __tracebackhide__ = True
    if got.shape != wanted.shape:
        raise ValueError(f"the expected gradient has shape {wanted.shape}, its input {got.shape}")
    agreeing = numeric.agree(got.data, wanted.data, rtol, atol)
    if not agreeing.all():
        names = axis_names(None, len(wanted.shape))
        failure = value_failure(
            got, wanted, agreeing, what=what, rtol=rtol, atol=atol, names=names, mistake=mistake, kind="gradient"
        )
        if weighted:
            failure.facts["gradient of"] = "the outputs' sum, each weighted by a fixed number from 0.5 to 1.5"
        failed(failure)


def _no_gradient(what: str, summary: str, mistake: str | None) -> Failure:
    return Failure(
        kind="gradient",
        what=what,
        summary=summary,
        expected="a gradient",
        actual="none",
        diagnosis=[
            "The graph is cut on the way: `detach()`, `item()`, `numpy()`, `torch.tensor(…)` and `no_grad()` do that."
        ],
        mistake=mistake,
    )
