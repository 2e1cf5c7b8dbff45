"""Numeric values against an oracle: type, shape, dtype, then values, with the diagnosis of what differs."""

from __future__ import annotations

from collections.abc import Sequence

from coursecli.expect import numeric
from coursecli.expect.lookalikes import Lookalikes, closest, first_match
from coursecli.expect.numeric import Numeric, Unreadable
from coursecli.expect.outcome import failed, passed, wrong_type
from coursecli.expect.payload import Failure
from coursecli.expect.shapes import axis_names, explain, match_axes
from coursecli.expect.values import value_failure
from coursecli.expect.words import article, brief, type_name

FAMILIES = {
    "tensor": "a torch.Tensor",
    "array": "a numpy array",
    "list": "a list",
    "number": "a number",
}


def expect_close(
    actual: object,
    expected: object,
    *,
    what: str,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    dims: str | None = None,
    lookalikes: Lookalikes = None,
    mistake: str | None = None,
    check_dtype: bool = True,
) -> None:
    """`actual` has the type, shape and dtype of `expected`, and |actual − expected| ≤ atol + rtol · |expected|.

    NaN agrees only with NaN, an infinity with its like. `dims` names the axes: "B T C".
    """
    __tracebackhide__ = True
    wanted = numeric.read(expected)
    _expect_family(actual, wanted, what=what, mistake=mistake)
    try:
        got = numeric.read(actual)
    except Unreadable as error:
        wrong_type(
            actual,
            f"The value cannot be compared: it is {error}.",
            expected=_headline(wanted),
            what=what,
            mistake=mistake,
        )
    if got.shape != wanted.shape:
        name = mistake or closest(lookalikes, got, wanted, rtol, atol)
        failed(_shape_failure(what, got.shape, wanted.shape, dims, name))
    if check_dtype and wanted.family in ("tensor", "array") and got.dtype != wanted.dtype:
        name = mistake or closest(lookalikes, got, wanted, rtol, atol)
        failed(_dtype_failure(what, got.dtype, wanted.dtype, name))
    agreeing = numeric.agree(got.data, wanted.data, rtol, atol)
    if agreeing.all():
        passed()
        return
    name = mistake or closest(lookalikes, got, wanted, rtol, atol)
    names = axis_names(dims, len(wanted.shape))
    failed(value_failure(got, wanted, agreeing, what=what, rtol=rtol, atol=atol, names=names, mistake=name))


def expect_shape(
    actual: object,
    shape: Sequence[int],
    *,
    what: str,
    dims: str | None = None,
    lookalikes: Lookalikes = None,
    mistake: str | None = None,
) -> None:
    """`actual` has this shape. Lookalikes are shapes."""
    __tracebackhide__ = True
    wanted = tuple(int(size) for size in shape)
    try:
        got = numeric.read(actual).shape
    except Unreadable as error:
        wrong_type(
            actual,
            f"The value has no shape: it is {error}.",
            expected=f"shape {brief(wanted)}",
            what=what,
            mistake=mistake,
        )
    if got == wanted:
        passed()
        return
    name = mistake or first_match(lookalikes, lambda candidate: tuple(candidate) == got and tuple(candidate) != wanted)
    failed(_shape_failure(what, got, wanted, dims, name))


def expect_dtype(actual: object, dtype: object, *, what: str, mistake: str | None = None) -> None:
    """`actual` is a tensor or an array of this dtype."""
    __tracebackhide__ = True
    wanted = _dtype_name(dtype)
    try:
        got = numeric.read(actual).dtype
    except Unreadable as error:
        wrong_type(actual, f"The value has no dtype: it is {error}.", expected=wanted, what=what, mistake=mistake)
    family = {"torch": "tensor", "numpy": "array"}.get(wanted.partition(".")[0])
    if family and numeric.family(actual) != family:
        summary = f"This should be {FAMILIES[family]}, but it is {article(type_name(actual))}."
        wrong_type(actual, summary, expected=wanted, what=what, mistake=mistake)
    if got == wanted:
        passed()
        return
    failed(_dtype_failure(what, got, wanted, mistake))


def _dtype_name(dtype: object) -> str:
    """`torch.float32`, `numpy.float64` or `float`, from a dtype of torch, of numpy, or a Python type."""
    text = str(dtype)
    if text.startswith("torch."):
        return text
    if isinstance(dtype, type) and dtype in (int, float, bool, complex):
        return dtype.__name__
    import numpy

    return f"numpy.{numpy.dtype(dtype)}"


def _expect_family(actual: object, wanted: Numeric, *, what: str, mistake: str | None) -> None:
    __tracebackhide__ = True
    family = "number" if wanted.family == "number" and numeric.is_float_scalar(actual) else numeric.family(actual)
    if family == wanted.family and (family != "number" or (wanted.dtype == "bool") == (type(actual) is bool)):
        return
    wrong_type(
        actual,
        f"This should be {FAMILIES[wanted.family]}, but it is {article(type_name(actual))}.",
        expected=_headline(wanted),
        what=what,
        mistake=mistake,
        diagnosis=_family_hint(actual, family, wanted.family),
    )


def _family_hint(actual: object, family: str, wanted: str) -> list[str]:
    if wanted == "number" and family == "tensor":
        return ["A tensor came back where a Python number is expected: `.item()` turns one into the other."]
    if wanted == "tensor" and family == "list":
        return ["The values came back in a list: a tensor is expected."]
    return []


def _headline(value: Numeric) -> str:
    return value.dtype if value.family == "number" else f"{value.dtype} of shape {brief(value.shape)}"


def _shape_failure(
    what: str, got: tuple[int, ...], wanted: tuple[int, ...], dims: str | None, mistake: str | None
) -> Failure:
    names = axis_names(dims, len(wanted))
    return Failure(
        kind="shape",
        what=what,
        summary=f"The shape is {brief(got)}, not {brief(wanted)}.",
        expected=brief(wanted),
        actual=brief(got),
        diagnosis=explain(got, wanted, names),
        shape=match_axes(got, wanted, names),
        mistake=mistake,
    )


def _dtype_failure(what: str, got: str, wanted: str, mistake: str | None) -> Failure:
    return Failure(
        kind="dtype",
        what=what,
        summary=f"The dtype is {got}, not {wanted}.",
        expected=wanted,
        actual=got,
        diagnosis=_dtype_cause(got, wanted),
        mistake=mistake,
    )


def _dtype_cause(got: str, wanted: str) -> list[str]:
    """The likely cause of a dtype mismatch, as sentences."""
    got, wanted = got.split(".")[-1], wanted.split(".")[-1]
    low = ("float16", "bfloat16")
    if wanted in low and got == "float32":
        return [f"Computing in float32 is fine, but the result has to go back: `.to(x.dtype)` gives {wanted}."]
    if got in low and wanted == "float32":
        return [f"Precision was lost on the way: {got} has only {'11' if got == 'float16' else '8'} significant bits."]
    if got == "float64" and wanted != "float64":
        return ["float64 is what numpy and Python floats turn into: name the dtype where the tensor is made."]
    if wanted == "float64":
        return [f"The precision of the input is lost: somewhere it was converted to {got}."]
    if wanted.startswith(("int", "uint")) and got.startswith(("float", "bfloat")):
        return [
            "Ids, positions and counts are whole numbers: `/`, `mean` and a new tensor without a dtype give floats."
        ]
    if wanted == "bool":
        return ["A comparison gives bool; arithmetic on it, or torch.ones and torch.zeros without a dtype, does not."]
    if got.startswith("int") and wanted.startswith(("float", "bfloat")):
        return ["Whole numbers came in without a conversion to the dtype of the computation."]
    return []
