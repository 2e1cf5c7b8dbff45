"""The edges: equal prices, empty baskets, baskets that must not change."""

import pytest
from toyshop.baskets import Basket, Item, combine

from coursecli.expect import expect_close, expect_equal, expect_raises


def contents(basket: Basket) -> list[tuple[str, float, int]]:
    return [(item.name, item.price, item.count) for item in basket.items]


@pytest.mark.task("cheapest")
def test_cheapest_of_equals_is_the_first():
    """Of several items with the lowest price, the first one is meant."""
    basket = Basket([Item("car", 9.0), Item("ball", 4.0), Item("cube", 4.0)])
    expect_equal(
        basket.cheapest.name, "ball", what="the cheapest, when two cost 4", lookalikes={"last-of-equals": "cube"}
    )


@pytest.mark.task("cheapest")
def test_cheapest_of_nothing():
    """An empty basket has no cheapest item: ValueError."""
    with expect_raises(ValueError, what="the cheapest item of an empty basket"):
        _ = Basket().cheapest


@pytest.mark.task("combine")
def test_combine_leaves_both_baskets_alone():
    """Changing the combined basket changes neither of the two."""
    first, second = Basket([Item("ball", 5.0, 2)]), Basket([Item("doll", 20.0)])
    both = combine(first, second)
    for item in both.items:
        item.count += 7
    expect_equal(
        (contents(first), contents(second)),
        ([("ball", 5.0, 2)], [("doll", 20.0, 1)]),
        what="the two baskets, after a change of the combined one",
        mistake="items-shared",
    )


@pytest.mark.task("combine")
@pytest.mark.integration
def test_combined_basket_costs_as_much_as_both():
    """What is combined costs the sum of the two, equal items counted together."""
    first, second = Basket(), Basket()
    first.add("ball", 5.0, count=2)
    second.add("ball", 5.0, count=3)
    second.add("car", 80.0)
    both = combine(first, second)
    expect_equal(
        contents(both),
        [("ball", 5.0, 5), ("car", 80.0, 1)],
        what="two balls combined with three balls and a car",
        lookalikes={"combine-only-joins": [("ball", 5.0, 2), ("ball", 5.0, 3), ("car", 80.0, 1)]},
    )
    expect_close(both.total(percent=50.0), 52.5, what="the total of the combined basket at half price")
