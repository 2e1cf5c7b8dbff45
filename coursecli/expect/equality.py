"""Exact equality of plain values that no `__eq__` of a learner's class decides, and where two values first differ."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import is_dataclass
from typing import Any

from coursecli.expect import numeric
from coursecli.expect.numeric import Numeric
from coursecli.expect.words import article, brief, pair, plural, type_name

PLAIN = (int, float, complex, str, bytes, bool, type(None))


def same(actual: Any, expected: Any) -> bool:
    """Whether both are equal, with equal types throughout."""
    return difference(actual, expected) is None


def difference(actual: Any, expected: Any, path: str = "", depth: int = 0) -> str | None:
    """Where and how the two first differ, as a sentence; None when they are equal."""
    place = f"At {path}, " if path else ""
    if depth > 50:
        return _sentence(place, "the values are nested too deeply to be compared.")
    kind = type(expected)
    if numeric.is_tensor(expected) or numeric.is_array(expected) or kind is Numeric:
        reason = _array_difference(actual, expected)
        return _sentence(place, reason) if reason else None
    if type(actual) is not kind and not _stands_for(actual, kind):
        names = f"{brief(expected, 60)} ({type_name(expected)})", f"{brief(actual, 60)} ({type_name(actual)})"
        return _sentence(place, f"expected {names[0]}, but it is {names[1]}.")
    if kind in (list, tuple):
        return _item_difference(actual, expected, path, place, depth)
    if kind is dict:
        return _dict_difference(actual, expected, path, place, depth)
    if kind in (set, frozenset):
        equal = missing_and_extra(actual, expected) == ([], [])
    elif is_dataclass(kind):
        return _dict_difference(_fields(actual), _fields(expected), path, place, depth)
    else:
        equal = _equal_atoms(actual, expected)
    return None if equal else _sentence(place, f"expected {brief(expected, 60)}, but it is {brief(actual, 60)}.")


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name, None) for name in type(value).__dataclass_fields__}


def _equal_atoms(actual: Any, expected: Any) -> bool:
    """Two values of one type, compared by that type; NaN is equal to NaN."""
    try:
        return bool(expected == actual) or bool(type(expected) is float and math.isnan(actual) and math.isnan(expected))
    except Exception:
        return False


def _sentence(place: str, words: str) -> str:
    return place + words if place else words[0].upper() + words[1:]


def _stands_for(actual: object, kind: type) -> bool:
    """The standard library's dicts (Counter, defaultdict, OrderedDict) are dicts."""
    return kind is dict and issubclass(type(actual), dict) and type(actual).__module__ == "collections"


def _item_difference(actual: Any, expected: Any, path: str, place: str, depth: int) -> str | None:
    for index, (left, right) in enumerate(zip(actual, expected)):
        if type(left) is type(right) and type(left) in PLAIN and left == right:
            continue
        found = difference(left, right, f"{path}[{index}]", depth + 1)
        if found:
            return found
    if len(actual) != len(expected):
        return _sentence(
            place, f"{plural(len(expected), 'item is', 'items are')} expected, but there are {len(actual)}."
        )
    return None


def _dict_difference(actual: dict[Any, Any], expected: dict[Any, Any], path: str, place: str, depth: int) -> str | None:
    missing, extra = missing_and_extra(dict.keys(actual), expected)
    if missing:
        return _sentence(place, f"the key {brief(missing[0], 60)} is missing.")
    for key, value in expected.items():
        found = difference(dict.__getitem__(actual, key), value, f"{path}[{brief(key, 40)}]", depth + 1)
        if found:
            return found
    return _sentence(place, f"there is an extra key, {brief(extra[0], 60)}.") if extra else None


def _read(value: Any) -> Numeric:
    return value if type(value) is Numeric else numeric.read(value)


def missing_and_extra(actual: Iterable[Any], expected: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """What only `expected` has, and what only `actual` has; items of different types are different."""
    got, wanted = ({(type(item), item): item for item in items} for items in (actual, expected))
    return [wanted[key] for key in wanted if key not in got], [got[key] for key in got if key not in wanted]


def _array_difference(actual: Any, expected: Any) -> str:
    """What differs between two tensors or arrays: their kind, shape, dtype, or an element; empty when nothing does."""
    wanted = _read(expected)
    try:
        got = _read(actual)
    except numeric.Unreadable:
        return f"expected {brief(wanted)}, but it is {article(type_name(actual))}."
    for name, left, right in (
        ("kind of value", got.family, wanted.family),
        ("shape", got.shape, wanted.shape),
        ("dtype", got.dtype, wanted.dtype),
    ):
        if left != right:
            return f"the {name} is {left}, not {right}."
    agreeing = numeric.agree(got.data, wanted.data, 0, 0)
    if agreeing.all():
        return ""
    import numpy

    place = tuple(int(index) for index in numpy.unravel_index(int((~agreeing).argmax()), agreeing.shape))
    left, right = pair(wanted.data[place].item(), got.data[place].item())
    return f"expected {left} at {list(place)}, but it is {right}." if place else f"expected {left}, but it is {right}."
