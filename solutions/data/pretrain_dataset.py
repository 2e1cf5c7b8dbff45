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
    ids: list[int] = []
    for place, document in enumerate(documents):
        if eos_token_id in document:
            raise ValueError(f"document {place} contains the eos id {eos_token_id}: encode without special tokens")
        if len(document) > 0:
            ids.extend(document)
            ids.append(eos_token_id)
    return torch.tensor(ids, dtype=torch.int64)


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
        if seq_length < 2:
            raise ValueError(f"seq_length is {seq_length}: a window needs two tokens or more")
        self.tokens = tokens
        self.seq_length = seq_length

    def __len__(self) -> int:
        """How many windows there are; 0 if there are fewer than T tokens."""
        return len(self.tokens) // self.seq_length

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
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        start = int(index) * self.seq_length
        window = np.asarray(self.tokens[start : start + self.seq_length])
        input_ids = torch.from_numpy(window.astype(np.int64))  # (T,); astype makes a copy
        return {"input_ids": input_ids, "labels": input_ids.clone()}


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
    order = np.random.default_rng([seed, epoch]).permutation(num_windows)
    return torch.from_numpy(order.astype(np.int64))


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
    begins = torch.ones_like(input_ids, dtype=torch.bool)
    begins[:, 1:] = input_ids[:, :-1] == eos_token_id
    places = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)  # (B, T)
    beginnings = torch.where(begins, places, 0).cummax(dim=1).values  # where the token's document begins
    return places - beginnings


def document_mask(input_ids: Tensor, *, eos_token_id: int) -> Tensor:
    """Which token may attend to which, when no token may look into another document, or into its future.

    A token may attend to itself and to the tokens before it that belong to the same document; an eos belongs to the
    document that it ends.

    Args:
        input_ids: (B, T), ids.

    Returns:
        (B, 1, T, T), bool, True = may attend, queries by keys; the 1 stands for all heads.
    """
    ended = (input_ids == eos_token_id).long()
    document = ended.cumsum(dim=1) - ended  # (B, T), how many documents ended before this token
    same = document[:, :, None] == document[:, None, :]  # (B, T, T)
    return same.tril()[:, None]
