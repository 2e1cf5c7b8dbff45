"""The wheel, installed in a fresh environment, outside the repository: the same journey as from a checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git would give away, so that nothing is left behind in the checkout."""
    source = tmp_path_factory.mktemp("source") / "repository"
    ignored = shutil.ignore_patterns(".venv", ".git", "dist", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(REPOSITORY, source, ignore=ignored)
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console script in an environment that has the wheel, and this environment's libraries for the rest."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    here = sysconfig.get_path("purelib")
    site = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    ).stdout.strip()
    # A path file is not read for further path files, so the editable install of this checkout stays out of sight.
    (Path(site) / "libraries.pth").write_text(here + "\n")
    return folder / "bin" / "intro2llm"


def test_the_wheel_installs_one_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
        names = archive.namelist()
    assert {part for part in top if not part.endswith(".dist-info")} == {"coursecli"}
    assert "coursecli/_content/lessons/course.yaml" in names
    assert "coursecli/_content/intro2llm/model/config.py" in names
    assert "coursecli/_content/solutions/model/attention.py" in names
    assert not [name for name in names if "__pycache__" in name]


def test_the_journey_from_the_wheel(program: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("INTRO2LLM", "PYTHON"))}
    environment |= {"INTRO2LLM_CONFIG_DIR": str(tmp_path / "config"), "INTRO2LLM_COLD": "1"}
    workspace = tmp_path / "my llm"

    def run(*words: str, exit_code: int = 0) -> str:
        ended = subprocess.run(
            [str(program), *words],
            cwd=workspace if workspace.is_dir() else tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert ended.returncode == exit_code, f"{words}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
        return ended.stdout + ended.stderr

    run("init", str(workspace), "--unlock", "all")
    run("start", "3")
    assert "not written" in run("check", "3", exit_code=1)
    assert "Hint 1 of 3" in run("hint", "basic-ffn")
    for lesson in ("1", "2", "3"):
        run("solution", lesson, "--instructor", "--apply", "--yes")
    run("check", "3")
    assert "gate_proj" in run("read", "3")
    assert "Foundation" in run("list")
    run("doctor")
