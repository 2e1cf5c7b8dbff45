"""expect_close, expect_shape, expect_dtype: the order of the checks, tolerances, and what each failure says."""

from __future__ import annotations

import math

import numpy
import pytest
import torch

from coursecli.expect import (
    expect_causal,
    expect_close,
    expect_distribution,
    expect_dtype,
    expect_equal,
    expect_gradient,
    expect_shape,
    expect_text,
    expect_tokens,
)

X = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)) + 2.0


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (X.clone(), X),
        (X + 9e-6, X),
        (X.clone().requires_grad_(), X),
        (torch.nn.Parameter(X.clone()), X),
        (X.to_sparse(), X),
        (X.transpose(0, 1).contiguous().transpose(0, 1), X),
        (X.expand(5, 2, 3, 4), X.expand(5, 2, 3, 4).clone()),
        (torch.tensor([math.nan, math.inf, -math.inf]), torch.tensor([math.nan, math.inf, -math.inf])),
        (torch.tensor([-0.0]), torch.tensor([0.0])),
        (torch.tensor(3.0), torch.tensor(3.0)),
        (torch.empty(0, 3), torch.empty(0, 3)),
        (torch.tensor([1 + 2j]), torch.tensor([1 + 2j])),
        (torch.tensor([True, False]), torch.tensor([True, False])),
        (torch.tensor([2**62]), torch.tensor([2**62])),
        (X.bfloat16(), X.bfloat16()),
        (X.half(), X.half()),
        (numpy.arange(6.0), numpy.arange(6.0)),
        (numpy.float32(1.5), numpy.float32(1.5)),
        ([1.0, 2.0], [1.0, 2.0]),
        ((1.0, 2.0), [1.0, 2.0]),
        ([[1, 2], [3, 4]], [[1.0, 2.0], [3.0, 4.0]]),
        (1.0, 1),
        (0.1 + 0.2, 0.3),
        (numpy.float64(0.3), 0.3),
    ],
)
def test_equal_values_pass(actual, expected):
    expect_close(actual, expected, what="x")


@pytest.mark.parametrize(
    ("actual", "expected", "kind"),
    [
        (X.tolist(), X, "type"),
        (X.numpy(), X, "type"),
        (X, X.numpy(), "type"),
        (None, X, "type"),
        ("1.0", 1.0, "type"),
        (torch.tensor(1.0), 1.0, "type"),
        (numpy.array(1.0), 1.0, "type"),
        (True, 1.0, "type"),
        ([[1.0], [2.0, 3.0]], [1.0, 2.0], "type"),
        ([1.0, "2"], [1.0, 2.0], "type"),
        (X[:1], X, "shape"),
        (X.double(), X, "dtype"),
        (X + 1e-3, X, "values"),
        (torch.tensor([math.nan]), torch.tensor([1.0]), "values"),
        (torch.tensor([1.0]), torch.tensor([math.nan]), "values"),
        (torch.tensor([math.inf]), torch.tensor([-math.inf]), "values"),
        (torch.tensor([math.inf]), torch.tensor([3e38]), "values"),
        (torch.tensor([1 + 2j]), torch.tensor([1 - 2j]), "values"),
        (torch.tensor([True, False]), torch.tensor([True, True]), "values"),
        (2.0, 1.0, "values"),
        ([1.0, 2.0], [1.0, 3.0], "values"),
    ],
)
def test_the_first_thing_that_is_wrong_is_named(actual, expected, kind, failure_of):
    assert failure_of(expect_close, actual, expected).kind == kind


def test_large_integers_are_compared_exactly_at_zero_tolerance(failure_of):
    # 2**53 + 1 and 2**53 are the same float64
    assert failure_of(expect_close, torch.tensor([2**53 + 1]), torch.tensor([2**53]), rtol=0, atol=0).kind == "values"


def test_the_tolerance_is_atol_plus_rtol_times_expected(failure_of):
    expect_close(109.9, 100.0, what="x", rtol=0.09, atol=1.0)
    failure_of(expect_close, 110.1, 100.0, rtol=0.09, atol=1.0)


def test_the_dtype_can_be_left_open_but_never_the_type(failure_of):
    expect_close(X.double(), X, what="x", check_dtype=False)
    assert failure_of(expect_close, X.tolist(), X, check_dtype=False).kind == "type"


def test_the_largest_error_is_named_with_its_place(failure_of):
    actual = X.clone()
    actual[1, 2, 3] += 0.25
    actual[0, 0, 0] += 0.125
    failure = failure_of(expect_close, actual, X, dims="B T C")
    assert failure.facts["largest error"] == "0.25 at [1, 2, 3]"
    assert failure.facts["differing"] == "2 of 24"
    assert failure.grid.title == "B = 1, T = 0–2, C = 0–3"
    marked = [(r, c) for r, row in enumerate(failure.grid.rows) for c, cell in enumerate(row) if cell.differs]
    assert marked == [(2, 3)]
    assert (failure.grid.row, failure.grid.column) == (2, 3)


def test_values_that_look_equal_get_more_digits(failure_of):
    failure = failure_of(expect_close, 1.0000001, 1.0, rtol=0, atol=0)
    assert failure.summary == "Expected 1.0, but it is 1.0000001."


@pytest.mark.parametrize(
    ("expectation", "arguments"),
    [
        (expect_close, (None, X)),
        (expect_shape, (None, (2, 3))),
        (expect_dtype, (None, torch.float32)),
        (expect_equal, (None, 3)),
        (expect_equal, (None, {"a": 1})),
        (expect_equal, (None, X)),
        (expect_tokens, (None, ["a"])),
        (expect_text, (None, "a")),
        (expect_gradient, (lambda x: None, [X])),
        (expect_causal, (lambda x: None, torch.ones(1, 4, 2))),
        (expect_distribution, (None, [0.5, 0.5])),
    ],
)
def test_none_is_explained(failure_of, expectation, arguments):
    assert failure_of(expectation, *arguments).diagnosis == [
        "None is what a function gives when its path ends without `return`: is one missing?"
    ]


@pytest.mark.parametrize(
    ("got", "wanted", "words"),
    [
        (torch.float32, torch.bfloat16, "has to go back"),
        (torch.float64, torch.float32, "numpy and Python floats"),
        (torch.float16, torch.float32, "11 significant bits"),
        (torch.float32, torch.int64, "whole numbers"),
        (torch.int64, torch.bool, "A comparison gives bool"),
        (torch.int64, torch.float32, "Whole numbers came in"),
    ],
)
def test_a_wrong_dtype_comes_with_its_likely_cause(got, wanted, words, failure_of):
    failure = failure_of(expect_dtype, torch.ones(2, dtype=got), wanted)
    assert (failure.actual, failure.expected) == (str(got), str(wanted))
    assert words in failure.diagnosis[0]


@pytest.mark.parametrize(
    ("actual", "dtype", "words"),
    [
        ([[True, False]], torch.bool, "a torch.Tensor, but it is a list."),
        (True, torch.bool, "a torch.Tensor, but it is a bool."),
        (X.numpy(), torch.float32, "a torch.Tensor, but it is a numpy.ndarray."),
        (X, numpy.float32, "a numpy array, but it is a torch.Tensor."),
    ],
)
def test_a_value_of_another_kind_has_no_wrong_dtype(actual, dtype, words, failure_of):
    failure = failure_of(expect_dtype, actual, dtype)
    assert (failure.kind, failure.summary) == ("type", f"This should be {words}")


def test_dtypes_of_torch_and_numpy_pass():
    expect_dtype(X, torch.float32, what="x")
    expect_dtype(X.numpy(), numpy.float32, what="x")
    expect_dtype(X.numpy(), "float32", what="x")


def test_a_shape_passes_as_tuple_list_or_size():
    for shape in ((2, 3, 4), [2, 3, 4], X.shape):
        expect_shape(X, shape, what="x")


@pytest.mark.parametrize(
    ("actual", "expected", "dims", "words"),
    [
        ((2, 4, 3), (2, 3, 4), "B T C", "T and C are exchanged: a transpose is missing, or one too many."),
        ((4, 2, 3), (2, 3, 4), "B T C", "The sizes of B, T and C are right, but in another order."),
        ((3, 4), (2, 3, 4), "B T C", "B, the batch axis, is missing (size 2)"),
        ((2, 3), (2, 3, 1), "B T C", "keepdim=True or an unsqueeze puts it back"),
        ((2, 3, 1, 4), (2, 3, 4), "B T C", "an extra axis of size 1 at position 2"),
        ((2, 3, 4, 5), (2, 3, 4), None, "an extra axis of size 5 at position 3"),
        ((2, 3, 4, 5), (2, 3, 20), "B T C", "C = 20 is still split into 4 × 5: they have to be merged."),
        ((2, 4, 3, 5), (2, 3, 20), "B T C", "after a transpose that brings them together"),
        ((2, 12), (2, 3, 4), "B T C", "T and C are merged into one axis: 3 × 4 = 12."),
        ((2, 3, 5), (2, 3, 4), "B T C", "Only C differs: it is one too long."),
        ((2, 3, 3), (2, 3, 4), "B T C", "Only C differs: it is one too short."),
        ((2, 3, 8), (2, 3, 4), "B T C", "2 times as long"),
        ((2, 3, 1), (2, 3, 4), "B T C", "C was reduced to size 1"),
        ((5, 5), (5, 1), "T S", "broadcast against each other"),
        ((), (2, 3), "B T", "It is a single number"),
        ((4,), (), None, "A single number is expected"),
        ((0, 3), (2, 3), "B T", "B is empty."),
        ((7, 8), (2, 3), "B T", "no axis is right"),
        ((6, 4), (3, 8), "B T", "The number of elements is right (24)"),
        ((2, 3, 4, 5, 6), (2, 3), "B T", "It has 3 axes more than expected."),
    ],
)
def test_shapes_are_explained(actual, expected, dims, words, failure_of):
    failure = failure_of(expect_shape, torch.zeros(actual), expected, dims=dims)
    assert failure.diagnosis and words in failure.diagnosis[0]


def test_shapes_are_laid_side_by_side_with_equal_sizes_opposite(failure_of):
    parts = failure_of(expect_shape, torch.zeros(3, 4), (2, 3, 4), dims="B T C").shape
    assert [(part.name, part.expected, part.actual) for part in parts] == [("B", 2, None), ("T", 3, 3), ("C", 4, 4)]
    parts = failure_of(expect_shape, torch.zeros(2, 3, 1, 4), (2, 3, 4), dims="B T C").shape
    assert [(part.name, part.expected, part.actual) for part in parts][2] == ("(extra)", None, 1)


def test_something_without_a_shape_is_no_crash(failure_of):
    assert failure_of(expect_shape, object(), (2,)).kind == "type"
    assert failure_of(expect_dtype, "text", torch.float32).kind == "type"
