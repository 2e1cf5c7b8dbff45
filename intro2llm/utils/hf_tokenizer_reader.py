"""Hugging Face's `tokenizer.json` as a tokenizer of yours.

What can be read is byte-level BPE: GPT-2, Llama 3, Qwen, SmolLM and their kin. SentencePiece, Unigram and WordPiece
are other algorithms, and are refused; and so is every setting that could not be followed exactly.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import regex

from intro2llm.tokenizer.byte_level_tokenizer import bytes_to_unicode
from intro2llm.tokenizer.pretrained_tokenizer import GPT2_PATTERN, PretrainedTokenizer, TokenizerRules
from intro2llm.utils.errors import CheckpointError
from intro2llm.utils.hf_config import named_ids, read_json
from intro2llm.utils.hf_tokenizer_writer import ROLES, check_steps

FILE = "tokenizer.json"
NEVER_IN_UTF8 = {0xC0, 0xC1, *range(0xF5, 0x100)}
NESTED_SET = re.compile(r"\[\^?\]?[^\]]*(?:\[|&&)")
"""[a[b]] and [a&&b], escapes aside: `tokenizers` and `regex` understand different things by them."""


def read_tokenizer(folder: Path) -> PretrainedTokenizer:
    """The tokenizer of a published model.

    Raises:
        CheckpointError: `tokenizer.json` is missing, or is not a byte-level BPE that can be followed exactly.
    """
    file = folder / FILE
    if not file.is_file():
        other = [name for name in ("tokenizer.model", "vocab.txt", "spiece.model") if (folder / name).is_file()]
        found = f" {other[0]} is another kind of tokenizer." if other else ""
        raise CheckpointError(f"{file}: there is no such file.{found}")
    content = read_json(file)
    try:
        vocab, merges, special, rules = _Reader(file, content, folder).read()
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise CheckpointError(f"{file}: is not a tokenizer.json: {type(error).__name__} {error}.") from error
    tokenizer = PretrainedTokenizer(vocab, merges, special, rules=rules)
    if tokenizer.vocab != vocab:
        raise CheckpointError("BaseTokenizer.__init__ (lesson 01) changes a vocabulary that lacks nothing.")
    check_steps(tokenizer)
    return tokenizer


class _Reader:
    """One `tokenizer.json`, taken apart."""

    def __init__(self, file: Path, content: Mapping[str, Any], folder: Path) -> None:
        self.file = file
        self.content = content
        self.folder = folder

    def refuse(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.file}: {what}.")

    def read(self) -> tuple[dict[str, int], list[tuple[str, str]], dict[str, str], TokenizerRules]:
        """The vocabulary, the merges, role → special token, and the rules."""
        vocab, merges, ignore_merges = self._model()
        added = self.content.get("added_tokens") or []
        for token in added:
            if not isinstance(token["content"], str) or not token["content"]:
                raise self.refuse("an added token is empty")
            for flag in ("single_word", "lstrip", "rstrip"):
                if token.get(flag):
                    raise self.refuse(f"the added token {token['content']!r} has {flag} = true, which is not supported")
            if vocab.setdefault(token["content"], token["id"]) != token["id"]:
                raise self.refuse(f"the added token {token['content']!r} has two ids")
        ids: dict[int, str] = {}
        for token, i in vocab.items():
            if type(i) is not int or i < 0 or ids.setdefault(i, token) != token:
                raise self.refuse(f"the token {token!r} has the id {i!r}, which is not a number of its own")
        gaps = [text for byte, text in bytes_to_unicode().items() if text not in vocab and byte not in NEVER_IN_UTF8]
        if gaps and (ignore_merges or self.content["model"].get("unk_token")):
            raise self.refuse(f"the vocabulary lacks the byte {gaps[0]!r}, but has an unk_token or ignore_merges")

        prefix, suffix = self._template()
        if missing := [token for token in (*prefix, *suffix) if token not in vocab]:
            raise self.refuse(f"post_processor adds the token {missing[0]!r}, which the vocabulary lacks")
        special = self._special_tokens([token["content"] for token in added if token.get("special")], vocab, ids)
        plain = [token for token in added if token["content"] not in special.values()]
        rules = TokenizerRules(
            patterns=self._patterns(),
            nfc=self._normalises(),
            ignore_merges=ignore_merges,
            added=tuple(token["content"] for token in plain if not token.get("normalized")),
            added_normalized=tuple(token["content"] for token in plain if token.get("normalized")),
            prefix=prefix,
            suffix=suffix,
        )
        return vocab, merges, special, rules

    def _model(self) -> tuple[dict[str, int], list[tuple[str, str]], bool]:
        model = self.content["model"]
        kind = model.get("type", "BPE")
        if kind != "BPE":
            raise self.refuse(f"model.type is {kind!r}: only byte-level BPE can be read")
        if model.get("byte_fallback"):
            raise self.refuse("model.byte_fallback is true (SentencePiece): only byte-level BPE can be read")
        for key in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
            if model.get(key):
                raise self.refuse(f"model.{key} is {model[key]!r}, which is not supported")
        vocab = dict(model["vocab"])
        merges = []
        for merge in model["merges"]:
            pair = merge.split(" ") if isinstance(merge, str) else merge
            if len(pair) != 2 or any(token not in vocab for token in (*pair, "".join(pair))):
                raise self.refuse(f"the merge {merge!r} does not join two tokens to a third")
            merges.append((pair[0], pair[1]))
        decoder = self.content.get("decoder") or {}
        if decoder.get("type") != "ByteLevel":
            raise self.refuse(f"decoder is {decoder.get('type')!r}: only byte-level BPE can be read")
        return vocab, merges, bool(model.get("ignore_merges"))

    def _patterns(self) -> tuple[str, ...]:
        """The cuts, in order. The last step must be ByteLevel."""
        steps = _flat(self.content.get("pre_tokenizer"), "pretokenizers")
        if not steps or steps[-1]["type"] != "ByteLevel":
            found = steps[-1]["type"] if steps else None
            raise self.refuse(f"pre_tokenizer is {found!r}: only byte-level BPE can be read")
        if steps[-1].get("add_prefix_space", True):
            raise self.refuse("pre_tokenizer.add_prefix_space is true, which is not supported")
        patterns = [self._pattern(step) for step in steps[:-1]]
        if steps[-1].get("use_regex", True):
            patterns.append(GPT2_PATTERN)
        for pattern in patterns:
            if NESTED_SET.search(re.sub(r"\\.", "x", pattern)):
                raise self.refuse(f"the pattern {pattern!r} has sets inside sets, which is not supported")
            try:
                regex.compile(pattern)
            except regex.error as error:
                raise self.refuse(f"the pattern {pattern!r} cannot be read: {error}") from error
        return tuple(patterns)

    def _pattern(self, step: Mapping[str, Any]) -> str:
        if step["type"] == "Digits":
            return r"\p{N}" if step.get("individual_digits") else r"\p{N}+"
        if step["type"] != "Split":
            raise self.refuse(f"pre_tokenizer has a step {step['type']!r}, which is not supported")
        way = (step["behavior"], bool(step.get("invert")))
        if way not in (("Isolated", False), ("Isolated", True), ("Removed", True)):
            raise self.refuse(f"pre_tokenizer splits with behavior {way[0]!r}, which is not supported")
        pattern = step["pattern"]
        return pattern["Regex"] if "Regex" in pattern else re.escape(pattern["String"])

    def _normalises(self) -> bool:
        steps = _flat(self.content.get("normalizer"), "normalizers")
        if strange := [step["type"] for step in steps if step["type"] != "NFC"]:
            raise self.refuse(f"normalizer is {strange[0]!r}: only NFC is supported")
        return bool(steps)

    def _template(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The special tokens in front of a text, and behind it."""
        around: tuple[list[str], list[str]] = ([], [])
        for step in _flat(self.content.get("post_processor"), "processors"):
            if step["type"] == "ByteLevel":
                continue
            if step["type"] != "TemplateProcessing":
                raise self.refuse(f"post_processor is {step['type']!r}, which is not supported")
            side = 0
            for place in step["single"]:
                if "Sequence" in place:
                    side = 1
                else:
                    around[side].extend(step["special_tokens"][place["SpecialToken"]["id"]]["tokens"])
        return tuple(around[0]), tuple(around[1])

    def _special_tokens(self, special: list[str], vocab: Mapping[str, int], ids: Mapping[int, str]) -> dict[str, str]:
        """Role → token. Every role that your tokenizers need is filled, so that nothing is added to the vocabulary."""
        config = self._beside("tokenizer_config.json")
        roles: dict[str, str] = {}
        for role in ROLES:
            token = config.get(role)
            token = token.get("content") if isinstance(token, dict) else token
            if token is None:
                continue
            if not isinstance(token, str) or token not in vocab:
                raise CheckpointError(f"{self.folder / 'tokenizer_config.json'}: {role} {token!r} is not in {FILE}.")
            roles[role] = token
        if "eos_token" not in roles:
            ends = named_ids(self._beside("config.json").get("eos_token_id"), ids)
            if not ends:
                raise CheckpointError(f"{self.folder / 'tokenizer_config.json'}: names no eos_token.")
            roles["eos_token"] = ids[ends[0]]
        roles.setdefault("pad_token", roles["eos_token"])
        roles.setdefault("unk_token", roles["eos_token"])  # never used: every byte is in the vocabulary
        return roles | {token: token for token in special if token not in roles.values()}

    def _beside(self, name: str) -> dict[str, Any]:
        return read_json(self.folder / name) if (self.folder / name).is_file() else {}


def _flat(step: Mapping[str, Any] | None, key: str) -> list[Mapping[str, Any]]:
    """A step, or the steps of a Sequence, as a list; null is none."""
    if step is None:
        return []
    return [inner for each in step[key] for inner in _flat(each, key)] if step["type"] == "Sequence" else [step]
