"""The rest of lesson 09."""

import pytest

from coursecli.expect import expect_close
from intro2llm.evaluation.humaneval import pass_at_k


@pytest.mark.task("pass-at-k")
def test_pass_at_k_without_a_right_sample() -> None:
    """Without a right sample the estimate is 0."""
    expect_close(pass_at_k(200, 0, 10), 0.0, what="pass@10 of 200 wrong samples")
