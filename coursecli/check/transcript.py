"""What the worker's process printed, divided by test.

The worker writes a mark into the stream where a test begins and ends; the runner cuts there. Nothing is held in the
worker: what a test printed before it hung or crashed is here, and a flood costs no memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

OUTSIDE = ""
"""The key of what was printed outside any test."""


def mark(token: str, test: str) -> bytes:
    """A line that says whose output follows."""
    return f"\x1e{token}\x1f{test}\x1e\n".encode()


@dataclass
class Output:
    """The head of what one test printed."""

    kept: bytearray = field(default_factory=bytearray)
    dropped: int = 0

    @property
    def text(self) -> str:
        return self.kept.decode("utf-8", "replace")


@dataclass
class Transcript:
    """A sink for stdout and stderr together."""

    token: str
    limit: int = 16 * 1024
    """Bytes kept for each test."""
    outputs: dict[str, Output] = field(default_factory=dict)
    _current: str = OUTSIDE
    _pending: bytes = b""

    def feed(self, data: bytes) -> None:
        prefix = f"\x1e{self.token}\x1f".encode()
        data = self._pending + data
        self._pending = b""
        while (start := data.find(prefix)) >= 0 and (end := data.find(b"\x1e\n", start + len(prefix))) >= 0:
            self._keep(data[:start])
            self._current = data[start + len(prefix) : end].decode("utf-8", "replace")
            data = data[end + 2 :]
        # A mark may have been cut in two by the pipe.
        cut = start if start >= 0 else data.rfind(b"\x1e", max(0, len(data) - len(prefix)))
        if cut >= 0 and len(data) - cut <= 4096:
            self._pending = data[cut:]
            data = data[:cut]
        self._keep(data)

    def of(self, test: str) -> Output:
        return self.outputs.get(test, Output())

    def _keep(self, data: bytes) -> None:
        if data:
            output = self.outputs.setdefault(self._current, Output())
            room = self.limit - len(output.kept)
            output.kept += data[: max(0, room)]
            output.dropped += max(0, len(data) - max(0, room))
