"""Exact equality of plain values that no `__eq__` of a learner's class decides, and where two values first differ."""

from __future__ import annotations

import math
from typing import Any

from coursecli.expect import numeric
from coursecli.expect.words import brief, type_name


def same(actual: Any, expected: Any) -> bool:
    """Whether both are equal, with equal types throughout."""
    return difference(actual, expected) is None


def difference(actual: Any, expected: Any, path: str = "", depth: int = 0) -> str | None:
    """Where and how the two first differ, as a sentence; None when they are equal."""
    place = f"At {path}: " if path else ""
    if depth > 100:
        return f"{place}nested more than 100 deep"
    kind = type(expected)
    if numeric.is_tensor(expected) or numeric.is_array(expected):
        return None if _equal_arrays(actual, expected) else f"{place}the values differ."
    if type(actual) is not kind and not _stands_for(actual, kind):
        return f"{place}expected {brief(expected)} ({type_name(expected)}), but it is {brief(actual)} ({type_name(actual)})."
    if kind in (list, tuple):
        for index, (left, right) in enumerate(zip(actual, expected)):
            found = difference(left, right, f"{path}[{index}]", depth + 1)
            if found:
                return found
        if len(actual) != len(expected):
            return f"{place}expected {len(expected)} items, but there are {len(actual)}."
        return None
    if kind is dict:
        return _dict_difference(actual, expected, path, place, depth)
    if kind is float and math.isnan(actual) and math.isnan(expected):
        return None
    try:
        equal = bool(actual == expected)
    except Exception:
        equal = False
    return None if equal else f"{place}expected {brief(expected)}, but it is {brief(actual)}."


def _stands_for(actual: object, kind: type) -> bool:
    """The standard library's dicts (Counter, defaultdict, OrderedDict) are dicts."""
    return kind is dict and isinstance(actual, dict) and type(actual).__module__ == "collections"


def _dict_difference(actual: dict[Any, Any], expected: dict[Any, Any], path: str, place: str, depth: int) -> str | None:
    for key, value in expected.items():
        if key not in dict.keys(actual):
            return f"{place}the key {brief(key)} is missing."
        found = difference(dict.__getitem__(actual, key), value, f"{path}[{brief(key, 40)}]", depth + 1)
        if found:
            return found
    extra = [key for key in dict.keys(actual) if key not in expected]
    return f"{place}there is an extra key {brief(extra[0])}." if extra else None


def _equal_arrays(actual: Any, expected: Any) -> bool:
    try:
        got, wanted = numeric.read(actual), numeric.read(expected)
    except numeric.Unreadable:
        return False
    alike = (got.family, got.dtype, got.shape) == (wanted.family, wanted.dtype, wanted.shape)
    return alike and bool(numeric.agree(got.data, wanted.data, 0, 0).all())
