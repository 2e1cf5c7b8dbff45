"""A published model in a workspace of its own.

The package is imported inside the fixtures: this file is read before it is decided which package the tests bind.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer


@pytest.fixture
def tokenizer() -> ByteLevelTokenizer:
    from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer

    tokenizer = ByteLevelTokenizer()
    tokenizer.train(["the cat sat on the mat, the hat, that bat"] * 3, 280)
    return tokenizer


@pytest.fixture
def published(tmp_path: Path, tokenizer: ByteLevelTokenizer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that can be imported, and a workspace to do it in."""
    from tests.published import publish

    monkeypatch.chdir(tmp_path)
    return publish(tmp_path / "published", tokenizer)
