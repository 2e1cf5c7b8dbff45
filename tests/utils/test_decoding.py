"""Weights laid out by columns: the same model in every respect but memory."""

import pytest
import torch

from intro2llm.model.causal_lm import CausalLM
from intro2llm.model.config import ModelConfig
from intro2llm.utils.decoding import lay_out_for_decoding


@pytest.mark.parametrize("tied", [False, True])
def test_shapes_values_ties_and_results_stay(tied: bool) -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=37,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        attention_bias=True,
        tie_word_embeddings=tied,
    )
    model = CausalLM(config).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ids = torch.randint(37, (2, 7))
    logits = model(ids).logits
    lay_out_for_decoding(model)
    after = model.state_dict()
    assert after.keys() == before.keys()
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name])
    assert (model.lm_head.weight is model.embed_tokens.weight) is tied
    torch.testing.assert_close(model(ids).logits, logits, rtol=1e-5, atol=1e-5)
    model(ids, labels=ids).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="it is for MKL")
def test_the_numbers_of_a_column_lie_side_by_side() -> None:
    layer = torch.nn.Linear(6, 4)
    lay_out_for_decoding(torch.nn.Sequential(layer))
    assert layer.weight.shape == (4, 6)
    assert layer.weight.stride() == (1, 4)
