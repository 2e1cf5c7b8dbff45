"""Bad input: one line that says what and where, one with the remedy, a documented exit code, never a traceback."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from coursecli import __main__ as entry
from coursecli.cli import quick


def assert_refused(ran, code: int, *words: str) -> None:
    assert ran.code == code
    assert ran.out == ""
    lines = ran.err.splitlines()
    assert 1 <= len(lines) <= 2
    assert "Traceback" not in ran.err
    for word in words:
        assert word in ran.err


def test_unknown_names(learner):
    assert_refused(learner("start", "lesson99"), 2, "lesson99")
    assert_refused(learner("check", "discuont"), 2, "discuont", "Did you mean discount?")
    assert_refused(learner("chek"), 2, "chek", "check")
    assert_refused(learner("check", "--nothing"), 2, "--nothing", "intro2llm check --help")
    assert_refused(learner("reset"), 2, "TASK|FILE")
    assert_refused(learner("reset", "nothing.py", "--yes"), 2, "nothing.py", "Files: prices.py, baskets.py")


def test_no_workspace(newcomer):
    for command in ("status", "list", "next", "start", "check", "hint"):
        assert_refused(newcomer(command), 3, "workspace", "intro2llm init my-llm")
    assert_refused(newcomer("status", "--workspace", "/nowhere"), 3, "/nowhere")


def test_a_workspace_that_is_gone(learner):
    assert learner("start").code == 0
    shutil.rmtree(learner.workspace)
    assert_refused(learner("status"), 3, str(learner.workspace), "intro2llm init")
    assert_refused(learner(), 3, str(learner.workspace))


def test_a_folder_that_cannot_be_made(newcomer):
    assert_refused(newcomer("init", "/proc/my-llm"), 3, "/proc/my-llm")
    (newcomer.folder / "file").write_text("")
    assert_refused(newcomer("init", str(newcomer.folder / "file")), 3, "file")


def test_the_next_command_after_init_can_be_typed_as_it_stands(newcomer):
    for name in ("plain", "my shop’s – ü (new)"):
        ran = newcomer("init", name)
        assert ran.code == 0
        line = ran.out.splitlines()[-1].removeprefix("Next: ").replace("  and  intro2llm start", " && pwd")
        typed = subprocess.run(["sh", "-c", line], cwd=newcomer.folder, capture_output=True, text=True)
        assert typed.stdout.strip() == str(newcomer.folder / name)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a folder in use cannot be deleted")
def test_a_current_folder_that_was_deleted(newcomer):
    script = 'mkdir gone && cd gone && rmdir ../gone && "$0" init'
    ran = subprocess.run(
        ["sh", "-c", script, newcomer.program],
        cwd=newcomer.folder,
        env=newcomer.environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 3
    assert ran.stderr.splitlines() == ["The folder that you are in has been deleted.", "Type: cd"]


def test_a_hint_that_cannot_be_recorded_is_shown_all_the_same(learner):
    database = learner.workspace / ".intro2llm" / "progress.db"
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        ran = learner("hint", "discount")
    finally:
        holder.close()
    assert ran.code == 6
    assert "What part of the price is left" in ran.out
    assert len(ran.err.splitlines()) <= 2


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_workspace_that_cannot_be_written(learner):
    learner.workspace.chmod(0o555)
    (learner.workspace / ".intro2llm").chmod(0o555)
    try:
        assert learner("status").code == 0
        assert learner("start").code == 3
        checked = learner("check")
        assert checked.code == 6
        assert "Write discount next" in checked.text, "the result is worth showing all the same"
    finally:
        learner.workspace.chmod(0o755)
        (learner.workspace / ".intro2llm").chmod(0o755)


def test_a_course_that_is_broken_or_none(learner, tmp_path, toy):
    broken = tmp_path / "broken"
    shutil.copytree(toy, broken)
    manifest = broken / "stage01_shop" / "lesson01_prices" / "lesson.yaml"
    manifest.write_text(manifest.read_text().replace("title: Prices", "title: [Prices", 1))
    assert_refused(learner("list", "--course", str(broken)), 5, "lesson.yaml")
    assert_refused(learner("list", "--course", str(tmp_path)), 2, "course.yaml")


def test_a_workspace_of_another_course(learner, tmp_path, toy):
    other = tmp_path / "other"
    shutil.copytree(toy, other)
    (other / "course.yaml").write_text((other / "course.yaml").read_text().replace("id: toyshop", "id: other", 1))
    assert_refused(learner("status", "--course", str(other)), 3, "toyshop", "other", "--course")


def test_debug_shows_the_traceback(learner):
    ran = learner("check", "lesson99", "--debug")
    assert ran.code == 1
    assert "Traceback" in ran.err


def test_a_reader_that_goes_away_is_no_error(learner):
    for arguments in (["list"], ["--help"]):
        process = subprocess.Popen(
            [learner.program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=learner.environment,
            cwd=learner.workspace,
        )
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait()


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_closed_streams_are_no_error(learner, closed):
    shell = ["sh", "-c", f'"$0" next {closed}', learner.program]
    ran = subprocess.run(shell, env=learner.environment, cwd=learner.workspace, capture_output=True, text=True)
    assert ran.returncode == 0
    assert ran.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_is_one_line(learner):
    full = ["sh", "-c", '"$0" list > /dev/full', learner.program]
    ran = subprocess.run(full, env=learner.environment, cwd=learner.workspace, capture_output=True, text=True)
    assert ran.returncode == 3
    assert ran.stderr.splitlines()[0] == "No space left on device."


def test_an_unexpected_exception_is_one_line_with_the_name_of_a_log(learner, monkeypatch, capfd):
    def fault(arguments):
        return lambda: {}["the fault"]

    monkeypatch.chdir(learner.workspace)
    monkeypatch.setattr(quick, "quick_action", fault)
    assert entry.run(["status"]) == 70
    error = capfd.readouterr().err
    assert "KeyError: 'the fault'" in error.splitlines()[0]
    (log,) = (learner.workspace / ".intro2llm" / "logs").iterdir()
    assert str(log) in error.replace("\n", "")
    assert "Traceback" in log.read_text()
    with pytest.raises(KeyError):
        entry.run(["status", "--debug"])


def test_a_fault_of_the_system_names_the_file(monkeypatch, capfd):
    def full(arguments):
        def action():
            raise OSError(28, "No space left on device", "progress.db")

        return action

    monkeypatch.setattr(quick, "quick_action", full)
    assert entry.run(["status"]) == 3
    assert "progress.db: No space left on device" in capfd.readouterr().err


INTERRUPTED_IMPORT = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder())
sys.argv = ["intro2llm", "--help"]
from coursecli.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["coursecli.cli.context", "coursecli.cli.quick", "coursecli.cli.app", "typer"])
def test_ctrl_c_while_the_program_starts_is_one_line(module):
    code = INTERRUPTED_IMPORT.format(module=module)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "Stopped.\n")


def test_ctrl_c_that_typer_catches_is_one_line(monkeypatch, capfd):
    from coursecli.cli import app

    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(app.Commands, "parse_args", interrupted)
    assert entry.run(["hint"]) == 130
    assert capfd.readouterr().err == "Stopped.\n"
