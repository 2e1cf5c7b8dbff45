"""All expectations in one import, with torch's functions taken: the worker does this before any learner's code runs."""

from coursecli.expect.causal import expect_causal
from coursecli.expect.chance import expect_distribution
from coursecli.expect.close import expect_close, expect_dtype, expect_shape
from coursecli.expect.exact import expect_equal, expect_text, expect_tokens
from coursecli.expect.gradient import expect_gradient
from coursecli.expect.growth import expect_growth
from coursecli.expect.numeric import torch_parts
from coursecli.expect.outcome import ExpectationFailed
from coursecli.expect.payload import Failure
from coursecli.expect.statements import diagnosing, expect, expect_raises, expect_unchanged

torch_parts()

__all__ = [
    "ExpectationFailed",
    "Failure",
    "diagnosing",
    "expect",
    "expect_causal",
    "expect_close",
    "expect_distribution",
    "expect_dtype",
    "expect_equal",
    "expect_gradient",
    "expect_growth",
    "expect_raises",
    "expect_shape",
    "expect_text",
    "expect_tokens",
    "expect_unchanged",
]
