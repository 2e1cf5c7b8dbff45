"""Talk with your model, a line at a time. Given.

python -m intro2llm.recipes.chat --random

A model that was only pretrained continues text: it is given the talk so far as a transcript, and what it adds up to the
next "User:" is taken for its answer. To be taught to answer is the matter of lesson 10.
"""

import signal
import sys
from collections.abc import Sequence

from intro2llm.recipes.events import emit, run_by_hand
from intro2llm.recipes.generate import Writer, options, prepare

USER, ASSISTANT = "User:", "Assistant:"
COMMANDS = {
    "/reset": "forget the talk so far",
    "/seed N": "start the randomness again from N",
    "/help": "this list",
    "/exit": "end the chat (so does Ctrl-D)",
}


class Chat:
    """A talk: the turns so far, and the model that continues them."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.turns: list[str] = []
        self.forgets = False

    def answer(self, line: str) -> None:
        """Let the model answer, and say it as it comes. Ctrl-C ends the answer."""
        turn, limit = f"{USER} {line}\n{ASSISTANT}", self.writer.limit
        alone = len(self.writer.encode(turn))
        if alone >= limit:
            emit("notice", message=f"That is {alone} tokens; this model reads at most {limit}. Shorten it.")
            return
        self.turns.append(turn)
        ids = self.prompt()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.turns[-1] += self.writer.write(ids, until=f"\n{USER}")

    def prompt(self) -> list[int]:
        """The ids of the transcript. Its oldest turns fall out as soon as they would leave no room for an answer."""
        room = min(self.writer.settings["max_new_tokens"], self.writer.limit // 2)
        ids = self.writer.encode("\n".join(self.turns))
        while len(ids) + room > self.writer.limit and len(self.turns) > 1:
            if not self.forgets:
                emit("notice", message=f"The model reads {self.writer.limit} tokens: the oldest turns fall out now.")
                self.forgets = True
            self.turns.pop(0)
            ids = self.writer.encode("\n".join(self.turns))
        return ids

    def obey(self, line: str) -> None:
        """Do what a line that begins with a slash says."""
        name, _, value = line.partition(" ")
        match name:
            case "/reset":
                self.turns.clear()
                emit("notice", message="A new talk begins.")
            case "/seed" if value.strip().isdecimal():
                self.writer.generator.manual_seed(int(value))
                emit("notice", message=f"The randomness begins again from {int(value)}.")
            case "/help":
                for each, meaning in COMMANDS.items():
                    emit("notice", message=f"{each:<8} {meaning}")
            case _:
                emit("notice", message=f"There is no {line!r}. /help lists the commands.")


def main(arguments: Sequence[str] | None = None) -> None:
    chat = Chat(prepare(options(__doc__.splitlines()[0]).parse_args(arguments)))
    emit("notice", message="This model has not been taught to answer yet (lesson 10): it continues the talk as a text.")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # while it waits there is nothing that Ctrl-C could end
    emit("ready")
    for line in map(str.strip, sys.stdin):
        if line == "/exit":
            break
        try:
            if line.startswith("/"):
                chat.obey(line)
            elif line:
                chat.answer(line)
        except KeyboardInterrupt:  # it came before the first token, or after the last
            pass
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        emit("ready")
    emit("finished", message="")


if __name__ == "__main__":
    run_by_hand(main)
