"""The commands that look are dispatched without Typer: the same output, and none of the costly imports."""

import subprocess
import sys

import pytest

from coursecli.cli.context import Options
from coursecli.cli.quick import globals_first, quick_action, read_options


def test_global_options_are_found_wherever_they_stand():
    typed = ["check", "--plain", "x", "--course", "a b", "--workspace=w", "--json", "--", "--plain"]
    first, rest = globals_first(typed)
    assert first == ["--plain", "--course", "a b", "--workspace=w"]
    assert rest == ["check", "x", "--json", "--", "--plain"]
    assert read_options(first) == Options(course="a b", workspace="w", plain=True)


def test_only_the_plain_forms_are_quick(monkeypatch):
    looking = ([], ["status"], ["--plain", "list"], ["list", "--course=x"])
    checking = (["check"], ["check", "02"], ["check", "--all", "rmsnorm", "--plain", "--cold", "--json"])
    for quick in (*looking, *checking):
        assert quick_action(quick) is not None
    for slow in (
        ["status", "--help"],
        ["check", "--help"],
        ["check", "1", "2"],
        ["next"],
        ["list", "extra"],
        ["--course"],
        ["--version"],
    ):
        assert quick_action(slow) is None
    monkeypatch.setenv("_INTRO2LLM_COMPLETE", "complete_bash")
    assert quick_action(["status"]) is None


@pytest.mark.parametrize("command", ["", "status", "list", "check", "check lesson01 --all", "check 99"])
def test_typer_leads_to_the_same_output(learner, command):
    arguments = command.split()
    through_typer = (
        "import sys; from coursecli import __main__ as entry; from coursecli.cli import quick; "
        "quick.quick_action = lambda arguments: None; "
        "sys.exit(entry.run(sys.argv[1:]))"
    )
    slow = subprocess.run(
        [sys.executable, "-c", through_typer, *arguments],
        env=learner.environment,
        cwd=learner.workspace,
        capture_output=True,
        text=True,
    )
    quick = learner(*arguments)
    assert (slow.returncode, slow.stdout, slow.stderr) == (quick.code, quick.out, quick.err)
    assert quick.text


@pytest.mark.parametrize(
    ("command", "never"),
    [
        ("--help", {"torch", "textual", "pytest", "numpy", "yaml", "sqlite3", "msgspec", "rich"}),
        ("status", {"torch", "textual", "pytest", "numpy", "typer", "toyshop"}),
        ("list", {"torch", "textual", "pytest", "numpy", "typer", "toyshop"}),
    ],
)
def test_costly_modules_are_not_imported(learner, command, never):
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", learner.program, command],
        env=learner.environment,
        cwd=learner.workspace,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0
    lines = [line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.partition(".")[0] for line in lines}
    assert "coursecli" in imported
    assert not imported & never
