"""Starting foreign code, bounding it, and making sure that nothing of it is left. What it says is for others to judge."""

from coursecli.isolate.launcher import Ended, Head, Job, Running, Sink, launch
from coursecli.isolate.limits import Limits

__all__ = ["Ended", "Head", "Job", "Limits", "Running", "Sink", "launch"]
