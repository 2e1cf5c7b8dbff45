"""`generate`, `chat` and their like on the toy course: options, locks, streaming in a terminal, Ctrl-C, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from coursecli.cli.writing import Sampling
from coursecli.errors import UsageError
from tests.checking import marked, wait_until
from tests.recipe_shop import Seller

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs process groups and terminals")

WAIT_FOR_GO = """
import pathlib, time
while percent == 1 and not pathlib.Path("go").exists():
    time.sleep(0.01)
return price - percent
"""
HANG = "while percent == 1:\n    pass\nreturn price - percent"


@pytest.fixture
def seller(tmp_path: Path) -> Seller:
    return Seller(tmp_path)


def test_the_text_goes_to_standard_output_and_the_figures_beside_it(seller: Seller):
    ran = seller("generate", "--random", "--seed", "4", "--prompt", "Prices:")
    assert ran.code == 0
    assert ran.out.startswith("Prices: 100 99 98")
    assert ran.out.endswith("\n")
    assert ran.err.splitlines()[-1] == "100 tokens, 200.0 tokens/s, cpu, random weights, seed 4"


def test_without_streaming_the_same_text_comes_at_the_end(seller: Seller):
    ways = [seller("generate", "--random", "--prompt", "P", *way) for way in ([], ["--no-stream"])]
    assert ways[0].out == ways[1].out


@pytest.mark.parametrize("stdin", ["two\nlines\n", "two\nlines"])
def test_the_prompt_is_read_from_standard_input(seller: Seller, stdin: str):
    ran = seller("generate", "--random", "--max-new-tokens", "1", "--prompt", "-", stdin=stdin)
    assert ran.out == "two\nlines 100\n"


def test_a_text_that_breaks_off_ends_its_line(seller: Seller):
    seller.replace("discount", "return price / (percent - 1)")
    assert seller("generate", "--random", "--prompt", "x").out == "x -100\n"


def test_json_is_one_object_and_nothing_else(seller: Seller):
    seller.replace("discount", "print('debugging')\nreturn price")
    ran = seller("generate", "--random", "--seed", "1", "--max-new-tokens", "2", "--prompt", "P", "--json")
    assert json.loads(ran.out) == {
        "schema_version": 1,
        "prompt": "P",
        "text": " 100 100",
        "tokens": 2,
        "seconds": 0.5,
        "tokens_per_second": 4.0,
        "stopped": "length",
        "run": "random",
        "parameters": 7,
        "device": "cpu",
        "seed": 1,
    }
    assert ran.err.splitlines() == ["debugging", "debugging"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"temperature": -1.0}, "--temperature -1.0: it must be 0 or more."),
        ({"temperature": float("nan")}, "--temperature nan: it must be 0 or more."),
        ({"temperature": float("inf")}, "--temperature inf: it must be 0 or more."),
        ({"top_p": 0.0}, "--top-p 0.0: it must be above 0 and at most 1."),
        ({"top_p": 1.5}, "--top-p 1.5: it must be above 0 and at most 1."),
        ({"top_k": 0}, "--top-k 0: it must be at least 1."),
        ({"max_new_tokens": 0}, "--max-new-tokens 0: it must be at least 1."),
        ({"seed": -3}, "--seed -3: it must be 0 or more, below 2 to the 63."),
        ({"random": True, "run": "x"}, "--random and --run exclude each other: which model is it to be?"),
    ],
)
def test_a_value_that_means_nothing_is_refused(changed: dict, words: str):
    good = Sampling(100, 1.0, None, None, None, None, random=False, device="auto")
    good.check()
    with pytest.raises(UsageError) as caught:
        replace(good, **changed).check()
    assert caught.value.message == words


def test_a_bad_option_is_one_line(seller: Seller):
    seller.add_run("prices")
    for command in (["generate", "--prompt", "x"], ["chat"]):
        for options, words in (
            (["--temperature", "-1"], "--temperature -1.0: it must be 0 or more."),
            (["--temperature", "warm"], "'--temperature'"),
            (["--run", "prises"], "There is no run 'prises'. Did you mean prices?"),
        ):
            ran = seller(*command, *options)
            assert (ran.code, ran.out) == (2, "")
            assert words in ran.text


def test_the_shell_completes_runs(seller: Seller):
    for name in ("prices", "prose", "other"):
        seller.add_run(name)
    line = "intro2llm generate --run pr"
    words = {"COMP_WORDS": line, "COMP_CWORD": "3", "_INTRO2LLM_COMPLETE": "complete_bash"}
    assert seller(**words).out.split() == ["prices", "prose"]


def test_the_prompt_is_needed_and_must_be_text(seller: Seller):
    ran = seller("generate", "--random")
    assert (ran.code, "Missing option '--prompt'" in ran.text) == (2, True)


def test_without_a_model_it_says_what_there_is_instead(seller: Seller):
    for command in (["generate", "--prompt", "x"], ["chat"]):
        ran = seller(*command)
        assert ran.code == 2
        assert "there is none yet" in ran.text
        assert f"intro2llm {command[0]} --random" in ran.text
        assert "intro2llm import PATH" in ran.text
    seller.add_run("mine")
    assert seller("generate", "--prompt", "x", "--json").code == 0


def test_a_command_is_locked_until_its_lesson_is_started(seller: Seller):
    config = seller.opened.config
    config.write_text(config.read_text(encoding="utf-8").replace("true", "false"), encoding="utf-8")
    ran = seller("generate", "--random", "--prompt", "x")
    assert ran.code == 4
    assert "generate needs lesson 01 (Prices), which is still to come." in ran.text
    assert "Type: intro2llm start lesson01" in ran.text
    assert seller("start", "01").code == 0
    assert seller("generate", "--random", "--prompt", "x").code == 0


def test_a_course_without_such_a_recipe_says_so(learner):
    for command in (["generate", "--prompt", "x"], ["chat"], ["bench"], ["import", "."], ["export", "hf", "a", "b"]):
        ran = learner(*command)
        assert ran.code == 2
        assert f"has no {command[0]}." in ran.text


def test_a_stub_is_named_with_its_lesson(seller: Seller):
    seller.replace("discount", 'raise NotImplementedError("lesson01 · discount")')
    ran = seller("generate", "--random", "--prompt", "x")
    assert ran.code == 4
    assert "generate needs discount (lesson 01), which is still to be written." in ran.text


def test_the_learners_exception_is_shown_with_their_line(seller: Seller):
    seller.replace("discount", "return price / (percent - 1)")
    ran = seller("generate", "--random", "--prompt", "x")
    assert ran.code == 1
    assert "ZeroDivisionError: float division by zero" in ran.text
    assert "Your code: toyshop/prices.py:" in ran.text
    assert "return price / (percent - 1)" in ran.text
    assert "Traceback" not in ran.text
    assert "recipes" not in ran.text


def test_what_the_code_writes_cannot_steer_the_terminal(seller: Seller):
    escape = "\\x1b]0;owned\\x07 [/b] \\x1b[2J"
    seller.replace("discount", f"print('{escape}')\nraise ValueError('{escape}')")
    ran = seller.terminal("generate", "--random", "--prompt", "x\x1b[31my")
    assert ran.code == 1
    assert "\x1b]0" not in ran.out
    assert "\x1b[2J" not in ran.out
    assert r"x\x1b[31my" in ran.out
    shown = r"\x1b]0;owned\x07 [/b] \x1b[2J"
    assert f"ValueError: {shown}" in ran.text
    assert ran.text.count(shown) == 4  # printed, raised, and in two lines of the source


def test_tokens_appear_before_the_end(seller: Seller):
    seller.replace("discount", WAIT_FOR_GO.strip())

    def act(terminal: int, said: str) -> None:
        if " 100" in said:
            (seller.workspace / "go").touch()

    ran = seller.terminal("generate", "--random", "--max-new-tokens", "3", "--prompt", "P", act=act)
    assert ran.code == 0
    assert "P 100 99 98" in ran.text


@pytest.mark.parametrize("settings", [{"columns": 40}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_any_terminal_will_do(seller: Seller, settings: dict):
    ran = seller.terminal("generate", "--random", "--max-new-tokens", "3", "--prompt", "P", **settings)
    assert ran.code == 0
    assert "P 100 99 98" in ran.text
    if "columns" not in settings:
        assert "\x1b[" not in ran.out


def test_ctrl_c_ends_generate_and_leaves_nothing_running(seller: Seller):
    seller.replace("discount", HANG)
    mark = f"mark-{uuid.uuid4().hex}"

    pressed = []

    def act(terminal: int, said: str) -> None:
        if " 100" in said and not pressed:
            pressed.append(os.write(terminal, b"\x03"))

    ran = seller.terminal("generate", "--random", "--prompt", "P", act=act, MARK=mark)
    assert ran.code == 130
    assert "P 100" in ran.text
    assert ran.text.endswith("Stopped.")
    if sys.platform == "linux":
        assert wait_until(lambda: not marked(mark))


def test_chat_from_a_pipe_answers_line_by_line(seller: Seller):
    ran = seller("chat", "--random", stdin="1\n2\n")
    assert (ran.code, ran.out) == (0, " 100\n 100 99\n")
    objects = [json.loads(line) for line in seller("chat", "--random", "--json", stdin="1\n2\n").out.splitlines()]
    assert [(each["prompt"], each["text"], each["tokens"]) for each in objects] == [
        ("1", " 100", 1),
        ("2", " 100 99", 2),
    ]


def test_a_line_that_is_no_text_is_said_as_far_as_it_is(seller: Seller):
    command = [seller.program, "chat", "--random"]
    ended = subprocess.run(
        command, cwd=seller.workspace, env=seller.environment, input=b"\xff7\n", capture_output=True, check=False
    )
    assert ended.returncode == 1  # it has come to the recipe, which wants a number
    assert "ValueError: invalid literal for int() with base 10: '\ufffd7'" in ended.stderr.decode()


def test_ctrl_c_ends_the_answer_and_not_the_chat(seller: Seller):
    seller.replace("discount", HANG)
    typed: list[str] = []

    def act(terminal: int, said: str) -> None:
        steps = [("> ", "2\n"), ("2\r\n 100", "\x03"), ("Stopped.\r\n> ", "1\n"), ("1\r\n 100\r\n> ", "\x04")]
        if len(typed) < len(steps) and steps[len(typed)][0] in said:
            keys = steps[len(typed)][1]
            typed.append(keys)
            os.write(terminal, keys.encode())

    ran = seller.terminal("chat", "--random", act=act, INPUTRC="/dev/null")
    assert ran.code == 0
    assert len(typed) == 4


@pytest.mark.parametrize(
    ("typed", "arguments"),
    [
        ("import MODEL --name mine --force", ["{folder}/MODEL", "--force", "--name=mine"]),
        ("import MODEL", ["{folder}/MODEL"]),
        ("export hf prices OUT", ["prices", "{folder}/OUT"]),
        ("export hf prices OUT --force", ["prices", "{folder}/OUT", "--force"]),
        ("bench one two --quick --threads 2", ["one", "two", "--quick", "--device=cpu", "--threads=2"]),
    ],
)
def test_the_options_reach_the_recipe(seller: Seller, typed: str, arguments: list[str]):
    seller.add_run("prices")
    (seller.workspace / "MODEL").mkdir()
    ran = seller(*typed.split(), "--json")
    assert ran.code == 0, ran.err
    expected = [each.format(folder=seller.workspace) for each in arguments]
    assert json.loads(ran.out) == {"schema_version": 1, "arguments": expected}
    assert ran.err == "Mind the step.\n"


def test_a_piece_of_work_is_shown(seller: Seller):
    ran = seller("bench")
    assert ran.out == "Work\n\npart  ratio\none   1.5\n\nA note.\nAll is done.\n"
    terminal = seller.terminal("bench")
    assert "half 1 of 2" in terminal.text
    assert terminal.text.endswith("All is done.")


def test_what_is_to_be_imported_or_exported_is_there(seller: Seller):
    assert "There is no file or folder" in seller("import", "nowhere").text
    assert "There is no run 'x'. There is none yet." in seller("export", "hf", "x", "out").text
