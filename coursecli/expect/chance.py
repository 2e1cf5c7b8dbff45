"""Drawn ids against their probabilities, with a bound on the false-alarm rate."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from coursecli.expect.lookalikes import Lookalikes
from coursecli.expect.outcome import failed, passed
from coursecli.expect.payload import Failure


def expect_distribution(
    samples: Iterable[Any],
    probabilities: Any,
    *,
    what: str,
    lookalikes: Lookalikes = None,
    mistake: str | None = None,
    false_alarm: float = 1e-9,
) -> None:
    """The drawn ids have these probabilities. A right sampler fails with a probability of at most `false_alarm`."""
    counts = Counter(int(sample) for sample in samples)
    wanted = [float(p) for p in probabilities]
    total = sum(counts.values())
    for token, p in enumerate(wanted):
        seen = counts[token]
        if tail(seen, total, p) < false_alarm / (2 * len(wanted)):
            failed(
                Failure(
                    kind="distribution",
                    what=what,
                    summary=f"Id {token} was drawn {seen} times in {total}; its probability is {p:.4g}.",
                    mistake=mistake,
                )
            )
    passed()


def tail(seen: int, total: int, p: float) -> float:
    """The smaller of P(X ≤ seen) and P(X ≥ seen) for a binomial X, bounded from above (Chernoff)."""
    q = seen / total
    divergence = 0.0
    for observed, wanted in ((q, p), (1 - q, 1 - p)):
        if observed > 0:
            divergence += observed * math.log(observed / wanted) if wanted > 0 else math.inf
    return math.exp(-total * divergence)
