"""Where decisions come from: chance, a text that is being read, or a list to be gone through.

The grammar never draws a random number. It asks a source, which writes one of several phrases and says which it was:

    who = source.choose(["Ann ", "Ben "])      # 0 or 1
    source.write("was in the garden. ")        # no choice, no information

So one piece of code tells stories (`Writer`), reads them back (`Reader`) and lists them all (`every_derivation`), and
all three agree on the probability of each choice, because `Source` alone keeps that account. The phrases of one
choice form a prefix code (see `world.py`) and are written when they are chosen, so at every point of a text exactly
one of them fits: a text has one derivation, and the probability of the text is the product of the probabilities of
its choices.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from math import log

LOG = (float("-inf"), *(log(number) for number in range(1, 8193)))
"""Natural logarithms of the integers, looked up a hundred times for each story."""


@cache
def shares(*groups: tuple[int, int]) -> tuple[int, ...]:
    """Cumulative weights of groups of options, each group given as (how many options, weight of each).

    Example: ``shares((2, 1), (1, 3))`` is ``(1, 2, 5)``: two options of probability 1/5 and one of 3/5.
    """
    cumulative = [0]
    for count, weight in groups:
        cumulative += [cumulative[-1] + weight * (place + 1) for place in range(count)]
    return tuple(cumulative[1:])


class StoryError(ValueError):
    """The text is not one that the world can tell. `position` is the first character at which nothing fits."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class Source:
    """What the three sources share: the account of the probability, and the text so far."""

    def __init__(self) -> None:
        self.log_prob = 0.0
        """Natural logarithm of the probability of the choices so far."""
        self.parts: list[str] = []
        """The text so far, in pieces."""

    def write(self, text: str) -> None:
        """Put down words that follow from what came before."""
        self.parts.append(text)

    def choose(
        self, options: Sequence[str], cumulative: Sequence[int] | None = None, among: range | None = None
    ) -> int:
        """Put down one of the options, and return its index.

        Args:
            options: phrases none of which begins with another.
            cumulative: running sums of their weights (see `shares`); None makes all equally likely.
            among: if given, pick only from these indices. The account is kept as if all had been possible.
        """
        raise NotImplementedError

    def text(self) -> str:
        return "".join(self.parts)

    def _account(self, options: Sequence[str], cumulative: Sequence[int] | None, chosen: int) -> None:
        self.parts.append(options[chosen])
        if cumulative is None:
            self.log_prob -= LOG[len(options)]
        else:
            weight = cumulative[chosen] - (cumulative[chosen - 1] if chosen else 0)
            self.log_prob += LOG[weight] - LOG[cumulative[-1]]


class Writer(Source):
    """Chooses by chance.

    Args:
        random: gives numbers that are uniform over [0, 1). Only `random.Random.random` is promised to stay the same in
            every version of Python; `choices`, `shuffle` and `randrange` are not, so indices are made from it here.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        super().__init__()
        self._random = random

    def choose(
        self, options: Sequence[str], cumulative: Sequence[int] | None = None, among: range | None = None
    ) -> int:
        if among is not None:
            chosen = among[int(self._random() * len(among))]
        elif cumulative is None:
            chosen = int(self._random() * len(options))
        else:
            chosen = bisect_right(cumulative, int(self._random() * cumulative[-1]))
        self._account(options, cumulative, chosen)
        return chosen


class Reader(Source):
    """Chooses whatever the given text says, and so finds out how it was derived."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._given = text
        self.position = 0
        self.steps: list[tuple[int, str, float]] = []
        """Every choice: the position of its phrase, the phrase, and the natural logarithm of its probability."""

    def write(self, text: str) -> None:
        if not self._given.startswith(text, self.position):
            raise StoryError(
                f"At character {self.position}, {text!r} should follow, not {self._rest()!r}.", self.position
            )
        self.position += len(text)
        super().write(text)

    def choose(
        self, options: Sequence[str], cumulative: Sequence[int] | None = None, among: range | None = None
    ) -> int:
        fitting = [index for index, option in enumerate(options) if self._given.startswith(option, self.position)]
        if not fitting:
            some = ", ".join(map(repr, options[:5])) + (", …" if len(options) > 5 else "")
            message = f"At character {self.position}, one of {some} should follow, not {self._rest()!r}."
            raise StoryError(message, self.position)
        if len(fitting) > 1:
            raise RuntimeError(
                f"The grammar is ambiguous: {[options[index] for index in fitting]} all fit {self._rest()!r}."
            )
        before = self.log_prob
        self._account(options, cumulative, fitting[0])
        self.steps.append((self.position, options[fitting[0]], self.log_prob - before))
        self.position += len(options[fitting[0]])
        return fitting[0]

    def finish(self) -> None:
        """Nothing may be left of the text."""
        if self.position != len(self._given):
            raise StoryError(
                f"The story ends at character {self.position}, but {self._rest()!r} follows.", self.position
            )

    def _rest(self) -> str:
        return self._given[self.position : self.position + 30]


class _Script(Source):
    """Chooses what a list of indices says, then always the first option, and notes how many there were."""

    def __init__(self, script: Sequence[int]) -> None:
        super().__init__()
        self.taken: list[tuple[int, int]] = []
        self._script = script

    def choose(
        self, options: Sequence[str], cumulative: Sequence[int] | None = None, among: range | None = None
    ) -> int:
        place = len(self.taken)
        chosen = self._script[place] if place < len(self._script) else 0
        self.taken.append((chosen, len(options)))
        self._account(options, cumulative, chosen)
        return chosen


def every_derivation(tell: Callable[[Source], object]) -> Iterator[Source]:
    """Run `tell` once for each sequence of choices that it can make, in order, as an odometer counts.

    Example: with a world cut down far enough, the entropy is
    ``-sum(exp(s.log_prob) * s.log_prob for s in every_derivation(...))``.
    """
    script: list[int] | None = []
    while script is not None:
        source = _Script(script)
        tell(source)
        yield source
        taken = source.taken
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        script = [chosen for chosen, _ in taken[:-1]] + [taken[-1][0] + 1] if taken else None
