"""Presets: models of known sizes, read from the YAML files beside this one, or from a file of your own.

A preset has a section `model`, the fields of `ModelConfig`, and may have a section `training`, those of
`TrainingConfig`. What is not written keeps its default. A key that nobody would read is refused: a typing error must
not become a silent default.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml

from intro2llm.configs.training_config import TrainingConfig
from intro2llm.model.config import ModelConfig

FOLDER = Path(__file__).resolve().parent
Config = TypeVar("Config")


class PresetError(ValueError):
    """A preset, or a change to one, does not fit. The message says where, and what is allowed."""


@dataclass(frozen=True)
class Preset:
    """What one YAML file says."""

    name: str
    model: ModelConfig
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """How such a model is pre-trained."""


def preset_names() -> list[str]:
    """The presets that come with the course."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_preset(name_or_path: str | Path, overrides: Iterable[str] = ()) -> Preset:
    """Read a preset of the course by its name ("nano"), or a YAML file by its path ("my/model.yaml").

    Args:
        name_or_path: a path if it ends in .yaml or .yml, else a name.
        overrides: changes, each "key=value" with the value written as in YAML: "model.hidden_size=128",
            "model.tie_word_embeddings=false", "model.rope_scaling.factor=8". The last one wins.

    Raises:
        PresetError: there is no such preset or file, or a key or a value does not fit.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if str(path) not in preset_names():
            raise PresetError(f"there is no preset {str(path)!r}; {_expected(str(path), preset_names())}")
        path = FOLDER / f"{path}.yaml"
    content = _read(path)
    changed: dict[str, str] = {}
    for override in overrides:
        changed[_apply(content, override)] = override

    def fail(key: str, problem: str) -> PresetError:
        culprits = [change for place, change in changed.items() if f"{place}.".startswith(f"{key}.")]
        return PresetError(f"{culprits[-1] if culprits else path.name}: {key} {problem}")

    for section, value in content.items():
        if section not in ("model", "training"):
            raise fail(str(section), f"is not known; {_expected(str(section), ['model', 'training'])}")
        if value is not None and not isinstance(value, dict):
            raise fail(section, "must be a section with keys of its own")
    model = build_config(ModelConfig, content.get("model") or {}, prefix="model.", fail=fail)
    training = build_config(TrainingConfig, content.get("training") or {}, prefix="training.", fail=fail)
    return Preset(path.stem, model, training)


def build_config(
    kind: type[Config], table: Mapping[str, Any], *, prefix: str, fail: Callable[[str, str], Exception]
) -> Config:
    """Make a dataclass from a table: every key a field of it, every value of the field's type.

    `fail(key, problem)` makes the exception; the key has `prefix` in front, the problem is the rest of the sentence.
    """
    hints = get_type_hints(kind)
    names = [item.name for item in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values = {}
    for name, value in table.items():
        key = f"{prefix}{name}"
        if name not in names:
            raise fail(key, f"is not known; {_expected(str(name), names)}")
        values[name] = _convert(value, hints[name], key, fail)
    try:
        return kind(**values)
    except ValueError as error:  # the class has rules of its own
        raise fail(prefix.rstrip("."), f"does not fit: {error}") from error


def _convert(value: Any, hint: Any, key: str, fail: Callable[[str, str], Exception]) -> Any:
    """The value as the type asks for it: an int, a float, a bool, a word of a Literal, a nested table, or null."""
    choices = [choice for choice in get_args(hint) if choice is not type(None)] if get_origin(hint) else [hint]
    if value is None and type(None) in get_args(hint):
        return None
    if get_origin(hint) is Literal:
        if value in choices:
            return value
        raise fail(key, f"is {value!r}; {_expected(str(value), choices)}")
    (wanted,) = choices
    if isinstance(wanted, type) and dataclasses.is_dataclass(wanted) and isinstance(value, dict):
        return build_config(wanted, value, prefix=f"{key}.", fail=fail)
    if wanted is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:  # YAML reads 1e-5 as text: its numbers need a point
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
    elif type(value) is wanted:
        return value
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    allowed = words.get(wanted, "a section with keys of its own") + (", or null" if hint is not wanted else "")
    raise fail(key, f"is {value!r}; it must be {allowed}")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PresetError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except yaml.YAMLError as error:
        raise PresetError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise PresetError(f"{path}: holds no sections; it should begin with the line model:")
    return content


def _apply(content: dict[str, Any], override: str) -> str:
    """Enter one "key=value" into the sections, and return its key."""
    key, equals, text = override.partition("=")
    *sections, name = key.strip().split(".")
    if not (equals and sections and name):
        raise PresetError(f"{override!r} is not a change; write it like model.hidden_size=128")
    table = content
    for section in sections:
        inner = table.get(section)
        table[section] = table = inner if isinstance(inner, dict) else {}
    try:
        table[name] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PresetError(f"{override!r}: the value is not YAML") from error
    return key.strip()


def _expected(found: str, known: list[str]) -> str:
    near = get_close_matches(found, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
