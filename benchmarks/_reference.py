"""Binds `intro2llm` to the reference: the given files with the solutions laid over them, in a folder of its own."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from pathlib import Path

from coursecli.course.catalogue import load_course
from coursecli.course.scaffold import build_solved


def bind_reference() -> None:
    """From here on, `import intro2llm` gives the reference; the folder goes when the process ends."""
    root = tempfile.mkdtemp(prefix="intro2llm-benchmark-")
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    build_solved(load_course(), Path(root))
    sys.path.insert(0, root)
