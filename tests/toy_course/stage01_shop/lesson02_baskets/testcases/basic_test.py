"""First contact: small baskets."""

import pytest
from toyshop.baskets import Basket, Item, combine

from coursecli.expect import expect_equal


@pytest.mark.task("cheapest")
def test_cheapest_of_three():
    """The cheapest item is the one with the lowest price of one piece."""
    basket = Basket([Item("car", 80.0), Item("ball", 5.0, 30), Item("doll", 20.0)])
    expect_equal(
        basket.cheapest.name,
        "ball",
        what="the cheapest of car 80, thirty balls at 5, doll 20",
        lookalikes={"cheapest-line": "doll", "dearest": "car"},
    )


@pytest.mark.task("combine")
def test_combine_keeps_the_order():
    """The items of the first basket come first."""
    both = combine(Basket([Item("car", 80.0)]), Basket([Item("doll", 20.0, 2)]))
    expect_equal(
        [(item.name, item.count) for item in both.items],
        [("car", 1), ("doll", 2)],
        what="a car combined with two dolls",
        lookalikes={"second-first": [("doll", 2), ("car", 1)]},
    )
