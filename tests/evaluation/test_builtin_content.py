"""The built-in programming problems: HumanEval's layout, and checks that accept the solution and nothing less."""

from __future__ import annotations

import ast
import doctest
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluation.wrong_completions import WRONG

FILE = Path(__file__).resolve().parents[2] / "intro2llm" / "evaluation" / "humaneval_builtin.jsonl"
PROBLEMS = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
STOPS = ("\nclass ", "\ndef ", "\n#", "\nif", "\nprint")
"""Where a completion is cut (Chen et al. 2021, section 2.1)."""

each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=[problem["entry_point"] for problem in PROBLEMS])


def run(problem: dict[str, str], completion: str, after: str = "") -> subprocess.CompletedProcess[str]:
    """The program of a completion, with the call of its check, in a process of its own."""
    call = f"check({problem['entry_point']})\n"
    source = "\n".join([problem["prompt"] + completion, problem["test"], call, after])
    return subprocess.run([sys.executable, "-I", "-c", source], capture_output=True, text=True, timeout=120)


def test_there_are_twenty_problems_with_the_fields_of_humaneval_each_in_a_line() -> None:
    assert [problem["task_id"] for problem in PROBLEMS] == [f"Intro2LLM/{index}" for index in range(20)]
    for problem in PROBLEMS:
        assert set(problem) == {"task_id", "prompt", "entry_point", "canonical_solution", "test"}
    assert len({problem["entry_point"] for problem in PROBLEMS}) == 20
    text = FILE.read_bytes()
    assert text.endswith(b"}\n") and b"\r" not in text and text.isascii()


@each_problem
def test_the_prompt_is_imports_and_one_function_that_has_only_a_docstring_yet(problem: dict[str, str]) -> None:
    prompt = problem["prompt"]
    assert prompt.endswith('"""\n')
    *imports, function = ast.parse(prompt).body
    assert all(isinstance(statement, ast.Import | ast.ImportFrom) for statement in imports)
    assert isinstance(function, ast.FunctionDef) and function.name == problem["entry_point"]
    assert len(function.body) == 1 and ast.get_docstring(function)
    assert function.returns is not None and all(argument.annotation for argument in function.args.args)


@each_problem
def test_the_solution_is_an_indented_body_that_no_stop_string_cuts(problem: dict[str, str]) -> None:
    solution = problem["canonical_solution"]
    assert solution.endswith("\n") and all(line.startswith("    ") for line in solution.splitlines())
    assert not any(stop in solution for stop in STOPS)
    assert len(ast.parse(problem["prompt"] + solution).body) == len(ast.parse(problem["prompt"]).body)


@each_problem
def test_the_check_has_six_assertions_and_is_not_called(problem: dict[str, str]) -> None:
    (check,) = ast.parse(problem["test"]).body
    assert isinstance(check, ast.FunctionDef) and check.name == "check"
    assert [argument.arg for argument in check.args.args] == ["candidate"]
    assert sum(isinstance(node, ast.Assert) for node in ast.walk(check)) >= 6


@each_problem
def test_the_solution_passes_its_check_and_the_examples_in_the_prompt(problem: dict[str, str]) -> None:
    examples = len(doctest.DocTestParser().get_examples(problem["prompt"]))
    assert examples >= 1
    ran = run(problem, problem["canonical_solution"], "import doctest\nprint(tuple(doctest.testmod()))")
    assert ran.stdout.splitlines() == [f"(0, {examples})"], ran.stdout + ran.stderr


@each_problem
def test_wrong_and_empty_completions_fail_an_assertion(problem: dict[str, str]) -> None:
    wrong = WRONG[problem["entry_point"]]
    assert len({*wrong, problem["canonical_solution"], ""}) == 4
    for completion in [*wrong, ""]:
        ran = run(problem, completion)
        assert ran.returncode == 1, completion
        assert ran.stderr.splitlines()[-1].startswith("AssertionError"), completion + ran.stderr


def test_wrong_completions_belong_to_problems() -> None:
    assert set(WRONG) == {problem["entry_point"] for problem in PROBLEMS}
