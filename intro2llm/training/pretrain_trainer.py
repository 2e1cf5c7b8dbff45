"""Pre-training: predict the next token of running text, with the optimizer that lesson 07 made."""

from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer

from intro2llm.loss.cross_entropy import cross_entropy
from intro2llm.model.causal_lm import CausalLM
from intro2llm.optimizer.adamw import AdamW, configure_parameter_groups
from intro2llm.optimizer.lion import Lion
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer
from intro2llm.training.trainer import Batch, Trainer
from intro2llm.utils.hf_config import read_config
from intro2llm.utils.hf_weights import check_layout, load_weights, read_layout
from intro2llm.utils.model_folder import write_model


def build_optimizer(
    model: CausalLM,
    *,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float],
    optimizer: Literal["adamw", "lion"] = "adamw",
) -> Optimizer:
    """The optimizer of a run, over the two groups of `configure_parameter_groups`: only matrices decay.

    Args:
        lr, weight_decay, betas: as for `AdamW` and `Lion`; everything else is left at their defaults.
        optimizer: which of the two.

    Raises:
        ValueError: `optimizer` is neither. The message contains it.
    """
    raise NotImplementedError("lesson08 · build_optimizer")


class PretrainTrainer(Trainer):
    """Trains a `CausalLM` on windows of a `PretrainDataset`.

    Args:
        tokenizer: with it, every checkpoint is also a model folder, which `generate` can use. Without it, only
            the weights are kept. The other arguments are those of `Trainer`.
    """

    def __init__(self, *args: Any, tokenizer: BaseTokenizer | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tokenizer = tokenizer

    def compute_loss(self, batch: Batch) -> tuple[Tensor, int]:
        """The cross-entropy of every next token, summed (`cross_entropy` with reduction "sum").

        Labels stand where their tokens stand, so the one shift is made here: the logits at place t are compared with
        the label at place t + 1. The first label and the last logits are compared with nothing. The model is called as
        `self.model(input_ids)`, so that a wrapper around it takes part.

        Args:
            batch: "input_ids" and "labels", each (B, T), int64; a label of -100 is no prediction. Nothing is changed.

        Returns:
            The sum, in nats, with its graph; and how many predictions it is the sum of, an int: those that were
            compared and are not -100.
        """
        raise NotImplementedError("lesson08 · PretrainTrainer.compute_loss")

    def write_model(self, folder: Path) -> None:
        """Write a model folder (with a tokenizer), or the weights alone (without)."""
        if self.tokenizer is None:
            super().write_model(folder)
            return
        model = self.bare_model
        write_model(folder, model.config, dict(model.named_parameters(remove_duplicate=False)), self.tokenizer)

    def read_model(self, folder: Path) -> None:
        """Read into `bare_model` what `write_model` wrote.

        Raises:
            CheckpointError: the folder holds another kind of model.
        """
        if not (folder / "config.json").is_file():
            super().read_model(folder)
            return
        config = read_config(folder / "config.json")
        check_layout(read_layout(folder), self.bare_model.config, folder)
        load_weights(self.bare_model, config, folder)
