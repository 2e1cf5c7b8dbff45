"""What the tests of the kit share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from coursecli.expect import ExpectationFailed, Failure


@pytest.fixture(scope="session")
def failure_of() -> Callable[..., Failure]:
    """Run an expectation that must fail, and hand back what it says."""

    def run(expectation: Callable[..., Any], *args: Any, what: str = "the value", **options: Any) -> Failure:
        with pytest.raises(ExpectationFailed) as caught:
            expectation(*args, what=what, **options)
        return caught.value.payload

    return run
