"""Random numbers in a check: a test that forgot its seed has the same verdict every time."""

import random

import numpy as np
import torch

from coursecli.check.seeds import Generators
from tests.checking import Shop, only


def test_every_common_generator_starts_again():
    generators = Generators()
    drawn = []
    for _ in range(2):
        generators.reset()
        drawn.append((random.random(), np.random.random(), torch.rand(()).item()))
    assert drawn[0] == drawn[1]


def test_what_a_test_draws_does_not_depend_on_the_tests_before_it(shop: Shop):
    root = shop.package(
        average="import random\nprint(random.random())\nreturn 0.0", discount="import random\nrandom.random()"
    )
    alone = only(shop.check(root, tasks={"average"}), "test_average_of_three_prices")
    after = only(shop.check(root), "test_average_of_three_prices")
    assert alone.output == after.output != ""
