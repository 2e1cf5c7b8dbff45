"""What can go wrong, and the exit code of each. `cli` turns any of these into one line (and one for the remedy)."""


class CourseError(Exception):
    """Something that the user can understand and mend.

    `message` says what happened and where, `remedy` what to type or do next. Both are plain text, one line each.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class UsageError(CourseError):
    """The command line names something that does not exist: a lesson, a task, a file."""

    exit_code = 2


class WorkspaceError(CourseError):
    """There is no workspace here, or it cannot be read or written."""

    exit_code = 3


class LockedError(CourseError):
    """The lesson, or the feature, is still locked."""

    exit_code = 4


class ContentError(CourseError):
    """The course itself is wrong: a manifest, a mistake catalogue, a stale stub. For its author."""

    exit_code = 5


class StoreError(CourseError):
    """The progress database is damaged, foreign, locked, or newer than this program."""

    exit_code = 6


class EnvironmentProblem(CourseError):  # noqa: N818
    """Python, a package, or the system is not what the course needs."""

    exit_code = 7
