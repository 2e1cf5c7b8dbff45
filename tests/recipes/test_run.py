"""Starting a recipe: which package is bound, what its events become, and how a bad end is told."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from coursecli.check.results import LearnerError
from coursecli.course.catalogue import load_course
from coursecli.course.initial import init_workspace
from coursecli.errors import EnvironmentProblem, LockedError, UsageError, WorkspaceError
from coursecli.recipes.endings import LearnerFailure, failure
from coursecli.recipes.events import Answer, Failed, Finished, Started, Token
from coursecli.recipes.run import RecipeRun
from tests.recipe_shop import Seller

REAL_COURSE = Path(__file__).resolve().parents[2] / "lessons"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs process groups")


@pytest.fixture
def seller(tmp_path: Path) -> Seller:
    return Seller(tmp_path)


def test_events_arrive_as_the_recipe_says_them(seller: Seller):
    events = list(seller.run("--random", "--seed=4", "--max-new-tokens=2"))
    assert events == [
        Started(what="random", device="cpu", parameters=7, seed=4),
        Token(text=" 100"),
        Token(text=" 99"),
        Answer(text=" 100 99", tokens=2, seconds=0.5, stopped="length"),
        Finished(message=""),
    ]


def test_what_the_code_prints_is_passed_on_before_the_event_that_follows_it(seller: Seller):
    seller.replace("discount", "import sys\nprint('é', percent)\nprint('aside', file=sys.stderr)\nreturn 1.0")
    printed: list[str] = []
    by_then = ["".join(printed) for event in seller.run("--max-new-tokens=2", printed=printed) if type(event) is Token]
    assert [text.startswith(start) for text, start in zip(by_then, ["é 0\naside\n", "é 0\naside\né 1\naside\n"])] == [
        True,
        True,
    ]


def test_the_learners_package_is_bound_whatever_else_goes_by_its_name(seller: Seller, tmp_path: Path, monkeypatch):
    for place in (tmp_path / "elsewhere", seller.workspace / "tests"):
        (place / "toyshop").mkdir(parents=True)
        (place / "toyshop" / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PYTHONSTARTUP", "/nowhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    seller.replace(
        "discount", "import os\nprint(__file__, [name for name in os.environ if 'PYTHON' in name])\nreturn 1.0"
    )
    printed: list[str] = []
    list(seller.run("--max-new-tokens=1", printed=printed))
    assert "".join(printed) == f"{seller.file('prices.py')} ['PYTHONHASHSEED']\n"


def test_another_package_than_the_workspaces_is_refused(seller: Seller):
    away = seller.workspace.rename(seller.folder / "moved")
    seller.workspace.mkdir()
    (seller.workspace / "toyshop").symlink_to(away / "toyshop")
    (away / "toyshop" / "__init__.py").unlink()  # a namespace package has no place that could be named
    with pytest.raises(EnvironmentProblem, match="nothing was run"):
        list(seller.run())


def test_a_workspace_that_goes_away_is_said(seller: Seller):
    opened = seller.opened
    seller.workspace.rename(seller.folder / "moved")
    seller.workspace.mkdir()
    with pytest.raises(WorkspaceError, match="is not there any more"):
        with RecipeRun(seller.course, opened, "generate", "generate", [], printed=print) as run:
            list(run.events())


def test_files_of_the_learner_shadow_no_module(seller: Seller):
    for name in ("random", "json", "argparse", "msgspec"):
        (seller.workspace / f"{name}.py").write_text("raise RuntimeError('shadow')")
    assert len(list(seller.run())) == 6


def test_devices_and_threads_are_the_users(seller: Seller, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    seller.replace(
        "discount", "import os\nprint(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS'])\nreturn 1.0"
    )
    printed: list[str] = []
    list(seller.run("--max-new-tokens=1", printed=printed))
    assert "".join(printed) == "1 5\n"


def test_a_command_can_ask_for_variables_unless_the_user_has_set_them(seller: Seller, monkeypatch):
    monkeypatch.setenv("TOY_MINE", "mine")
    seller.replace("discount", "import os\nprint(os.environ['TOY_MINE'], os.environ['TOY_OTHER'])\nreturn 1.0")
    printed: list[str] = []
    asked = {"TOY_MINE": "theirs", "TOY_OTHER": "theirs"}
    arguments = ["--max-new-tokens=1"]
    with RecipeRun(
        seller.course, seller.opened, "generate", "generate", arguments, printed=printed.append, variables=asked
    ) as run:
        list(run.events())
    assert "".join(printed) == "mine theirs\n"


def test_a_process_that_the_code_starts_has_no_voice(seller: Seller):
    code = """
import subprocess, sys
child = "from toyshop.recipes.events import emit; emit('notice', message='by hand')"
subprocess.run([sys.executable, "-c", child], cwd=sys.path[-1], check=True)
return 1.0
"""
    seller.replace("discount", code.strip())
    printed: list[str] = []
    events = list(seller.run("--max-new-tokens=1", printed=printed))
    assert "".join(printed) == "by hand\n"
    assert len(events) == 4


def test_lines_that_are_no_events_are_passed_over(seller: Seller):
    seller.replace(
        "discount", 'import os\nos.write(3, b\'noise\\n{"event": "token"}\\n{"event": "x"}\\n\')\nreturn 1.0'
    )
    assert len(list(seller.run("--max-new-tokens=1"))) == 4


def test_what_the_recipe_refuses_is_a_usage_error(seller: Seller):
    with pytest.raises(UsageError) as caught:
        list(seller.run("--prompt=refuse"))
    assert (caught.value.message, caught.value.remedy) == ("No such price.", "Ask for another.")
    with pytest.raises(UsageError, match="invalid int value"):
        list(seller.run("--seed=x"))


def test_what_cannot_be_written_is_the_disks_fault(seller: Seller):
    seller.replace(
        "discount", "from toyshop.recipes.events import StorageError\nraise StorageError('No room.', 'Make some.')"
    )
    with pytest.raises(WorkspaceError) as caught:
        list(seller.run())
    assert (caught.value.message, caught.value.remedy, caught.value.exit_code) == ("No room.", "Make some.", 3)


def test_a_stub_is_named_with_its_lesson_and_the_next_command(seller: Seller):
    seller.replace("discount", 'raise NotImplementedError("lesson01 · discount")')
    with pytest.raises(LockedError) as caught:
        list(seller.run())
    assert caught.value.message == "generate needs discount (lesson 01), which is still to be written."
    assert caught.value.remedy == "Write it, then type: intro2llm check discount"


def test_a_missing_file_is_named_with_the_command_that_brings_it(seller: Seller):
    seller.file("prices.py").unlink()
    with pytest.raises(LockedError) as caught:
        list(seller.run())
    assert "toyshop/prices.py (lesson 01)" in caught.value.message
    assert caught.value.remedy == "Type: intro2llm start 01"
    seller.file("recipes/generate.py").unlink()
    with pytest.raises(WorkspaceError) as given:
        list(seller.run())
    assert "toyshop/recipes/generate.py" in given.value.message
    init_workspace(seller.course, seller.workspace)
    assert seller.file("recipes/generate.py").is_file()
    assert given.value.remedy.endswith(f"intro2llm init '{seller.workspace}'")


def test_a_given_file_is_brought_by_the_first_lesson_that_needs_it(tmp_path: Path):
    """Whoever writes a task in the file later: here lesson 05 has a part in what lesson 02 gives."""
    course = load_course(REAL_COURSE)
    workspace = init_workspace(course, tmp_path / "w")
    nothing = LearnerError(type="ModuleNotFoundError", message="")
    event = Failed(kind="missing", message="intro2llm.model.config", error=nothing)
    told = failure(event, course, workspace, "bench")
    assert "intro2llm/model/config.py (lesson 02)" in told.message
    assert told.remedy == "Type: intro2llm start 02"


def test_what_given_code_raises_about_the_learners_is_not_called_theirs(seller: Seller):
    seller.replace("discount", "return 'cheap'")  # f"{'cheap':g}" in the recipe raises ValueError
    with pytest.raises(LearnerFailure, match="ValueError") as caught:
        list(seller.run())
    assert caught.value.given
    assert caught.value.frames[-1].file == "toyshop/recipes/generate.py"


def test_an_argument_that_is_no_text_is_refused(seller: Seller):
    with pytest.raises(UsageError, match="not UTF-8"):
        list(seller.run("--prompt=a\udcffb"))


def test_a_file_with_nul_bytes_is_named(seller: Seller):
    path = seller.file("prices.py")
    path.write_bytes(b"# two\n# lines\n\0" + path.read_bytes())
    with pytest.raises(LearnerFailure, match="null bytes") as caught:
        list(seller.run())
    assert (caught.value.frames[-1].file, caught.value.frames[-1].line) == ("toyshop/prices.py", 3)


def test_an_exception_is_told_with_the_learners_lines(seller: Seller):
    seller.replace("discount", "prices = [price]\nreturn prices[percent]")
    events = seller.run()
    assert isinstance(next(events), Started)
    assert next(events) == Token(text=" 100")
    with pytest.raises(LearnerFailure) as caught:
        list(events)
    assert caught.value.message == "IndexError: list index out of range"
    assert [(frame.file, frame.function, frame.source) for frame in caught.value.frames] == [
        ("toyshop/prices.py", "discount", "return prices[percent]")
    ]


def test_a_syntax_error_is_told_with_its_place(seller: Seller):
    path = seller.file("prices.py")
    path.write_text(path.read_text(encoding="utf-8") + "\ndef broken(:\n", encoding="utf-8")
    with pytest.raises(LearnerFailure, match="SyntaxError") as caught:
        list(seller.run())
    last = caught.value.frames[-1]
    assert (last.file, last.source) == ("toyshop/prices.py", "def broken(:")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os\nos._exit(0)", r"exit code 0"),
        ("import sys\nsys.exit(0)", r"sys\.exit"),
        ("import ctypes\nctypes.string_at(0)", r"segmentation fault"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", r"memory was full"),
        ("return discount(price, percent)", r"RecursionError"),
        ("raise ValueError('\\udc80 half a character')", r"half a character"),
    ],
    ids=["_exit", "exit", "segfault", "killed", "recursion", "surrogate"],
)
def test_every_bad_end_is_told_and_none_is_a_success(seller: Seller, code: str, words: str):
    seller.replace("discount", code)
    with pytest.raises(LearnerFailure, match=words) as caught:
        list(seller.run())
    if "memory" not in words:  # nobody knows where the process was when it was killed
        assert caught.value.frames[-1].file == "toyshop/prices.py"


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is watched through /proc")
def test_memory_beyond_the_machines_is_stopped_and_told(seller: Seller, monkeypatch):
    monkeypatch.setattr("coursecli.recipes.run._machine_memory", lambda: 256 << 20)
    seller.replace("discount", "import time\nkept = bytearray(600 << 20)\ntime.sleep(600)")
    with pytest.raises(LearnerFailure, match="more memory than this machine has"):
        list(seller.run())
