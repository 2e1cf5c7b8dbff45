"""`train`, `eval` and `runs` on the toy course: the line that changes, signals, curves, JSON, runs side by side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.checking import marked, wait_until
from tests.recipe_shop import Seller

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs process groups and terminals")

PAUSE = """
import time
from toyshop.recipes.pretrain import STOP
while percent == 2 and not STOP:
    time.sleep(0.01)
return price - percent
"""
HANG = "while percent == 2:\n    pass\nreturn price - percent"


@pytest.fixture
def seller(tmp_path: Path) -> Seller:
    return Seller(tmp_path)


def test_a_training_is_told_line_by_line_where_no_line_can_change(seller: Seller):
    ran = seller("train", "--name", "first", "--steps", "40")
    assert ran.code == 0, ran.err
    lines = ran.err.splitlines()
    assert lines[0] == "Counting the stock …"
    assert lines[1] == "first: 1,234 parameters, cpu, float32; 40 updates of 2,048 tokens."
    assert lines[2] == "1/40  loss 1.990  0.995 bits/byte (floor 0.500)  rate 0.001  3,000 tokens/s  39:00 left"
    assert [line.partition("/")[0] for line in lines[2:]] == [str(step) for step in range(1, 41, 2)]
    out = ran.out.splitlines()
    assert out[0] == "After update 40, on held-out text: 0.800 bits per byte, 1.60 × the floor 0.500"
    assert out[1] == r"  Apples are [b]cheap[/b]\x1b[2J."
    assert "Bits per byte  ⠒ training  x held-out text  ── floor 0.500: no model can be below" in out
    assert ran.text.endswith(
        "Reached 0.800 bits per byte on held-out text, 1.60 × the floor of 0.500 "
        "Work 40 of 40 updates, 81,920 tokens, 1 min 15 s Run runs/first "
        'Next intro2llm generate --run first --prompt "The" intro2llm chat --run first intro2llm eval --run first '
        + " ".join(ran.err.split())
    )
    assert "\x1b" not in ran.out + ran.err


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_in_a_terminal_one_line_changes_and_fits(seller: Seller, columns: int):
    ran = seller.terminal("train", "--steps", "5", columns=columns)
    assert ran.code == 0
    shown = {40: "5/5 0.975 bits/byte 0:00 left", 60: "5/5 0.975 bits/byte (floor 0.500) 0:00 left"}
    full = "5/5 loss 1.950 0.975 bits/byte (floor 0.500) rate 0.001 3,000 tokens/s 0:00 left"
    assert shown.get(columns, full) in ran.text
    assert r"\x1b[2J" in ran.text
    assert "\x1b[2J" not in ran.out


def test_json_is_one_object_and_the_rest_is_told_aside(seller: Seller):
    ran = seller("train", "--name", "first", "--json")
    result = json.loads(ran.out)
    assert (result["schema_version"], result["run"], result["state"], result["step"]) == (1, "first", "finished", 3)
    assert "exit_code" not in result
    assert "After update 3, on held-out text" in ran.err


@pytest.mark.parametrize(
    ("typed", "arguments"),
    [
        ("", ["--device=auto"]),
        ("--data storyworld --preset tiny", ["--preset=tiny", "--data=storyworld", "--device=auto"]),
        ("--data hub:a/b --resume", ["--data=hub:a/b", "--device=auto", "--resume"]),
        ("--data my/a.txt --preset m.yaml", ["--preset={here}/m.yaml", "--data={here}/my/a.txt", "--device=auto"]),
        ("--set a.b=1 --set c.d=2 --track wandb --track tensorboard",
         ["--set=a.b=1", "--set=c.d=2", "--device=auto", "--track=wandb", "--track=tensorboard"]),
        ("--batch-size 2 --seq-len 8 --tokens 9 --seed 0 --device cpu --dtype bfloat16 --compile --nproc 2",
         ["--batch-size=2", "--seq-len=8", "--tokens=9", "--seed=0", "--device=cpu", "--dtype=bfloat16", "--compile",
          "--nproc=2"]),
    ],
)  # fmt: skip
def test_the_options_reach_the_recipe(seller: Seller, typed: str, arguments: list[str]):
    elsewhere = seller.workspace / "lessons"
    ran = seller("train", *typed.split(), "--json", cwd=elsewhere)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["arguments"] == [each.format(here=elsewhere) for each in arguments]


def test_numbers_that_mean_nothing_are_refused(seller: Seller):
    for option in ("--steps", "--batch-size", "--seq-len", "--tokens", "--nproc"):
        ran = seller("train", option, "0")
        assert (ran.code, ran.out) == (2, "")
        assert option in ran.err


def press(keys: list[tuple[str, bytes]]):
    """Types each piece when its words have been said."""
    waiting = list(keys)

    def act(terminal: int, said: str) -> None:
        if waiting and waiting[0][0] in said:
            os.write(terminal, waiting.pop(0)[1])

    return act


def test_the_first_ctrl_c_lets_it_save(seller: Seller):
    seller.replace("discount", PAUSE)
    ran = seller.terminal("train", "--name", "first", act=press([("1/3", b"\x03")]))
    assert ran.code == 130
    assert "Stopping after this update, then saving; Ctrl-C again stops at once." in ran.text
    assert "Work 2 of 3 updates" in ran.text
    assert ran.text.endswith("Next intro2llm train --resume --name first")
    assert json.loads((seller.workspace / "runs" / "first" / "run.json").read_text())["state"] == "interrupted"


def test_the_second_ctrl_c_ends_it_and_leaves_nothing_running(seller: Seller):
    seller.replace("discount", HANG)
    mark = f"mark-{uuid.uuid4().hex}"
    keys = [("1/3", b"\x03"), ("Stopping", b"\x03")]
    ran = seller.terminal("train", "--name", "first", act=press(keys), MARK=mark)
    assert ran.code == 130
    assert ran.text.endswith("What was saved before is whole. Go on: intro2llm train --resume --name first Stopped.")
    if sys.platform == "linux":
        assert wait_until(lambda: not marked(mark))


def test_ctrl_c_before_anything_has_begun_ends_it(seller: Seller):
    seller.file("recipes/pretrain.py").write_text("while True:\n    pass")
    ran = seller.terminal("train", act=press([("Starting", b"\x03")]))
    assert ran.code == 130
    assert ran.text.endswith("Stopped.")


@pytest.mark.parametrize(("code", "sent"), [(PAUSE, 1), (HANG, 2)])
def test_sigterm_is_heard_too(seller: Seller, code: str, sent: int):
    seller.replace("discount", code)
    process = subprocess.Popen(
        [seller.program, "train", "--name", "first"],
        cwd=seller.workspace,
        env=seller.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    for words in ("1/3", "Stopping")[:sent]:
        while words not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "intro2llm train --resume --name first" in rest


@pytest.mark.skipif(sys.platform != "linux", reason="only there is every descendant known")
def test_when_the_command_is_killed_nothing_of_the_training_is_left(seller: Seller):
    seller.replace("discount", "import subprocess\nsubprocess.Popen(['sleep', '1000'])\n" + HANG)
    mark = f"mark-{uuid.uuid4().hex}"
    process = subprocess.Popen(
        [seller.program, "train"],
        cwd=seller.workspace,
        env={**seller.environment, "MARK": mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "1/3" not in process.stderr.readline():
        assert process.poll() is None
    assert wait_until(lambda: len(marked(mark)) >= 4)  # the command, its supervisor, the recipe, what that has started
    process.kill()
    process.communicate()
    assert wait_until(lambda: not marked(mark))


def test_a_stub_is_named_with_its_lesson(seller: Seller):
    seller.replace("discount", 'raise NotImplementedError("lesson01 · discount")')
    ran = seller("train")
    assert ran.code == 4
    assert "train needs discount (lesson 01), which is still to be written." in ran.text


def test_the_commands_are_locked_until_their_lesson_is_started(seller: Seller):
    config = seller.opened.config
    config.write_text(config.read_text(encoding="utf-8").replace("true", "false"), encoding="utf-8")
    for command in ("train", "eval", "runs"):
        ran = seller(command)
        assert ran.code == 4
        assert f"{command} needs lesson 02 (Baskets), which is still to come." in ran.text


def test_what_is_said_without_a_model_depends_on_the_lesson_of_training(seller: Seller):
    random = ["generate", "--random", "--max-new-tokens", "1", "--prompt", "x"]
    assert "The weights are random, so the text is noise: training comes with lesson 02." in seller(*random).err
    assert "there is none yet: training comes with lesson 02." in seller("chat").text
    assert seller("start", "02").code == 0
    assert "the text is noise: train one with intro2llm train." in seller(*random).err
    assert "there is none yet: train one with intro2llm train." in seller("chat").text


def test_an_evaluation_shows_its_scores_and_its_table(seller: Seller):
    seller.add_run("mine")
    ran = seller("eval", "--run", "mine", "--tasks", "sums", "--data-mmlu", "x", "--limit", "3")
    assert ran.code == 0, ran.err
    assert ran.out == "Scores\n\ntask  score\nsums  0.750\n\n"
    assert ran.err == "sums: 3 of 3, accuracy 0.750\n"
    assert "sums: 3 of 3, accuracy 0.750" in seller.terminal("eval").text
    result = json.loads(seller("eval", "--run", "mine", "--data-mmlu", "x", "--json").out)
    assert result["sums"] == {"accuracy": 0.75}
    assert result["arguments"] == ["--run=mine", f"--data-mmlu={seller.workspace}/x", "--device=auto"]


def test_an_evaluation_needs_a_run(seller: Seller):
    for arguments, words in (
        ([], "eval needs a model, and there is none yet."),
        (["--run", "x"], "There is no run 'x'."),
    ):
        ran = seller("eval", *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert words in ran.err
    assert "--solutions=empty" in json.loads(seller("eval", "--solutions", "empty", "--json").out)["arguments"]


def test_runs_lists_shows_and_compares(seller: Seller):
    assert "There is no run yet. Next: intro2llm train" in seller("runs").text
    for name, steps in (("a", "9"), ("b", "12")):
        assert seller("train", "--name", name, "--steps", steps).code == 0
    (seller.workspace / "runs" / "a" / "config.yaml").write_text("training: {lr: 0.1, seed: 3}")
    (seller.workspace / "runs" / "b" / "config.yaml").write_text("training: {lr: 0.2, seed: 3}")
    (seller.workspace / "runs" / "a" / "samples.jsonl").write_text('{"step": 9, "text": "[b]\\u001b[2J"}\n')
    (seller.workspace / "runs" / "a" / "eval.json").write_text('{"mmlu": {"accuracy": 0.25, "by": {"law": 0.5}}}')
    (seller.workspace / "runs" / "a" / "metrics.jsonl").open("a").write("torn")
    seller.add_run("old")

    listed = seller("runs").out
    assert "b    shop  finished  12/12    0.940      1.88" in listed
    assert [run["name"] for run in json.loads(seller("runs", "--json").out)["runs"]] >= ["a"]
    shown = seller("runs", "show", "a")
    assert shown.code == 0
    for words in (
        "state finished",
        "training 9/9 updates, 18,432 tokens, 1 min 15 s",
        "reached 0.955 bits per byte on held-out text, 1.91 × the floor 0.500",
        "1 line of metrics.jsonl cannot be read.",
        r"After update 9 it wrote: [b]\x1b[2J",
        "mmlu accuracy 0.250",
        'Next intro2llm generate --run a --prompt "The"',
    ):
        assert words in shown.text
    assert "law" not in shown.text
    assert json.loads(seller("runs", "show", "a", "--json").out)["scores"]["mmlu"]["accuracy"] == 0.25
    compared = seller("runs", "compare", "a", "b")
    assert "training.lr 0.1 0.2" in compared.text
    assert "seed" not in compared.text
    assert "bits per byte 0.955 0.940" in compared.text
    assert "Bits per byte x a o b ── floor 0.500" in compared.text
    assert len(json.loads(seller("runs", "compare", "a", "b", "--json").out)["runs"]) == 2
    assert seller("runs", "show", "old").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "mime"], "There is no run 'mime'. Did you mean mine?"),
        (["compare", "mine"], "Two different runs are needed to compare."),
        (["compare", "mine", "mine"], "Two different runs are needed to compare."),
        (["compare", "mine", "yours"], "There is no run 'yours'."),
        (["--json", "show", "mine"], "write it behind show."),
    ],
)
def test_runs_refuses_in_a_line(seller: Seller, arguments: list[str], words: str):
    seller.add_run("mine")
    ran = seller("runs", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.text


@pytest.mark.parametrize("columns", ["40", "60", "100"])
def test_runs_fit_the_screen(seller: Seller, columns: str):
    for name in ("first", "second"):
        assert seller("train", "--name", name, "--steps", "30").code == 0
    for arguments in ([], ["show", "first"], ["compare", "first", "second"]):
        out = seller("runs", *arguments, COLUMNS=columns).out
        assert max(map(len, out.splitlines())) <= int(columns)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("intro2llm runs show pr", {"prices", "prose"}),
        ("intro2llm runs compare prices p", {"prices", "prose"}),
        ("intro2llm eval --run o", {"other"}),
        ("intro2llm train --preset t", {"tiny", "tall"}),
    ],
)
def test_the_shell_completes_runs_and_presets(seller: Seller, line: str, expected: set[str]):
    for name in ("prices", "prose", "other"):
        seller.add_run(name)
    seller.file("configs").mkdir()
    for name, text in (("tiny", "training: {}"), ("tall", "training:"), ("two", "model: {}"), ("torn", "training: [")):
        seller.file(f"configs/{name}.yaml").write_text(text)
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_INTRO2LLM_COMPLETE": "complete_bash"}
    assert set(seller(**words).out.split()) == expected
