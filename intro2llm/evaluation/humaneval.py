"""HumanEval: the model continues a function, and the function is run against tests that the model has not seen.

Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code", arXiv 2107.03374; the file format is that
of github.com/openai/human-eval.
"""

import gzip
import json
import math
import secrets
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from intro2llm.evaluation.sandbox import Ran, run_program
from intro2llm.model.causal_lm import CausalLM
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer

STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""What begins something new after the function's body: the five stop sequences of Chen et al., section 3.2."""

Outcome = Literal["passed", "failed", "timed out", "killed", "flooded"]


@dataclass(frozen=True)
class Problem:
    """One problem: a function to be completed, and the tests that judge it."""

    task_id: str
    prompt: str
    """Imports, the function's first line and its docstring; perhaps helper functions before it."""
    entry_point: str
    """The function's name."""
    canonical_solution: str
    """A right continuation of the prompt."""
    test: str
    """Source that defines check(candidate), which raises AssertionError for a wrong function, and does not call it."""


def load_humaneval(path: str | Path) -> list[Problem]:
    """Read problems from a .jsonl or .jsonl.gz file in HumanEval's own layout, one object in each line.

    Raises:
        ValueError: the file cannot be read, has no problems, or a line is not one. One line, with file and line.
    """
    path = Path(path)
    names = list(Problem.__dataclass_fields__)
    problems = []
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                fields = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} is not JSON: {error.msg} (column {error.colno})") from error
            if not isinstance(fields, dict) or not all(isinstance(fields.get(name), str) for name in names):
                raise ValueError(f"line {number} is not a problem: it needs the texts {', '.join(names)}")
            problems.append(Problem(**{name: fields[name] for name in names}))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"{path} cannot be read as HumanEval's problems: {error}") from error
    if not problems:
        raise ValueError(f"{path} has no problems")
    return problems


def truncate_at_stop(text: str, stops: Sequence[str] = STOPS) -> str:
    """What the model wrote, up to the place where it began something new.

    That place is the earliest at which any of `stops` stands; it is cut off with all that follows. Without one, the
    text stays as it is; nothing is stripped.
    """
    raise NotImplementedError("lesson09 · truncate_at_stop")


def sample_completions(
    model: CausalLM,
    tokenizer: BaseTokenizer,
    prompt: str,
    *,
    num_samples: int,
    max_new_tokens: int = 256,
    temperature: float = 0.8,
    top_p: float | None = 0.95,
    generator: torch.Generator | None = None,
) -> list[str]:
    """Let the model continue a prompt several times.

    The prompt is encoded without special tokens and given to `model.generate` once, as `num_samples` equal rows on the
    device of the model's parameters, with the tokenizer's eos_token_id as the only stop token and with the options
    below. Of each row, only the new tokens up to its first end-of-text are decoded, and the text is cut by
    `truncate_at_stop`.

    Args:
        num_samples: at least 1.
        max_new_tokens, temperature, top_p, generator: as for `CausalLM.generate`. All randomness comes from `generator`
            (None: torch's default), so that the same state gives the same completions. There is no top-k.

    Returns:
        `num_samples` continuations, without the prompt.
    """
    raise NotImplementedError("lesson09 · sample_completions")


def build_program(problem: Problem, completion: str, nonce: str) -> str:
    r"""The source of a program that prints `nonce`, in a line of its own, if the completion passes the tests.

    In this order: the prompt and the completion, which belong together without anything between them; the test; a call
    of check with the function named `entry_point`; the printing of `nonce`. The prompt stands at the very beginning
    (`from __future__ import …` may stand nowhere else), and each later part begins in a new line. Whatever ends the
    program before its last statement leaves the nonce unprinted: a failed assertion, another exception, an exit.

    Args:
        nonce: a word of letters and digits.
    """
    raise NotImplementedError("lesson09 · build_program")


def check_completion(
    problem: Problem, completion: str, *, run: Callable[..., Ran] = run_program, timeout: float = 3.0
) -> Outcome:
    """Run a completion against the problem's tests in a process of its own, and judge what came back.

    The completion passes if the program ended by itself and a whole line of its stdout is the nonce. The nonce is 32
    hexadecimal digits from `secrets`, new in each call: a program cannot print it without having been told, and the
    program is told in its last statement only. Neither the exit code nor anything else that it prints, on stdout or
    stderr, decides anything. (A program that reads its own source can still cheat.)

    Args:
        run: called once, as run(source, timeout=timeout), and returns what became of the program: see `Ran`. The
            default is the sandbox of this course; another one may stand in its place.
        timeout: seconds.

    Returns:
        "timed out", "killed" or "flooded" if the program ended in this way; else "passed" or "failed".
    """
    raise NotImplementedError("lesson09 · check_completion")


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that at least one of k samples is right, estimated without bias from n samples of which c were right.

    Of all ways to choose k of the n samples, the share that contains at least one right sample:

        pass@k = 1 - C(n - c, k) / C(n, k)

    which is exactly 1 where fewer than k samples are wrong. It is exact to rounding for n in the thousands.

    Args:
        n: samples of one problem. c: how many of them were right, from 0 to n. k: from 1 to n.

    Raises:
        ValueError: c or k is outside its range. The message contains the three numbers.

    Source: Chen et al. 2021, arXiv 2107.03374, equation 1.
    """
    raise NotImplementedError("lesson09 · pass_at_k")


def pass_rates(counts: Mapping[str, tuple[int, int]], ks: Iterable[int] = (1, 10, 100)) -> dict[str, float]:
    """pass@k of a benchmark: the mean of its problems' pass@k, each problem counting the same.

    Args:
        counts: for each task_id, its n and c, as for `pass_at_k`; n may differ from problem to problem.
        ks: the values of k that are wanted.

    Returns:
        "pass@1" etc., in the order of `ks`. A k that is larger than the n of any problem is left out: so few samples
        say nothing about it.

    Raises:
        ValueError: `counts` is empty. The message contains "no problem".
    """
    raise NotImplementedError("lesson09 · pass_rates")
