"""Drawn ids against their probabilities, with a bound on the false-alarm rate.

For every id, and for every set of the k most probable ids, the count is binomial. A count is refused when its tail is
less probable than `false_alarm` shared out over all these tests and both sides (the union bound), so a right sampler
fails with a probability of at most `false_alarm`, whatever the distribution and however few the draws.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from coursecli.expect import numeric
from coursecli.expect.lookalikes import Lookalikes, value_of
from coursecli.expect.numeric import Unreadable
from coursecli.expect.outcome import failed, nothing_returned, passed
from coursecli.expect.payload import Cell, Failure, Grid
from coursecli.expect.words import article, brief, listed, plural, type_name

SHOWN = 8
COMPATIBLE = 1e-4
"""A lookalike is named only if its own test, at this level, does not refuse the draws."""


@dataclass(frozen=True)
class _Surprise:
    """One of the tested counts."""

    ids: tuple[int, ...]
    seen: int
    probability: float
    bound: float
    """On the probability that any test of a right sampler looks as bad."""


def expect_distribution(
    samples: Iterable[Any],
    probabilities: Any,
    *,
    what: str,
    lookalikes: Lookalikes = None,
    mistake: str | None = None,
    false_alarm: float = 1e-9,
) -> None:
    """The drawn ids have these probabilities (a sequence by id, or a dict).

    A right sampler is refused with a probability of at most `false_alarm`.
    Lookalikes are distributions: the one under which the draws are most likely is named, if they fit it.
    """
    __tracebackhide__ = True
    wanted = _distribution(probabilities)
    try:
        counts = _count(samples)
    except Unreadable as error:
        failed(_failure(what, f"The samples cannot be read as ids: {error}.", mistake))
    except Exception:
        summary = f"The samples cannot be read as ids: {article(type_name(samples))}."
        failed(_failure(what, summary, mistake, nothing_returned(samples)))
    total = sum(counts.values())
    if not total:
        failed(_failure(what, "Nothing was drawn.", mistake))
    surprises = [surprise for surprise in _surprises(counts, wanted) if surprise.bound < false_alarm]
    if not surprises:
        passed()
        return
    worst = min(surprises, key=lambda surprise: (len(surprise.ids) > 1, surprise.bound))
    impossible = sorted(token for token in counts if not wanted.get(token, 0.0))
    failed(
        Failure(
            kind="distribution",
            what=what,
            summary=_summary(worst, impossible, counts, total),
            facts={
                "draws": f"{total} of {plural(len(counts), 'different id')}",
                "chance of this": f"below {worst.bound:.1g}" if worst.bound else "0",
            },
            diagnosis=_patterns(counts, wanted, impossible),
            grid=_shares(counts, wanted, total),
            mistake=mistake or _likeliest(lookalikes, counts, wanted),
        )
    )


def _distribution(probabilities: Any) -> dict[int, float]:
    """Ids and their probabilities.

    Raises:
        ValueError: they are not probabilities (the test's author should know).
    """
    if isinstance(probabilities, Mapping):
        wanted = {int(token): float(p) for token, p in probabilities.items()}
    else:
        wanted = {token: float(p) for token, p in enumerate(numeric.read(probabilities).data.reshape(-1).tolist())}
    if not math.isclose(sum(wanted.values()), 1.0, abs_tol=1e-3) or min(wanted.values()) < 0:
        raise ValueError(f"these are not probabilities that sum to 1: {brief(wanted)}")
    total = sum(wanted.values())
    return {token: p / total for token, p in wanted.items()}


def _count(samples: Any) -> Counter[int]:
    if numeric.family(samples) in ("tensor", "array", "list"):
        data = numeric.read(samples).data.reshape(-1)
        if data.size and data.dtype.kind not in "iu":
            raise Unreadable(f"they are {data.dtype}, not whole numbers")
        return Counter(data.tolist())
    items = list(samples)
    data = [numeric.read(item).data for item in items]
    if any(item.size != 1 or item.dtype.kind not in "iu" for item in data):
        raise Unreadable("not all of them are whole numbers")
    return Counter(int(item.item()) for item in data)


def _surprises(counts: Counter[int], wanted: dict[int, float]) -> Iterator[_Surprise]:
    """Each id on its own, then the k most probable ids together."""
    total = sum(counts.values())
    order = sorted(wanted, key=lambda token: -wanted[token])
    outside = sum(count for token, count in counts.items() if not wanted.get(token, 0.0))
    if outside:
        yield _Surprise((), outside, 0.0, 0.0)
    for token in order:
        bound = _union_bound(counts[token], total, wanted[token], len(wanted))
        yield _Surprise((token,), counts[token], wanted[token], bound)
    seen, probability = 0, 0.0
    for k, token in enumerate(order, 1):
        seen, probability = seen + counts[token], min(1.0, probability + wanted[token])
        if 1 < k < len(order):
            bound = _union_bound(seen, total, probability, len(wanted))
            yield _Surprise(tuple(order[:k]), seen, probability, bound)


def _union_bound(seen: int, total: int, p: float, ids: int) -> float:
    """`tail` for all the tests: each id and each set of the most probable ids, on both sides."""
    return 4 * ids * tail(seen, total, p)


def tail(seen: int, total: int, p: float) -> float:
    """A bound from above on P(X ≥ seen), or P(X ≤ seen) if that is the smaller side, for X binomial(total, p).

    Beyond the mean, the terms fall at least as fast as a geometric series whose ratio is that of the first two.
    """
    if p <= 0.0 or p >= 1.0:
        return 1.0 if seen == (total if p >= 1.0 else 0) else 0.0
    if seen < total * p:
        seen, p = total - seen, 1.0 - p
    if seen == total:
        return min(1.0, p**total)
    log_term = (
        math.lgamma(total + 1)
        - math.lgamma(seen + 1)
        - math.lgamma(total - seen + 1)
        + seen * math.log(p)
        + (total - seen) * math.log1p(-p)
    )
    ratio = (total - seen) / (seen + 1) * p / (1.0 - p)
    return min(1.0, math.exp(log_term) / (1.0 - ratio)) if ratio < 1.0 else 1.0


def _summary(worst: _Surprise, impossible: list[int], counts: Counter[int], total: int) -> str:
    if impossible:
        drawn = sum(counts[token] for token in impossible)
        ids = f"Id {impossible[0]} has" if len(impossible) == 1 else f"Ids {listed(impossible)} have"
        return f"{ids} probability 0, but came in {plural(drawn, 'draw')} of {total}."
    which = f"Id {worst.ids[0]}" if len(worst.ids) == 1 else f"One of the {len(worst.ids)} most probable ids"
    return f"{which} was drawn {worst.seen} times of {total}; about {total * worst.probability:.4g} are expected."


def _patterns(counts: Counter[int], wanted: dict[int, float], impossible: list[int]) -> list[str]:
    top = max(wanted.values())
    support = [token for token, p in wanted.items() if p > 0]
    if len(counts) == 1:
        (token,) = counts
        most = ", the most probable one: nothing is sampled" if wanted.get(token) == top else ""
        return [f"Only id {token} was ever drawn{most}."] if len(support) > 1 else []
    if not impossible and _fits(counts, dict.fromkeys(support, 1 / len(support))):
        return ["The draws fit a uniform choice: the probabilities have no influence."]
    if _fits(counts, dict.fromkeys(wanted, 1 / len(wanted))):
        return ["The draws fit a uniform choice among all ids."]
    missing = [token for token in support if token not in counts]
    if missing:
        return [f"Never drawn, although possible: {'id' if len(missing) == 1 else 'ids'} {listed(missing)}."]
    return []


def _fits(counts: Counter[int], distribution: dict[int, float]) -> bool:
    return all(surprise.bound >= COMPATIBLE for surprise in _surprises(counts, distribution))


def _likeliest(lookalikes: Lookalikes, counts: Counter[int], wanted: dict[int, float]) -> str | None:
    """The lookalike under which the draws are most likely, if they fit it and it is not the right one."""
    best: tuple[float, str] | None = None
    for mistake, candidate in (lookalikes or {}).items():
        try:
            distribution = _distribution(value_of(candidate))
            ids = {*distribution, *wanted}
            if all(math.isclose(distribution.get(t, 0.0), wanted.get(t, 0.0), abs_tol=1e-6) for t in ids):
                continue
            if not _fits(counts, distribution):
                continue
            likelihood = sum(count * math.log(distribution[token]) for token, count in counts.items())
        except Exception:
            continue
        if best is None or likelihood > best[0]:
            best = (likelihood, mistake)
    return best[1] if best else None


def _shares(counts: Counter[int], wanted: dict[int, float], total: int) -> Grid:
    """How often each id is expected and was drawn, those with the largest gap first."""
    every = sorted({*counts, *wanted}, key=lambda token: (-abs(counts[token] - total * wanted.get(token, 0.0)), token))
    ids = sorted(every[:SHOWN])

    def cell(token: int) -> Cell:
        p = wanted.get(token, 0.0)
        surprising = _union_bound(counts[token], total, p, len(wanted)) < COMPATIBLE
        return Cell(expected=f"{total * p:.1f}".removesuffix(".0"), actual=str(counts[token]), differs=surprising)

    return Grid(
        title="how often each id is drawn" + (f", the {SHOWN} ids with the largest gaps" if len(every) > SHOWN else ""),
        row_labels=[f"id {token}" for token in ids],
        column_labels=["times"],
        rows=[[cell(token)] for token in ids],
    )


def _failure(what: str, summary: str, mistake: str | None, diagnosis: list[str] | None = None) -> Failure:
    return Failure(kind="distribution", what=what, summary=summary, diagnosis=diagnosis or [], mistake=mistake)
