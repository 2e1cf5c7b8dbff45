"""Which `intro2llm` the project's own tests bind: the reference, or the workspace that $INTRO2LLM_WORKSPACE names.

The stubs in this folder must never be bound: a test that passes on them proves nothing. Nothing is imported here.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from coursecli.check.seeds import Generators
from coursecli.course.build import build_solved
from coursecli.course.catalogue import load_course
from coursecli.course.workspace import open_workspace
from coursecli.errors import CourseError

_REPOSITORY = Path(__file__).resolve().parent
_PACKAGE = "intro2llm"
_BOUND = pytest.StashKey[tuple[str, Path]]()


def pytest_configure(config: pytest.Config) -> None:
    try:
        described, root, temporary = _bind()
    except CourseError as error:
        raise pytest.UsageError(f"{error.message} {error.remedy}".strip()) from error
    config.stash[_BOUND] = (described, root)
    if temporary:
        config.add_cleanup(lambda: shutil.rmtree(root, ignore_errors=True))
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    loaded = [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]
    spec = importlib.util.find_spec(_PACKAGE)
    found = Path(spec.origin).resolve() if spec and spec.origin else None
    if loaded or found is None or not found.is_relative_to(root):
        raise pytest.UsageError(f"{_PACKAGE} would be {found or loaded}, not the package in {root}. Nothing was run.")


def pytest_report_header(config: pytest.Config) -> str:
    described, root = config.stash[_BOUND]
    return f"{_PACKAGE}: {described} ({root / _PACKAGE})"


def pytest_runtest_setup() -> None:
    Generators().reset()  # as a learner's check does


def _bind() -> tuple[str, Path, bool]:
    """What is bound, in words; the folder that holds it; whether the folder is temporary."""
    chosen = os.environ.get("INTRO2LLM_WORKSPACE")
    if chosen:
        workspace = open_workspace(Path(chosen))
        return "the workspace", workspace.root, False
    root = Path(tempfile.mkdtemp(prefix="intro2llm-reference-")).resolve()
    build_solved(load_course(_REPOSITORY / "lessons"), root)
    return "the reference: given files with the solutions laid over them", root, True
