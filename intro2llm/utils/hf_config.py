"""Hugging Face's `config.json` to a `ModelConfig`, and back.

Three architectures of `transformers` are what your classes can be: Llama; Qwen2, whose queries, keys and values have
biases; and Qwen3, whose queries and keys are normalised. A file that asks for anything else is refused by name: a
setting that is passed over in silence gives a model that talks nonsense.

`transformers` up to version 4 keeps the rotary settings in `rope_theta` and `rope_scaling`, from version 5 on in
`rope_parameters`. Both are read, and both are written.
"""

import json
import math
import sys
from collections.abc import Container, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from intro2llm.configs.presets import build_config
from intro2llm.model.config import ModelConfig, RopeScaling
from intro2llm.utils.errors import CheckpointError

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
OWN = "intro2llm"
"""The `model_type` of a model that no architecture of `transformers` fits: its file holds our own field names."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        CheckpointError: it is missing, or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file.") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is not JSON: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: holds no JSON object.")
    return values


def write_json(path: Path, content: object) -> None:
    """Write JSON in UTF-8, for people to read."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def named_ids(value: object, known: Container[int]) -> list[int]:
    """An `eos_token_id` as a list: a file may name one id, several, or none. Those that are not known never come."""
    return [i for i in (value if isinstance(value, list) else [value]) if type(i) is int and i in known]


def read_config(path: Path) -> ModelConfig:
    """The `ModelConfig` that a `config.json` describes.

    Raises:
        CheckpointError: the file cannot be read, or asks for something that these models do not have: with the file,
            the key and the value.
    """
    return config_from_hf(read_json(path), file=path)


def config_from_hf(values: Mapping[str, Any], *, file: str | Path = "config.json") -> ModelConfig:
    """The `ModelConfig` that the values of a `config.json` describe; `file` is for the messages."""
    settings = _Settings(values, str(file))
    model_type = values.get("model_type")
    if model_type == OWN:
        return _own_config(settings)
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        raise settings.refuse("model_type", f"it must be one of {', '.join(ARCHITECTURES)}")
    _refuse_what_is_missing_here(settings, model_type)

    H, layers = settings.integer("num_attention_heads"), settings.integer("num_hidden_layers")
    kv_heads = settings.integer("num_key_value_heads", H)
    if H % kv_heads:
        raise settings.refuse("num_key_value_heads", f"it must divide num_attention_heads, which is {H}")
    head_dim = settings.integer("head_dim", 128 if model_type == "qwen3" else None)  # 128: Qwen3's own default
    hidden_size = settings.integer("hidden_size")
    if head_dim is None and hidden_size % H:
        raise settings.refuse("hidden_size", f"without head_dim it must be a multiple of num_attention_heads = {H}")
    D = head_dim or hidden_size // H
    if D % 2:
        raise settings.refuse(
            "head_dim" if head_dim else "hidden_size", f"a head of {D} numbers cannot be turned in pairs"
        )
    length = settings.integer("max_position_embeddings", 2048 if model_type == "llama" else 32768)
    theta, scaling = _rope(settings, length)
    dropout = settings.number("attention_dropout", 0.0)
    if dropout >= 1:
        raise settings.refuse("attention_dropout", "it must be below 1")
    return ModelConfig(
        vocab_size=settings.integer("vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=settings.integer("intermediate_size"),
        num_hidden_layers=layers,
        num_attention_heads=H,
        num_key_value_heads=None if kv_heads == H else kv_heads,
        head_dim=None if hidden_size == D * H else D,
        max_position_embeddings=length,
        hidden_act="gelu" if values.get("hidden_act") == "gelu" else "silu",
        rms_norm_eps=settings.number("rms_norm_eps", 1e-6),
        rope_theta=theta,
        rope_scaling=scaling,
        attention_bias=model_type == "qwen2" or settings.truth("attention_bias"),
        qk_norm=model_type == "qwen3",
        attention_dropout=dropout,
        tie_word_embeddings=settings.truth("tie_word_embeddings"),
        initializer_range=settings.number("initializer_range", 0.02),
    )


def _refuse_what_is_missing_here(settings: "_Settings", model_type: str) -> None:
    """Settings that would change the arithmetic, and that these models cannot follow."""
    values = settings.values
    if values.get("quantization_config") is not None:
        raise settings.refuse("quantization_config", "only weights of 16, 32 or 64 bits can be read")
    if values.get("hidden_act", "silu") not in ("silu", "swish", "gelu"):
        raise settings.refuse("hidden_act", "it must be silu or gelu")
    if settings.truth("mlp_bias"):
        raise settings.refuse("mlp_bias", "the feed-forward networks here have no bias")
    if values.get("partial_rotary_factor", 1) not in (1, None):
        raise settings.refuse("partial_rotary_factor", "the rotation here takes in whole heads")
    kinds = values.get("layer_types") or []
    if not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds):
        raise settings.refuse("layer_types", "every layer must have full attention")
    windows = settings.truth("use_sliding_window") and values.get("sliding_window") is not None and not kinds
    if windows and settings.integer("max_window_layers", 28) < settings.integer("num_hidden_layers"):
        raise settings.refuse("use_sliding_window", "every layer must have full attention")


def _rope(settings: "_Settings", length: int) -> tuple[float, RopeScaling | None]:
    """The base of the rotary frequencies, and their scaling, from either spelling."""
    key = "rope_scaling" if settings.values.get("rope_scaling") else "rope_parameters"
    table = settings.values.get(key) or {}
    if not isinstance(table, Mapping):
        raise settings.refuse(key, "it must be an object or null")
    rope = _Settings(table, settings.file, prefix=f"{key}.")
    theta = rope.number("rope_theta", settings.number("rope_theta", 10000.0))
    if theta <= 0:
        raise (rope if "rope_theta" in table else settings).refuse("rope_theta", "it must be positive")
    if rope.values.get("partial_rotary_factor", 1) not in (1, None):
        raise rope.refuse("partial_rotary_factor", "the rotation here takes in whole heads")
    if nested := [name for name, value in table.items() if isinstance(value, Mapping)]:
        raise rope.refuse(nested[0], "every layer must have the same rotation")
    kind_key = "rope_type" if "rope_type" in table else "type"  # its older name
    kind = table.get(kind_key, "default")
    if kind == "default":
        return theta, None
    if kind != "llama3":
        raise rope.refuse(kind_key, "it must be default or llama3")
    original = settings.integer("original_max_position_embeddings", length)
    scaling = RopeScaling(
        factor=rope.number("factor"),
        low_freq_factor=rope.number("low_freq_factor"),
        high_freq_factor=rope.number("high_freq_factor"),
        original_max_position_embeddings=rope.integer("original_max_position_embeddings", original),
    )
    if scaling.factor <= 0:
        raise rope.refuse("factor", "it must be positive")
    if not 0 < scaling.low_freq_factor < scaling.high_freq_factor:
        raise rope.refuse("low_freq_factor", f"it must lie between 0 and high_freq_factor = {scaling.high_freq_factor}")
    return theta, scaling


def _own_config(settings: "_Settings") -> ModelConfig:
    known = {field.name for field in fields(ModelConfig)}
    table = {key: value for key, value in settings.values.items() if key in known}
    return build_config(
        ModelConfig, table, prefix="", fail=lambda key, problem: CheckpointError(f"{settings.file}: {key} {problem}.")
    )


def config_to_hf(config: ModelConfig, *, allow_qwen2: bool = True) -> dict[str, Any]:
    """The `config.json` with which `transformers` builds the same model.

    Biases on queries, keys and values alone make a Qwen2. But `transformers` 5 gives every Qwen2 the cuts of Qwen's own
    tokenizer, whatever `tokenizer.json` says. So for another tokenizer (`allow_qwen2=False`) the model becomes a Llama
    with attention_bias; that puts a bias on o_proj too, which must then be written as zeros: see `has_output_bias`.

    Raises:
        CheckpointError: no architecture of `transformers` is this model; with the field that is in the way.
    """
    _refuse_what_is_missing_there(config)
    qwen2 = config.attention_bias and not config.qk_norm and allow_qwen2
    model_type = "qwen3" if config.qk_norm else "qwen2" if qwen2 else "llama"
    H = config.num_attention_heads
    if model_type == "llama" and config.hidden_size % H:
        raise _no_counterpart("hidden_size", config.hidden_size, f"Llama wants a multiple of num_attention_heads = {H}")
    scaling = {} if config.rope_scaling is None else asdict(config.rope_scaling)
    values = {
        "architectures": [ARCHITECTURES[model_type]],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": H,
        "num_key_value_heads": config.num_key_value_heads or H,
        "head_dim": config.head_dim or config.hidden_size // H,
        "max_position_embeddings": config.max_position_embeddings,
        "hidden_act": config.hidden_act,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": scaling or None,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta, **scaling},
        "attention_dropout": config.attention_dropout,
        "tie_word_embeddings": config.tie_word_embeddings,
        "initializer_range": config.initializer_range,
        "use_cache": True,
    }
    if model_type != "qwen2":
        values["attention_bias"] = config.attention_bias
    if model_type == "llama":
        values["mlp_bias"] = False
    else:
        values["use_sliding_window"] = False
    return values


def has_output_bias(values: Mapping[str, Any]) -> bool:
    """Whether the model of a `config.json` has a bias on o_proj, which is zero in every model of ours."""
    return values.get("model_type") in ("llama", "qwen3") and bool(values.get("attention_bias"))


def config_to_own(config: ModelConfig) -> dict[str, Any]:
    """A `config.json` with our own field names, for a model that only this package can build."""
    return {"model_type": OWN, **asdict(config)}


def _refuse_what_is_missing_there(config: ModelConfig) -> None:
    if config.norm_type != "rms_norm":
        raise _no_counterpart("norm_type", config.norm_type, "they use rms_norm")
    if config.position_embedding_type != "rope":
        raise _no_counterpart("position_embedding_type", config.position_embedding_type, "they use rope")
    if config.hidden_act not in ("silu", "gelu"):
        raise _no_counterpart("hidden_act", config.hidden_act, "their feed-forward networks are gated: silu or gelu")


def _no_counterpart(field: str, value: object, reason: str) -> CheckpointError:
    return CheckpointError(f"No Llama or Qwen model of transformers has {field} = {value!r}: {reason}.")


class _Settings:
    """The values of a JSON object, each read with the type that it must have."""

    def __init__(self, values: Mapping[str, Any], file: str, prefix: str = "") -> None:
        self.values = values
        self.file = file
        self.prefix = prefix

    def refuse(self, key: str, reason: str) -> CheckpointError:
        if key not in self.values:
            return CheckpointError(f"{self.file}: {self.prefix}{key} is missing: {reason}.")
        found = json.dumps(self.values[key], ensure_ascii=False)
        found = found if len(found) <= 60 else f"{found[:57]}..."
        return CheckpointError(f"{self.file}: {self.prefix}{key} is {found}: {reason}.")

    def integer(self, key: str, default: Any = ...) -> Any:
        """A whole number above 0; `default`, if there is one, where the key is missing or null."""
        value = self.values.get(key)
        if value is None and default is not ...:
            return default
        if type(value) is not int or value < 1:
            raise self.refuse(key, "it must be a whole number above 0")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number that is not negative; `default` where the key is missing or null."""
        value = self.values.get(key)
        value = default if value is None else value
        if type(value) not in (int, float) or not 0 <= value < math.inf or value > sys.float_info.max:
            raise self.refuse(key, "it must be a number, finite and not negative")
        return float(value)

    def truth(self, key: str) -> bool:
        """true or false; false where the key is missing or null."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.refuse(key, "it must be true or false")
        return bool(value)
