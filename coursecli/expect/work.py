"""Counting work: executed lines of Python, and the peak of bytes held; the same on every machine."""

from __future__ import annotations

import gc
import sys
import sysconfig
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from coursecli.expect import numeric

_HERE = str(Path(__file__).parent)
_CONTENT = str(Path(__file__).parent.parent / "_content")
"""Where an installed course lies: inside site-packages, and yet no installed package."""
_ELSEWHERE = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class TooMuchWork(BaseException):
    """The count has passed its limit. Not an Exception, so that a learner's `except Exception` does not catch it."""


def count_steps(function: Callable[[Any], Any], argument: Any, limit: int) -> int:
    """How many lines `function(argument)` executes outside the standard library, installed packages and this kit.

    A call, and a turn of a comprehension or a generator, count as a step as well.

    Raises:
        TooMuchWork: the count has passed `limit`.
    """
    steps = 0
    counted: dict[CodeType, bool] = {}

    def local(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal steps
        if event == "line":
            steps += 1
            if steps > limit:
                raise TooMuchWork
        return local

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal steps
        code = frame.f_code
        if code not in counted:
            counted[code] = _is_learners(code.co_filename)
        if not counted[code]:
            return None
        steps += 1
        return local

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(argument)
    finally:
        sys.settrace(before)
    if steps > limit:  # the function has swallowed the exception, which ends the tracing
        raise TooMuchWork
    return steps


def _is_learners(filename: str) -> bool:
    if filename.startswith(_CONTENT):
        return True
    return "site-packages" not in filename and not filename.startswith(("<", _HERE, *_ELSEWHERE))


def peak_bytes(function: Callable[[Any], Any], argument: Any) -> int:
    """The most bytes that `function(argument)` holds at one time, in Python objects and arrays, and in new tensors."""
    peak = _peak_of_tensors(function, argument) if numeric.torch_parts() else 0
    gc.collect()
    running = tracemalloc.is_tracing()
    if not running:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        function(argument)
        return peak + max(0, tracemalloc.get_traced_memory()[1] - before)
    finally:
        if not running:
            tracemalloc.stop()


def _peak_of_tensors(function: Callable[[Any], Any], argument: Any) -> int:
    """Watch every operator's results: a storage counts from its first appearance until it is freed."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    live = peak = 0
    known: set[int] = set()
    given: dict[int, Any] = {}  # what the function did not make; held, so that its address is not used again

    def tensors(tree: Any) -> Iterator[Any]:
        return (value.untyped_storage() for value in tree_leaves(tree) if numeric.is_tensor(value))

    def release(pointer: int, size: int) -> None:
        nonlocal live
        known.discard(pointer)
        live -= size

    class Watch(TorchDispatchMode):  # type: ignore[misc]
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            """Nothing is compiled here; the answer True would import torch._dynamo, which takes seconds."""
            return False

        def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal live, peak
            for storage in tensors((args, kwargs)):
                if storage.data_ptr() not in known:
                    given.setdefault(storage.data_ptr(), storage)
            result = call(*args, **(kwargs or {}))
            for storage in tensors(result):
                pointer, size = storage.data_ptr(), storage.nbytes()
                if pointer and pointer not in known and pointer not in given:
                    known.add(pointer)
                    live += size
                    peak = max(peak, live)
                    weakref.finalize(storage, release, pointer, size).atexit = False
            return result

    with Watch():
        function(argument)
    return peak
