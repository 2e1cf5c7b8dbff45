"""What the suites of lesson 09 do not ask of a learner's `predict`, and the reference does all the same."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from intro2llm.evaluation.mmlu import Question, predict


class Characters:
    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        return [ord(character) for character in text]


class Uniform(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.widths: list[int] = []

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        self.widths.append(input_ids.shape[1])
        return SimpleNamespace(logits=self.weight.expand(*input_ids.shape, 128))


@pytest.mark.parametrize("max_length", [1, 2])
def test_a_max_length_without_room_for_the_prompt_is_refused(max_length: int) -> None:
    model = Uniform()
    with pytest.raises(ValueError, match="empty"):
        predict(model, Characters(), Question("virology", "Q?", ("a", "b", "c", "d"), 0), max_length=max_length)
    assert not model.widths
