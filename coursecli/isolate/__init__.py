"""Starts foreign code, bounds it, and leaves nothing of it running. What the code says is for others to judge."""

from coursecli.isolate.launcher import Ended, Job, Running, launch
from coursecli.isolate.limits import Limits
from coursecli.isolate.streams import Head, Sink

__all__ = ["Ended", "Head", "Job", "Limits", "Running", "Sink", "launch"]
