"""An import that fails, is interrupted or killed leaves nothing half written, and loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from intro2llm.recipes import import_hf
from intro2llm.recipes.events import RecipeError
from intro2llm.utils.errors import CheckpointError
from intro2llm.utils.model_folder import find_run
from intro2llm.utils.new_folder import new_folder
from tests.published import PACKAGE, everything


def test_an_error_or_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    for error in (KeyboardInterrupt, OSError):
        with pytest.raises(error), new_folder(tmp_path / "target") as partial:
            (partial / "file").write_text("half")
            assert partial.parent == tmp_path
            raise error
        assert list(tmp_path.iterdir()) == []


def test_who_comes_second_does_not_overwrite(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is there already"), new_folder(tmp_path / "target") as partial:
        (partial / "file").write_text("second")
        (tmp_path / "target").mkdir()
        (tmp_path / "target" / "file").write_text("first")
    assert everything(tmp_path) == {str(tmp_path / "target" / "file"): 5}


@pytest.mark.skipif(os.name == "nt", reason="not cleared up there")
def test_what_a_process_of_the_same_number_left_is_not_taken_for_work(tmp_path: Path) -> None:
    """In a container the first process has the same number each time."""
    left = tmp_path / f".target.{os.getpid()}.replaced"
    left.mkdir()
    (left / "file").write_text("before")
    with pytest.raises(CheckpointError, match="is there already"), new_folder(tmp_path / "target"):
        pass
    assert everything(tmp_path) == {str(tmp_path / "target" / "file"): 6}


KILLED = """
import os, signal, sys
from intro2llm.recipes import import_hf
from intro2llm.utils import model_folder
write = model_folder.save_weights
def save_weights(*arguments, **options):
    write(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
model_folder.save_weights = save_weights
import_hf.main(sys.argv[1:])
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_import_leaves_no_run_and_the_next_one_cleans_up(published: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-c", KILLED, str(published)], env=environment, capture_output=True)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    (left,) = Path("runs").iterdir()
    assert (left / "model.safetensors").is_file()
    with pytest.raises(CheckpointError, match="has no run"):
        find_run(Path("runs"), left.name)
    import_hf.main([str(published)])
    assert [path.name for path in Path("runs").iterdir()] == ["published"]


KILLED_WHILE_REPLACING = """
import os, signal, sys
from pathlib import Path
from intro2llm.recipes import import_hf
rename, calls = Path.rename, []
def killing(self, target):
    calls.append(target)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
Path.rename = killing
import_hf.main([*sys.argv[1:], "--force"])
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_run_that_was_giving_way_comes_back(published: Path) -> None:
    import_hf.main([str(published)])
    before = Path("runs/published/model.safetensors").read_bytes()
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED_WHILE_REPLACING, str(published)]
    ran = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert not Path("runs/published").exists()
    with pytest.raises(RecipeError, match="is there already"):
        import_hf.main([str(published)])
    assert Path("runs/published/model.safetensors").read_bytes() == before
    assert [path.name for path in Path("runs").iterdir()] == ["published"]


FULL = """
import resource, sys
from intro2llm.recipes import import_hf
from intro2llm.recipes.events import run_by_hand
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
run_by_hand(lambda _: import_hf.main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
def test_a_disk_that_fills_up_is_one_line(published: Path) -> None:
    assert (published / "model.safetensors").stat().st_size > 60_000
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(published)], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode not in (0, -signal.SIGKILL)
    assert "model.safetensors: cannot be written: " in ran.stderr
    assert "Traceback" not in ran.stderr
    assert list(Path("runs").iterdir()) == []
