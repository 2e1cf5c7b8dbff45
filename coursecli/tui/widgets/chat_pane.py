"""The chat with the learner's own model: what was said, and a line to write in."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input, Static

from coursecli.errors import CourseError
from coursecli.recipes.endings import LearnerFailure
from coursecli.recipes.events import Answer, Notice, Ready, Started, Token
from coursecli.render.console import clean, visible
from coursecli.render.generation import failure_view, figures
from coursecli.tui.desk import Desk
from coursecli.tui.talk import Heard, Printed, Silent, Talk, model_for

if TYPE_CHECKING:
    from rich.console import RenderableType

    from coursecli.progress.state import CourseState

DRAW_SECONDS = 0.05
"""Tokens that come faster than this are drawn together."""
STOP_SECONDS = 1.0
"""How long an answer usually takes to stop, at most."""
MOST_TURNS = 200


class ChatPane(Vertical):
    """Starts the model with the first line that is said to it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "screen.back", "Stop, or back", tooltip="End the answer that is being written, else leave"),
        Binding("ctrl+n", "begin_again", "New talk", tooltip="End this chat and begin another"),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__(id="chat")
        self._desk = desk
        self._state: CourseState | None = None
        self._wanted: str | None = None
        self._talk: Talk | None = None
        self._started: Started | None = None
        self._answer: Static | None = None
        self._written = ""
        self._drawing = False
        self._ready = False
        """The model has come as far as to take a line."""
        self._unanswered = 0
        """Lines that it has still to answer."""
        self._asked_to_stop = False

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="talk", can_focus=False):
            yield Static("", id="talk-about")
        yield Input(placeholder="Say something to your model", id="line")

    def take(self, state: CourseState) -> None:
        """What is unlocked."""
        self._state = state
        if self._talk is None:
            self._introduce()

    def talk_to(self, run: str) -> None:
        """Talk to the model of this run from now on."""
        self.end()
        self._wanted = run
        self._introduce()

    def focus(self, scroll_visible: bool = True) -> ChatPane:
        self.query_one(Input).focus(scroll_visible)
        return self

    def end(self) -> None:
        """End the process, if there is one."""
        if self._talk is not None:
            self._talk.close()
            self._talk = None
        self._answer = None
        self._ready, self._unanswered, self._asked_to_stop = False, 0, False

    def on_unmount(self) -> None:
        talk = self._talk
        self.end()
        if talk is not None:
            talk.wait()

    def _introduce(self) -> None:
        about, line = self.query_one("#talk-about", Static), self.query_one(Input)
        if self._state is None:
            return
        try:
            name = model_for(self._desk, self._state, self._wanted)
        except CourseError as error:
            about.update(clean(f"{error.message} {error.remedy}".strip()))
            line.disabled = True
            return
        line.disabled = False
        whom = "a model with random weights: it writes noise" if name is None else f"the run {name}"
        about.update(clean(f"This is {whom}. It starts with the first line."))

    @on(Input.Submitted)
    def _say(self, event: Input.Submitted) -> None:
        line = event.value.strip()
        if not line or self._state is None:
            return
        if self._talk is None:
            try:
                name = model_for(self._desk, self._state, self._wanted)
            except CourseError:  # locked, or gone, since the last look
                self._introduce()
                return
            self._talk = Talk(self._desk, name, self.post_message)
            self._add(Text("Starting your model", style="dim"))
        event.input.clear()
        self._add(Text.assemble(("You    ", "bold"), clean(line)))
        self._talk.say(line)
        self._unanswered += 1

    def on_heard(self, heard: Heard) -> None:
        if heard.talk is not self._talk:  # one that was ended, with messages still on their way
            return
        match event := heard.event:
            case Started():
                self._started = event
            case Notice():
                self._add(clean(event.message, "dim"))
            case Token():
                if self._answer is None:
                    self._written = ""
                    self._answer = self._add(Text())
                self._written += event.text
                self._draw_soon()
            case Answer():
                self._draw()
                self._answer = None
                if self._started is not None:
                    self._add(_quiet(figures(self._started, event)))
            case Ready():
                self._answer = None
                self._unanswered -= self._ready  # the first one answers nothing
                self._ready, self._asked_to_stop = True, False

    def on_printed(self, event: Printed) -> None:
        if event.talk is self._talk:
            self._add(clean(event.text.rstrip("\n"), "dim"))

    def on_silent(self, event: Silent) -> None:
        if event.talk is not self._talk:
            return
        self._draw()
        self.end()
        if event.error is None:
            self._add(Text("Your model has ended. The next line starts it again.", style="dim"))
        elif isinstance(event.error, LearnerFailure):
            self._add(failure_view(event.error, self._desk.workspace.root))
        else:
            self._add(clean(f"✗ {event.error.message} {event.error.remedy}".strip()))

    def interrupt(self) -> bool:
        """End the answer that is awaited; when that has not helped, end the chat. Returns whether there was one."""
        if self._talk is None or not self._unanswered:
            return False
        if self._asked_to_stop:
            self.end()
            self._add(Text("Your model did not stop, and was ended. The next line starts it again.", style="dim"))
        else:
            self._asked_to_stop = True
            self._talk.interrupt()
            self.set_timer(STOP_SECONDS, self._say_how_to_end)
        return True

    def _say_how_to_end(self) -> None:
        if self._asked_to_stop:
            self._add(Text("Your model does not stop. Esc again ends it.", style="dim"))

    def action_begin_again(self) -> None:
        self.end()
        self.query_one("#talk").query(".turn").remove()
        self._introduce()

    def _draw_soon(self) -> None:
        if not self._drawing:
            self._drawing = True
            self.set_timer(DRAW_SECONDS, self._draw)

    def _draw(self) -> None:
        self._drawing = False
        if self._answer is not None:
            self._answer.update(Text.assemble(("Model  ", "bold"), visible(self._written).strip()))
            self._to_the_end()

    def _add(self, what: RenderableType) -> Static:
        talk = self.query_one("#talk", VerticalScroll)
        turn = Static(what, classes="turn")
        talk.mount(turn)
        turns = talk.query(".turn")
        if len(turns) > MOST_TURNS:
            turns.first().remove()
        self._to_the_end()
        return turn

    def _to_the_end(self) -> None:
        self.query_one("#talk", VerticalScroll).scroll_end(animate=False)


def _quiet(line: Text) -> Text:
    line.style = "dim"
    return line
