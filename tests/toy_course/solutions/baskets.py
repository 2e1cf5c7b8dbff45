"""Baskets: what somebody wants to buy."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

from toyshop.prices import discount


@dataclass
class Item:
    """A thing in a basket. Given."""

    name: str
    price: float
    """Of one piece."""
    count: int = 1


class Basket:
    """Items, in the order in which they were put in."""

    currency: str = "€"

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self.items = list(items)

    def add(self, name: str, price: float, *, count: int = 1) -> None:
        """Put `count` pieces into the basket.

        When an item of this name and price is there already, its count grows; otherwise a new item goes to the end.
        """
        for item in self.items:
            if (item.name, item.price) == (name, price):
                item.count += count
                return
        self.items.append(Item(name, price, count))

    def total(self, *, percent: float = 0.0) -> float:
        """What all pieces cost together, after a discount of `percent` per cent. An empty basket costs 0."""
        return discount(sum(self._cost(item) for item in self.items), percent)

    def _cost(self, item: Item) -> float:
        return item.price * item.count

    @property
    def cheapest(self) -> Item:
        """The item with the lowest price of one piece; of several such items, the one that was put in first.

        Raises:
            ValueError: the basket is empty.
        """
        if not self.items:
            raise ValueError("the basket is empty")
        best = self.items[0]
        for item in self.items[1:]:
            if item.price < best.price:
                best = item
        return best


def combine(first: Basket, second: Basket) -> Basket:
    """A new basket with the items of both, those of `first` in front.

    Equal items (name and price) are counted together. Neither basket changes, not even when the new one does later.
    """
    together = Basket()
    for item in chain(first.items, second.items):
        copy = replace(item)
        together.add(copy.name, copy.price, count=copy.count)
    return together
