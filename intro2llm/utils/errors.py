"""The one error that the readers and writers of model folders raise."""


class CheckpointError(ValueError):
    """A file or folder cannot be used. The message is one line: where, what was found, and what would do."""
