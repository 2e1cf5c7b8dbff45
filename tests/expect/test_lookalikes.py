"""Naming the misconception: which lookalike is the one, and when none is."""

from __future__ import annotations

import torch

from coursecli.expect import expect_close, expect_equal, expect_shape, expect_text, expect_tokens

X = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1))


def test_the_lookalike_that_equals_actual_is_named(failure_of):
    choices = {"twice": X * 2, "half": X / 2, "negative": -X}
    assert failure_of(expect_close, X / 2, X, lookalikes=choices).mistake == "half"
    assert failure_of(expect_close, X * 3, X, lookalikes=choices).mistake is None


def test_lookalikes_may_be_functions_and_are_only_called_on_failure(failure_of):
    calls = []

    def twice():
        calls.append(1)
        return X * 2

    expect_close(X.clone(), X, what="x", lookalikes={"twice": twice})
    assert not calls
    assert failure_of(expect_close, X * 2, X, lookalikes={"twice": twice}).mistake == "twice"


def test_a_lookalike_that_raises_is_passed_over(failure_of):
    choices = {"broken": lambda: 1 / 0, "ragged": [[1], [1, 2]], "text": "no", "none": None, "twice": lambda: X * 2}
    assert failure_of(expect_close, X * 2, X, lookalikes=choices).mistake == "twice"


def test_a_lookalike_equal_to_expected_tells_nothing(failure_of):
    near = X + 5e-4
    failure = failure_of(expect_close, X + 1.5e-3, X, rtol=0, atol=1e-3, lookalikes={"near": near})
    assert failure.mistake is None


def test_the_nearest_of_several_is_named(failure_of):
    choices = {"far": X * 2 + 9e-6, "exact": X * 2, "near": X * 2 + 5e-6}
    assert failure_of(expect_close, X * 2, X, lookalikes=choices).mistake == "exact"


def test_a_wrong_shape_can_be_a_lookalike(failure_of):
    choices = {"summed": lambda: X.sum(-1), "meaned": lambda: X.mean(-1)}
    failure = failure_of(expect_close, X.mean(-1), X, lookalikes=choices)
    assert (failure.kind, failure.mistake) == ("shape", "meaned")


def test_a_wrong_dtype_can_be_a_lookalike(failure_of):
    choices = {"not-cast-back": X.double(), "half": X.half()}
    assert failure_of(expect_close, X.double(), X, lookalikes=choices).mistake == "not-cast-back"


def test_a_given_mistake_wins(failure_of):
    assert failure_of(expect_close, X * 2, X, lookalikes={"twice": X * 2}, mistake="other").mistake == "other"


def test_shapes_tokens_texts_and_values_have_lookalikes(failure_of):
    assert failure_of(expect_shape, X, (2, 4, 3), lookalikes={"swapped": (2, 3, 4)}).mistake == "swapped"
    assert failure_of(expect_tokens, [2, 1], [1, 2], lookalikes={"reversed": lambda: (2, 1)}).mistake == "reversed"
    assert failure_of(expect_text, "A", "a", lookalikes={"upper": "A"}).mistake == "upper"
    assert failure_of(expect_equal, {"a": 2}, {"a": 1}, lookalikes={"twice": {"a": 2}}).mistake == "twice"
    assert failure_of(expect_equal, list, dict, lookalikes={"set": set, "list": list}).mistake == "list"
    assert failure_of(expect_equal, 2, 1, lookalikes={"a": 2.0, "b": True, "c": 2}).mistake == "c"
