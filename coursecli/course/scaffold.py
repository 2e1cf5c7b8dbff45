"""Fill a learner's workspace: make it, start a lesson in it, put back a task or a file, apply the reference.

A file that the learner has changed is never overwritten without a backup and a `FileChange` that says so.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from coursecli.course.build import build_solved
from coursecli.course.catalogue import Course, Lesson
from coursecli.course.initial import given_files, init_workspace
from coursecli.course.manifest import Task
from coursecli.course.merge import merge
from coursecli.course.nearest import did_you_mean
from coursecli.course.restore import restore
from coursecli.course.stubs import compose, definitions_of, owners
from coursecli.course.workspace import Workspace
from coursecli.course.writer import FileChange, Writer, writing
from coursecli.errors import ContentError, UsageError, WorkspaceError
from coursecli.files import SourceProblem, read_source

__all__ = [
    "FileChange",
    "apply_solution",
    "build_solved",
    "init_workspace",
    "reset_file",
    "reset_task",
    "start_lesson",
]


def start_lesson(course: Course, workspace: Workspace, lesson: Lesson) -> list[FileChange]:
    """Put everything into the workspace that the lesson needs. What is there is kept; doing it again changes nothing.

    Task files of this lesson and of earlier ones are written when missing; to those that exist, new definitions are
    appended. The lesson's README is copied, and given files that are missing or that a new course version changed.

    Returns:
        what was done, or could not be done: files that were already as they should be are left out.
    """
    lessons = course.earlier(lesson)
    task_files = {file: part for part in lessons for file in part.files}  # the latest of the lessons that write in it
    needed = {file for part in lessons for file in part.manifest.given} - set(task_files)
    with writing(workspace) as writer:
        changes = [writer.offer(f"lessons/{lesson.id}.md", _content(lesson.readme), lesson.number)]
        for file in sorted(needed | set(given_files(course))):
            change = writer.offer(_place(workspace, file), course_text(course, file, lesson), lesson.number)
            if change is not None and (change.action != "kept" or file in needed):
                changes.append(change)
        for file, latest in task_files.items():
            changes.append(_offer_tasks(course, writer, file, latest, lesson))
    return [change for change in changes if change is not None]


def reset_task(course: Course, workspace: Workspace, lesson: Lesson, task: Task) -> list[FileChange]:
    """Put the stub of one task back into the learner's file; the rest of the file stays.

    Raises:
        WorkspaceError: the file does not parse, so the task cannot be found in it.
    """
    with writing(workspace) as writer:
        upto = _as_of(course, writer, task.file, lesson)
        stub = compose(course, task.file, upto=upto)
        names = [name for name in definitions_of(course, task.file, [task]) if name not in task.helpers]
        return [_put(writer, task.file, stub, names, upto, f"{task.title} is as it was given")]


def reset_file(course: Course, workspace: Workspace, reference: str) -> list[FileChange]:
    """Put a whole file back as the course gives it: `model/norm.py`, also with the package's name before it.

    Raises:
        UsageError: the course has no such file.
    """
    file = _file_of(course, reference)
    tasks = owners(course, file)
    with writing(workspace) as writer:
        upto = _as_of(course, writer, file, tasks[0].lesson if tasks else course.lessons[0])
        text = course_text(course, file, upto)
        return [_replace(writer, _place(workspace, file), text, upto, "the whole file is as it was given")]


def apply_solution(course: Course, workspace: Workspace, lesson: Lesson, task: Task | None = None) -> list[FileChange]:
    """Put the reference of one task, or of the whole lesson, into the learner's files; the rest of each file stays.

    Raises:
        WorkspaceError: a file does not parse, so the tasks cannot be found in it.
    """
    changes = start_lesson(course, workspace, lesson)
    chosen = [task] if task else lesson.tasks
    with writing(workspace) as writer:
        for file in dict.fromkeys(each.file for each in chosen):
            upto = _as_of(course, writer, file, lesson)
            solved = compose(course, file, upto=upto, blank=lambda owner, each: owner != lesson or each not in chosen)
            names = definitions_of(course, file, chosen)
            changes.append(_put(writer, file, solved, names, upto, "the reference is in its place"))
    return changes


def course_text(course: Course, file: str, upto: Lesson) -> bytes:
    """A file of the package as the course gives it in lesson `upto`: given as it is, or with every task a stub."""
    if (course.solutions_dir / file).is_file():
        return compose(course, file, upto=upto).encode()
    return _content(course.package_dir / file)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ContentError(f"{path}: cannot be read: {error.strerror}") from error


def _place(workspace: Workspace, file: str) -> str:
    return f"{workspace.settings.package}/{file}"


def _as_of(course: Course, writer: Writer, file: str, lesson: Lesson) -> Lesson:
    """The lesson as of which the learner's file stands: at least `lesson`, later when a later one has written in it."""
    note = writer.note(_place(writer.workspace, file))
    return max(
        [lesson, *(each for each in course.lessons if note and each.number <= note.lesson)], key=lambda x: x.number
    )


def _offer_tasks(course: Course, writer: Writer, file: str, latest: Lesson, lesson: Lesson) -> FileChange | None:
    """Write a task file as of `lesson`, or append what it lacks; `latest` is the last that has tasks in it."""
    path = _place(writer.workspace, file)
    if writer.read(path) is None:
        return writer.write(path, compose(course, file, upto=lesson).encode(), lesson.number, "created")
    note = writer.note(path)
    reached = note.lesson if note else lesson.number - 1
    if reached >= latest.number:
        return None
    known = [each for each in course.lessons if each.number <= reached and file in (*each.files, *each.manifest.given)]
    before = compose(course, file, upto=known[-1]) if known else ""
    again = f"mend it and type: intro2llm start {lesson.short}"
    try:
        merged = merge(_exact_text(writer, path), before, compose(course, file, upto=lesson))
    except SourceProblem as problem:
        return FileChange(path, "problem", f"{problem.message}; {again}")
    if merged.problems and not merged.added:
        return FileChange(path, "problem", f"{'; '.join(merged.problems)}; {again}")
    if not merged.added:
        writer.seen(path, lesson.number)
        return None
    note_text = ", ".join(merged.added) + "".join(f"; {problem}" for problem in merged.problems)
    return writer.write(path, merged.text.encode(), lesson.number, "added", note_text)


def _put(writer: Writer, file: str, offered: str, names: Collection[str], upto: Lesson, note: str) -> FileChange:
    """Put these definitions of the text `offered` into the learner's file; the whole text when there is no file."""
    path = _place(writer.workspace, file)
    if writer.read(path) is None:
        return writer.write(path, offered.encode(), upto.number, "created")
    whole = f"Put the whole file back with: intro2llm reset {file} (a backup of yours is kept)"
    try:
        put = restore(_exact_text(writer, path), offered, names)
    except SourceProblem as problem:
        raise WorkspaceError(f"{path}: {problem.message}.", whole) from problem
    if put.problems:
        raise WorkspaceError(f"{path}: {'; '.join(put.problems)}.", whole)
    return _replace(writer, path, put.text.encode(), upto, note)


def _replace(writer: Writer, path: str, data: bytes, upto: Lesson, note: str) -> FileChange:
    current = writer.read(path)
    if current is None:
        return writer.write(path, data, upto.number, "created")
    if current == data:
        return FileChange(path, "kept", note)
    return writer.write(path, data, upto.number, "replaced", note)


def _exact_text(writer: Writer, path: str) -> str:
    """The learner's text with its line ends and byte order mark. Raises SourceProblem when Python could not read it."""
    target = writer.workspace.root / path
    read_source(target)
    return target.read_bytes().decode("utf-8")


def _file_of(course: Course, reference: str) -> str:
    """The file of the package that `reference` names. Raises UsageError, with the nearest names."""
    wanted = Path(reference).as_posix().removeprefix("./").removeprefix(f"{course.package_name}/")
    known = sorted(
        {
            path.relative_to(folder).as_posix()
            for folder in (course.package_dir, course.solutions_dir)
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
    )
    if wanted in known:
        return wanted
    raise UsageError(f"The course has no file {reference!r}.", did_you_mean(wanted, known))
