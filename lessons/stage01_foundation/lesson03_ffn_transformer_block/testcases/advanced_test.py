"""The edges of lesson 03: axes, strides, dtypes, gradients, extreme gates, and the whole block with real parts."""

import math
import random

import pytest
import torch
from torch import Tensor, nn

from coursecli.expect import (
    diagnosing,
    expect,
    expect_close,
    expect_dtype,
    expect_equal,
    expect_gradient,
    expect_unchanged,
)
from intro2llm.model.config import ModelConfig
from intro2llm.model.feedforward import BasicFFN, FeedForward, SwiGLU
from intro2llm.model.norm import get_norm
from intro2llm.model.transformer_block import TransformerBlock

B, T, C, INNER, H, D = 2, 7, 12, 20, 3, 4  # batch, tokens, channels, inner width, heads, head size: no two alike


def make_config(**changes: object) -> ModelConfig:
    return ModelConfig(**{"hidden_size": C, "intermediate_size": INNER, "num_attention_heads": H, **changes})


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def randomised(module: nn.Module, *, seed: int) -> nn.Module:
    """Every parameter drawn anew and large enough that no part of the formula can hide."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return module


def in_float64(ffn: nn.Module, x: Tensor) -> Tensor:
    """The formula of each network in float64, with the weights of `ffn`."""
    weight = {name: parameter.detach().double() for name, parameter in ffn.named_parameters()}
    x = x.detach().double()
    if isinstance(ffn, BasicFFN):
        inner = (x @ weight["up_proj.weight"].T + weight["up_proj.bias"]).clamp(min=0)
        return inner @ weight["down_proj.weight"].T + weight["down_proj.bias"]
    gate, up = x @ weight["gate_proj.weight"].T, x @ weight["up_proj.weight"].T
    opened = torch.special.ndtr(gate) if type(ffn) is FeedForward else torch.sigmoid(gate)
    return (gate * opened * up) @ weight["down_proj.weight"].T


def check_random_sizes(kind: type[nn.Module], hidden_act: str, *, mistake: str | None = None) -> None:
    """Five pairs of sizes, the inner width smaller than the outer one among them, each with random weights."""
    random_sizes = random.Random(kind.__name__)
    for case in range(5):
        width, inner, batch, tokens = random_sizes.sample(range(1, 24), 4)
        config = ModelConfig(hidden_size=width, intermediate_size=inner, hidden_act=hidden_act)
        ffn = randomised(kind(config), seed=20 + case)
        x = draw(batch, tokens, width, seed=30 + case)
        with torch.no_grad():
            expect_close(
                ffn(x),
                in_float64(ffn, x).float(),
                what=f"{kind.__name__} with hidden_size {width} and intermediate_size {inner}",
                dims="B T C",
                mistake=mistake,
            )


def check_any_axes(kind: type[nn.Module], hidden_act: str) -> None:
    """One vector, a matrix, four axes, and a transposed view: the formula acts on the last axis of all of them."""
    ffn = randomised(kind(make_config(hidden_act=hidden_act)), seed=40)
    inputs = {
        "a single vector (C,)": draw(C, seed=41),
        "a matrix (T, C)": draw(T, C, seed=42),
        "four axes": draw(B, 3, T, C, seed=43),
        "a transposed, so not contiguous, input": draw(T, B, C, seed=44).transpose(0, 1),
    }
    for words, x in inputs.items():
        right = in_float64(ffn, x).float()
        with torch.no_grad(), diagnosing("needs-contiguous", RuntimeError, match="view size is not compatible"):
            with diagnosing("needs-three-axes", ValueError, match="unpack"):
                with expect_unchanged(x, what=f"the input of {kind.__name__}", mistake="ffn-in-place"):
                    y = ffn(x)
        expect_close(y, right, what=f"{kind.__name__} of {words}")


def check_dtypes(kind: type[nn.Module], hidden_act: str) -> None:
    """The module cast to float64 and to bfloat16 computes and answers in that dtype."""
    ffn = randomised(kind(make_config(hidden_act=hidden_act)), seed=50)
    x = draw(B, T, C, seed=51)
    right = in_float64(ffn, x)
    with torch.no_grad(), diagnosing("ffn-changes-dtype", RuntimeError, match="dtype"):
        double, half = ffn.double()(x.double()), ffn.bfloat16()(x.bfloat16())
    expect_dtype(double, torch.float64, what=f"{kind.__name__} cast to float64", mistake="ffn-changes-dtype")
    expect_close(double, right, rtol=1e-6, atol=1e-6, what=f"{kind.__name__} cast to float64", dims="B T C")
    expect_dtype(half, torch.bfloat16, what=f"{kind.__name__} cast to bfloat16", mistake="ffn-changes-dtype")
    error = float((half.double() - right).norm() / right.norm())
    expect(
        error < 0.03,
        f"the relative error of the bfloat16 output is {error:.3f}",
        what=f"{kind.__name__} cast to bfloat16, against float64",
        expected="below 0.03",
        actual=f"{error:.3f}",
    )


def check_gradients(kind: type[nn.Module], hidden_act: str, *, mistake: str) -> None:
    """The gradient of the input and of every weight is that of the formula."""
    ffn = randomised(kind(make_config(hidden_act=hidden_act)), seed=60).double()
    names = [name for name, _ in ffn.named_parameters()]
    values = [parameter.detach().clone() for parameter in ffn.parameters()]
    x = draw(B, T, C, seed=61).double()

    def output(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(ffn, dict(zip(names, parameters)), (x,))

    with diagnosing(mistake, RuntimeError, match="does not require grad"):
        expect_gradient(output, [x, *values], what=f"the gradients of {kind.__name__}", mistake=mistake)


def check_ignores_hidden_act(kind: type[nn.Module], hidden_act: str) -> None:
    """The class itself decides the activation; another `hidden_act` in the config changes nothing."""
    ffn = randomised(kind(make_config(hidden_act=hidden_act)), seed=70)
    x = draw(B, T, C, seed=71)
    with torch.no_grad():
        expect_close(
            ffn(x),
            in_float64(ffn, x).float(),
            what=f"{kind.__name__} built directly from a config with hidden_act={hidden_act!r}",
            dims="B T C",
            mistake="activation-from-config",
        )


# ------------------------------------------------------------------------------------------------------------- BasicFFN


@pytest.mark.task("basic-ffn")
def test_basic_ffn_for_any_sizes() -> None:
    """BasicFFN follows the formula for any hidden_size and intermediate_size."""
    check_random_sizes(BasicFFN, "relu")


@pytest.mark.task("basic-ffn")
def test_basic_ffn_for_any_axes_and_strides() -> None:
    """BasicFFN acts on the last axis, whatever stands before it, and leaves its input as it was."""
    check_any_axes(BasicFFN, "relu")


@pytest.mark.task("basic-ffn")
def test_basic_ffn_keeps_the_dtype() -> None:
    """BasicFFN cast to another dtype computes and answers in that dtype."""
    check_dtypes(BasicFFN, "relu")


@pytest.mark.task("basic-ffn")
def test_basic_ffn_has_the_right_gradients() -> None:
    """The gradient of the input and of every weight of BasicFFN is that of the formula."""
    check_gradients(BasicFFN, "relu", mistake="basic-cut-from-the-graph")


@pytest.mark.task("basic-ffn")
def test_basic_ffn_does_not_read_hidden_act() -> None:
    """BasicFFN built directly is BasicFFN, whatever hidden_act the config names."""
    check_ignores_hidden_act(BasicFFN, "silu")


# ---------------------------------------------------------------------------------------------------------- FeedForward


@pytest.mark.task("geglu")
def test_geglu_for_any_sizes() -> None:
    """FeedForward follows the formula for any hidden_size and intermediate_size."""
    check_random_sizes(FeedForward, "gelu")


@pytest.mark.task("geglu")
def test_geglu_for_any_axes_and_strides() -> None:
    """FeedForward acts on the last axis, whatever stands before it, and leaves its input as it was."""
    check_any_axes(FeedForward, "gelu")


@pytest.mark.task("geglu")
def test_geglu_keeps_the_dtype() -> None:
    """FeedForward cast to another dtype computes and answers in that dtype."""
    check_dtypes(FeedForward, "gelu")


@pytest.mark.task("geglu")
def test_geglu_has_the_right_gradients() -> None:
    """The gradient of the input and of every weight of FeedForward is that of the formula."""
    check_gradients(FeedForward, "gelu", mistake="geglu-cut-from-the-graph")


@pytest.mark.task("geglu")
def test_geglu_does_not_read_hidden_act() -> None:
    """FeedForward built directly is GeGLU, whatever hidden_act the config names."""
    check_ignores_hidden_act(FeedForward, "silu")


# --------------------------------------------------------------------------------------------------------------- SwiGLU


@pytest.mark.task("swiglu")
def test_swiglu_for_any_sizes() -> None:
    """SwiGLU follows the formula for any hidden_size and intermediate_size."""
    check_random_sizes(SwiGLU, "silu")


@pytest.mark.task("swiglu")
def test_swiglu_for_any_axes_and_strides() -> None:
    """SwiGLU acts on the last axis, whatever stands before it, and leaves its input as it was."""
    check_any_axes(SwiGLU, "silu")


@pytest.mark.task("swiglu")
def test_swiglu_keeps_the_dtype() -> None:
    """SwiGLU cast to another dtype computes and answers in that dtype."""
    check_dtypes(SwiGLU, "silu")


@pytest.mark.task("swiglu")
def test_swiglu_has_the_right_gradients() -> None:
    """The gradient of the input and of every weight of SwiGLU is that of the formula."""
    check_gradients(SwiGLU, "silu", mistake="swiglu-cut-from-the-graph")


@pytest.mark.task("swiglu")
def test_swiglu_does_not_read_hidden_act() -> None:
    """SwiGLU built directly is SwiGLU, whatever hidden_act the config names."""
    check_ignores_hidden_act(SwiGLU, "gelu")


@pytest.mark.task("swiglu")
def test_swiglu_survives_extreme_gates() -> None:
    """Gates of ±1000 give finite outputs and finite gradients."""
    ffn = SwiGLU(ModelConfig(hidden_size=2, intermediate_size=3))
    with torch.no_grad():
        ffn.gate_proj.weight.copy_(torch.tensor([[1000.0, 0.0], [-1000.0, 0.0], [0.0, 0.0]]))
        ffn.up_proj.weight.copy_(torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]))
        ffn.down_proj.weight.copy_(torch.tensor([[0.001, 1.0, 1.0], [0.0, 1.0, 1.0]]))
    x = torch.tensor([[[1.0, 5.0]]], requires_grad=True)
    y = ffn(x)
    what = "SwiGLU whose gates stand at 1000, -1000 and 0"
    expect_close(y, torch.tensor([[[5.0, 0.0]]]), what=what, dims="B T C", mistake="silu-overflows")
    y.sum().backward()
    # y = 0.001 · 1000 x₀ · x₁, and both other gates are flat zero at x (the third passes x₀·0).
    expect_close(
        x.grad, torch.tensor([[[5.0, 1.0]]]), what=f"the gradient of {what}", dims="B T C", mistake="silu-overflows"
    )


# ------------------------------------------------------------------------------------------------------------- block


class Part:
    """Stands in for what a norm or the feed-forward network computes: a known function."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *args: Tensor, **named: Tensor) -> Tensor:
        (x,) = (*args, *named.values())
        return self.function(x)


class Attention:
    """Stands in for what the attention computes: a known function, and a memory of the options it was given."""

    def __init__(self, function):
        self.function = function
        self.calls: list[dict[str, object]] = []

    def __call__(self, hidden_states: Tensor, *, position_ids=None, attention_mask=None, is_causal=False) -> Tensor:
        self.calls.append({"position_ids": position_ids, "attention_mask": attention_mask, "is_causal": is_causal})
        return self.function(hidden_states)


def assembled(first_norm, attention, second_norm, mlp, **options: int) -> TransformerBlock:
    """A block whose four parts compute known functions, so that only its wiring is tested."""
    block = TransformerBlock(make_config(), **options)
    block.input_layernorm.forward = Part(first_norm)
    block.self_attn.forward = Attention(attention)
    block.post_attention_layernorm.forward = Part(second_norm)
    block.mlp.forward = Part(mlp)
    return block


def same(x: Tensor) -> Tensor:
    return x


def zero(x: Tensor) -> Tensor:
    return torch.zeros_like(x)


@pytest.mark.task("transformer-block")
def test_gradient_flows_straight_through() -> None:
    """With silent branches the gradient arrives at the input as it was at the output: the stream is not interrupted."""
    block = assembled(same, zero, same, zero)
    x = draw(B, T, C, seed=80).requires_grad_()
    arriving = draw(B, T, C, seed=81)
    y = block(x)
    what = "the gradient at the input of a block whose two branches give zeros"
    expect(
        y.requires_grad,
        "the output is cut off from the input: no gradient can flow back",
        what=what,
        mistake="residual-detached",
    )
    y.backward(arriving)
    expect_close(
        x.grad if x.grad is not None else torch.zeros_like(x),
        arriving,
        what=what,
        dims="B T C",
        mistake="residual-detached",
    )


@pytest.mark.task("transformer-block")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_block_keeps_the_dtype(dtype: torch.dtype) -> None:
    """The stream leaves the block in the dtype in which it came."""
    block = assembled(same, torch.sin, same, torch.cos)
    x = draw(B, T, C, seed=82).to(dtype)
    expect_dtype(block(x), dtype, what=f"the output of a block for {dtype} input", mistake="stream-changes-dtype")


@pytest.mark.task("transformer-block")
def test_block_uses_the_eps_of_the_config() -> None:
    """Both norms of a block are those of get_norm(config): with rms_norm_eps=0.5 the difference can be seen."""
    config = make_config(rms_norm_eps=0.5)
    block = TransformerBlock(config)
    x = draw(B, T, C, seed=83)
    with torch.no_grad():
        for name in ("input_layernorm", "post_attention_layernorm"):
            expect_close(
                getattr(block, name)(x),
                get_norm(config)(x),
                what=f"{name} of a block with rms_norm_eps=0.5, against get_norm(config)",
                dims="B T C",
                mistake="block-eps-forgotten",
            )


@pytest.mark.task("transformer-block")
def test_block_keeps_nothing_between_calls() -> None:
    """The options of one call do not reach the next, and the same call twice gives the same result."""
    block = assembled(same, torch.sin, same, torch.cos)
    long, short = draw(B, T, C, seed=84), draw(B + 1, T - 2, C, seed=85)
    first = block(long, position_ids=torch.arange(T), attention_mask=torch.ones(T, T, dtype=torch.bool), is_causal=True)
    positions = torch.arange(T - 2) + 9
    with diagnosing("options-remembered", RuntimeError):
        block(short)
        block(short, position_ids=positions)
        again = block(long)
    _, plain, shifted, _ = block.self_attn.forward.calls
    what = "a call of the block without options, after a call with all of them"
    for name in ("position_ids", "attention_mask"):
        kept = plain[name] is not None
        expect(not kept, f"self_attn is given {name} all the same", what=what, mistake="options-remembered")
    expect(not plain["is_causal"], "self_attn is given is_causal all the same", what=what, mistake="options-remembered")
    expect_equal(
        torch.as_tensor(shifted["position_ids"]).tolist(),
        positions.tolist(),
        what="the position_ids that self_attn is given in a later call",
        mistake="options-remembered",
    )
    expect_close(again, first, what="the same input a second time", dims="B T C", mistake="options-remembered")


@pytest.mark.task("transformer-block")
def test_layer_idx_is_kept_and_changes_nothing() -> None:
    """layer_idx is stored, is 0 unless given, and does not change what the block computes."""
    x = draw(B, T, C, seed=86)
    parts = (torch.tanh, torch.sin, lambda v: v + 1, torch.cos)
    first, eighth = assembled(*parts), assembled(*parts, layer_idx=7)
    expect_equal(first.layer_idx, 0, what="layer_idx of TransformerBlock(config)")
    expect_equal(eighth.layer_idx, 7, what="layer_idx of TransformerBlock(config, layer_idx=7)")
    h = x + torch.sin(torch.tanh(x))
    for block in (first, eighth):
        expect_close(
            block(x),
            h + torch.cos(h + 1),
            what=f"a block of simple functions with layer_idx={block.layer_idx}",
            dims="B T C",
            mistake="scaled-by-layer",
        )


@pytest.mark.task("transformer-block")
@pytest.mark.parametrize(("norm_type", "hidden_act"), [("rms_norm", "silu"), ("layer_norm", "gelu")])
def test_every_parameter_learns(norm_type: str, hidden_act: str) -> None:
    """A block has no parameters beside those of its parts; those of both norms and of the mlp get gradients."""
    block = TransformerBlock(make_config(norm_type=norm_type, hidden_act=hidden_act))
    homes = {name.split(".")[0] for name, _ in block.named_parameters()}
    expect_equal(
        sorted(homes),
        ["input_layernorm", "mlp", "post_attention_layernorm", "self_attn"],
        what="the parts of the block that hold parameters",
    )
    block.self_attn.forward = Attention(torch.sin)
    randomised(block, seed=87)(draw(B, T, C, seed=88)).square().sum().backward()
    learning = {name for name, p in block.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    idle = [name for name, _ in block.named_parameters() if not name.startswith("self_attn.") and name not in learning]
    expect_equal(idle, [], what="the parameters of the norms and of the mlp that get no gradient")


@pytest.mark.task("transformer-block")
def test_a_deep_stack_still_teaches_its_first_layer() -> None:
    """Through 24 blocks with weak branches the gradient at the input keeps its size: the additions carry it."""
    blocks = [assembled(torch.tanh, lambda v: 0.02 * torch.sin(v), torch.tanh, lambda v: 0.02 * v) for _ in range(24)]
    x = draw(B, T, C, seed=89).requires_grad_()
    h = x
    for block in blocks:
        h = block(h)
    h.sum().backward()
    size = float(x.grad.abs().mean())
    expect(
        0.5 < size < 10.0,
        f"the mean gradient at the input of the first block is {size:.3g}",
        what="a stack of 24 blocks, each of which adds a little",
        expected="between 0.5 and 10 (1 at the output)",
        actual=f"{size:.3g}",
    )


@pytest.mark.task("transformer-block")
@pytest.mark.integration
def test_whole_block_against_the_formulas() -> None:
    """The block with your own norm, attention, rotation and feed-forward network equals the formulas written out."""
    block = randomised(TransformerBlock(make_config(rms_norm_eps=0.01, rope_theta=500.0)), seed=90)
    x = draw(B, T, C, seed=91)
    positions = torch.stack((torch.arange(T), torch.arange(T) * 2 + 5))
    weight = {name: parameter.detach().double() for name, parameter in block.named_parameters()}

    def norm(v: Tensor, name: str) -> Tensor:
        return v / torch.sqrt(v.square().mean(-1, keepdim=True) + 0.01) * weight[f"{name}.weight"]

    def heads(v: Tensor, name: str) -> Tensor:
        return torch.stack((v @ weight[f"self_attn.{name}.weight"].T).split(D, dim=-1), dim=1)  # (B, H, T, D)

    angle = positions.double()[:, None, :, None] * 500.0 ** (-torch.arange(0, D, 2).double() / D)  # (B, 1, T, D/2)

    def rotated(v: Tensor) -> Tensor:
        left, right = v[..., : D // 2], v[..., D // 2 :]
        turned = (left * angle.cos() - right * angle.sin(), right * angle.cos() + left * angle.sin())
        return torch.cat(turned, dim=-1)

    v = norm(x.double(), "input_layernorm")
    scores = rotated(heads(v, "q_proj")) @ rotated(heads(v, "k_proj")).transpose(-1, -2) / math.sqrt(D)
    future = torch.arange(T)[None, :] > torch.arange(T)[:, None]
    weights = torch.exp(scores - scores.amax(-1, keepdim=True)) * ~future
    answers = (weights / weights.sum(-1, keepdim=True)) @ heads(v, "v_proj")
    h = x.double() + torch.cat(answers.unbind(dim=1), dim=-1) @ weight["self_attn.o_proj.weight"].T
    right = h + in_float64(block.mlp, norm(h, "post_attention_layernorm"))

    with torch.no_grad():
        for words, options in {
            "is_causal=True": {"is_causal": True},
            "a causal attention_mask": {"attention_mask": ~future},
        }.items():
            expect_close(
                block(x, position_ids=positions, **options),
                right.float(),
                rtol=1e-4,
                atol=1e-4,
                what=f"the output of the whole block with {words}",
                dims="B T C",
            )
