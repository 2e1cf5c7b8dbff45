"""The given half of utils/checkpoint.py: whole or not at all, damage is noticed, and no code in a file is run."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import intro2llm
from intro2llm.utils.checkpoint import (
    MANIFEST,
    STATE,
    checkpoint_step,
    is_valid_checkpoint,
    latest_checkpoint,
    list_checkpoints,
    new_checkpoint,
    read_manifest,
    read_state,
    verify_checkpoint,
    write_state,
)
from intro2llm.utils.errors import CheckpointError, WriteError


def save(folder: Path, step: int = 1) -> None:
    with new_checkpoint(folder) as partial:
        (partial / "tokenizer").mkdir()
        (partial / "tokenizer" / "vocab.json").write_text("{}\n")
        (partial / "model.safetensors").write_bytes(bytes(range(256)) * 40)
        write_state({"step": step, "average": torch.arange(50.0)}, partial)


def test_a_checkpoint_can_be_read_again(tmp_path: Path) -> None:
    save(tmp_path / "step-000007", step=7)
    verify_checkpoint(tmp_path / "step-000007")
    state = read_state(tmp_path / "step-000007")
    assert state["step"] == 7
    assert torch.equal(state["average"], torch.arange(50.0))
    manifest = read_manifest(tmp_path / "step-000007")
    assert set(manifest["files"]) == {"model.safetensors", "tokenizer/vocab.json", STATE}
    assert manifest["threads"] == torch.get_num_threads()
    assert [path.name for path in tmp_path.iterdir()] == ["step-000007"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer/vocab.json", STATE])
@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "remove"])
def test_damage_to_any_file_is_noticed(name: str, damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "step-000001"
    save(folder)
    file = folder / name
    content = file.read_bytes()
    if damage == "remove":
        file.unlink()
    else:
        flipped = bytes([content[0] ^ 4]) + content[1:]
        file.write_bytes({"flip": flipped, "cut": content[:-1], "grow": content + b"\0"}[damage])
    assert not is_valid_checkpoint(folder)
    with pytest.raises(CheckpointError) as caught:
        verify_checkpoint(folder)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("manifest", ["", "{", "[]", "3", '{"files": 3}', '{"files": {}}', '{"file": {}}', '"\\u0000"'])
def test_a_manifest_that_is_none_is_refused(manifest: str, tmp_path: Path) -> None:
    save(tmp_path / "step-000001")
    (tmp_path / "step-000001" / MANIFEST).write_text(manifest)
    with pytest.raises(CheckpointError, match=MANIFEST):
        verify_checkpoint(tmp_path / "step-000001")
    (tmp_path / "step-000001" / MANIFEST).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match=MANIFEST):
        verify_checkpoint(tmp_path / "step-000001")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch exploded",)


def test_no_code_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / STATE).write_bytes(pickle.dumps({"state": Bomb()}, protocol=2))
    with pytest.raises(CheckpointError, match=STATE):
        read_state(tmp_path)
    torch.save({"state": Bomb()}, tmp_path / STATE)
    with pytest.raises(CheckpointError, match="plain data"):
        read_state(tmp_path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 no archive either"])
def test_a_state_that_is_none_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_state(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / STATE).unlink()
    with pytest.raises(CheckpointError, match=STATE):
        read_state(tmp_path)


def test_what_cannot_be_read_again_is_not_saved(tmp_path: Path) -> None:
    save(tmp_path / "step-000001", step=1)
    with pytest.raises(CheckpointError, match="plain data"), new_checkpoint(tmp_path / "step-000002") as partial:
        write_state({"path": Path("somewhere")}, partial)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_an_error_while_writing_leaves_the_old_one(tmp_path: Path) -> None:
    save(tmp_path / "step-000001", step=1)
    with pytest.raises(WriteError, match=r"step-000001: .*No space left"):
        with new_checkpoint(tmp_path / "step-000001") as partial:
            (partial / "model.safetensors").write_bytes(b"half a mod")
            raise OSError(28, "No space left on device")
    assert read_state(tmp_path / "step-000001")["step"] == 1
    verify_checkpoint(tmp_path / "step-000001")
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_a_file_in_the_way_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("notes\n")
    with pytest.raises(CheckpointError):
        save(tmp_path / "checkpoints" / "step-000001")
    assert (tmp_path / "checkpoints").read_text() == "notes\n"


SAVER = """
import sys
from pathlib import Path
import torch
from intro2llm.utils.checkpoint import checkpoint_name, new_checkpoint, prune_checkpoints, write_state
folder, step = Path(sys.argv[1]), int(sys.argv[2])
while True:
    step += 1
    with new_checkpoint(folder / checkpoint_name(step)) as partial:
        (partial / "model.safetensors").write_bytes(bytes([step % 256]) * 200_000)
        write_state({"step": step, "average": torch.full((5000,), float(step))}, partial)
    prune_checkpoints(folder / checkpoint_name(step), keep=2)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_killed_anywhere_a_whole_checkpoint_is_left(tmp_path: Path) -> None:
    """Kill -9 at three moments after the first save: the last checkpoint is whole each time."""
    root, step = Path(intro2llm.__file__).parents[1], 0
    for attempt in range(3):
        process = subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path), str(step)], cwd=root)
        while not any(checkpoint_step(saved) > step for saved in list_checkpoints(tmp_path)):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.019 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        latest = latest_checkpoint(tmp_path)
        assert latest == list_checkpoints(tmp_path)[-1]  # an older one may be half removed
        assert latest is not None
        assert read_state(latest)["step"] == checkpoint_step(latest) > step
        step = read_state(latest)["step"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_an_error_of_writing(tmp_path: Path) -> None:
    save(tmp_path / "step-000001")
    with pytest.raises(WriteError) as caught, new_checkpoint(tmp_path / "step-000002") as partial:
        (partial / STATE).symlink_to("/dev/full")
        write_state({"average": torch.zeros(10_000)}, partial)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]
