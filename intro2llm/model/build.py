"""From a configuration to your model, ready for weights. Given: it puts together what you wrote, and checks it.

`CausalLM(config)` is all of it for the models that the lessons describe. Two things are added here: the scaled rotary
frequencies of Llama 3, and lesson 15's grouped-query attention for models with fewer key heads than query heads.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch import nn

from intro2llm.model import attention
from intro2llm.model.causal_lm import CausalLM
from intro2llm.model.config import ModelConfig
from intro2llm.model.layout import parameters_of
from intro2llm.model.rope_scaling import ScaledRoPE


class ModelBuildError(Exception):
    """The model cannot be built, or is not what its configuration describes. One line, with the class to look at."""


def build_model(config: ModelConfig, *, random_weights: bool = True) -> CausalLM:
    """The model that `config` describes, with new weights, in float32 on the CPU.

    Args:
        config: any that your classes can follow.
        random_weights: False leaves the weights as they come, for a model that is given others at once: drawing half a
            billion random numbers takes longer than reading them from a file.

    Raises:
        ModelBuildError: it needs lesson 15, or a parameter does not have the name or shape that the configuration
            implies: the first one that does not, with its class and lesson.
    """
    require_attention(config)
    with nullcontext() if random_weights else _nothing_drawn():
        model = CausalLM(config)
        if _is_grouped(config):
            for layer in model.layers:
                layer.self_attn = _initialised(attention.GroupedQueryAttention(config), config)
    check_parameters(model, config)
    if config.rope_scaling is not None:
        for layer in model.layers:
            _scale_rope(layer.self_attn, config)
    return model


def require_attention(config: ModelConfig) -> None:
    """Raise ModelBuildError if the model needs grouped-query attention, which is not written yet."""
    if _is_grouped(config) and not hasattr(attention, "GroupedQueryAttention"):
        raise ModelBuildError(
            f"This model has {config.num_attention_heads} query heads and {config.num_key_value_heads} key and value "
            "heads: grouped-query attention comes with lesson 15."
        )


def _is_grouped(config: ModelConfig) -> bool:
    return config.num_key_value_heads not in (None, config.num_attention_heads)


def _initialised(module: nn.Module, config: ModelConfig) -> nn.Module:
    """The same start as `CausalLM` gives to its linear layers."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=config.initializer_range)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module


@contextmanager
def _nothing_drawn() -> Iterator[None]:
    """Here, the functions of `torch.nn.init` that draw numbers leave their tensor alone."""
    names = [name for name in vars(nn.init) if name.endswith(("normal_", "uniform_"))]
    kept = {name: getattr(nn.init, name) for name in names}
    for name in names:
        setattr(nn.init, name, lambda tensor, *_, **__: tensor)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(nn.init, name, function)


def _scale_rope(self_attn: nn.Module, config: ModelConfig) -> None:
    if not isinstance(getattr(self_attn, "rope", None), nn.Module):
        name = type(self_attn).__name__
        raise ModelBuildError(f"The configuration has rope_scaling, but {name} has no module `rope` to be replaced.")
    head_dim = config.head_dim or config.hidden_size // config.num_attention_heads
    self_attn.rope = ScaledRoPE(head_dim, base=config.rope_theta, scaling=config.rope_scaling)


def check_parameters(model: nn.Module, config: ModelConfig) -> None:
    """Compare the names and shapes of the model's parameters with those that `config` implies.

    Raises:
        ModelBuildError: the first difference.
    """
    found = {name: tuple(parameter.shape) for name, parameter in model.named_parameters(remove_duplicate=False)}
    if config.tie_word_embeddings:
        head, table = getattr(model, "lm_head", None), getattr(model, "embed_tokens", None)
        if getattr(head, "weight", 0) is not getattr(table, "weight", 1):
            raise ModelBuildError(
                "tie_word_embeddings is set, but lm_head.weight is not embed_tokens.weight itself. "
                "Look at CausalLM (lesson 04)."
            )
        del found["lm_head.weight"]
    for name, shape, owner in parameters_of(config):
        if name not in found:
            raise ModelBuildError(f"The model has no parameter {name}, {shape}. Look at {owner}.")
        if found[name] != shape:
            raise ModelBuildError(
                f"The parameter {name} is {found[name]}; the configuration says {shape}. Look at {owner}."
            )
        del found[name]
    if found:
        name = next(iter(found))
        raise ModelBuildError(f"The model has a parameter {name}, {found[name]}, that Llama's layout does not have.")
