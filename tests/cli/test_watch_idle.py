"""`watch` with nothing to do: it looks at passes that an edit elsewhere has made doubtful, and says only what fails."""

from __future__ import annotations

import sqlite3

import pytest

from tests.checking import wait_until
from tests.conftest import PROGRAM, Learner

pytest.importorskip("termios", reason="terminals of POSIX systems")
from tests.terminal import Terminal

REGRESSED = "lesson01 passed before and fails now: prices.py changed since;"


@pytest.mark.parametrize("division", ["/", "//"], ids=["still right", "broken"])
def test_a_pass_in_doubt_is_looked_at_and_only_a_failure_is_told(learner: Learner, division: str) -> None:
    learner.solve("01")
    assert learner("check").code == 0
    assert learner("start", "02").code == 0
    assert learner("check", "02").code == 1
    prices = learner.file("prices.py")
    assert "/ len(prices)" in prices.read_text()
    prices.write_text(prices.read_text().replace("/ len(prices)", f"{division} len(prices)") + "# an edit\n")
    env = {name: value for name, value in learner.environment.items() if name != "COLUMNS"}
    with Terminal([PROGRAM, "watch"], learner.workspace, env) as terminal:
        terminal.wait_for("not written yet")
        terminal.wait_for("q quit")
        if division == "//":
            terminal.wait_for(REGRESSED)
        else:
            assert wait_until(lambda: verdicts(learner)[-1] == ("lesson01", 1))
        terminal.type("q")
        assert terminal.wait() == 0
        assert ("lesson01" in terminal.said) == (division == "//")
    assert verdicts(learner) == [("lesson01", 1), ("lesson02", 0), ("lesson02", 0), ("lesson01", int(division == "/"))]


def verdicts(learner: Learner) -> list[tuple[str, int]]:
    with sqlite3.connect(learner.workspace / ".intro2llm" / "progress.db") as database:
        found = database.execute("SELECT substr(lesson, 1, 8), passed FROM attempts ORDER BY seq")
        return list(found)
