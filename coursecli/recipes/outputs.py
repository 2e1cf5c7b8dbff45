"""What `generate --json` and `chat --json` print: one object for each text. A field may be added, never changed."""

from __future__ import annotations

import msgspec

from coursecli.recipes.events import Answer, Started, Stop


class Generation(msgspec.Struct, kw_only=True):
    """A text that the learner's model has written."""

    schema_version: int = 1
    prompt: str
    """What was given; in a chat, the line of the user."""
    text: str
    """What the model added."""
    tokens: int
    seconds: float
    tokens_per_second: float
    stopped: Stop
    run: str
    """Which model: the name of a run, or "random"."""
    parameters: int
    device: str
    seed: int | None


def generation(prompt: str, started: Started, answer: Answer) -> Generation:
    return Generation(
        prompt=prompt,
        text=answer.text,
        tokens=answer.tokens,
        seconds=round(answer.seconds, 4),
        tokens_per_second=round(speed(answer), 2),
        stopped=answer.stopped,
        run=started.what,
        parameters=started.parameters,
        device=started.device,
        seed=started.seed,
    )


def speed(answer: Answer) -> float:
    """Tokens per second, the reading of the prompt included."""
    return answer.tokens / answer.seconds if answer.seconds > 0 else 0.0
