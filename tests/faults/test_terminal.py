"""Faults of the terminal: hostile output, 40 columns, no colour, no terminal, a resize while a check runs."""

import os
import re
import struct

import pytest

fcntl = pytest.importorskip("fcntl", reason="terminals of POSIX systems")
termios = pytest.importorskip("termios")

HOSTILE = r"""print('\x1b[2J\x1b[31mgone\x1b[0m \x1b]0;title\x07 [/b] [link=https://x.org]here[/link] [red]')
print('\u202e \r over \x1b]8;;file:///etc/passwd\x1b\\click', end='')
raise ValueError('\x1b[1mloud [/b]\x07')"""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def test_escape_sequences_and_markup_of_the_learner_are_shown_literally(learner):
    learner.write("discount", HOSTILE)
    for shown in (learner("check", "--all"), learner.terminal("check", columns=200)):
        assert r"\x1b[2J\x1b[31mgone\x1b[0m \x1b]0;title\x07 [/b] [link=https://x.org]here[/link] [red]" in shown.text
        assert r"\u202e" in shown.text
        assert r"ValueError: \x1b[1mloud [/b]\x07" in shown.text
        for sequence in ("\x1b[2J\x1b[31m", "\x1b]0;title", "\x1b]8;;file", "\u202e", "\x1b[1mloud"):
            assert sequence not in shown.out


def test_the_hostile_program_would_steer_a_terminal(learner):
    """The fault is real: the same lines, run by Python itself, do write the escape sequences."""
    import subprocess
    import sys

    ended = subprocess.run([sys.executable, "-c", HOSTILE.split("\n")[0]], capture_output=True, encoding="utf-8")
    assert "\x1b[2J\x1b[31mgone" in ended.stdout


@pytest.mark.parametrize("columns", [40, 100])
def test_every_screen_fits(learner, columns):
    learner.write(
        "discount", "print('word ' * 60)\nreturn price * percent / 100 if price else percent  # " + "long " * 30
    )
    for arguments in (["check", "--all"], ["status"], ["hint", "--instructor"], ["list", "--instructor"]):
        shown = learner(*arguments, COLUMNS=str(columns))
        wide = [line for line in shown.out.splitlines() if len(line) > columns]
        assert not wide, arguments


def test_no_colour_and_no_terminal_mean_no_escape_sequence(learner):
    learner.write("discount", "return 1")
    for arguments in (
        ["check"],
        ["list"],
        ["status"],
        [],
        ["read"],
        ["hint"],
        ["doctor"],
        ["--help"],
        ["check", "lesson99"],
    ):
        piped = learner(*arguments)
        assert "\x1b" not in piped.out + piped.err
    for arguments in (["check", "--plain"], ["list", "--plain"]):
        assert "\x1b" not in learner.terminal(*arguments).out
    assert "\x1b" not in learner.terminal("check", NO_COLOR="1").out
    assert COLOUR.search(learner.terminal("check").out), "with a terminal there is colour"


def test_plain_text_has_the_same_words_as_colour(learner):
    assert learner.terminal("list").text == learner.terminal("list", "--plain").text


def test_a_terminal_that_cannot_show_every_sign_gets_the_words(learner):
    shown = learner("list", PYTHONUTF8="0", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert shown.code == 0
    assert "A discount (discount)" in shown.text
    assert "to write" in shown.text


def test_a_resize_while_a_check_runs(learner):
    learner.write("discount", "import time\ntime.sleep(1.5)\nreturn 1")
    resized = []

    def shrink(terminal: int, said: str) -> None:
        if "some per cent" in said and not resized:
            resized.append(True)
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 44, 0, 0))

    shown = learner.terminal("check", act=shrink)
    assert resized
    assert shown.code == 1
    assert "Traceback" not in shown.text
    result = shown.out.rpartition("\x1b[?25h")[2]
    lines = [COLOUR.sub("", line) for line in result.splitlines()]
    assert "A discount" in result
    assert max(map(len, lines)) <= 44


def test_what_is_typed_during_a_check_does_not_reach_the_code(learner):
    learner.write("discount", "print('about to ask', flush=True)\nreturn float(input())")
    shown = learner.terminal("check", act=lambda terminal, said: os.write(terminal, b"60\n"))
    assert shown.code == 1
    assert "EOFError" in shown.text
