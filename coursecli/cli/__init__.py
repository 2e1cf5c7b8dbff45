"""The command line: `learn` and `author` parse with Typer, the other modules do what was asked, `__main__` runs it."""
