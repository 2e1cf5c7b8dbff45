"""`WarmWorkers`: a template that is made ready in the background, so that a check need not wait for the imports."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from coursecli.check.template import open_template

if TYPE_CHECKING:
    from coursecli.check.stop import Stop
    from coursecli.check.template import Template
    from coursecli.course.catalogue import Course

GLANCE_SECONDS = 0.1


class WarmWorkers:
    """One template for as long as this is open. Where forking is unsafe there is none, and checks run cold."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._template: Template | None = None
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def warm_up(self) -> None:
        """Begin, unless it has begun already. Returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._hold, name="template", daemon=True)
            self._thread.start()

    def get(self, stop: Stop) -> Template | None:
        """The template, as soon as it is there; None where there is none, or when the check is not wanted any more."""
        self.warm_up()
        while not self._ready.wait(GLANCE_SECONDS):
            if stop.asked:
                return None
        return self._template

    def close(self) -> None:
        """End the template."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(10.0)

    def _hold(self) -> None:
        try:
            with open_template(self._course) as self._template:
                self._ready.set()
                self._closing.wait()
        finally:
            self._template = None
            self._ready.set()
