"""`MetricsLog`: the curve of a run that is being trained, read on from where the last look ended.

However long the log, a look costs what was added since, and the curve is kept in a bounded number of points.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coursecli.recipes.runs import METRICS, Metrics, Point, decoded, points_of

MOST_POINTS = 2048
"""Of one curve: more than any screen has columns. Beyond that, neighbours are put together."""
PIECE_BYTES = 1 << 20


class MetricsLog:
    """The measurements of one run, so far."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / METRICS
        self._begin_again((0, 0))

    @property
    def metrics(self) -> Metrics:
        """As `read_metrics` gives them; of a long run, each point is the mean of several updates."""
        return Metrics(training=list(self._training), held_out=list(self._held_out), damaged=self._damaged)

    def look(self) -> bool:
        """Read what was added. Returns whether anything has changed."""
        try:
            status = self._file.stat()
            if (status.st_dev, status.st_ino) != self._identity or status.st_size < self._read:
                self._begin_again((status.st_dev, status.st_ino))  # a resumed run has dropped its later lines
            if status.st_size == self._read:
                return False
            with self._file.open("rb") as stream:
                stream.seek(self._read)
                while piece := stream.read(PIECE_BYTES):
                    self._take(piece)
        except OSError:
            changed = bool(self._training or self._held_out)
            self._begin_again((0, 0))
            return changed
        return True

    def _begin_again(self, identity: tuple[int, int]) -> None:
        self._identity = identity
        self._read = 0
        self._rest = b""
        self._training: list[Point] = []
        self._held_out: list[Point] = []
        self._damaged = 0

    def _take(self, piece: bytes) -> None:
        self._read += len(piece)
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in filter(bytes.strip, lines):
            measured = points_of(decoded(line))
            if measured is None:
                self._damaged += 1
                continue
            for points, point in zip((self._training, self._held_out), measured):
                if point is not None:
                    _add(points, point)
        self._training, self._held_out = _thinned(self._training), _thinned(self._held_out)


def _add(points: list[Point], point: Point) -> None:
    """Of two measurements after the same update, the later one counts."""
    if points and point.step <= points[-1].step:
        points[:] = [each for each in points if each.step != point.step]
        place = next((place for place, each in enumerate(points) if each.step > point.step), len(points))
        points.insert(place, point)
    else:
        points.append(point)


def _thinned(points: list[Point]) -> list[Point]:
    """Half as many points, each the mean of two neighbours, as often as needed; the last one stays itself."""
    while len(points) > MOST_POINTS:
        *earlier, last = points
        points = [_mean(earlier[place : place + 2]) for place in range(0, len(earlier), 2)] + [last]
    return points


def _mean(points: Sequence[Point]) -> Point:
    bits = [point.bits_per_byte for point in points if point.bits_per_byte is not None]
    return Point(
        points[-1].step,
        sum(point.loss for point in points) / len(points),
        sum(bits) / len(bits) if len(bits) == len(points) else None,
    )
