"""`--help`, `status` and `list` against a Typer hello application; none of them may import torch or a lesson."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from _paired import Command, compare

BAR = 1.15
ROUNDS = 11
FORBIDDEN = {"torch", "numpy", "textual", "pytest", "intro2llm", "lessons"}
PROGRAM = str(Path(sys.executable).with_name("intro2llm"))
HELLO = """
import typer

app = typer.Typer()


@app.command()
def main(name: str = "world"):
    print(f"Hello {name}")


app()
"""


def main() -> int:
    met = True
    with tempfile.TemporaryDirectory() as scratch:
        hello = Path(scratch, "hello.py")
        hello.write_text(HELLO)
        workspace = Path(scratch, "my-llm")
        os.environ["INTRO2LLM_CONFIG_DIR"] = str(Path(scratch, "config"))
        for argv in (["init", str(workspace)], ["start", "01", "--workspace", str(workspace)]):
            subprocess.run([PROGRAM, *argv], check=True, capture_output=True)
        for name, peer_arguments in {"--help": ["--help"], "status": [], "list": []}.items():
            ours = Command(f"intro2llm {name}", [PROGRAM, name], cwd=workspace)
            words = " ".join(["a Typer hello", *peer_arguments])
            peer = Command(words, [sys.executable, str(hello), *peer_arguments], cwd=workspace)
            met &= compare(ours, peer, bar=BAR, rounds=ROUNDS)
            unwanted = imported(ours) & FORBIDDEN
            if unwanted:
                print(f"{ours.name}: imports {', '.join(sorted(unwanted))}, which it must not")
                met = False
    return 0 if met else 1


def imported(command: Command) -> set[str]:
    """The top-level modules that the command imports."""
    argv = [sys.executable, "-X", "importtime", *command.argv]
    ended = subprocess.run(argv, cwd=command.cwd, capture_output=True, text=True, check=True)
    lines = (line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time:"))
    return {name.partition(".")[0] for name in lines}


if __name__ == "__main__":
    sys.exit(main())
