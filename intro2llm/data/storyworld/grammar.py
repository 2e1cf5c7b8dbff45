"""The grammar: who may do what, and in which words. Every choice is asked of a source and written at once.

A story has three parts: who and what is where (`introduce`), a number of events (`happen`), and an ending. What can
happen next follows from the scene as it is then (`possible`), so nobody gives away what they do not have.
"""

from collections.abc import Callable, Sequence

from .choices import Source, shares
from .scene import MOST, At, Container, Event, Person, Scene, Thing, bare, whereabouts
from .world import NUMBERS, World

# --- the beginning ---------------------------------------------------------------------------------------------------


def introduce(source: Source, scene: Scene) -> None:
    """Who is where, and what is where."""
    world = scene.world
    source.write("One ")
    source.choose(world.weathers)
    source.write(" ")
    source.choose(world.times)
    source.write(", ")
    first = _new_person(source, scene)
    source.write(" was ")
    first.place = _new_place(source, scene)
    source.write(" and ")
    second = _new_person(source, scene)
    source.write(" was ")
    second.place = _new_place(source, scene)
    source.write(". ")

    unnamed = _unnamed(scene)
    if world.third_person:
        # Half of the stories go on with "There was", the others with one of the remaining names.
        chosen = source.choose(
            [*(name for name, _ in unnamed), "There was "], shares((len(unnamed), 1), (1, len(unnamed)))
        )
        if chosen < len(unnamed):
            source.write(" was with ")
            with_whom = scene.people[source.choose([person.name for person in scene.people])]
            scene.people.append(Person(*unnamed[chosen], with_whom.place))
            source.write(". There was ")
    else:
        source.write("There was ")
    looks = _looks(source, scene)
    name = world.containers[source.choose(world.containers)]
    source.write(" ")
    scene.container = Container(name, looks, _new_place(source, scene))
    source.write(". ")

    for _ in range(world.things_per_story):
        _new_thing(source, scene)
    owner = scene.people[source.choose([person.name for person in scene.people])]
    source.write(" had ")
    owner.count = world.amounts[source.choose(world.amount_words)]
    source.write(" ")
    scene.countable = world.countables[source.choose(world.plurals)]
    source.write(". ")
    scene.events += [Event("start", person, at=person.place) for person in scene.people]
    scene.events.append(Event("start", owner, number=owner.count))


def _unnamed(scene: Scene) -> list[tuple[str, str]]:
    taken = [person.name for person in scene.people]
    return [pair for pair in scene.world.people if pair[0] not in taken]


def _new_person(source: Source, scene: Scene) -> Person:
    unnamed = _unnamed(scene)
    person = Person(*unnamed[source.choose([name for name, _ in unnamed])], "")
    scene.people.append(person)
    return person


def _new_place(source: Source, scene: Scene) -> str:
    unknown = [place for place in scene.world.places if place not in scene.places]
    place = unknown[source.choose(unknown)]
    scene.places.append(place)
    return place


def _new_thing(source: Source, scene: Scene) -> None:
    """Somebody has it, or it lies at one of the places that were named, or it is in the container."""
    world, people = scene.world, scene.people
    chosen = source.choose([*(person.name for person in people), "There was "], shares((len(people), 1), (1, 2)))
    owner = people[chosen] if chosen < len(people) else None
    if owner:
        source.write(" had ")
    looks = _looks(source, scene)
    taken = [thing.name for thing in scene.things]
    unused = [name for name in world.things if name not in taken]
    name = unused[source.choose(unused)]
    if owner:
        thing = Thing(name, looks, owner)
    else:
        source.write(" ")
        spots: list[At] = [*scene.places, scene.container]
        spot = source.choose([*scene.places, f"in the {scene.container.name}"])
        thing = Thing(name, looks, spots[spot])
    source.write(". ")
    scene.things.append(thing)
    scene.events.append(Event("start", None, thing, thing.at))


# --- what happens ----------------------------------------------------------------------------------------------------


def happen(source: Source, scene: Scene, *, may_end: bool) -> bool:
    """One sentence about what somebody does, unless the source chooses to end the story; whether there was one."""
    world, actors = scene.world, scene.people
    subjects = [f"{person.name} " for person in actors]
    if (pronoun := scene.pronoun()) and scene.last:
        subjects.append(f"{pronoun} ")
        actors = [*actors, scene.last]
    openings = [subject.capitalize() for subject in subjects]
    openings += world.connectors
    ways_to_end = len(world.farewells) if may_end else 0
    openings += world.farewells[:ways_to_end]
    chosen = source.choose(openings, shares((len(subjects), 12), (len(world.connectors), 5), (ways_to_end, 3)))
    if chosen >= len(subjects) + len(world.connectors):
        return False
    if chosen >= len(subjects):
        chosen = source.choose(subjects)
    scene.last = actor = actors[chosen]
    scene.turns += 1
    scene.clauses = []
    _act(source, scene, actor)
    return True


def _act(source: Source, scene: Scene, actor: Person, but: str = "") -> None:
    """One clause. `but` is the kind of event that the clause before it in the sentence was about."""
    kinds = possible(scene, actor)
    phrases = scene.world.phrases(tuple(kind for kind in kinds if kind != but), scene.countable)
    kind = phrases.kinds[source.choose(phrases.options, phrases.cumulative)]
    scene.clauses.append(kind)
    EVENTS[kind](source, scene, actor)


def possible(scene: Scene, actor: Person) -> tuple[str, ...]:
    """The kinds of events that the state of the world allows this person."""
    place, container, kinds = actor.place, scene.container, ["go", "see", "think", "feel"]
    company = scene.company(actor)
    at = [thing.at for thing in scene.things]
    if actor in at:
        kinds += ("drop", "give") if company else ("drop",)
        if container.place is place:
            kinds.append("hide")
    if place in at:
        kinds.append("take")
    if container in at and container.place is place:
        kinds.append("fetch")
    if any(where is not actor for where in at):
        kinds.append("wonder")
    if sum(person.count for person in scene.people) <= MOST - 3:
        kinds.append("find")
    if actor.count:
        kinds += ("spend", "share") if company else ("spend",)
    return tuple(kinds)


def _go(source: Source, scene: Scene, actor: Person) -> None:
    elsewhere = [place for place in scene.places if place is not actor.place]
    actor.place = elsewhere[source.choose([bare(place) for place in elsewhere])]
    scene.events.append(Event("go", actor, at=actor.place))
    _stop(source, scene, actor)


def _take(source: Source, scene: Scene, actor: Person) -> None:
    thing = _which(source, scene, actor.place)
    _put(scene, "take", actor, thing, actor)
    _stop(source, scene, actor)


def _drop(source: Source, scene: Scene, actor: Person) -> None:
    thing = _which(source, scene, actor)
    _put(scene, "drop", actor, thing, actor.place)
    _stop(source, scene, actor)


def _give(source: Source, scene: Scene, actor: Person) -> None:
    thing = _which(source, scene, actor)
    source.write(" to ")
    _put(scene, "give", actor, thing, _whom(source, scene, actor))
    _stop(source, scene, actor)


def _hide(source: Source, scene: Scene, actor: Person) -> None:
    thing = _which(source, scene, actor)
    source.write(f" in the {scene.container.name}")
    _put(scene, "hide", actor, thing, scene.container)
    _stop(source, scene, actor)


def _fetch(source: Source, scene: Scene, actor: Person) -> None:
    thing = _which(source, scene, scene.container)
    source.write(f" out of the {scene.container.name}")
    _put(scene, "fetch", actor, thing, actor)
    _stop(source, scene, actor)


def _share(source: Source, scene: Scene, actor: Person) -> None:
    number = _how_many(source, min(actor.count, 5))
    source.write(f" {scene.counted(number)} with ")
    receiver = _whom(source, scene, actor)
    actor.count -= number
    receiver.count += number
    scene.events.append(Event("share", actor, at=receiver, number=number))
    _stop(source, scene, actor, "left")


def _find(source: Source, scene: Scene, actor: Person) -> None:
    number = _how_many(source, 3)
    source.write(f" more {scene.counted(number)}" if actor.count else f" {scene.counted(number)}")
    actor.count += number
    scene.events.append(Event("find", actor, number=number))
    _stop(source, scene, actor, "made")


def _spend(source: Source, scene: Scene, actor: Person) -> None:
    number = _how_many(source, min(actor.count, 5))
    source.write(f" {scene.counted(number)}")
    actor.count -= number
    scene.events.append(Event("spend", actor, number=number))
    _stop(source, scene, actor, "left")


def _wonder(source: Source, scene: Scene, actor: Person) -> None:
    """The answer is no choice: it follows from everything before, and a model that does not follow pays for it."""
    others = [thing for thing in scene.things if thing.at is not actor]
    thing = others[source.choose([thing.name for thing in others])]
    source.write(f" was. {whereabouts(thing.at)} ")


def _see(source: Source, scene: Scene, actor: Person) -> None:
    _animal(source, scene)
    source.write(" and ")
    _animal(source, scene)
    source.write(". ")


def _think(source: Source, scene: Scene, actor: Person) -> None:
    _several(source, scene.world.topics, (", ", " and "))
    _stop(source, scene, actor)


def _feel(source: Source, scene: Scene, actor: Person) -> None:
    _several(source, scene.world.feelings, (" and ",))
    source.write(". ")


EVENTS: dict[str, Callable[[Source, Scene, Person], None]] = {
    "go": _go,
    "take": _take,
    "drop": _drop,
    "give": _give,
    "hide": _hide,
    "fetch": _fetch,
    "share": _share,
    "find": _find,
    "spend": _spend,
    "wonder": _wonder,
    "see": _see,
    "think": _think,
    "feel": _feel,
}


# --- parts of sentences ----------------------------------------------------------------------------------------------


def _put(scene: Scene, kind: str, actor: Person, thing: Thing, at: At) -> None:
    """A thing changes hands or place."""
    thing.at = at
    scene.events.append(Event(kind, actor, thing, at))


def _which(source: Source, scene: Scene, at: At) -> Thing:
    """One of the things that are there."""
    there = [thing for thing in scene.things if thing.at is at]
    return there[source.choose([thing.name for thing in there])]


def _whom(source: Source, scene: Scene, actor: Person) -> Person:
    """One of the others at the actor's place."""
    company = scene.company(actor)
    return company[source.choose([person.name for person in company])]


def _how_many(source: Source, most: int) -> int:
    """A number from one to `most`."""
    return 1 + source.choose(NUMBERS[1 : most + 1])


def _looks(source: Source, scene: Scene) -> str:
    """An article, a quality and a colour; without the article they are what something looks like."""
    quality = source.choose(scene.world.described)
    colour = source.choose(scene.world.colours)
    source.write(" ")
    return f"{scene.world.qualities[quality]} {scene.world.colours[colour]}"


def _animal(source: Source, scene: Scene) -> None:
    _looks(source, scene)
    source.choose(scene.world.animals)


def _several(source: Source, options: Sequence[str], between: Sequence[str]) -> None:
    """Different ones of the options, one more than there are words between them."""
    left = list(options)
    del left[source.choose(left)]
    for words in between:
        source.write(words)
        del left[source.choose(left)]


def _stop(source: Source, scene: Scene, actor: Person, counted: str = "") -> None:
    """After an event: a full stop, a manner and a full stop, or what the actor did next.

    If something was counted, the sentence may also end with the new number: `counted` is the verb for that.
    """
    stops = scene.world.full_stops
    manners = len(stops) - 1
    options, groups = list(stops), [(1, manners), (manners, 1)]
    if counted:
        options.append(f", which {counted} ")
        groups.append((1, manners))
    if len(scene.clauses) < scene.world.clauses:
        options.append(" and ")
        groups.append((1, manners))
    chosen = options[source.choose(options, shares(*groups))]
    if chosen == " and ":
        _act(source, scene, actor, but=scene.clauses[-1])
    elif counted and chosen == f", which {counted} ":
        source.write(f"{NUMBERS[actor.count] if actor.count else 'none'}. ")


def tell(source: Source, world: World) -> Scene:
    """A whole story but for its last words (`World.endings`)."""
    scene = Scene(world)
    introduce(source, scene)
    while scene.turns < world.max_events:
        if not happen(source, scene, may_end=scene.turns >= world.min_events):
            return scene
    source.choose(world.farewells)
    return scene
