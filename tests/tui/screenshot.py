"""The picture of the README: the dashboard in a browser, with the failing check that the README begins with.

Run it from the repository, and look at what it has made: `python -m tests.tui.screenshot demo/dashboard.png`
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from coursecli.course.catalogue import load_course
from coursecli.course.mistakes import load_mistakes
from coursecli.course.variants import apply_edits
from tests.conftest import Learner
from tests.tui.browser import served, tabs

LESSON, TASK, MISTAKE = "2", "scaled-dot-product-attention", "no-scale"
WIDTH, HEIGHT = 1600, 800


class RealCourse(Learner):
    @property
    def environment(self) -> dict[str, str]:
        environment = super().environment
        del environment["INTRO2LLM_COURSE"]
        return environment


def main(picture: Path) -> None:
    lesson = load_course().lesson(LESSON)
    mistake = next(mistake for mistake in load_mistakes(lesson).mistakes if mistake.id == MISTAKE)
    with tempfile.TemporaryDirectory() as folder:
        learner = RealCourse(Path(folder))
        for words in (
            ("init", str(learner.workspace)),
            ("start",),
            ("skip", "1", "--yes"),
            ("start", LESSON),
            ("solution", LESSON, "--apply", "--yes", "--instructor"),
        ):
            ran = learner(*words)
            assert ran.code == 0, ran.text
        file = learner.workspace / "intro2llm" / lesson.task(TASK).file
        file.write_text(apply_edits(file.read_text(encoding="utf-8"), mistake.edits), encoding="utf-8")
        with tabs(WIDTH, HEIGHT) as new_tab, served(learner) as (_, link):
            tab = new_tab()
            tab.open(link)
            tab.wait_for(lesson.title)
            tab.press("c")
            tab.wait_for(mistake.name)
            tab.press("4")
            tab.wait_for("scores = query @ key")
            tab.page.wait_for_timeout(2000)  # the last frame
            tab.page.screenshot(path=picture)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
