"""First contact: plain numbers."""

import pytest
from toyshop.baskets import Basket
from toyshop.prices import average, discount

from coursecli.expect import expect_close, expect_equal


def contents(basket: Basket) -> list[tuple[str, float, int]]:
    return [(item.name, item.price, item.count) for item in basket.items]


@pytest.mark.task("discount")
@pytest.mark.parametrize(("price", "percent", "expected"), [(80.0, 25.0, 60.0), (12.5, 40.0, 7.5)])
def test_discount_takes_a_part_off(price: float, percent: float, expected: float):
    """A discount of some per cent leaves the rest of the price."""
    expect_close(
        discount(price, percent),
        expected,
        what=f"discount({price}, {percent})",
        lookalikes={"percent-as-fraction": price * (1 - percent), "the-part-taken-off": price - expected},
    )


@pytest.mark.task("average")
def test_average_of_three_prices():
    """The average is the sum divided by how many there are."""
    expect_close(average([2.0, 3.0, 8.5]), 4.5, what="average([2.0, 3.0, 8.5])", lookalikes={"average-floor": 4.0})


@pytest.mark.task("basket-add")
def test_add_puts_items_at_the_end():
    """Each new item goes to the end of the basket, with its count."""
    basket = Basket()
    basket.add("car", 80.0)
    basket.add("ball", 5.0, count=3)
    expect_equal(
        contents(basket),
        [("car", 80.0, 1), ("ball", 5.0, 3)],
        what="the basket after a car and three balls",
        lookalikes={"count-forgotten": [("car", 80.0, 1), ("ball", 5.0, 1)]},
    )


@pytest.mark.task("basket-total")
def test_total_counts_every_piece():
    """The total is the sum of price times count."""
    basket = Basket()
    basket.add("car", 80.0)
    basket.add("ball", 5.0, count=3)
    expect_close(
        basket.total(),
        95.0,
        what="the total of a car for 80 and three balls for 5",
        lookalikes={"total-of-prices": 85.0},
    )
