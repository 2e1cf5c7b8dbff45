"""What is kept of a stream that may never end: its head or its tail, within a bound."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class Sink(Protocol):
    """Takes what a stream says, in pieces, and bounds what it keeps."""

    def feed(self, data: bytes) -> None: ...


@dataclass
class Head:
    """Keeps the first bytes of a stream, and counts the others."""

    limit: int = 64 * 1024
    dropped: int = 0
    _kept: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        room = self.limit - len(self._kept)
        self._kept += data[:room] if room > 0 else b""
        self.dropped += max(0, len(data) - max(0, room))

    @property
    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")


@dataclass
class Tail:
    """Keeps the last bytes of a stream: of several stack dumps the newest counts."""

    limit: int = 256 * 1024
    _kept: bytearray = field(default_factory=bytearray)

    def clear(self) -> None:
        self._kept.clear()

    def feed(self, data: bytes) -> None:
        self._kept += data
        del self._kept[: max(0, len(self._kept) - self.limit)]

    @property
    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")
