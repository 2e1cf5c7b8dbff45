"""`Generators`: the same random numbers for a test, whatever ran before it and however its worker was started."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable


class Generators:
    """Those that Python and the loaded libraries keep for everybody, as they are now: not what replaces them later."""

    def __init__(self) -> None:
        self._seeds: list[Callable[[int], object]] = [random.seed]
        if numpy := sys.modules.get("numpy"):
            self._seeds.append(numpy.random.seed)
        if torch := sys.modules.get("torch"):  # its manual_seed formats the stack for a device that is absent
            self._seeds.append(torch.default_generator.manual_seed)

    def reset(self) -> None:
        for seed in self._seeds:
            seed(0)
