"""First contact with lesson 03: every feed-forward network against its formula, both factories, the block's wiring."""

import math

import pytest
import torch
from torch import Tensor, nn

from coursecli.expect import diagnosing, expect, expect_close, expect_equal, expect_raises, expect_unchanged
from intro2llm.model.config import ModelConfig
from intro2llm.model.feedforward import BasicFFN, FeedForward, SwiGLU, get_feed_forward
from intro2llm.model.norm import LayerNorm, RMSNorm, get_norm
from intro2llm.model.transformer_block import TransformerBlock

B, T, C, INNER = 2, 5, 12, 20  # batch, tokens, channels, inner width: no two alike


def make_config(**changes: object) -> ModelConfig:
    return ModelConfig(**{"hidden_size": C, "intermediate_size": INNER, "num_attention_heads": 3, **changes})


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def randomised(module: nn.Module, *, seed: int) -> nn.Module:
    """Every parameter drawn anew and large enough that no part of the formula can hide."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return module


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in sorted(module.named_parameters())}


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def silu(x: Tensor) -> Tensor:
    return x * sigmoid(x)


def relu(x: Tensor) -> Tensor:
    return x.clamp(min=0)


# ---------------------------------------------------------------------------------------------------------- BasicFFN


@pytest.mark.task("basic-ffn")
def test_basic_ffn_has_two_linear_maps_with_biases() -> None:
    """BasicFFN has up_proj (C to I) and down_proj (I to C), both with a bias, and no other parameters."""
    right = {
        "down_proj.bias": (C,),
        "down_proj.weight": (C, INNER),
        "up_proj.bias": (INNER,),
        "up_proj.weight": (INNER, C),
    }
    expect_equal(
        shapes(BasicFFN(make_config(hidden_act="relu"))),
        right,
        what=f"the parameters of BasicFFN for hidden_size {C} and intermediate_size {INNER}",
        lookalikes={
            "basic-no-bias": {name: shape for name, shape in right.items() if "weight" in name},
            "four-times-hidden": {
                "down_proj.bias": (C,),
                "down_proj.weight": (C, 4 * C),
                "up_proj.bias": (4 * C,),
                "up_proj.weight": (4 * C, C),
            },
            "linear-arguments-swapped": {
                "down_proj.bias": (INNER,),
                "down_proj.weight": (INNER, C),
                "up_proj.bias": (C,),
                "up_proj.weight": (C, INNER),
            },
        },
    )


@pytest.mark.task("basic-ffn")
def test_basic_ffn_worked_example() -> None:
    """The worked example of the README: two vectors of 2 numbers, inner width 3."""
    ffn = BasicFFN(ModelConfig(hidden_size=2, intermediate_size=3, hidden_act="relu"))
    with torch.no_grad():
        ffn.up_proj.weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 1.0], [0.5, -0.5]]))
        ffn.up_proj.bias.copy_(torch.tensor([0.5, 0.0, -1.0]))
        ffn.down_proj.weight.copy_(torch.tensor([[1.0, 0.0, 2.0], [-1.0, 3.0, 1.0]]))
        ffn.down_proj.bias.copy_(torch.tensor([0.25, 4.0]))
    # Inside: (-0.5, -2, 0) and (5.5, 1, -1.5) → relu → (0, 0, 0) and (5.5, 1, 0).
    expect_close(
        ffn(torch.tensor([[[1.0, -1.0], [1.0, 2.0]]])),
        torch.tensor([[[0.25, 4.0], [5.75, 1.5]]]),
        what="BasicFFN of the vectors (1, -1) and (1, 2)",
        dims="B T C",
    )


@pytest.mark.task("basic-ffn")
def test_basic_ffn_follows_the_formula() -> None:
    """BasicFFN is relu(x W_up + b_up) W_down + b_down, for random weights and biases."""
    ffn = randomised(BasicFFN(make_config(hidden_act="relu")), seed=1)
    x = draw(B, T, C, seed=2)

    def up(v: Tensor) -> Tensor:
        return v @ ffn.up_proj.weight.T + ffn.up_proj.bias

    def down(v: Tensor) -> Tensor:
        return v @ ffn.down_proj.weight.T + ffn.down_proj.bias

    with torch.no_grad():
        expect_close(
            ffn(x.clone()),
            down(relu(up(x))),
            what="the output of BasicFFN for random weights",
            dims="B T C",
            lookalikes={
                "relu-missing": lambda: down(up(x)),
                "relu-at-the-end": lambda: relu(down(up(x))),
                "relu-twice": lambda: relu(down(relu(up(x)))),
                "relu-first": lambda: down(up(relu(x))),
                "basic-gelu": lambda: down(gelu(up(x))),
                "ffn-adds-its-input": lambda: x + down(relu(up(x))),
            },
        )


# ------------------------------------------------------------------------------------------------------------- GeGLU


def glu_shapes(inner: int, *, without: str = "", biases: bool = False) -> dict[str, tuple[int, ...]]:
    """The parameters of a gated network; the extras are what a mistaken one has."""
    parts = {"down_proj": (C, inner), "gate_proj": (inner, C), "up_proj": (inner, C)}
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in parts.items():
        if name != without:
            if biases:
                found[f"{name}.bias"] = shape[:1]
            found[f"{name}.weight"] = shape
    return found


@pytest.mark.task("geglu")
def test_geglu_has_three_matrices_without_biases() -> None:
    """FeedForward (GeGLU) has gate_proj, up_proj and down_proj, no biases: 3·C·I parameters."""
    expect_equal(
        shapes(FeedForward(make_config(hidden_act="gelu"))),
        glu_shapes(INNER),
        what=f"the parameters of FeedForward for hidden_size {C} and intermediate_size {INNER}",
        lookalikes={
            "geglu-bias": glu_shapes(INNER, biases=True),
            "geglu-no-gate": glu_shapes(INNER, without="gate_proj"),
        },
    )


@pytest.mark.task("geglu")
def test_geglu_gate_is_the_exact_gelu() -> None:
    """With up_proj made to give 1 everywhere, what comes out is the gate: x · ½(1 + erf(x/√2))."""
    ffn = FeedForward(make_config(hidden_act="gelu"))
    # The last channel is always 1, and up_proj reads only it; gate_proj and down_proj copy the other channels.
    with torch.no_grad():
        ffn.gate_proj.weight.copy_(torch.eye(INNER, C))
        ffn.up_proj.weight.copy_(torch.eye(C)[-1].expand(INNER, C))
        ffn.down_proj.weight.copy_(torch.eye(C, INNER))
    x = torch.cat((draw(B, T, C - 1, seed=3, scale=2.0), torch.ones(B, T, 1)), dim=-1)
    x[0, 1, :4] = torch.tensor([-2.7, 2.7, -0.75, -5.0])  # the approximations differ most near ±2.7
    with torch.no_grad():
        expect_close(
            ffn(x.clone()),
            gelu(x.double()).float(),
            what="FeedForward as a bare gate",
            dims="B T C",
            lookalikes={
                "gelu-tanh": lambda: gelu_tanh(x),
                "gelu-quick": lambda: x * sigmoid(1.702 * x),
                "geglu-silu": lambda: silu(x),
                "geglu-relu": lambda: relu(x),
                "geglu-sigmoid": lambda: sigmoid(x),
            },
        )


@pytest.mark.task("geglu")
def test_geglu_follows_the_formula() -> None:
    """FeedForward is (gelu(x W_gate) ⊙ (x W_up)) W_down, for random weights."""
    ffn = randomised(FeedForward(make_config(hidden_act="gelu")), seed=4)
    x = draw(B, T, C, seed=5)
    with torch.no_grad():
        gate, up = x @ ffn.gate_proj.weight.T, x @ ffn.up_proj.weight.T
        down = ffn.down_proj.weight.T
        expect_close(
            ffn(x.clone()),
            (gelu(gate) * up) @ down,
            what="the output of FeedForward (GeGLU) for random weights",
            dims="B T C",
            lookalikes={
                "geglu-swapped": lambda: (gate * gelu(up)) @ down,
                "geglu-activates-the-product": lambda: gelu(gate * up) @ down,
                "geglu-adds": lambda: (gelu(gate) + up) @ down,
                "geglu-activates-both": lambda: (gelu(gate) * gelu(up)) @ down,
                "geglu-silu": lambda: (silu(gate) * up) @ down,
            },
        )


# ------------------------------------------------------------------------------------------------------------ SwiGLU


@pytest.mark.task("swiglu")
def test_swiglu_has_three_matrices_without_biases() -> None:
    """SwiGLU has gate_proj, up_proj and down_proj, no biases: 3·C·I parameters."""
    expect_equal(
        shapes(SwiGLU(make_config())),
        glu_shapes(INNER),
        what=f"the parameters of SwiGLU for hidden_size {C} and intermediate_size {INNER}",
        lookalikes={
            "swiglu-bias": glu_shapes(INNER, biases=True),
            "swiglu-shrinks-again": glu_shapes(2 * INNER // 3),
            "swiglu-shared-projection": glu_shapes(INNER, without="up_proj"),
        },
    )


@pytest.mark.task("swiglu")
def test_swiglu_worked_example() -> None:
    """The worked example of the README: one vector of 2 numbers, inner width 3."""
    ffn = SwiGLU(ModelConfig(hidden_size=2, intermediate_size=3))
    with torch.no_grad():
        ffn.gate_proj.weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 1.0], [0.5, -0.5]]))
        ffn.up_proj.weight.copy_(torch.tensor([[0.5, 1.0], [2.0, 0.0], [1.0, 1.0]]))
        ffn.down_proj.weight.copy_(torch.tensor([[1.0, 0.0, 2.0], [-1.0, 3.0, 1.0]]))
    # Gates (5, 1, -0.5) → silu → (4.966536, 0.731059, -0.188770), times up (2.5, 2, 3).
    expect_close(
        ffn(torch.tensor([[[1.0, 2.0]]])),
        torch.tensor([[[11.283717, -8.596298]]]),
        what="SwiGLU of the vector (1, 2)",
        dims="B T C",
    )


@pytest.mark.task("swiglu")
def test_swiglu_follows_the_formula() -> None:
    """SwiGLU is (silu(x W_gate) ⊙ (x W_up)) W_down, for random weights."""
    ffn = randomised(SwiGLU(make_config()), seed=6)
    x = draw(B, T, C, seed=7)
    with torch.no_grad():
        gate, up = x @ ffn.gate_proj.weight.T, x @ ffn.up_proj.weight.T
        down = ffn.down_proj.weight.T
        expect_close(
            ffn(x.clone()),
            (silu(gate) * up) @ down,
            what="the output of SwiGLU for random weights",
            dims="B T C",
            lookalikes={
                "swiglu-swapped": lambda: (gate * silu(up)) @ down,
                "swiglu-activates-the-product": lambda: silu(gate * up) @ down,
                "swiglu-adds": lambda: (silu(gate) + up) @ down,
                "swiglu-activates-both": lambda: (silu(gate) * silu(up)) @ down,
                "swiglu-sigmoid": lambda: (sigmoid(gate) * up) @ down,
                "swiglu-gelu": lambda: (gelu(gate) * up) @ down,
                "swiglu-switch": lambda: ((gate > 0) * up) @ down,
                "swiglu-softmax": lambda: (gate.softmax(dim=-1) * up) @ down,
                "swiglu-no-up": lambda: silu(gate) @ down,
            },
        )


@pytest.mark.task("swiglu")
def test_swiglu_treats_every_token_by_itself() -> None:
    """A token alone gives the same vector as the same token among others."""
    ffn = randomised(SwiGLU(make_config()), seed=8)
    x = draw(B, T, C, seed=9)
    with torch.no_grad():
        alone = torch.stack([torch.stack([ffn(x[b : b + 1, t : t + 1])[0, 0] for t in range(T)]) for b in range(B)])
        expect_close(
            ffn(x.clone()),
            alone,
            what="SwiGLU of five tokens together, against one token at a time",
            dims="B T C",
            mistake="swiglu-mixes-tokens",
        )


# --------------------------------------------------------------------------------------------------------- factories


@pytest.mark.task("ffn-factory")
@pytest.mark.parametrize(("hidden_act", "kind"), [("relu", "BasicFFN"), ("gelu", "FeedForward"), ("silu", "SwiGLU")])
def test_feed_forward_is_chosen_by_hidden_act(hidden_act: str, kind: str) -> None:
    """get_feed_forward builds the network that hidden_act asks for."""
    network = get_feed_forward(make_config(hidden_act=hidden_act))
    others = {
        "ffn-always-swiglu": "SwiGLU",
        "ffn-gelu-is-plain": "BasicFFN",
        "ffn-class-not-instance": "type",
        "ffn-nothing-returned": "NoneType",
    }
    expect_equal(
        type(network).__name__,
        kind,
        what=f"what get_feed_forward builds for hidden_act={hidden_act!r}",
        lookalikes={mistake: value for mistake, value in others.items() if value != kind},
    )


@pytest.mark.task("ffn-factory")
def test_unknown_hidden_act_is_refused() -> None:
    """An unknown hidden_act raises ValueError, and the message contains it."""
    what = "get_feed_forward with hidden_act='selu'"
    with expect_raises(ValueError, what=what, match="selu"):
        with diagnosing("ffn-key-error", KeyError):
            network = get_feed_forward(make_config(hidden_act="selu"))
        expect(False, f"No exception: it gave {type(network).__name__}.", what=what, mistake="ffn-silent-default")


@pytest.mark.task("ffn-factory")
@pytest.mark.parametrize("hidden_act", ["relu", "gelu", "silu"])
def test_feed_forward_is_new_at_each_call(hidden_act: str) -> None:
    """Two calls of get_feed_forward give two networks, and each reads its own config."""
    first = get_feed_forward(make_config(hidden_act=hidden_act))
    second = get_feed_forward(make_config(hidden_act=hidden_act))
    wider = get_feed_forward(make_config(hidden_act=hidden_act, intermediate_size=29))
    what = f"two calls of get_feed_forward with hidden_act={hidden_act!r}"
    expect(first is not None, "get_feed_forward returns None", what=what)
    expect(first is not second, "both calls return the same module", what=what, mistake="ffn-made-once")
    shared = {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
    expect(not shared, "the two modules share parameters", what=what, mistake="ffn-made-once")
    expect_equal(
        tuple(wider.up_proj.weight.shape),
        (29, C),
        what="the shape of up_proj.weight for a later config with intermediate_size 29",
        mistake="ffn-made-once",
    )


@pytest.mark.task("norm-factory")
@pytest.mark.parametrize(("norm_type", "kind"), [("rms_norm", "RMSNorm"), ("layer_norm", "LayerNorm")])
def test_norm_is_chosen_by_norm_type(norm_type: str, kind: str) -> None:
    """get_norm builds the norm that norm_type asks for."""
    norm = get_norm(make_config(norm_type=norm_type))
    others = {"norm-always-rms": "RMSNorm", "norm-class-not-instance": "type"}
    expect_equal(
        type(norm).__name__,
        kind,
        what=f"what get_norm builds for norm_type={norm_type!r}",
        lookalikes={mistake: value for mistake, value in others.items() if value != kind},
    )
    expect_equal(tuple(norm.weight.shape), (C,), what=f"the shape of its weight for hidden_size {C}")


@pytest.mark.task("norm-factory")
@pytest.mark.parametrize(("norm_type", "kind"), [("rms_norm", RMSNorm), ("layer_norm", LayerNorm)])
def test_norm_takes_its_eps_from_the_config(norm_type: str, kind: type[nn.Module]) -> None:
    """Either norm uses config.rms_norm_eps; with 0.5 the difference is large enough to see."""
    x = draw(B, T, C, seed=10)
    mistake = "norm-eps-layer-norm" if kind is LayerNorm else "norm-default-eps"
    with torch.no_grad():
        expect_close(
            get_norm(make_config(norm_type=norm_type, rms_norm_eps=0.5))(x),
            kind(C, eps=0.5)(x),
            what=f"{kind.__name__} built from a config with rms_norm_eps=0.5, against {kind.__name__}({C}, eps=0.5)",
            dims="B T C",
            lookalikes={mistake: lambda: kind(C)(x)},
        )


@pytest.mark.task("norm-factory")
def test_unknown_norm_type_is_refused() -> None:
    """An unknown norm_type raises ValueError, and the message contains it."""
    what = "get_norm with norm_type='batch_norm'"
    with expect_raises(ValueError, what=what, match="batch_norm"):
        with diagnosing("norm-key-error", KeyError):
            norm = get_norm(make_config(norm_type="batch_norm"))
        expect(False, f"No exception: it gave {type(norm).__name__}.", what=what, mistake="norm-silent-default")


@pytest.mark.task("norm-factory")
@pytest.mark.parametrize("norm_type", ["rms_norm", "layer_norm"])
def test_norm_is_new_at_each_call(norm_type: str) -> None:
    """Two calls of get_norm give two norms, each with weights of its own."""
    first, second = get_norm(make_config(norm_type=norm_type)), get_norm(make_config(norm_type=norm_type))
    what = f"two calls of get_norm with norm_type={norm_type!r}"
    expect(first is not None, "get_norm returns None", what=what)
    expect(first is not second, "both calls return the same module", what=what, mistake="norm-made-once")
    expect(first.weight is not second.weight, "the two norms share their weight", what=what, mistake="norm-made-once")


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


def assembled(first_norm, attention, second_norm, mlp) -> TransformerBlock:
    """A block whose four parts compute known functions, so that only its wiring is tested."""
    block = TransformerBlock(make_config())
    block.input_layernorm.forward = Part(first_norm)
    block.self_attn.forward = Attention(attention)
    block.post_attention_layernorm.forward = Part(second_norm)
    block.mlp.forward = Part(mlp)
    return block


def zero(x: Tensor) -> Tensor:
    return torch.zeros_like(x)


@pytest.mark.task("transformer-block")
@pytest.mark.parametrize(
    ("norm_type", "hidden_act", "norm", "mlp"),
    [("rms_norm", "silu", "RMSNorm", "SwiGLU"), ("layer_norm", "relu", "LayerNorm", "BasicFFN")],
)
def test_block_has_four_parts(norm_type: str, hidden_act: str, norm: str, mlp: str) -> None:
    """A block has input_layernorm, self_attn, post_attention_layernorm and mlp, of the kinds in the config."""
    block = TransformerBlock(make_config(norm_type=norm_type, hidden_act=hidden_act))

    def parts(norm: str, mlp: str) -> dict[str, str]:
        attention = "MultiHeadAttention"
        return {"input_layernorm": norm, "self_attn": attention, "post_attention_layernorm": norm, "mlp": mlp}

    others = {
        "block-always-rms": parts("RMSNorm", mlp),
        "block-always-swiglu": parts(norm, "SwiGLU"),
    }
    expect_equal(
        {name: type(getattr(block, name, None)).__name__ for name in parts(norm, mlp)},
        parts(norm, mlp),
        what=f"the parts of a block with norm_type={norm_type!r} and hidden_act={hidden_act!r}",
        lookalikes={mistake: value for mistake, value in others.items() if value != parts(norm, mlp)},
    )
    expect(
        block.input_layernorm is not block.post_attention_layernorm,
        "input_layernorm and post_attention_layernorm are one and the same module",
        what="the two norms of a block",
        mistake="shared-norm",
    )


@pytest.mark.task("transformer-block")
def test_silent_branches_change_nothing() -> None:
    """When both branches give zeros, the block returns its input, bit for bit."""
    x = draw(B, T, C, seed=11, scale=7.0) + 3.0
    block = assembled(lambda v: 2 * v - 1, zero, lambda v: 3 * v + 1, zero)
    y = block(x.clone())
    what = "a block whose two branches give zeros"
    expect(not isinstance(y, tuple), "It returned a tuple, not one tensor.", what=what, mistake="block-returns-a-tuple")
    expect_close(y, x, rtol=0, atol=0, what=what, dims="B T C")


@pytest.mark.task("transformer-block")
def test_block_is_wired_in_pre_norm_order() -> None:
    """h = x + self_attn(input_layernorm(x)), then y = h + mlp(post_attention_layernorm(h)), with simple parts."""
    x = draw(B, T, C, seed=12) + 0.5
    mix, turn = draw(T, T, seed=13, scale=0.5), draw(C, C, seed=14, scale=0.4)
    scale, shift = draw(C, seed=15) + 2.0, draw(C, seed=16)

    def first_norm(v: Tensor) -> Tensor:
        return v * scale - 1.0

    def second_norm(v: Tensor) -> Tensor:
        return v * 0.7 + shift

    def attention(v: Tensor) -> Tensor:
        return torch.sin(mix @ v)

    def mlp(v: Tensor) -> Tensor:
        return torch.cos(v @ turn)

    def block(v: Tensor, before=first_norm, branch=attention, then=second_norm, last=mlp) -> Tensor:
        h = v + branch(before(v))
        return h + last(then(h))

    h = x + attention(first_norm(x))

    def post_norm() -> Tensor:
        once = first_norm(x + attention(x))
        return second_norm(once + mlp(once))

    def residual_from_normed() -> Tensor:
        a = first_norm(x)
        b = second_norm(a + attention(a))
        return b + mlp(b)

    def norm_behind() -> Tensor:
        once = x + first_norm(attention(x))
        return once + second_norm(mlp(once))

    def no_attention_residual() -> Tensor:
        once = attention(first_norm(x))
        return once + mlp(second_norm(once))

    def averaged() -> Tensor:
        once = (x + attention(first_norm(x))) / 2
        return (once + mlp(second_norm(once))) / 2

    expect_close(
        assembled(first_norm, attention, second_norm, mlp)(x.clone()),
        block(x),
        what="a block whose parts are simple functions",
        dims="B T C",
        lookalikes={
            "post-norm": post_norm,
            "norm-behind-the-branch": norm_behind,
            "residual-from-normed": residual_from_normed,
            "no-attention-residual": no_attention_residual,
            "no-mlp-residual": lambda: mlp(second_norm(h)),
            "no-residuals": lambda: mlp(second_norm(attention(first_norm(x)))),
            "mlp-residual-from-input": lambda: x + mlp(second_norm(h)),
            "residual-twice": lambda: x + block(x),
            "residual-averaged": averaged,
            "no-first-norm": lambda: block(x, before=lambda v: v),
            "no-second-norm": lambda: block(x, then=lambda v: v),
            "first-norm-reused": lambda: block(x, then=first_norm),
            "norms-exchanged": lambda: block(x, before=second_norm, then=first_norm),
            "parallel-branches": lambda: h + mlp(second_norm(x)),
            "mlp-first": lambda: block(x, branch=mlp, last=attention),
            "attention-unpacked": lambda: block(x, branch=lambda v: attention(v)[0]),
        },
    )


@pytest.mark.task("transformer-block")
def test_options_reach_the_attention() -> None:
    """position_ids, attention_mask and is_causal arrive at self_attn as they were given to the block."""
    block = assembled(lambda v: v, zero, lambda v: v, zero)
    x = draw(B, T, C, seed=17)
    positions = torch.tensor([[3, 4, 5, 6, 7], [0, 1, 2, 3, 4]])
    mask = torch.ones(T, T, dtype=torch.bool).tril()
    with diagnosing("options-by-position", TypeError, match="positional arguments but"):
        block(x)
        block(x, position_ids=positions, attention_mask=mask, is_causal=True)
    expect_equal(len(block.self_attn.forward.calls), 2, what="how often self_attn ran in two calls of the block")
    plain, full = block.self_attn.forward.calls
    what = "what self_attn is given when the block is given all three options"
    expect(full["position_ids"] is not None, "position_ids is None", what=what, mistake="positions-dropped")
    expect(full["attention_mask"] is not None, "attention_mask is None", what=what, mistake="mask-dropped")
    expect(bool(full["is_causal"]), "is_causal is False", what=what, mistake="is-causal-dropped")
    expect_equal(full["position_ids"].tolist(), positions.tolist(), what="the position_ids that self_attn is given")
    expect_equal(full["attention_mask"].tolist(), mask.tolist(), what="the attention_mask that self_attn is given")
    what = "what self_attn is given when the block is called without options"
    expect(not plain["is_causal"], "is_causal is True", what=what, mistake="always-causal")
    expect(plain["position_ids"] is None, "position_ids is not None", what=what)
    expect(plain["attention_mask"] is None, "attention_mask is not None", what=what)


@pytest.mark.task("transformer-block")
def test_block_leaves_its_input_alone() -> None:
    """The tensor that the block is given still holds the same numbers afterwards."""
    block = assembled(lambda v: v + 1, torch.sin, lambda v: v - 1, torch.cos)
    x = draw(B, T, C, seed=18)
    with expect_unchanged(x, what="the hidden_states given to the block", mistake="block-in-place"):
        block(x)
