"""`story`: what the model has understood of a story, asked in three ways. Given.

cloze       the story goes on: which of several places is the thing in? The model knows such sentences from training.
choice      a question, and several answers: which is the likeliest, per byte?
free        the same question, answered in the model's own words
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from intro2llm.data.storyworld import KINDS, cloze, question
from intro2llm.evaluation.mmlu import score_choices
from intro2llm.evaluation.perplexity import evaluating
from intro2llm.evaluation.tasks.task import (
    Candidate,
    Result,
    Summary,
    Table,
    Task,
    mean,
    percent,
    standard_error,
)

QUESTIONS = 100
ANSWER_TOKENS = 24


class StoryQuestions(Task):
    """As many clozes as questions, about stories of the test split."""

    name = "story"
    unit = "questions"

    def __init__(self, candidate: Candidate, *, limit: int | None, seed: int) -> None:
        self._candidate = candidate
        self._seed = seed
        self.items = [f"{kind} {number}" for number in range(limit or QUESTIONS) for kind in ("cloze", "question")]
        self.settings = {"seed": seed, "context": candidate.context, "answer_tokens": ANSWER_TOKENS}

    def measure(self, item: str) -> Result:
        kind, number = item.split()
        if kind == "cloze":
            asked = cloze("test", int(number), seed=self._seed)
            chosen, cut = self._choose(asked.prompt, asked.choices)
            return {"kind": kind, "chosen": chosen == asked.correct, "chance": 1 / len(asked.choices), "cut": cut}
        posed = question("test", int(number), seed=self._seed)
        answers = sorted(f"\n{answer}" for answer in (posed.answer, *posed.wrong_answers))
        chosen, cut = self._choose(posed.prompt, answers)
        said = self._answer(posed.prompt)
        return {
            "kind": posed.kind,
            "chosen": answers[chosen] == f"\n{posed.answer}",
            "chance": 1 / len(answers),
            "said": said,
            "free": posed.is_correct(said),
            "cut": cut,
        }

    def running(self, results: Sequence[Result]) -> tuple[str, float]:
        return "right choices", mean([result["chosen"] for result in results])

    def summary(self, results: Mapping[str, Result]) -> Summary:
        each = list(results.values())
        asked = [result for result in each if result["kind"] != "cloze"]
        groups: list[tuple[str, str, list[Result], str]] = [
            ("cloze", "cloze: what comes next", [result for result in each if result["kind"] == "cloze"], "chosen"),
            ("choice", "question: choose an answer", asked, "chosen"),
            *((f"choice_{kind}", f"    {kind}", [r for r in asked if r["kind"] == kind], "chosen") for kind in KINDS),
            ("free", "question: in its own words", asked, "free"),
        ]
        figures: dict[str, Any] = {}
        rows = []
        for name, title, group, what in groups:
            if not group:
                continue
            right = [float(result[what]) for result in group]
            chance = mean([result["chance"] for result in group]) if what == "chosen" else None
            error = standard_error(right)
            figures[name.replace(" ", "_")] = {
                "accuracy": mean(right),
                "standard_error": error,
                "chance": chance,
                "questions": len(right),
            }
            rows.append([title, percent(mean(right)), percent(error), percent(chance), str(len(right))])
        notes = ["Choices are compared by log-probability per byte; chance is what guessing reaches."]
        if asked:
            notes.append(
                "A model that has only read stories has never seen a question: see its own words after stage 3."
            )
        if cut := sum(result["cut"] for result in each):
            most = self._candidate.context
            notes.append(f"{cut} prompts were longer than the model's {most} tokens, and have lost their beginning.")
        table = Table("Questions about stories", ["", "right", "±", "chance", "questions"], rows, notes)
        return Summary(figures, [table])

    def _choose(self, prompt: str, choices: Sequence[str]) -> tuple[int, bool]:
        """The likeliest choice per byte, and whether the beginning of the prompt had to be left out."""
        encoded = [self._candidate.encode(choice) for choice in choices]
        ids, cut = self._fit(prompt, max(map(len, encoded)))
        scores = score_choices(self._candidate.model, ids, encoded).tolist()
        per_byte = [score / len(choice.encode()) for score, choice in zip(scores, choices)]
        return max(range(len(choices)), key=per_byte.__getitem__), cut

    def _answer(self, prompt: str) -> str:
        """The line that the model writes after the prompt, always the likeliest token."""
        ids, _ = self._fit(f"{prompt}\n", ANSWER_TOKENS)
        with evaluating(self._candidate.model):
            written = self._candidate.model.generate(
                torch.tensor([ids], device=self._candidate.device),
                max_new_tokens=min(ANSWER_TOKENS, self._candidate.context - len(ids)),
                temperature=0.0,
                stop_token_ids=[self._candidate.tokenizer.eos_token_id],
            )
        return self._candidate.tokenizer.decode(written[0, len(ids) :].tolist()).strip().partition("\n")[0]

    def _fit(self, prompt: str, room: int) -> tuple[list[int], bool]:
        ids = [self._candidate.first, *self._candidate.encode(prompt)]
        most = max(1, self._candidate.context - room)
        return ids[-most:], len(ids) > most
