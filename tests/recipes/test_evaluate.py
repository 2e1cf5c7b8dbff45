"""`eval`: figures that can be worked out by other means, interruptions that cost nothing, and what is refused."""

from __future__ import annotations

import csv
import gzip
import json
import math
import signal
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from intro2llm.data import storyworld
from intro2llm.evaluation.tasks.held_out_text import HeldOutText
from intro2llm.evaluation.tasks.programs import Programs
from intro2llm.evaluation.tasks.task import Task
from intro2llm.recipes import evaluate
from intro2llm.recipes.events import RecipeError, StorageError
from intro2llm.utils.model_folder import find_run, load_model
from tests.evaluations import Evaluations
from tests.training_runs import Trainings

EVALUATION = Path(evaluate.__file__).resolve().parent.parent / "evaluation"


@pytest.fixture
def evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluations:
    return Evaluations(tmp_path, monkeypatch)


def refused(evaluations: Evaluations, *arguments: str) -> str:
    with pytest.raises(RecipeError) as caught:
        evaluations(*arguments)
    text = f"{caught.value.message} {caught.value.remedy}".strip()
    assert "\n" not in text
    return text


# --- text ------------------------------------------------------------------------------------------------------------


def test_a_model_that_finds_all_tokens_equally_likely(evaluations: Evaluations):
    evaluations.add_run(uniform=True, context=64)  # so that a story needs several windows
    assert evaluations("--tasks", "ppl", "--limit", "4") == 0
    _, tokenizer = load_model(find_run(Path("runs")))
    stories = [storyworld.story("test", index) for index in range(4)]
    tokens = sum(len(tokenizer.encode(story.text)) + 1 for story in stories)  # and the end of the text
    size = sum(len(story.text.encode()) for story in stories)
    found = evaluations.result["ppl"]
    assert (found["tokens"], found["documents"]) == (tokens, 4)
    assert found["perplexity"] == pytest.approx(500, rel=1e-4)
    assert found["bits_per_byte"] == pytest.approx(tokens * math.log2(500) / size, rel=1e-5)
    assert found["floor"] == pytest.approx(storyworld.bits_per_byte(stories), rel=1e-12)
    assert evaluations.table("Held-out text")["what no model can beat"] == [f"{found['floor']:.3f}"]


def test_the_text_is_read_as_in_training(evaluations: Evaluations):
    evaluations.add_run()
    evaluations("--tasks", "ppl", "--limit", "3", "--seed", "5")
    model, tokenizer = load_model(find_run(Path("runs")))
    eos, nats, each = tokenizer.eos_token_id, 0.0, []
    for index in range(3):
        text = storyworld.story("test", index, seed=5).text
        ids = torch.tensor([[eos, *tokenizer.encode(text), eos]])
        assert ids.shape[1] <= 512  # one window
        losses = F.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:], reduction="sum").item()
        nats += losses
        each.append((losses / math.log(2), len(text.encode())))
    bits = nats / math.log(2) / sum(size for _, size in each)
    assert evaluations.result["ppl"]["bits_per_byte"] == pytest.approx(bits, rel=1e-5)
    excess = [(spent - bits * size) / (sum(size for _, size in each) / 3) for spent, size in each]
    assert evaluations.result["ppl"]["standard_error"] == pytest.approx(statistics.stdev(excess) / 3**0.5, rel=1e-3)


def test_a_run_of_another_text_is_measured_on_what_was_held_out_of_it(evaluations: Evaluations):
    lines = [f"Line {number} of a text that nobody has generated: {number * number}.\n\n" for number in range(100)]
    Path("text.txt").write_text("".join(lines), encoding="utf-8")
    trainings = Trainings(evaluations.folder, evaluations.monkeypatch)
    assert trainings("--name", "own", "--data", "text.txt", "--steps", "1", "--tokens", "100000") == 0  # all of it
    assert evaluations("--run", "own", "--limit", "1000", "--tasks", "ppl") == 0
    found = evaluations.result["ppl"]
    assert found["bits_per_byte"] == pytest.approx(trainings.result["eval_bits_per_byte"], rel=1e-5)
    assert found["floor"] is None
    assert "not known" in evaluations.notes("Held-out text")
    evaluations("--run", "own", "--limit", "1")
    assert "story" not in evaluations.result, "it has nothing to do with the story world"


# --- questions -------------------------------------------------------------------------------------------------------


def test_story_questions_are_scored_by_log_probability_per_byte(evaluations: Evaluations):
    evaluations.add_run()
    evaluations("--tasks", "story", "--limit", "6")
    model, tokenizer = load_model(find_run(Path("runs")))

    def best(prompt: str, choices: list[str]) -> str:
        scores = {}
        for choice in choices:
            given, added = [tokenizer.eos_token_id, *tokenizer.encode(prompt)], tokenizer.encode(choice)
            ids = torch.tensor([[*given, *added]])
            losses = F.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:], reduction="none")
            scores[choice] = -losses[len(given) - 1 :].sum().item() / len(choice.encode())
        return max(scores, key=scores.__getitem__)

    clozes = [storyworld.cloze("test", index) for index in range(6)]
    right = [best(cloze.prompt, list(cloze.choices)) == cloze.choices[cloze.correct] for cloze in clozes]
    found = evaluations.result["story"]
    assert found["cloze"]["accuracy"] == pytest.approx(sum(right) / 6)
    assert found["cloze"]["chance"] == pytest.approx(statistics.mean(1 / len(cloze.choices) for cloze in clozes))
    asked = [storyworld.question("test", index) for index in range(6)]
    right = [
        best(each.prompt, [f"\n{answer}" for answer in (each.answer, *each.wrong_answers)]) == f"\n{each.answer}"
        for each in asked
    ]
    assert found["choice"]["accuracy"] == pytest.approx(sum(right) / 6)
    assert found["free"]["questions"] == 6
    said = [json.loads(line) for line in evaluations.kept("story")[0].read_text().splitlines()[1:]]
    answers = [line["result"] for line in said if line["item"].startswith("question")]
    assert [answer["free"] for answer in answers] == [
        each.is_correct(answer["said"]) for each, answer in zip(asked, answers)
    ]


def letters(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row[5] for row in csv.reader(file)]


def test_mmlu_of_a_model_that_cannot_choose_is_the_share_of_the_first_letter(evaluations: Evaluations):
    evaluations.add_run(uniform=True, context=2048)
    evaluations("--tasks", "mmlu", "--limit", "40")
    built_in = [letter for path in (EVALUATION / "mmlu_builtin" / "test").glob("*.csv") for letter in letters(path)]
    assert len(built_in) == 228
    found = evaluations.result["mmlu"]
    kept = [json.loads(line)["result"] for line in evaluations.kept("mmlu")[0].read_text().splitlines()[1:]]
    assert found["questions"] == len(kept) == 40
    assert {line["predicted"] for line in kept} == {0}
    assert found["accuracy"] == sum(line["right"] for line in kept) / 40
    assert len(found["by_subject"]) > 20, "a limited choice is of many subjects"
    assert found["macro_accuracy"] == pytest.approx(statistics.mean(found["by_subject"].values()))
    assert found["standard_error"] == pytest.approx((found["accuracy"] * (1 - found["accuracy"]) / 39) ** 0.5)
    assert (found["chance"], found["shots"]) == (0.25, 5)


def mmlu_folder(folder: Path, *, test: str) -> Path:
    for split, rows in (("dev", 'Is it,"a, b",c,d,"e ""f""",B\n' * 6), ("test", test)):
        (folder / split).mkdir(parents=True)
        (folder / split / f"anatomy_{split}.csv").write_text(rows, encoding="utf-8")
    return folder


def test_mmlu_in_its_own_layout(evaluations: Evaluations):
    evaluations.add_run(uniform=True, context=64)
    folder = mmlu_folder(Path("mmlu"), test='"Two\nlines?",1,2,3,4,A\nQ?,1,2,3,4,C\nR?,1,2,3,4,A\n')
    evaluations("--tasks", "mmlu", "--data-mmlu", str(folder))
    found = evaluations.result["mmlu"]
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["by_subject"] == {"anatomy": pytest.approx(2 / 3)}
    assert found["shots"] < 5
    assert "3 prompts were longer than the model's 64 tokens" in evaluations.notes("MMLU")


# --- programs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("solutions", "solved"), [("canonical", 20), ("empty", 0)])
def test_the_check_itself_can_be_checked_without_a_model(evaluations: Evaluations, solutions: str, solved: int):
    assert evaluations("--solutions", solutions) == 0
    found = evaluations.result["humaneval"]
    assert (found["solved"], found["problems"], found["pass@1"]) == (solved, 20, solved / 20)
    assert found["outcomes"] == {"passed" if solved else "failed": 20}
    assert f"were run: {found['isolation']}." in evaluations.notes("HumanEval")


def problems(*solutions: str) -> str:
    return "".join(
        json.dumps(
            {
                "task_id": f"T/{number}",
                "prompt": "def f():\n",
                "entry_point": "f",
                "canonical_solution": solution,
                "test": "def check(candidate):\n    assert candidate() == 1\n",
            }
        )
        + "\n"
        for number, solution in enumerate(solutions)
    )


def test_outcomes_are_named(evaluations: Evaluations):
    bodies = [
        "    return 1\n",
        "    return 2\n",
        "    while True: print()\n",
        "    import os; os.kill(os.getpid(), 9)\n",
    ]
    Path("problems.jsonl.gz").write_bytes(gzip.compress(problems(*bodies).encode()))
    evaluations("--solutions", "canonical", "--data-humaneval", "problems.jsonl.gz")
    found = evaluations.result["humaneval"]
    assert found["outcomes"] == {"passed": 1, "failed": 1, "flooded": 1, "killed": 1}
    assert found["pass@1"] == 0.25
    evaluations("--solutions", "canonical", "--data-humaneval", "problems.jsonl.gz", "--limit", "2", "--samples", "2")
    assert list(evaluations.table("HumanEval")) == ["pass@1", "pass@2", "solved at least once"]


def test_a_model_completes_and_what_it_wrote_is_kept(evaluations: Evaluations):
    evaluations.add_run(context=64)
    long = json.loads(problems("")) | {"task_id": "T/long", "prompt": "# " + "many words " * 50 + "\ndef f():\n"}
    Path("problems.jsonl").write_text(problems("", "") + json.dumps(long), encoding="utf-8")
    evaluations("--tasks", "humaneval", "--data-humaneval", "problems.jsonl", "--samples", "2")
    found = evaluations.result["humaneval"]
    assert (found["pass@1"], found["temperature"]) == (0, 0.8)
    assert found["outcomes"] == {"failed": 4, "prompt too long": 2}
    kept = [json.loads(line)["result"] for line in evaluations.kept("humaneval")[0].read_text().splitlines()[1:]]
    completions = [text for result in kept for text in result["completions"]]
    assert len(set(completions)) == 4, "no problem repeats the random numbers of another, no sample those of the first"


def test_without_a_sandbox_no_program_is_run_unless_asked(evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(evaluate, "available_isolation", lambda: "none")
    evaluations.add_run(context=64)
    assert "--unsafe-no-sandbox" in refused(evaluations, "--tasks", "humaneval")
    assert "--unsafe-no-sandbox" in refused(evaluations, "--solutions", "canonical")
    evaluations("--limit", "1")
    assert "humaneval" not in evaluations.result
    assert any("humaneval is left out" in event["message"] for event in evaluations.events("notice"))
    evaluations("--solutions", "canonical", "--limit", "1", "--unsafe-no-sandbox")
    assert evaluations.result["humaneval"]["isolation"] == "none"


# --- interruptions ---------------------------------------------------------------------------------------------------


@contextmanager
def interrupted_at(number: int, kind: type[Task], sent: int = signal.SIGINT) -> Iterator[list[str]]:
    """While inside, a signal comes when the item of a number is being measured. Gives the items that were begun."""
    begun: list[str] = []
    before = kind.measure

    def measure(self: Task, item: str):
        begun.append(item)
        if len(begun) == number + 1:
            signal.raise_signal(sent)
        return before(self, item)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "measure", measure)
        yield begun


@pytest.mark.parametrize(("task", "sent"), [("ppl", signal.SIGINT), ("humaneval", signal.SIGTERM)])
def test_an_evaluation_that_was_interrupted_goes_on(evaluations: Evaluations, task: str, sent: int):
    Path("problems.jsonl").write_text(problems(*[""] * 4), encoding="utf-8")
    arguments = ["--tasks", task, "--limit", "4", "--samples", "2", "--data-humaneval", "problems.jsonl"]
    evaluations.add_run("whole", context=64)
    evaluations("--run", "whole", *arguments)
    whole = evaluations.result[task]
    kind = {"ppl": HeldOutText, "humaneval": Programs}[task]

    evaluations.add_run("parts", context=64)
    with interrupted_at(2, kind, sent):
        assert evaluations("--run", "parts", *arguments) == 128 + sent
    assert (evaluations.result["state"], evaluations.result["exit_code"]) == ("interrupted", 128 + sent)
    assert not (evaluations.folder / "runs" / "parts" / "eval.json").exists()
    with evaluations.kept(task, "parts")[0].open("ab") as file:
        file.write(b'{"item": "T/3", "resu')  # and the machine was switched off
    with interrupted_at(99, kind) as begun:
        assert evaluations("--run", "parts", *arguments) == 0
    assert len(begun) == 2
    assert evaluations.result[task] == whole == evaluations.report("parts")[task]
    with interrupted_at(99, kind) as begun:
        evaluations("--run", "parts", *arguments)
        assert begun == []
        assert evaluations.result[task] == whole
        evaluations("--run", "parts", *arguments, "--restart")
        assert len(begun) == 4


def test_other_settings_another_checkpoint_and_other_code_begin_anew(
    evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch
):
    run = evaluations.add_run(context=64)

    def measured(*arguments: str) -> int:
        with interrupted_at(99, HeldOutText) as begun:
            evaluations("--tasks", "ppl", *arguments)
        return len(begun)

    assert measured("--limit", "2") == 2
    assert measured("--limit", "3") == 1, "more of the same"
    assert measured("--limit", "2", "--seed", "1") == 2
    (run / "checkpoints" / "step-000001").rename(run / "checkpoints" / "step-000002")
    assert measured("--limit", "3") == 0, "the same weights under another name"
    evaluations.add_run("other", context=64, seed=1)
    (evaluations.folder / "runs" / "other" / "checkpoints" / "step-000001").rename(run / "checkpoints" / "step-000003")
    assert measured("--run", "first", "--limit", "3") == 3
    monkeypatch.setattr(evaluate, "code_stamp", lambda: "another")
    assert measured("--run", "first", "--limit", "3") == 3


def test_the_code_is_recognised_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import intro2llm
    from intro2llm.evaluation.tasks.kept import code_stamp

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "norm.py").write_text("eps = 1e-6")
    monkeypatch.setattr(intro2llm, "__file__", str(tmp_path / "__init__.py"))
    before = code_stamp()
    assert code_stamp() == before
    (tmp_path / "model" / "norm.py").write_text("eps = 1e-5")
    assert code_stamp() != before


def test_results_of_the_same_checkpoint_stand_beside_each_other(evaluations: Evaluations):
    run = evaluations.add_run(context=64)
    evaluations("--tasks", "ppl", "--limit", "1")
    evaluations("--tasks", "mmlu", "--limit", "1")
    report = evaluations.report()
    assert {"ppl", "mmlu"} < set(report)
    assert report["checkpoint"] == "checkpoints/step-000001"
    evaluations.add_run("other", context=64, seed=1)
    (evaluations.folder / "runs" / "other" / "checkpoints" / "step-000001").rename(run / "checkpoints" / "step-000003")
    evaluations("--run", "first", "--tasks", "ppl", "--limit", "1")
    assert set(evaluations.report()) == {"checkpoint", "checkpoint_stamp", "ppl"}


def test_what_is_said(evaluations: Evaluations):
    evaluations.add_run(context=64)
    evaluations("--tasks", "mmlu,ppl", "--limit", "3")
    assert evaluations.said[0]["event"] == "started"
    assert (evaluations.said[0]["what"], evaluations.said[0]["device"]) == ("first", "cpu")
    last = {event["task"]: event for event in evaluations.events("score")}
    assert list(last) == ["mmlu", "ppl"]
    assert (last["ppl"]["done"], last["ppl"]["total"], last["ppl"]["name"]) == (3, 3, "bits per byte")
    assert last["ppl"]["value"] == pytest.approx(evaluations.result["ppl"]["bits_per_byte"])
    assert [event["title"] for event in evaluations.events("table")] == ["MMLU by subject", "MMLU", "Held-out text"]
    assert evaluations.result["run"] == "first"


# --- what is refused -------------------------------------------------------------------------------------------------


def test_mistakes_are_refused_in_one_line(evaluations: Evaluations):
    assert "holds no model yet" in refused(evaluations)
    evaluations.add_run(context=64)
    assert "Did you mean 'first'?" in refused(evaluations, "--run", "frist")
    assert "There are: ppl, story, mmlu, humaneval" in refused(evaluations, "--tasks", "ppl,mmul")
    assert refused(evaluations, "--limit", "0") == "--limit 0: it is at least 1."
    assert refused(evaluations, "--samples", "0") == "--samples 0: it is at least 1."
    assert "at least 0" in refused(evaluations, "--temperature", "-1")
    assert "for humaneval alone" in refused(evaluations, "--solutions", "empty", "--tasks", "ppl")
    assert "no/such" in refused(evaluations, "--tasks", "mmlu", "--data-mmlu", "no/such")
    assert "no/such.jsonl" in refused(evaluations, "--tasks", "humaneval", "--data-humaneval", "no/such.jsonl")
    folder = mmlu_folder(Path("mmlu"), test="Q?,1,2,3,4,A\nQ?,1,2,3,4,E\n")
    assert f"{folder / 'test' / 'anatomy_test.csv'}, row 2" in refused(evaluations, "--data-mmlu", str(folder))
    Path("bad.jsonl").write_text(problems("") + '{"task_id": 1}\n', encoding="utf-8")
    assert "line 2" in refused(evaluations, "--data-humaneval", "bad.jsonl")
    Path("bad.jsonl").write_text(problems("") + "{\n", encoding="utf-8")
    assert "bad.jsonl cannot be read as HumanEval's problems: line 2" in refused(
        evaluations, "--solutions", "empty", "--data-humaneval", "bad.jsonl"
    )
    assert not (evaluations.folder / "runs" / "first" / "eval").exists(), "nothing was measured before the refusal"


def test_what_cannot_be_written_is_told_with_the_place(evaluations: Evaluations):
    run = evaluations.add_run(context=64)
    (run / "eval").write_text("a file where a folder is to be")
    with pytest.raises(StorageError) as caught:
        evaluations("--tasks", "ppl", "--limit", "1")
    assert "runs/first/eval" in caught.value.message
    assert "\n" not in caught.value.message
