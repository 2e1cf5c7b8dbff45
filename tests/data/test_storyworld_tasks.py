"""Questions, instructions, preferences, clozes: their answers follow from the stories, read a second time."""

import math
import pickle
import re
from collections import Counter
from itertools import islice, pairwise

import pytest

from intro2llm.data.storyworld import (
    DEFAULT,
    KINDS,
    Question,
    StoryError,
    cloze,
    clozes,
    instruction,
    instructions,
    parse,
    preference,
    preferences,
    question,
    questions,
    stories,
)
from tests.data import storyworld_simulation as simulation


def test_the_facts_of_a_story_are_those_of_its_text() -> None:
    """Also that stories are coherent: the simulation asserts that nobody gives what they do not have, and so on."""
    for told in islice(stories("train", seed=2), 2000):
        world, scene = simulation.simulate(told.text), told.scene
        assert {person.name: person.place for person in scene.people} == world.place
        assert {person.name: person.count for person in scene.people} == world.count
        assert {thing.name: thing.looks for thing in scene.things} == world.looks
        for thing in scene.things:
            found = "box" if thing.at is scene.container else getattr(thing.at, "name", thing.at)
            assert found == world.where[thing.name]
            assert thing.place == world.place_of(thing.name)


def expected_answer(asked: Question) -> str:
    """The answer in few words, from the text of the story and of the question alone."""
    world, text = simulation.simulate(asked.story.text), asked.text
    if found := re.fullmatch(r"Where is the (\w+)\?", text):
        return world.place_of(found[1])
    if found := re.fullmatch(r"Where is (\w+)\?", text):
        return world.place[found[1]]
    if found := re.fullmatch(r"Where was (\w+) before going to the \w+\?", text):
        return world.route[found[1]][-2]
    if found := re.fullmatch(r"Who has the (\w+)\?", text):
        return world.where[found[1]] if world.where[found[1]] in world.place else "no one"
    if found := re.fullmatch(r"Who is (\w+ the \w+)\?", text):
        return ", ".join(name for name in world.place if world.place[name] == found[1]) or "No one."
    if found := re.fullmatch(r"How many \w+ does (\w+) have\?", text):
        return str(world.count[found[1]])
    if found := re.fullmatch(r"Is (\w+) (\w+ the \w+)\?", text):
        return "yes" if world.place[found[1]] == found[2] else "NO"
    if found := re.fullmatch(r"Does (\w+) have the (\w+)\?", text):
        return "Yes!" if world.where[found[2]] == found[1] else "no..."
    if found := re.fullmatch(r"Who had the (\w+) first, (\w+) or (\w+)\?", text):
        return next(name for name in world.holders[found[1]] if name in found.groups()[1:])
    if found := re.fullmatch(r"Who moved first, (\w+) or (\w+)\?", text):
        return next(name for name in world.movers if name in found.groups())
    if found := re.fullmatch(r"How many \w+ do (\w+) and (\w+) have together\?", text):
        return str(world.count[found[1]] + world.count[found[2]])
    found = re.fullmatch(r"How many \w+ would (\w+) have if \1 (\w+) (\w+)( more)?\?", text)
    assert found, text
    return str(world.count[found[1]] + simulation.number(found[3]) * (1 if found[2] == "found" else -1))


def test_answers_follow_from_the_text() -> None:
    kinds = Counter()
    for asked in islice(questions("train", seed=3), 3000):
        kinds[asked.kind] += 1
        short = expected_answer(asked)
        assert asked.is_correct(short), f"{asked.prompt}\n{asked.answer}\n{short}"
        assert asked.is_correct(asked.answer)
        assert asked.is_correct(f"  {asked.answer.upper().replace('.', '')} !\n")
        assert asked.wrong_answers
        for wrong in asked.wrong_answers:
            assert not asked.is_correct(wrong)
        assert asked.outdated == "" or asked.outdated in asked.wrong_answers
    assert kinds.keys() == set(KINDS) and min(kinds.values()) > 100


def test_an_answer_says_the_same_whichever_way_it_is_asked_for() -> None:
    """Story and question determine the answer: no question has two."""
    answers: dict[str, str] = {}
    for asked in islice(questions("test", seed=4), 1000):
        assert answers.setdefault(asked.prompt, asked.answer) == asked.answer


FORMS = [
    ("where", r"^\w+ is in the (\w+)\.", "In the {0}. / the {0} / IN THE {0}!! / In the «{0}» / {0}, I am sure"),
    ("who", r"^(?!Nobody)(\w+) has it\.", "{0} / {0} does. / I think it is {0} / “{0}”"),
    ("yes or no", r"^(Yes)\.", "yes / YES! / Yes, that is so. / ｙｅｓ"),
    ("yes or no", r"^(No)\.", "no / No, not at all / NO"),
    ("how many", r"has (three) ", "3 / three / Three! / One and two make three. / There are 3. / 03"),
    ("how many", r"has (no) ", "0 / none / zero / no apples / nothing"),
]
WRONG = {
    "where": " / Not in the {0}. / {0} or harbour / It isn’t in the {0} / in the {0}s / in the",
    "who": " / nobody / {0} or Nobody / no one / not {0} / {0}a",
    "yes or noYes": " / no / yes and no / yesterday / perhaps",
    "yes or noNo": " / yes / yes, no / know / I do not know",
    "how manythree": " / 4 / three or four / thirteen / 33 / none / not three",
    "how manyno": " / 1 / I do not know / one / Yes, no, I do not know.",
}


@pytest.mark.parametrize(("kind", "pattern", "right"), FORMS)
def test_the_checker_takes_any_form_and_no_guessing(kind: str, pattern: str, right: str) -> None:
    asked = next(asked for asked in questions("train", kinds=[kind]) if re.search(pattern, asked.answer))
    said = re.search(pattern, asked.answer)[1]
    for answer in right.split(" / "):
        assert asked.is_correct(answer.format(said)), answer
    for answer in (WRONG.get(kind) or WRONG[kind + said]).split(" / "):
        assert not asked.is_correct(answer.format(said)), answer


def test_words_that_answer_are_no_other_words() -> None:
    """An answer may speak of anything else in the story without being taken for two answers."""
    world = DEFAULT
    others = [*world.things, *world.animals, *world.topics, *world.feelings, *world.qualities, *world.colours]
    others += [*world.manners, *world.weathers, *world.times, *world.moods, *(item.plural for item in world.countables)]
    assert world.answers.isdisjoint(re.findall(r"\w+", " ".join(others).lower()))


def test_naming_everything_is_never_right() -> None:
    for asked in islice(questions("train", seed=8, kinds=["where", "who", "yes or no", "order"]), 300):
        scene = asked.story.scene
        everything = " ".join(
            [*(person.name for person in scene.people), "nobody", scene.container.name, *scene.places, "yes no"]
        )
        assert not asked.is_correct(everything)


def test_yes_and_no_are_about_as_frequent() -> None:
    answers = Counter(asked.answer.partition(".")[0] for asked in islice(questions("train", kinds=["yes or no"]), 2000))
    assert answers.keys() == {"Yes", "No"}
    assert 0.35 < answers["Yes"] / 2000 < 0.6


def test_instructions_are_followed_by_their_response_and_not_by_others() -> None:
    made = list(islice(instructions("train", seed=6), 1000))
    assert Counter(item.kind for item in made).keys() == {"question", "people", "continue", "write"}
    for item, other in pairwise(made):
        assert item.is_correct(item.response) and item.is_correct(f"\n{item.response} ")
        assert not item.is_correct("") and not item.is_correct("Yes, no, I do not know.")
        if item.kind in ("write", "continue"):
            assert not item.is_correct(item.response[:-15])
        if item.kind == "write":
            assert not item.is_correct(other.response)


def test_a_continuation_need_not_be_the_one_that_was_told() -> None:
    """Where only the last sentence is missing, any last sentence will do."""
    items = (item for item in instructions("train") if item.kind == "continue" and " everyone was " in item.response)
    item = next(item for item in items if item.response.count(".") == 1 and not item.instruction.endswith(" was."))
    assert item.is_correct("In the end everyone was happy and fell asleep.")
    assert not item.is_correct("In the end everyone was happy and flew away.")
    assert not item.is_correct("It was in the garden. In the end everyone was happy and fell asleep.")


@pytest.mark.parametrize("one", [question, instruction, preference])
def test_tasks_can_be_sent_to_another_process(one) -> None:
    for index in range(30):
        made, again = one("train", index), pickle.loads(pickle.dumps(one("train", index)))
        right = getattr(made, "answer", None) or getattr(made, "response", None) or made.chosen
        assert again.is_correct(right) and not again.is_correct("")


def test_preferences_have_the_flaw_that_they_name() -> None:
    flaws = Counter()
    for pair in islice(preferences("train", seed=7), 1500):
        flaws[pair.flaw] += 1
        assert pair.is_correct(pair.chosen) and not pair.is_correct(pair.rejected)
        if pair.flaw == "impossible":
            beginning = pair.prompt.partition("\n")[2]
            simulation.simulate(f"{beginning} {pair.chosen}")
            with pytest.raises(AssertionError):
                simulation.simulate(f"{beginning} {pair.rejected}")
            with pytest.raises(StoryError):
                parse(f"{beginning} {pair.rejected}")
        if pair.flaw == "hedged":
            assert pair.rejected.startswith(pair.chosen)
    assert flaws.keys() == {"wrong", "outdated", "hedged", "evasive", "impossible"}
    assert min(flaws.values()) > 300 - 5 * math.sqrt(1500 * 0.2 * 0.8)


def test_a_cloze_has_one_continuation_that_is_true() -> None:
    for made in islice(clozes("validation", seed=9), 300):
        assert len(set(made.choices)) == len(made.choices) >= 4
        told = []
        for place, choice in enumerate(made.choices):
            try:
                simulation.simulate(f"{made.prompt}{choice} At last everyone was glad and fell asleep.")
            except AssertionError:
                continue
            told.append(place)
        assert told == [made.correct]


@pytest.mark.parametrize(
    ("one", "many"), [(question, questions), (instruction, instructions), (preference, preferences), (cloze, clozes)]
)
def test_tasks_are_indexed_sharded_and_split_as_stories_are(one, many) -> None:
    assert [repr(item) for item in islice(many("train", start=2, step=3), 3)] == [
        repr(one("train", index)) for index in (2, 5, 8)
    ]
    prompts = {split: {repr(one(split, index)) for index in range(100)} for split in ("train", "validation", "test")}
    assert len(set().union(*prompts.values())) == 300


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_story_of_a_question_belongs_to_its_split(split: str) -> None:
    for asked in islice(questions(split), 100):
        assert parse(asked.story.text).split == split
