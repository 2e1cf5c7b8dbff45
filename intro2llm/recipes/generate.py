"""Let your model continue a text. Given.

python -m intro2llm.recipes.generate --random --prompt "Once upon a time"
"""

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from intro2llm.configs.presets import load_preset
from intro2llm.model.build import ModelBuildError, build_model
from intro2llm.model.causal_lm import CausalLM
from intro2llm.recipes.events import Options, RecipeError, emit, run_by_hand
from intro2llm.recipes.text_stream import TextStream
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer
from intro2llm.utils.errors import CheckpointError
from intro2llm.utils.model_folder import find_run, load_model, stop_token_ids

RUNS = Path("runs")


@dataclass
class Writer:
    """A model, its tokenizer, and how the next token is to be chosen."""

    model: CausalLM
    tokenizer: BaseTokenizer
    device: torch.device
    generator: torch.Generator
    stop_ids: set[int]
    """Any of these ends a text."""
    settings: dict[str, Any]
    """For `CausalLM.generate`: temperature, top_k, top_p, max_new_tokens."""

    @property
    def limit(self) -> int:
        """The longest text that the model is meant for, in tokens."""
        return self.model.config.max_position_embeddings

    def encode(self, text: str) -> list[int]:
        """The ids of a prompt, with the token in front that begins a text. An empty one is the end of another text."""
        bos = self.tokenizer.bos_token_id
        encoded = self.tokenizer.encode(text)
        if not isinstance(encoded, list):
            name = type(self.tokenizer).__name__
            raise TypeError(f"{name}.encode gives {type(encoded).__name__}; it must give a list of ids")
        ids = ([] if bos is None else [bos]) + encoded
        return ids or [self.tokenizer.eos_token_id]

    @torch.inference_mode()
    def write(self, ids: list[int], *, until: str = "") -> str:
        """Continue `ids`, say the text as it comes, and return it: up to `until`, if that is given. Ctrl-C ends it."""
        stream = TextStream(self.tokenizer, until)
        settings = {**self.settings, "max_new_tokens": min(self.settings["max_new_tokens"], self.limit - len(ids))}
        tokens = 0

        def on_token(token: Tensor) -> None:
            nonlocal tokens
            if isinstance(token, Tensor) and token.numel() != 1:
                raise ValueError(f"on_token was called with ids {tuple(token.shape)}; for one text they must be (1,)")
            tokens += 1
            if piece := stream.add(int(token)):
                emit("token", text=piece)
            if stream.over:
                raise OverError

        began = time.perf_counter()
        try:
            written = self.model.generate(
                torch.tensor([ids], device=self.device),
                stop_token_ids=self.stop_ids,
                generator=self.generator,
                on_token=on_token,
                **settings,
            )
            check_written(written, prompt=len(ids), said=tokens)
            stopped = "eos" if int(written[0, -1]) in self.stop_ids else "length"
        except OverError:
            stopped = "turn"
        except KeyboardInterrupt:
            stopped = "interrupted"
        seconds = time.perf_counter() - began
        if piece := stream.end():
            emit("token", text=piece)
        emit("answer", text=stream.text, tokens=tokens, seconds=seconds, stopped=stopped)
        return stream.text


def check_written(written: Any, *, prompt: int, said: int) -> None:
    """Raises TypeError or ValueError when `generate` has not given the prompt and as many new ids as it said."""
    name = "CausalLM.generate"
    if not isinstance(written, Tensor):
        raise TypeError(f"{name} gives {type(written).__name__}; it must give the ids as a tensor")
    if written.shape != (1, prompt + said):
        raise ValueError(
            f"{name} gives {tuple(written.shape)}; for a prompt of {prompt} tokens and {said} calls of on_token, "
            f"one for each new token, it must be (1, {prompt} + {said})"
        )


class OverError(Exception):
    """Leaves `generate` when the text has come to where it is to end."""


def options(description: str) -> argparse.ArgumentParser:
    """What `generate` and `chat` both take."""
    parser = Options(description)
    parser.add_argument("--run", help=f"a folder in {RUNS}/; without it, the newest one")
    parser.add_argument(
        "--random", action="store_true", help="a small model with random weights, as it is before training"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--max-new-tokens", type=int, default=100)
    parser.add_argument("--temperature", type=float, default=1.0, help="0: always the likeliest token")
    parser.add_argument("--top-k", type=int, help="choose among the k likeliest tokens")
    parser.add_argument("--top-p", type=float, help="choose among the likeliest tokens that together reach p")
    parser.add_argument("--seed", type=int, help="the same seed gives the same text")
    return parser


def prepare(chosen: argparse.Namespace, prompt: str | None = None) -> Writer:
    """The model that the options name, ready to write.

    Raises:
        RecipeError: there is none of that kind, or the prompt is too long for it.
    """
    device = pick_device(chosen.device)
    seed = random.randrange(1 << 31) if chosen.seed is None else chosen.seed
    torch.manual_seed(seed)
    if chosen.random:
        what, (model, tokenizer) = "random", random_model()
        model, stop_ids = model.to(device).eval(), {tokenizer.eos_token_id}
    else:
        try:
            folder = find_run(RUNS, chosen.run)
            model, tokenizer = load_model(folder, device=device)
            stop_ids = stop_token_ids(folder, tokenizer)
        except (CheckpointError, ModelBuildError) as error:
            raise RecipeError(str(error)) from error
        what = chosen.run or folder.resolve().relative_to(RUNS.resolve()).parts[0]
    settings = {name: getattr(chosen, name) for name in ("max_new_tokens", "temperature", "top_k", "top_p")}
    writer = Writer(model, tokenizer, device, torch.Generator(device).manual_seed(seed), stop_ids, settings)
    if prompt is not None and (length := len(writer.encode(prompt))) >= writer.limit:
        raise RecipeError(f"The prompt has {length} tokens; this model reads at most {writer.limit}.", "Shorten it.")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    emit("started", what=what, device=device.type, parameters=parameters, seed=seed)
    return writer


def random_model() -> tuple[CausalLM, BaseTokenizer]:
    """The preset "nano" as it is before training. Its tokens are the 256 bytes, so what it writes is noise."""
    tokenizer = ByteLevelTokenizer()
    config = replace(load_preset("nano").model, vocab_size=tokenizer.vocab_size)
    return build_model(config), tokenizer


def pick_device(name: str) -> torch.device:
    """The device of that name; for "auto" the fastest kind that this machine has."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind in there if there[kind])
    if not there.get(name):
        have = ", ".join(kind for kind in there if there[kind])
        raise RecipeError(f"This machine has no device {name!r}; it has {have}.", "Leave out --device.")
    return torch.device(name)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--prompt", required=True, help="the text to continue")
    chosen = parser.parse_args(arguments)
    writer = prepare(chosen, chosen.prompt)
    ids = writer.encode(chosen.prompt)
    if len(ids) + chosen.max_new_tokens > writer.limit:
        emit("notice", message=f"It stops when the whole text has {writer.limit} tokens: this model reads no more.")
    writer.write(ids)
    emit("finished", message="")


if __name__ == "__main__":
    run_by_hand(main)
