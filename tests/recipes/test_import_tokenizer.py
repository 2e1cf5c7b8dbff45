"""A tokenizer.json that cannot be followed exactly is refused with what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intro2llm.recipes import import_hf
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer
from intro2llm.tokenizer.bpe_tokenizer import BPETokenizer
from intro2llm.utils.errors import CheckpointError
from intro2llm.utils.hf_config import write_json
from intro2llm.utils.model_folder import load_tokenizer
from tests.published import edit, refusal


def tool(**flags: bool) -> dict[str, Any]:
    return {"id": 290, "content": "<tool>", "special": False, "normalized": False, **flags}


def template(token: str) -> dict[str, Any]:
    single = [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    special = {token: {"id": token, "ids": [299], "tokens": [token]}}
    return {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": special}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t["model"].update(type="Unigram"), "model.type is 'Unigram': only byte-level BPE"),
        (lambda t: t["model"].update(type="WordPiece"), "model.type is 'WordPiece'"),
        (lambda t: t["model"].update(byte_fallback=True), "byte_fallback is true (SentencePiece)"),
        (lambda t: t["model"].update(end_of_word_suffix="</w>"), "end_of_word_suffix is '</w>'"),
        (lambda t: t.update(pre_tokenizer={"type": "Metaspace"}), "pre_tokenizer is 'Metaspace'"),
        (lambda t: t.update(pre_tokenizer=None), "pre_tokenizer is None"),
        (lambda t: t.update(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True}), "add_prefix_space is true"),
        (lambda t: t["pre_tokenizer"]["pretokenizers"][0].update(behavior="MergedWithNext"), "'MergedWithNext'"),
        (lambda t: t["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": "(a"}), "cannot be read"),
        (lambda t: t["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": "[a[b]]"}), "sets inside sets"),
        (lambda t: t.update(normalizer={"type": "NFKC"}), "normalizer is 'NFKC'"),
        (lambda t: t.update(decoder={"type": "Metaspace"}), "decoder is 'Metaspace'"),
        (lambda t: t.update(post_processor={"type": "BertProcessing"}), "post_processor is 'BertProcessing'"),
        (lambda t: t["added_tokens"].append(tool(lstrip=True)), "'<tool>' has lstrip = true"),
        (lambda t: t["added_tokens"].append({**tool(), "id": 3}), "has the id 3, which is not a number of its own"),
        (
            lambda t: t["added_tokens"].append({**tool(), "id": 300}),
            "has the id 300; config.json says vocab_size = 300",
        ),
        (lambda t: t["model"]["merges"].append(["the", "zz"]), "does not join two tokens"),
        (lambda t: t["model"]["vocab"].pop("Ġ"), "does not join two tokens"),
        (lambda t: [t["model"]["vocab"].pop("Ą"), t["model"].update(unk_token="<unk>")], "lacks the byte 'Ą'"),
        (lambda t: t.update(post_processor=template("<nowhere>")), "adds the token '<nowhere>'"),
        (lambda t: t.pop("model"), "is not a tokenizer.json"),
        (lambda t: t.update(model=[]), "is not a tokenizer.json"),
    ],
)
def test_a_tokenizer_that_cannot_be_followed_is_named(change: Any, words: str, published: Path) -> None:
    import_hf.main([str(published), "--name", "fits"])
    edit(published / "tokenizer.json", change)
    message = refusal(published)
    assert words in message
    assert "tokenizer.json" in message or "vocab_size" in message


def test_other_kinds_of_tokenizers_are_named(published: Path) -> None:
    (published / "tokenizer.json").unlink()
    (published / "tokenizer.model").write_bytes(b"\n\x0e")
    assert "tokenizer.model is another kind of tokenizer" in refusal(published)


def test_a_tokenizer_without_an_end_is_refused(published: Path) -> None:
    edit(published / "tokenizer_config.json", lambda values: values.pop("eos_token"))
    assert "names no eos_token" in refusal(published)
    edit(published / "tokenizer_config.json", lambda values: values.update(eos_token="<nowhere>"))
    assert "eos_token '<nowhere>' is not in tokenizer.json" in refusal(published)
    edit(published / "tokenizer_config.json", lambda values: values.update(eos_token=["</s>"]))
    assert "tokenizer_config.json: eos_token ['</s>'] is not in tokenizer.json" in refusal(published)


def test_an_end_is_taken_from_config_json_if_that_names_one(published: Path) -> None:
    edit(published / "tokenizer_config.json", lambda values: values.pop("eos_token"))
    for wrong in (True, [], 10**30, "1"):
        edit(published / "config.json", lambda values, wrong=wrong: values.update(eos_token_id=wrong))
        assert "names no eos_token" in refusal(published)
    edit(published / "config.json", lambda values: values.update(eos_token_id=[5, 1]))
    import_hf.main([str(published)])
    assert load_tokenizer(Path("runs/published/tokenizer")).eos_token_id == 5


@pytest.mark.parametrize(
    "rules",
    [
        [],
        None,
        {"new": 1},
        {"patterns": ["("]},
        {"patterns": [3]},
        {"patterns": None},
        {"prefix": ["x y"]},
        {"added": [[]]},
    ],
)
def test_rules_of_a_run_that_cannot_be_followed_are_refused(rules: object, published: Path) -> None:
    import_hf.main([str(published)])
    folder = Path("runs/published/tokenizer")
    write_json(folder / "rules.json", rules)
    with pytest.raises(CheckpointError, match=r"cannot be read: .*rules"):
        load_tokenizer(folder)
    edit(folder / "tokenizer_config.json", lambda values: values.update(tokenizer_class=[]))
    with pytest.raises(CheckpointError, match="was written by"):
        load_tokenizer(folder)


def test_a_class_that_adds_to_a_full_vocabulary_is_named(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def add_tokens(self: BaseTokenizer, tokens: Any) -> None:
        self.vocab["<extra>"] = 299

    monkeypatch.setattr(BaseTokenizer, "add_tokens", add_tokens)
    assert "BaseTokenizer.__init__ (lesson 01)" in refusal(published)


def test_a_class_that_passes_its_own_steps_by_is_named(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def encode_ordinary(self: Any, text: str) -> list[int]:
        return [self.vocab[token] for piece in text.split(" ") for token in self.apply_merges(self.symbols(piece))]

    monkeypatch.setattr(BPETokenizer, "encode_ordinary", encode_ordinary)
    assert "BPETokenizer.encode_ordinary (lesson 01) does not give the ids" in refusal(published)
