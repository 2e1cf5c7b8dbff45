"""`train` and `eval`: the recipe runs, what it says is shown, and a signal ends it in two steps."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from coursecli.cli.context import Context
from coursecli.cli.running import DONE, opening_lesson, recipe, require, require_run, show, telling, write_json
from coursecli.errors import UsageError
from coursecli.recipes.events import Evaluation, Finished, Progress, Sample, Score, Step, Table, Training
from coursecli.recipes.run import RecipeRun
from coursecli.recipes.runs import read_metrics, run_names
from coursecli.render.curves import run_curve
from coursecli.render.generation import Screen
from coursecli.render.training import TrainingScreen, after_training, summary_view

GONE = {errno.EIO: signal.SIGHUP, errno.EPIPE: signal.SIGPIPE} if os.name == "posix" else {}
"""What writing to nobody fails with: the terminal was closed, or the next program in the pipe has ended."""
LAST_SECONDS = 600.0
"""How long a recipe may take to end in order when its terminal is gone."""
QUIET_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that wait do not spin: two that do, on one core, cost more than the work. It must be set before torch."""
INTERRUPTED = 128 + signal.SIGINT


class Stopping:
    """What signals ask of a recipe that can end in order: the first lets it, the second ends it at once."""

    def __init__(self, run: RecipeRun, screen: Screen) -> None:
        self.number: int | None = None
        """Of the first signal."""
        self.listens = False
        """The recipe has begun, and hears a signal."""
        self.words = "Stopping; Ctrl-C again stops at once."
        self._run = run
        self._screen = screen

    def heard(self, number: int, frame: FrameType | None) -> None:
        if self.number is None and self.listens:
            self.number = number
            self._run.interrupt()
            # the signal may have come in the middle of another line
            with contextlib.suppress(RuntimeError), self.seen_or_not():
                self._screen.over_the_echo()
                self._screen.say(self.words)
        elif number != signal.SIGHUP or self.number is None:  # a closed terminal, also one told of twice, can wait
            self.number = self.number or number
            self._run.stop()
        if number in GONE.values():
            self._nobody_is_left()

    def _nobody_is_left(self) -> None:
        """To press Ctrl-C again, should the code hang."""
        timer = threading.Timer(LAST_SECONDS, self._run.stop)
        timer.daemon = True
        timer.start()

    @contextmanager
    def seen_or_not(self) -> Iterator[None]:
        """What is written inside may be lost: when nobody sees it any more, the recipe ends in order all the same."""
        try:
            yield
        except OSError as error:
            if error.errno not in GONE:
                raise
            _write_to_nobody()
            if self.number is None:
                self.heard(GONE[error.errno], None)

    @property
    def exit_code(self) -> int:
        return 128 + (self.number or signal.SIGINT)


def _write_to_nobody() -> None:
    """Let standard output and error go nowhere from now on, unless they go to a file."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.dup2(nowhere, descriptor)
    os.close(nowhere)


@contextmanager
def stopping(run: RecipeRun, screen: Screen) -> Iterator[Stopping]:
    """While inside, Ctrl-C and SIGTERM are heard, and that the terminal is closed, unless `nohup` keeps it away."""
    asked = Stopping(run, screen)
    screen.seen = asked.seen_or_not
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, asked.heard) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@telling
def train(context: Context, arguments: Sequence[str], *, as_json: bool) -> int:
    """Train a model; at the end, its curve and what it has reached."""
    require(context, "train", "pretrain")
    return _followed(context, "train", "pretrain", arguments, as_json=as_json)


@telling
def evaluate(
    context: Context, run: str | None, arguments: Sequence[str], *, needs_run: bool = True, as_json: bool
) -> int:
    """Measure a model.

    Raises:
        UsageError: there is no such run, or none at all.
    """
    require(context, "eval", "evaluate")
    if run is not None:
        require_run(context, run)
    elif needs_run and not run_names(context.workspace.runs):
        raise UsageError("eval needs a model, and there is none yet.", "Type: intro2llm train")
    return _followed(context, "eval", "evaluate", arguments, as_json=as_json)


def _followed(context: Context, command: str, name: str, arguments: Sequence[str], *, as_json: bool) -> int:
    """Run a recipe that can be stopped in order, and show what it says; with `as_json`, on standard error."""
    code = DONE
    with recipe(context, command, name, arguments, variables=QUIET_THREADS) as (run, screen):
        view = TrainingScreen(screen, screen.aside if as_json else screen.out)
        screen.wait("Starting Python")
        with stopping(run, screen) as asked:
            try:
                for event in run.events():
                    asked.listens = True
                    if isinstance(event, Training):
                        asked.words = "Stopping after this update, then saving; Ctrl-C again stops at once."
                    elif isinstance(event, Finished):
                        code = _exit_code(event, asked)
                    with asked.seen_or_not():
                        _show(context, screen, view, event, as_json=as_json)
            except KeyboardInterrupt:
                with asked.seen_or_not():
                    screen.settle()
                    screen.over_the_echo()
                    if view.training is not None:
                        resumed = after_training(view.training.run, finished=False, evaluates=False)
                        screen.say(f"What was saved before is whole. Go on: {resumed[0]}")
                if asked.exit_code == INTERRUPTED:
                    raise
                with asked.seen_or_not():
                    screen.say("Stopped.")
                code = asked.exit_code
    return code


def _show(context: Context, screen: Screen, view: TrainingScreen, event: object, *, as_json: bool) -> None:
    match event:
        case Training() | Step() | Evaluation() | Sample() | Score() | Progress():
            view.show(event)
        case Table():
            show(screen, event, tables=not as_json)
            if event.notes and not as_json:
                screen.show("")  # between one table's notes and the next table
        case Finished():
            _finish(context, screen, view, event, as_json=as_json)
        case _:
            show(screen, event)


def _exit_code(event: Finished, asked: Stopping) -> int:
    """0 for a recipe that has come to its end; if a signal has ended it, the code of the signal that we were sent."""
    ended_by_signal = event.data.get("exit_code", DONE) != DONE
    return asked.exit_code if ended_by_signal else DONE


def _finish(context: Context, screen: Screen, view: TrainingScreen, event: Finished, *, as_json: bool) -> None:
    if as_json:
        screen.settle()
        write_json({"schema_version": 1, **{name: value for name, value in event.data.items() if name != "exit_code"}})
    elif view.training is None:
        show(screen, event)
    else:
        run, finished = view.training.run, event.data.get("state") == "finished"
        folder = context.workspace.runs / Path(run).name
        drawn = run_curve(read_metrics(folder), view.training.floor, width=min(screen.out.width, 100))
        if drawn is not None and not context.options.plain:
            screen.show("")
            screen.show(drawn)
        entry = opening_lesson(context, "eval")
        evaluates = entry is not None and (entry.done or entry.started or context.workspace.settings.unlock_all)
        screen.show("")
        screen.show(summary_view(event.data, after_training(run, finished=finished, evaluates=evaluates)))
