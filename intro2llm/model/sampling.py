"""From logits to the next token: what makes a model's distribution over the vocabulary into one choice.

Letters: B texts side by side, S tokens written so far, V vocabulary.

Every function takes the logits of one position in each text, (B, V), treats each text by itself, changes none of its
inputs, and knows nothing of the model that the logits came from.
"""

import torch
from torch import Tensor


def apply_repetition_penalty(
    logits: Tensor, input_ids: Tensor, penalty: float, *, attention_mask: Tensor | None = None
) -> Tensor:
    """Make every token that the text already contains less likely (penalty > 1), or more likely (penalty < 1).

    A logit above zero is divided by the penalty, a logit below zero multiplied by it: both move down when the penalty
    is above 1. A token is penalised once, however often it occurs. With penalty 1 nothing changes.

    Source: Keskar et al. 2019, "CTRL", arXiv 1909.05858, section 4.1; the rule for negative logits is the one that came
    into use later, since dividing a negative logit would raise it.

    Args:
        logits: (B, V), any floating dtype.
        input_ids: (B, S), the tokens of each text so far, the prompt included.
        penalty: above 0.
        attention_mask: (B, S), 1 or True for a token, 0 or False for padding, which does not count as part of the text.

    Returns:
        (B, V), in the dtype of `logits`.

    Raises:
        ValueError: `penalty` is not above 0.
    """
    raise NotImplementedError("lesson04 · apply_repetition_penalty")


def filter_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k largest logits of each row and set the others to minus infinity.

    With k = V or more, nothing changes. When several tokens tie for the k-th place it is left open which of them stay,
    and whether all do.

    Source: Fan et al. 2018, "Hierarchical Neural Story Generation", arXiv 1805.04833.

    Args:
        logits: (B, V), any floating dtype.
        k: at least 1.

    Returns:
        (B, V), in the dtype of `logits`.

    Raises:
        ValueError: `k` is below 1.
    """
    raise NotImplementedError("lesson04 · filter_top_k")


def filter_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the most likely tokens of each row that together reach probability p, and set the others to minus infinity.

    The kept set ("nucleus") is the smallest one whose probability is at least p: tokens are taken from the most likely
    down until their sum reaches p, and the token with which it does so is taken too. So at least one always stays. The
    probabilities are the softmax of `logits` as they are given (minus infinity is probability 0), computed in float32
    (float64 stays float64). With p = 1 nothing changes. When tokens tie it is left open which of them stay.

    Source: Holtzman et al. 2019, "The Curious Case of Neural Text Degeneration", arXiv 1904.09751, section 3.1.

    Args:
        logits: (B, V), any floating dtype, in any order.
        p: above 0 and at most 1.

    Returns:
        (B, V), in the dtype of `logits`; what stays has its place and its value.

    Raises:
        ValueError: `p` is not above 0, or is above 1.
    """
    raise NotImplementedError("lesson04 · filter_top_p")


def sample_next_token(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose one token for each row.

    In this order: divide the logits by the temperature, keep the top k, keep the nucleus p of what is left, draw from
    the softmax of that. So the nucleus is that of the distribution which is drawn from. At temperature 0 no draw is
    made: the largest logit wins, whatever the other options are. Probabilities are computed in float32 (float64 stays).

    Args:
        logits: (B, V), any floating dtype.
        temperature: 0 or more. Below 1 the likely tokens become likelier still, above 1 the differences shrink.
        top_k: as for `filter_top_k`; None means no such limit.
        top_p: as for `filter_top_p`; None means no such limit.
        generator: where the randomness comes from, on the device of `logits`; None is torch's default. No function of
            this module sets a seed.

    Returns:
        (B,), int64: an id for each row, drawn independently of the other rows.

    Raises:
        ValueError: `temperature` is below 0, or `top_k` or `top_p` is outside its range.
    """
    raise NotImplementedError("lesson04 · sample_next_token")
