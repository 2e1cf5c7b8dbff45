"""The diagnosis of values: each pattern is recognised, and every sentence that is said is true."""

from __future__ import annotations

import re

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coursecli.expect import numeric
from coursecli.expect.factors import name_factor
from coursecli.expect.patterns import describe

RNG = numpy.random.RandomState(7)
X = RNG.randn(3, 4, 8)
S = RNG.randn(2, 5, 5)
HEADS = RNG.randn(2, 3, 4, 5)  # (B, H, T, D)


def say(actual, expected, names=("B", "T", "C"), rtol=1e-5, atol=1e-6):
    names = list(names)[: expected.ndim] if len(names) >= expected.ndim else [f"axis {i}" for i in range(expected.ndim)]
    return describe(actual, expected, numeric.agree(actual, expected, rtol, atol), rtol, atol, names)


def changed(place, value, of=X):
    copy = of.copy()
    copy[place] = value(copy[place]) if callable(value) else value
    return copy


@pytest.mark.parametrize(
    ("actual", "expected", "sentences"),
    [
        (X * 8**0.5, X, ["Actual is 2.828 (√8, and C is 8) times expected, everywhere."]),
        (X * 8 / 7, X, ["Actual is 1.143 (8/7, and C is 8) times expected, everywhere."]),
        (X * 2, X, ["Actual is 2 times expected, everywhere."]),
        (X / 2, X, ["Actual is 0.5 (1/2) times expected, everywhere."]),
        (X * 1.234, X, ["Actual is 1.234 times expected, everywhere."]),
        (-X, X, ["The sign is flipped: actual is −1 times expected."]),
        (X + 0.5, X, ["Actual is larger than expected by 0.5, everywhere."]),
        (X - 0.25, X, ["Actual is smaller than expected by 0.25, everywhere."]),
        (X * 0, X, ["Actual is 0 everywhere."]),
        (X * 0 + 3, X, ["Actual is 3.0 everywhere."]),
        (S.swapaxes(1, 2), S, ["Actual is expected transposed: T and C are exchanged."]),
        (X[:, ::-1], X, ["Actual is expected reversed along T."]),
        (numpy.roll(X, 1, 2), X, ["Actual is expected shifted by one place later along C, wrapped around."]),
        (numpy.roll(X, -1, 1), X, ["Actual is expected shifted by one place earlier along T, wrapped around."]),
        (X[:1].repeat(3, 0), X, ["Every slice along B is equal to the first one of expected."]),
        (numpy.exp(X), X, ["Actual is e to the power of expected."]),
        (numpy.maximum(X, 0), X, ["Actual is expected with everything negative set to 0."]),
        (X**2, X, ["Actual is the square of expected."]),
        (X.astype("float16").astype(float), X, ["Actual is expected rounded to float16."]),
        (numpy.round(X * 9), X * 9, ["Actual is expected rounded to whole numbers."]),
        (X > 0, X <= 0, ["Actual is the opposite of expected: True and False are exchanged."]),
        (
            changed(numpy.s_[1:], lambda x: x + RNG.randn(*x.shape)),
            X,
            ["Along B, only the first is right; all others differ."],
        ),
        (
            changed(numpy.s_[:, :, 0], lambda x: 2 * x),
            X,
            ["Along C, only the first differs; everything else is right.", "There, actual is 2 times expected."],
        ),
        (
            changed(numpy.s_[..., 1::2], 0.0),
            X,
            [
                "Along C, only the odd indices differ (1, 3, …); the even ones are right.",
                "There, actual is 0 everywhere.",
            ],
        ),
        (
            changed(numpy.s_[..., 4:], lambda x: -x),
            X,
            [
                "Along C, only the second half differs (4–7); the first half is right.",
                "There, the sign is flipped: actual is −1 times expected.",
            ],
        ),
        (
            S + numpy.triu(RNG.randn(2, 5, 5) + 9, 1),
            S,
            ["Only elements above the diagonal (C later than T: the future) differ; everything else is right."],
        ),
        (
            S * (1 - numpy.eye(5)),
            S,
            [
                "Only elements on the diagonal (C equal to T) differ; everything else is right.",
                "There, actual is 0 everywhere.",
            ],
        ),
        (changed((1, 2, 3), 9.0), X, ["Only one element differs, at B = 1, T = 2 and C = 3."]),
        (
            changed(numpy.s_[:, 2], numpy.nan),
            X,
            [
                "Along C, 3 lines are NaN throughout, all at T = 2.",
                "A softmax over a line in which everything is masked gives NaN, and so does 0/0.",
                "Everything else is right.",
            ],
        ),
        (
            changed((1, 2, 3), numpy.inf),
            X,
            ["1 element is infinite, all at B = 1, T = 2 and C = 3.", "Everything else is right."],
        ),
        (X * 0 + numpy.nan, X, ["Every element is NaN."]),
    ],
)
def test_the_pattern_is_named(actual, expected, sentences):
    said = say(actual, expected)
    if sentences == ["Every element is NaN."]:
        said = said[:1]
    assert said == sentences


def test_heads_merged_without_a_transpose_are_recognised():
    right = HEADS.swapaxes(1, 2).reshape(2, 4, 15)
    assert say(HEADS.reshape(2, 4, 15), right) == [
        "With C = 3 × 5: the 3 parts were merged standing before T; a transpose is missing."
    ]


def test_interleaved_values_are_recognised():
    halves = RNG.randn(2, 3, 8)
    interleaved = halves.reshape(2, 3, 2, 4).swapaxes(-1, -2).reshape(2, 3, 8)
    assert say(interleaved, halves) == [
        "Along C the values are interleaved: read as C = 2 × 4, with the two exchanged."
    ]


def test_a_reshape_in_place_of_a_transpose_is_recognised():
    (sentence,) = say(HEADS.reshape(2, 4, 3, 5), HEADS.swapaxes(1, 2), names=("B", "T", "H", "D"))
    assert sentence.endswith("reshape does not transpose.")


def test_a_missing_normalisation_is_a_factor_for_each_line():
    raw = numpy.exp(X)
    (sentence,) = say(raw, raw / raw.sum(-1, keepdims=True))
    assert sentence.startswith("Each line along C is expected times a factor of its own (from ")


def test_a_mean_that_was_not_subtracted_is_an_offset_for_each_line():
    (sentence,) = say(X, X - X.mean(-1, keepdims=True))
    assert sentence.startswith("Each line along C is off by a constant of its own")


def test_a_weight_and_a_bias_for_each_channel_are_recognised():
    weight, bias = RNG.rand(8) + 1, RNG.rand(8) + 1
    assert say(X * weight, X)[0].endswith("as a weight along C would do.")
    assert say(X + bias, X)[0].endswith("as a bias along C would be.")
    (sentence,) = say(X, X * weight + bias)
    assert sentence.startswith("At each index of C, actual is expected times a factor (from ")
    assert sentence.endswith("as a weight and a bias along C would do.")


def test_a_wrong_epsilon_reads_as_a_small_error():
    (sentence,) = say(X + 1e-4 * RNG.rand(*X.shape), X)
    assert sentence.startswith("The errors are small, at most ")


def test_values_that_are_nearly_right_are_not_called_a_factor_of_one():
    (sentence,) = say(X * (1 + 1e-8), X, rtol=1e-12, atol=0)
    assert sentence.startswith("The errors are small")


def test_unrelated_values_get_no_story():
    assert say(RNG.randn(3, 4, 8), X) == []


@pytest.mark.parametrize(
    ("factor", "sizes", "words"),
    [
        (8**0.5, {"D": 8}, "2.828 (√8, and D is 8)"),
        (8**0.5, {}, "2.828 (√8)"),
        (1 / 64**0.5, {"D": 64}, "0.125 (1/8)"),
        (0.6931472, {}, "0.6931 (ln 2)"),
        (12.0, {}, "12"),
        (-1 / 3, {}, "−0.3333 (1/3)"),
        (0.8366600, {}, "0.8367"),
        (1e30, {}, "1e+30"),
        (1.00001, {}, "1.00001"),
    ],
)
def test_factors_are_named_by_their_simplest_form(factor, sizes, words):
    assert name_factor(factor, sizes) == words


SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5)
VALUES = st.floats(-1e6, 1e6, allow_subnormal=False, width=32)
CHANGES = [
    lambda x: x * 2,
    lambda x: -x,
    lambda x: x + 1,
    lambda x: x[::-1],
    lambda x: numpy.roll(x, 1, -1),
    lambda x: numpy.where(numpy.arange(x.shape[-1]) % 2, x, x + 3),
    lambda x: numpy.where(numpy.arange(x.shape[0]).reshape(-1, *[1] * (x.ndim - 1)) < 1, x, 0),
    lambda x: x / x,
    lambda x: numpy.sqrt(x),
    lambda x: x * 0 + 5,
]


@settings(max_examples=150, deadline=None)
@given(
    expected=SHAPES.flatmap(lambda shape: arrays.arrays(float, shape, elements=VALUES)),
    steps=st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3),
)
def test_every_sentence_is_true(expected, steps):
    actual = expected
    with numpy.errstate(all="ignore"):
        for step in steps:
            actual = step(actual)
    agreeing = numeric.agree(actual, expected, 1e-5, 1e-5)
    if agreeing.all():
        return
    names = [f"axis {axis}" for axis in range(expected.ndim)]
    sentences = describe(actual, expected, agreeing, 1e-5, 1e-5, names)
    assert len(sentences) <= 3
    there = ~agreeing if any(sentence.startswith("There, ") for sentence in sentences) else numpy.ones_like(agreeing)
    for sentence in sentences:
        _check(sentence, actual, expected, agreeing, there)


def _check(sentence, actual, expected, agreeing, there):
    """An oracle of its own for the commonest sentences."""
    if match := re.search(r"actual is ([−\d.e+-]*\d).* times expected", sentence, re.I):
        factor = float(match[1].replace("−", "-"))
        assert numpy.allclose(actual[there], factor * expected[there], rtol=1e-3, atol=2e-5 + 1e-3 * abs(factor))
    elif match := re.search(r"(larger|smaller) than expected by ([\d.e+-]*\d)", sentence):
        offset = float(match[2]) * (1 if match[1] == "larger" else -1)
        scale = numpy.abs(expected).max()
        assert numpy.allclose(actual[there] - expected[there], offset, rtol=1e-3, atol=2e-5 + 2e-5 * scale)
    elif match := re.search(r"actual is (-?[\d.e+-]+) everywhere", sentence, re.I):
        assert numpy.allclose(actual[there], float(match[1]), rtol=1e-3, atol=2e-5)
    elif match := re.search(r"reversed along axis (\d)", sentence):
        assert numpy.allclose(actual, numpy.flip(expected, int(match[1])), rtol=1e-4, atol=2e-5)
    elif match := re.match(r"Along axis (\d), only the (first|last) is right", sentence):
        index = 0 if match[2] == "first" else -1
        assert numpy.take(agreeing, index, int(match[1])).all() and not agreeing.all()
    elif match := re.match(r"Along axis (\d), only the (first|last) differs", sentence):
        keep = numpy.s_[1:] if match[2] == "first" else numpy.s_[:-1]
        assert numpy.moveaxis(agreeing, int(match[1]), 0)[keep].all()
    elif match := re.match(r"Along axis (\d), only the (odd|even) indices differ", sentence):
        right = numpy.moveaxis(agreeing, int(match[1]), 0)[(0 if match[2] == "odd" else 1) :: 2]
        assert right.all()
    elif sentence == "Everything else is right.":
        assert (agreeing | ~numpy.isfinite(actual)).all()
    elif match := re.match(r"(\d+) elements? (?:is|are) (NaN|infinite)", sentence):
        found = numpy.isnan(actual) if match[2] == "NaN" else numpy.isinf(actual)
        assert int((found & ~agreeing).sum()) == int(match[1])
    elif "in another order" in sentence and "axis" not in sentence:
        assert numpy.allclose(numpy.sort(actual, None), numpy.sort(expected, None), rtol=1e-5, atol=1e-5)


def test_a_line_through_two_values_is_no_pattern():
    """Every group along the last axis holds two different values only: any two outcomes fit a factor and an offset."""
    expected = numpy.tile(numpy.array([[7.0, 3.0], [6.0, 4.0]]), (5, 1, 1))
    actual = numpy.tile(numpy.array([[8.143, 2.143], [6.0, 4.0]]), (5, 1, 1))
    sentences = say(actual, expected)
    assert not any("factor" in sentence or "constant" in sentence for sentence in sentences), sentences
