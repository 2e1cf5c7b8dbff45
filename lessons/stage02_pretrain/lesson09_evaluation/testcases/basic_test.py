"""First contact with lesson 09: one figure worked by hand."""

import pytest

from coursecli.expect import expect_close
from intro2llm.evaluation.humaneval import pass_at_k


@pytest.mark.task("pass-at-k")
def test_pass_at_k_worked_example() -> None:
    """Of five samples two are right: a pair of them contains a right one in 7 of 10 cases."""
    expect_close(pass_at_k(5, 2, 2), 0.7, what="pass@2 of five samples, two of them right")
