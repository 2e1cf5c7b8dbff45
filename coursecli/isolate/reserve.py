"""A supervisor whose foreign process has been started ahead of the order, and waits for its descriptors.

For systems where a fork of a process that has loaded libraries is not safe: the waiting process is an interpreter of
its own, and serves once. The owner holds the other end of `talk`: it sends the control socket and the descriptors; when
it closes without having done so, both processes end.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

from coursecli.isolate import supervisor

HANDOVER = 3
"""The descriptor on which the waiting process hears what `receive` reads."""


def main() -> None:
    """As a script: the arguments are the descriptor of `talk`, and the command that will wait."""
    talk = socket.socket(fileno=int(sys.argv[1]))
    talk.set_inheritable(False)
    ours, theirs = socket.socketpair()
    waiting = _start(sys.argv[2:], theirs)
    theirs.close()
    word, fds, _, _ = socket.recv_fds(talk, 16, 16)
    if not word:
        os.kill(waiting, signal.SIGKILL)
        return
    talk.close()
    control, *places = fds
    order = supervisor.read_order(control)
    if os.waitpid(waiting, os.WNOHANG)[0]:  # it has died meanwhile: a new one, then
        supervisor.obey(order, control, places, lambda: os.execve(order["argv"][0], order["argv"], order["env"]))
        return

    def spawn() -> int:
        try:
            socket.send_fds(ours, [b"."], places)
            ours.sendall(json.dumps([order["cwd"], order["env"]]).encode())
        except OSError:
            pass  # it has died this moment: its end is found, and told
        ours.close()
        for fd in places:
            os.close(fd)
        return waiting

    supervisor.supervise(spawn, control, **supervisor.limits_of(order))


def _start(argv: list[str], theirs: socket.socket) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            supervisor.enter_child(parent)
            os.dup2(theirs.fileno(), HANDOVER)
            os.closerange(HANDOVER + 1, 256)
            os.execv(argv[0], argv)
        finally:
            os._exit(127)
    return pid


def receive() -> None:
    """In the waiting process: block until the order comes, then take on its descriptors, folder and environment."""
    with socket.socket(fileno=HANDOVER) as talk:
        word, fds, _, _ = socket.recv_fds(talk, 1, 16)
        if not word:
            os._exit(0)
        said = b""
        while piece := talk.recv(1 << 16):
            said += piece
    supervisor.take_places(fds)
    cwd, env = json.loads(said)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
