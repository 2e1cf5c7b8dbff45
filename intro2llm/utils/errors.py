"""What the readers and writers of model folders raise."""


class CheckpointError(ValueError):
    """A file or folder cannot be used. The message is one line: where, what was found, and what would do.

    A message may quote a file, which can say anything: control characters are written out, so that none steers the
    terminal, and a text without end is cut in the middle.
    """

    def __init__(self, message: str) -> None:
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
        super().__init__(line if len(line) <= 1000 else f"{line[:600]} … {line[-300:]}")


class WriteError(CheckpointError):
    """A file cannot be written: the disk is full, or the folder is not the user's."""
