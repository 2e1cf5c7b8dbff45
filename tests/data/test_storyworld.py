"""The story world: derivations are unique, probabilities exact, splits disjoint, the same everywhere."""

import math
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

import intro2llm
from intro2llm.data.storyworld import (
    DEFAULT,
    StoryError,
    World,
    bits_per_byte,
    parse,
    share,
    steps,
    stories,
    story,
)
from intro2llm.data.storyworld.choices import Source, Writer, every_derivation, shares
from intro2llm.data.storyworld.grammar import tell
from intro2llm.data.storyworld.telling import write_story
from intro2llm.data.storyworld.world import Countable, clash

SPLITS = ("train", "validation", "test")
SMALL = World(
    women=("Ann",),
    men=("Ben",),
    weathers=("cold",),
    times=("day",),
    places=("in the barn", "on the hill", "at the mill"),
    containers=("box",),
    things=("key",),
    qualities=("old",),
    colours=("red",),
    countables=(Countable("nut", "nuts", "ate"),),
    amounts=(2,),
    connectors=("Then ",),
    verbs={
        "go": ("went to the",),
        "take": ("took the",),
        "drop": ("dropped the",),
        "give": ("gave the",),
        "hide": ("hid the",),
        "fetch": ("fetched the",),
        "share": ("shared",),
        "find": ("found",),
        "wonder": ("wondered where the",),
        "see": ("saw",),
        "think": ("thought about",),
        "feel": ("felt",),
    },
    manners=("again",),
    animals=("ox",),
    topics=("art", "rain", "war"),
    feelings=("bad", "fit"),
    farewells=("At last ",),
    moods=("glad", "sad", "fit"),
    rests=("left",),
    third_person=False,
    things_per_story=1,
    min_events=0,
    max_events=1,
    clauses=1,
)
"""All kinds of events, at most one in a story."""

LONGER = replace(
    SMALL,
    women=("Ann", "Sue"),
    men=(),
    connectors=(),
    verbs={kind: SMALL.verbs[kind] for kind in ("go", "take", "drop", "give", "hide", "fetch", "feel")},
    moods=("glad", "sad", "fit"),
    clauses=2,
)
"""Fewer kinds of events, but two in a sentence: what the first changes decides what the second can be."""


def enumerate_all(world: World) -> dict[str, float]:
    """Every story of a world with the logarithm of its probability, by brute force."""
    told: dict[str, float] = {}

    def tell_all(source: Source) -> None:
        tell(source, world)
        source.choose(world.endings)

    for source in every_derivation(tell_all):
        text = source.text()
        assert text not in told, f"two derivations give {text!r}"
        told[text] = source.log_prob
    return told


@pytest.fixture(scope="module")
def everything() -> dict[str, float]:
    return enumerate_all(SMALL)


@pytest.fixture(scope="module")
def splits(everything: dict[str, float]) -> dict[str, str]:
    """The split of every story, read from its text; every one is read back with its probability."""
    found = {}
    for text, log_prob in everything.items():
        read = parse(text, SMALL)
        assert read.log_prob == log_prob
        found[text] = read.split
    return found


def test_the_probabilities_of_all_derivations_sum_to_one(everything: dict[str, float]) -> None:
    assert len(everything) > 10_000
    assert math.fsum(map(math.exp, everything.values())) == pytest.approx(1.0, abs=1e-12)


def test_so_do_those_of_stories_with_two_events() -> None:
    told = enumerate_all(LONGER)
    assert len(told) > 5_000
    assert math.fsum(map(math.exp, told.values())) == pytest.approx(1.0, abs=1e-12)


def test_every_split_has_its_share(everything: dict[str, float], splits: dict[str, str]) -> None:
    for split in SPLITS:
        total = math.fsum(math.exp(everything[text]) for text in everything if splits[text] == split)
        assert total == pytest.approx(share(split, SMALL), abs=1e-12)


def test_the_floor_of_ten_thousand_stories_is_the_entropy(everything: dict[str, float]) -> None:
    """The mean of −log p over n independent stories deviates by σ/√n from the entropy; both come from the enumeration.

    Five deviations are exceeded with a probability of 6e-7. Bits per byte, a ratio of two means: by the delta method.
    """
    n = 10_000
    weighted = [(math.exp(log_prob), -log_prob, len(text.encode())) for text, log_prob in everything.items()]
    nats, size = (math.fsum(p * values[k] for p, *values in weighted) for k in (0, 1))
    sampled = [write_story(Writer(random.Random(index).random), "train", SMALL) for index in range(n)]

    deviation = math.sqrt(math.fsum(p * (cost - nats) ** 2 for p, cost, _ in weighted) / n)
    assert abs(math.fsum(-item.log_prob for item in sampled) / n - nats) < 5 * deviation

    floor = nats / size
    deviation = math.sqrt(math.fsum(p * (cost - floor * length) ** 2 for p, cost, length in weighted) / n) / size
    assert abs(bits_per_byte(sampled) - floor / math.log(2)) < 5 * deviation / math.log(2)


@pytest.mark.parametrize("split", SPLITS)
def test_stories_come_with_the_probability_that_they_should_have(
    split: str, everything: dict[str, float], splits: dict[str, str]
) -> None:
    """Frequencies in 10 000 stories of a split against exact probabilities given the split: χ² of the beginnings."""
    n = 10_000
    given = {text: p - math.log(share(split, SMALL)) for text, p in everything.items() if splits[text] == split}
    assert math.fsum(map(math.exp, given.values())) == pytest.approx(1.0, abs=1e-12)
    drawn = [story(split, index, seed=5, world=SMALL) for index in range(n)]
    assert all(item.log_prob_in_split == pytest.approx(given[item.text], abs=1e-12) for item in drawn)

    expected = Counter[str]()
    for text, log_prob in given.items():
        expected[text[: text.index(".", 60)]] += math.exp(log_prob)
    counts = Counter(item.text[: item.text.index(".", 60)] for item in drawn)
    chi_squared = sum((counts[key] - n * p) ** 2 / (n * p) for key, p in expected.items())
    freedom = len(expected) - 1
    assert min(n * p for p in expected.values()) > 5
    assert abs(chi_squared - freedom) < 6 * math.sqrt(2 * freedom)
    assert counts.keys() <= expected.keys()


@pytest.mark.parametrize("split", SPLITS)
def test_a_text_has_one_derivation_and_it_is_found(split: str) -> None:
    """Reading fails unless exactly one phrase fits at every choice."""
    for told in islice(stories(split, seed=11), 1000):
        read = parse(told.text)
        assert (read.text, read.log_prob, read.split) == (told.text, told.log_prob, split)
        assert [(kind, number) for kind, _, _, _, number in read.scene.events] == [
            (kind, number) for kind, _, _, _, number in told.scene.events
        ]


class Suspicious(Source):
    """Chooses by chance, and looks at every set of options as it does."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.writer = Writer(random.Random(seed).random)
        self.parts = self.writer.parts

    def choose(self, options, cumulative=None, among=None) -> int:
        assert clash(options) is None
        weights = [1] * len(options) if cumulative is None else [b - a for a, b in zip((0, *cumulative), cumulative)]
        assert len(weights) == len(options) and min(weights) > 0
        return self.writer.choose(options, cumulative, among)


def test_no_option_begins_with_another() -> None:
    """So the phrases of every choice form a prefix code: the text cannot be read in two ways."""
    for seed in range(1000):
        tell(Suspicious(seed), DEFAULT)


def test_the_choices_are_the_whole_of_the_probability() -> None:
    told = story("train", 3)
    choices = steps(told.text)
    assert math.fsum(log_prob for _, _, log_prob in choices) == pytest.approx(told.log_prob, abs=1e-9)
    assert all(told.text.startswith(phrase, position) for position, phrase, _ in choices)
    assert all(log_prob < 0 for _, _, log_prob in choices)


def test_the_command_shows_what_the_choices_cost() -> None:
    """The bits in its first column add up to those of its last line."""
    root = Path(intro2llm.__file__).resolve().parent.parent
    command = [sys.executable, "-m", "intro2llm.data.storyworld", "3"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    lines = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.splitlines()
    assert lines[0] == story("train", 3).text
    table = lines[3 : lines.index("", 3)]
    *bits, total = (float(line.split()[0]) for line in table)
    assert sum(bits) == pytest.approx(total, abs=0.005 * len(table))
    assert total == pytest.approx(-story("train", 3).log_prob / math.log(2), abs=0.01)
    assert "".join(line[8:].replace("|", "", 1) for line in table[:-1]) == lines[0].removeprefix("One ")


def test_worked_example_of_weights() -> None:
    assert shares((2, 1), (1, 3)) == (1, 2, 5)
    writer = Writer(random.Random(0).random)
    counts = Counter(writer.choose(("a", "b", "c"), (1, 2, 5)) for _ in range(10_000))
    assert writer.log_prob == pytest.approx(
        (counts[0] + counts[1]) * math.log(1 / 5) + counts[2] * math.log(3 / 5), rel=1e-9
    )
    for option, p in enumerate((0.2, 0.2, 0.6)):
        assert abs(counts[option] - 10_000 * p) < 5 * math.sqrt(10_000 * p * (1 - p))


def test_the_splits_share_no_story_and_leave_none_out() -> None:
    """Of one beginning, each ending belongs to one split: one to validation, one to test, the rest to training."""
    beginning = story("train", 0).text.rpartition("everyone was ")[0]
    splits = Counter(parse(beginning + ending).split for ending in DEFAULT.endings)
    assert splits == {"validation": 1, "test": 1, "train": len(DEFAULT.endings) - 2}
    texts = {split: {item.text for item in islice(stories(split), 2000)} for split in SPLITS}
    assert sum(map(len, texts.values())) == 6000 == len(set().union(*texts.values()))
    bodies = {text.rpartition("everyone was ")[0] for split in SPLITS for text in texts[split]}
    assert len(bodies) == 6000


def test_indices_seeds_and_steps() -> None:
    first = [item.text for item in islice(stories("train"), 12)]
    assert [item.text for item in islice(stories("train", start=5), 7)] == first[5:]
    shards = [[item.text for item in islice(stories("train", start=rank, step=3), 4)] for rank in range(3)]
    assert [shards[index % 3][index // 3] for index in range(12)] == first
    assert story("train", 4).text == first[4] != story("train", 4, seed=1).text


PINNED = """One calm afternoon, Adam was in the tower and Bella was in the workshop. There was a lost scarlet vat in the
forest. There was a funny orange compass in the vat. Adam had a common golden coat. There was a little purple
blanket in the vat. Bella had eight buttons. Next Bella gathered three more buttons. She saw a short turquoise
dolphin and a beautiful golden cat. Soon Bella talked about magic, the sun and lightning and ran to the tower
with a sigh. Later Bella dreamed of farmers, insects and storms with pleasure. Bella hurried to the workshop.
Then she asked where the compass was. It was in the vat. She asked where the compass was. It was in the vat.
Later she hurried to the forest. Adam read about pancakes, dinner and adventures cheerfully. At last everyone
was glad and lit a fire."""
DIGEST = "54013eef26dac5b67475b1bc92fe2fe902c4697ecd7627598ac262e812a60f80"
PROGRAM = """
import hashlib
from intro2llm.data.storyworld import instruction, preference, question, story
made = [(story("test", i).text, question("train", i).prompt) for i in range(50)]
made += [(preference("train", i).rejected, instruction("train", i).response) for i in range(50)]
print(hashlib.sha256(repr(made).encode()).hexdigest())
"""


def test_the_stories_stay_the_same() -> None:
    """What a published figure was measured on must not change unnoticed: renew these only together with the figures."""
    assert story("train", 0).text == " ".join(PINNED.split())


@pytest.mark.parametrize("hash_seed", ["0", "1", "12345"])
def test_other_processes_tell_the_same_stories(hash_seed: str) -> None:
    root = Path(intro2llm.__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == DIGEST


def test_only_the_stable_part_of_random_is_used() -> None:
    """`Random.random()` is promised to be the same in all versions of Python; the other methods are not."""
    package = Path(intro2llm.__file__).parent / "data" / "storyworld"
    source = "".join(path.read_text(encoding="utf-8") for path in package.glob("*.py"))
    assert not any(
        f".{method}(" in source for method in ("choice", "choices", "shuffle", "sample", "randrange", "randint")
    )


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (lambda text: text + " And then?", "the end"),
        (lambda text: text[:-20], "the end"),
        (lambda text: "Once upon a time there was a king.", "the start"),
        (lambda text: text.replace("One ", "1 "), "the start"),
        (lambda text: "", "the start"),
    ],
)
def test_other_texts_are_refused_at_the_place(damage, where: str) -> None:
    text = damage(story("train", 0).text)
    with pytest.raises(StoryError) as error:
        parse(text)
    assert error.value.position == 0 if where == "the start" else error.value.position >= len(text) - 60


def test_a_world_with_an_ambiguous_list_is_refused() -> None:
    with pytest.raises(ValueError, match="'barn' begins with 'bar'"):
        World(things=("bar", "key", "barn"))


@pytest.mark.parametrize(
    "cut", [{"places": ("in the barn",)}, {"women": (), "men": ("Al", "Bo")}, {"moods": ("glad",), "rests": ("ate",)}]
)
def test_a_world_too_small_for_a_story_is_refused(cut: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match="a story needs"):
        World(**cut)


def test_the_default_world_keeps_its_measure() -> None:
    """Stories are short enough for the smallest preset (256 tokens), and the floor is what the documentation says.

    Over 1000 stories the floor has a standard deviation of 0.0013 bits per byte.
    """
    sample = list(islice(stories("validation"), 1000))
    sizes = [len(item.text) for item in sample]
    assert min(sizes) >= 300 and max(sizes) <= 1024 and 640 <= sum(sizes) / 1000 <= 665
    assert all(item.text.isascii() for item in sample)
    assert bits_per_byte(sample) == pytest.approx(0.4595, abs=5 * 0.0013)
