"""The course's own recipes in a workspace with the reference: what the commands write is what the model writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from coursecli.course.build import build_solved
from coursecli.course.catalogue import Course, load_course
from coursecli.course.initial import init_workspace
from coursecli.course.manifest import Edit
from coursecli.course.variants import apply_edits
from coursecli.progress.store import Store
from coursecli.render.console import visible
from intro2llm.model.build import build_model
from intro2llm.model.config import ModelConfig
from intro2llm.recipes.generate import random_model
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer
from intro2llm.utils.model_folder import save_model, write_run
from tests.conftest import Learner
from tests.training_runs import PRESET

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs process groups")
CONTENT = Path(__file__).resolve().parent.parent.parent / "lessons"


@dataclass
class Author(Learner):
    """Somebody at a shell who has written everything."""

    course: Course = field(init=False)

    def __post_init__(self) -> None:
        self.workspace = self.folder / "my model"
        self.course = load_course(CONTENT)
        workspace = init_workspace(self.course, self.workspace, unlock_all=True)
        with Store.open(workspace.database, create=True):
            pass
        build_solved(self.course, self.workspace)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "INTRO2LLM_COURSE": str(CONTENT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    return Author(tmp_path_factory.mktemp("author"))


def test_random_weights_write_what_the_model_writes_and_the_same_again(author: Author):
    torch.manual_seed(7)
    model, tokenizer = random_model()
    prompt = torch.tensor([tokenizer.encode("Once")])
    generator = torch.Generator().manual_seed(7)
    written = model.generate(
        prompt, max_new_tokens=12, top_k=20, generator=generator, stop_token_ids=[tokenizer.eos_token_id]
    )
    expected = tokenizer.decode(written[0, prompt.shape[1] :])

    command = ["generate", "--random", "--device", "cpu", "--seed", "7", "--top-k", "20", "--max-new-tokens", "12"]
    ran = author(*command, "--prompt", "Once", "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert result["text"] == expected
    assert result["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert (result["run"], result["seed"], result["device"], result["prompt"]) == ("random", 7, "cpu", "Once")

    by_hand = subprocess.run(
        [sys.executable, "-m", "intro2llm.recipes.generate", *command[1:], "--prompt", "Once"],
        cwd=author.workspace,
        env=author.environment,
        capture_output=True,
    )
    assert by_hand.returncode == 0, by_hand.stderr
    assert by_hand.stdout.decode().startswith(visible(expected))


def test_a_run_is_found_and_continued(author: Author):
    tokenizer = ByteLevelTokenizer()
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(1)
    model = build_model(config)
    run = author.workspace / "runs" / "mine"
    save_model(model, tokenizer, run)
    write_run(run, "pretrain")
    prompt = torch.tensor([tokenizer.encode("Hi")])
    greedy = model.generate(prompt, max_new_tokens=30, temperature=0, stop_token_ids=[tokenizer.eos_token_id])
    expected = tokenizer.decode(greedy[0, 2:])

    ran = author("generate", "--prompt", "Hi", "--temperature", "0", "--device", "cpu", "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert (result["text"], result["tokens"], result["run"]) == (expected, 30, "mine")
    assert "this model reads no more" in ran.err

    long = author("generate", "--run", "mine", "--prompt", "x" * 32)
    assert long.code == 2
    assert "The prompt has 32 tokens; this model reads at most 32." in long.text
    assert "xxx" not in long.text  # what is refused is not echoed


def test_chat_talks_and_says_what_this_model_cannot_do(author: Author):
    ran = author("chat", "--random", "--max-new-tokens", "4", "--seed", "2", "--json", stdin="hi\nhow are you\n/exit\n")
    assert ran.code == 0, ran.err
    turns = [json.loads(line) for line in ran.out.splitlines()]
    assert [turn["prompt"] for turn in turns] == ["hi", "how are you"]
    assert all(0 < turn["tokens"] <= 4 for turn in turns)
    assert ran.err.count("lesson 10") == 1


def test_what_is_missing_or_wrong_in_the_model_is_said(author: Author):
    path = author.workspace / "intro2llm" / "model" / "causal_lm.py"
    reference = path.read_text(encoding="utf-8")
    try:
        stub = 'raise NotImplementedError("lesson04 · CausalLM.generate")'
        path.write_text(apply_edits(reference, [Edit(symbol="CausalLM.generate", code=stub)]), "utf-8")
        ran = author("generate", "--random", "--prompt", "x")
        assert ran.code == 4
        assert "generate needs CausalLM.generate (lesson 04), which is still to be written." in ran.text

        wrong = "return self.lm_head(self.lm_head(input_ids))"
        path.write_text(apply_edits(reference, [Edit(symbol="CausalLM.generate", code=wrong)]), "utf-8")
        ran = author("generate", "--random", "--prompt", "x")
        assert ran.code == 1
        assert "Your code: intro2llm/model/causal_lm.py:" in ran.text
        assert wrong in ran.text

        path.unlink()
        ran = author("generate", "--random", "--prompt", "x")
        assert ran.code == 4
        assert "generate needs intro2llm/model/causal_lm.py (lesson 04), which is not there." in ran.text
        assert "intro2llm start 04" in ran.text
    finally:
        path.write_text(reference, "utf-8")


def test_a_model_is_trained_listed_and_writes(author: Author, tmp_path: Path):
    """From nothing: trained for eight updates on the story world, found by `runs`, and used by `generate`."""
    (tmp_path / "mini.yaml").write_text(PRESET, encoding="utf-8")
    command = ["train", "--preset", "mini.yaml", "--name", "trained", "--device", "cpu", "--json"]
    ran = author(*command, "--workspace", str(author.workspace), cwd=tmp_path)
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert (result["state"], result["step"], result["steps"]) == ("finished", 8, 8)
    assert "trained: " in ran.err
    assert "After update 8, on held-out text: " in ran.err

    shown = json.loads(author("runs", "show", "trained", "--json").out)
    assert shown["run"]["state"] == "finished"
    assert shown["run"]["bits_per_byte"] == result["eval_bits_per_byte"]
    assert shown["run"]["times_floor"] == pytest.approx(result["eval_bits_per_byte"] / result["floor"])
    assert [point["step"] for point in shown["metrics"]["training"]] == list(range(1, 9))
    assert [point["step"] for point in shown["metrics"]["held_out"]] == [3, 6, 8]
    assert [checkpoint["step"] for checkpoint in shown["checkpoints"]] == [4, 6, 8]
    assert shown["settings"]["training.lr"] == 0.01
    assert author("runs", "show", "trained").code == 0

    written = author("generate", "--run", "trained", "--prompt", "Vera", "--max-new-tokens", "5", "--json")
    assert written.code == 0, written.err
    again = author(*command, "--workspace", str(author.workspace), cwd=tmp_path)
    assert again.code == 2
    assert "There is a run 'trained' already." in again.err
