"""The standard errors behind the tables of `intro2llm eval`."""

import statistics

import pytest

from intro2llm.evaluation.tasks.task import standard_error


def test_items_that_differ() -> None:
    values = [1.0, 0.0, 0.0, 1.0, 1.0]
    assert standard_error(values) == pytest.approx(statistics.stdev(values) / 5**0.5)


@pytest.mark.parametrize("values", [[1.0], [0.0] * 6, [1.0] * 6])
def test_items_that_are_all_alike_give_no_error_of_0(values: list[float]) -> None:
    assert standard_error(values) is None
