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
    if not 0 <= percent <= 100:
        raise ValueError(f"percent must be between 0 and 100, not {percent}")
    return price * (1 - percent / 100)


def average(prices: list[float]) -> float:
    """The sum of the prices divided by how many there are. The list stays as it is.

    Raises:
        ValueError: there are no prices.
    """
    _require_some(prices)
    return math.fsum(prices) / len(prices)


# An average of nothing has no meaning.
def _require_some(prices: list[float]) -> None:
    if not prices:
        raise ValueError("there are no prices")
