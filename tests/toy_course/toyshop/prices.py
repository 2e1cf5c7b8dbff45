"""Prices: what a thing costs after a discount, and what things cost on average."""

import math


def discount(price: float, percent: float) -> float:
    """The price after `percent` per cent have been taken off: price · (1 − percent / 100).

    Args:
        price: any number.
        percent: from 0 (nothing off) to 100 (for free).

    Raises:
        ValueError: `percent` is not between 0 and 100.
    """
    raise NotImplementedError("lesson01 · discount")


def average(prices: list[float]) -> float:
    """The sum of the prices divided by how many there are. The list stays as it is.

    Raises:
        ValueError: there are no prices.
    """
    raise NotImplementedError("lesson01 · average")
