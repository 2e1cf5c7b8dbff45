"""Values that were made to deceive, or that break what touches them: the kit neither passes them nor crashes."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coursecli.expect import (
    ExpectationFailed,
    Failure,
    expect,
    expect_causal,
    expect_close,
    expect_distribution,
    expect_dtype,
    expect_equal,
    expect_shape,
    expect_text,
    expect_tokens,
)


class Agreeable:
    """Equal to everything, and every number, list and string that one asks for."""

    shape, dtype, ndim = (2, 2), torch.float32, 2

    def __eq__(self, other):
        return True

    def __sub__(self, other):
        return 0

    __rsub__ = __sub__
    __hash__ = None

    def __array__(self, *args, **kwargs):
        return numpy.ones((2, 2), numpy.float32)

    @property
    def __class__(self):
        return torch.Tensor


class Raising:
    def __getattribute__(self, name):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")


class LyingTensor(torch.Tensor):
    """A tensor whose every operation says that all is well."""

    def __eq__(self, other):
        return torch.ones(2, 2, dtype=torch.bool)

    __hash__ = torch.Tensor.__hash__

    @property
    def dtype(self):
        return torch.float32

    @property
    def shape(self):
        return torch.Size((2, 2))

    def detach(self):
        return torch.ones(2, 2)

    to = cpu = double = float = detach

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return torch.ones(2, 2)


class BadRepr(list):
    def __repr__(self):
        raise ValueError

    def __len__(self):
        raise ValueError


ONES = torch.ones(2, 2)
CHEATS = [
    Agreeable(),
    Raising(),
    (ONES * 3).as_subclass(LyingTensor),
    torch.ones(2, 2, dtype=torch.float64).as_subclass(LyingTensor),
    torch.ones(3, 3).as_subclass(LyingTensor),
    torch.ones(2, 2, device="meta"),
    torch.full((2, 2), float("nan")),
    ONES.to(torch.complex64),
    ONES.to_sparse() * 2,
    numpy.ma.masked_array(numpy.ones((2, 2)), mask=True),
    numpy.array([[1, "a"], [2, 3]], dtype=object),
    BadRepr([[1.0, 1.0], [1.0, 1.0]]),
    [[1.0, 1.0], [1.0, 1.0]],
    [[10**400, 1], [1, 1]],
    lambda: ONES,
    torch.Tensor,
    "x" * 100_000,
    b"\xff" * 10,
    object(),
    None,
    ...,
    float("nan"),
    10**5000,
    range(4),
    {},
]


@pytest.mark.parametrize("number", range(len(CHEATS)))
@pytest.mark.parametrize(
    "check",
    [
        lambda x: expect_close(x, ONES, what="x", lookalikes={"m": Raising(), "n": lambda: x}),
        lambda x: expect_close(x, numpy.ones(3), what="x"),
        lambda x: expect_close(x, 1.0, what="x"),
        lambda x: expect_close([x], [1.0], what="x"),
        lambda x: expect_shape(x, (2, 7), what="x"),
        lambda x: expect_dtype(x, torch.int8, what="x"),
        lambda x: expect_equal(x, 5, what="x"),
        lambda x: expect_equal(x, ONES, what="x"),
        lambda x: expect_equal([x, {"a": x}], [5, {"a": 5}], what="x"),
        lambda x: expect_tokens(x, [1, 2], what="x"),
        lambda x: expect_tokens([x, x], [1, 2], what="x"),
        lambda x: expect_text(x, "abc", what="x"),
        lambda x: expect_distribution(x, [0.5, 0.5], what="x"),
        lambda x: expect_causal(lambda _: x, torch.ones(2, 6), what="x"),
        lambda x: expect(False, "no", what="x", expected=x, actual=x),
    ],
)
def test_a_cheat_fails_and_the_message_is_printable(check, number):
    with pytest.raises(ExpectationFailed) as caught:
        check(CHEATS[number])
    assert_presentable(caught.value)


def test_replaced_torch_functions_do_not_matter():
    script = """
import torch
import coursecli.expect.kit
always = lambda *args, **kwargs: True
for name in ("allclose", "equal", "isclose", "all", "abs", "sub"):
    setattr(torch, name, always)
for name in ("detach", "to", "numpy", "cpu", "__eq__", "__sub__", "abs", "all", "is_floating_point"):
    setattr(torch.Tensor, name, lambda self, *args, **kwargs: torch.zeros(2))
from coursecli.expect import expect_close, ExpectationFailed
try:
    expect_close(torch.ones(2), torch.full((2,), 3.0), what="x")
except ExpectationFailed as error:
    assert error.payload.summary == "Expected 3.0 at [0], but it is 1.0.", error
    print("seen")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("seen\n", "")


def test_nothing_heavy_is_imported_with_the_kit():
    script = """
import sys
import coursecli.expect.kit
heavy = {"torch", "numpy", "rich", "pytest", "_pytest", "yaml", "coursecli.course"} & set(sys.modules)
assert not heavy, heavy
from coursecli.expect import expect_close, expect_equal, expect_tokens
expect_equal([1], [1], what="x")
expect_tokens([1], [1], what="x")
assert not {"torch", "numpy"} & set(sys.modules)
expect_close([1.0], [1.0], what="x")
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_payload_comes_without_the_expectations():
    script = """
import sys
import coursecli.expect.payload
from coursecli.expect import counter
assert "coursecli.expect.close" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def assert_presentable(failure):
    """It can be printed in 100 columns, and travels as JSON unchanged."""
    assert all(line.isprintable() and len(line) <= 100 for line in str(failure).split("\n"))
    sent = msgspec.json.encode(failure.payload)
    assert msgspec.json.decode(sent, type=Failure) == failure.payload
    assert len(sent) < 100_000


def failure_or_none(expectation, *args, **options):
    """What the expectation raised; its text fits and can be printed."""
    try:
        expectation(*args, what="x", **options)
    except ExpectationFailed as failure:
        assert_presentable(failure)
        return failure
    return None


NUMBERS = st.one_of(
    st.floats(width=32, allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 1.0, 1.00001, 0.99999, 1e-6]),
)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def close(actual, expected, rtol, atol):
    """The definition, element by element, in Python's own floats."""
    if actual != actual or expected != expected:
        return actual != actual and expected != expected
    if actual == expected:
        return True
    if float("inf") in (abs(actual), abs(expected)):
        return False
    return abs(actual - expected) <= atol + rtol * abs(expected)


@settings(max_examples=300, deadline=None)
@given(
    shape=SHAPES,
    data=st.data(),
    rtol=st.sampled_from([0.0, 1e-5, 0.1]),
    atol=st.sampled_from([0.0, 1e-5, 1.0]),
    container=st.sampled_from(["tensor", "array", "list"]),
)
def test_values_pass_exactly_when_every_element_is_close(shape, data, rtol, atol, container):
    expected = data.draw(arrays.arrays(numpy.float64, shape, elements=NUMBERS))
    noise = data.draw(arrays.arrays(numpy.float64, shape, elements=NUMBERS))
    mask = data.draw(arrays.arrays(bool, shape))
    actual = numpy.where(mask, noise, expected)
    right = all(close(a, e, rtol, atol) for a, e in zip(actual.flat, expected.flat))
    make = {"tensor": torch.tensor, "array": numpy.array, "list": lambda array: array.tolist()}[container]
    failure = failure_or_none(expect_close, make(actual), make(expected), rtol=rtol, atol=atol, dims="B H T D")
    assert (failure is None) == right
    assert failure is None or len(failure.payload.diagnosis) <= 3


@settings(max_examples=100, deadline=None)
@given(left=SHAPES, right=SHAPES)
def test_shapes_pass_exactly_when_equal(left, right):
    failure = failure_or_none(expect_shape, torch.empty(left), right, dims="A B C D"[: max(0, 2 * len(right) - 1)])
    assert (failure is None) == (left == right)
    if failure:
        parts = failure.payload.shape
        assert tuple(part.expected for part in parts if part.expected is not None) == right
        assert tuple(part.actual for part in parts if part.actual is not None) == left


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3) | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=1) | st.integers(0, 1) | st.booleans(), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(PLAIN, PLAIN)
def test_plain_values_pass_exactly_when_their_representation_is_the_same(actual, expected):
    def canonical(value):
        if type(value) is dict:
            return "{" + ",".join(sorted(f"{canonical(k)}:{canonical(v)}" for k, v in value.items())) + "}"
        if type(value) in (list, tuple):
            return type(value).__name__ + "(" + ",".join(map(canonical, value)) + ")"
        return repr(0.0 if type(value) is float and value == 0 else value)

    for left, right in ((actual, expected), (actual, actual)):
        assert (failure_or_none(expect_equal, left, right) is None) == (canonical(left) == canonical(right))
