"""The words of the story world, and how long its stories are. Which word may stand where is in `grammar.py`.

One rule binds every list here: no entry may begin with another entry of the same list ("bar" and "barn" cannot both
be names of places). Codes with this property are called prefix codes. Because of it a reader always knows, from the
text alone, which entry was chosen, and so the choices behind a text can be read back. `World` refuses lists that
break the rule.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from .choices import shares


def clash(phrases: Iterable[str]) -> tuple[str, str] | None:
    """The first two phrases of which one begins with the other (or equals it), or None when they form a prefix code.

    Sorting puts every phrase directly before those that begin with it, so comparing neighbours is enough.
    """
    ordered = sorted(phrases)
    for shorter, longer in pairwise(ordered):
        if longer.startswith(shorter):
            return shorter, longer
    return None


def words(text: str) -> tuple[str, ...]:
    """The words of a text, or the phrases if it separates them by commas."""
    return tuple(" ".join(piece.split()) for piece in (text.split(",") if "," in text else text.split()))


NUMBERS = words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)


@dataclass(frozen=True)
class Countable:
    """Something that people have in numbers: "one nut", "two nuts", and what happens when one is used up."""

    singular: str
    plural: str
    spent: str
    """The verb that makes the number smaller: ate, lost."""


@dataclass(frozen=True, eq=False)
class World:
    """A vocabulary and the size of a story.

    The defaults make the world of the course. Tests cut it down until every story can be told and counted.
    """

    women: tuple[str, ...] = words("Alma Bella Clara Daisy Fiona Grace Jane Lucy Mary Nora Rosa Vera")
    men: tuple[str, ...] = words("Adam Ben Carl David Frank George Hugo Jack Leo Max Peter Tom")
    weathers: tuple[str, ...] = words(
        """bright calm chilly clear cloudy cold dark dry dull fine foggy frosty gentle grey hot humid icy mild misty
        quiet rainy snowy stormy sunny warm wet windy"""
    )
    times: tuple[str, ...] = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday morning afternoon evening")
    places: tuple[str, ...] = words(
        """in the attic, in the bakery, in the barn, on the beach, on the bridge, in the cave, in the cellar, in the
        church, on the farm, in the forest, in the garden, at the harbour, on the hill, on the island, in the
        kitchen, in the library, at the market, at the mill, in the museum, on the porch, in the school, at the
        station, in the tower, in the workshop"""
    )
    containers: tuple[str, ...] = words(
        "bag barrel basket box bucket chest crate cupboard drawer jar sack suitcase trunk vat"
    )
    things: tuple[str, ...] = words(
        """axe ball bell belt blanket book bottle bowl brush candle chain clock coat comb compass cup doll drum
        envelope flag flute fork glove guitar hammer hat helmet key kite knife lamp letter lock map mask mirror mug
        needle paddle painting parcel pen pillow plate puppet ribbon ring rope ruler saw scarf shovel spoon sword
        teapot tent ticket towel trumpet umbrella vase violin wheel whistle"""
    )
    qualities: tuple[str, ...] = words(
        """ancient beautiful big bright broken cheap clean common cosy crooked curious damp dark decent dirty dull
        dusty elegant enormous faded famous fancy fine flat fresh funny heavy hollow huge large light little long
        lost lovely modern narrow neat new nice noisy odd old ordinary perfect plain precious pretty quaint rare
        rough round shabby shiny short simple sleek slim small smooth soft stiff strange striped sturdy tall thick
        thin tiny ugly unusual warm wet wide"""
    )
    colours: tuple[str, ...] = words(
        """black blue bronze brown copper cream crimson golden green grey orange pink purple red scarlet silver
        turquoise violet white yellow"""
    )
    countables: tuple[Countable, ...] = tuple(
        Countable(f"{name}", f"{name}s", verb)
        for verb, names in {
            "ate": "almond apple biscuit carrot date fig nut olive grape pear plum walnut",
            "lost": "bead button coin feather marble nail pebble shell stamp stick sticker token",
        }.items()
        for name in words(names)
    )
    amounts: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8, 9)
    """How many countable things somebody has at first."""

    connectors: tuple[str, ...] = ("Later ", "Next ", "Now ", "Soon ", "Then ")
    """Words before an event. They say nothing: events happen in the order of the sentences."""
    verbs: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "go": words("went to the, walked to the, ran to the, hurried to the"),
            "take": words("picked up the, took the, grabbed the"),
            "drop": words("put down the, dropped the"),
            "give": words("gave the, handed the, passed the"),
            "hide": words("hid the, placed the"),
            "fetch": words("fetched the, pulled the"),
            "share": words("shared"),
            "find": words("found, gathered"),
            "wonder": words("wondered where the, asked where the"),
            "see": words("saw, noticed, spotted"),
            "think": words("thought about, sang about, talked about, dreamed of, read about"),
            "feel": words("felt, looked, seemed"),
        }
    )
    """What people do, by kind of event. The kind "spend" takes its verb from the countable thing."""
    manners: tuple[str, ...] = words(
        """again, at once, boldly, briefly, by accident, by chance, calmly, carefully, cheerfully, eagerly, for fun,
        for once, gently, gladly, happily, in a hurry, in secret, in silence, just in time, neatly, nervously, on
        purpose, politely, proudly, quickly, quietly, sadly, slowly, suddenly, twice, with a frown, with a grin,
        with a laugh, with a shrug, with a sigh, with a smile, with a wink, with care, with pleasure, without a word"""
    )
    animals: tuple[str, ...] = words(
        """ant badger bear beetle bird bull butterfly camel cat chicken cow crab crow deer dog dolphin donkey duck
        eagle elephant fish fly fox frog goat goose hare hawk hen horse kitten lamb leopard lion lizard mole monkey
        moth mouse otter owl parrot pig pony puppy rabbit rat raven seal shark sheep snail snake spider squirrel
        swan tiger toad turkey turtle whale wolf worm zebra"""
    )
    topics: tuple[str, ...] = words(
        """adventures, angels, apples, art, autumn, birthdays, boats, bread, bridges, butter, cakes, candy, cards,
        castles, chess, cheese, chocolate, circuses, cities, clothes, clouds, coffee, colours, comets, cooking,
        dancing, deserts, diamonds, dinner, doctors, dragons, dreams, farmers, fashion, films, fire, fishing,
        flowers, football, friends, games, ghosts, giants, gold, history, holidays, home, honey, ice, insects,
        islands, jam, jewels, jokes, jungles, kings, knights, languages, lightning, love, luck, magic, maths, mice,
        milk, money, mountains, music, noise, oceans, pancakes, paint, parties, peace, pirates, planets, poems,
        politics, potatoes, princes, puzzles, queens, rain, riddles, rivers, robots, rockets, sailors, salt,
        science, secrets, ships, shoes, silver, sleep, snow, soup, space, spies, spring, stars, stories, storms,
        sugar, summer, swimming, tea, teeth, the future, the moon, the past, the sun, thunder, tomorrow, toys,
        trains, treasure, trees, trolls, volcanoes, war, water, weddings, winter, witches, wizards, wood, wool,
        work, yesterday"""
    )
    feelings: tuple[str, ...] = words(
        """afraid amused angry anxious ashamed awake bored brave busy cheerful clever cold confident confused curious
        dizzy eager elegant excited foolish free fresh friendly gloomy grateful grumpy guilty healthy helpless
        hopeful hungry hurt ill impatient innocent jealous lazy lonely loved lucky mad nervous old patient peaceful
        polite puzzled quiet relaxed restless rich sad safe serious shy sick silly sleepy small sore strange strong
        stubborn surprised thirsty tired uneasy upset warm weak wise worried young"""
    )
    farewells: tuple[str, ...] = ("At last ", "At sunset ", "In the end ", "That night ", "When it got dark ")
    """Words that begin the last sentence."""
    moods: tuple[str, ...] = words("content glad happy merry pleased proud relieved satisfied")
    rests: tuple[str, ...] = words("ate supper, fell asleep, lit a fire, sang a song")

    emphasis: dict[str, int] = field(
        default_factory=lambda: {
            "go": 5, "take": 8, "drop": 2, "give": 8, "hide": 10, "fetch": 10, "share": 4, "find": 2, "spend": 2,
            "wonder": 2, "see": 6, "think": 6, "feel": 2,
        }
    )  # fmt: skip
    """How likely the kinds of events are beside each other, where all are possible."""
    third_person: bool = True
    """Whether half of the stories have a third person (who starts out beside one of the other two)."""
    things_per_story: int = 3
    min_events: int = 4
    max_events: int = 9
    """How many sentences about events a story has."""
    clauses: int = 2
    """How many events a sentence has at most: "She ran to the mill and took the key." has two."""

    def __post_init__(self) -> None:
        names = self.women + self.men
        codes = {item.name: getattr(self, item.name) for item in fields(self) if item.type == tuple[str, ...]}
        codes["names"] = names
        codes["verbs"] = tuple(phrase for phrases in self.verbs.values() for phrase in phrases)
        codes["plurals"] = self.plurals
        codes["places, with the containers"] = self.places + self.insides
        codes["beginnings of sentences"] = (*self.connectors, *self.farewells, *names, "He ", "She ", "There was ")
        for name, phrases in codes.items():
            if pair := clash(phrases):
                raise ValueError(
                    f"World: among the {name}, {pair[1]!r} begins with {pair[0]!r}; a text could be read in two ways."
                )
        needed = {"places": 3, "things": self.things_per_story, "manners": 1, "topics": 3, "feelings": 2}
        too_small = len(names) < 2 + self.third_person or any(
            len(codes[name]) < least for name, least in needed.items()
        )
        too_small |= len({"go", "see", "think", "feel"} & self.verbs.keys()) < self.clauses
        if too_small or len(self.endings) < 3 or min(self.amounts) < 2:
            raise ValueError(
                "World: a story needs names for its two or three people, three endings (moods × rests), amounts of at "
                f"least two, a verb that is always possible for each clause, and at least as many of these: {needed}."
            )

    @cached_property
    def people(self) -> tuple[tuple[str, str], ...]:
        """Every name with the pronoun that stands for it."""
        return tuple((name, "she") for name in self.women) + tuple((name, "he") for name in self.men)

    @cached_property
    def insides(self) -> tuple[str, ...]:
        return tuple(f"in the {container}" for container in self.containers)

    @cached_property
    def amount_words(self) -> tuple[str, ...]:
        return tuple(NUMBERS[amount] for amount in self.amounts)

    @cached_property
    def plurals(self) -> tuple[str, ...]:
        return tuple(countable.plural for countable in self.countables)

    @cached_property
    def described(self) -> tuple[str, ...]:
        """The qualities with their article: "a big ", "an old "."""
        return tuple(f"{article(quality)} {quality} " for quality in self.qualities)

    @cached_property
    def answers(self) -> frozenset[str]:
        """Every word that can answer where something is or who somebody is, in small letters."""
        return self.names | {"nobody", *self.containers, *(place.rpartition(" ")[2] for place in self.places)}

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name, in small letters."""
        return frozenset(name.lower() for name in self.women + self.men)

    @cached_property
    def full_stops(self) -> tuple[str, ...]:
        """How the sentence about an event may end: plainly, or with a manner."""
        return (". ", *(f" {manner}. " for manner in self.manners))

    @cached_property
    def endings(self) -> tuple[str, ...]:
        """The last words of a story, all equally likely whatever came before: `telling.py` makes the splits of them."""
        return tuple(f"everyone was {mood} and {rest}." for mood in self.moods for rest in self.rests)

    def phrases(self, kinds: tuple[str, ...], countable: Countable) -> "Phrases":
        """What an actor may do next, in words, if these kinds of events are possible."""
        found = self._phrases.get((kinds, countable.spent))
        if found is None:
            verbs = {**self.verbs, "spend": (countable.spent,)}
            groups = [(kind, verbs[kind]) for kind in kinds if kind in verbs]
            found = self._phrases[kinds, countable.spent] = Phrases(
                tuple(f"{phrase} " for _, phrases in groups for phrase in phrases),
                shares(*((len(phrases), self.emphasis[kind] * 60 // len(phrases)) for kind, phrases in groups)),
                tuple(kind for kind, phrases in groups for _ in phrases),
            )
        return found

    @cached_property
    def _phrases(self) -> dict[tuple[tuple[str, ...], str], "Phrases"]:
        return {}


class Phrases(NamedTuple):
    """Verb phrases, their cumulative weights (a kind's phrases have equal ones), and the kind of each."""

    options: tuple[str, ...]
    cumulative: tuple[int, ...]
    kinds: tuple[str, ...]


def article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


DEFAULT = World()
