"""The expectation kit: what a lesson's tests call to compare values with an oracle, and to say why they differ.

They are loaded when the first one is asked for: the runner needs only `payload`, and this stands on the way to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coursecli.expect.kit import (
        ExpectationFailed,
        Failure,
        diagnosing,
        expect,
        expect_causal,
        expect_close,
        expect_distribution,
        expect_dtype,
        expect_equal,
        expect_gradient,
        expect_growth,
        expect_raises,
        expect_shape,
        expect_text,
        expect_tokens,
        expect_unchanged,
    )

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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from coursecli.expect import kit

    globals().update({public: getattr(kit, public) for public in __all__})
    return globals()[name]
