"""The tiny process between the runner and foreign code: it starts it, watches it, and leaves nothing of it alive.

It runs as a script with bare Python (standard library only), or in a fork of a template. It knows nothing of tests. The
runner holds the other end of `control`: when that closes, for whatever reason, everything below this process dies.
Protocol on `control`: the runner sends the order, one line of JSON, and later single bytes: `d` for a stack dump, `i`
for Ctrl-C, `k` for the kill. The supervisor says which processes there are, at its start, and how it went, at its end:
lines of JSON.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

POLL_SECONDS = 0.2
REAP_SECONDS = 5.0
_SIGNALS = {b"d": signal.SIGUSR1, b"i": signal.SIGINT}
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def supervise(
    spawn: Callable[[], int], control: int, *, seconds: float | None, memory_bytes: int | None, processes: int
) -> None:
    """Start the foreign process, wait for its end or a reason to end it, kill what is left, report on `control`."""
    started = time.monotonic()
    wake, wake_write = os.pipe()
    for fd in (wake, wake_write):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    worker = spawn()
    _say(control, {"worker": worker, "supervisor": os.getpid()})
    cause, status, peak = "exited", None, 0
    while True:
        status = _reap(worker, status)
        if status is not None:
            break
        remaining = POLL_SECONDS if seconds is None else started + seconds - time.monotonic()
        if remaining <= 0:
            cause = "deadline"
            break
        ready, _, _ = select.select([control, wake], [], [], min(POLL_SECONDS, remaining))
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 512)
        if control in ready:
            asked = _signal_asked_for(control)
            if asked is not None:
                os.kill(worker, asked)
                continue
            cause = "killed"  # asked for, or the runner is gone
            break
        below = descendants()
        used = sum(private_memory(pid) for pid in below)
        peak = max(peak, used)
        if memory_bytes is not None and used > memory_bytes:
            cause = "memory"
            break
        if len(below) > processes:
            cause = "processes"
            break

    left = _kill_all(worker, alive=status is None)
    report = {
        "cause": cause,
        "status": status,
        "seconds": round(time.monotonic() - started, 4),
        "peak": peak,
        "left_running": left,
    }
    _say(control, report)


def _signal_asked_for(control: int) -> signal.Signals | None:
    with contextlib.suppress(OSError):
        return _SIGNALS.get(os.read(control, 1))
    return None


def descendants() -> list[int]:
    """Every process below this one, however it was started. Elsewhere than on Linux only the group is known."""
    if sys.platform != "linux":
        return []
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{entry}/stat", "rb") as stat:  # noqa: PTH123
                    # The name is in parentheses and may contain anything; state and parent follow the last one.
                    state, parent = stat.read().rpartition(b")")[2].split()[:2]
                if state not in b"ZX":
                    children.setdefault(int(parent), []).append(int(entry))
    found, queue = [], [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def private_memory(pid: int) -> int:
    """Resident bytes of a process that are not a file's and not shared."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open(f"/proc/{pid}/statm", "rb") as statm:  # noqa: PTH123
            fields = statm.read().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _reap(worker: int, status: int | None) -> int | None:
    """Collect every child that has ended; the worker's wait status once it is known."""
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == worker:
            status = ended


def _kill_all(worker: int, *, alive: bool) -> int:
    """Kill the worker's group, then every descendant, until no child is left. Returns how many others ran.

    On Linux orphans come to this process (it is their subreaper): "no child" means that none is left anywhere.
    """
    left = {pid for pid in descendants() if pid != worker}
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker, signal.SIGKILL)
    if alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + REAP_SECONDS
    while time.monotonic() < deadline:
        below = descendants()
        left.update(pid for pid in below if pid != worker)
        for pid in below:  # first stop them all, so that none forks while the others die
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGSTOP)
        for pid in below:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            break
        time.sleep(0.002)
    return len(left)


def _say(control: int, words: Mapping[str, object]) -> None:
    with contextlib.suppress(OSError):
        os.write(control, json.dumps(words).encode() + b"\n")


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def enter_child(parent: int) -> None:
    """In the freshly forked child: its own session, ordinary signals, and death when the supervisor dies."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP):
        signal.signal(number, signal.SIG_DFL)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def read_order(control: int) -> dict[str, Any]:
    """The first line of the control socket. What follows it in the same breath calls the order off: nothing starts."""
    said = b""
    while b"\n" not in said:
        piece = os.read(control, 1 << 16)
        if not piece:
            os._exit(1)  # the runner is gone already
        said += piece
    line, _, called_off = said.partition(b"\n")
    if called_off:
        os._exit(1)
    order: dict[str, Any] = json.loads(line)
    return order


def obey(order: dict[str, Any], control: int, fds: list[int], child: Callable[[], None]) -> None:
    """Fork a process that runs `child`, with `fds` as its descriptors 0, 1, 2 …, and supervise it."""
    supervisor = os.getpid()

    def spawn() -> int:
        pid = os.fork()
        if pid:
            for fd in fds:
                os.close(fd)  # so that the runner sees the end of each pipe when the last foreign holder is gone
            return pid
        try:
            os.close(control)
            enter_child(supervisor)
            take_places(fds)
            os.chdir(order["cwd"])
            child()
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.write(2, f"cannot start {order['argv'][0]}: {error}\n".encode(errors="replace"))
        finally:
            os._exit(127)

    supervise(spawn, control, **limits_of(order))


def limits_of(order: dict[str, Any]) -> dict[str, Any]:
    """What `supervise` enforces."""
    return {name: order[name] for name in ("seconds", "memory_bytes", "processes")}


def take_places(fds: list[int]) -> None:
    """Make `fds` this process's descriptors 0, 1, 2 …, and close every other one."""
    # Out of the way first: a target number may be another's source.
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 200) for fd in fds]
    for place, fd in enumerate(high):
        os.dup2(fd, place)
    os.closerange(len(high), 200 + len(high) + max(fds))


def main() -> None:
    """As a script: the arguments are the control socket, and what the foreign process gets as 0, 1, 2 …"""
    control, *fds = (int(argument) for argument in sys.argv[1:])
    os.set_inheritable(control, False)
    order = read_order(control)
    obey(order, control, fds, lambda: os.execve(order["argv"][0], order["argv"], order["env"]))


if __name__ == "__main__":
    main()
