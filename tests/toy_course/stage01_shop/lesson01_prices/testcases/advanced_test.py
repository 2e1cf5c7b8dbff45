"""The edges: nothing, too much, the same again."""

import random

import pytest
from toyshop.baskets import Basket
from toyshop.prices import average, discount

from coursecli.expect import expect_close, expect_equal, expect_raises, expect_unchanged


@pytest.mark.task("discount")
def test_discount_at_the_edges():
    """0 per cent takes nothing off, 100 per cent takes all."""
    for percent, expected in ((0.0, 37.25), (100.0, 0.0)):
        expect_close(discount(37.25, percent), expected, what=f"discount(37.25, {percent})")


@pytest.mark.task("discount")
def test_discount_refuses_impossible_percentages():
    """A discount below 0 or above 100 per cent is refused with ValueError."""
    for percent in (-0.5, 100.5):
        with expect_raises(ValueError, what=f"discount(10, {percent})", mistake="any-percentage"):
            discount(10.0, percent)


@pytest.mark.task("average")
def test_average_of_nothing():
    """Of no prices there is no average: ValueError."""
    with expect_raises(ValueError, what="average([])", mistake="average-of-nothing-is-zero"):
        average([])


@pytest.mark.task("average")
def test_average_leaves_the_list_alone():
    """The list of prices is the same afterwards."""
    prices = [random.Random(number).uniform(1, 90) for number in range(7)]
    with expect_unchanged(prices, what="the list given to average", mistake="average-sorts-the-list"):
        average(prices)


@pytest.mark.task("basket-add")
def test_add_counts_equal_items_together():
    """The same name and price again raises the count; another price is another item."""
    basket = Basket()
    for price, count in ((5.0, 2), (6.0, 1), (5.0, 4)):
        basket.add("ball", price, count=count)
    expect_equal(
        [(item.price, item.count) for item in basket.items],
        [(5.0, 6), (6.0, 1)],
        what="balls for 5, 6 and again 5",
        lookalikes={
            "add-never-looks": [(5.0, 2), (6.0, 1), (5.0, 4)],
            "add-looks-at-the-name-only": [(5.0, 7)],
        },
    )


@pytest.mark.task("basket-total")
def test_total_with_a_discount():
    """The discount is taken off the whole sum; an empty basket costs nothing."""
    basket = Basket()
    expect_close(float(basket.total()), 0.0, what="the total of an empty basket")
    basket.add("car", 40.0, count=3)
    expect_close(
        basket.total(percent=30.0),
        84.0,
        what="three cars for 40 at 30 % off",
        lookalikes={"total-without-discount": 120.0},
    )
