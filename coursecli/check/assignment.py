"""What the runner tells a worker to do: one message over a private descriptor, never arguments or the environment."""

from __future__ import annotations

import msgspec

from coursecli.course.manifest import Forbidden


class Suite(msgspec.Struct, frozen=True):
    name: str
    """`basic` or `advanced`."""
    path: str


class Scope(msgspec.Struct, frozen=True):
    """A task, as far as a worker needs to know it."""

    id: str
    title: str
    needs: list[str]


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One check of one lesson."""

    token: str
    """Signs every event: learners' prints cannot be taken for one."""
    root: str
    """The folder that holds the learner's package."""
    scratch: str
    """A folder for temporary files, this run's own; the runner removes it."""
    package: str
    preload: list[str]
    suites: list[Suite]
    tasks: list[Scope]
    """All tasks of the lesson, in the manifest's order."""
    scope: list[str]
    """The ids of the tasks to check."""
    forbidden: list[Forbidden]
    guarded_files: list[str]
    """Task files of this lesson, relative to the package: a shortcut without `files` is forbidden in these."""
    known_files: list[str]
    """Every file that the course knows: one that it does not know is the learner's own, and guarded too."""
    gates: bool = True
    """Whether tests wait: the advanced suite for the basic one, a task for those that it needs."""
    integration_only: bool = False
    """Run the integration tests alone: to find out whose fault a failure is."""
    memory_bytes: int
    """Margin over the size after the preload."""


encoder = msgspec.json.Encoder()
decoder = msgspec.json.Decoder(Assignment)
