"""Stories: told by number, read back from text, divided into splits, and measured.

**The floor.** `Story.log_prob` is the exact natural logarithm of the probability with which the world tells this
text. Its mean over stories is minus the entropy of the world, and no model can spend fewer bits on average than that
(Shannon 1948, section 7): `bits_per_byte` of held-out stories is the floor beside which a model's own bits per byte
should be seen.

**The splits.** The last words of a story are one of `World.endings`, all equally likely whatever came before.
Everything before them is hashed, and the hash rotates the list of endings. Position 0 of the rotated list makes a
validation story, position 1 a test story, the others training stories. So:

* the split is a function of the text: no text is in two splits, however it was come by;
* each split has exactly its share of the probability (1/n, 1/n and (n − 2)/n of n endings), for every beginning;
* all but the last words is distributed alike in all splits, and nothing is thrown away to get there.

No story is the beginning of another, so an end-of-text token after a story adds nothing to the floor. The probability
of a text *given* its split is its probability divided by the split's share: exact too (`log_prob_in_split`). The
difference is what a model could gain by knowing the hash function: log 32 nats for a whole held-out story, log(32/30)
for one of training. `log_prob` is the figure for models that do not.
"""

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from math import log
from typing import Literal
from zlib import crc32

from .choices import Reader, Source, Writer
from .grammar import tell
from .scene import Scene
from .world import DEFAULT, World

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Story:
    """A story, what its text cost, and what is true at its end."""

    text: str
    log_prob: float
    """Natural logarithm of the probability of the text."""
    split: Split
    scene: Scene = field(repr=False, compare=False)
    """The state of the world after the last event, and the events."""

    @property
    def log_prob_in_split(self) -> float:
        """Natural logarithm of the probability of the text among the stories of its split."""
        return self.log_prob - log(share(self.split, self.scene.world))


def story(split: Split, index: int, *, seed: int = 0, world: World = DEFAULT) -> Story:
    """Story number `index` of a split: the same for the same arguments, on every machine and in every process."""
    return write_story(Writer(chance("story", split, index, seed)), split, world)


def stories(split: Split, *, seed: int = 0, start: int = 0, step: int = 1, world: World = DEFAULT) -> Iterator[Story]:
    """Stories number start, start + step, start + 2·step … of a split, without end.

    Any story can be had without those before it, so training resumes with `start`, and N processes share the work with
    ``start=rank, step=N``.
    """
    return (story(split, index, seed=seed, world=world) for index in count(start, step))


def parse(text: str, world: World = DEFAULT) -> Story:
    """Read a story back: its probability, its split and its facts from its text alone.

    Raises:
        StoryError: the world cannot have told this text. Its `position` says how far it could.
    """
    story, _ = _read(text, world)
    return story


def steps(text: str, world: World = DEFAULT) -> list[tuple[int, str, float]]:
    """The choices behind a story: position, phrase, and natural logarithm of the phrase's probability.

    All that is not in the list follows from what stands before it, and costs nothing.
    """
    _, reader = _read(text, world)
    return [step for step in reader.steps if step[2] < 0]


def bits_per_byte(documents: Iterable[Story]) -> float:
    """The floor for these documents: their bits by the world's own probabilities, over their bytes (UTF-8)."""
    nats = size = 0.0
    for document in documents:
        nats -= document.log_prob
        size += len(document.text.encode())
    return nats / log(2) / size


def share(split: Split, world: World = DEFAULT) -> float:
    """The probability that a story of the world belongs to this split."""
    return len(_positions(split, world)) / len(world.endings)


def write_story(source: Source, split: Split, world: World) -> Story:
    """Tell a story of this split through a source."""
    scene = tell(source, world)
    endings = _rotated_endings(source, world)
    source.choose(endings, among=_positions(split, world))
    return Story(source.text(), source.log_prob, split, scene)


def chance(purpose: str, split: Split, index: int, seed: int) -> Callable[[], float]:
    """A source of numbers, uniform over [0, 1), for one document.

    The arguments are hashed into a seed, so neighbouring documents have nothing in common; `random.Random` seeded
    with an integer gives the same `random()` in every version of Python.
    """
    digest = hashlib.blake2b(f"{purpose}/{split}/{index}/{seed}".encode(), digest_size=16).digest()
    return random.Random(int.from_bytes(digest, "big")).random


def _read(text: str, world: World) -> tuple[Story, Reader]:
    reader = Reader(text)
    scene = tell(reader, world)
    position = reader.choose(_rotated_endings(reader, world))
    reader.finish()
    split: Split = "validation" if position == 0 else "test" if position == 1 else "train"
    return Story(text, reader.log_prob, split, scene), reader


def _rotated_endings(source: Source, world: World) -> tuple[str, ...]:
    shift = crc32(source.text().encode()) % len(world.endings)
    return world.endings[shift:] + world.endings[:shift]


def _positions(split: Split, world: World) -> range:
    """Where in the rotated list the endings of this split stand."""
    return {"validation": range(1), "test": range(1, 2), "train": range(2, len(world.endings))}[split]
