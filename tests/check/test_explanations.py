"""Exceptions whose own message does not say what to write are explained; the libraries themselves raise them here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from coursecli.check.explanations import explanation
from tests.checking import Shop, only


class Empty(torch.nn.Module):
    def __init__(self) -> None:
        pass


def raised(action: Callable[[], object]) -> str:
    try:
        action()
    except Exception as error:
        return explanation(error, str(error))
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    "action",
    [
        lambda: setattr(Empty(), "linear", torch.nn.Linear(2, 2)),
        lambda: setattr(Empty(), "weight", torch.nn.Parameter(torch.ones(2))),
        lambda: Empty().register_parameter("weight", torch.nn.Parameter(torch.ones(2))),
        lambda: Empty().register_buffer("cos", torch.ones(2)),
        lambda: Empty().add_module("linear", torch.nn.Linear(2, 2)),
        lambda: Empty()(torch.ones(2)),
        lambda: list(Empty().parameters()),
        lambda: Empty().state_dict(),
        lambda: Empty().eval(),
    ],
)
def test_a_module_that_was_not_initialised(action: Callable[[], object]) -> None:
    assert "`super().__init__()` has to be the first line" in raised(action)


@pytest.mark.parametrize(
    "action",
    [
        lambda: None.shape,
        lambda: len(None),
        lambda: None + torch.ones(2),
        lambda: [*None],
        lambda: torch.nn.functional.linear(None, torch.ones(2, 2)),
    ],
)
def test_none_in_the_place_of_a_value(action: Callable[[], object]) -> None:
    assert raised(action).startswith("Something here is None")


@pytest.mark.parametrize(
    "action",
    [lambda: torch.nn.Linear(2, 2).missing, lambda: [].shape, lambda: {}["NoneType"], lambda: 1 / 0, lambda: "a" + 1],
)
def test_a_message_that_says_enough_is_left_alone(action: Callable[[], object]) -> None:
    assert raised(action) == ""


def test_the_learner_reads_the_explanation_below_the_error(shop: Shop) -> None:
    code = "raise AttributeError('cannot assign module before Module.__init__() call')"
    test = only(shop.check(shop.package(discount=code), gates=False), "test_discount_at_the_edges")
    assert test.outcome == "error"
    assert test.note.startswith("`super().__init__()`")


def test_where_the_test_met_none_is_said_as_well(shop: Shop) -> None:
    result = shop.check(shop.package(Basket__total="return None"), gates=False)
    where, what = only(result, "test_total_with_a_discount").note.split("\n")
    assert where.startswith("raised while the test evaluated: expect_close(float(basket.total())")
    assert what.startswith("Something here is None")
