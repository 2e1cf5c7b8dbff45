"""The guards of the worker, on modules made up here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from coursecli.check.assignment import Assignment
from coursecli.check.guard import ForbiddenShortcut, Shortcuts, Tools, find
from coursecli.course.manifest import Forbidden

LIBRARY = """
class Layer:
    def __init__(self, size=1):
        self.size = size

    def apply(self):
        return "applied"

def norm(x):
    return x + 1

def uses_norm(x):
    return norm(x)
"""


@pytest.fixture
def library(tmp_path: Path) -> Iterator[ModuleType]:
    """A library, `lib`, loaded from a file of its own."""
    folder = tmp_path / "site" / "lib"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(LIBRARY, encoding="utf-8")
    module = ModuleType("lib")
    module.__file__ = str(folder / "__init__.py")
    exec(compile(LIBRARY, module.__file__, "exec"), module.__dict__)
    sys.modules["lib"] = module
    yield module
    del sys.modules["lib"]


def shortcuts(tmp_path: Path, *names: str, files: list[str] | None = None) -> Shortcuts:
    assignment = Assignment(
        token="",
        root=str(tmp_path / "work"),
        package="pack",
        preload=[],
        scratch="",
        suites=[],
        tasks=[],
        scope=[],
        forbidden=[Forbidden(name=name, reason="Write it.", files=files or []) for name in names],
        guarded_files=["task.py"],
        known_files=["task.py", "given.py"],
        memory_bytes=0,
    )
    made = Shortcuts(assignment)
    made.install()
    return made


def run_as(file: Path, code: str) -> dict:
    """Execute code as if it stood in that file."""
    space: dict = {}
    exec(compile(code, str(file), "exec"), space)
    return space


def test_a_call_from_a_task_file_raises_and_any_other_call_passes(tmp_path: Path, library: ModuleType):
    guard = shortcuts(tmp_path, "lib.norm")
    work = tmp_path / "work" / "pack"
    with pytest.raises(ForbiddenShortcut, match=r"lib\.norm is a shortcut in this lesson: Write it\."):
        run_as(work / "task.py", "import lib; lib.norm(1)")
    assert guard.caught is not None
    with pytest.raises(ForbiddenShortcut):
        run_as(work / "helpers_of_mine.py", "import lib; lib.norm(1)")
    assert library.norm(1) == 2
    for code in ("lib.norm(1)", "lib.uses_norm(1)"):
        run_as(work / "given.py", f"import lib; {code}")
        run_as(tmp_path / "elsewhere.py", f"import lib; {code}")
    run_as(work / "task.py", "import lib; lib.uses_norm(1)")


def test_a_rule_may_be_for_some_files_only(tmp_path: Path, library: ModuleType):
    shortcuts(tmp_path, "lib.norm", files=["given.py"])
    run_as(tmp_path / "work" / "pack" / "task.py", "import lib; lib.norm(1)")
    with pytest.raises(ForbiddenShortcut):
        run_as(tmp_path / "work" / "pack" / "given.py", "import lib; lib.norm(1)")


@pytest.mark.parametrize(
    "code", ["lib.Layer()", "lib.Layer(3)", "type('Mine', (lib.Layer,), {})()", "exec('lib.Layer()')"]
)
def test_a_class_may_not_be_made_nor_inherited_from(tmp_path: Path, library: ModuleType, code: str):
    shortcuts(tmp_path, "lib.Layer")
    with pytest.raises(ForbiddenShortcut):
        run_as(tmp_path / "work" / "pack" / "task.py", f"import lib; {code}")
    assert library.Layer(2).size == 2


def test_a_name_that_this_version_does_not_have_forbids_nothing(tmp_path: Path, library: ModuleType):
    shortcuts(tmp_path, "lib.not_yet", "no_such_library.f")
    assert find("lib.not_yet") is None


def test_a_replaced_function_is_noticed_and_so_is_new_code_in_an_old_one(library: ModuleType):
    tools = Tools(["lib"])
    assert tools.replaced(everything=True) is None
    kept, library.norm = library.norm, lambda x: 0
    assert tools.replaced(everything=False) == "lib.norm"
    library.norm = kept
    assert tools.replaced(everything=True) is None


def test_one_function_of_a_library_in_place_of_another_is_noticed(library: ModuleType):
    tools = Tools(["lib"])
    library.norm = library.uses_norm
    assert tools.replaced(everything=False) == "lib.norm"


def test_a_library_may_wrap_its_own_function_later(library: ModuleType):
    """Importing torch._dynamo does so with torch.manual_seed."""
    tools = Tools(["lib"])
    wrap = "def wrap(norm):\n    def wrapped(x): return norm(x)\n    wrapped.__name__ = 'norm'\n    return wrapped"
    folder = Path(library.__file__ or "").parent
    library.norm = run_as(folder / "later.py", wrap)["wrap"](library.norm)
    assert tools.replaced(everything=True) is None
    library.norm = run_as(folder.parent / "learner.py", wrap)["wrap"](library.norm)
    assert tools.replaced(everything=True) == "lib.norm"


def test_new_names_are_no_replacement(library: ModuleType):
    tools = Tools(["lib"])
    library.added = print
    assert tools.replaced(everything=True) is None
