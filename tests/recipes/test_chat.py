"""The chat recipe over a model whose answers are known: the transcript, its end, what falls out, the commands."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from intro2llm.recipes import chat, events, generate
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer


class Parrot:
    """Continues every prompt with the same text. It keeps the prompts that it was given, and the options."""

    def __init__(
        self, tokenizer: ByteLevelTokenizer, reply: str, limit: int, error: type[BaseException] | None
    ) -> None:
        self.tokenizer, self.reply, self.error = tokenizer, reply, error
        self.config = SimpleNamespace(max_position_embeddings=limit)
        self.prompts: list[str] = []
        self.options: list[dict[str, Any]] = []

    def generate(self, input_ids: torch.Tensor, *, on_token: Any, max_new_tokens: int, **options: Any) -> torch.Tensor:
        self.prompts.append(self.tokenizer.decode(input_ids[0]))
        self.options.append(options)
        ids = self.tokenizer.encode(self.reply)[:max_new_tokens]
        for token in ids:
            on_token(torch.tensor([token]))
        if self.error:
            raise self.error
        return torch.tensor([[*input_ids[0].tolist(), *ids]])


@pytest.fixture
def said(monkeypatch) -> list[tuple[str, dict[str, Any]]]:
    """The events that a recipe emits."""
    emitted: list[tuple[str, dict[str, Any]]] = []
    for module in (chat, generate):
        monkeypatch.setattr(module, "emit", lambda event, **fields: emitted.append((event, fields)))
    return emitted


def talk(
    monkeypatch, lines: str, reply: str = " yes", *, limit: int = 200, tokens: int = 50, error: Any = None
) -> Parrot:
    tokenizer = ByteLevelTokenizer()
    parrot = Parrot(tokenizer, reply, limit, error)
    settings = {"max_new_tokens": tokens, "temperature": 1.0, "top_k": None, "top_p": None}
    generator = torch.Generator().manual_seed(1)
    writer = generate.Writer(parrot, tokenizer, torch.device("cpu"), generator, {tokenizer.eos_token_id}, settings)
    monkeypatch.setattr(chat, "prepare", lambda chosen: writer)
    monkeypatch.setattr(chat.sys, "stdin", io.StringIO(lines))
    monkeypatch.setattr(chat.signal, "signal", lambda number, handler: None)
    chat.main([])
    return parrot


def answers(said: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [fields for event, fields in said if event == "answer"]


def notices(said: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [fields["message"] for event, fields in said if event == "notice"][1:]


def test_the_model_continues_a_transcript(monkeypatch, said):
    parrot = talk(monkeypatch, "hi\n\n  and you? \n")
    assert parrot.prompts == ["User: hi\nAssistant:", "User: hi\nAssistant: yes\nUser: and you?\nAssistant:"]
    assert [(each["text"], each["tokens"], each["stopped"]) for each in answers(said)] == [(" yes", 4, "length")] * 2
    assert [event for event, _ in said if event in ("ready", "finished")] == ["ready"] * 4 + ["finished"]


def test_the_answer_ends_where_the_user_would_speak_again(monkeypatch, said):
    parrot = talk(monkeypatch, "hi\nso\n", reply=" yes\nUser: no\nAssistant: why")
    assert answers(said)[0] == {"text": " yes", "tokens": 10, "seconds": answers(said)[0]["seconds"], "stopped": "turn"}
    assert parrot.prompts[1] == "User: hi\nAssistant: yes\nUser: so\nAssistant:"
    assert "".join(fields["text"] for event, fields in said if event == "token") == " yes yes"


def test_the_token_that_ends_a_text_ends_the_answer(monkeypatch, said):
    talk(monkeypatch, "hi\n", reply="")
    assert answers(said)[0]["stopped"] == "length"

    def end(self: Parrot, input_ids: torch.Tensor, *, on_token: Any, **_: Any) -> torch.Tensor:
        on_token(torch.tensor([self.tokenizer.eos_token_id]))
        return torch.tensor([[*input_ids[0].tolist(), self.tokenizer.eos_token_id]])

    monkeypatch.setattr(Parrot, "generate", end)
    talk(monkeypatch, "hi\n")
    assert answers(said)[1]["stopped"] == "eos"


def test_the_oldest_turns_fall_out_and_that_is_said_once(monkeypatch, said):
    parrot = talk(monkeypatch, "one\ntwo\nthree\nfour\n", limit=60, tokens=10)
    assert parrot.prompts[2] == "User: two\nAssistant: yes\nUser: three\nAssistant:"
    assert parrot.prompts[3] == "User: three\nAssistant: yes\nUser: four\nAssistant:"
    assert notices(said) == ["The model reads 60 tokens: the oldest turns fall out now."]


def test_a_line_that_is_too_long_is_not_said(monkeypatch, said):
    parrot = talk(monkeypatch, f"{'x' * 60}\nhi\n", limit=60, tokens=10)
    assert notices(said) == ["That is 77 tokens; this model reads at most 60. Shorten it."]
    assert parrot.prompts == ["User: hi\nAssistant:"]


def test_a_line_that_is_too_long_costs_no_earlier_turn(monkeypatch, said):
    parrot = talk(monkeypatch, f"one\n{'x' * 100}\ntwo\n", limit=100, tokens=10)
    assert parrot.prompts[1] == "User: one\nAssistant: yes\nUser: two\nAssistant:"
    assert len(notices(said)) == 1


@pytest.mark.parametrize(
    ("written", "said_tokens", "words"),
    [
        (None, [], "gives NoneType; it must give the ids as a tensor"),
        (torch.tensor([1, 2, 3]), [], r"gives \(3,\);"),
        (torch.ones(1, 20, dtype=torch.long), [], r"0 calls of on_token"),
        (torch.ones(1, 1, dtype=torch.long), [1], r"it must be \(1, \d+ \+ 1\)"),
        (None, [[1, 1]], r"on_token was called with ids \(2,\)"),
    ],
    ids=["nothing", "one dimension", "silent", "no prompt", "two texts"],
)
def test_a_generate_that_breaks_its_promise_is_told_what_it_gave(monkeypatch, said, written, said_tokens, words):
    def generate_wrongly(self: Parrot, input_ids: torch.Tensor, *, on_token: Any, **_: Any) -> Any:
        for token in said_tokens:
            on_token(torch.tensor(token))
        return written

    monkeypatch.setattr(Parrot, "generate", generate_wrongly)
    with pytest.raises((TypeError, ValueError), match=words):
        talk(monkeypatch, "hi\n")


def test_an_encode_that_gives_no_list_is_named(monkeypatch, said):
    monkeypatch.setattr(ByteLevelTokenizer, "encode", lambda self, text: None)
    with pytest.raises(TypeError, match=r"ByteLevelTokenizer\.encode gives NoneType"):
        talk(monkeypatch, "hi\n")


def test_an_interrupted_answer_stays_in_the_talk(monkeypatch, said):
    parrot = talk(monkeypatch, "hi\nso\n", error=KeyboardInterrupt)
    assert [each["stopped"] for each in answers(said)] == ["interrupted"] * 2
    assert parrot.prompts[1] == "User: hi\nAssistant: yes\nUser: so\nAssistant:"


def test_ctrl_c_before_the_first_token_is_not_the_end(monkeypatch, said):
    def too_early(self: chat.Chat, line: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(chat.Chat, "answer", too_early)
    talk(monkeypatch, "hi\nso\n")
    assert [event for event, _ in said if event != "notice"] == ["ready", "ready", "ready", "finished"]


def test_the_learners_error_leaves_the_chat(monkeypatch, said):
    with pytest.raises(ZeroDivisionError):
        talk(monkeypatch, "hi\n", error=ZeroDivisionError)


def test_the_commands(monkeypatch, said):
    parrot = talk(monkeypatch, "hi\n/reset\nso\n/seed 1\nno\n/seed x\n/what\n/help\n/exit\nnever\n")
    assert parrot.prompts[1] == "User: so\nAssistant:"
    assert len(parrot.prompts) == 3
    assert notices(said)[:4] == [
        "A new talk begins.",
        "The randomness begins again from 1.",
        "There is no '/seed x'. /help lists the commands.",
        "There is no '/what'. /help lists the commands.",
    ]
    assert len(notices(said)) == 4 + len(chat.COMMANDS)
    assert torch.equal(parrot.options[-1]["generator"].get_state(), torch.Generator().manual_seed(1).get_state())


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(events.RecipeError, match="no device 'abacus'"):
        generate.pick_device("abacus")
