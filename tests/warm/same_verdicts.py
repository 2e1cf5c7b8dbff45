"""Proof, not a test: each lesson's reference, stubs and some mistakes, warm and cold, have the same verdict.

    python tests/warm/same_verdicts.py [--mistakes N] [LESSON ...]

Every byte of a result is compared, but for the times and the names of temporary folders. It takes minutes.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from coursecli.check.results import CheckResult
from coursecli.check.run import check_lesson
from coursecli.course.build import build_solved, build_stubbed, build_variant
from coursecli.course.catalogue import Course, Lesson, load_course
from coursecli.course.mistakes import load_mistakes
from coursecli.warm import background, place
from coursecli.warm.background import Background


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lessons", nargs="*")
    parser.add_argument("--mistakes", type=int, default=2, help="how many of each lesson")
    parser.add_argument("--kind", choices=["forks", "spares"], default="forks")
    chosen = parser.parse_args()
    course = load_course()
    different = compared = 0
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Path(scratch).resolve()
        (workspace / ".intro2llm").mkdir()
        waiting = Background(course, workspace, kind=chosen.kind)
        if not waiting.hold(120.0):
            print("No background process comes up.")
            return 1
        for lesson in [course.lesson(name) for name in chosen.lessons] or course.lessons:
            for name, root in packages(course, lesson, workspace, chosen.mistakes):
                warm = check_lesson(course, lesson, root, workers=waiting)
                was_warm = waiting.found == "ready"
                cold = check_lesson(course, lesson, root)
                same = comparable(warm) == comparable(cold) and was_warm
                compared += 1
                different += not same
                words = "same" if same else "DIFFERENT" if was_warm else "NOT WARM"
                print(f"{lesson.short} {name}: {words}, {warm.seconds:.1f} s and {cold.seconds:.1f} s", flush=True)
        record = place.current(workspace)
        if record is not None:
            background.stop(record)
    print(f"{compared} compared, {different} different")
    return 1 if different else 0


def packages(course: Course, lesson: Lesson, base: Path, mistakes: int) -> Iterator[tuple[str, Path]]:
    """Workspaces to check, each with its name."""
    for name in ("the reference", "the stubs"):
        root = base / lesson.short / name
        root.mkdir(parents=True)
        build_solved(course, root) if name == "the reference" else build_stubbed(course, root, lesson)
        yield name, root
    catalogue = load_mistakes(lesson).mistakes
    for mistake in catalogue[:: max(1, len(catalogue) // max(1, mistakes))][:mistakes]:
        root = base / lesson.short / mistake.id
        root.mkdir(parents=True)
        build_variant(course, root, lesson, mistake)
        yield mistake.id, root


def comparable(result: CheckResult) -> bytes:
    tests = [msgspec.structs.replace(test, seconds=0.0) for test in result.tests]
    encoded = msgspec.json.encode(msgspec.structs.replace(result, seconds=0.0, tests=tests))
    return re.sub(rb"intro2llm-check-\w+(/tmp\w+)?", b"scratch", encoded)


if __name__ == "__main__":
    sys.exit(main())
