"""Which files of the package were saved: told by comparing what is there, not by what an editor did to get there.

Editors write in place, rename, or write beside and swap, and leave locks and backups lying about. So a notice from the
system only says "look": what counts is which files are other files than before. A notice may also never come (a network
drive, a full queue): somebody who looks now and then as well loses nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

SETTLE_SECONDS = 0.15
"""A file that has gone may be on its way back: an editor that moves the old one away before it writes the new one."""
QUIET_MS, LONGEST_MS = 30, 300
"""A notice is given when nothing has happened for so long, or when something has been happening for so long."""
UNTOLD = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ncpfs", "ceph", "lustre", "glusterfs", "9p", "drvfs", "vboxsf"),
    *("virtiofs", "vmhgfs", "prl_fs"),
}
"""File systems on which another machine, or the system around this one, can change a file without a notice."""

Snapshot = dict[str, tuple[int, int, int]]


def snapshot(package: Path, suffixes: frozenset[str]) -> Snapshot:
    """Every file that can matter to a check, by its name in the package: its time, size and number."""
    return {name: (found.st_mtime_ns, found.st_size, found.st_ino) for name, found in _files(package, "", suffixes)}


def _files(folder: Path, prefix: str, suffixes: frozenset[str]) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith((".", "#")) or entry.name == "__pycache__":
                    continue
                try:
                    if entry.is_dir():
                        yield from _files(Path(entry.path), f"{prefix}{entry.name}/", suffixes)
                    elif os.path.splitext(entry.name)[1] in suffixes:  # noqa: PTH122 (quick: this runs every second)
                        yield prefix + entry.name, entry.stat()
                except OSError:
                    continue  # gone in this moment
    except OSError:
        return


def suffixes_of(package: Path) -> frozenset[str]:
    """The endings of the files that a course gives out: what else lies in a package, such as a backup, is no save."""
    return frozenset({path.suffix for path in package.rglob("*") if path.is_file()} - {"", ".pyc"} | {".py"})


class Saves:
    """Looks at a package, and knows what it saw last."""

    def __init__(self, package: Path, suffixes: frozenset[str]) -> None:
        self._package = package
        self._suffixes = suffixes
        self._seen = snapshot(package, suffixes)

    def look(self, pause: Callable[[float], object]) -> set[str]:
        """The files that were changed, added or deleted since the last look."""
        now = snapshot(self._package, self._suffixes)
        if self._seen.keys() - now.keys():
            pause(SETTLE_SECONDS)
            now = snapshot(self._package, self._suffixes)
        changed = {name for name in self._seen.keys() | now.keys() if self._seen.get(name) != now.get(name)}
        self._seen = now
        return changed


def needs_polling(folder: Path) -> bool:
    """Whether the file system of this folder is one that does not tell of every change. Linux; False elsewhere."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return is_untold(folder.resolve(), lines)


def is_untold(folder: Path, mounts: list[str]) -> bool:
    """The same, from the lines of mountinfo."""
    best, kind = "", ""
    for line in mounts:
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 5 or not rest:
            continue
        mount = fields[4].replace("\\040", " ")
        if folder.is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, rest[0]
    return kind in UNTOLD or (kind.startswith("fuse.") and kind != "fuse.snapfuse")


class Notices:
    """Calls back, from a thread of its own, whenever the system says that something below a folder has changed."""

    def __init__(self, folder: Path, told: Callable[[], object]) -> None:
        self._folder = folder
        self._told = told
        self._end = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="notices", daemon=True)
        self.broken = False
        """No notices come any more: the system has too many watchers, or the folder has gone."""

    def start(self) -> None:
        """Returns when changes are noticed, or when it is clear that they will not be."""
        self._thread.start()
        self._ready.wait(5.0)

    def close(self) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _listen(self) -> None:
        try:
            from watchfiles import watch

            changes = watch(
                self._folder,
                watch_filter=None,
                debounce=LONGEST_MS,
                step=QUIET_MS,
                stop_event=self._end,
                rust_timeout=500,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            )
            for change in changes:
                if change:
                    self._told()
                self._ready.set()
        except Exception:  # whatever it is, looking now and then still works
            pass
        self.broken = not self._end.is_set()
        self._ready.set()
