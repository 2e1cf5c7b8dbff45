"""Lessons 01 and 02 against Hugging Face: norms, RoPE and attention equal transformers' modules with copied weights.

Each test takes seconds to import transformers, which is why these comparisons are not in the lessons' own suites.
"""

import pytest
import torch
from torch import Tensor, nn

from intro2llm.model.attention import MultiHeadAttention
from intro2llm.model.config import ModelConfig
from intro2llm.model.embedding import RoPE
from intro2llm.model.norm import LayerNorm, RMSNorm

modeling = {
    family: pytest.importorskip(f"transformers.models.{family.lower()}.modeling_{family.lower()}")
    for family in ("Llama", "Qwen2", "Qwen3")
}
llama = modeling["Llama"]

B, T, C, H = 2, 11, 24, 4
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def normal(*shape: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale + shift


def randomise(module: nn.Module) -> nn.Module:
    """Weights at which a wrong scale, a missing norm or a swapped projection shows."""
    with torch.no_grad():
        for number, (name, parameter) in enumerate(sorted(module.named_parameters())):
            is_norm = "norm" in name
            parameter.copy_(normal(*parameter.shape, seed=number, scale=0.5 if is_norm else 0.3, shift=float(is_norm)))
    return module.eval()


def config_of(family: str, **fields: object) -> object:
    """A published configuration class, small, with plain (eager) attention."""
    sizes = {
        "hidden_size": C,
        "num_attention_heads": H,
        "num_key_value_heads": H,
        "intermediate_size": 40,
        "vocab_size": 99,
    }
    config = getattr(modeling[family], f"{family}Config")(**{**sizes, **fields})
    config._attn_implementation = "eager"
    return config


@pytest.mark.parametrize("eps", [1e-6, 1e-5])
@pytest.mark.parametrize("norm", [llama.LlamaRMSNorm, modeling["Qwen3"].Qwen3RMSNorm])
def test_rmsnorm_equals_llama_and_qwen(norm: type[nn.Module], eps: float):
    theirs = norm(C, eps=eps)
    with torch.no_grad():
        theirs.weight.copy_(normal(C, seed=9, scale=0.5, shift=1.0))
    ours = RMSNorm(C, eps=eps)
    ours.load_state_dict(theirs.state_dict())
    for scale in (1.0, 1e-3, 50.0):
        x = normal(B, T, C, seed=1, scale=scale, shift=scale)
        torch.testing.assert_close(ours(x), theirs(x), **TOLERANCE)


def test_layernorm_equals_torch():
    theirs = nn.LayerNorm(C, eps=1e-6)
    with torch.no_grad():
        theirs.weight.copy_(normal(C, seed=2, shift=1.0))
        theirs.bias.copy_(normal(C, seed=3))
    ours = LayerNorm(C)
    ours.load_state_dict(theirs.state_dict())
    for scale in (1.0, 1e-3, 50.0):
        x = normal(B, T, C, seed=4, scale=scale, shift=scale)
        torch.testing.assert_close(ours(x), theirs(x), **TOLERANCE)


@pytest.mark.parametrize("base", [10_000.0, 500_000.0])
def test_rope_equals_llama(base: float):
    theirs = llama.LlamaRotaryEmbedding(config=config_of("Llama", rope_theta=base))
    q, k = normal(B, H, T, C // H, seed=5), normal(B, 2, T, C // H, seed=6)
    positions = torch.stack([torch.arange(T), torch.arange(T) * 7 + 1000])
    cos, sin = theirs(q, positions)
    expected = llama.apply_rotary_pos_emb(q, k, cos, sin)
    torch.testing.assert_close(RoPE(C // H, base=base)(q, k, positions), expected, **TOLERANCE)


def hidden_pairs(padded: int) -> tuple[Tensor, Tensor]:
    """Causal, the first `padded` keys of row 1 hidden: our bool mask, and the additive one that transformers takes."""
    allowed = torch.ones(B, 1, T, T, dtype=torch.bool).tril()
    allowed[1, ..., :padded] = False
    allowed |= torch.eye(T, dtype=torch.bool)  # transformers has no rule for a query that sees nothing
    return allowed, torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)


@pytest.mark.parametrize(
    ("family", "theirs_has", "ours_has"),
    [
        ("Llama", {}, {}),
        ("Llama", {"head_dim": 10}, {"head_dim": 10}),
        ("Qwen2", {}, {"attention_bias": True}),
        ("Qwen3", {"head_dim": 10}, {"head_dim": 10, "qk_norm": True}),
        ("Qwen3", {"head_dim": 6, "rope_theta": 1e6}, {"qk_norm": True, "rope_theta": 1e6}),
    ],
    ids=["llama", "llama-wide-heads", "qwen2-bias", "qwen3-wide-heads", "qwen3-theta"],
)
def test_attention_equals_llama_and_qwen(family: str, theirs_has: dict[str, object], ours_has: dict[str, object]):
    module, config = modeling[family], config_of(family, **theirs_has)
    theirs = randomise(getattr(module, f"{family}Attention")(config, layer_idx=0))
    ours = MultiHeadAttention(
        ModelConfig(hidden_size=C, num_attention_heads=H, rms_norm_eps=config.rms_norm_eps, **ours_has)
    ).eval()
    ours.load_state_dict(theirs.state_dict())  # strict: the names and shapes are the same

    x = normal(B, T, C, seed=7)
    positions = torch.stack([torch.arange(T), torch.arange(T) + 30])
    angles = getattr(module, f"{family}RotaryEmbedding")(config=config)(x, positions)
    allowed, additive = hidden_pairs(padded=3)
    expected, _ = theirs(x, position_embeddings=angles, attention_mask=additive)
    torch.testing.assert_close(ours(x, position_ids=positions, attention_mask=allowed), expected, **TOLERANCE)

    causal = torch.full((T, T), torch.finfo(torch.float32).min).triu(1).expand(B, 1, T, T)
    expected, _ = theirs(x, position_embeddings=angles, attention_mask=causal)
    torch.testing.assert_close(ours(x, position_ids=positions, is_causal=True), expected, **TOLERANCE)


def test_attention_gradients_equal_llama():
    theirs = randomise(llama.LlamaAttention(config_of("Llama"), layer_idx=0))
    ours = MultiHeadAttention(ModelConfig(hidden_size=C, num_attention_heads=H)).eval()
    ours.load_state_dict(theirs.state_dict())
    x, positions = normal(B, T, C, seed=8), torch.arange(T)[None]
    angles = llama.LlamaRotaryEmbedding(config=config_of("Llama"))(x, positions)
    allowed, additive = hidden_pairs(padded=0)
    theirs(x, position_embeddings=angles, attention_mask=additive)[0].square().mean().backward()
    ours(x, attention_mask=allowed).square().mean().backward()
    for (name, mine), (_, published) in zip(ours.named_parameters(), theirs.named_parameters()):
        torch.testing.assert_close(
            mine.grad, published.grad, **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}"
        )
