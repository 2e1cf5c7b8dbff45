"""Fixtures for the tests of `check`."""

from pathlib import Path

import pytest

from tests.checking import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)
