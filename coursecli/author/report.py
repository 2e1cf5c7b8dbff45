"""What `dev sync` and `dev check` found, on the screen: faults as they come, the figures of every lesson at the end."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.status import Status
from rich.table import Table
from rich.text import Text

from coursecli.author.prove import LessonProof, Verdict
from coursecli.author.sync import Drift
from coursecli.render.console import clean

DRIFT_WORDS = {
    "missing": "the stub is missing",
    "stale": "the stub is not what the reference says",
    "unlisted": "no task of any lesson.yaml lists this file, so it has no stub",
}


def drift_line(drift: Drift, *, written: bool) -> Text:
    done = written and drift.reason != "unlisted"
    return clean(f"{'wrote' if done else '✗'} {drift.file}{'' if done else f': {DRIFT_WORDS[drift.reason]}'}")


class ProofProgress:
    """A listener for `prove`: counts the runs, and prints those that did not come out as they must."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = console.status("proving …") if console.is_terminal else None
        self._runs = 0

    def __enter__(self) -> ProofProgress:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    def __call__(self, verdict: Verdict) -> None:
        self._runs += 1
        lesson = verdict.lesson.partition("_")[0]
        if not verdict.ok:
            what = Text.assemble(("✗ ", "bad"), clean(f"{lesson} · {verdict.kind} · "), clean(verdict.name, "title"))
            self._console.print(what + clean(f": {verdict.detail}" if verdict.detail else ""))
        if self._status:
            self._status.update(f"proving {lesson} · {self._runs} runs")


def proof_summary(proofs: list[LessonProof]) -> RenderableType:
    """Per lesson: its tests, the reference and the stubs, mistakes caught and named, alternatives accepted."""
    table = Table(box=None, pad_edge=False)
    table.add_column("lesson")
    for heading in ("tests", "reference", "stubs", "mistakes caught", "and named", "alternatives accepted"):
        table.add_column(heading, justify="right", no_wrap=True)
    for proof in proofs:
        mistakes, alternatives = proof.of("mistake"), proof.of("alternative")
        table.add_row(
            proof.lesson.partition("_")[0],
            str(proof.tests),
            _word(proof.of("reference"), "passes", "FAILS"),
            _word(proof.of("stubs"), "all fail", "PASS"),
            _share(sum(verdict.caught for verdict in mistakes), len(mistakes)),
            _share(sum(verdict.ok for verdict in mistakes), len(mistakes)),
            _share(sum(verdict.ok for verdict in alternatives), len(alternatives)),
        )
    faults = sum(not verdict.ok for proof in proofs for verdict in proof.verdicts)
    runs = sum(len(proof.verdicts) for proof in proofs)
    outcome = f"{faults} did not come out as they must" if faults else "all as they must be"
    return Group(table, Text(f"{runs} proofs, {outcome}."))


def _word(verdicts: list[Verdict], good: str, bad: str) -> str:
    if not verdicts:
        return "not run"
    return good if all(verdict.ok for verdict in verdicts) else bad


def _share(count: int, total: int) -> str:
    return f"{count} of {total}" if total else "not run"
