"""Two guards in the worker: forbidden shortcuts raise when learner's code calls them; what judges it stays as it was.

The first teaches; the second notices carelessness and simple dishonesty. Neither is a sandbox: that is for grading.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePath
from types import FrameType, FunctionType, ModuleType
from typing import Any

from coursecli.check.assignment import Assignment
from coursecli.check.frames import relative
from coursecli.course.manifest import Forbidden


class ForbiddenShortcut(RuntimeError):  # noqa: N818
    """Learner's code called what the lesson teaches to write."""


class Shortcuts:
    """Wraps each forbidden name: a call from the learner's files raises, one from a test or a library passes."""

    def __init__(self, assignment: Assignment) -> None:
        self._root = assignment.root
        self._package = assignment.package
        self._forbidden = assignment.forbidden
        self._guarded = set(assignment.guarded_files)
        self._known = set(assignment.known_files)
        self.caught: ForbiddenShortcut | None = None
        """The last one raised: learner's code may have swallowed it."""

    def install(self) -> None:
        packages = {rule.name: rule for rule in self._forbidden if "." not in rule.name}
        sys.meta_path.insert(0, _ForbiddenPackages(packages, self._refuse))
        for rule in self._forbidden:
            found = find(rule.name)
            if found is None:
                continue
            owner, name, target = found
            if isinstance(target, type):
                owner, name, target = target, "__init__", target.__init__  # type: ignore[misc]
            try:
                setattr(owner, name, self._wrap(rule, target))
            except (AttributeError, TypeError):
                continue  # a built-in type: the static search is all there is

    def _wrap(self, rule: Forbidden, target: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(target)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            self._refuse(sys._getframe(1), rule)
            return target(*args, **kwargs)

        return guarded

    def _refuse(self, frame: FrameType | None, rule: Forbidden) -> None:
        if self._from_learner(frame, rule):
            self.caught = ForbiddenShortcut(f"{rule.name} is a shortcut in this lesson: {rule.reason}")
            raise self.caught

    def _from_learner(self, frame: FrameType | None, rule: Forbidden) -> bool:
        # What stands between: eval, exec, a generated dataclass; the machinery of imports.
        while frame is not None and frame.f_code.co_filename.startswith(("<", importlib.__file__)):
            frame = frame.f_back
        inside = relative(frame.f_code.co_filename, self._root) if frame else None
        if inside is None:
            return False
        file = PurePath(inside)
        name = file.relative_to(self._package).as_posix() if file.is_relative_to(self._package) else inside
        return name in (rule.files or self._guarded) or name not in self._known


class _ForbiddenPackages(importlib.abc.MetaPathFinder):
    """Refuses a forbidden package to learner's code at its import, however the import is spelled."""

    def __init__(self, packages: dict[str, Forbidden], refuse: Callable[[FrameType | None, Forbidden], None]) -> None:
        self._packages = packages
        self._refuse = refuse

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> None:
        rule = self._packages.get(name.partition(".")[0])
        if rule is not None:
            self._refuse(sys._getframe(1), rule)


def find(dotted: str) -> tuple[Any, str, Any] | None:
    """Its owner (module or class), the name in it, and the thing itself; None when this version has none."""
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        try:
            for part in parts[cut:-1]:
                owner = getattr(owner, part)
            return owner, parts[-1], getattr(owner, parts[-1])
        except AttributeError:
            return None
    return None


_TOOLS = (
    "pytest",
    "_pytest.python",
    "_pytest.outcomes",
    "_pytest.runner",
    "_pytest.python_api",
    "_pytest.raises",
    "pluggy._hooks",
    "pluggy._callers",
)


class Tools:
    """Remembers what judges the learner's code, and says what was replaced."""

    def __init__(self, preloaded: list[str]) -> None:
        oracles = [*preloaded, *(f"{name}.{part}" for name in preloaded for part in ("nn.functional", "linalg"))]
        kit = [name for name in sys.modules if name.startswith("coursecli.expect")]
        near = _loaded([*kit, *oracles, "math", "builtins"])
        far = _loaded([*_TOOLS, *(name for name in sys.modules if name.startswith(("coursecli.check", "msgspec")))])
        self._near = [_Seen(module.__name__, module) for module in near]
        self._far = [_Seen(module.__name__, module) for module in far] + [
            _Seen(f"{module.__name__}.{name}", kind) for module in (*near, *far) for name, kind in _own_classes(module)
        ]

    def watch(self, suites: Iterable[ModuleType]) -> str | None:
        """Look after the suites' own names as well. One that is not the kit's by now is returned, else None."""
        import coursecli.expect as kit

        for suite in suites:
            for name in kit.__all__:
                if vars(suite).get(name, getattr(kit, name)) is not getattr(kit, name):
                    return f"{suite.__name__}.{name}"
            self._near.append(_Seen(suite.__name__, suite))
        return None

    def replaced(self, *, everything: bool) -> str | None:
        """The dotted name of one thing that is not what it was, or None. Only the nearest, unless `everything`."""
        seen = (*self._near, *self._far) if everything else self._near
        return next((name for one in seen if not one.intact() and (name := one.changed())), None)


def _loaded(names: list[str]) -> list[ModuleType]:
    return [sys.modules[name] for name in names if name in sys.modules]


class _Seen:
    """The callables of one module or class, as they were. Looked at after every test: one quick pass."""

    def __init__(self, where: str, owner: Any) -> None:
        self._where = where
        self._members: Mapping[str, Any] = vars(owner)
        callables = {name: value for name, value in self._members.items() if _judges(name, value)}
        self._names, self._values = tuple(callables), tuple(callables.values())
        ours = where.startswith("coursecli.")
        self._functions = [value for value in self._values if ours and isinstance(value, FunctionType)]
        self._codes = [value.__code__ for value in self._functions]

    def intact(self) -> bool:
        now = map(self._members.get, self._names)
        return all(map(operator.is_, now, self._values)) and self._codes == [f.__code__ for f in self._functions]

    def changed(self) -> str | None:
        for name, value in zip(self._names, self._values):
            now = self._members.get(name)
            if now is not value and not _by_its_library(now, name, self._where):
                return f"{self._where}.{name}"
        for function, code in zip(self._functions, self._codes):
            if function.__code__ != code:
                return f"{self._where}.{function.__name__}"
        return None


def _judges(name: str, value: Any) -> bool:
    if name == "__doc__" or isinstance(value, ModuleType):
        return False
    return callable(value) or isinstance(value, classmethod | staticmethod | property)


def _by_its_library(now: Any, name: str, where: str) -> bool:
    """Libraries wrap functions of their own when a part is imported late: torch.manual_seed, by torch._dynamo."""
    if not isinstance(now, FunctionType) or now.__name__ != name:
        return False
    file = getattr(sys.modules.get(where.partition(".")[0]), "__file__", None)
    return file is not None and PurePath(now.__code__.co_filename).is_relative_to(PurePath(file).parent)


def _own_classes(module: ModuleType) -> Iterator[tuple[str, type]]:
    """Classes that tests lean on: those of the kit and of pytest, and the tensor of a preloaded library."""
    small = module.__name__.startswith(("coursecli.", "_pytest.", "pluggy."))
    for name, value in list(vars(module).items()):
        if isinstance(value, type) and (
            value.__module__ == module.__name__ if small else name in ("Tensor", "Generator", "ndarray")
        ):
            yield name, value
