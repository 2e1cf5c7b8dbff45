"""What a run needs before its first update: its tokenizer, trained on its text, and the text as tokens. Given.

Both are made once, lie in the run's folder, and appear there complete or not at all, so an interrupted run goes on with
what it has.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

from intro2llm.configs.presets import Preset
from intro2llm.data.corpus import CorpusError, Source, open_source, sample
from intro2llm.data.held_out import HeldOutWindows
from intro2llm.data.token_file import TokenData, made_from, read_tokens, write_tokens
from intro2llm.recipes.events import RecipeError, emit
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer
from intro2llm.training.run_folder import RunFolder
from intro2llm.utils.errors import CheckpointError
from intro2llm.utils.model_folder import load_tokenizer
from intro2llm.utils.new_folder import new_folder


def source_of(data: str, preset: Preset) -> Source:
    """The text of a run.

    Raises:
        CorpusError: there is none of that name.
    """
    return open_source(data, seed=preset.training.seed, held_out=preset.training.eval_windows)


def prepare(run: RunFolder, preset: Preset) -> tuple[BaseTokenizer, TokenData]:
    """Make, or find, the tokenizer and the tokens of a run.

    Raises:
        CorpusError, CheckpointError: the text cannot be read, or what had been made of it.
        RecipeError: the text is not the one that the run began with, or too short.
    """
    tokenizer = load_tokenizer(run.tokenizer) if run.tokenizer.is_dir() else _train_tokenizer(run, preset)
    data = _tokens(run, preset, tokenizer)
    known = run.info.get("data_sha256", data.sha256)
    if known != data.sha256:
        raise RecipeError(
            f"The text of the run {run.name!r} is not the one that it began with.",
            "Bring that one back, or start a new run with another --name.",
        )
    run.record(data_sha256=data.sha256)
    windows, needed = len(data.train), preset.training.seq_length
    if windows < needed:
        raise RecipeError(
            f"{run.info['data']}: gives {windows} training tokens, and a window has {needed}.",
            "Give more text, or shorter windows: --seq-len N",
        )
    return tokenizer, data


def held_out_windows(data: TokenData, tokenizer: BaseTokenizer, preset: Preset) -> HeldOutWindows | None:
    """The held-out documents, for evaluation; None, and a word about it, if the text is a single document."""
    windows = HeldOutWindows(
        data,
        seq_length=preset.training.seq_length,
        eos_token_id=tokenizer.eos_token_id,
        max_windows=preset.training.eval_windows,
    )
    if len(windows) == 0:
        emit("notice", message="The text is too short to hold any of it out: there will be no evaluation.")
        return None
    return windows


def _train_tokenizer(run: RunFolder, preset: Preset) -> BaseTokenizer:
    what, name = "Training the tokenizer", run.info["data"]
    say = partial(emit, "progress", total=1.0, what="Reading text for the tokenizer")
    texts = sample(source_of(name, preset), preset.training.tokenizer_bytes, on_progress=lambda done: say(done=done))
    first = next(texts, None)
    if first is None:
        raise CorpusError(f"{name}: holds no text.")
    tokenizer = ByteLevelTokenizer()
    try:
        tokenizer.train(_announced(itertools.chain([first], texts), what), preset.model.vocab_size)
    except ValueError as error:
        raise RecipeError(f"The tokenizer cannot be trained: {error}.", "Use --set model.vocab_size=N") from error
    with new_folder(run.tokenizer) as partial_folder:
        tokenizer.save(partial_folder)
    return tokenizer


def _announced(texts: Iterator[str], what: str) -> Iterator[str]:
    """The texts; and when the last of them has been counted, a word on what follows."""
    yield from texts
    emit("progress", done=0.0, total=None, what=what)


def _tokens(run: RunFolder, preset: Preset, tokenizer: BaseTokenizer) -> TokenData:
    """The tokens that are there, if they are whole; else they are made."""
    limit, began = preset.training.tokens, "data_sha256" in run.info
    if run.data.is_dir():
        try:
            expected = None if began else made_from(source_of(run.info["data"], preset), tokenizer, limit)
            data = read_tokens(run.data, expected=expected)
            if run.info.get("data_sha256") in (None, data.sha256):
                return data
            emit("notice", message=f"{run.data}: is not of the text that the run began with. It is made again.")
        except CheckpointError as error:
            emit("notice", message=f"{error} It is made again.")

    def say(done: float, total: float | None) -> None:
        emit("progress", done=done, total=total, what="Tokenising")

    write_tokens(run.data, source_of(run.info["data"], preset), tokenizer, limit=limit, on_progress=say)
    return read_tokens(run.data)


def with_tokens(preset: Preset, data: str, processes: int) -> Preset:
    """The preset with the number of training tokens settled: of endless text, as many as the run looks at."""
    training = preset.training
    if training.tokens is not None or data != "storyworld":
        return preset
    tokens = training.steps * training.batch_size * training.gradient_accumulation_steps * training.seq_length
    return dataclasses.replace(preset, training=dataclasses.replace(training, tokens=tokens * processes))
