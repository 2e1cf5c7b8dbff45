"""What a background process and its users say to each other: one line of JSON each way, then descriptors."""

from __future__ import annotations

from typing import Literal

import msgspec

from coursecli.check.waiting import Kind

Fingerprint = dict[str, str]
LINE_BYTES = 8192


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a new background process is told, on its command line."""

    workspace: str
    course: str
    kind: Kind
    idle_seconds: float
    after: int = 0
    """The number of the process that is about to go, and is to be waited for."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    do: Literal["worker", "hold", "status", "stop"]
    fingerprint: Fingerprint = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    word: Literal["ready", "going", "other", "status", "stopping"]
    """going: this process is out of date, and ends. other: whoever asked is out of date, or unlike."""
    checks: int = 0
    idle: float = 0.0
    """Seconds since anybody asked for anything."""
    memory: int = 0
    """Resident bytes, of all that waits."""


def line(message: Request | Answer) -> bytes:
    return msgspec.json.encode(message) + b"\n"
