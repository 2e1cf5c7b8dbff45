"""Temporary files of a check: two checks at once do not tidy each other's away, and nothing is left behind.

Pytest's usual place, one folder for all sessions of a user, is emptied at the end of each session: of those that still
run as well, when nothing is to be kept.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coursecli.check.template import open_template
from tests.checking import Shop, only

SUITE = '''

@pytest.mark.task("average")
def test_files_stay(tmp_path):
    """A file that was written is still there."""
    import time
    from pathlib import Path

    average([2.0, 4.0])
    for number in range(20):
        (tmp_path / str(number)).write_text("x")
        time.sleep(0.02)
    expect_equal(len(list(tmp_path.iterdir())), 20, what="the files of this test")
'''


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize("cold", [True, False], ids=["cold", "warm"])
def test_each_run_has_its_own_and_leaves_none(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cold: bool):
    usual, seen = tmp_path / "usual", tmp_path / "seen"
    usual.mkdir()
    monkeypatch.setenv("TMPDIR", str(usual))
    monkeypatch.setattr(tempfile, "tempdir", str(usual))
    suite = shop.course.lesson("1").suites[0]
    suite.write_text(suite.read_text(encoding="utf-8") + SUITE, encoding="utf-8")
    note = f"import tempfile\nwith open({str(seen)!r}, 'a') as file:\n    file.write(tempfile.mkdtemp() + '\\n')\n"
    roots = [shop.package(average=note + "return sum(prices) / len(prices)") for _ in range(6)]
    with open_template(shop.course, cold=cold) as template, ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda root: shop.check(root, workers=template, tasks={"average"}), roots))
    assert [only(result, "test_files_stay").outcome for result in results] == ["passed"] * 6
    made = {Path(line) for line in seen.read_text(encoding="utf-8").splitlines()}
    assert {path.is_relative_to(usual) for path in made} == {True}
    assert len({path.parent for path in made}) == 6
    assert list(usual.iterdir()) == []
