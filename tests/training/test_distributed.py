"""Several processes make the updates of one process with the big batch, and exchange nothing in vain."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import intro2llm
from intro2llm.data.pretrain_dataset import PretrainDataset
from intro2llm.model.causal_lm import CausalLM
from intro2llm.model.config import ModelConfig
from intro2llm.optimizer.adamw import AdamW
from intro2llm.training.pretrain_trainer import PretrainTrainer
from intro2llm.training.trainer import TrainerConfig
from tests.training_runs import Trainings

ROOT = Path(intro2llm.__file__).parent.parent
HERE = Path(__file__).resolve().parent.parent.parent


class Ragged(PretrainDataset):
    """Windows of which some have more labels than others."""

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        item = super().__getitem__(index)
        item["labels"][: 1 + int(index) % 7] = -100
        return item


class Still:
    """A schedule that changes nothing."""

    def step(self) -> None: ...
    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def trainer(
    kind: type[PretrainTrainer], *, batch_size: int, accumulation: int, updates: int, dropout: float = 0.0
) -> PretrainTrainer:
    """40 windows, a model in float64, AdamW."""
    torch.manual_seed(5)
    config = ModelConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, tie_word_embeddings=True, attention_dropout=dropout,
    )  # fmt: skip
    model = CausalLM(config).double()
    tokens = torch.randint(50, (40 * 9,), generator=torch.Generator().manual_seed(1))
    settings = TrainerConfig(
        max_steps=updates, batch_size=batch_size, gradient_accumulation_steps=accumulation, max_grad_norm=0.5, seed=2
    )
    return kind(model, AdamW(model.parameters(), lr=0.01), Still(), Ragged(tokens, seq_length=9), config=settings)


def train_as_one_of(rank: int, folder: Path) -> None:
    """What each of the two processes does in the test below."""
    import torch.distributed as dist
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

    from intro2llm.training.distributed import Distributed

    class Together(PretrainTrainer, Distributed): ...

    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2)
    for accumulation in (1, 3):
        mine = trainer(Together, batch_size=3, accumulation=accumulation, updates=4)
        exchanges: list[int] = []

        def counted(state, bucket):  # annotations would have to be types, and here they are texts
            exchanges.append(mine.global_step)  # noqa: B023
            return allreduce_hook(state, bucket)

        mine.model.register_comm_hook(None, counted)
        said: list[dict[str, float]] = []
        mine.on_update = said.append  # type: ignore[method-assign]
        mine.train()
        kept = {"model": mine.bare_model.state_dict(), "said": said, "exchanges": exchanges}
        torch.save(kept | {"place": [mine.epoch, mine.windows_seen]}, folder / f"{accumulation}-{rank}.pt")

    settings = {"batch_size": 2, "accumulation": 3, "dropout": 0.3}
    whole = trainer(Together, updates=9, **settings)
    whole.train()
    begun = trainer(Together, updates=4, **settings)
    begun.train()
    kept = copy.deepcopy((begun.bare_model.state_dict(), begun.state_dict()))
    torch.manual_seed(99 + rank)
    resumed = trainer(Together, updates=9, **settings)
    resumed.bare_model.load_state_dict(kept[0])
    resumed.load_state_dict(kept[1])
    resumed.train()
    ends = [each.bare_model.state_dict() for each in (whole, resumed)]
    torch.save([torch.cat([tensor.flatten() for tensor in end.values()]) for end in ends], folder / f"ends-{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_make_the_updates_of_one_with_the_big_batch(tmp_path: Path):
    """Micro-batches are ragged, the epoch's last update is of fewer and smaller ones, and gradients are clipped."""
    script = (
        f"import sys; sys.path[:0] = {[str(ROOT), str(HERE)]!r}; from pathlib import Path;"
        "from tests.training.test_distributed import train_as_one_of;"
        f"train_as_one_of(int(sys.argv[1]), Path({str(tmp_path)!r}))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [subprocess.Popen([sys.executable, "-c", script, str(rank)], env=environment) for rank in range(2)]
    assert [process.wait() for process in processes] == [0, 0]

    for accumulation in (1, 3):
        alone = trainer(PretrainTrainer, batch_size=6 * accumulation, accumulation=1, updates=4)
        expected: list[dict[str, float]] = []
        alone.on_update = expected.append  # type: ignore[method-assign]
        alone.train()
        for rank in range(2):
            found = torch.load(tmp_path / f"{accumulation}-{rank}.pt", weights_only=True)
            for name, tensor in alone.model.state_dict().items():
                torch.testing.assert_close(found["model"][name], tensor, rtol=0, atol=1e-12)
            for said, right in zip(found["said"], expected, strict=True):
                assert said == pytest.approx(right, rel=1e-12)
            assert found["exchanges"] == [0, 1, 2, 3]  # one an update, however many micro-batches it has
            if accumulation == 1:
                assert found["place"] == [alone.epoch, alone.windows_seen]

    for rank in range(2):  # with dropout, and over an epoch's end: bit by bit as if it had never stopped
        whole, resumed = torch.load(tmp_path / f"ends-{rank}.pt", weights_only=True)
        assert torch.equal(whole, resumed)


@pytest.fixture
def trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    return Trainings(tmp_path, monkeypatch)


def test_nproc_trains_saves_and_speaks_once_and_one_process_can_go_on(trainings: Trainings):
    changes = ["--set", "model.attention_dropout=0", "--set", "training.tokens=5000", "--steps", "5"]
    ours, theirs = os.pipe()
    process = trainings.start(
        "--name", "two", "--nproc", "2", "--batch-size", "2", *changes, pass_fds=[theirs], INTRO2LLM_EVENTS=str(theirs)
    )
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        said = [json.loads(line) for line in pipe]
    assert process.wait() == 0, process.communicate()
    assert [event["event"] for event in said].count("training") == 1
    assert [event["step"] for event in said if event["event"] == "saved"] == [2, 4, 5]
    assert said[-1]["event"] == "finished"
    training = next(event for event in said if event["event"] == "training")
    assert (training["processes"], training["tokens_per_step"]) == (2, 2 * 2 * 2 * 32)

    assert trainings("--name", "one", "--batch-size", "4", *changes) == 0
    for of_two, of_one in zip(trainings.metrics("two"), trainings.metrics("one"), strict=True):
        assert of_two == pytest.approx(of_one, rel=1e-3)

    assert trainings.resume("--name", "two", "--steps", "7") == 0
    assert trainings.events("training")[0]["first_step"] == 5
    assert trainings.info("two")["step"] == 7
