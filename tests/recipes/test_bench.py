"""`bench`: peers that compute what they claim, results compared before times, and rows for what cannot run."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import intro2llm
from intro2llm.model.config import ModelConfig
from intro2llm.recipes import bench, peers
from intro2llm.recipes.bench_parts import PARTS, Part, Setting, Work
from intro2llm.recipes.events import RecipeError

QUICK = Setting(quick=True, device=torch.device("cpu"))
PACKAGE = Path(intro2llm.__file__).resolve().parent


@pytest.mark.parametrize("name", PARTS)
def test_every_part_has_the_result_of_its_peer(name: str) -> None:
    with torch.no_grad():
        work = PARTS[name].prepare(QUICK)
        assert bench.difference(work.ours(), work.theirs()) == ""


def test_the_plain_decoder_has_the_logits_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = ModelConfig(
        vocab_size=61, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4
    )
    torch.manual_seed(1)
    llama = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=61,
            hidden_size=48,
            intermediate_size=80,
            num_hidden_layers=3,
            num_attention_heads=4,
            rms_norm_eps=config.rms_norm_eps,
            eos_token_id=None,
        )
    ).eval()
    weights = {name.removeprefix("model."): tensor * 5 for name, tensor in llama.state_dict().items()}
    llama.load_state_dict({name: tensor * 5 for name, tensor in llama.state_dict().items()})
    decoder = peers.PlainDecoder(weights, config, batch_size=2, max_length=20)
    prompt = torch.randint(61, (2, 9))
    with torch.no_grad():
        torch.testing.assert_close(decoder.logits(prompt), llama(prompt).logits, rtol=1e-4, atol=1e-4)
        everything = torch.ones_like(prompt)
        theirs = llama.generate(prompt, attention_mask=everything, max_new_tokens=11, do_sample=False, pad_token_id=0)
    assert decoder.greedy(prompt, 11).tolist() == theirs.tolist()


def test_the_plain_recount_and_search_agree_with_the_library() -> None:
    pytest.importorskip("tokenizers")
    byte_level = pytest.importorskip("intro2llm.tokenizer.byte_level_tokenizer")
    generator = random.Random(4)
    text = " ".join("".join(generator.choices("abé,n", k=generator.randint(1, 6))) for _ in range(500))
    tokenizer = byte_level.ByteLevelTokenizer()
    specials = list(tokenizer.special_tokens.values())
    start = [*specials, *tokenizer.alphabet([])]
    merges = peers.train_by_library([text], specials, 330)
    assert len(merges) > 40
    assert peers.train_by_recount([text], tokenizer._pretokenize, tokenizer.symbols, start, 330) == merges
    vocab = {token: i for i, token in enumerate([*start, *("".join(pair) for pair in merges)])}
    ids = peers.encode_by_search(text, tokenizer._pretokenize, tokenizer.symbols, merges, vocab)
    assert ids == peers.library_tokenizer(vocab, merges).encode(text).ids


def part(ours: Callable[[], Any], theirs: Callable[[], Any] = lambda: torch.ones(3)) -> Part:
    return Part("04", lambda setting: Work("three numbers", "a peer", ours, theirs), "lesson 15", "the reason")


def compared(monkeypatch: pytest.MonkeyPatch, planted: Part) -> bench.Row:
    monkeypatch.setitem(PARTS, "planted", planted)
    return bench.compare("planted", QUICK)


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (torch.full((3,), 1.01), "another result: off by up to 0.01"),
        (torch.full((3,), float("nan")), "another result: off by up to nan"),
        (torch.ones(3, 1), "another result: the shape is (3, 1), not (3,)"),
        ([1.0, 1.0, 1.0], "another result: list, not Tensor"),
        (None, "another result: NoneType, not Tensor"),
    ],
)
def test_another_result_has_no_ratio(monkeypatch: pytest.MonkeyPatch, result: Any, problem: str) -> None:
    row = compared(monkeypatch, part(lambda: result))
    assert row.problem.startswith(problem)
    assert row.ratio is None


def test_ids_are_compared_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = torch.tensor([[5, 6, 7]]), torch.tensor([[5, 6, 8]])
    row = compared(monkeypatch, part(lambda: ours, lambda: theirs))
    assert row.problem == "another result: not the same from item 2 on (of 3)"


def test_what_is_not_written_names_its_lesson(monkeypatch: pytest.MonkeyPatch) -> None:
    def stub() -> None:
        raise NotImplementedError("lesson02 · RMSNorm.forward")

    def missing() -> None:
        raise ModuleNotFoundError("No module named 'intro2llm.model.causal_lm'", name="intro2llm.model.causal_lm")

    assert compared(monkeypatch, part(stub)).problem == "after lesson 02: RMSNorm.forward is not written yet"

    def renamed() -> None:
        from intro2llm.model.norm import NoSuchNorm  # noqa: F401

    assert compared(monkeypatch, part(missing)).problem == "after lesson 04"
    problem = "after lesson 04: cannot import name 'NoSuchNorm' from 'intro2llm.model.norm'"
    assert compared(monkeypatch, part(renamed)).problem == problem


def test_the_data_say_what_was_measured_and_under_what(monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Any] = {}
    monkeypatch.setattr(bench, "emit", lambda event, **fields: said.update({event: fields}))
    monkeypatch.setitem(PARTS, "planted", part(lambda: None))
    threads = torch.get_num_threads()
    try:
        bench.main(["planted", "--quick"])
    finally:
        torch.set_num_threads(threads)
    data = said["finished"]["data"]
    assert {name: data[name] for name in ("device", "threads", "clock", "quick")} == {
        "device": "cpu",
        "threads": 1,
        "clock": "processor time",
        "quick": True,
    }
    assert [row["part"] for row in data["rows"]] == ["planted"]


def test_bench_begins_with_lesson_01_and_a_wrong_import_of_the_learners_is_told_with_its_line(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "intro2llm", ignore=shutil.ignore_patterns("__pycache__", "data", "loss"))
    model = tmp_path / "intro2llm" / "model"
    (model / "config.py").unlink()
    (model / "norm.py").write_text("from intro2llm.model.nrom import x\n", encoding="utf-8")
    command = [sys.executable, "-m", "intro2llm.recipes.bench", "bpe-training", "rms-norm", "decode", "--quick"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "rms-norm: No module named 'intro2llm.model.nrom' (model/norm.py, line 1)." in ended.stdout
    assert "1 of 3 parts measured." in ended.stdout


def test_an_exception_is_said_in_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ValueError("no such shape")

    assert compared(monkeypatch, part(broken)).problem == "raises ValueError: no such shape"


def test_a_gap_is_explained_and_an_equal_time_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "measure", lambda work, setting: (3.0, 1.0))
    slow = compared(monkeypatch, part(lambda: torch.ones(3)))
    assert (slow.ratio, slow.gap, slow.closes) == (3.0, "the reason", "lesson 15")
    monkeypatch.setattr(bench, "measure", lambda work, setting: (1.0, 1.0))
    assert compared(monkeypatch, part(lambda: torch.ones(3))).gap == ""


def test_the_side_that_works_more_takes_longer() -> None:
    def work(steps: int) -> Callable[[], int]:
        return lambda: sum(range(steps))

    ours, theirs = bench.measure(Work("", "", work(400_000), work(1000)), QUICK)
    assert ours > 20 * theirs


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["atention"], "There is no part 'atention'"),
        (["--threads", "0"], "at least 1"),
        (["--device", "abacus"], "There is no device 'abacus'"),
    ],
)
def test_options_that_do_not_fit(words: list[str], message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        bench.main(words)
    assert message in raised.value.message


def test_by_hand_in_a_workspace_with_one_part_unwritten(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "intro2llm", ignore=shutil.ignore_patterns("__pycache__"))
    norm = tmp_path / "intro2llm" / "model" / "norm.py"
    norm.write_text(norm.read_text(encoding="utf-8").replace("h.square()", "h.cube()"), encoding="utf-8")
    (tmp_path / "intro2llm" / "model" / "feedforward.py").unlink()
    command = [
        sys.executable,
        "-m",
        "intro2llm.recipes.bench",
        "attention",
        "rms-norm",
        "ffn",
        "--quick",
        "--threads=1",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    lines = {line.split()[0]: line for line in ended.stdout.splitlines() if line.strip()}
    assert "256 tokens" in lines["attention"]
    assert "AttributeError" in lines["rms-norm"]
    assert "(model/norm.py, line" in lines["rms-norm:"]
    assert "after lesson 03" in lines["ffn"]
    assert "1 of 3 parts measured." in ended.stdout
