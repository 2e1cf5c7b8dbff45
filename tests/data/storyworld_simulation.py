"""A second reading of stories, written from the English and not from the grammar: regular expressions.

It shares no code and no word list with the story world. What it finds impossible, it asserts.
"""

import re
from dataclasses import dataclass, field

PLACE = r"(?:in|on|at) the \w+"
NUMERALS = re.findall(
    r"\w+",
    "none one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen twenty",
)
CONNECTORS = ("Later ", "Next ", "Now ", "Soon ", "Then ")


def number(word: str) -> int:
    return NUMERALS.index(word)


@dataclass
class World:
    places: list[str] = field(default_factory=list)
    place: dict[str, str] = field(default_factory=dict)
    """Of each person."""
    route: dict[str, list[str]] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)
    """Of each thing: a name, "box", or a place."""
    holders: dict[str, list[str]] = field(default_factory=dict)
    looks: dict[str, str] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)
    movers: list[str] = field(default_factory=list)
    box: str = ""
    box_place: str = ""
    subject: str = ""

    def place_of(self, thing: str) -> str:
        at = self.where[thing]
        return self.box_place if at == "box" else self.place.get(at, at)

    def put(self, thing: str, at: str) -> None:
        self.where[thing] = at
        if at in self.place:
            self.holders.setdefault(thing, []).append(at)


def simulate(text: str) -> World:
    world = World()
    sentences = text.removesuffix(".").split(". ")
    opening = re.fullmatch(rf"One \w+ \w+, (\w+) was ({PLACE}) and (\w+) was ({PLACE})", sentences.pop(0))
    assert opening, text
    for name, place in (opening.groups()[:2], opening.groups()[2:]):
        settle(world, name, place)
        world.places.append(place)
    assert re.search(r" everyone was \w+ and [a-z ]+$", sentences.pop())
    asked = ""
    for sentence in sentences:
        if asked:
            assert sentence == whereabouts(world, asked), f"{sentence!r} is not true in {text!r}"
            asked = ""
        elif not begin(world, sentence):
            asked = happen(world, sentence)
    assert not asked
    return world


def settle(world: World, name: str, place: str) -> None:
    assert name not in world.place
    world.place[name], world.route[name], world.count[name] = place, [place], 0


def whereabouts(world: World, thing: str) -> str:
    at = world.where[thing]
    if at in world.place:
        return f"{at} had it"
    return f"It was in the {world.box}" if at == "box" else f"It was {at}"


def begin(world: World, sentence: str) -> bool:
    """Whether this is a sentence of the beginning."""
    if found := re.fullmatch(r"(\w+) was with (\w+)", sentence):
        settle(world, found[1], world.place[found[2]])
    elif not world.box and (found := re.fullmatch(rf"There was an? \w+ \w+ (\w+) ({PLACE})", sentence)):
        world.box, world.box_place = found.groups()
        world.places.append(found[2])
    elif found := re.fullmatch(rf"There was (an?) (\w+) (\w+) (\w+) ({PLACE})", sentence):
        assert (found[1] == "an") == (found[2][0] in "aeiou")
        at = "box" if found[5] == f"in the {world.box}" else found[5]
        assert at in ("box", *world.places)
        world.looks[found[4]] = f"{found[2]} {found[3]}"
        world.put(found[4], at)
    elif found := re.fullmatch(r"(\w+) had an? (\w+ \w+) (\w+)", sentence):
        world.looks[found[3]] = found[2]
        world.put(found[3], found[1])
    elif found := re.fullmatch(r"(\w+) had (\w+) \w+s", sentence):
        world.count[found[1]] = number(found[2])
    else:
        return False
    return True


VERBS = re.findall(
    r"\w+",
    """went walked ran hurried fetched pulled picked took grabbed put dropped hid placed gave handed passed shared found
gathered ate lost wondered asked saw noticed spotted thought sang talked dreamed read felt looked seemed""",
)


def happen(world: World, sentence: str) -> str:
    """What one person does, once or twice. The thing that this person asks for, or nothing."""
    for connector in CONNECTORS:
        sentence = sentence.removeprefix(connector)
    subject, _, rest = sentence.partition(" ")
    if subject in ("He", "he", "She", "she"):
        subject = world.subject
    assert subject in world.place, sentence
    world.subject, asked = subject, ""
    for clause in re.split(rf" and (?=(?:{'|'.join(VERBS)})\b)", rest):
        assert not asked, sentence
        asked = act(world, subject, clause)
        if found := re.search(r", which (?:made|left) (\w+)$", clause):
            assert world.count[subject] == number(found[1])
        assert min(world.count.values()) >= 0
    return asked


def act(world: World, subject: str, rest: str) -> str:
    here = world.place[subject]
    if found := re.match(r"(?:went|walked|ran|hurried) to the (\w+)", rest):
        (place,) = (place for place in world.places if place.endswith(f" {found[1]}"))
        assert place != here
        world.place[subject] = place
        world.route[subject].append(place)
        world.movers.append(subject)
    elif found := re.match(r"(?:fetched|pulled) the (\w+) out of the (\w+)", rest):
        assert world.where[found[1]] == "box" and found[2] == world.box and here == world.box_place
        world.put(found[1], subject)
    elif found := re.match(r"(?:picked up|took|grabbed) the (\w+)", rest):
        assert world.where[found[1]] == here
        world.put(found[1], subject)
    elif found := re.match(r"(?:put down|dropped) the (\w+)", rest):
        assert world.where[found[1]] == subject
        world.put(found[1], here)
    elif found := re.match(r"(?:hid|placed) the (\w+) in the (\w+)", rest):
        assert world.where[found[1]] == subject and found[2] == world.box and here == world.box_place
        world.put(found[1], "box")
    elif found := re.match(r"(?:gave|handed|passed) the (\w+) to (\w+)", rest):
        assert world.where[found[1]] == subject != found[2] and world.place[found[2]] == here
        world.put(found[1], found[2])
    elif found := re.match(r"shared (\w+) \w+ with (\w+)", rest):
        assert subject != found[2] and world.place[found[2]] == here
        world.count[subject] -= number(found[1])
        world.count[found[2]] += number(found[1])
    elif found := re.match(r"(?:found|gathered) (\w+) (more )?", rest):
        assert bool(found[2]) == (world.count[subject] > 0)
        world.count[subject] += number(found[1])
    elif found := re.match(r"(?:ate|lost) (\w+)", rest):
        world.count[subject] -= number(found[1])
    elif found := re.fullmatch(r"(?:wondered|asked) where the (\w+) was", rest):
        assert world.where[found[1]] != subject
        return found[1]
    else:
        assert re.match(r"(?:saw|noticed|spotted|thought|sang|talked|dreamed|read|felt|looked|seemed) ", rest), rest
    return ""
