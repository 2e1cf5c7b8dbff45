"""The runs of the workspace: their names, and one of them whole, with its curve, while it is trained and afterwards."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.console import Group, RenderableType
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from coursecli.recipes.following import MetricsLog
from coursecli.recipes.runs import Run, read_checkpoints, read_runs, read_samples, read_scores, read_settings
from coursecli.render.console import clean
from coursecli.render.runs import Details, show_view, updates
from coursecli.tui.widgets.rich_view import RichView

EVERY_SECONDS = 1.0
_DRAWING = threading.Lock()
"""plotext keeps the figure that it draws in a global variable."""


class RunsPane(Horizontal):
    """Looks at the folder once a second, and only while it is on the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "talk", "Talk to it", tooltip="Chat with the model of this run")
    ]

    class Talk(Message):
        """The learner wants to talk to a run's model."""

        def __init__(self, run: str) -> None:
            super().__init__()
            self.run = run

    class Read(Message):
        """What there is in the folder."""

        def __init__(self, runs: list[Run], changed: bool) -> None:
            super().__init__()
            self.runs = runs
            self.changed = changed

    def __init__(self, folder: Path) -> None:
        super().__init__(id="runs")
        self._folder = folder
        self._runs: dict[str, Run] = {}
        self._log: tuple[str, MetricsLog] | None = None
        self._looking = False

    def compose(self) -> ComposeResult:
        yield OptionList(id="run-list")
        yield RichView(id="run", classes="pane")

    def on_mount(self) -> None:
        self.set_interval(EVERY_SECONDS, self.look)

    def on_show(self) -> None:
        self.look()

    def look(self) -> None:
        """Look at the folder, in a thread: one look at a time."""
        if self.display and not self._looking:
            self._looking = True
            self.run_worker(partial(self._look_at, self.chosen), thread=True, group="runs")

    @property
    def chosen(self) -> str | None:
        """The name of the run that is shown."""
        option = self.query_one(OptionList).highlighted_option
        return option.id if option else None

    def _look_at(self, name: str | None) -> None:
        runs = read_runs(self._folder)
        changed = False
        if name is not None:
            if self._log is None or self._log[0] != name:
                self._log = (name, MetricsLog(self._folder / name))
            changed = self._log[1].look()
        self.post_message(self.Read(runs, changed))

    def on_runs_pane_read(self, event: Read) -> None:
        self._looking = False
        before, self._runs = self._runs, {run.name: run for run in event.runs}
        options = self.query_one(OptionList)
        chosen = self.chosen
        if list(before) != list(self._runs):
            options.clear_options()
            options.add_options(Option(_line(run), id=run.name) for run in event.runs)
            names = list(self._runs)
            options.highlighted = names.index(chosen) if chosen in names else (0 if names else None)
        elif before != self._runs:
            for run in event.runs:
                if _line(run) != _line(before[run.name]):
                    options.replace_option_prompt(run.name, _line(run))
        if event.changed or before != self._runs or not self._runs:
            self._show_run()

    @on(OptionList.OptionHighlighted)
    def _look_closer(self) -> None:
        self._show_run()
        self.look()

    @on(OptionList.OptionSelected)
    def _read_it(self) -> None:
        self.query_one(RichView).focus()

    def action_talk(self) -> None:
        if self.chosen is not None:
            self.post_message(self.Talk(self.chosen))

    def _show_run(self) -> None:
        view, name = self.query_one(RichView), self.chosen
        run = self._runs.get(name or "")
        if run is None:
            view.show(lambda width: none_yet(), place="none")
            return
        log = self._log[1] if self._log and self._log[0] == run.name else None
        view.show(partial(run_page, self._folder / run.name, run, log), place=f"run {run.name}")


def run_page(folder: Path, run: Run, log: MetricsLog | None, width: int) -> RenderableType:
    """One run, whole: what `intro2llm runs show` says."""
    if log is None:
        return clean(run.name, "title")
    details = Details(
        run=run,
        metrics=log.metrics,
        samples=read_samples(folder),
        checkpoints=read_checkpoints(folder),
        settings=read_settings(folder),
        scores=read_scores(folder),
    )
    with _DRAWING:
        return show_view(details, width=width)


def none_yet() -> RenderableType:
    return Group(
        Text("No runs yet", style="title"),
        Text("A training run appears here as soon as it begins, and its curve grows while it runs."),
        Text(),
        Text.assemble("In another terminal: ", ("intro2llm train", "command")),
    )


def _line(run: Run) -> Text:
    """The name, the state, and how far it is."""
    line = Text.assemble(clean(run.name, "bold"), "\n", clean(f"  {run.state or run.kind}", "dim"))
    if run.step is not None:
        line.append_text(clean(f", {updates(run)}", "dim"))
    return line
