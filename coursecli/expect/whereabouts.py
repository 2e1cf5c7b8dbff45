"""Where two values differ: which rows, which columns, which side of the diagonal, and where NaN and infinity stand."""

from __future__ import annotations

from typing import Any

from coursecli.expect.words import listed, plural


def not_finite(actual: Any, expected: Any, agreeing: Any, names: list[str]) -> list[str]:
    """Sentences about NaN and infinity where expected has none."""
    import numpy

    if actual.dtype.kind not in "fc":
        return []
    wrong = ~agreeing
    sentences = []
    nan = numpy.isnan(actual) & wrong
    infinite = numpy.isinf(actual) & wrong
    for mask, word in ((nan, "NaN"), (infinite, "infinite")):
        if mask.any():
            sentences.append(_about(mask, word, names))
            if mask is nan and _full_lines(mask):
                sentences.append("A softmax over a line in which everything is masked gives NaN, and so does 0/0.")
    if sentences and not (wrong & ~nan & ~infinite).any():
        sentences.append("Everything else is right.")
    return sentences


def _about(mask: Any, word: str, names: list[str]) -> str:
    if mask.all():
        return f"Every element is {word}." if mask.ndim else f"It is {word}."
    if _full_lines(mask):
        lines = mask.all(axis=-1)
        where = place(lines, names[:-1])
        return f"Along {names[-1]}, {plural(int(lines.sum()), 'line is', 'lines are')} {word} throughout{where}."
    where = place(mask, names)
    return f"{plural(int(mask.sum()), 'element is', 'elements are')} {word}{where}."


def _full_lines(mask: Any) -> bool:
    """Whether the mask consists of whole lines along the last axis (and there are several lines)."""
    return bool(mask.ndim > 1 and mask.shape[-1] > 1 and (mask.all(axis=-1) == mask.any(axis=-1)).all())


def place(mask: Any, names: list[str]) -> str:
    """`, all at T = 3–5 and C = 0`: the axes along which the mask is confined to some indices; empty when it is not."""
    parts = [
        f"{names[axis]} = {_indices(present)}"
        for axis, (present, used) in enumerate(_spread(mask))
        if 0 < len(present) < len(used)
    ]
    return f", all at {listed(parts)}" if parts else ""


def _spread(mask: Any) -> list[tuple[list[int], Any]]:
    """For each axis, the indices at which there is anything."""
    spread = []
    for axis in range(mask.ndim):
        used = mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis))
        spread.append(([int(index) for index in used.nonzero()[0]], used))
    return spread


def _indices(present: list[int]) -> str:
    if len(present) == 1:
        return str(present[0])
    if present == list(range(present[0], present[-1] + 1)):
        return f"{present[0]}–{present[-1]}"
    return listed(present, most=6)


def differences(agreeing: Any, names: list[str]) -> str:
    """One sentence about where the differences are; empty when they are everywhere."""
    import numpy

    wrong = ~agreeing
    if not wrong.ndim or wrong.all():
        return ""
    if wrong.sum() == 1 and wrong.size > 3:
        index = listed(f"{name} = {int(i)}" for name, i in zip(names, numpy.argwhere(wrong)[0]))
        return f"Only one element differs, at {index}."
    spread = _spread(wrong)
    box = bool(wrong[numpy.ix_(*(present for present, _ in spread))].all())
    triangle = "" if box else _triangle(wrong, names)
    if triangle:
        return triangle
    parts = [
        _confined(name, present, len(used)) for name, (present, used) in zip(names, spread) if len(present) < len(used)
    ]
    if len(parts) == 1:
        return parts[0]
    where = place(wrong, names).removeprefix(", all")
    return f"The differences are{where}; everything else is right." if where else ""


def _confined(name: str, present: list[int], size: int) -> str:
    """One axis along which only some indices are wrong."""
    right = sorted({*range(size)} - {*present})
    if len(right) == 1 and size > 2:
        return f"Along {name}, only {_which(right[0], size)} is right; all others differ."
    if present == list(range(1, size, 2)) and len(present) > 1:
        return f"Along {name}, only the odd indices differ (1, 3, …); the even ones are right."
    if present == list(range(0, size, 2)) and len(present) > 1:
        return f"Along {name}, only the even indices differ (0, 2, …); the odd ones are right."
    if size % 2 == 0 and size > 2 and present == list(range(size // 2)):
        return f"Along {name}, only the first half differs ({_indices(present)}); the second half is right."
    if size % 2 == 0 and size > 2 and present == list(range(size // 2, size)):
        return f"Along {name}, only the second half differs ({_indices(present)}); the first half is right."
    if len(present) == 1:
        return f"Along {name}, only {_which(present[0], size)} differs; everything else is right."
    return f"Along {name}, only {_indices(present)} of 0–{size - 1} differ; everything else is right."


def _which(index: int, size: int) -> str:
    return "the first" if index == 0 else "the last" if index == size - 1 else f"index {index}"


def _triangle(wrong: Any, names: list[str]) -> str:
    """Differences on one side of the diagonal of the last two axes: what a mask decides."""
    import numpy

    if wrong.ndim < 2 or min(wrong.shape[-2:]) < 3:
        return ""
    flat = wrong.reshape(-1, *wrong.shape[-2:]).any(axis=0)
    row, column = names[-2], names[-1]
    rows, columns = numpy.indices(flat.shape)
    for side, words in (
        (columns > rows, f"above the diagonal ({column} later than {row}: the future)"),
        (columns < rows, f"below the diagonal ({column} earlier than {row}: the past)"),
        (columns == rows, f"on the diagonal ({column} equal to {row})"),
    ):
        if not (flat & ~side).any() and 2 * flat.sum() > side.sum() and flat.sum() > 2:
            return f"Only elements {words} differ; everything else is right."
    return ""
