"""Print a basket. Given."""

from toyshop.baskets import Basket


def receipt(basket: Basket) -> str:
    """One line an item, and the total."""
    lines = [f"{item.count} × {item.name}: {item.price:.2f}" for item in basket.items]
    return "\n".join([*lines, f"total: {basket.total():.2f}"])
