"""`dev new-lesson`: a lesson folder in which every file is there and the suites run, with one small task to replace."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from coursecli.errors import ContentError, UsageError
from coursecli.files import atomic_write

if TYPE_CHECKING:
    from coursecli.course.catalogue import Course

PATH = re.compile(r"(stage\d\d_[a-z0-9_]+)/(lesson(\d\d)_[a-z0-9_]+)")


def create(course: Course, path: str, title: str) -> list[Path]:
    """Write the files of a new lesson and list it in course.yaml.

    Args:
        path: `stage02_pretrain/lesson06_data_loss`; a stage that does not exist yet is added at the end.
        title: what learners read in `list`.

    Returns:
        the files written, course.yaml last.

    Raises:
        UsageError: the path has another form, or the lesson, its number or its reference file exists.
        ContentError: course.yaml does not end with its list of stages, so the lesson cannot be added by a text edit.
    """
    match = PATH.fullmatch(path.strip("/"))
    if not match:
        raise UsageError(
            f"{path!r} is not of the form stageNN_name/lessonNN_name",
            'Example: intro2llm dev new-lesson stage02_pretrain/lesson06_data_loss --title "Data and loss"',
        )
    stage, lesson, number = match.groups()
    for known in course.lessons:
        if known.id.startswith(f"lesson{number}_"):
            raise UsageError(f"lesson {number} exists: {known.id}", "Choose the next free number.")
    name = lesson.split("_", 1)[1]
    folder, solution = course.root / stage / lesson, course.solutions_dir / f"{name}.py"
    for place in (folder, solution):
        if place.exists():
            raise UsageError(f"{place} exists already", "Move it away, or choose another name.")

    manifest_file = course.root / "course.yaml"
    manifest_text = _with_lesson(manifest_file, stage, lesson)
    values = {
        "lesson": lesson,
        "number": number,
        "title": title,
        "quoted title": json.dumps(title, ensure_ascii=False),  # also a YAML string, whatever stands in it
        "name": name,
        "package": course.package_name,
    }
    written = []
    for target, template in {
        folder / "README.md": README,
        folder / "lesson.yaml": LESSON,
        folder / "mistakes.yaml": MISTAKES,
        folder / "testcases" / "basic_test.py": BASIC_TEST,
        folder / "testcases" / "advanced_test.py": ADVANCED_TEST,
        solution: SOLUTION,
    }.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(target, _fill(template, values))
        written.append(target)
    atomic_write(manifest_file, manifest_text)
    return [*written, manifest_file]


def _fill(template: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        template = template.replace(f"<<{key}>>", value)
    return template


def _with_lesson(manifest: Path, stage: str, lesson: str) -> str:
    """course.yaml with the lesson added after the last one of its stage; comments stay."""
    lines = manifest.read_text(encoding="utf-8").rstrip("\n").split("\n")
    starts = [i for i, line in enumerate(lines) if re.match(r"\s*- id:\s*stage\d\d_", line)]
    if not starts:
        raise ContentError(f"{manifest}: no stage found under `stages:`", "Add the lesson by hand.")
    at = next((i for i in starts if lines[i].split("id:")[1].strip() == stage), None)
    if at is None:
        dash = lines[starts[-1]].index("-")
        pad = " " * dash
        title = stage.split("_", 1)[1].replace("_", " ").capitalize()
        new = [f"{pad}- id: {stage}", f"{pad}  title: {title}", f"{pad}  lessons:", f"{pad}    - {lesson}"]
        return "\n".join([*lines, *new]) + "\n"
    end = next((i for i in starts if i > at), len(lines))
    last = max(i for i in range(at, end) if re.match(r"\s*- lesson\d\d_", lines[i]) or i == at)
    pad = " " * (len(lines[last]) - len(lines[last].lstrip())) if last > at else " " * (lines[at].index("-") + 4)
    return "\n".join([*lines[: last + 1], f"{pad}- {lesson}", *lines[last + 1 :]]) + "\n"


README = """# Lesson <<number>> · <<title>>

Why this matters, in two sentences that a tired person understands.

## The idea, from zero

## A worked example

With real numbers, checked against the reference.

## The mathematics

## Doubling

One section for every task, headed by the task's title.

## Where it stands in today's models

## Pitfalls

## Further reading
"""

LESSON = """id: <<lesson>>
title: <<quoted title>>
summary: One sentence.
minutes: 60
tasks:
  - id: <<name>>-double
    title: Doubling
    file: <<name>>.py
    symbols: [double]
    hints:
      - A nudge.
      - The idea.
      - Nearly the answer.
unlocks:
  learned: What was learnt.
  can_now: What the learner's work can do now.
"""

MISTAKES = """mistakes:
  - id: square-not-double
    task: <<name>>-double
    name: squares instead of doubling
    explanation: >-
      Multiplying a number by itself and multiplying it by two agree only at 0 and 2.
      Try your function on a number for which they differ.
    symbol: double
    code: |
      return x * x
accept:
  - id: by-addition
    task: <<name>>-double
    name: adds the number to itself
    symbol: double
    code: |
      return x + x
"""

BASIC_TEST = '''"""First contact: what the task says, on plain inputs."""

import pytest
from coursecli.expect import expect_equal
from <<package>>.<<name>> import double


@pytest.mark.task("<<name>>-double")
def test_double_of_small_numbers():
    """Doubling a number gives twice the number."""
    for x in (3, -5, 7):
        expect_equal(double(x), x + x, what=f"double({x})", lookalikes={"square-not-double": x**2})
'''

ADVANCED_TEST = '''"""The edges: large, negative, zero."""

import pytest
from coursecli.expect import expect_equal
from <<package>>.<<name>> import double


@pytest.mark.task("<<name>>-double")
def test_double_at_the_edges():
    """Doubling works for zero and for numbers of any size."""
    for x in (0, 10**30, -(10**30)):
        expect_equal(double(x), x + x, what=f"double({x})", lookalikes={"square-not-double": x**2})
'''

SOLUTION = '''"""What this file is for, in one line."""


def double(x: int) -> int:
    """Twice `x`.

    Args:
        x: any integer.

    Returns:
        2·x
    """
    return 2 * x
'''
