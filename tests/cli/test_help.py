"""Help, version, completion: each command explains itself with an example, on any width."""

import pytest

from coursecli.cli.app import app

COMMANDS = [info.name for info in app.registered_commands]
AUTHOR_COMMANDS = ["sync", "check", "new-lesson"]


def test_every_command_is_in_the_help(newcomer):
    text = newcomer("--help").text
    assert len(COMMANDS) == 20
    for name in [*COMMANDS, "export", "runs", "workers", "dev"]:
        assert f" {name} " in text


@pytest.mark.parametrize(
    "name",
    [
        *COMMANDS,
        "export",
        "export hf",
        "runs",
        "runs show",
        "runs compare",
        "dev",
        "workers stop",
        *(f"dev {name}" for name in AUTHOR_COMMANDS),
    ],
)
def test_every_command_has_an_example(newcomer, name):
    out = newcomer(*name.split(), "--help").out
    example = out.partition("Example:\n")[2].split("\n\n")[0]
    lines = [line.strip() for line in example.splitlines()]
    assert lines
    for line in lines:
        assert line.startswith(f"intro2llm {name}")


@pytest.mark.parametrize("columns", [40, 100])
def test_help_fits_the_screen(newcomer, columns):
    for arguments in (["--help"], ["check", "--help"], ["init", "-h"]):
        out = newcomer(*arguments, COLUMNS=str(columns)).out
        assert max(map(len, out.splitlines())) <= max(columns, 46)  # an example is not broken into lines


@pytest.mark.parametrize("name", ["", "check", "train", "eval", "runs", "dev check", "dev new-lesson"])
def test_narrow_help_breaks_no_word(newcomer, name):
    narrow, wide = (newcomer(*name.split(), "--help", COLUMNS=columns).out for columns in ("40", "100"))
    assert set(narrow.split()) <= set(wide.split())


def test_version(newcomer):
    assert newcomer("--version").out == "intro2llm 0.1.0\n"


def test_global_options_may_stand_anywhere(learner):
    assert learner("--plain", "status").out == learner("status", "--plain").out
    assert "misconception" in learner("list", "--instructor").text
    assert "misconception" in learner("--instructor", "list").text
    assert "misconception" in learner("list", INTRO2LLM_INSTRUCTOR="1").text
    assert "misconception" not in learner("list", INTRO2LLM_INSTRUCTOR="0").text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("intro2llm che", {"check"}),
        ("intro2llm start ", {"lesson01", "lesson02"}),
        ("intro2llm check lesson", {"lesson01", "lesson02"}),
        ("intro2llm hint c", {"cheapest", "combine"}),
        ("intro2llm reset basket-", {"basket-add", "basket-total"}),
        ("intro2llm dev check lesson02", {"lesson02"}),
    ],
)
def test_the_shell_completes_commands_lessons_and_tasks(learner, line, expected):
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_INTRO2LLM_COMPLETE": "complete_bash"}
    assert set(learner(**words).out.split()) == expected


def test_completion_is_quiet_when_the_course_is_broken(learner):
    words = {"COMP_WORDS": "intro2llm start ", "COMP_CWORD": "2", "_INTRO2LLM_COMPLETE": "complete_bash"}
    completed = learner(**words, INTRO2LLM_COURSE="/nowhere")
    assert completed.text == ""


def test_completion_can_be_installed(newcomer):
    """With the shell named: Typer would look for one among the processes above this one, where there may be none."""
    script = newcomer("--show-completion", "zsh", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert script.code == 0
    assert "_INTRO2LLM_COMPLETE" in script.out
