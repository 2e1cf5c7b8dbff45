"""`mmlu`: multiple-choice questions from 57 subjects, each after five worked examples of its subject. Given."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from intro2llm.evaluation.mmlu import LETTERS, Question, accuracy, build_prompt, load_mmlu, predict, select_shots
from intro2llm.evaluation.tasks.task import (
    Candidate,
    Result,
    Summary,
    Table,
    Task,
    fingerprint,
    mean,
    percent,
    standard_error,
)

SHOTS = 5
BUILT_IN = Path(__file__).parent.parent / "mmlu_builtin"
CHANCE = 1 / len(LETTERS)


class SubjectQuestions(Task):
    """MMLU's own questions from its folder, or the built-in ones."""

    name = "mmlu"
    unit = "questions"

    def __init__(self, candidate: Candidate, folder: Path | None, *, limit: int | None, seed: int) -> None:
        """
        Raises:
            ValueError: the folder has no such questions. One line.
        """
        self._candidate = candidate
        self._source = "built-in questions" if folder is None else str(folder)
        self._examples = load_mmlu(folder or BUILT_IN, "dev")
        self._questions = load_mmlu(folder or BUILT_IN, "test")
        order = list(range(len(self._questions)))
        if limit is not None:  # a few of them should be of all subjects
            random.Random(seed).shuffle(order)
        self.items = [str(number) for number in sorted(order[:limit])]
        self.settings = {
            "shots": SHOTS,
            "context": candidate.context,
            "questions": fingerprint((self._examples, self._questions)),
        }

    def measure(self, item: str) -> Result:
        question = self._questions[int(item)]
        shots = self._that_fit(question, select_shots(question, self._examples, SHOTS))
        chosen = predict(
            self._candidate.model,
            self._candidate.tokenizer,
            question,
            shots,
            max_length=self._candidate.context,
        )
        return {"predicted": int(chosen), "right": int(chosen) == question.answer, "shots": len(shots)}

    def running(self, results: Sequence[Result]) -> tuple[str, float]:
        return "right answers", mean([result["right"] for result in results])

    def summary(self, results: Mapping[str, Result]) -> Summary:
        questions = [self._questions[int(item)] for item in results]
        found = accuracy(questions, [result["predicted"] for result in results.values()])
        error = standard_error([float(result["right"]) for result in results.values()])
        full = [min(SHOTS, len(select_shots(question, self._examples, SHOTS))) for question in questions]
        short = sum(result["shots"] < most for result, most in zip(results.values(), full))
        figures = {
            "accuracy": found.micro,
            "standard_error": error,
            "macro_accuracy": found.macro,
            "chance": CHANCE,
            "questions": len(questions),
            "shots": mean([result["shots"] for result in results.values()]),
            "by_subject": found.by_subject,
        }
        rows = [
            ["every question counts the same", percent(found.micro), percent(error), percent(CHANCE)],
            ["every subject counts the same", percent(found.macro), "", percent(CHANCE)],
        ]
        notes = [
            f"{len(questions)} questions of {len(found.by_subject)} subjects ({self._source}), {SHOTS} examples each."
        ]
        if short:
            notes.append(
                f"{short} prompts were longer than the model's {self._candidate.context} tokens, and have lost "
                f"examples: {figures['shots']:.1f} are left on average."
            )
        counts = {subject: sum(question.subject == subject for question in questions) for subject in found.by_subject}
        subjects = [[name, percent(value), str(counts[name])] for name, value in found.by_subject.items()]
        tables = [
            Table("MMLU by subject", ["subject", "right", "questions"], subjects),
            Table("MMLU", ["", "right", "±", "chance"], rows, notes),
        ]
        return Summary(figures, tables)

    def _that_fit(self, question: Question, shots: list[Question]) -> list[Question]:
        """The shots that the model can read together with the question; the last ones are left out."""
        encode = self._candidate.encode
        room = self._candidate.context - max(len(encode(f" {letter}")) for letter in LETTERS)
        while shots and len(encode(build_prompt(question, shots))) > room:
            shots = shots[:-1]
        return shots
