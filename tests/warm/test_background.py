"""The background process of a workspace: one at most, replaced when it is dead, stuck, strange or out of date."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coursecli.errors import EnvironmentProblem
from coursecli.warm import background, place
from coursecli.warm.background import Background
from tests.checking import Shop, marked, only, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts processes in /proc")


def test_without_one_a_check_is_cold_and_the_next_is_not(yard):
    waiting, root = yard.background(), yard.shop.package()
    assert yard.check(waiting, root).passed
    assert waiting.found == "none"
    assert place.current(yard.workspace) is None, "a check that finds none does not start one beside itself"
    waiting.ensure()
    assert waiting.hold(60.0)
    assert yard.check(waiting, root).passed
    assert yard.asked() == 1


def test_there_is_never_more_than_one(yard):
    clients = [yard.background() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(lambda client: client.hold(60.0), clients))
    assert wait_until(lambda: marked(yard.mark) == [yard.record.pid])


def test_several_clients_at_once(yard):
    yard.ready()
    packages = [yard.shop.package(average=f"return {number}.5") for number in (3, 4, 5)]
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda root: yard.check(yard.background(), root, tasks={"average"}), packages))
    right = [only(result, "test_average_of_three_prices").outcome == "passed" for result in results]
    assert right == [False, True, False]
    assert yard.asked() == 3


def test_it_goes_when_nobody_has_asked_for_a_while(yard):
    yard.ready(idle_seconds=0.5)
    assert wait_until(lambda: place.current(yard.workspace) is None)
    assert wait_until(lambda: not marked(yard.mark))
    assert list(place.private_folder().iterdir()) == []


def test_it_goes_with_its_workspace(yard):
    yard.ready()
    record = yard.record
    shutil.rmtree(yard.workspace)
    background.status(record)  # it looks now and then, and when somebody asks
    assert wait_until(lambda: not marked(yard.mark))
    assert list(place.private_folder().glob("*.socket")) == []


def test_whoever_watches_keeps_it_and_a_dead_watcher_does_not(yard):
    waiting = yard.background(idle_seconds=0.3)
    assert waiting.hold(60.0)
    time.sleep(1.0)
    assert waiting.hold(0.0), "it is still the same"
    assert yard.asked() == 0
    waiting.release()
    assert wait_until(lambda: place.current(yard.workspace) is None)


@pytest.mark.parametrize("moment", ["while it is asked", "while it is looked at"])
def test_a_release_in_the_middle_of_a_hold_is_not_lost(yard, monkeypatch, moment):
    """Else a watcher that has ended keeps the process for as long as its own program lives."""
    keeper, waiting = yard.background(idle_seconds=0.3), yard.background()
    assert keeper.hold(60.0)
    owner, name = waiting, "_ask"
    if moment == "while it is looked at":
        assert waiting.hold(60.0)
        owner, name = background, "_closed"
    inner, other = getattr(owner, name), threading.Thread(target=waiting.release)

    def meanwhile(*arguments):
        other.start()
        other.join(0.5)  # it may have to wait for the hold; it must not be ignored
        return inner(*arguments)

    monkeypatch.setattr(owner, name, meanwhile)
    assert waiting.hold(60.0)
    other.join()
    keeper.release()
    assert wait_until(lambda: place.current(yard.workspace) is None)


def test_a_killed_one_is_done_without_and_replaced(yard):
    waiting, root = yard.ready(), yard.shop.package()
    first = yard.record.pid
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: place.current(yard.workspace) is None)
    assert yard.check(waiting, root).passed
    waiting.ensure()
    assert waiting.hold(60.0)
    assert yard.record.pid != first
    assert yard.check(waiting, root).passed
    assert yard.asked() == 1


def test_a_wedged_one_is_done_without_and_replaced(yard):
    waiting, root = yard.ready(), yard.shop.package()
    first = yard.record.pid
    os.kill(first, signal.SIGSTOP)
    assert yard.check(waiting, root).passed
    assert waiting.found == "wedged"
    waiting.ensure()
    assert waiting.hold(60.0)
    assert yard.record.pid != first
    assert wait_until(lambda: marked(yard.mark) == [yard.record.pid])


def test_one_that_dies_after_it_has_promised_costs_only_time(yard, monkeypatch):
    """It has the descriptors, and goes with them: no word ever comes, and no code of the learner's has run."""
    waiting, root = yard.ready(), yard.shop.package(average="return 0.0")
    ask = waiting._ask

    def ask_and_kill(what):
        talk = ask(what)
        os.kill(yard.record.pid, signal.SIGSTOP)  # it can be sent something, and does not answer
        threading.Timer(0.3, os.kill, (place.last(yard.workspace).pid, signal.SIGKILL)).start()
        return talk

    monkeypatch.setattr(waiting, "_ask", ask_and_kill)
    result = yard.check(waiting, root)
    assert result.problem is None
    assert any(test.outcome == "failed" for test in result.tests)


def test_a_stranger_at_its_place_is_not_believed(yard):
    """Somebody answers on the socket, but not in its language."""
    waiting, root = yard.ready(), yard.shop.package()
    record = yard.record
    os.kill(record.pid, signal.SIGSTOP)  # it keeps the lock
    Path(record.socket).unlink()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(record.socket)
        stranger.listen()

        def answer():
            talk, _ = stranger.accept()
            talk.recv(100)
            talk.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            talk.close()

        thread = threading.Thread(target=answer)
        thread.start()
        assert yard.check(waiting, root).passed
        thread.join()
    assert waiting.found == "wedged"
    waiting.ensure()
    assert waiting.hold(60.0)


def test_noise_on_its_socket_does_not_disturb_it(yard):
    waiting = yard.ready()
    for noise in (b"\n", b"{}\n", b'{"do": "dance"}\n', b"x" * 20000, b""):
        with background.connect(yard.record) as talk:
            talk.sendall(noise)
    assert yard.check(waiting, yard.shop.package()).passed
    assert yard.asked() == 1


def test_one_from_another_environment_goes_and_is_replaced(yard, monkeypatch):
    waiting = yard.ready()
    first = yard.record.pid
    monkeypatch.setenv("MKL_VERBOSE", "1")
    assert yard.check(waiting, yard.shop.package()).passed
    assert waiting.found == "stale"
    waiting.ensure()
    assert waiting.hold(60.0)
    assert yard.record.pid != first


def test_one_for_another_preload_goes(yard, tmp_path):
    yard.ready()
    other = Shop(tmp_path / "other", preload=("json",))
    (tmp_path / "other").mkdir(exist_ok=True)
    newer = Background(other.course, yard.workspace)
    yard.made.append(newer)
    assert newer.hold(60.0)
    assert wait_until(lambda: marked(yard.mark) == [yard.record.pid])


def test_an_outdated_program_does_without_and_leaves_it_to_the_others(yard):
    """A watcher that has been running since before an upgrade must not end what the new commands use."""
    waiting = yard.ready()
    first = yard.record.pid
    old = yard.background()
    old._code = "what it was loaded from is gone"
    assert yard.check(old, yard.shop.package()).passed
    assert old.found == "other"
    old.ensure()
    assert yard.check(waiting, yard.shop.package()).passed
    assert yard.record.pid == first
    assert yard.asked() == 1


def test_an_upgrade_makes_a_new_one(yard, tmp_path, monkeypatch):
    """Something is installed: the process from before goes at the next request."""
    site = tmp_path / "site"
    (site / "something-1.0.dist-info").mkdir(parents=True)
    start = subprocess.Popen

    def with_site(command, **options):
        command = [part.replace("import sys;", f"import sys; sys.path.append({str(site)!r});") for part in command]
        return start(command, **options)

    monkeypatch.setattr(background.subprocess, "Popen", with_site)
    monkeypatch.syspath_prepend(str(site))
    waiting = yard.ready()
    first = yard.record.pid
    (site / "something-1.0.dist-info").rename(site / "something-2.0.dist-info")
    yard.check(waiting, yard.shop.package())
    assert waiting.found == "stale"
    waiting.ensure()
    assert waiting.hold(60.0)
    assert yard.record.pid != first


def test_what_gives_up_is_not_started_again_and_again(tmp_path, yard):
    broken = Shop(tmp_path / "broken", preload=("not_installed_anywhere",))
    waiting = Background(broken.course, yard.workspace, kind="forks")
    assert not waiting.hold(60.0)
    assert "not_installed_anywhere" in place.last(yard.workspace).failed
    waiting.ensure()
    assert place.current(yard.workspace) is None
    assert wait_until(lambda: not marked(yard.mark))


def test_long_paths_are_no_hindrance(tmp_path, yard):
    deep = tmp_path.joinpath(*["a folder with a long name ü"] * 9)
    (deep / ".intro2llm").mkdir(parents=True)
    yard.workspace = deep
    assert len(os.fsencode(deep)) > 250
    waiting = yard.ready()
    assert yard.check(waiting, yard.shop.package()).passed
    assert yard.asked() == 1


def test_the_socket_is_the_users_alone(yard):
    yard.ready()
    path = Path(yard.record.socket)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_enter_is_not_used(yard, private):
    (private / "intro2llm").mkdir(mode=0o755)
    assert place.private_folder() != private / "intro2llm"
    assert place.private_folder().stat().st_mode & 0o077 == 0
    yard.ready()
    folder = Path(yard.record.socket).parent
    folder.chmod(0o755)
    try:
        assert background.connect(yard.record) is None
    finally:
        folder.chmod(0o700)


def test_without_any_private_folder_checks_are_cold(yard, monkeypatch):
    monkeypatch.setattr(place, "SOCKET_BYTES", 10)
    with pytest.raises(EnvironmentProblem, match="no folder"):
        place.private_folder()
    waiting = yard.background()
    assert yard.check(waiting, yard.shop.package()).passed
    waiting.ensure()
    assert place.current(yard.workspace) is None


def test_several_workspaces_at_once(yard, tmp_path):
    one, first = yard.ready(), yard.workspace
    yard.workspace = tmp_path / "another shop"
    (yard.workspace / ".intro2llm").mkdir(parents=True)
    two = yard.ready()
    assert {record.workspace for record in place.everywhere()} == {str(first), str(yard.workspace)}
    for waiting in (one, two):
        assert yard.check(waiting, yard.shop.package()).passed


def test_it_has_no_terminal_no_pipe_and_a_session_of_its_own(yard):
    yard.ready()
    pid = yard.record.pid
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    links = {entry.name: str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    assert [links[number] for number in "012"] == [os.devnull] * 3
    assert not [link for link in links.values() if link.startswith(("pipe:", "/dev/pts", "/dev/tty"))]


def test_stopping_it_does_not_end_a_check_that_runs(yard):
    waiting = yard.ready()
    root = yard.shop.package(average="import time\ntime.sleep(0.7)\nreturn 4.5")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(yard.check, waiting, root, tasks={"average"})
        assert wait_until(lambda: len(marked(yard.mark)) > 1)
        assert background.stop(yard.record)
        assert not running.done()
        assert only(running.result(), "test_average_of_three_prices").outcome == "passed"


RUNNER = """
import sys
from pathlib import Path
from coursecli.check.run import check_lesson
from coursecli.course.catalogue import load_course
from coursecli.warm.background import Background
course = load_course(Path(sys.argv[1]))
def tell(event):
    if type(event).__name__ == "Started" and "average" in event.id:
        print("started", flush=True)
workers = Background(course, Path(sys.argv[3]))
result = check_lesson(course, course.lesson("1"), Path(sys.argv[2]), listener=tell, workers=workers)
print(workers.found, result.problem.kind, flush=True)
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_a_check_that_is_ended_leaves_nothing_but_the_process_that_waits(yard, end):
    yard.ready()
    waits = marked(yard.mark)
    root = yard.shop.package(average="import time\ntime.sleep(600)")
    command = [sys.executable, "-c", RUNNER, str(yard.shop.course.root), str(root), str(yard.workspace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout.readline() == "started\n"
        runner.send_signal(end)
        said = runner.stdout.readline()
    assert said == ("ready interrupted\n" if end == signal.SIGINT else "")
    assert wait_until(lambda: marked(yard.mark) == waits)
