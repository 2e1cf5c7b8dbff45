"""`chat`: the learner's model answers line by line. Ctrl-C stops an answer; Ctrl-D or /exit ends the chat."""

from __future__ import annotations

import contextlib
import io
import signal
import sys

from coursecli.cli.context import Context
from coursecli.cli.running import DONE, on_ctrl_c, recipe, require, show, telling, write_json
from coursecli.cli.writing import Sampling, noise, require_model
from coursecli.recipes.events import Answer, Ready, Started, Token
from coursecli.recipes.outputs import generation
from coursecli.recipes.run import RecipeRun

PROMPT = "> "


@telling
def chat(context: Context, wanted: Sampling, *, stream: bool, as_json: bool) -> int:
    """Lines from the keyboard, or from standard input when that is no terminal; answers on standard output."""
    wanted.check()
    require(context, "chat", "chat")
    require_model(context, "chat", wanted)
    talk = Talk(watched=sys.stdin.isatty() and sys.stdout.isatty() and not as_json)
    started: Started | None = None
    with recipe(context, "chat", "chat", wanted.arguments(), listens=True) as (run, screen):
        screen.wait("Starting your model")
        with on_ctrl_c(lambda: talk.interrupt(run)):
            for event in run.events():
                match event:
                    case Started():
                        started = event
                        if event.what == "random" and not as_json:
                            screen.say(noise(context))
                    case Ready():
                        screen.settle()
                        talk.next_line(run)
                    case Token() if stream and not as_json:
                        screen.text(event.text)
                    case Answer() if started is not None:
                        if as_json:
                            write_json(generation(talk.line, started, event))
                        else:
                            screen.text("" if stream else event.text)
                            screen.end_text()
                        if event.stopped == "interrupted":
                            screen.say("Stopped.")
                    case _:
                        show(screen, event)
    return DONE


class Talk:
    """The user's side: where lines come from, and what Ctrl-C means at the moment."""

    def __init__(self, *, watched: bool) -> None:
        self.line = ""
        self._watched = watched
        self._answering = False
        self._asked_to_stop = False
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")  # bytes that are no text must not end a chat
        if watched:
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401  # gives input() its editing and its history

    def next_line(self, run: RecipeRun) -> None:
        """Ask for a line and send it; at the end of the input, say so."""
        line = self._ask()
        self._answering, self._asked_to_stop = line is not None, False
        if line is None:
            run.end_input()
        else:
            self.line = line
            run.send(line)

    def interrupt(self, run: RecipeRun) -> None:
        """Ctrl-C: the first stops the answer. Without an answer, or when that did not help, it ends the chat."""
        if self._answering and not self._asked_to_stop:
            self._asked_to_stop = True
            run.interrupt()
        else:
            run.stop()

    def _ask(self) -> str | None:
        while True:
            before = signal.signal(signal.SIGINT, signal.default_int_handler)  # here it may cut the waiting short
            try:
                if self._watched:
                    return input(PROMPT)
                line = sys.stdin.readline()
                return line.rstrip("\n") if line else None
            except KeyboardInterrupt:
                if not self._watched:
                    raise
                print("\nCtrl-D or /exit ends the chat.")
            except EOFError:
                print()
                return None
            finally:
                signal.signal(signal.SIGINT, before)
