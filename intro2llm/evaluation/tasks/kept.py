"""What has been measured stays: a line of JSON for each item, appended when it is done. Given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import intro2llm
from intro2llm.evaluation.tasks.task import Result

PARTS = ("model", "tokenizer", "evaluation", "data")
"""The parts of the package that results depend on: when their code has changed, everything is measured anew."""


class KeptResults:
    """The results of one task with one checkpoint, the same settings and the same code.

    The file is only ever appended to, so an interruption costs at most its last line: a line that is torn is ignored.
    """

    def __init__(self, folder: Path, task: str, described: Mapping[str, Any]) -> None:
        key = hashlib.blake2b(json.dumps(described, sort_keys=True).encode(), digest_size=8).hexdigest()
        self.path = folder / f"{task}-{key}.jsonl"
        self._described = dict(described)
        self._torn = False

    def read(self) -> dict[str, Result]:
        """The results by item."""
        results: dict[str, Result] = {}
        if self.path.is_file():
            content = self.path.read_bytes()
            self._torn = bool(content) and not content.endswith(b"\n")
            for line in content.splitlines():
                try:
                    said = json.loads(line)
                    results[said["item"]] = dict(said["result"])
                except (ValueError, KeyError, TypeError):
                    continue  # the first line, which says what this is; or one that an interruption has torn
        return results

    def add(self, item: str, result: Result) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"item": item, "result": result}) + "\n"
        if not self.path.exists():
            line = json.dumps({"about": self._described}) + "\n" + line
        with self.path.open("ab") as file:
            file.write(("\n" if self._torn else "").encode() + line.encode())
        self._torn = False

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


def checkpoint_stamp(folder: Path) -> str:
    """What tells one model folder from another, and from itself after a change."""
    digest = hashlib.blake2b(digest_size=16)
    if (folder / "manifest.json").is_file():  # it holds the hashes of all the others
        digest.update((folder / "manifest.json").read_bytes())
        return digest.hexdigest()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "eval" not in path.parts):
        if path.suffix == ".safetensors" or path.parent.name == "tokenizer" or path.name == "config.json":
            status = path.stat()
            digest.update(f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def code_stamp() -> str:
    """What tells the code that measures from itself after a change, yours included."""
    package = Path(intro2llm.__file__).parent
    digest = hashlib.blake2b(digest_size=16)
    for part in PARTS:
        for path in sorted((package / part).rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
