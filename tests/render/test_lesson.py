"""READMEs in the terminal: mathematics readable, code untouched, any width."""

import pytest
from rich.cells import cell_len

from coursecli.course.catalogue import load_course
from coursecli.render.console import make_console
from coursecli.render.lesson import lesson_view, section, split, with_inline


def shown(text: str, width: int = 80) -> str:
    console = make_console(width=width)
    with console.capture() as capture:
        console.print(lesson_view(text, width=width))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def test_prose_code_and_formulas_are_told_apart():
    text = "one $a$\n\n$$ x $$\n\n```python\ny = '$$ no $$'\n```\n\n~~~\n```\n~~~\nlast\n"
    assert [kind for kind, _ in split(text)] == ["prose", "display", "code", "code", "prose"]
    assert "".join(content for kind, content in split(text) if kind == "code") == (
        "```python\ny = '$$ no $$'\n```\n~~~\n```\n~~~\n"
    )


@pytest.mark.parametrize(
    ("title", "part"),
    [
        ("One", "## One\nfirst\n```\n## Two\n```\n### Deeper\nstill\n"),
        ("Two", "## Two\nsecond\n"),
        ("Last: it ends", "# Last: it ends\n"),
        ("Deeper", "### Deeper\nstill\n"),
        ("None", None),
    ],
)
def test_the_section_of_a_task(title, part):
    text = "# Lesson\nintro\n## One\nfirst\n```\n## Two\n```\n### Deeper\nstill\n## Two\nsecond\n# Last: it ends\n"
    assert section(text, title) == (part or text)


def test_every_task_has_its_section(toy):
    for lesson in load_course(toy).lessons:
        text = lesson.readme.read_text(encoding="utf-8")
        for task in lesson.tasks:
            assert section(text, task.title).startswith(f"## {task.title}\n")


def test_a_code_block_that_is_never_closed_is_still_shown():
    assert "x = 1" in shown("```\nx = 1\n")


@pytest.mark.parametrize(
    ("prose", "readable"),
    [
        ("With $x_i$ and $y^2$.", "With xᵢ and y²."),
        ("It costs $5 and $6.", "It costs $5 and $6."),
        ("Escaped \\$x\\$ stays.", "Escaped $x$ stays."),
        ("Code `$x_i$` stays.", "Code $x_i$ stays."),
        ("A product $a * b * c$ is no emphasis.", "A product a ∗ b ∗ c is no emphasis."),
        ("Over $x_1,\ny_1$ lines.", "Over x₁, y₁ lines."),
        ("**bold $z$ bold**", "bold z bold"),
    ],
)
def test_formulas_in_sentences(prose, readable):
    assert " ".join(shown(prose).split()) == readable


def test_what_a_formula_becomes_is_no_markdown():
    assert with_inline("$a_{[b]}$ and $\\# 1$").count("\\") >= 3


def test_code_is_untouched():
    code = "def f(x):  # $x_i$ and *stars*\n    return x * 2 * 3"
    assert code in shown(f"```python\n{code}\n```").replace("\n ", "\n").lstrip()


def test_a_formula_in_a_table_cell():
    assert "| ℝᵀ" not in shown("| a | b |\n|---|---|\n| $x_i$ | $\\mathbb{R}^T$ |\n")
    assert "ℝᵀ" in shown("| a | b |\n|---|---|\n| $x_i$ | $\\mathbb{R}^T$ |\n")


def test_control_characters_of_a_readme_do_not_reach_the_terminal():
    assert "\x1b" not in shown("evil \x1b]0;title\x07 text")


@pytest.mark.parametrize("width", [40, 60, 100, 200])
def test_every_lesson_fits_every_width(width, toy):
    for course in (load_course(toy), load_course()):
        for lesson in course.lessons:
            if lesson.readme.is_file():
                text = shown(lesson.readme.read_text(encoding="utf-8"), width)
                assert max(map(cell_len, text.splitlines())) <= min(width, 100)  # m̂ is two characters in one cell
                assert "$$" not in text
                assert "\\frac" not in text
