"""`humaneval`: functions that the model completes, run against tests in the sandbox. Given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from intro2llm.evaluation.humaneval import (
    check_completion,
    load_humaneval,
    pass_at_k,
    pass_rates,
    sample_completions,
)
from intro2llm.evaluation.perplexity import evaluating
from intro2llm.evaluation.sandbox import Isolation, run_program
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

BUILT_IN = Path(__file__).parent.parent / "humaneval_builtin.jsonl"
NEW_TOKENS = 256
SECONDS = 3.0
KS = (1, 2, 5, 10, 25, 50, 100)
TOO_LONG = "prompt too long"
Solutions = Literal["canonical", "empty"]


class Programs(Task):
    """HumanEval's own problems from its file, or the built-in ones."""

    name = "humaneval"
    unit = "problems"

    def __init__(
        self,
        author: Candidate | Solutions,
        path: Path | None,
        *,
        limit: int | None,
        seed: int,
        samples: int,
        temperature: float,
        isolation: Isolation,
    ) -> None:
        """
        Args:
            author: who completes the functions: a model; or the file's own solutions, or nobody: a check of the check.

        Raises:
            ValueError: the file has no problems. One line.
        """
        self._author = author
        self._source = "built-in problems" if path is None else str(path)
        problems = load_humaneval(path or BUILT_IN)
        self._problems = {problem.task_id: problem for problem in problems}
        self._seed, self._samples, self._temperature = seed, samples, temperature
        self._isolation: Isolation = isolation
        self.items = list(self._problems)[:limit]
        self.settings = {
            "author": author if isinstance(author, str) else {"context": author.context, "new_tokens": NEW_TOKENS},
            "seed": seed,
            "samples": samples,
            "temperature": temperature,
            "isolation": isolation,
            "problems": fingerprint(problems),
        }

    def measure(self, item: str) -> Result:
        problem = self._problems[item]
        completions = self._complete(item)
        if completions is None:
            return {"outcomes": [TOO_LONG] * self._samples, "completions": []}
        run = partial(run_program, isolation=self._isolation)
        outcomes = [check_completion(problem, each, run=run, timeout=SECONDS) for each in completions]
        return {"outcomes": outcomes, "completions": completions}

    def running(self, results: Sequence[Result]) -> tuple[str, float]:
        return "pass@1", mean([mean([outcome == "passed" for outcome in r["outcomes"]]) for r in results])

    def summary(self, results: Mapping[str, Result]) -> Summary:
        counts = {item: (len(r["outcomes"]), r["outcomes"].count("passed")) for item, r in results.items()}
        rates = pass_rates(counts, [k for k in KS if k <= self._samples])
        errors = {name: standard_error([pass_at_k(n, c, int(name[5:])) for n, c in counts.values()]) for name in rates}
        became = Counter(outcome for result in results.values() for outcome in result["outcomes"])
        solved = sum(c > 0 for _, c in counts.values())
        figures = {
            **rates,
            "standard_error": errors["pass@1"],
            "solved": solved,
            "problems": len(counts),
            "samples": self._samples,
            "temperature": self._temperature,
            "isolation": self._isolation,
            "outcomes": dict(became),
        }
        rows = [[name, percent(rate), percent(errors[name])] for name, rate in rates.items()]
        rows.append(["solved at least once", f"{solved} of {len(counts)}", ""])
        notes = [
            f"{len(counts)} problems ({self._source}), completions of each: {self._samples}, {self._by()}.",
            f"Isolation in which they were run: {self._isolation}.",
            "What became of them: " + ", ".join(f"{count} {name}" for name, count in became.most_common()) + ".",
        ]
        return Summary(figures, [Table("HumanEval", ["", "value", "±"], rows, notes)])

    def _by(self) -> str:
        if isinstance(self._author, str):
            return f"{self._author} solutions instead of a model's"
        how = "always the likeliest token" if self._temperature == 0 else f"drawn at temperature {self._temperature:g}"
        return f"{how}, at most {NEW_TOKENS} tokens"

    def _complete(self, item: str) -> list[str] | None:
        """The completions; None when there is no room for any behind the prompt."""
        problem, author = self._problems[item], self._author
        if isinstance(author, str):
            return [problem.canonical_solution if author == "canonical" else ""] * self._samples
        room = author.context - len(author.encode(problem.prompt))
        if room < 1:
            return None
        with evaluating(author.model):
            return sample_completions(
                author.model,
                author.tokenizer,
                problem.prompt,
                num_samples=self._samples,
                max_new_tokens=min(NEW_TOKENS, room),
                temperature=self._temperature,
                generator=torch.Generator(author.device).manual_seed(fingerprint((self._seed, item))),
            )
