"""A template of one's own: a process below this one that forks a worker for each check, while a block runs.

What it is made of, `Forks`, is in `waiting`. It ends when the runner's end of its socket closes. Linux only: elsewhere
`open_template` gives None, which means cold.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from coursecli.check.interpreter import environment, python
from coursecli.course.catalogue import Course, load_course
from coursecli.isolate.launcher import start_supervisor

READY_SECONDS = 120.0


class Template:
    """The runner's side. Several threads may start workers from one template."""

    def __init__(self, process: subprocess.Popen[bytes], talk: socket.socket) -> None:
        self._process = process
        self._talk = talk

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, control: int, fds: list[int]) -> subprocess.Popen[bytes] | None:
        """Start a supervisor with a worker below it, as a `Starter` does; a cold one when the template has died."""
        try:
            socket.send_fds(self._talk, [b"fork"], [control, *fds])
        except OSError:
            return start_supervisor(control, fds)
        return None

    def close(self) -> None:
        """End the template. Workers that still run belong to whoever started them."""
        self._talk.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def open_template(course: Course, *, cold: bool = False) -> Iterator[Template | None]:
    """A template for this course, or None where it would not be safe, does not come up, or is not wanted."""
    template = None if cold else _start(course)
    try:
        yield template
    finally:
        if template is not None:
            template.close()


def _start(course: Course) -> Template | None:
    if sys.platform != "linux":
        return None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            python(f"from coursecli.check.template import serve; serve({theirs.fileno()})"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            cwd="/",
            env=environment(course),
        )
    template = Template(process, ours)
    try:
        ours.settimeout(READY_SECONDS)
        ours.send(os.fsencode(course.root))
        if ours.recv(64) == b"ready":
            ours.settimeout(None)
            return template
    except OSError:
        pass
    template.close()
    return None


def serve(number: int) -> None:
    """The template's own life: preload, say ready, fork on request, end with the runner."""
    from coursecli.check.waiting import Forks

    talk = socket.socket(fileno=number)
    forks = Forks(load_course(Path(os.fsdecode(talk.recv(1 << 16)))))
    if not forks.fit():
        talk.send(b"threads")
        return
    talk.send(b"ready")
    while True:
        word, fds, _, _ = socket.recv_fds(talk, 16, 16)
        if not word:
            return
        control, *places = fds
        forks.start(control, places)
        for fd in fds:
            os.close(fd)
