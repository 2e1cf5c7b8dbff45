"""`watch`, in a terminal: a verdict at each save, keys that work whatever runs, and a clean end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid

import pytest

from tests.checking import marked, wait_until
from tests.conftest import ESCAPE, PROGRAM

pytest.importorskip("termios", reason="terminals of POSIX systems")
from tests.terminal import Terminal

KEYS = "q quit"


@pytest.fixture
def mark():
    return f"mark-{uuid.uuid4().hex}"


@pytest.fixture
def watching(learner, mark):
    """`watch` in a terminal of its own; nothing of it is left at the end."""

    @contextlib.contextmanager
    def start(*arguments, columns=100, **variables):
        env = {**learner.environment, "WATCH_MARK": mark, **variables}
        with Terminal([PROGRAM, "watch", *arguments], learner.workspace, env, columns=columns) as terminal:
            yield terminal
        if sys.platform == "linux":
            assert wait_until(lambda: not marked(mark))

    return start


def attempts(learner) -> int:
    with sqlite3.connect(learner.workspace / ".intro2llm" / "progress.db") as database:
        return database.execute("SELECT count(*) FROM attempts").fetchone()[0]


def edit(learner, before: str, after: str) -> None:
    file = learner.file("prices.py")
    file.write_text(file.read_text().replace(before, after))


def test_a_save_is_checked_its_own_tasks_first_and_q_ends_it(learner, watching):
    with watching() as terminal:
        terminal.wait_for("A discount not written yet")
        terminal.wait_for(KEYS)
        learner.write("discount", "return 1")
        terminal.wait_for("saved prices.py")
        shown = terminal.wait_for("The whole lesson: 0 of 11 tests pass.")
        assert "A discount failed A discount of some per cent leaves the rest of the price." in shown
        assert "0 of 7 tests pass." in shown, "those of the tasks in prices.py"
        terminal.wait_for(KEYS)
        terminal.type("q")
        assert terminal.wait() == 0
        assert terminal.set_right
    assert attempts(learner) == 3


def test_the_screen_is_that_of_check(learner, watching):
    learner.write("discount", "return 1")
    with watching() as terminal:
        shown = terminal.wait_for(KEYS)
        checked = learner("check").text
        assert checked in shown


def test_a_pass_says_what_is_next_and_n_goes_there(learner, watching):
    with watching() as terminal:
        terminal.wait_for(KEYS)
        learner.solve("01")
        terminal.wait_for("Lesson 01 · Prices: passed")
        terminal.wait_for("Next intro2llm start lesson02")
        terminal.wait_for(KEYS)
        terminal.type("n")
        terminal.wait_for("lesson02 is checked")
        terminal.wait_for("not written yet")
        learner.solve("02")
        terminal.wait_for("Lesson 02 · Baskets: passed")
        terminal.type("q")
        assert terminal.wait() == 0


def test_the_keys(learner, watching, tmp_path):
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$0.called"\nsleep 0.2\n')
    editor.chmod(0o755)
    learner.write("discount", "return 1")
    with watching(EDITOR=str(editor)) as terminal:
        terminal.wait_for(KEYS)
        terminal.type("h")
        terminal.wait_for("Hint 1 of 3")
        terminal.type("h")
        terminal.wait_for("Hint 2 of 3")
        terminal.type("l")
        terminal.wait_for("Toyshop: 0 of 2 lessons done")
        terminal.type("a")
        terminal.wait_for("0 of 11 tests pass.")
        terminal.wait_for("waits until the basic suite passes")
        terminal.wait_for(KEYS)
        terminal.type("\x1b[A~?")  # an arrow, and keys that mean nothing
        terminal.type("o")
        assert wait_until(lambda: (tmp_path / "editor.sh.called").exists())
        assert wait_until(lambda: (tmp_path / "editor.sh.called").read_text().strip() == str(learner.file("prices.py")))
        terminal.type("r")
        terminal.wait_for("Put A discount, in prices.py, back as it was given?")
        terminal.type("n")
        terminal.wait_for("Nothing was changed.")
        assert "return 1" in learner.file("prices.py").read_text()
        terminal.type("ry")
        terminal.wait_for("A discount not written yet")
        terminal.type("q")
        assert terminal.wait() == 0
        assert terminal.set_right
    assert "return 1" not in learner.file("prices.py").read_text()


def test_a_question_goes_with_the_screen_it_was_on(learner, watching):
    with watching() as terminal:
        terminal.wait_for(KEYS)
        terminal.type("r")
        terminal.wait_for("any other key: no")
        learner.write("discount", "return 1")
        terminal.wait_for("The whole lesson: 0 of 11 tests pass.")
        terminal.wait_for(KEYS)
        terminal.type("q")
        assert terminal.wait() == 0


def test_without_an_editor_o_says_so(learner, watching):
    with watching(EDITOR="", VISUAL="", PATH=str(learner.folder)) as terminal:
        terminal.wait_for(KEYS)
        terminal.type("o")
        terminal.wait_for("There is no editor here. Name yours, for example: export EDITOR=nano")
        terminal.type("q")
        assert terminal.wait() == 0


def test_a_hung_run_swallows_no_key_and_a_save_ends_it(learner, watching, mark):
    learner.write("discount", "while True:\n    pass")
    with watching() as terminal:
        terminal.wait_for("A discount of some per cent")
        terminal.type("h")
        terminal.wait_for("Hint 1 of 3")
        edit(learner, "while True:\n        pass", "return 1")
        terminal.wait_for("A discount failed")
        terminal.wait_for(KEYS)
        edit(learner, "return 1", "while True:\n        pass")
        terminal.wait_for("A discount of some per cent")
        terminal.type("q")
        assert terminal.wait() == 0
        assert terminal.set_right
        assert not marked(mark)


def test_ctrl_c_ends_it_with_130_and_leaves_nothing(learner, watching, mark):
    learner.write("discount", "import time\ntime.sleep(600)")
    with watching() as terminal:
        terminal.wait_for("A discount of some per cent")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert "Stopped." in terminal.rest
        assert "Traceback" not in terminal.said
        assert terminal.set_right
        assert not marked(mark)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_leaves_the_terminal_right(learner, watching, number):
    with watching() as terminal:
        terminal.wait_for(KEYS)
        terminal.process.send_signal(number)
        assert terminal.wait() == 128 + number
        assert terminal.set_right


def test_a_workspace_that_is_deleted_is_one_line_and_exit_3(learner, watching):
    with watching() as terminal:
        terminal.wait_for(KEYS)
        shutil.rmtree(learner.workspace)
        assert terminal.wait() == 3
        assert "is gone. Go to where it is now." in terminal.rest
        assert "Traceback" not in terminal.said


def test_a_workspace_that_is_moved_too(learner, watching):
    with watching() as terminal:
        terminal.wait_for(KEYS)
        learner.workspace.rename(learner.folder / "elsewhere")
        assert terminal.wait() == 3
        assert "is gone." in terminal.rest


def save_by_rename(file, text):
    beside = file.with_name(f".{file.name}.tmp")
    beside.write_text(text)
    beside.replace(file)


def save_as_vim(file, text):
    file.with_name("4913").write_text("")
    file.with_name("4913").unlink()
    file.with_name(f".{file.name}.swp").write_bytes(b"b0VIM")
    file.rename(file.with_name(f"{file.name}~"))
    time.sleep(0.05)
    file.write_text(text)
    file.with_name(f"{file.name}~").unlink()


def save_as_emacs(file, text):
    lock = file.with_name(f".#{file.name}")
    lock.symlink_to("somebody@somewhere.1:1")
    file.with_name(f"#{file.name}#").write_text(text)
    shutil.copy(file, file.with_name(f"{file.name}~"))
    file.write_text(text)
    lock.unlink()
    file.with_name(f"#{file.name}#").unlink()


def save_in_two_pieces(file, text):
    with file.open("w") as stream:
        stream.write(text[:40])
        stream.flush()
        time.sleep(0.005)
        stream.write(text[40:])


WAYS = [
    (save_by_rename, []),
    (save_as_vim, []),
    (save_as_emacs, []),
    (save_in_two_pieces, []),
    (save_by_rename, ["--poll"]),
    (save_as_vim, ["--poll"]),
]


@pytest.mark.parametrize(("save", "how"), WAYS, ids=["rename", "vim", "emacs", "pieces", "rename-poll", "vim-poll"])
def test_however_an_editor_saves_it_is_one_rerun(learner, watching, save, how):
    with watching(*how) as terminal:
        terminal.wait_for(KEYS)
        file = learner.file("prices.py")
        save(file, file.read_text().replace('raise NotImplementedError("lesson01 · discount")', "return 1"))
        terminal.wait_for("saved prices.py")
        shown = terminal.wait_for("The whole lesson:")
        assert "A discount failed" in shown
        time.sleep(0.5)  # for a rerun that must not come
        terminal.type("q")
        assert terminal.wait() == 0
        assert "saved" not in terminal.rest
        assert "missing" not in terminal.said
    assert attempts(learner) == 3, "one at the start, two for the save: its own tasks, then the lesson"


def test_many_saves_in_a_moment_end_with_the_verdict_on_the_last(learner, watching):
    learner.write("discount", "return 0")
    with watching() as terminal:
        terminal.wait_for(KEYS)
        for number in range(1, 31):
            edit(learner, f"return {number - 1}\n", f"return {number}\n")
            time.sleep(0.02)
        terminal.wait_for("Expected 60.0, but it is 30.")
        terminal.wait_for("The whole lesson")
        terminal.type("q")
        assert terminal.wait() == 0
        assert "but it is" not in terminal.rest


def test_an_edit_that_breaks_an_earlier_lesson_is_told(learner, watching):
    learner.solve("01")
    assert learner("check").code == 0
    assert learner("start", "02").code == 0
    learner.solve("02")
    with watching("02") as terminal:
        terminal.wait_for(": passed")
        terminal.wait_for(KEYS)
        file = learner.file("prices.py")
        good = file.read_text()
        file.write_text(good + "\n_average = average\n\n\ndef average(prices):\n    return _average(prices) + 1\n")
        terminal.wait_for("lesson01 passed before and fails now: prices.py changed since;")
        terminal.type("q")
        assert terminal.wait() == 0


def widest(terminal):
    """The longest line since the screen was cleared."""
    lines = ESCAPE.sub("", terminal.said.rpartition("\x1b[2J")[2]).split("\n")
    return max(len(part) for line in lines for part in line.split("\r"))


def test_a_resize_draws_the_screen_again(learner, watching):
    learner.write("discount", "return 1")
    with watching() as terminal:
        terminal.wait_for(KEYS)
        terminal.type("h")
        terminal.wait_for("Hint 1 of 3")
        terminal.wait_for(KEYS)
        terminal.resize(44, 20)
        shown = terminal.wait_for("Hint 1 of 3")
        assert "Expected 60.0, but it is 1." in shown
        terminal.wait_for(KEYS.partition(" ")[2])
        assert widest(terminal) <= 44
        terminal.resize(120, 40)
        terminal.wait_for("Expected 60.0, but it is 1.")
        terminal.wait_for("Hint 1 of 3")
        terminal.wait_for(KEYS)
        assert widest(terminal) > 44
        terminal.type("q")
        assert terminal.wait() == 0
        assert terminal.set_right
    assert attempts(learner) == 1, "nothing was checked for it"


def test_a_terminal_that_was_too_narrow_may_become_wide(learner, watching):
    learner.write("discount", "return 1")
    with watching(columns=30) as terminal:
        terminal.wait_for(KEYS)
        terminal.resize(120, 40)
        terminal.wait_for(KEYS)
        assert widest(terminal) > 44
        terminal.type("q")
        assert terminal.wait() == 0


def test_a_resize_while_a_check_runs(learner, watching):
    learner.write("discount", "return 1")
    with watching() as terminal:
        terminal.wait_for(KEYS)
        edit(learner, "return 1\n", "while not __import__('os').path.exists('go'):\n        pass\n    return 2\n")
        terminal.wait_for("1/7")
        terminal.resize(44, 20)
        terminal.wait_for("Expected 60.0, but it is 1.")  # the verdict that was there
        terminal.wait_for("1/7")
        assert widest(terminal) <= 44
        (learner.workspace / "go").touch()
        terminal.wait_for("Expected 60.0, but it is 2.")
        terminal.wait_for("The whole lesson")
        terminal.type("q")
        assert terminal.wait() == 0
        assert widest(terminal) <= 44


def test_without_a_terminal_it_prints_verdicts_plainly(learner, mark):
    env = {**learner.environment, "WATCH_MARK": mark}
    command = [PROGRAM, "watch"]
    with subprocess.Popen(
        command, cwd=learner.workspace, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def read_upto(words):
            text = ""
            while words not in text:
                line = process.stdout.readline()
                assert line, text
                text += line
            return text

        first = read_upto("A hint:")
        assert "not written yet" in first
        learner.write("discount", "return 1")
        second = read_upto("The whole lesson: 0 of 11 tests pass.")
        assert "saved prices.py" in second
        assert "Expected 60.0, but it is 1." in second
        assert "\x1b" not in first + second
        assert "q quit" not in first + second
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    if sys.platform == "linux":
        assert wait_until(lambda: not marked(mark))


def test_what_cannot_be_watched_is_said(learner, newcomer):
    assert learner("watch", "lesson99").code == 2
    assert learner("watch", "02").code == 4


def test_nothing_of_posix_alone_is_needed_to_start():
    """As on Windows: the commands can be listed without termios, fcntl, pwd or resource."""
    code = (
        "import sys\nfor name in ('termios', 'tty', 'fcntl', 'pty', 'resource', 'grp', 'pwd'):\n"
        "    sys.modules[name] = None\n"
        "import coursecli.cli.app, coursecli.cli.watching, coursecli.warm.background, coursecli.cli.workers\n"
        "import coursecli.warm.place, coursecli.watch.checker"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert ended.returncode == 0, ended.stderr
