"""Checks that leave a process waiting, and the commands that show it and end it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid

import pytest

from coursecli.warm import background, place
from tests.checking import marked, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts processes in /proc")


@pytest.fixture
def warm(learner, monkeypatch):
    """The variables with which checks leave a process waiting; at the end none is left."""
    mark = f"mark-{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory(prefix="w-") as private:
        monkeypatch.setenv("XDG_RUNTIME_DIR", private)  # for this process, which looks for what is left
        yield {"INTRO2LLM_COLD": "", "XDG_RUNTIME_DIR": private, "WARM_MARK": mark}
        for record in place.everywhere():
            assert background.stop(record)
    assert wait_until(lambda: not marked(mark))


def wait_for_it(learner) -> place.Record:
    def ready() -> bool:
        found = place.current(learner.workspace)
        return found is not None and background.status(found) is not None

    assert wait_until(ready, 60.0)
    found = place.current(learner.workspace)
    assert found is not None
    return found


def test_a_check_leaves_a_process_waiting_and_the_next_one_uses_it(learner, warm):
    learner.write("discount", "return 1")
    assert "No process waits" in learner("workers", **warm).text
    first = learner("check", **warm)
    record = wait_for_it(learner)
    second = learner("check", **warm)
    assert (first.code, first.out) == (second.code, second.out)
    shown = learner("workers", COLUMNS="200", **warm)
    assert str(record.pid) in shown.text
    assert record.workspace in shown.text
    assert background.status(record).checks == 1
    assert f"process {record.pid}" in learner("doctor", COLUMNS="200", **warm).text
    assert learner("check", "--cold", **warm).out == first.out
    assert background.status(record).checks == 1
    ended = learner("workers", "stop", **warm)
    assert f"Ended process {record.pid}" in ended.text
    assert "No process waits" in learner("workers", "stop", "--all", **warm).text
    assert "No process waits" in learner("workers", **warm).text


def test_a_check_in_a_pipe_returns(learner, warm):
    """The process that it starts keeps none of its files open: who reads the other end sees the end."""
    command = f"'{learner.program}' check | cat"
    ended = subprocess.run(
        ["sh", "-c", command], cwd=learner.workspace, env=learner.environment | warm, capture_output=True, timeout=120
    )
    assert b"not written yet" in ended.stdout
    wait_for_it(learner)


@pytest.mark.parametrize("how", ["--cold", "variable"])
def test_who_wants_none_gets_none(learner, warm, how):
    if how == "variable":
        learner("check", **warm | {"INTRO2LLM_COLD": "1"})
        assert "INTRO2LLM_COLD is set" in learner("doctor", **warm | {"INTRO2LLM_COLD": "1"}).text
    else:
        learner("check", "--cold", **warm)
    assert place.current(learner.workspace) is None


def test_looking_starts_none(learner, warm):
    for command in ("status", "list", "doctor", "workers"):
        learner(command, **warm)
    assert place.last(learner.workspace) is None
    assert not marked(warm["WARM_MARK"])
    assert not os.path.exists(place.lock_file(learner.workspace))  # noqa: PTH110
