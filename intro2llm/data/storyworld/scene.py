"""The state of the world at one moment of a story: who is where, who has what, and what has happened so far."""

from typing import NamedTuple

from .world import NUMBERS, Countable, World

MOST = len(NUMBERS) - 1
"""The people of a story never have more of the countable thing than there are words for."""


class Person:
    """Somebody in the story. `place` is a phrase such as "in the kitchen"."""

    __slots__ = ("count", "name", "place", "pronoun")

    def __init__(self, name: str, pronoun: str, place: str) -> None:
        self.name, self.pronoun, self.place, self.count = name, pronoun, place, 0


class Container:
    """The one piece of furniture that things can be put into. It stays where it is."""

    __slots__ = ("looks", "name", "place")

    def __init__(self, name: str, looks: str, place: str) -> None:
        self.name, self.looks, self.place = name, looks, place


At = Person | Container | str
"""Where something can be: with a person, in the container, or at a place (a phrase)."""


class Thing:
    """A thing, what it looks like ("big red"), and where it is."""

    __slots__ = ("at", "looks", "name")

    def __init__(self, name: str, looks: str, at: At) -> None:
        self.name, self.looks, self.at = name, looks, at

    @property
    def place(self) -> str:
        return self.at if isinstance(self.at, str) else self.at.place


class Event(NamedTuple):
    """Something that changed the state of the world. Kind "start" is the state in which a person or a thing began."""

    kind: str
    """"start", or one of `grammar.EVENTS`; those that change nothing (see, think, feel, wonder) are not recorded."""
    actor: Person | None
    thing: Thing | None = None
    at: At | None = None
    """Where the thing is from now on; for "go" the place that the actor went to, for "share" the receiver."""
    number: int = 0


class Scene:
    """The state of the world at one moment of a story, and what has happened so far."""

    __slots__ = ("clauses", "container", "countable", "events", "last", "people", "places", "things", "turns", "world")

    def __init__(self, world: World) -> None:
        self.world = world
        self.people: list[Person] = []
        self.places: list[str] = []
        self.things: list[Thing] = []
        self.events: list[Event] = []
        self.container: Container
        self.countable: Countable
        self.turns = 0
        """How many sentences about events there have been."""
        self.clauses: list[str] = []
        """The kinds of events in the sentence at hand."""
        self.last: Person | None = None
        """The subject of the last sentence: whom "he" or "she" would mean."""

    def company(self, person: Person) -> list[Person]:
        """The others at this person's place."""
        return [other for other in self.people if other.place is person.place and other is not person]

    def counted(self, number: int) -> str:
        """The countable thing of the story as it follows this number."""
        return self.countable.singular if number == 1 else self.countable.plural

    def some(self, number: int) -> str:
        """So many of them: "no apples", "one apple", "two apples"."""
        return f"{NUMBERS[number] if number else 'no'} {self.counted(number)}"

    def pronoun(self) -> str:
        """The pronoun of the last subject, if it can mean nobody else in the story; else nothing."""
        if self.last is None or sum(person.pronoun == self.last.pronoun for person in self.people) > 1:
            return ""
        return self.last.pronoun


def whereabouts(at: At) -> str:
    """The answer to the question where something was."""
    if isinstance(at, Person):
        return f"{at.name} had it."
    return f"It was in the {at.name}." if isinstance(at, Container) else f"It was {at}."


def bare(place: str) -> str:
    """The place without its preposition: "kitchen" for "in the kitchen"."""
    return place.rpartition(" ")[2]
