"""Causality: what stands at a position may depend on it and on the past, never on what comes later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coursecli.expect import numeric
from coursecli.expect.numeric import Unreadable
from coursecli.expect.outcome import failed, nothing_returned, passed
from coursecli.expect.payload import Cell, Failure, Grid
from coursecli.expect.words import brief, listed, number, plural

POSITIONS = 16
"""How many positions are changed, one after the other; of a longer sequence, these many spread over it."""
WINDOW = 6
PRECISION = {"torch.float64": 1e-11, "numpy.float64": 1e-11, "torch.float16": 1e-2, "torch.bfloat16": 5e-2}


def expect_causal(
    function: Callable[[Any], Any],
    x: Any,
    *,
    what: str,
    axis: int = 1,
    output_axis: int | None = None,
    mistake: str | None = None,
) -> None:
    """Changing `x` at one position of `axis` leaves the outputs before it as they are, and changes some from it on.

    `x` holds floating-point numbers, or ids, which are replaced by other ids that occur in it. The output has the
    positions along `output_axis` (default: the same axis).
    """
    __tracebackhide__ = True
    import numpy

    output_axis = axis if output_axis is None else output_axis
    length = int(x.shape[axis])
    base, tolerance = _run(function, x, length, output_axis, what, mistake)
    again, _ = _run(function, x, length, output_axis, what, mistake)
    if numpy.abs(again - base).max(initial=0.0) > tolerance:
        failed(_failure(what, "Two calls with the same input give different outputs.", mistake, _UNSTEADY))
    positions = sorted({int(p) for p in numpy.linspace(0, length - 1, min(length, POSITIONS)).round()})
    changes = numpy.zeros((length, len(positions)))  # how much each output moves when a position is changed
    for column, position in enumerate(positions):
        now, _ = _run(function, _changed(x, axis, position), length, output_axis, what, mistake)
        changes[:, column] = numpy.abs(now - base).max(axis=1, initial=0.0)
    moved = ~(changes <= tolerance)
    late = numpy.arange(length)[:, None] < numpy.asarray(positions)[None, :]
    if (moved & late).any():
        failed(_leak(what, changes, moved & late, positions, mistake))
    still = [position for column, position in enumerate(positions) if not moved[position:, column].any()]
    if still:
        summary = f"Changing the input at {_positions(still)} changes nothing, neither there nor later."
        failed(_failure(what, summary, mistake, ["Causal means: not the future, but the present and the past."]))
    passed()


_UNSTEADY = ["Dropout may be active, or something is remembered from one call to the next."]


def _run(
    function: Callable[[Any], Any], x: Any, length: int, axis: int, what: str, mistake: str | None
) -> tuple[Any, float]:
    """The output as (positions, everything else), and what counts as no change."""
    __tracebackhide__ = True
    import numpy

    torch = numeric.torch_parts()
    try:
        if torch is None:
            result = function(x.copy())
        else:
            with torch.no_grad():
                result = function(x.clone() if numeric.is_tensor(x) else x.copy())
        output = numeric.read(result)
    except Unreadable as error:
        summary = f"The output should be a tensor, but it is {error}."
        failed(_failure(what, summary, mistake, nothing_returned(result)))
    if not -len(output.shape) <= axis < len(output.shape) or output.shape[axis] != length:
        failed(
            _failure(
                what, f"The output has shape {brief(output.shape)}: axis {axis} should have size {length}.", mistake, []
            )
        )
    rows = numpy.moveaxis(output.data.astype(float), axis, 0).reshape(length, -1)
    scale = numpy.abs(rows[numpy.isfinite(rows)]).max(initial=0.0)
    rows = numpy.nan_to_num(rows, nan=3e33, posinf=2e33, neginf=-2e33)
    return rows, float(PRECISION.get(output.dtype, 5e-6) * scale)


def _changed(x: Any, axis: int, position: int) -> Any:
    """A copy of `x` with other values at one position: floats moved far, ids replaced by others that occur."""
    import numpy

    values = numeric.read(x).data.copy()
    place: list[Any] = [slice(None)] * values.ndim
    place[axis] = position
    here = values[tuple(place)]
    if values.dtype.kind == "f":
        noise = numpy.random.RandomState(position).uniform(1.0, 2.0, here.shape)
        values[tuple(place)] = here + noise * max(1.0, float(numpy.abs(values).max(initial=0.0)))
    else:
        ids = numpy.unique(values)
        other = (
            ids[(numpy.searchsorted(ids, here) + 1) % ids.size] if ids.size > 1 else (here == 0).astype(values.dtype)
        )
        values[tuple(place)] = other
    torch = numeric.torch_parts()
    if torch is not None and numeric.is_tensor(x):
        return torch.to(torch.from_numpy(values), device=x.device, dtype=x.dtype)
    return values.astype(x.dtype)


def _leak(what: str, changes: Any, leaks: Any, positions: list[int], mistake: str | None) -> Failure:
    import numpy

    seeing, column = (int(part) for part in numpy.argwhere(leaks)[0])
    seen = positions[column]
    pairs = [(int(row), positions[int(col)]) for row, col in numpy.argwhere(leaks)]
    diagnosis = []
    if all(later - earlier == 1 for earlier, later in pairs) and len(pairs) > 1:
        diagnosis.append("Every position sees exactly one step into the future: an index or a diagonal is off by one.")
    elif int(leaks.sum()) == sum(positions):
        diagnosis.append("Every position sees the whole future: nothing is masked.")
    elif len({later for _, later in pairs}) == 1 and len(pairs) > 1:
        diagnosis.append(f"Only position {seen} leaks into what comes before it.")
    size = number(float(min(changes[seeing, column], 1e33)))
    return Failure(
        kind="causality",
        what=what,
        summary=f"Position {seeing} sees position {seen}, which comes later: a change there moved it by {size}.",
        expected=f"the output at {seeing} stays as it is",
        actual=f"it moves by {size}",
        facts={"leaks": f"{plural(int(leaks.sum()), 'pair')} of an output and a later input"},
        diagnosis=diagnosis,
        grid=_dependencies(changes, leaks, positions, seeing, column),
        mistake=mistake,
    )


def _dependencies(changes: Any, leaks: Any, positions: list[int], seeing: int, seen: int) -> Grid:
    """How much each output (row) moves when an input (column) is changed."""
    length, width = changes.shape
    top, left = max(0, min(seeing - 1, length - WINDOW)), max(0, min(seen - 1, width - WINDOW))
    rows, columns = range(top, min(length, top + WINDOW)), range(left, min(width, left + WINDOW))

    def cell(row: int, column: int) -> Cell:
        moved = number(float(changes[row, column])) if changes[row, column] < 1e33 else "not finite"
        return Cell(expected="0" if row < positions[column] else "free", actual=moved, differs=bool(leaks[row, column]))

    return Grid(
        title="how far the output at a position (row) moves when the input at a position (column) is changed",
        row_labels=[str(row) for row in rows],
        column_labels=[str(positions[column]) for column in columns],
        rows=[[cell(row, column) for column in columns] for row in rows],
        row=seeing - top,
        column=seen - left,
    )


def _failure(what: str, summary: str, mistake: str | None, diagnosis: list[str]) -> Failure:
    return Failure(kind="causality", what=what, summary=summary, diagnosis=diagnosis, mistake=mistake)


def _positions(positions: list[int]) -> str:
    return f"position{'s' if len(positions) > 1 else ''} {listed(positions)}"
