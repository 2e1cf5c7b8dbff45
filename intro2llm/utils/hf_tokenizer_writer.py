"""Your tokenizer as Hugging Face's `tokenizer.json`, so that `tokenizers` and `transformers` give equal ids.

One difference of habit: in text, `tokenizers` takes the string of a special token for the token. Yours does so only
with `allowed_special`.
"""

from typing import Any

import regex

from intro2llm.tokenizer.base_tokenizer import BaseTokenizer
from intro2llm.tokenizer.bpe_tokenizer import BPETokenizer
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer
from intro2llm.tokenizer.pretrained_tokenizer import PretrainedTokenizer, TokenizerRules, split
from intro2llm.utils.errors import CheckpointError

COURSE_PATTERN = (
    r"'(?:s|t|re|ve|m|ll|d)"
    r"| ?[\p{L}\p{Nl}\p{No}]+"
    r"| ?\p{Nd}+"
    r"| ?[^\s\x1c-\x1f\p{L}\p{N}]+"
    r"|[\s\x1c-\x1f]+(?![^\s\x1c-\x1f])"
    r"|[\s\x1c-\x1f]+"
)
"""The rules of `BPETokenizer._pretokenize`, written for `tokenizers` (where U+001C to U+001F are not white space)."""
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")
SAMPLES = (
    "It's 3 o'clock, I'LL  go\n\n\tnow!",
    "naïve ½ x² 中文 한국 e\u0301 🙂👩\u200d🚀",
    "a_b __ \x1c\u00a0 \r\n x 'd'd 12,345.6",
)
"""Where cuts go wrong, if they do."""


def tokenizer_to_hf(tokenizer: BaseTokenizer) -> dict[str, Any]:
    """The content of a `tokenizer.json` with which `tokenizers` gives the ids that `tokenizer` gives.

    Raises:
        CheckpointError: the tokenizer does not do what its class promises, so that no file could say what it does.
    """
    rules = rules_of(tokenizer)
    if isinstance(tokenizer, BPETokenizer):
        check_steps(tokenizer)
    merges = tokenizer.merges if isinstance(tokenizer, BPETokenizer) else []
    for pair in merges:
        if missing := [token for token in (*pair, "".join(pair)) if token not in tokenizer.vocab]:
            raise CheckpointError(f"The merge {pair!r} needs the token {missing[0]!r}, which the vocabulary lacks.")
    byte_level = isinstance(tokenizer, ByteLevelTokenizer)
    splits: list[dict[str, Any]] = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in (rules.patterns if rules else ())
    ]
    if byte_level:
        splits.append({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False})
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(tokenizer, rules),
        "normalizer": {"type": "NFC"} if rules and rules.nfc else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": splits} if splits else None,
        "post_processor": _template(tokenizer, rules),
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        if byte_level
        else {"type": "Fuse"},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None if byte_level else tokenizer.unk_token,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": bool(rules and rules.ignore_merges),
            "vocab": dict(sorted(tokenizer.vocab.items(), key=lambda item: item[1])),
            "merges": [list(pair) for pair in merges],
        },
    }


def rules_of(tokenizer: BaseTokenizer) -> TokenizerRules | None:
    """How a tokenizer cuts text; None for single characters.

    Raises:
        CheckpointError: your `_pretokenize` does not cut as lesson 01 says.
    """
    if isinstance(tokenizer, PretrainedTokenizer):
        return tokenizer.rules
    if not isinstance(tokenizer, BPETokenizer):
        return None
    pattern = regex.compile(COURSE_PATTERN)
    for text in SAMPLES:
        found, expected = tokenizer._pretokenize(text), [part for part, _ in split(pattern, text)]
        if found != expected:
            raise CheckpointError(
                f"BPETokenizer._pretokenize (lesson 01) cuts {text!r} into {found!r}; {expected!r} was expected."
            )
    return TokenizerRules(patterns=(COURSE_PATTERN,))


def check_steps(tokenizer: BPETokenizer) -> None:
    """Raise CheckpointError if `encode_ordinary` does not cut, take apart and merge with the methods for that.

    A published tokenizer replaces those methods. If they are passed by, its ids are silently wrong.
    """
    for text in SAMPLES:
        pieces = [tokenizer.symbols(piece) for piece in tokenizer._pretokenize(text)]
        tokens = [token for symbols in pieces for token in tokenizer.apply_merges(symbols)]
        expected = [tokenizer.vocab.get(token, tokenizer.unk_token_id) for token in tokens]
        if BPETokenizer.encode_ordinary(tokenizer, text) != expected:
            raise CheckpointError(
                f"BPETokenizer.encode_ordinary (lesson 01) does not give the ids of _pretokenize, symbols and "
                f"apply_merges, one after the other, for {text!r}."
            )


def _added_tokens(tokenizer: BaseTokenizer, rules: TokenizerRules | None) -> list[dict[str, Any]]:
    added = dict.fromkeys(tokenizer.special_tokens.values(), (True, False))
    added |= dict.fromkeys(rules.added if rules else (), (False, False))
    added |= dict.fromkeys(rules.added_normalized if rules else (), (False, True))
    return [
        {"id": tokenizer.vocab[token], "content": token, "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": normalized, "special": special}
        for token, (special, normalized) in sorted(added.items(), key=lambda item: tokenizer.vocab[item[0]])
    ]


def _template(tokenizer: BaseTokenizer, rules: TokenizerRules | None) -> dict[str, Any] | None:
    """What `tokenizers` puts around a text: the published template, and nothing around yours."""
    if not rules or not (rules.prefix or rules.suffix):
        return None

    def places(sequence: str, type_id: int) -> list[dict[str, Any]]:
        middle = [{"Sequence": {"id": sequence, "type_id": type_id}}]
        around = [
            [{"SpecialToken": {"id": token, "type_id": type_id}} for token in tokens]
            for tokens in (rules.prefix, rules.suffix)
        ]
        return [*around[0], *middle, *around[1]]

    return {
        "type": "TemplateProcessing",
        "single": places("A", 0),
        "pair": [*places("A", 0), *places("B", 1)],
        "special_tokens": {
            token: {"id": token, "ids": [tokenizer.vocab[token]], "tokens": [token]}
            for token in (*rules.prefix, *rules.suffix)
        },
    }


def tokenizer_config_to_hf(tokenizer: BaseTokenizer, max_length: int) -> dict[str, Any]:
    """The content of the `tokenizer_config.json` that `transformers` reads beside `tokenizer.json`."""
    roles = {role: token for role, token in tokenizer.special_tokens.items() if role in ROLES}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
        **roles,
    }
