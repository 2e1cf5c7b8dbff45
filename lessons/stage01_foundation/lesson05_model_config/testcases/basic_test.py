"""First contact with lesson 05: the derived sizes, validate, and every figure against a list of shapes written out."""

import copy
import dataclasses
from math import prod

import pytest
import torch

from coursecli.expect import diagnosing, expect, expect_close, expect_equal
from intro2llm.configs.tiny_config import tiny_config
from intro2llm.model.config import ModelConfig
from intro2llm.utils.compute import (
    ParameterCount,
    activation_bytes,
    count_parameters,
    decode_flops,
    forward_flops,
    inference_bytes,
    kv_cache_bytes,
    matmul_parameters,
    training_flops,
    training_seconds,
    training_state_bytes,
)

V, C, INNER, L, H, HKV, D = 97, 24, 40, 5, 6, 2, 10  # D where it is chosen; else it is C // H = 4
B, T = 11, 7


def make_config(**changes: object) -> ModelConfig:
    sizes = {"vocab_size": V, "hidden_size": C, "intermediate_size": INNER, "num_hidden_layers": L}
    return ModelConfig(**{**sizes, "num_attention_heads": H, **changes})


def shapes_of(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter of the model, by its name, written out as lessons 01 to 04 build it."""
    width, inner = config.hidden_size, config.intermediate_size
    heads = config.num_attention_heads
    kv_heads = heads if config.num_key_value_heads is None else config.num_key_value_heads
    head = width // heads if config.head_dim is None else config.head_dim
    norm = {"weight": (width,), "bias": (width,)} if config.norm_type == "layer_norm" else {"weight": (width,)}

    shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (config.vocab_size, width)}
    for layer in (f"layers.{i}" for i in range(config.num_hidden_layers)):
        for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            shapes[f"{layer}.self_attn.{name}_proj.weight"] = (count * head, width)
            if config.attention_bias:
                shapes[f"{layer}.self_attn.{name}_proj.bias"] = (count * head,)
        shapes[f"{layer}.self_attn.o_proj.weight"] = (width, heads * head)
        if config.qk_norm:
            shapes |= {f"{layer}.self_attn.{name}_norm.weight": (head,) for name in "qk"}
        shapes[f"{layer}.mlp.up_proj.weight"] = (inner, width)
        shapes[f"{layer}.mlp.down_proj.weight"] = (width, inner)
        if config.hidden_act == "relu":
            shapes |= {f"{layer}.mlp.up_proj.bias": (inner,), f"{layer}.mlp.down_proj.bias": (width,)}
        else:
            shapes[f"{layer}.mlp.gate_proj.weight"] = (inner, width)
        for place in ("input_layernorm", "post_attention_layernorm"):
            shapes |= {f"{layer}.{place}.{part}": shape for part, shape in norm.items()}
    shapes |= {f"norm.{part}": shape for part, shape in norm.items()}
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, width)
    return shapes


def numbers(config: ModelConfig, *parts: str) -> int:
    """How many numbers the parameters have whose name contains one of `parts`; all of them without `parts`."""
    shapes = shapes_of(config).items()
    return sum(prod(shape) for name, shape in shapes if not parts or any(part in name for part in parts))


# -------------------------------------------------------------------------------------------------- config-properties


@pytest.mark.task("config-properties")
def test_head_size_is_chosen_or_derived() -> None:
    """attention_head_dim is head_dim, or hidden_size // num_attention_heads when head_dim is None."""
    expect_equal(
        make_config().attention_head_dim, C // H, what=f"attention_head_dim of {H} heads in {C} channels, head_dim None"
    )
    expect_equal(
        make_config(head_dim=D).attention_head_dim,
        D,
        what=f"attention_head_dim of {H} heads in {C} channels, head_dim {D}",
        lookalikes={"head-dim-ignored": C // H},
    )


@pytest.mark.task("config-properties")
def test_key_value_heads_are_chosen_or_as_many_as_query_heads() -> None:
    """key_value_heads is num_key_value_heads, or num_attention_heads when that is None."""
    expect_equal(
        make_config().key_value_heads,
        H,
        what=f"key_value_heads with {H} query heads and num_key_value_heads None",
        lookalikes={"kv-heads-none": None},
    )
    expect_equal(
        make_config(num_key_value_heads=HKV).key_value_heads,
        HKV,
        what=f"key_value_heads with {H} query heads and num_key_value_heads {HKV}",
    )


@pytest.mark.task("config-properties")
def test_groups_are_query_heads_per_key_head() -> None:
    """num_key_value_groups says how many query heads share one head of keys and values, as an int."""
    for kv_heads, right in ((HKV, 3), (None, 1), (1, 6)):
        kv = H if kv_heads is None else kv_heads
        others = {
            "groups-are-kv-heads": kv,
            "groups-float": H / kv,
        }
        expect_equal(
            make_config(num_key_value_heads=kv_heads).num_key_value_groups,
            right,
            what=f"num_key_value_groups with {H} query heads and num_key_value_heads {kv_heads}",
            lookalikes={name: value for name, value in others.items() if (type(value), value) != (int, right)},
        )


def read(config: ModelConfig) -> dict[str, object]:
    return {
        "attention_head_dim": config.attention_head_dim,
        "key_value_heads": config.key_value_heads,
        "num_key_value_groups": config.num_key_value_groups,
    }


@pytest.mark.task("config-properties")
def test_reading_changes_no_field() -> None:
    """Whoever reads a derived size finds the fields as they were: None stays None."""
    config = make_config()
    before = dataclasses.asdict(config)
    read(config)
    expect_equal(
        dataclasses.asdict(config),
        before,
        what="the fields of a config after its derived sizes were read",
        mistake="properties-write-fields",
    )


@pytest.mark.task("config-properties")
def test_derived_sizes_follow_the_fields() -> None:
    """A field that is assigned after the first reading changes what is read next."""
    config = make_config()
    read(config)
    config.hidden_size, config.num_attention_heads = 96, 12
    right = {"attention_head_dim": 8, "key_value_heads": 12, "num_key_value_groups": 1}
    what = "the derived sizes after hidden_size = 96 and num_attention_heads = 12 were assigned"
    expect_equal(read(config), right, what=what, mistake="head-dim-frozen")
    config.head_dim, config.num_key_value_heads = 22, 4
    right = {"attention_head_dim": 22, "key_value_heads": 4, "num_key_value_groups": 3}
    what = "the derived sizes after head_dim = 22 and num_key_value_heads = 4 were assigned too"
    expect_equal(read(config), right, what=what, mistake="head-dim-frozen")


# ---------------------------------------------------------------------------------------------------- config-validate


def refusal(changes: dict[str, object]) -> tuple[str | None, object]:
    """What the ValueError said, or None if there was none, and what validate returned."""
    with diagnosing("validate-on-construction", ValueError):
        config = make_config(**changes)
    returned: object = None
    with (
        diagnosing("validate-divides-first", ZeroDivisionError),
        diagnosing("validate-compares-anything", TypeError),
    ):
        try:
            returned = config.validate()
        except ValueError as error:
            return str(error), None
    return None, returned


def check_refused(changes: dict[str, object], *names: str, mistake: str | None = None) -> None:
    """validate refuses these fields, and says the names and their values (default: all that are changed)."""
    what = "validate of a config with " + ", ".join(f"{name}={value!r}" for name, value in changes.items())
    said, _ = refusal(changes)
    expect(
        said is not None,
        "It was accepted.",
        what=what,
        expected="a ValueError",
        actual="no exception",
        mistake=mistake,
    )
    assert said is not None
    wanted = [part for name in names or changes for part in (name, str(changes.get(name, "")))]
    missing = [part for part in wanted if part not in said]
    expect(
        not missing,
        f"The message lacks {', '.join(missing)}.",
        what=f"the message of the ValueError of {what}",
        expected=f"one line with {', '.join(part for part in wanted if part)}",
        actual=said,
        mistake="validate-says-little",
    )
    expect("\n" not in said.strip(), "The message has more than one line.", what=what, actual=said)
    expect(len(said) <= 200, f"The message has {len(said)} characters; 200 are enough.", what=what, actual=said)


@pytest.mark.task("config-validate")
def test_a_hopeless_config_is_refused() -> None:
    """With no words, no layers, a negative width and an unknown network, validate raises a ValueError."""
    hopeless = {"vocab_size": 0, "num_hidden_layers": 0, "hidden_size": -24, "hidden_act": "sliu", "rms_norm_eps": -1.0}
    said, returned = refusal({**hopeless, "attention_dropout": 1.5, "intermediate_size": 0, "head_dim": -3})
    what = "validate of a config with vocab_size=0, num_hidden_layers=0, hidden_size=-24, hidden_act='sliu' and more"
    if said is None:
        expect(returned is None, f"It returned {returned!r}.", what=what, mistake="validate-returns-a-verdict")
    expect(said is not None, "It was accepted.", what=what, expected="a ValueError", mistake="validate-nothing")


@pytest.mark.task("config-validate")
def test_good_configs_are_accepted() -> None:
    """Nothing is raised for configs that can be built, published ones among them, and no field is changed."""
    good: list[tuple[dict[str, object], str | None]] = [
        ({}, None),
        ({"num_key_value_heads": HKV, "qk_norm": True, "attention_bias": True}, "validate-kv-reversed"),
        ({"num_key_value_heads": 1}, "validate-kv-reversed"),
        ({"head_dim": D}, "validate-heads-fill-hidden"),
        ({"hidden_size": 26, "head_dim": 4}, "validate-heads-fill-hidden"),
        ({"hidden_size": 18, "position_embedding_type": "sinusoidal"}, None),
        ({"norm_type": "layer_norm", "hidden_act": "relu", "tie_word_embeddings": True}, None),
        ({"hidden_act": "gelu", "attention_dropout": 0.5, "rope_theta": 500000}, None),
        ({"vocab_size": 1, "num_hidden_layers": 1, "intermediate_size": 1, "max_position_embeddings": 1}, None),
    ]
    for changes, mistake in good:
        config = make_config(**changes)
        before = dataclasses.asdict(config)
        what = f"validate of a config with {changes or 'plain sizes'}"
        if mistake:
            with diagnosing(mistake, ValueError):
                config.validate()
        else:
            config.validate()
        expect_equal(dataclasses.asdict(config), before, what=f"the fields after {what}", mistake="validate-repairs")


@pytest.mark.task("config-validate")
def test_sizes_must_be_whole_and_positive() -> None:
    """Every size is an int of at least 1; num_key_value_heads and head_dim may be None, and nothing else besides."""
    good = make_config(num_key_value_heads=HKV, head_dim=D)
    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    optional = ("num_key_value_heads", "head_dim")
    for name in (*sizes, "max_position_embeddings", *optional):
        for value in (0, -12):
            check_refused({name: value}, mistake="validate-forgets-sizes")
        check_refused({name: float(getattr(good, name))})
    for name in (*sizes, "max_position_embeddings", *optional):
        check_refused({name: str(getattr(good, name))})
        if name not in optional:
            check_refused({name: None})


@pytest.mark.task("config-validate")
def test_heads_must_divide() -> None:
    """Query heads are a multiple of key-value heads; without a head_dim the width is a multiple of the heads."""
    pair = ("num_attention_heads", "num_key_value_heads")
    changes = {"num_attention_heads": H, "num_key_value_heads": 4, "head_dim": 8}
    check_refused(changes, *pair)
    changes = {"num_attention_heads": H, "num_key_value_heads": 12}
    check_refused(changes, *pair, mistake="validate-kv-reversed")
    changes = {"hidden_size": 26, "num_attention_heads": H}
    check_refused(changes)


@pytest.mark.task("config-validate")
def test_rope_needs_an_even_head() -> None:
    """With rope, attention_head_dim is even, chosen or derived."""
    for changes, odd in (({"head_dim": 7}, 7), ({"hidden_size": 30}, 5)):
        said, _ = refusal(dict(changes))
        what = f"validate of a config with {changes}, {H} heads and rope: heads of {odd} numbers"
        expect(said is not None, "It was accepted.", what=what, expected="a ValueError", mistake="validate-even-hidden")
        assert said is not None
        expect(
            "head_dim" in said and str(odd) in said,
            f"The message lacks attention_head_dim or {odd}.",
            what=f"the message of the ValueError of {what}",
            actual=said,
            mistake="validate-says-little",
        )


@pytest.mark.task("config-validate")
def test_names_must_be_known() -> None:
    """hidden_act, norm_type and position_embedding_type are among the names that their annotations list."""
    for name, value in (("hidden_act", "sliu"), ("norm_type", "rmsnorm"), ("position_embedding_type", "alibi")):
        check_refused({name: value})
    for name, value in (("hidden_act", "elu"), ("norm_type", "norm"), ("position_embedding_type", "sin")):
        check_refused({name: value}, mistake="validate-part-of-a-name")


@pytest.mark.task("config-validate")
def test_numbers_must_be_in_range() -> None:
    """eps, theta and the initial spread are finite and above 0; dropout is at least 0 and less than 1."""
    for name in ("rms_norm_eps", "rope_theta", "initializer_range"):
        for value in (0.0, -0.5):
            check_refused({name: value})
        for value in (float("nan"), float("inf")):
            check_refused({name: value}, mistake="validate-lets-nan-through")
        check_refused({name: "1e6"}, mistake="validate-compares-anything")
    for value in (-0.1, 1.5, "0.1"):
        check_refused({"attention_dropout": value})
    check_refused({"attention_dropout": 1.0})
    check_refused({"attention_dropout": float("nan")}, mistake="validate-lets-nan-through")


# --------------------------------------------------------------------------------------------------- count-parameters


@pytest.mark.task("count-parameters")
def test_sums_of_a_count() -> None:
    """total adds the five kinds; non_embedding leaves out both tables of the vocabulary."""
    count = ParameterCount(embedding=1000, attention=200, feed_forward=300, norms=7, lm_head=5000)
    expect_equal(count.total, 6507, what="total of 1000 + 200 + 300 + 7 + 5000")
    expect_equal(
        count.non_embedding,
        507,
        what="non_embedding of a count with embedding 1000, attention 200, feed_forward 300, norms 7, lm_head 5000",
        lookalikes={"non-embedding-keeps-the-head": 5507},
    )


@pytest.mark.task("count-parameters")
def test_attention_has_four_projections() -> None:
    """Queries, keys, values and the output: four matrices in each layer; D may be chosen freely."""
    square = C * C
    expect_equal(
        count_parameters(make_config()).attention,
        numbers(make_config(), "self_attn"),
        what=f"the attention parameters of {L} layers with {H} heads and hidden_size {C}",
        lookalikes={"attention-3h2": L * 3 * square},
    )
    config = make_config(head_dim=D)
    expect_equal(
        count_parameters(config).attention,
        numbers(config, "self_attn"),
        what=f"the attention parameters of {L} layers with {H} heads of {D} numbers and hidden_size {C}",
        lookalikes={"attention-square": L * 4 * square},
    )


@pytest.mark.task("count-parameters")
def test_grouped_keys_and_values_are_narrower() -> None:
    """With fewer key-value heads, k_proj and v_proj shrink, and q_proj and o_proj stay."""
    config = make_config(num_key_value_heads=HKV)
    expect_equal(
        count_parameters(config).attention,
        numbers(config, "self_attn"),
        what=f"the attention parameters of {L} layers with {H} query heads and {HKV} key-value heads",
        lookalikes={"attention-mha-always": L * 4 * C * C},
    )


@pytest.mark.task("count-parameters")
def test_attention_biases() -> None:
    """With attention_bias, q_proj, k_proj and v_proj have a bias as long as their output, and o_proj has none."""
    config = make_config(attention_bias=True, num_key_value_heads=HKV)
    without, query, key = numbers(config, "self_attn") - numbers(config, ".bias"), C, HKV * (C // H)
    expect_equal(
        count_parameters(config).attention,
        without + L * (query + 2 * key),
        what=f"the attention parameters with biases, {H} query heads and {HKV} key-value heads",
        lookalikes={
            "attention-bias-ignored": without,
            "output-bias": without + L * (query + 2 * key + C),
        },
    )


@pytest.mark.task("count-parameters")
def test_three_feed_forward_networks() -> None:
    """SwiGLU and GeGLU are three matrices; the plain network is two, with biases."""
    plain = L * 2 * C * INNER
    for act in ("silu", "gelu"):
        expect_equal(
            count_parameters(make_config(hidden_act=act)).feed_forward,
            L * 3 * C * INNER,
            what=f"the feed-forward parameters of {L} layers with hidden_act={act!r}",
            lookalikes={"ffn-2hi": plain},
        )
    expect_equal(
        count_parameters(make_config(hidden_act="relu")).feed_forward,
        numbers(make_config(hidden_act="relu"), "mlp"),
        what=f"the feed-forward parameters of {L} layers with hidden_act='relu'",
        lookalikes={"relu-bias-missing": plain},
    )


@pytest.mark.task("count-parameters")
def test_norms_of_both_kinds() -> None:
    """Two norms in each layer and one after the last; LayerNorm has a bias beside its weight."""
    expect_equal(
        count_parameters(make_config()).norms,
        (2 * L + 1) * C,
        what=f"the norm parameters of {L} layers with RMSNorm over {C} channels",
        lookalikes={
            "no-final-norm": 2 * L * C,
            "one-norm-per-layer": (L + 1) * C,
        },
    )
    expect_equal(
        count_parameters(make_config(norm_type="layer_norm")).norms,
        2 * (2 * L + 1) * C,
        what=f"the norm parameters of {L} layers with LayerNorm over {C} channels",
        lookalikes={"layernorm-bias-missing": (2 * L + 1) * C},
    )


@pytest.mark.task("count-parameters")
def test_norms_of_queries_and_keys() -> None:
    """qk_norm adds two RMSNorms to each layer, each with one weight per number of a head."""
    for norm_type in ("rms_norm", "layer_norm"):
        config = make_config(qk_norm=True, head_dim=D, num_key_value_heads=HKV, norm_type=norm_type)
        plain = numbers(config, "norm") - L * 2 * D
        expect_equal(
            count_parameters(config).norms,
            plain + L * 2 * D,
            what=f"the norm parameters of {L} layers with qk_norm, heads of {D} and norm_type={norm_type!r}",
            lookalikes={"qk-norm-for-every-head": plain + L * (H + HKV) * D},
        )


@pytest.mark.task("count-parameters")
def test_the_tables_of_the_vocabulary() -> None:
    """The embedding is V·C, and so is lm_head unless it is tied; positions have no parameters."""
    untied, tied = count_parameters(make_config()), count_parameters(make_config(tie_word_embeddings=True))
    what = f"for {V} words and {C} channels"
    expect_equal(untied.embedding, V * C, what=f"the embedding {what}")
    expect_equal(
        untied.lm_head,
        V * C,
        what=f"lm_head {what}, untied",
        lookalikes={"head-forgotten": 0},
    )
    expect_equal(tied.lm_head, 0, what=f"lm_head {what}, tied", lookalikes={"tie-ignored": V * C})
    expect_equal(tied.embedding, V * C, what=f"the embedding {what}, tied")
    waves = make_config(position_embedding_type="sinusoidal", max_position_embeddings=300)
    expect_equal(
        count_parameters(waves).embedding,
        V * C,
        what=f"the embedding {what}, with sinusoidal positions",
        lookalikes={"positions-learned": V * C + 300 * C},
    )


# ------------------------------------------------------------------------------------------------------ forward-flops


def products(config: ModelConfig, *, queries: int, keys: int) -> list[tuple[int, int, int]]:
    """The matrix products (m, k, n) that one row of the batch needs, one after the other."""
    shapes = shapes_of(config)
    shapes["lm_head.weight"] = shapes.pop("embed_tokens.weight")
    heads = config.num_attention_heads
    head = config.hidden_size // heads if config.head_dim is None else config.head_dim
    listed = [(queries, shape[1], shape[0]) for shape in shapes.values() if len(shape) == 2]
    for _ in range(config.num_hidden_layers * heads):
        listed += [(queries, head, keys), (queries, keys, head)]
    return listed


def flops(listed: list[tuple[int, int, int]]) -> int:
    return sum(2 * m * k * n for m, k, n in listed)


@pytest.mark.task("forward-flops")
def test_weights_that_a_token_meets() -> None:
    """matmul_parameters counts the entries of all weight matrices but the embedding, and of lm_head tied or not."""
    for tied in (False, True):
        config = make_config(num_key_value_heads=HKV, head_dim=D, attention_bias=True, tie_word_embeddings=tied)
        blocks = sum(m * k * n for m, k, n in products(config, queries=1, keys=0)) - V * C
        expect_equal(
            matmul_parameters(config),
            blocks + V * C,
            what=f"matmul_parameters of a model whose lm_head is {'tied' if tied else 'not tied'}",
            lookalikes={
                "embedding-counted": blocks + 2 * V * C,
                "tied-head-free" if tied else "head-not-multiplied": blocks,
                "attention-3h2": blocks + V * C - L * C * H * D,
                "ffn-2hi": blocks + V * C - L * C * INNER,
                "attention-mha-always": blocks + V * C + 2 * L * C * (H - HKV) * D,
            },
        )
    plain = make_config(hidden_act="relu")
    expect_equal(
        matmul_parameters(plain),
        L * (4 * C * C + 2 * C * INNER) + V * C,
        what="matmul_parameters of a model with hidden_act='relu'",
    )


@pytest.mark.task("forward-flops")
def test_forward_flops_of_a_small_model() -> None:
    """The sum of 2·m·k·n over every product of one pass, logits and full tables of scores included."""
    config = make_config(num_key_value_heads=HKV, head_dim=D)
    right = B * flops(products(config, queries=T, keys=T))
    weights = right - B * L * 4 * H * D * T * T
    scores = right - weights
    expect_equal(
        forward_flops(config, batch_size=B, seq_len=T),
        right,
        what=f"forward_flops of {B} rows of {T} tokens, {H} query heads, {HKV} key-value heads, D = {D}",
        lookalikes={
            "macs-not-flops": right // 2,
            "no-attention-scores": weights,
            "attention-scores-half": weights + scores // 2,
            "scores-of-kv-heads": weights + scores * HKV // H,
            "batch-forgotten": right // B,
            "embedding-counted": right + 2 * B * T * V * C,
        },
    )


@pytest.mark.task("forward-flops")
def test_tying_saves_memory_and_no_time() -> None:
    """A tied lm_head is multiplied like any other: the FLOPs are the same."""
    config = make_config(tie_word_embeddings=True)
    right = B * flops(products(config, queries=T, keys=T))
    expect_equal(
        forward_flops(config, batch_size=B, seq_len=T),
        right,
        what="forward_flops of a model with tied embeddings",
        lookalikes={"tied-head-free": right - 2 * B * T * V * C},
    )


# ------------------------------------------------------------------------------------------------------- decode-flops


@pytest.mark.task("decode-flops")
def test_one_more_token() -> None:
    """With n tokens in the cache, one new token passes through every weight and meets n + 1 keys."""
    config, context = make_config(num_key_value_heads=HKV, head_dim=D), 9
    right = B * flops(products(config, queries=1, keys=context + 1))
    key = B * L * 4 * H * D
    expect_equal(
        decode_flops(config, batch_size=B, context_len=context),
        right,
        what=f"decode_flops of {B} rows with {context} tokens in the cache",
        lookalikes={
            "decode-misses-itself": right - key,
            "decode-without-cache": B * flops(products(config, queries=context + 1, keys=context + 1)),
            "decode-2n": right - key * (context + 1),
            "batch-forgotten": right // B,
        },
    )


# ------------------------------------------------------------------------------------------------------ training-cost


@pytest.mark.task("training-cost")
def test_backward_costs_twice_the_forward_pass() -> None:
    """Every product Y = X W has two of the same size in the backward pass: three in all."""
    config = make_config(num_key_value_heads=HKV)
    once = B * flops(products(config, queries=T, keys=T))
    expect_equal(
        training_flops(config, batch_size=B, seq_len=T),
        3 * once,
        what=f"training_flops of {B} rows of {T} tokens, whose forward pass costs {once}",
        lookalikes={
            "backward-as-forward": 2 * once,
            "training-6n": 6 * B * T * numbers(config),
        },
    )


@pytest.mark.task("training-cost")
def test_seconds_of_a_run() -> None:
    """FLOPs over FLOPs per second: the peak, times the share of it that is reached, times the devices."""
    right = 9e15 / (4e12 * 0.3 * 5)
    expect_close(
        training_seconds(9e15, peak_flops=4e12, utilization=0.3, devices=5),
        right,
        what="training_seconds of 9e15 FLOPs on 5 devices of 4e12 FLOP/s at 30 %",
        lookalikes={
            "time-in-minutes": right / 60,
            "utilization-multiplied": right * 0.3 * 0.3,
        },
    )
    expect_close(
        training_seconds(9e15, peak_flops=4e12, utilization=0.3),
        right * 5,
        what="training_seconds of the same on one device",
    )
    expect_close(
        training_seconds(3e12, peak_flops=4e12, utilization=0.5, devices=2),
        0.75,
        what="training_seconds of 3e12 FLOPs on 2 devices of 4e12 FLOP/s at 50 %",
        lookalikes={"whole-seconds": lambda: 0.0},
    )


# --------------------------------------------------------------------------------------------------- inference-memory


@pytest.mark.task("inference-memory")
def test_bytes_of_the_cache() -> None:
    """A key and a value for each layer, row, key-value head and token, D numbers each, in three dtypes."""
    config = make_config(num_key_value_heads=HKV, head_dim=D)
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        one = torch.empty(B, HKV, T, D, dtype=dtype)  # the key, or the value, of one layer
        right = 2 * L * one.numel() * one.element_size()
        others = {
            "cache-2-twice": right * 2,
            "cache-full-heads": right * H // HKV,
            "cache-as-wide-as-hidden": right * C // (HKV * D),
            "batch-forgotten": right // B,
            "cache-in-gib": right / 2**30,
        }
        expect_equal(
            kv_cache_bytes(config, batch_size=B, seq_len=T, dtype=dtype),
            right,
            what=f"kv_cache_bytes of {B} rows of {T} tokens, {L} layers, {HKV} key-value heads of {D}, {dtype}",
            lookalikes=others if dtype is torch.float32 else {"cache-bf16-4-bytes": 4 * 2 * L * one.numel()},
        )


@pytest.mark.task("inference-memory")
def test_bytes_of_generation() -> None:
    """The weights and the full cache, both in the dtype."""
    config = make_config(num_key_value_heads=HKV, tie_word_embeddings=True)
    weights, cache = numbers(config), 2 * L * B * HKV * T * (C // H)
    expect_equal(
        inference_bytes(config, batch_size=B, seq_len=T, dtype=torch.bfloat16),
        2 * (weights + cache),
        what=f"inference_bytes of {weights} parameters and a cache of {cache} numbers in bfloat16",
        lookalikes={"inference-weights-alone": 2 * weights},
    )


# ---------------------------------------------------------------------------------------------------- training-memory


@pytest.mark.task("training-memory")
def test_bytes_per_parameter() -> None:
    """16 bytes per parameter with AdamW, 12 with Lion, in mixed precision and in float32 alike."""
    config = make_config(num_key_value_heads=HKV)
    N = numbers(config)
    cases: list[tuple[str, bool, int, dict[str, int]]] = [
        ("adamw", False, 16, {}),
        ("lion", True, 12, {"moments-in-2-bytes": 10, "no-master-copy": 8, "lion-two-moments": 16}),
        (
            "adamw",
            True,
            16,
            {
                "moments-in-2-bytes": 12,
            },
        ),
        ("lion", False, 12, {"lion-two-moments": 16}),
    ]
    for optimizer, mixed_precision, size, others in cases:
        expect_equal(
            training_state_bytes(config, optimizer=optimizer, mixed_precision=mixed_precision),
            size * N,
            what=f"training_state_bytes of {N} parameters with {optimizer}, mixed_precision={mixed_precision}",
            lookalikes={name: other * N for name, other in others.items()},
        )
    expect_equal(training_state_bytes(config), 16 * N, what="training_state_bytes without options: AdamW, mixed")


@pytest.mark.task("training-memory")
def test_bytes_of_activations() -> None:
    """34·B·T·C + 5·H·B·T² for every layer, and 4·B·T·(C + V) around them."""
    config = make_config(num_key_value_heads=HKV, head_dim=D)
    linear, square, around = 34 * B * T * C, 5 * H * B * T * T, 4 * B * T * (C + V)
    right = L * (linear + square) + around
    expect_equal(
        activation_bytes(config, batch_size=B, seq_len=T),
        right,
        what=f"activation_bytes of {B} rows of {T} tokens, {L} layers, {H} heads",
        lookalikes={
            "activations-without-scores": L * linear + around,
            "activations-without-logits": L * (linear + square),
        },
    )


@pytest.mark.task("training-memory")
def test_bytes_of_activations_with_checkpointing() -> None:
    """With checkpointing, a layer keeps its input in 16 bits; one layer at a time is there in full."""
    config = make_config()
    inputs, one, around = 2 * B * T * C, 34 * B * T * C + 5 * H * B * T * T, 4 * B * T * (C + V)
    expect_equal(
        activation_bytes(config, batch_size=B, seq_len=T, checkpointing=True),
        L * inputs + one + around,
        what=f"activation_bytes of {B} rows of {T} tokens and {L} layers with checkpointing",
        lookalikes={"checkpointing-keeps-no-layer": L * inputs + around},
    )


# -------------------------------------------------------------------------------------------------------- tiny-config


@pytest.mark.task("tiny-config")
def test_tiny_config_has_about_ten_million_parameters() -> None:
    """tiny_config() is a ModelConfig of 9 500 000 to 10 500 000 parameters."""
    config = tiny_config()
    expect(isinstance(config, ModelConfig), f"It is a {type(config).__name__}.", what="tiny_config()")
    total, tied = numbers(config), numbers(dataclasses.replace(config, tie_word_embeddings=True))
    expect(
        9_500_000 <= total <= 10_500_000,
        f"It has {total:,} parameters.",
        what="the number of parameters of tiny_config()",
        expected="9,500,000 to 10,500,000",
        actual=f"{total:,}",
        mistake="tiny-table-counted-once" if tied <= 10_500_000 < total else None,
    )


@pytest.mark.task("tiny-config")
def test_tiny_config_keeps_to_its_limits() -> None:
    """The docstring's limits: vocabulary, depth, heads, inner width, length, and where the parameters are."""
    config = tiny_config()
    what = "the design of tiny_config()"
    expect_equal(config.vocab_size, 4096, what="vocab_size of tiny_config()")
    expect(
        config.num_hidden_layers >= 4, f"It has {config.num_hidden_layers} layers; at least 4 are needed.", what=what
    )
    longest = config.max_position_embeddings
    expect(longest >= 1024, f"max_position_embeddings is {longest}; at least 1024 is needed.", what=what)
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    expect(
        kv_heads in (None, heads),
        f"It has {heads} query heads and {kv_heads} key-value heads; they must be as many.",
        what=what,
        mistake="tiny-grouped",
    )
    head = config.hidden_size // heads if config.head_dim is None else config.head_dim
    expect(32 <= head <= 128, f"A head has {head} numbers; 32 to 128 are needed.", what=what)
    ratio = config.intermediate_size / config.hidden_size
    expect(2 <= ratio <= 4, f"intermediate_size is {ratio:.2f} times hidden_size; 2 to 4 times is needed.", what=what)
    total = numbers(config)
    share = numbers(config, "layers.", "norm") / total
    expect(
        share >= 0.75,
        f"{share:.1%} of the parameters are in blocks and norms; at least 75 % are needed.",
        what=what,
        mistake="tiny-mostly-words",
    )
    buildable = config.head_dim is not None or config.hidden_size % heads == 0
    even = config.position_embedding_type != "rope" or head % 2 == 0
    expect(buildable and even, "validate would refuse it: look at its heads.", what=what)


@pytest.mark.task("tiny-config")
def test_tiny_config_is_new_each_time() -> None:
    """Changing one tiny_config() leaves the next one alone."""
    first = tiny_config()
    expected = copy.deepcopy(first)
    first.hidden_size, first.num_hidden_layers = 8, 1
    expect_equal(
        dataclasses.asdict(tiny_config()),
        dataclasses.asdict(expected),
        what="tiny_config() after an earlier one was changed",
        mistake="tiny-shared",
    )
