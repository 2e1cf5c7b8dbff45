"""What a waiting process was made from. A check takes one only when it would start the same itself."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path

import coursecli
from coursecli.check.interpreter import environment
from coursecli.course.catalogue import Course
from coursecli.warm.messages import Fingerprint

ONCE = (
    *("LANG", "LC_", "LD_", "DYLD_", "MALLOC_", "GLIBC_", "TZ", "TMPDIR"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "VECLIB_", "BLIS_"),
    *("TORCH", "PYTORCH_", "ATEN_", "CUDA_", "CUBLAS_", "NVIDIA_", "HIP_", "ROCR_"),
)
"""Beginnings of the variables that a library reads once, when it is loaded. All others reach a worker that waits."""


def fingerprint(course: Course) -> Fingerprint:
    """Of this process, as it would start a worker for this course now."""
    return {**made_from(), "course": _digest(course.manifest.worker), "process": _digest(_inherited(course))}


def made_from() -> Fingerprint:
    """The parts that are the same whoever asks: coursecli itself, and the installed packages."""
    return {"code": _code(), "packages": _packages()}


def _code() -> str:
    home = Path(coursecli.__file__).resolve().parent
    files = [(str(path), path.stat()) for path in sorted(home.rglob("*.py")) if "_content" not in path.parts]
    return _digest([(name, found.st_size, found.st_mtime_ns) for name, found in files])


def _packages() -> str:
    """The names of what is installed: a package that comes, goes, or changes its version changes one."""
    names: set[str] = set()
    for folder in set(sys.path) - set(os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        with contextlib.suppress(OSError):
            names.update(name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info")))  # noqa: PTH208
    return _digest([sys.executable, sys.prefix, sys.version, *sorted(names)])


def _inherited(course: Course) -> list[object]:
    """What a worker has from the process that starts it, and that cannot be given to it later."""
    variables = sorted((name, value) for name, value in environment(course).items() if name.startswith(ONCE))
    return [variables, *_limits(), *_linux()]


def _limits() -> list[object]:
    try:
        import resource
    except ImportError:
        return []
    names = ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_FSIZE", "RLIMIT_CPU")
    return [resource.getrlimit(getattr(resource, name)) for name in names if hasattr(resource, name)]


def _linux() -> list[object]:
    """The mask of new files; and its namespaces: a container has processes and files of its own."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        mask = next(line for line in status.splitlines() if line.startswith("Umask"))
        return [mask, *(os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "mnt", "net"))]  # noqa: PTH115
    except (OSError, StopIteration):
        return []


def _digest(what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]
