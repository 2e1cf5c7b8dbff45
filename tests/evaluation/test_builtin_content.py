"""The built-in questions and programming problems: the official layouts, and answers that can be trusted.

Whether an answer is true no program can check; that letters are balanced and lengths give nothing away, this one does.
A programming problem is checked whole: its own check accepts the solution, and neither wrong nor empty completions.
"""

from __future__ import annotations

import ast
import csv
import doctest
import io
import json
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.evaluation.wrong_completions import WRONG

CONTENT = Path(__file__).resolve().parents[2] / "intro2llm" / "evaluation"
QUESTIONS = CONTENT / "mmlu_builtin"
SUBJECTS = re.findall(
    r"\w+",
    """
    abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology college_chemistry
    college_computer_science college_mathematics college_medicine college_physics computer_security conceptual_physics
    econometrics electrical_engineering elementary_mathematics formal_logic global_facts high_school_biology
    high_school_chemistry high_school_computer_science high_school_european_history high_school_geography
    high_school_government_and_politics high_school_macroeconomics high_school_mathematics high_school_microeconomics
    high_school_physics high_school_psychology high_school_statistics high_school_us_history high_school_world_history
    human_aging human_sexuality international_law jurisprudence logical_fallacies machine_learning management marketing
    medical_genetics miscellaneous moral_disputes moral_scenarios nutrition philosophy prehistory
    professional_accounting professional_law professional_medicine professional_psychology public_relations
    security_studies sociology us_foreign_policy virology world_religions
    """,
)
"""The names in the official set (Hendrycks et al. 2021)."""
ROWS = {"dev": 5, "test": 4}

FILE = CONTENT / "humaneval_builtin.jsonl"
PROBLEMS = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
STOPS = ("\nclass ", "\ndef ", "\n#", "\nif", "\nprint")
"""Where a completion is cut (Chen et al. 2021, section 2.1)."""

each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=[problem["entry_point"] for problem in PROBLEMS])


def read(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True))


def files(split: str) -> list[Path]:
    return [QUESTIONS / split / f"{subject}_{split}.csv" for subject in SUBJECTS]


def all_rows() -> list[list[str]]:
    return [row for split in ROWS for path in files(split) for row in read(path)]


def accuracy_by_length(rows: list[list[str]], extreme: Callable[[list[int]], int]) -> float:
    """Of always picking the longest (`max`) or the shortest (`min`) choice, at random among several."""
    right = 0.0
    for _, *choices, answer in rows:
        lengths = [len(choice) for choice in choices]
        picked = extreme(lengths)
        right += (lengths["ABCD".index(answer)] == picked) / lengths.count(picked)
    return right / len(rows)


def test_every_official_subject_has_a_file_of_examples_and_one_of_questions_and_there_is_no_other_file() -> None:
    assert len(set(SUBJECTS)) == 57
    found = {path for path in QUESTIONS.rglob("[!.]*") if path.is_file()}
    assert found == {*files("dev"), *files("test"), QUESTIONS / "README.md"}


@pytest.mark.parametrize("split", ROWS)
def test_each_row_is_a_question_with_four_different_choices_and_a_letter(split: str) -> None:
    for path in files(split):
        rows = read(path)
        assert len(rows) == ROWS[split], path.name
        for row in rows:
            question, *choices, answer = row
            assert len(choices) == 4 and answer in {"A", "B", "C", "D"}, row
            assert len({choice.casefold() for choice in choices}) == 4, row
            assert all(cell and cell == " ".join(cell.split()) for cell in row), row
            assert question.endswith("?") and len(question) <= 140 and max(map(len, choices)) <= 60, row


def test_files_are_csv_as_any_writer_would_write_it() -> None:
    for path in [*files("dev"), *files("test")]:
        again = io.StringIO(newline="")
        csv.writer(again, lineterminator="\n").writerows(read(path))
        assert path.read_bytes() == again.getvalue().encode(), path.name


def test_no_question_occurs_twice_so_no_example_is_asked() -> None:
    questions = Counter(row[0].casefold() for row in all_rows())
    assert [question for question, count in questions.items() if count > 1] == []


def test_a_constant_letter_scores_a_quarter_in_each_subject_and_examples_show_every_letter() -> None:
    for path in files("test"):
        assert sorted(row[5] for row in read(path)) == ["A", "B", "C", "D"], path.name
    for path in files("dev"):
        assert {row[5] for row in read(path)} == {"A", "B", "C", "D"}, path.name
    letters = Counter(row[5] for row in all_rows())
    assert all(0.22 <= count / letters.total() <= 0.28 for count in letters.values()), letters


def test_the_length_of_a_choice_does_not_give_it_away() -> None:
    """Picking by length is right as often as guessing, within two standard errors; the README states both figures."""
    rows = all_rows()
    readme = (QUESTIONS / "README.md").read_text(encoding="utf-8")
    for extreme in (max, min):
        accuracy = accuracy_by_length(rows, extreme)
        assert abs(accuracy - 0.25) <= 2 * math.sqrt(0.25 * 0.75 / len(rows)), accuracy
        assert f"in {100 * accuracy:.0f} %" in readme


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
