"""Starts foreign code, bounds it, and leaves nothing of it running. What the code says is for others to judge."""

from coursecli.isolate.launcher import Ended, Head, Job, Running, Sink, launch
from coursecli.isolate.limits import Limits

__all__ = ["Ended", "Head", "Job", "Limits", "Running", "Sink", "launch"]
