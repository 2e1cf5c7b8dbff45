"""In which numbers a training computes, and how much of a device it uses."""

from __future__ import annotations

import pytest
import torch

from intro2llm.model.config import ModelConfig
from intro2llm.training import devices


def test_utilization_is_the_models_products_over_the_peak():
    C, inner, layers, V, T = 64, 160, 3, 500, 32
    config = ModelConfig(
        vocab_size=V, hidden_size=C, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=4
    )
    weights = layers * (4 * C * C + 3 * C * inner) + V * C
    a_token = 3 * (2 * weights + layers * 2 * 2 * T * C)  # forward, and twice that backward; scores and their mix
    found = devices.flops_utilization(config, seq_len=T, tokens_per_second=1000, peak=4000.0 * a_token)
    assert found == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("Something else", None),
    ],
)
def test_the_peak_is_that_of_the_device(monkeypatch: pytest.MonkeyPatch, name: str, peak: float | None):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert devices.peak_flops(torch.device("cuda"), torch.bfloat16) == peak
    assert devices.peak_flops(torch.device("cuda"), None) is None  # float32 has other peaks
    assert devices.peak_flops(torch.device("cpu"), torch.bfloat16) is None


def test_bfloat16_is_taken_where_it_is_fast(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert devices.autocast_dtype(None, torch.device("cuda")) is torch.bfloat16
    assert devices.autocast_dtype("float32", torch.device("cuda")) is None
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert devices.autocast_dtype(None, torch.device("cuda")) is None
