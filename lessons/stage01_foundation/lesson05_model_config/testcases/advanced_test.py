"""The edges of lesson 05: published models to the last parameter, measured FLOPs, random configs, your own model."""

import contextlib
import copy
import dataclasses
import math
import random
from collections.abc import Iterator
from math import prod

import pytest
import torch
from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from coursecli.expect import diagnosing, expect, expect_close, expect_equal, expect_raises
from intro2llm.configs.tiny_config import tiny_config
from intro2llm.model.config import ModelConfig
from intro2llm.utils.compute import (
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

LLAMA_7B = ModelConfig(
    vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32
)
LLAMA_3_2_1B = ModelConfig(
    vocab_size=128256,
    hidden_size=2048,
    intermediate_size=8192,
    num_hidden_layers=16,
    num_attention_heads=32,
    num_key_value_heads=8,
    tie_word_embeddings=True,
)
LLAMA_3_1_405B = ModelConfig(
    vocab_size=128256,
    hidden_size=16384,
    intermediate_size=53248,
    num_hidden_layers=126,
    num_attention_heads=128,
    num_key_value_heads=8,
)
QWEN_2_5_05B = ModelConfig(
    vocab_size=151936,
    hidden_size=896,
    intermediate_size=4864,
    num_hidden_layers=24,
    num_attention_heads=14,
    num_key_value_heads=2,
    attention_bias=True,
    tie_word_embeddings=True,
)
QWEN_3_06B = ModelConfig(
    vocab_size=151936,
    hidden_size=1024,
    intermediate_size=3072,
    num_hidden_layers=28,
    num_attention_heads=16,
    num_key_value_heads=8,
    head_dim=128,
    qk_norm=True,
    tie_word_embeddings=True,
)


def random_config(draw: random.Random) -> ModelConfig:
    """A small config that can be built; every choice of every field comes up."""
    heads, kv_heads = draw.choice([(1, 1), (4, 2), (6, 3), (6, 1), (10, 5), (3, 3)])
    head = draw.choice([2, 4, 6, 10])
    derived = draw.random() < 0.5
    return ModelConfig(
        vocab_size=draw.randint(11, 90),
        hidden_size=heads * head if derived else draw.randint(5, 40),
        intermediate_size=draw.randint(7, 60),
        num_hidden_layers=draw.randint(1, 4),
        num_attention_heads=heads,
        num_key_value_heads=None if heads == kv_heads and draw.random() < 0.5 else kv_heads,
        head_dim=None if derived else head,
        hidden_act=draw.choice(["silu", "gelu", "relu"]),
        norm_type=draw.choice(["rms_norm", "layer_norm"]),
        position_embedding_type=draw.choice(["rope", "sinusoidal"]),
        attention_bias=draw.random() < 0.5,
        qk_norm=draw.random() < 0.5,
        tie_word_embeddings=draw.random() < 0.5,
    )


def kv_heads_of(config: ModelConfig) -> int:
    return config.num_attention_heads if config.num_key_value_heads is None else config.num_key_value_heads


def head_of(config: ModelConfig) -> int:
    return config.hidden_size // config.num_attention_heads if config.head_dim is None else config.head_dim


def shapes_of_layer(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter of one block, by its name, written out as lessons 02 and 03 build it."""
    width, inner, head = config.hidden_size, config.intermediate_size, head_of(config)
    query, key = config.num_attention_heads * head, kv_heads_of(config) * head
    shapes: dict[str, tuple[int, ...]] = {
        "q_proj.weight": (query, width),
        "k_proj.weight": (key, width),
        "v_proj.weight": (key, width),
        "o_proj.weight": (width, query),
        "up_proj.weight": (inner, width),
        "down_proj.weight": (width, inner),
        "input_layernorm.weight": (width,),
        "post_attention_layernorm.weight": (width,),
    }
    if config.attention_bias:
        shapes |= {"q_proj.bias": (query,), "k_proj.bias": (key,), "v_proj.bias": (key,)}
    if config.qk_norm:
        shapes |= {"q_norm.weight": (head,), "k_norm.weight": (head,)}
    if config.hidden_act == "relu":
        shapes |= {"up_proj.bias": (inner,), "down_proj.bias": (width,)}
    else:
        shapes["gate_proj.weight"] = (inner, width)
    if config.norm_type == "layer_norm":
        shapes |= {"input_layernorm.bias": (width,), "post_attention_layernorm.bias": (width,)}
    return shapes


def numbers(config: ModelConfig) -> int:
    """How many parameters the model has: its blocks, the last norm, and one or two tables."""
    block = sum(prod(shape) for shape in shapes_of_layer(config).values())
    last_norm = config.hidden_size * (2 if config.norm_type == "layer_norm" else 1)
    table = config.vocab_size * config.hidden_size
    return config.num_hidden_layers * block + last_norm + table * (1 if config.tie_word_embeddings else 2)


@contextlib.contextmanager
def nothing_is_built(what: str) -> Iterator[None]:
    """Fails when a module with parameters is made meanwhile, on whatever device."""
    built: list[str] = []

    def note(module: torch.nn.Module, name: str, parameter: object) -> None:
        built.append(type(module).__name__)

    hook = register_module_parameter_registration_hook(note)
    try:
        yield
    finally:
        hook.remove()
    expect(
        not built,
        "A part of a model was made on the way.",
        what=what,
        expected="arithmetic with the config's fields alone",
        actual=f"{', '.join(sorted(set(built)))} made",
        mistake="counted-by-building",
    )


def measured_flops(config: ModelConfig, *, batch: int, queries: int, keys: int, backward: bool = False) -> int:
    """What torch counts while every product of a pass is really computed, with random numbers instead of a model."""
    from torch.utils.flop_counter import FlopCounterMode

    heads, head, width = config.num_attention_heads, head_of(config), config.hidden_size
    matrices = [shape for name, shape in shapes_of_layer(config).items() if len(shape) == 2]
    matrices = matrices * config.num_hidden_layers + [(config.vocab_size, width)]

    def draw(*shape: int) -> Tensor:
        return torch.zeros(*shape, requires_grad=backward)

    with FlopCounterMode(display=False) as counter:
        outputs = [draw(batch * queries, columns) @ draw(rows, columns).T for rows, columns in matrices]
        for _ in range(config.num_hidden_layers):
            scores = draw(batch, heads, queries, head) @ draw(batch, heads, keys, head).transpose(-2, -1)
            outputs += [scores, draw(batch, heads, queries, keys) @ draw(batch, heads, keys, head)]
        if backward:
            for output in outputs:
                output.sum().backward()
    return counter.get_total_flops()


# -------------------------------------------------------------------------------------------------- config-properties


@pytest.mark.task("config-properties")
def test_derived_sizes_of_published_models() -> None:
    """Llama 3.2 1B shares a key head among 4 query heads, Qwen3-0.6B has heads wider than hidden_size / heads."""
    for name, config, right in (
        ("Llama 3.2 1B", LLAMA_3_2_1B, (64, 8, 4)),
        ("Qwen2.5-0.5B", QWEN_2_5_05B, (64, 2, 7)),
        ("Qwen3-0.6B", QWEN_3_06B, (128, 8, 2)),
        ("LLaMA-7B", LLAMA_7B, (128, 32, 1)),
    ):
        sizes = (config.attention_head_dim, config.key_value_heads, config.num_key_value_groups)
        expect_equal(sizes, right, what=f"head size, key-value heads and groups of {name}")


@pytest.mark.task("config-properties")
def test_each_config_answers_for_itself() -> None:
    """A copy that is changed, and a field that is set back to None, are read as they are."""
    config = ModelConfig(hidden_size=60, num_attention_heads=6, num_key_value_heads=2, head_dim=14)
    expect_equal(config.attention_head_dim, 14, what="attention_head_dim where head_dim is 14")
    changed = copy.deepcopy(config)
    changed.head_dim, changed.num_key_value_heads = None, None
    sizes = (changed.attention_head_dim, changed.key_value_heads, changed.num_key_value_groups)
    expect_equal(
        sizes, (10, 6, 1), what="the derived sizes of a copy whose head_dim and num_key_value_heads became None"
    )
    sizes = (config.attention_head_dim, config.key_value_heads, config.num_key_value_groups)
    expect_equal(sizes, (14, 2, 3), what="the derived sizes of the config that was copied")


# ---------------------------------------------------------------------------------------------------- config-validate


def is_good(config: ModelConfig) -> bool:
    """The rules of the docstring, each once, for configs whose sizes are ints."""
    sizes = [config.vocab_size, config.hidden_size, config.intermediate_size, config.num_hidden_layers]
    sizes += [config.num_attention_heads, config.max_position_embeddings, kv_heads_of(config)]
    if min(sizes) < 1 or (config.head_dim is not None and config.head_dim < 1):
        return False
    if config.num_attention_heads % kv_heads_of(config) or (
        config.head_dim is None and config.hidden_size % config.num_attention_heads
    ):
        return False
    if config.position_embedding_type == "rope" and head_of(config) % 2:
        return False
    names = (config.hidden_act, config.norm_type, config.position_embedding_type)
    known = ({"silu", "gelu", "relu"}, {"rms_norm", "layer_norm"}, {"rope", "sinusoidal"})
    if any(name not in among for name, among in zip(names, known, strict=True)):
        return False
    return (
        min(config.rms_norm_eps, config.rope_theta, config.initializer_range) > 0 and 0 <= config.attention_dropout < 1
    )


@pytest.mark.task("config-validate")
def test_random_configs_are_judged_by_the_rules() -> None:
    """Four hundred configs, about half of them broken in one or two places: each is accepted or refused rightly."""
    draw = random.Random(505)
    for _ in range(400):
        config = ModelConfig(
            vocab_size=draw.choice([1, 7, 50, 50, 50, 0]),
            hidden_size=draw.choice([24, 24, 30, 26, 48]),
            num_attention_heads=draw.choice([1, 2, 3, 6, 6]),
            num_key_value_heads=draw.choice([None, None, 1, 2, 3, 6]),
            head_dim=draw.choice([None, None, 5, 8, 10]),
            position_embedding_type=draw.choice(["rope", "rope", "sinusoidal"]),
            norm_type=draw.choice(["rms_norm", "layer_norm", "layer_norm", "rms_norm", "rms_norm", "RMSNorm"]),
            attention_dropout=draw.choice([0.0, 0.1, 0, 0.9]),
            rope_theta=draw.choice([10000.0, 500000, 1e6]),
        )
        what = f"validate of {config}"
        if is_good(config):
            try:
                config.validate()
            except ValueError as error:
                expect(False, "It was refused.", what=what, expected="no exception", actual=str(error))
        else:
            with expect_raises(ValueError, what=what):
                config.validate()


@pytest.mark.task("config-validate")
def test_a_config_is_judged_as_it_is_now() -> None:
    """A config may be incomplete while it is put together; validate judges the fields at the time of the call."""
    with diagnosing("validate-on-construction", ValueError):
        config = ModelConfig(hidden_size=100, num_attention_heads=8)
        config.vocab_size = 0
    with expect_raises(ValueError, what="validate while hidden_size is 100, with 8 heads, and vocab_size is 0"):
        config.validate()
    config.hidden_size, config.vocab_size = 104, 1000
    config.head_dim = 12
    config.validate()
    config.head_dim = 13
    with expect_raises(ValueError, what="validate after head_dim = 13 was assigned"):
        config.validate()


@pytest.mark.task("config-validate")
def test_published_configs_are_accepted() -> None:
    """Four published models, and the default config."""
    for config in (LLAMA_7B, LLAMA_3_2_1B, LLAMA_3_1_405B, QWEN_2_5_05B, QWEN_3_06B, ModelConfig()):
        try:
            config.validate()
        except ValueError as error:
            expect(False, "It was refused.", what=f"validate of {config}", actual=str(error))
    expect(is_good(QWEN_3_06B), "The rules refuse it.", what="Qwen3-0.6B")


# --------------------------------------------------------------------------------------------------- count-parameters


@pytest.mark.task("count-parameters")
def test_published_models_to_the_last_parameter() -> None:
    """LLaMA-7B, Llama 3.2 1B, Qwen2.5-0.5B, Qwen3-0.6B, Llama 3.1 405B: exactly as published, and none is built."""
    with nothing_is_built("count_parameters of the default config"):
        count_parameters(ModelConfig())
    for name, config, total, non_embedding in (
        ("LLaMA-7B", LLAMA_7B, 6_738_415_616, 6_476_271_616),
        ("Llama 3.2 1B", LLAMA_3_2_1B, 1_235_814_400, 973_146_112),
        ("Qwen2.5-0.5B", QWEN_2_5_05B, 494_032_768, 357_898_112),
        ("Qwen3-0.6B", QWEN_3_06B, 596_049_920, 440_467_456),
        ("Llama 3.1 405B", LLAMA_3_1_405B, 405_853_388_800, 401_650_696_192),
    ):
        count = count_parameters(config)
        expect_equal(count.total, total, what=f"the parameters of {name}")
        expect_equal(count.non_embedding, non_embedding, what=f"the non-embedding parameters of {name}")


@pytest.mark.task("count-parameters")
def test_random_models_are_counted_exactly() -> None:
    """Two hundred random configs against their lists of shapes; none of them is changed."""
    draw = random.Random(506)
    for _ in range(200):
        config = random_config(draw)
        before = dataclasses.asdict(config)
        count = count_parameters(config)
        expect_equal(count.total, numbers(config), what=f"the parameters of {config}")
        tables = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
        expect_equal(count.non_embedding, numbers(config) - tables, what=f"the non-embedding parameters of {config}")
        expect_equal(dataclasses.asdict(config), before, what="the config after count_parameters")


# ------------------------------------------------------------------------------------------------------ forward-flops


@pytest.mark.task("forward-flops")
def test_forward_flops_are_what_torch_measures() -> None:
    """torch.utils.flop_counter, on every product of a pass, counts the same for six random models."""
    draw = random.Random(507)
    for _ in range(6):
        config, batch, tokens = random_config(draw), draw.randint(2, 4), draw.randint(3, 9)
        expect_equal(
            forward_flops(config, batch_size=batch, seq_len=tokens),
            measured_flops(config, batch=batch, queries=tokens, keys=tokens),
            what=f"forward_flops of {batch} rows of {tokens} tokens for {config}",
        )


@pytest.mark.task("forward-flops")
def test_scores_grow_with_the_square() -> None:
    """Twice the rows cost twice as much; twice the tokens cost twice the weights and four times the scores."""
    config = QWEN_3_06B
    short, long = (forward_flops(config, batch_size=3, seq_len=tokens) for tokens in (500, 1000))
    expect_equal(forward_flops(config, batch_size=6, seq_len=500), 2 * short, what="forward_flops of twice the rows")
    scores = 3 * 28 * 4 * 16 * 128 * 500 * 500
    expect_equal(
        long - 2 * short,
        2 * scores,
        what="what is left of forward_flops of 1000 tokens after twice that of 500",
        lookalikes={"no-attention-scores": 0, "attention-scores-half": scores},
    )


@pytest.mark.task("forward-flops")
def test_forward_flops_of_published_models() -> None:
    """Exact for the largest models too: the figures are ints, and no model is built."""
    with nothing_is_built("matmul_parameters and forward_flops of the default config"):
        matmul_parameters(ModelConfig())
        forward_flops(ModelConfig(), batch_size=1, seq_len=8)
    expect_equal(matmul_parameters(LLAMA_7B), 6_607_077_376, what="matmul_parameters of LLaMA-7B")
    expect_equal(matmul_parameters(LLAMA_3_2_1B), 1_235_746_816, what="matmul_parameters of Llama 3.2 1B")
    expect_equal(
        forward_flops(LLAMA_7B, batch_size=1, seq_len=2048),
        29_261_612_187_648,
        what="forward_flops of one text of 2048 tokens through LLaMA-7B",
    )
    weights = 2 * 403_747_897_344
    scores = 4 * 126 * 128 * 128 * 131_071
    expect_equal(
        forward_flops(LLAMA_3_1_405B, batch_size=1_000_003, seq_len=131_071),
        1_000_003 * 131_071 * (weights + scores),
        what="forward_flops of 1000003 texts of 131071 tokens through Llama 3.1 405B",
        mistake="flops-through-floats",
    )


# ------------------------------------------------------------------------------------------------------- decode-flops


@pytest.mark.task("decode-flops")
def test_decode_flops_are_what_torch_measures() -> None:
    """torch.utils.flop_counter, on one query and n + 1 keys, counts the same for six random models."""
    draw = random.Random(508)
    for _ in range(6):
        config, batch, context = random_config(draw), draw.randint(2, 4), draw.randint(0, 9)
        expect_equal(
            decode_flops(config, batch_size=batch, context_len=context),
            measured_flops(config, batch=batch, queries=1, keys=context + 1),
            what=f"decode_flops of {batch} rows with {context} tokens in the cache for {config}",
        )


@pytest.mark.task("decode-flops")
def test_writing_a_text_token_by_token() -> None:
    """From an empty cache, T steps cost the weights of one pass over T tokens and T(T+1)/2 of its T² scores."""
    tokens = 40
    steps = sum(decode_flops(LLAMA_3_2_1B, batch_size=2, context_len=past) for past in range(tokens))
    scores = 4 * 16 * 32 * 64 * tokens * (tokens + 1) // 2
    expect_equal(
        steps,
        2 * (tokens * 2 * 1_235_746_816 + scores),
        what=f"the sum of decode_flops over {tokens} steps of Llama 3.2 1B in 2 rows",
    )


# ------------------------------------------------------------------------------------------------------ training-cost


@pytest.mark.task("training-cost")
def test_training_flops_are_what_torch_measures() -> None:
    """torch.utils.flop_counter, on every product and its backward pass, counts the same for four random models."""
    draw = random.Random(509)
    for _ in range(4):
        config, batch, tokens = random_config(draw), draw.randint(2, 4), draw.randint(3, 9)
        expect_equal(
            training_flops(config, batch_size=batch, seq_len=tokens),
            measured_flops(config, batch=batch, queries=tokens, keys=tokens, backward=True),
            what=f"training_flops of {batch} rows of {tokens} tokens for {config}",
        )


@pytest.mark.task("training-cost")
def test_time_of_a_large_run() -> None:
    """6 FLOPs for each of 7e9 parameters and 1e12 tokens, on 8 A100 at half their peak: over a year."""
    seconds = training_seconds(6 * 7e9 * 1e12, peak_flops=312e12, utilization=0.5, devices=8)
    expect_close(seconds / 3600, 9348.290598, what="the hours of this run", rtol=1e-6, atol=1e-3)
    all_of_it = training_seconds(1e12, peak_flops=1e9, utilization=1.0)
    expect_close(all_of_it, 1000.0, what="training_seconds at a utilization of 1")


@pytest.mark.task("training-cost")
def test_impossible_utilization_is_refused() -> None:
    """A share of the peak is greater than 0 and at most 1."""
    for share in (0, -0.2, 1.2, 40, math.nan):
        with expect_raises(ValueError, what=f"training_seconds with utilization={share}"):
            training_seconds(1e15, peak_flops=1e12, utilization=share)


# --------------------------------------------------------------------------------------------------- inference-memory


@pytest.mark.task("inference-memory")
def test_caches_of_published_models() -> None:
    """LLaMA-7B keeps exactly 1 GiB for 2048 tokens in 16 bits; grouped heads make it smaller in proportion."""
    for name, config, right in (
        ("LLaMA-7B", LLAMA_7B, 2**30),
        ("Llama 3.2 1B", LLAMA_3_2_1B, 64 * 2**20),
        ("Qwen2.5-0.5B", QWEN_2_5_05B, 24 * 2**20),
        ("Qwen3-0.6B", QWEN_3_06B, 224 * 2**20),
    ):
        for dtype in (torch.float16, torch.bfloat16):
            size = kv_cache_bytes(config, batch_size=1, seq_len=2048, dtype=dtype)
            expect_equal(size, right, what=f"kv_cache_bytes of {name} for 2048 tokens in {dtype}")
    full = dataclasses.replace(LLAMA_3_2_1B, num_key_value_heads=None)
    sizes = [kv_cache_bytes(config, batch_size=5, seq_len=100, dtype=torch.float32) for config in (full, LLAMA_3_2_1B)]
    expect_equal(sizes[0], 4 * sizes[1], what="the cache with 32 key-value heads, beside that with 8")


@pytest.mark.task("inference-memory")
def test_inference_bytes_of_random_models() -> None:
    """Weights and cache of fifty random models in a random dtype; an empty cache takes nothing."""
    draw = random.Random(510)
    for _ in range(50):
        config, batch, tokens = random_config(draw), draw.randint(1, 5), draw.randint(0, 9)
        dtype, size = draw.choice([(torch.float32, 4), (torch.float16, 2), (torch.float64, 8), (torch.int8, 1)])
        cache = 2 * config.num_hidden_layers * batch * tokens * kv_heads_of(config) * head_of(config)
        expect_equal(
            inference_bytes(config, batch_size=batch, seq_len=tokens, dtype=dtype),
            size * (numbers(config) + cache),
            what=f"inference_bytes of {batch} rows of {tokens} tokens in {dtype} for {config}",
        )


@pytest.mark.task("inference-memory")
@pytest.mark.integration
def test_the_figures_fit_your_own_model() -> None:
    """Your CausalLM has as many parameters, a cache of as many bytes, and within 3 % as many FLOPs, as computed."""
    from torch.utils.flop_counter import FlopCounterMode

    from intro2llm.model.causal_lm import CausalLM

    base = {
        "vocab_size": 50,
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
    }
    batch, tokens = 2, 7
    for changes in (
        {},
        {"hidden_act": "gelu", "tie_word_embeddings": True, "head_dim": 10, "attention_bias": True},
        {"hidden_act": "relu", "norm_type": "layer_norm", "qk_norm": True},
        {"position_embedding_type": "sinusoidal", "max_position_embeddings": 30},
    ):
        config = ModelConfig(**{**base, **changes})
        model = CausalLM(config).eval()
        built = sum(parameter.numel() for parameter in model.parameters())
        expect_equal(built, numbers(config), what=f"the parameters of your CausalLM with {changes}")
        expect_equal(count_parameters(config).total, built, what=f"count_parameters with {changes}")

        ids = torch.arange(batch * tokens).reshape(batch, tokens)
        with torch.no_grad():
            cache = model(ids, use_cache=True).past_key_values
            with FlopCounterMode(display=False) as counter:
                model(ids)
        held = sum(part.numel() * part.element_size() for pair in cache for part in pair)
        expect_equal(
            held, 2 * 3 * batch * 6 * tokens * head_of(config) * 4, what=f"the bytes of your cache with {changes}"
        )
        computed = kv_cache_bytes(config, batch_size=batch, seq_len=tokens, dtype=torch.float32)
        expect_equal(computed, held, what=f"kv_cache_bytes with {changes}")

        measured = counter.get_total_flops()
        flops = forward_flops(config, batch_size=batch, seq_len=tokens)
        expect(
            abs(measured - flops) <= 0.03 * flops,
            f"forward_flops says {flops}, but one pass of your CausalLM took {measured}.",
            what=f"the FLOPs of your CausalLM with {changes}, as torch counts them",
            expected=f"{flops}, within 3 %",
            actual=str(measured),
        )


# ---------------------------------------------------------------------------------------------------- training-memory


@pytest.mark.task("training-memory")
def test_training_state_of_published_models() -> None:
    """LLaMA-7B with AdamW keeps 107.8 GB, with Lion a quarter less: too much for any single card of 80 GB."""
    N = 6_738_415_616
    for optimizer, size in (("adamw", 16), ("lion", 12)):
        for mixed_precision in (True, False):
            found = training_state_bytes(LLAMA_7B, optimizer=optimizer, mixed_precision=mixed_precision)
            expect_equal(found, size * N, what=f"training_state_bytes of LLaMA-7B with {optimizer}, {mixed_precision=}")


@pytest.mark.task("training-memory")
def test_unknown_optimizers_are_refused() -> None:
    """An optimizer that nobody has accounted for is a ValueError with its name, not a guess."""
    with expect_raises(
        ValueError,
        what="training_state_bytes with optimizer='adam8bit'",
        match="adam8bit",
    ):
        training_state_bytes(LLAMA_7B, optimizer="adam8bit")


@pytest.mark.task("training-memory")
def test_activations_of_random_models() -> None:
    """The formula for fifty random models, with and without checkpointing."""
    draw = random.Random(511)
    for _ in range(50):
        config, batch, tokens = random_config(draw), draw.randint(1, 5), draw.randint(1, 30)
        C, L, H = config.hidden_size, config.num_hidden_layers, config.num_attention_heads
        one = 34 * batch * tokens * C + 5 * H * batch * tokens**2
        around = 4 * batch * tokens * (C + config.vocab_size)
        what = f"activation_bytes of {batch} rows of {tokens} tokens for {config}"
        plain = activation_bytes(config, batch_size=batch, seq_len=tokens)
        expect_equal(plain, L * one + around, what=what)
        saved = activation_bytes(config, batch_size=batch, seq_len=tokens, checkpointing=True)
        expect_equal(saved, L * 2 * batch * tokens * C + one + around, what=f"{what}, with checkpointing")


# -------------------------------------------------------------------------------------------------------- tiny-config


@pytest.mark.task("tiny-config")
def test_tiny_config_by_your_own_figures() -> None:
    """validate accepts tiny_config(), and count_parameters agrees with the list of its shapes."""
    config = tiny_config()
    try:
        config.validate()
    except ValueError as error:
        expect(False, "validate refuses it.", what="validate of tiny_config()", actual=str(error))
    expect_equal(count_parameters(config).total, numbers(config), what=f"the parameters of {config}")
