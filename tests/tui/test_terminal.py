"""The real program in a real terminal: what does not open it, the editor, several at once, and nothing left running."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coursecli.progress.store import Store
from tests.checking import marked, wait_until
from tests.conftest import ESCAPE, Learner, Ran
from tests.tui.conftest import FAILING

fcntl = pytest.importorskip("fcntl", reason="terminals of POSIX systems")


def plain(said: str) -> str:
    return ESCAPE.sub("", said)


def presses(*steps: tuple[str, str]) -> Callable[[int, str], None]:
    """Each time the text has been written since the last key, press the next."""
    waiting, done = list(steps), [0]

    def act(terminal: int, said: str) -> None:
        if waiting and waiting[0][0] in plain(said[done[0] :]):
            _, keys = waiting.pop(0)
            done[0] = len(said)
            os.write(terminal, keys.encode())

    return act


def test_what_does_not_open_it(learner: Learner, newcomer: Learner) -> None:
    for ran in (learner.terminal("--plain"), learner.terminal(columns=40), learner(), learner.terminal("status")):
        assert "\x1b[?1049h" not in ran.out
        assert "Next: intro2llm check" in ran.text
    refused = learner("dashboard")
    assert refused.code == 2 and "needs a terminal" in refused.text and "intro2llm status" in refused.text
    shutil.rmtree(newcomer.workspace)
    assert "intro2llm init my-llm" in newcomer.terminal().text


def test_the_editor_opens_at_the_failing_line_and_the_dashboard_comes_back(learner: Learner) -> None:
    learner.write("discount", "rest = 1 - percent / 100\nreturn prise * rest")
    note = learner.folder / "opened"
    editor = learner.folder / "vi"
    editor.write_text(f'#!/bin/sh\necho "$@" > "{note}"\necho EDITING\n', encoding="utf-8")
    editor.chmod(0o755)
    steps = presses(("A discount", "c"), ("NameError", "e"), ("EDITING", ""), ("A discount", "q"))
    ran = learner.terminal(act=steps, EDITOR=str(editor))
    assert ran.code == 0
    assert note.read_text(encoding="utf-8").strip() == f"+17 {learner.file('prices.py')}"


@pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc")
def test_three_at_once_lose_nothing_and_leave_nothing(learner: Learner) -> None:
    mark = f"three-{os.getpid()}"
    ended: list[Ran] = []

    def one() -> None:
        steps = presses(("A discount", "c"), ("returns what is taken off", "q"))
        ended.append(learner.terminal(act=steps, MARK=mark))

    learner.write("discount", FAILING)
    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [ran.code for ran in ended] == [0, 0, 0]
    with Store.open(learner.workspace / ".intro2llm" / "progress.db", read_only=True) as store:
        assert len(store.attempts()) >= 3
    assert wait_until(lambda: not marked(f"MARK={mark}"))


@pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc")
def test_one_that_is_killed_during_a_check_leaves_nothing(learner: Learner) -> None:
    mark = f"killed-{os.getpid()}"
    learner.write("discount", "while True:\n    pass")

    def act(terminal: int, said: str) -> None:
        begin(terminal, said)
        if "1/11" in plain(said):
            for pid in programs(mark):
                os.kill(pid, signal.SIGKILL)

    begin = presses(("A discount", "c"))
    assert learner.terminal(act=act, MARK=mark).code == -signal.SIGKILL
    assert wait_until(lambda: not marked(f"MARK={mark}") and not list(working_in(learner.workspace)))


@pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc")
def test_sigterm_leaves_the_terminal_as_it_was(learner: Learner) -> None:
    mark, sent = f"term-{os.getpid()}", []

    def act(terminal: int, said: str) -> None:
        if "A discount" in plain(said) and not sent:
            sent.extend(programs(mark))
            for pid in sent:
                os.kill(pid, signal.SIGTERM)

    ran = learner.terminal(act=act, MARK=mark)
    assert ran.code == 143
    assert "\x1b[?1049l" in ran.out, "the alternate screen is left again"


def programs(mark: str) -> Iterator[int]:
    """The dashboards themselves, without what they have started."""
    for pid in marked(f"MARK={mark}"):
        if b"bin/intro2llm" in Path(f"/proc/{pid}/cmdline").read_bytes():
            yield pid


def working_in(folder: Path) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                yield int(entry.name)
        except OSError:
            continue


def test_the_workspace_may_go_away_and_come_back(learner: Learner) -> None:
    aside = learner.folder / "aside"

    def act(terminal: int, said: str) -> None:
        said = plain(said)
        if "A discount" in said and not aside.exists() and "workspace is gone" not in said:
            learner.workspace.rename(aside)
        elif "workspace is gone" in said and aside.exists():
            time.sleep(0.5)
            aside.rename(learner.workspace)
        elif "is there again" in said:
            os.write(terminal, b"q")

    ran = learner.terminal(act=act)
    assert ran.code == 0
    assert "Prices" in learner("list").text


def test_a_resize_during_a_check_loses_nothing(learner: Learner) -> None:
    import struct
    import termios

    learner.write("discount", FAILING)
    sizes = [(24, 80), (12, 40), (50, 200)]

    def act(terminal: int, said: str) -> None:
        begin(terminal, said)
        if sizes and "Checking" in plain(said):
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *sizes.pop(0), 0, 0))

    begin = presses(("A discount", "c"), ("returns what is taken off", "q"))
    assert learner.terminal(act=act).code == 0
