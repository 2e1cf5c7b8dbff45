"""The story world: small English stories without end, whose probability is known exactly. Given; read it, use it.

    from intro2llm.data.storyworld import stories, bits_per_byte
    for story in stories("train"):
        story.text, story.log_prob

`world.py` has the words, `choices.py` the account of the probability, `scene.py` the state of a story and
`grammar.py` what may happen in it, `telling.py` the splits and the floor, `asking.py` questions with answers that can
be checked, and `tasks.py` instructions, preferences and clozes. `python -m intro2llm.data.storyworld` shows what each
choice in a story cost.

A story of the default world has 650 bytes on average, seldom more than 950, and 300 bits of information: the floor is
0.46 bits per byte.
"""

from .asking import KINDS, Question, question, questions
from .choices import StoryError
from .tasks import (
    Cloze,
    Instruction,
    Preference,
    cloze,
    clozes,
    instruction,
    instructions,
    preference,
    preferences,
)
from .telling import Split, Story, bits_per_byte, parse, share, steps, stories, story
from .world import DEFAULT, World

__all__ = [
    "DEFAULT",
    "KINDS",
    "Cloze",
    "Instruction",
    "Preference",
    "Question",
    "Split",
    "Story",
    "StoryError",
    "World",
    "bits_per_byte",
    "cloze",
    "clozes",
    "instruction",
    "instructions",
    "parse",
    "preference",
    "preferences",
    "question",
    "questions",
    "share",
    "steps",
    "stories",
    "story",
]
