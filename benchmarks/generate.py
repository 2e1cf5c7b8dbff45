"""Decoding: tokens per second of our `CausalLM.generate` against `generate` of transformers, with the same weights.

Greedy, so that both must write the same tokens, which is asserted. One thread, and inference mode for all. Beside the
two stand what bounds them, the linear layers alone, and what no cache costs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from _paired import Call, compare_speeds
from _reference import bind_reference
from torch import Tensor, nn

BARS = {1: 1.9, 8: 1.5}
"""Batch size → how many times the tokens per second of transformers."""
SHAPE = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "vocab_size": 1024,
}
"""5.8 million parameters."""
PROMPT, NEW = 16, 64
ROUNDS = 7


def main() -> int:
    bind_reference()
    from transformers import LlamaConfig, LlamaForCausalLM

    from intro2llm.model.causal_lm import CausalLM
    from intro2llm.model.config import ModelConfig

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = ModelConfig(**SHAPE)
    theirs = LlamaForCausalLM(
        LlamaConfig(
            **SHAPE,
            rms_norm_eps=config.rms_norm_eps,
            max_position_embeddings=config.max_position_embeddings,
            initializer_range=0.08,  # larger than usual, so that the likeliest token is so by a clear margin
            bos_token_id=None,
            eos_token_id=None,
        )
    ).eval()
    weights = {name.removeprefix("model."): tensor for name, tensor in theirs.state_dict().items()}
    model = CausalLM(config).eval()
    model.load_state_dict(weights)

    met = True
    for batch_size, bar in BARS.items():
        prompt = torch.randint(config.vocab_size, (batch_size, PROMPT))

        def peer(prompt: Tensor = prompt) -> Tensor:
            everything = torch.ones_like(prompt)
            return theirs.generate(prompt, attention_mask=everything, max_new_tokens=NEW, do_sample=False)

        def ours(prompt: Tensor = prompt, **options: Any) -> Callable[[], Tensor]:
            return lambda: model.generate(prompt, max_new_tokens=NEW, temperature=0.0, **options)

        print(f"batch {batch_size}, {PROMPT} + {NEW} tokens, {parameters(model) / 1e6:.1f} million parameters:")
        with torch.inference_mode():
            expected = peer().tolist()
            for candidate in (ours(), ours(use_cache=False)):
                if candidate().tolist() != expected:
                    print("  the tokens are not those of transformers: nothing to compare")
                    return 1
            met &= compare_speeds(
                Call("transformers generate", peer),
                Call("ours", ours()),
                Call("linear layers alone", linear_layers(model, batch_size)),
                amount=batch_size * NEW,
                unit="tokens",
                bars={"ours": bar},
                rounds=ROUNDS,
            )
            if batch_size == 1:  # slow, and only context: fewer rounds
                compare_speeds(
                    Call("transformers generate", peer),
                    Call("ours, without a cache", ours(use_cache=False)),
                    amount=NEW,
                    unit="tokens",
                    bars={},
                    rounds=3,
                )
    return 0 if met else 1


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def linear_layers(model: nn.Module, batch_size: int) -> Callable[[], None]:
    """Every linear layer of the model once for each new token, and nothing else: what bounds any decoder of these."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    inputs = {layer.in_features: torch.randn(batch_size, 1, layer.in_features) for layer in layers}

    def run() -> None:
        for _ in range(NEW):
            for layer in layers:
                nn.functional.linear(inputs[layer.in_features], layer.weight)

    return run


if __name__ == "__main__":
    sys.exit(main())
