"""A lesson's catalogue of misconceptions and alternatives, checked against the lesson. `dev check` runs them."""

from __future__ import annotations

from coursecli.course.catalogue import Lesson
from coursecli.course.manifest import Mistake, MistakeCatalogue, read_manifest
from coursecli.errors import ContentError


def load_mistakes(lesson: Lesson) -> MistakeCatalogue:
    """Read mistakes.yaml; a lesson without one has an empty catalogue.

    Raises:
        ContentError: it is malformed, an id occurs twice, or an entry names a task that the lesson does not have.
    """
    path = lesson.folder / "mistakes.yaml"
    if not path.exists():
        return MistakeCatalogue(mistakes=[], accept=[])
    catalogue = read_manifest(path, MistakeCatalogue)
    tasks = {task.id for task in lesson.tasks}
    seen: set[str] = set()
    for entry in (*catalogue.mistakes, *catalogue.accept):
        if entry.id in seen:
            raise ContentError(f"{path}: two entries have the id {entry.id!r}")
        seen.add(entry.id)
        if entry.task not in tasks:
            raise ContentError(
                f"{path}: {entry.id!r} is for the task {entry.task!r}, which {lesson.short} does not have"
            )
    return catalogue


def find_mistake(lesson: Lesson, mistake_id: str | None) -> Mistake | None:
    """The misconception with this id, or None."""
    if mistake_id is None:
        return None
    return next((entry for entry in load_mistakes(lesson).mistakes if entry.id == mistake_id), None)
