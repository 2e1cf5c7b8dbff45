"""What the later stages train on: clozes, instructions, preferences. All are made from stories, and all can be checked.

| for | use |
|---|---|
| a model that only knows stories (lessons 08 and 09) | `clozes`: which sentence goes on from here? |
| supervised fine-tuning (lesson 10) | `instructions`: an instruction and a response |
| DPO and IPO (lesson 11) | `preferences`: a prompt, a better and a worse response, and what is wrong with the worse |
| PPO and GRPO (lessons 12 and 13) | `questions` or `instructions`; the reward is `is_correct` of a response |

All are indexed and split as stories are (see `telling.py`): a held-out task is about a held-out story.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Literal

from .asking import KINDS, Chance, ask, mentions, pick
from .choices import StoryError, Writer
from .scene import At, Person, whereabouts
from .telling import Split, Story, chance, parse, write_story
from .world import DEFAULT, World, article

InstructionKind = Literal["question", "people", "continue", "write"]
Flaw = Literal["wrong", "outdated", "hedged", "evasive", "impossible"]


@dataclass(frozen=True, slots=True)
class Cloze:
    """The beginning of a story and the sentences that might come next, of which one can."""

    prompt: str
    choices: tuple[str, ...]
    """Each begins with a space."""
    correct: int
    """The index of the choice that is true."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """Something to do, a response that does it, and a check of any response."""

    kind: InstructionKind
    instruction: str
    response: str
    is_correct: Callable[[str], bool] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Preference:
    """Two responses to a prompt, and what is wrong with the rejected one.

    wrong: it is not true. outdated: it was true earlier. hedged: it gives two answers. evasive: it gives none.
    impossible: as the story goes on, somebody does what they cannot do.
    """

    prompt: str
    chosen: str
    rejected: str
    flaw: Flaw
    is_correct: Callable[[str], bool] = field(repr=False, compare=False)
    """True of the chosen response, False of the rejected one."""


def cloze(split: Split, index: int, *, seed: int = 0, world: World = DEFAULT) -> Cloze:
    """Cloze number `index` of a split. The story asks where a thing was, in words that stories use themselves."""
    random = chance("cloze", split, index, seed)
    while True:
        story = write_story(Writer(random), split, world)
        scene = story.scene
        pairs = [(person, thing) for person in scene.people for thing in scene.things if thing.at is not person]
        if pairs:
            break
    person, thing = pick(pairs, random)
    prompt = f"{_before_the_end(story)} {person.name} wondered where the {thing.name} was."
    everywhere: list[At] = [*(other for other in scene.people if other is not person), scene.container, *scene.places]
    choices = [f" {whereabouts(at)}" for at in everywhere]
    return Cloze(prompt, tuple(choices), choices.index(f" {whereabouts(thing.at)}"))


def instruction(split: Split, index: int, *, seed: int = 0, world: World = DEFAULT) -> Instruction:
    """Instruction number `index` of a split: half of them are questions."""
    random = chance("instruction", split, index, seed)
    story = write_story(Writer(random), split, world)
    if random() < 0.5 and (question := ask(story, KINDS, random)):
        return Instruction("question", question.prompt, question.answer, question.is_correct)
    return pick((_people, _continue, _write), random)(story, random)


def preference(split: Split, index: int, *, seed: int = 0, world: World = DEFAULT) -> Preference:
    """Preference number `index` of a split."""
    random = chance("preference", split, index, seed)
    flaw = pick(FLAWS, random)
    while True:
        story = write_story(Writer(random), split, world)
        if found := _impossible(story, random) if flaw == "impossible" else _flawed_answer(story, flaw, random):
            return found


def clozes(split: Split, *, seed: int = 0, start: int = 0, step: int = 1, world: World = DEFAULT) -> Iterator[Cloze]:
    """Clozes number start, start + step, … of a split, without end."""
    return (cloze(split, index, seed=seed, world=world) for index in count(start, step))


def instructions(
    split: Split, *, seed: int = 0, start: int = 0, step: int = 1, world: World = DEFAULT
) -> Iterator[Instruction]:
    """Instructions number start, start + step, … of a split, without end."""
    return (instruction(split, index, seed=seed, world=world) for index in count(start, step))


def preferences(
    split: Split, *, seed: int = 0, start: int = 0, step: int = 1, world: World = DEFAULT
) -> Iterator[Preference]:
    """Preferences number start, start + step, … of a split, without end."""
    return (preference(split, index, seed=seed, world=world) for index in count(start, step))


# --- kinds of instructions -------------------------------------------------------------------------------------------


def _people(story: Story, random: Chance) -> Instruction:
    names = [person.name for person in story.scene.people]
    response = f"{', '.join(names[:-1])} and {names[-1]}."
    check = partial(_names, frozenset(name.lower() for name in names), story.scene.world)
    return Instruction("people", f"{story.text}\nWho is in this story?", response, check)


def _continue(story: Story, random: Chance) -> Instruction:
    """Somewhere in its second half the story breaks off."""
    sentences = story.text.split(". ")
    kept = pick(range(len(sentences) // 2, len(sentences)), random)
    beginning, rest = ". ".join(sentences[:kept]) + ".", ". ".join(sentences[kept:])
    return Instruction("continue", _continue_prompt(beginning), rest, partial(_continues, beginning, story.scene.world))


def _write(story: Story, random: Chance) -> Instruction:
    first, second, *_ = (person.name for person in story.scene.people)
    thing = pick(story.scene.things, random)
    request = f"Write a story about {first}, {second} and {article(thing.looks)} {thing.looks} {thing.name}."
    check = partial(_is_about, (first, second), f"{thing.looks} {thing.name}", story.scene.world)
    return Instruction("write", request, story.text, check)


# --- flaws of rejected responses -------------------------------------------------------------------------------------

FLAWS: tuple[Flaw, ...] = ("wrong", "outdated", "hedged", "evasive", "impossible")


def _flawed_answer(story: Story, flaw: Flaw, random: Chance) -> Preference | None:
    question = ask(story, ("where",) if flaw == "outdated" else KINDS, random)
    if question is None or (flaw == "outdated" and not question.outdated):
        return None
    wrong = pick(question.wrong_answers, random)
    rejected = {
        "wrong": wrong,
        "outdated": question.outdated,
        "hedged": f"{question.answer} Or maybe: {wrong}",
        "evasive": "I do not know.",
    }[flaw]
    if question.is_correct(rejected):  # "Ann and Ben. Or maybe: Ann." hedges nothing
        return None
    return Preference(question.prompt, question.answer, rejected, flaw, question.is_correct)


def _impossible(story: Story, random: Chance) -> Preference | None:
    """Somebody puts down a thing: the one who has it, or one who has not. None if nobody has anything."""
    scene, world = story.scene, story.scene.world
    held = [(thing, thing.at) for thing in scene.things if isinstance(thing.at, Person)]
    if not held or scene.turns == world.max_events:
        return None
    thing, holder = pick(held, random)
    other = pick([person for person in scene.people if person is not holder], random)
    beginning, end = _before_the_end(story), story.text[len(_before_the_end(story)) :]
    chosen, rejected = (f"{person.name} {world.verbs['drop'][0]} {thing.name}.{end}" for person in (holder, other))
    check = partial(_continues, beginning, world)
    return Preference(_continue_prompt(beginning), chosen, rejected, "impossible", check)


# --- parts of tasks --------------------------------------------------------------------------------------------------


def _before_the_end(story: Story) -> str:
    """The story without its last sentence."""
    return story.text[: story.text.rindex(". ") + 1]


def _continue_prompt(beginning: str) -> str:
    return f"Continue this story.\n{beginning}"


def _names(names: frozenset[str], world: World, response: str) -> bool:
    """Whether a response names these people of all people."""
    return mentions(response) & world.names == names


def _continues(beginning: str, world: World, response: str) -> bool:
    """Whether a response makes a story of its beginning."""
    return _told(f"{beginning} {response.strip()}", world) is not None


def _is_about(names: tuple[str, str], thing: str, world: World, response: str) -> bool:
    """Whether a response is a story that begins with these two people and has this thing in it."""
    if (told := _told(response.strip(), world)) is None:
        return False
    first, second, *_ = told.scene.people
    return (first.name, second.name) == names and thing in (
        f"{other.looks} {other.name}" for other in told.scene.things
    )


def _told(text: str, world: World) -> Story | None:
    try:
        return parse(text, world)
    except StoryError:
        return None
