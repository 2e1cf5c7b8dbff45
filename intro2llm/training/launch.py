"""`--nproc N`: the recipe again, in N processes on this machine, under torchrun. Given.

torchrun (`torch.distributed.launcher`) starts the processes, tells each who it is, and when one dies it ends the
others. What remains is to pass on the events, the signals and the cause of a failure.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import traceback
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from intro2llm.recipes import events
from intro2llm.recipes.events import RecipeError, StorageError
from intro2llm.training.stopping import listening
from intro2llm.training.world import World

FAILURE = "INTRO2LLM_FAILURE"
"""Names the file in which the first process that fails says why."""
LEADER = "INTRO2LLM_LEADER"
"""Names the file in which the first process says who it is, so that a signal reaches it."""
WORKER = """\
import sys, torch
sys.path.insert(0, {root!r})
import intro2llm
sys.path.append(sys.path.pop(0))  # a random.py beside the package shadows nothing
from intro2llm.training.launch import work
work({recipe!r})
"""


def launch(recipe: str, processes: int, words: Sequence[str]) -> int:
    """Run a recipe in several processes, and return its exit code.

    Args:
        recipe: a module of `intro2llm.recipes` with a `main`.
        words: for each process, its command line.

    Raises:
        RecipeError: a process has failed. All have ended, and the message has the cause.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    root = Path(__file__).resolve().parent.parent.parent
    command = ["-P", "-u", "-c", WORKER.format(root=str(root), recipe=recipe), *words]
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=0.1,
    )
    failed: list[BaseException] = []

    def run() -> None:
        try:
            elastic_launch(config, sys.executable)(*command)
        except BaseException as error:
            failed.append(error)

    with tempfile.TemporaryDirectory(prefix="intro2llm-") as folder, listening() as stop:
        failure, leader = Path(folder, "failure.json"), Path(folder, "leader")
        os.environ |= {FAILURE: str(failure), LEADER: str(leader), "OMP_WAIT_POLICY": "PASSIVE"}
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
        events.hand_down()
        told = False
        stop.on_stop = lambda: None
        stop.on_more = lambda: _tell(leader, signal.SIGKILL)
        thread = threading.Thread(target=run, daemon=True)  # in the main thread it would take the signals for itself
        thread.start()
        while thread.is_alive():
            thread.join(0.2)  # in between, Python calls the handlers of signals
            told = told or (stop.number is not None and _tell(leader, signal.SIGINT))
        if failed and stop.number is None:
            raise _cause(failure, failed[0]) from failed[0]
    return stop.exit_code


def work(recipe: str) -> NoReturn:
    """What each of the processes does: run the recipe, and leave a word if that fails, even if only an import does."""
    code = 0
    try:
        if World.of_environment().first:
            Path(os.environ[LEADER]).write_text(str(os.getpid()), encoding="utf-8")
        importlib.import_module(f"intro2llm.recipes.{recipe}").main(sys.argv[1:])
    except BaseException as error:
        code = 1
        _leave_word(Path(os.environ[FAILURE]), error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the ordinary way out waits for threads that wait for the other processes


def launched() -> bool:
    """Whether this process is one of those that `launch` has started."""
    return LEADER in os.environ


def _tell(leader: Path, number: int) -> bool:
    """Send a signal to the first process. False while it has not said who it is."""
    try:
        os.kill(int(leader.read_text(encoding="utf-8")), number)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _leave_word(file: Path, error: BaseException) -> None:
    """Write down why this process fails, unless another one has failed before."""
    word = {"kind": "error", "rank": World.of_environment().rank, "message": str(error), "remedy": ""}
    if isinstance(error, RecipeError):
        kind = "unwritable" if isinstance(error, StorageError) else "refused"
        word |= {"kind": kind, "message": error.message, "remedy": error.remedy}
    elif isinstance(error, NotImplementedError) and " · " in str(error):
        word["kind"] = "unwritten"
    elif isinstance(error, ModuleNotFoundError):
        word |= {"kind": "missing", "name": error.name}
    else:
        traceback.print_exception(error)
        last = traceback.extract_tb(error.__traceback__)[-1:]
        where = "".join(f" ({Path(frame.filename).name}, line {frame.lineno})" for frame in last)
        word["message"] = f"{type(error).__name__}: {error}{where}"
    with suppress(OSError), file.open("x", encoding="utf-8") as opened:
        json.dump(word, opened)


def _cause(file: Path, error: BaseException) -> Exception:
    """What has ended the processes: a signal from outside, or what the first one that failed has left."""
    failures = getattr(error, "failures", {})
    for rank, failure in failures.items():
        if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM:  # torchrun ends the others with SIGTERM
            name = signal.Signals(-failure.exitcode).name
            return RecipeError(
                f"Process {rank} was ended by {name}, and the others with it.",
                "Go on with: intro2llm train --resume",
            )
    try:
        word = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return RecipeError(f"The processes have failed: {error}")
    match word["kind"]:
        case "refused":
            return RecipeError(word["message"], word["remedy"])
        case "unwritable":
            return StorageError(word["message"], word["remedy"])
        case "unwritten":
            return NotImplementedError(word["message"])
        case "missing":
            return ModuleNotFoundError(word["message"], name=word["name"])
    return RecipeError(f"Process {word['rank']} failed: {word['message']}.", "Its traceback stands above.")
