"""`Yard`: a workspace of the toy course with a background process of its own, of which nothing is left afterwards."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from coursecli.check.results import CheckResult
from coursecli.check.waiting import Kind
from coursecli.warm import background, place
from coursecli.warm.background import Background
from tests.checking import Shop, marked, wait_until

STARTS_SECONDS = 60.0


@dataclass
class Yard:
    shop: Shop
    mark: str
    workspace: Path
    made: list[Background] = field(default_factory=list)

    def background(self, kind: Kind = "forks", **options: Any) -> Background:
        made = Background(self.shop.course, self.workspace, kind=kind, **options)
        self.made.append(made)
        return made

    def ready(self, kind: Kind = "forks", **options: Any) -> Background:
        """A background process that waits for checks."""
        made = self.background(kind, **options)
        assert made.hold(STARTS_SECONDS)
        made.release()
        return made

    @property
    def record(self) -> place.Record:
        found = place.current(self.workspace)
        assert found is not None
        return found

    def asked(self) -> int:
        """How many checks the background process has been asked for."""
        said = background.status(self.record)
        assert said is not None
        return said.checks

    def check(self, workers: Background | None, root: Path, **options: Any) -> CheckResult:
        return self.shop.check(root, workers=workers, **options)


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for sockets, apart from the user's own. Its path is short."""
    folder = Path(tempfile.mkdtemp(prefix="w-"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def yard(tmp_path: Path, private: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    mark = f"mark-{uuid.uuid4().hex}"
    monkeypatch.setenv("YARD_MARK", mark)
    workspace = tmp_path / "my shop"
    (workspace / ".intro2llm").mkdir(parents=True)
    made = Yard(Shop(tmp_path, test_seconds=1.0), mark, workspace)
    yield made
    for one in made.made:
        one.release()
    for record in place.everywhere():
        assert background.stop(record)
    assert wait_until(lambda: not marked(mark)), "a background process was left behind"
