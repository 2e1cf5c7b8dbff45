"""Values as short, safe text: numbers, representations, invisible characters named. No `__repr__` is trusted."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable

LIMIT = 160
_PLAIN = {
    "\n": "\\n",
    "\t": "\\t",
    "\r": "\\r",
    "\b": "\\b",
}


def visible(text: str) -> str:
    """`text` in one line, with control, format and unusual space characters written as escapes."""
    return "".join(character if _shows(character) else escape(character) for character in text)


def _shows(character: str) -> bool:
    if " " <= character <= "~":
        return True
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")


def escape(character: str) -> str:
    """The Python escape of one character: `\\n`, `\\xa0`, `\\u200b`."""
    code = ord(character)
    if character in _PLAIN:
        return _PLAIN[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def character_name(character: str) -> str:
    """`U+00A0 NO-BREAK SPACE`, for characters that cannot be told apart by eye."""
    control = {"\n": "LINE FEED", "\r": "CARRIAGE RETURN", "\t": "TAB", "\x00": "NULL", "\x1b": "ESCAPE"}
    name = control.get(character) or unicodedata.name(character, "no name")
    return f"U+{ord(character):04X} {name}"


def invisible(text: str) -> list[str]:
    """The distinct characters of `text` that leave no mark on the page, apart from the plain space."""
    return [character for character in dict.fromkeys(text) if not _shows(character)]


def cut(text: str, limit: int = LIMIT) -> str:
    """`text`, shortened in the middle when it is longer than `limit`."""
    if len(text) <= limit:
        return text
    left = (limit - 3) * 2 // 3
    return f"{text[:left]} … {text[len(text) - (limit - 3 - left) :]}"


def number(value: complex) -> str:
    """A number with four significant digits; integers whole."""
    if isinstance(value, bool):
        return str(bool(value))
    if isinstance(value, int):
        return _integer(int(value))
    if type(value) is complex:
        sign = "-" if value.imag < 0 or (value.imag == 0 and math.copysign(1, value.imag) < 0) else "+"
        return f"{number(value.real)}{sign}{number(abs(value.imag))}j"
    real = float(value.real)
    return _digits(real, 4)


def _digits(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return text if any(mark in text for mark in ".en") else f"{text}.0"


def pair(one: complex, other: complex) -> tuple[str, str]:
    """Two different numbers with as many digits as it takes to tell them apart, four at least."""
    left, right = number(one), number(other)
    for digits in (6, 9, 12, 17):
        if left != right or type(one) is not float or type(other) is not float or not math.isfinite(one + other):
            break
        left, right = _digits(one, digits), _digits(other, digits)
    return left, right


def _integer(value: int) -> str:
    try:
        return str(value)
    except ValueError:
        return f"an integer of {value.bit_length()} bits"


def brief(value: object, limit: int = LIMIT) -> str:
    """A short representation of any value, on one line, that cannot raise."""
    try:
        return cut(visible(_represent(value, limit, depth=0)), limit)
    except Exception:
        return f"<{type_name(value)}>"


def _represent(value: object, limit: int, depth: int) -> str:
    kind = type(value)
    if kind is int:
        return _integer(int(value))  # type: ignore[call-overload]
    if kind is str or kind is bytes:
        return repr(value[: limit + 1])  # type: ignore[index]
    if depth < 6:
        if kind is list:
            return "[" + _items(value, limit, depth) + "]"  # type: ignore[arg-type]
        if kind is tuple:
            inner = _items(value, limit, depth)  # type: ignore[arg-type]
            return f"({inner},)" if len(value) == 1 else f"({inner})"  # type: ignore[arg-type]
        if kind is dict:
            entry: Callable[[tuple[object, object]], str] = lambda pair: (  # noqa: E731
                f"{_represent(pair[0], limit, depth + 1)}: {_represent(pair[1], limit, depth + 1)}"
            )
            return "{" + _items(value.items(), limit, depth, entry) + "}"  # type: ignore[attr-defined]
        if (kind is set or kind is frozenset) and value:
            return "{" + _items(value, limit, depth) + "}"  # type: ignore[arg-type]
    return value.__qualname__ if isinstance(value, type) else repr(value)


def _items(values: Iterable[object], limit: int, depth: int, show: Callable[..., str] | None = None) -> str:
    parts: list[str] = []
    used = 0
    for value in values:
        part = show(value) if show else _represent(value, limit, depth + 1)
        parts.append(part)
        used += len(part) + 2
        if used > limit:
            parts.append("…")
            break
    return ", ".join(parts)


def type_name(value: object) -> str:
    """The name of a value's type as one would write it: `list`, `torch.Tensor`, `numpy.ndarray`."""
    kind = type(value)
    module = kind.__module__.split(".")[0] if isinstance(kind.__module__, str) else "builtins"
    return f"{module}.{kind.__qualname__}" if module in ("torch", "numpy") else str(kind.__qualname__)


def listed(words: Iterable[object], most: int = 8) -> str:
    """`1, 2 and 5`; the rest of a long list is counted."""
    items = [str(word) for word in words]
    if len(items) > most:
        return f"{', '.join(items[: most - 1])} and {len(items) - most + 1} more"
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def plural(count: int, singular: str, several: str = "") -> str:
    """`1 element`, `3 elements`."""
    return f"{count} {singular if count == 1 else several or singular + 's'}"


def article(name: str) -> str:
    """`a list`, `an int`."""
    return name if name == "NoneType" else f"{'an' if name[0] in 'aeio' else 'a'} {name}"
