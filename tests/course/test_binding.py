"""Plain pytest in this repository binds the reference or a learner's workspace, and says which; never the stubs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coursecli.course.catalogue import load_course
from coursecli.course.scaffold import init_workspace

REPOSITORY = Path(__file__).resolve().parents[2]
PROBE = 'import intro2llm\n\n\ndef test_probe():\n    print("\\nbound:", intro2llm.__file__)\n'


def plain_pytest(probe: Path, *, cwd: Path = REPOSITORY, **environment: str) -> str:
    """What `python -m pytest PROBE` prints, with the repository's configuration and conftest."""
    probe.write_text(PROBE)
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "-c", str(REPOSITORY / "pyproject.toml")]
    command += ["--rootdir", str(REPOSITORY), "-p", "conftest", str(probe)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    return tmp_path / "test_probe.py"


def test_without_a_word_the_reference_is_bound(probe: Path) -> None:
    """Run in the repository, where the stubs are in the current directory and on the path."""
    output = plain_pytest(probe)
    assert "intro2llm: the reference: given files with the solutions laid over them" in output
    (bound,) = (line.removeprefix("bound: ") for line in output.splitlines() if line.startswith("bound: "))
    assert not Path(bound).is_relative_to(REPOSITORY)
    assert "1 passed" in output
    assert not Path(bound).exists()  # the temporary folder is gone


def test_a_workspace_is_bound_on_request(probe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTRO2LLM_CONFIG_DIR", str(tmp_path / "config"))
    workspace = init_workspace(load_course(REPOSITORY / "lessons"), tmp_path / "mein modell")
    output = plain_pytest(probe, INTRO2LLM_WORKSPACE=str(workspace.root))
    assert "intro2llm: the workspace" in output
    assert f"bound: {workspace.package / '__init__.py'}" in output


def test_a_folder_that_is_no_workspace_is_refused(probe: Path, tmp_path: Path) -> None:
    output = plain_pytest(probe, INTRO2LLM_WORKSPACE=str(tmp_path))
    assert f"{tmp_path} is not a workspace." in output
    assert "passed" not in output


def test_a_package_that_is_loaded_already_is_refused(probe: Path, tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text("import intro2llm\n")
    output = plain_pytest(probe, PYTEST_PLUGINS="early", PYTHONPATH=f"{REPOSITORY}{os.pathsep}{tmp_path}")
    assert "Nothing was run." in output
    assert "passed" not in output


def test_every_process_of_a_parallel_run_binds_the_reference(probe: Path) -> None:
    pytest.importorskip("xdist")
    output = plain_pytest(probe, PYTEST_ADDOPTS="-n 1")
    assert "intro2llm: the reference" in output
    assert "1 passed" in output
