"""Where notices of changes cannot be relied on, files are looked at now and then: told from the list of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from coursecli.watch.saves import is_untold

MOUNTS = [
    "22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw",
    "30 22 0:28 / /mnt/c rw,noatime - 9p drvfs rw,aname=drvfs;path=C:\\;uid=1000",
    "31 22 0:29 / /home/a\\040b rw,relatime - nfs4 server:/home rw,vers=4.2",
    "32 31 259:3 / /home/a\\040b/disk rw - ext4 /dev/sda1 rw",
    "33 22 0:31 / /remote rw - fuse.sshfs user@host: rw",
    "34 22 0:32 / /snap/core ro - fuse.snapfuse snapfuse ro",
    "a line that makes no sense",
]


@pytest.mark.parametrize(
    ("folder", "untold"),
    [
        ("/home/me/llm", False),
        ("/mnt/c/Users/me/llm", True),
        ("/mnt/cellar", False),
        ("/home/a b/llm", True),
        ("/home/a b/disk/llm", False),
        ("/remote/llm", True),
        ("/snap/core", False),
    ],
)
def test_the_file_system_that_holds_the_folder_decides(folder: str, untold: bool):
    assert is_untold(Path(folder), MOUNTS) is untold
