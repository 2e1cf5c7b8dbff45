"""The process between ours and the program: it starts the program, watches it, and leaves nothing of it alive. Given.

It runs as a script with bare Python. Its arguments are a socket and the order. On the socket it says, in lines of JSON,
"started" when the walls stand (or "failed", and why not), and the program's "status" at the end. When the other end of
the socket closes, whatever the reason, everything below this process dies.

    our process ── supervisor ── [the first process of the namespaces, if it is strong] ── the program
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120

import walls

POLL_SECONDS = 0.1
PROCESSES = 32
"""How many a program may have at once."""
REAP_SECONDS = 5.0


def main() -> None:
    control, order = socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2])
    control.set_inheritable(False)
    wake, wake_write = os.pipe()
    for descriptor in (wake, wake_write):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    walls.adopt_orphans()
    child = 0
    try:
        child = start(order, control)
        watch(child, control, wake, order)
    except OSError as error:
        say(control, failed=error.strerror or str(error))
    finally:
        end_all(child)


def start(order: dict[str, Any], control: socket.socket) -> int:
    """Start the program, or the first process of its namespaces, which will; the number of that child."""
    strong = order["isolation"] == "strong"
    if strong:
        walls.enter_user_and_process_namespaces()
    order["user"] = walls.stranger()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            ordinary_signals()
            walls.die_with_parent()
            if strong:
                be_first(order, control)
            else:
                become_program(order, control)
        except OSError as error:
            say(control, failed=error.strerror or str(error))
        finally:
            os._exit(127)
    for stream in (0, 1, 2):  # the pipes are the program's, and end with it
        os.close(stream)
    return child


def ordinary_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)


def be_first(order: dict[str, Any], control: socket.socket) -> None:
    """Process 1 of the namespaces: build the walls, start the program, and end with it. The kernel ends the rest."""
    user = walls.build(order["folder"], shown(order), order["user"])
    program = os.fork()
    if program == 0:
        walls.become(user)
        become_program(order | {"folder": walls.WORK}, control)
    for stream in (0, 1, 2):
        os.close(stream)
    while True:
        ended, status = os.wait()
        if ended == program:
            say(control, status=status)
            os._exit(0)


def shown(order: dict[str, Any]) -> list[str]:
    """What the interpreter consists of."""
    return [*(os.path.join(order["prefix"], name) for name in ("lib", "lib64")), order["interpreter"]]  # noqa: PTH118


def become_program(order: dict[str, Any], control: socket.socket) -> None:
    """Execute the interpreter on what comes from stdin, within the limits."""
    os.chdir(order["folder"])
    walls.limit(order["seconds"], order["memory_bytes"], PROCESSES if order["isolation"] == "strong" else None)
    if order["isolation"] == "limited":
        walls.landlock([*shown(order), *walls.LIBRARIES, *walls.DEVICES], [order["folder"]])
        walls.forbid_network()
    walls.no_new_privileges()
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": order["folder"], "TMPDIR": order["folder"]}
    say(control, started=True)
    os.execve(order["interpreter"], [order["interpreter"], "-I", "-S", "-B", "-X", "utf8", "-"], environment)


def watch(child: int, control: socket.socket, wake: int, order: dict[str, Any]) -> None:
    """Return when the child has ended, when the other end of the socket has closed, or when too much is used."""
    while True:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child:
                    if order["isolation"] != "strong":
                        say(control, status=ended[1])
                    return
        ready = select.select([control, wake], [], [], POLL_SECONDS)[0]
        if control in ready:
            return
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 512)
        below = descendants()
        if len(below) > PROCESSES + 1 or sum(private_memory(process) for process in below) > order["memory_bytes"]:
            return


def end_all(child: int) -> None:
    """Kill every process below this one, until none is left; without /proc, those of the program's own group."""
    until = time.monotonic() + REAP_SECONDS
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if child:
            os.killpg(child, signal.SIGKILL)
    while time.monotonic() < until:
        below = descendants()
        for number in (signal.SIGSTOP, signal.SIGKILL):  # first stop them all, so that none forks meanwhile
            for process in below:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, number)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def descendants() -> list[int]:
    """Every process below this one, whatever session it is in. None is known where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:  # noqa: PTH112, PTH208
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{entry}/stat", "rb") as file:  # noqa: PTH123
                    # The name is in parentheses and may contain anything; state and parent follow the last one.
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state not in b"ZX":
                    children.setdefault(int(parent), []).append(int(entry))
    found, queue = [], [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def private_memory(process: int) -> int:
    """Resident bytes of a process that are not a file's and not shared."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open(f"/proc/{process}/statm", "rb") as file:  # noqa: PTH123
            fields = file.read().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
    return 0


def say(control: socket.socket, **words: object) -> None:
    with contextlib.suppress(OSError):
        control.sendall(json.dumps(words).encode() + b"\n")


if __name__ == "__main__":
    main()
