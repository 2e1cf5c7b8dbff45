"""Questions about a story, with answers that can be checked.

A question is asked of the scene at the end of a story, so its answer follows from what happened.
`Question.is_correct` does not compare strings. It looks at the words of one vocabulary (people and places, yes and
no, numbers) that an answer mentions: "The ball? In the KITCHEN!" is as right as "It is in the kitchen.", and "In the
kitchen or in the garden." is wrong.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal, NamedTuple, TypeVar

from .choices import Writer
from .scene import MOST, At, Container, Person, Scene, bare
from .telling import Split, Story, chance, write_story
from .world import DEFAULT, NUMBERS, World

Kind = Literal["where", "who", "how many", "yes or no", "order", "arithmetic"]
KINDS: tuple[Kind, ...] = ("where", "who", "how many", "yes or no", "order", "arithmetic")
Chance = Callable[[], float]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """A story, a question about it, and its answer."""

    story: Story
    kind: Kind
    text: str
    answer: str
    """The answer as a sentence. Story and question determine it, so a perfect model is sure of every word of it."""
    accepted: tuple[frozenset[str], ...] = field(repr=False)
    """The sets of words, out of the vocabulary of the kind of question, that a right answer may mention."""
    wrong_answers: tuple[str, ...] = field(default=(), repr=False)
    """Wrong answers of the same form."""
    outdated: str = field(default="", repr=False)
    """That of the wrong answers which was right before the last change, if there is one."""

    @property
    def prompt(self) -> str:
        """The story, and the question on a line of its own."""
        return f"{self.story.text}\n{self.text}"

    def is_correct(self, answer: str) -> bool:
        """Whether an answer is right, whatever its case, punctuation and form."""
        spoken = _words(answer)
        words = frozenset(spoken)
        if self.kind == "yes or no":
            return words & {"yes", "no"} in self.accepted
        if not words.isdisjoint(("not", "never")):
            return False
        if self.kind in ("how many", "arithmetic"):
            numbers = [
                _NUMERALS.get(word, word.lstrip("0") or "0") for word in spoken if word in _NUMERALS or word.isdecimal()
            ]
            return frozenset(numbers[-1:]) in self.accepted  # "Two and three make five": the last number is the answer
        return words & self.story.scene.world.answers in self.accepted


def question(
    split: Split, index: int, *, seed: int = 0, kinds: Sequence[Kind] = KINDS, world: World = DEFAULT
) -> Question:
    """Question number `index` of a split, about a story of that split.

    Of the `kinds`, those that the story allows are equally likely; a story that allows none is passed over for another.
    """
    random = chance("question", split, index, seed)
    while True:
        story = write_story(Writer(random), split, world)
        if found := ask(story, kinds, random):
            return found


def questions(
    split: Split, *, seed: int = 0, start: int = 0, step: int = 1, kinds: Sequence[Kind] = KINDS, world: World = DEFAULT
) -> Iterator[Question]:
    """Questions number start, start + step, start + 2·step … of a split, without end (see `stories`)."""
    return (question(split, index, seed=seed, kinds=kinds, world=world) for index in count(start, step))


def ask(story: Story, kinds: Sequence[Kind], random: Chance) -> Question | None:
    """A question of one of the kinds about this story, or None when it allows none of them."""
    open_forms = {kind: list(FORMS[kind]) for kind in kinds}
    while open_forms:
        kind = pick(list(open_forms), random)
        form = pick(open_forms[kind], random)
        if draft := form(story.scene, random):
            asked = Question(story, kind, draft.text, draft.answer, tuple(_lower(words) for words in draft.accepted))
            wrong = tuple(answer for answer in dict.fromkeys(draft.others) if not asked.is_correct(answer))
            return replace(asked, wrong_answers=wrong, outdated=draft.before if draft.before in wrong else "")
        open_forms[kind].remove(form)
        if not open_forms[kind]:
            del open_forms[kind]
    return None


def pick(options: Sequence[T], random: Chance) -> T:
    return options[int(random() * len(options))]


# --- the forms of questions, each for a scene; None where the scene does not allow it --------------------------------


class Draft(NamedTuple):
    text: str
    answer: str
    accepted: Sequence[Iterable[str]]
    others: Sequence[str]
    """Answers of the same form; those that are wrong become the wrong answers."""
    before: str = ""
    """What would have been the answer before the last change."""


def _where_thing(scene: Scene, random: Chance) -> Draft:
    thing = pick(scene.things, random)
    place = bare(thing.place)
    if isinstance(thing.at, str):
        accepted = [{place}]
    else:
        accepted = [{thing.at.name}, {place}, {thing.at.name, place}]
    history = [event.at for event in scene.events if event.thing is thing and event.at]
    everywhere: list[At] = [*scene.people, scene.container, *scene.places]
    before = _it_is(history[-2]) if len(history) > 1 else ""
    return Draft(f"Where is the {thing.name}?", _it_is(thing.at), accepted, [_it_is(at) for at in everywhere], before)


def _where_person(scene: Scene, random: Chance) -> Draft:
    person = pick(scene.people, random)
    route = _route(scene, person)
    others = [f"{person.name} is {place}." for place in scene.places]
    before = f"{person.name} is {route[-2]}." if len(route) > 1 else ""
    answer = f"{person.name} is {person.place}."
    return Draft(f"Where is {person.name}?", answer, _there(person, person.place), others, before)


def _where_before(scene: Scene, random: Chance) -> Draft | None:
    """Only asked of people who went once to the place where they are now, so that there is one answer."""
    person = pick(scene.people, random)
    route = _route(scene, person)
    if len(route) < 2 or route[1:].count(person.place) > 1:
        return None
    others = [f"{person.name} was {place}." for place in scene.places]
    text = f"Where was {person.name} before going to the {bare(person.place)}?"
    return Draft(text, f"{person.name} was {route[-2]}.", _there(person, route[-2]), others)


def _who_has(scene: Scene, random: Chance) -> Draft:
    thing = pick(scene.things, random)
    names = [*(person.name for person in scene.people), "Nobody"]
    holder = thing.at.name if isinstance(thing.at, Person) else "Nobody"
    return Draft(f"Who has the {thing.name}?", f"{holder} has it.", [{holder}], [f"{name} has it." for name in names])


def _who_is_there(scene: Scene, random: Chance) -> Draft:
    place = pick(scene.places, random)
    names = [person.name for person in scene.people]
    present = [person.name for person in scene.people if person.place is place] or ["Nobody"]
    others = [_group_is(group, place) for group in ([names[0]], [names[1]], ["Nobody"], names)]
    return Draft(f"Who is {place}?", _group_is(present, place), [present, [*present, bare(place)]], others)


def _how_many(scene: Scene, random: Chance) -> Draft:
    person = pick(scene.people, random)
    others = [f"{person.name} has {scene.some(number)}." for number in _near(person.count)]
    text = f"How many {scene.countable.plural} does {person.name} have?"
    return Draft(text, f"{person.name} has {scene.some(person.count)}.", [{str(person.count)}], others)


def _is_person_there(scene: Scene, random: Chance) -> Draft:
    person = pick(scene.people, random)
    elsewhere = [place for place in scene.places if place is not person.place]
    place = person.place if random() < 0.5 else pick(elsewhere, random)
    truth, claim = f"{person.name} is {person.place}.", f"{person.name} is {place}."
    return _yes_or_no(f"Is {person.name} {place}?", place is person.place, truth, claim)


def _does_person_have(scene: Scene, random: Chance) -> Draft:
    thing = pick(scene.things, random)
    others = [person for person in scene.people if person is not thing.at]
    person = thing.at if isinstance(thing.at, Person) and random() < 0.5 else pick(others, random)
    return _yes_or_no(
        f"Does {person.name} have the {thing.name}?", person is thing.at, _it_is(thing.at), _it_is(person)
    )


def _who_had_it_first(scene: Scene, random: Chance) -> Draft | None:
    thing = pick(scene.things, random)
    holders = [event.at for event in scene.events if event.thing is thing and isinstance(event.at, Person)]
    return _who_first(f"had the {thing.name}", "had it", holders, random)


def _who_moved_first(scene: Scene, random: Chance) -> Draft | None:
    movers = [event.actor for event in scene.events if event.kind == "go" and event.actor]
    return _who_first("moved", "moved", movers, random)


def _together(scene: Scene, random: Chance) -> Draft:
    first = pick(scene.people, random)
    second = pick([person for person in scene.people if person is not first], random)
    total = first.count + second.count
    text = f"How many {scene.countable.plural} do {first.name} and {second.name} have together?"
    others = [f"Together they have {scene.some(number)}." for number in _near(total)]
    return Draft(text, f"Together they have {scene.some(total)}.", [{str(total)}], others)


def _what_if(scene: Scene, random: Chance) -> Draft:
    person = pick(scene.people, random)
    number = 1 + int(random() * 3)
    fewer = person.count >= number and (random() < 0.5 or person.count + number > MOST)
    total = person.count - number if fewer else person.count + number
    change = f"{scene.countable.spent} {NUMBERS[number]}" if fewer else f"found {NUMBERS[number]} more"
    others = [f"{person.name} would have {scene.some(wrong)}." for wrong in _near(total)]
    text = f"How many {scene.countable.plural} would {person.name} have if {person.name} {change}?"
    return Draft(text, f"{person.name} would have {scene.some(total)}.", [{str(total)}], others)


FORMS: dict[Kind, tuple[Callable[[Scene, Chance], Draft | None], ...]] = {
    "where": (_where_thing, _where_person),
    "who": (_who_has, _who_is_there),
    "how many": (_how_many,),
    "yes or no": (_is_person_there, _does_person_have),
    "order": (_who_had_it_first, _who_moved_first, _where_before),
    "arithmetic": (_together, _what_if),
}


# --- parts of questions and answers ----------------------------------------------------------------------------------


def _it_is(at: At) -> str:
    if isinstance(at, Person):
        return f"{at.name} has it."
    return f"It is in the {at.name}." if isinstance(at, Container) else f"It is {at}."


def _there(person: Person, place: str) -> list[set[str]]:
    return [{bare(place)}, {person.name, bare(place)}]


def _route(scene: Scene, person: Person) -> list[str]:
    """The places where a person has been, in order."""
    return [
        event.at for event in scene.events if event.actor is person and isinstance(event.at, str) and not event.thing
    ]


def _group_is(names: Sequence[str], place: str) -> str:
    listed = " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
    return f"{listed} {'are' if len(names) > 1 else 'is'} {place}."


def _yes_or_no(text: str, yes: bool, truth: str, claim: str) -> Draft:
    """The answer says what is true; the wrong answer agrees to what is not, or denies what is."""
    if yes:
        return Draft(text, f"Yes. {truth}", [{"yes"}], ["No."])
    return Draft(text, f"No. {truth}", [{"no"}], [f"Yes. {claim}"])


def _who_first(text: str, verb: str, people: Sequence[Person], random: Chance) -> Draft | None:
    """Asks about the two who come first in the list."""
    names = list(dict.fromkeys(person.name for person in people))[:2]
    if len(names) < 2:
        return None
    first, second = names if random() < 0.5 else reversed(names)
    answer, wrong = (f"{name} {verb} first." for name in names)
    return Draft(f"Who {text} first, {first} or {second}?", answer, [{names[0]}], [wrong])


def _near(number: int) -> list[int]:
    """Numbers that somebody who miscounts might give."""
    return [other for other in range(number - 2, number + 3) if 0 <= other <= MOST and other != number]


_NUMERALS = {**{word: str(number) for number, word in enumerate(NUMBERS)}, "no": "0", "none": "0", "nothing": "0"}


def _words(text: str) -> list[str]:
    """The words of an answer, in small letters and without punctuation."""
    plain = (
        unicodedata.normalize("NFKC", text)
        .casefold()
        .replace("n't", " not")
        .replace("n’t", " not")
        .replace("no one", "nobody")
    )
    return re.findall(r"[^\W_]+", plain)


def mentions(text: str) -> frozenset[str]:
    """The words of a text, each once, in small letters."""
    return frozenset(_words(text))


def _lower(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word.casefold() for word in words)
