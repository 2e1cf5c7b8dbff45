"""How the interpreter of a worker or a template is started: with this very coursecli, and nothing of the learner's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import coursecli
from coursecli.course.catalogue import Course


def python(statement: str) -> list[str]:
    """A command that executes `statement`. Neither the working directory nor a script's folder is on its sys.path."""
    home = str(Path(coursecli.__file__).resolve().parent.parent)
    return [sys.executable, "-P", "-X", "utf8", "-c", f"import sys; sys.path.append({home!r}); {statement}"]


def environment(course: Course) -> dict[str, str]:
    """The runner's environment, without what redirects Python or pytest, and with the course's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    return {**kept, "PYTHONHASHSEED": "0", **course.manifest.worker.environment}
