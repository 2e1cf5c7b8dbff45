"""Reading tensors, arrays, nested lists and numbers into one plain form, whatever the learner may have replaced.

Everything ends as a numpy array of bool, int64, float64 or complex128 beside the original's family and dtype. Tensors
are recognised by their class; torch is never imported here, only found when someone else has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


class Unreadable(Exception):  # noqa: N818
    """The value is not numeric, or cannot be read; the message says why."""


@dataclass(frozen=True)
class Numeric:
    """A numeric value, read: `data` is a numpy array in the widest type of its kind."""

    data: Any
    family: str
    """"tensor", "array", "list" or "number"."""
    dtype: str
    """As one writes it: `torch.float32`, `numpy.float64`, `float`."""

    def __repr__(self) -> str:
        return f"{self.dtype} {self.data.tolist() if self.data.size <= 8 else f'of shape {self.shape}'}"

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.data.shape)


class _Torch:
    """The parts of torch that the kit uses, taken once, before a learner's module can replace them."""

    def __init__(self, torch: Any) -> None:
        tensor = torch.Tensor
        self.Tensor: type = tensor
        self.Parameter: type = torch.nn.Parameter
        self.bool, self.int64, self.float64, self.complex128 = torch.bool, torch.int64, torch.float64, torch.complex128
        self.uint64, self.strided = getattr(torch, "uint64", torch.int64), torch.strided
        self.plainly = torch._C.DisableTorchFunctionSubclass
        self.enable_grad, self.no_grad, self.grad = torch.enable_grad, torch.no_grad, torch.autograd.grad
        self.from_numpy = torch.from_numpy
        self.detach, self.clone, self.to, self.numpy = tensor.detach, tensor.clone, tensor.to, tensor.numpy
        self.resolve_conj, self.resolve_neg = tensor.resolve_conj, tensor.resolve_neg
        self.to_dense, self.dequantize = tensor.to_dense, tensor.dequantize
        self.is_complex, self.is_floating_point = tensor.is_complex, tensor.is_floating_point
        self.requires_grad_ = tensor.requires_grad_


_torch: _Torch | None = None


def torch_parts() -> _Torch | None:
    """The captured parts of torch, or None while nobody has imported torch."""
    global _torch
    if _torch is None:
        module = sys.modules.get("torch")
        if module is not None and hasattr(module, "autograd") and hasattr(module, "nn"):
            _torch = _Torch(module)
    return _torch


def is_tensor(value: object) -> bool:
    """Whether the value's class is a tensor class (a `__class__` that lies does not count)."""
    parts = torch_parts()
    return parts is not None and issubclass(type(value), parts.Tensor)


def is_array(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(type(value), (numpy.ndarray, numpy.generic))


def is_float_scalar(value: object) -> bool:
    """numpy.float64, which is a Python float as well."""
    return is_array(value) and issubclass(type(value), float)


def is_number(value: object) -> bool:
    return type(value) in (int, float, complex, bool)


def family(value: object) -> str:
    """What kind of numeric value it is; empty when it is none."""
    if is_tensor(value):
        return "tensor"
    if is_array(value):
        return "array"
    if is_number(value):
        return "number"
    return "list" if type(value) in (list, tuple) else ""


def read(value: object) -> Numeric:
    """Read a numeric value.

    Raises:
        Unreadable: it is not numeric, is ragged, or holds no data.
    """
    kind = family(value)
    if kind == "tensor":
        return _read_tensor(value)
    if kind == "array":
        return _read_array(value)
    if kind in ("number", "list"):
        return _read_plain(value, kind)
    raise Unreadable("not a number, a list of numbers, an array or a tensor")


def _read_tensor(value: Any) -> Numeric:
    parts = torch_parts()
    assert parts is not None
    try:
        with parts.plainly():
            plain = parts.detach(value)
            dtype = str(plain.dtype)
            if plain.is_quantized:
                plain = parts.dequantize(plain)
            if plain.layout != parts.strided:
                plain = parts.to_dense(plain)
            if plain.dtype == parts.bool:
                wide = parts.bool
            elif parts.is_complex(plain):
                wide = parts.complex128
            elif parts.is_floating_point(plain):
                wide = parts.float64
            else:
                wide = parts.uint64 if plain.dtype == parts.uint64 else parts.int64
            plain = parts.resolve_neg(parts.resolve_conj(parts.to(plain, device="cpu", dtype=wide)))
            return Numeric(parts.numpy(plain).copy(), "tensor", dtype)
    except Exception as error:
        raise Unreadable(f"a tensor that holds no readable values ({type(error).__name__})") from error


def _read_array(value: Any) -> Numeric:
    import numpy

    if isinstance(value, numpy.ma.MaskedArray):
        raise Unreadable("a masked array")
    plain = numpy.array(value, subok=False)
    kinds = {"b": numpy.bool_, "i": numpy.int64, "u": numpy.uint64, "f": numpy.float64, "c": numpy.complex128}
    if plain.dtype.kind not in kinds:
        raise Unreadable(f"an array of {plain.dtype}, which is not numeric")
    return Numeric(plain.astype(kinds[plain.dtype.kind]), "array", f"numpy.{plain.dtype}")


def _read_plain(value: object, kind: str) -> Numeric:
    import numpy

    shape = _list_shape(value, depth=0)
    flat = list(_leaves(value))
    types = {type(leaf) for leaf in flat}
    if any(type(leaf) is int and not -(2**63) <= leaf < 2**63 for leaf in flat):
        raise Unreadable("an integer of more than 64 bits")
    if types == {bool}:
        dtype, name = "bool", "bool"
    elif types <= {int, bool} and types:
        dtype, name = "int64", "int"
    elif complex in types:
        dtype, name = "complex128", "complex"
    else:
        dtype, name = "float64", "float"
    return Numeric(numpy.array(flat, dtype=dtype).reshape(shape), kind, name)


def _list_shape(value: object, depth: int) -> tuple[int, ...]:
    if type(value) not in (list, tuple):
        if is_number(value):
            return ()
        raise Unreadable(f"a list that holds a {type(value).__qualname__}")
    if depth > 20:
        raise Unreadable("a list nested more than 20 deep")
    shapes = {_list_shape(item, depth + 1) for item in value}  # type: ignore[attr-defined]
    if len(shapes) > 1:
        raise Unreadable("a ragged list: its rows have different lengths")
    return (len(value), *(shapes.pop() if shapes else ()))  # type: ignore[arg-type]


def _leaves(value: object) -> Iterator[Any]:
    if type(value) in (list, tuple):
        for item in value:  # type: ignore[attr-defined]
            yield from _leaves(item)
    else:
        yield value


def agree(actual: Any, expected: Any, rtol: float, atol: float) -> Any:
    """Where two arrays of equal shape agree: |actual − expected| ≤ atol + rtol · |expected|.

    NaN agrees only with NaN, an infinity with its like.
    """
    import numpy

    with quiet():
        if actual.dtype.kind in "biu" and expected.dtype.kind in "biu" and not rtol and atol < 1:
            return actual == expected
        wide = numpy.complex128 if "c" in actual.dtype.kind + expected.dtype.kind else numpy.float64
        exact = actual == expected
        left, right = actual.astype(wide), expected.astype(wide)
        near = numpy.abs(left - right) <= atol + rtol * numpy.abs(right)
        near &= numpy.isfinite(left) & numpy.isfinite(right)
        return exact | near | (numpy.isnan(left) & numpy.isnan(right))


def quiet() -> Any:
    """A context without numpy's warnings: they are noise in a diagnosis."""
    import numpy

    return numpy.errstate(all="ignore")
