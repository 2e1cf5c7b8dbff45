"""From tokenised documents to training windows: packing, an order for every epoch, and where documents begin and end.

Letters: B batch, T tokens of a window, N tokens of the corpus. Where the tokens come from (a list, a file mapped into
memory) is not decided here.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor


def pack_documents(documents: Iterable[Sequence[int]], *, eos_token_id: int) -> Tensor:
    """Write documents one after the other, and an eos behind each of them, the last one too.

    So the packing of some documents, followed by the packing of others, is the packing of all of them: a corpus can be
    packed in pieces. An empty document leaves no trace, not even an eos.

    Args:
        documents: the ids of each document, without special tokens, in any kind of sequence.
        eos_token_id: the id that ends a document.

    Returns:
        (N,), int64; with no documents at all, (0,).

    Raises:
        ValueError: a document contains `eos_token_id` already, so that it would end twice. The message contains the
            document's place, counted from 0.

    Example: documents [5, 6, 7] and [8], eos 0: ``[5, 6, 7, 0, 8, 0]``.
    """
    raise NotImplementedError("lesson06 · pack_documents")


class PretrainDataset:
    """Windows of T = `seq_length` tokens out of one long row of tokens, for a `torch.utils.data.DataLoader`.

    Window i holds the tokens i · T to (i + 1) · T - 1: windows do not overlap, and documents may run over from one into
    the next. Every token is in exactly one window, but for the last N mod T tokens, which are in none.

    Args:
        tokens: N ids, one-dimensional: a tensor, or a NumPy array of any integer dtype, which may be a file mapped into
            memory. Only `len(tokens)` and slices `tokens[a:b]` are used, and a window reads its own slice only.
        seq_length: T, 2 or more: a window of one token asks for no prediction.

    Raises:
        ValueError: `seq_length` is less than 2.
    """

    def __init__(self, tokens: Tensor | np.ndarray, *, seq_length: int) -> None:
        raise NotImplementedError("lesson06 · PretrainDataset.__init__")

    def __len__(self) -> int:
        """How many windows there are; 0 if there are fewer than T tokens."""
        raise NotImplementedError("lesson06 · PretrainDataset.__len__")

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Window `index`, counted from 0: an int, or a tensor without axes, as `epoch_order` holds them.

        Returns:
            "input_ids": (T,), int64. "labels": (T,), int64, the same ids at the same places: `CausalLM` compares the
            logits at place t with the label at place t + 1, so nothing is shifted here. Both are tensors of their own:
            writing into one changes neither the other nor the corpus.

        Raises:
            IndexError: `index` is negative, or not below `len(self)`. (Without it, a `for` loop over the dataset would
                never end.)
        """
        raise NotImplementedError("lesson06 · PretrainDataset.__getitem__")


def epoch_order(num_windows: int, *, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch visits the windows: each exactly once.

    It depends on the three arguments and on nothing else: not on the random state of the process, which it does not
    touch either. So a run that stopped can find its place again. Another seed or another epoch gives an unrelated
    order: also (seed 1, epoch 0) and (seed 0, epoch 1).

    Args:
        num_windows: 0 or more. seed, epoch: integers of 0 or more.

    Returns:
        (num_windows,), int64, a permutation of 0 … num_windows - 1, all of them equally likely. It can be the
        `sampler` of a DataLoader.
    """
    raise NotImplementedError("lesson06 · epoch_order")


def document_positions(input_ids: Tensor, *, eos_token_id: int) -> Tensor:
    """The position of each token in its own document, for `CausalLM(position_ids=…)`.

    A document ends with its eos. What stands behind an eos begins a new document, at position 0; so does each window,
    as it does not know how much of its first document came before.

    Args:
        input_ids: (B, T), ids. They are not changed.

    Returns:
        (B, T), int64.

    Example: with eos 0, [5, 6, 0, 7, 8] gives [0, 1, 2, 0, 1].
    """
    raise NotImplementedError("lesson06 · document_positions")


def document_mask(input_ids: Tensor, *, eos_token_id: int) -> Tensor:
    """Which token may attend to which, when no token may look into another document, or into its future.

    A token may attend to itself and to the tokens before it that belong to the same document; an eos belongs to the
    document that it ends.

    Args:
        input_ids: (B, T), ids.

    Returns:
        (B, 1, T, T), bool, True = may attend, queries by keys; the 1 stands for all heads.
    """
    raise NotImplementedError("lesson06 · document_mask")
