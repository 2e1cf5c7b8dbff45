"""What shuts a program in: namespaces, a file system of its own, Landlock, seccomp, limits. Given; it needs Linux.

Each function asks the kernel for one thing and raises OSError if it refuses. See namespaces(7), pivot_root(2),
landlock(7), seccomp(2) and getrlimit(2).
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import resource
import signal
import struct
import sys

LIBRARIES = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/nix/store", "/gnu/store"]
"""Where shared libraries are, if these exist."""
DEVICES = ["/dev/null", "/dev/zero", "/dev/urandom"]
WORK = "/tmp"
"""The program's folder, in its own file system."""
NOBODY = 65534
FILE_BYTES = 1 << 24
OPEN_FILES = 64

_libc = ctypes.CDLL(None, use_errno=True)

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2


def adopt_orphans() -> None:
    """Whoever loses its parent below this process becomes its child, setsid or not."""
    _prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


def die_with_parent() -> None:
    _prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def no_new_privileges() -> None:
    """From here on, no program that is executed has more rights than this one, and root has none of root's."""
    _prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    if sys.platform == "linux" and os.geteuid() == 0:
        for capability in range(64):
            _libc.prctl(24, ctypes.c_ulong(capability), 0, 0, 0)  # PR_CAPBSET_DROP; an error for those there are not


def stranger() -> int | None:
    """For root: a user of whom there is no other process and no file. Other users cannot become anybody else."""
    return (1 << 30) + os.getpid() if os.geteuid() == 0 else None


def enter_user_and_process_namespaces() -> None:
    """The children of this process will see each other only. Whoever is not root is root of a namespace from now on."""
    user, group = os.geteuid(), os.getegid()
    _call("unshare", _NEWPID if user == 0 else _NEWPID | _NEWUSER)
    if user != 0:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{NOBODY} {user} 1")
        _write("/proc/self/gid_map", f"{NOBODY} {group} 1")


def build(folder: str, trees: list[str], user: int | None) -> int | None:
    """Leave the network and the file system: what is left is `trees`, read-only, and an empty folder in memory, WORK.

    Args:
        folder: an empty one, which becomes the root.
        user: whom the empty folder is to belong to, for root.

    Returns:
        That user, or nobody where the system does not know so large a number.
    """
    _call("unshare", _NEWNS | _NEWNET | _NEWIPC | _NEWUTS)
    _mount("none", "/", "", _REC | _PRIVATE)
    _mount("tmpfs", folder, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    for tree in dict.fromkeys([*LIBRARIES, *trees]):
        _show(tree, folder, _NODEV)
    for device in DEVICES:
        _show(device, folder, 0)
    work = folder + WORK
    os.makedirs(work, exist_ok=True)  # noqa: PTH103
    _mount("tmpfs", work, "tmpfs", _NOSUID | _NODEV, "size=64m,nr_inodes=4096,mode=700")
    if user is not None:
        try:
            os.chown(work, user, user)
        except OSError:
            user = NOBODY
            os.chown(work, user, user)
    os.chdir(folder)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _DETACH)
    os.chdir("/")
    _mount("none", "/", "", _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    return user


def become(user: int | None) -> None:
    """Stop being root. Other users lose the rights in their namespace by executing the program."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


def limit(seconds: float, memory_bytes: int, processes: int | None) -> None:
    """Bounds that the kernel keeps. It counts processes by user: `processes` is for a user who has no other ones."""
    limits = {
        resource.RLIMIT_CPU: math.ceil(seconds) + 1,
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    if processes is not None:
        limits[resource.RLIMIT_NPROC] = processes
    for kind, most in limits.items():
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (most, most))
        except (OSError, ValueError):
            if sys.platform == "linux":
                raise  # macOS knows limits that it does not let one set


def landlock(readable: list[str], writable: list[str]) -> None:
    """From here on, these trees can be read and executed, those written as well, and nothing else can be opened."""
    create, add_rule, restrict = 444, 445, 446  # on every architecture
    version = _syscall(create, None, 0, 1)
    everything = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    read_file, read = 0b101, 0b1101  # execute, read a file, list a folder
    ruleset = struct.pack("QQQ", everything, 0b11, 0b11)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = _syscall(create, ruleset, len(ruleset), 0)
    for path, rights in [*((path, read) for path in readable), *((path, everything) for path in writable)]:
        try:
            opened = os.open(path, os.O_PATH)
        except FileNotFoundError:
            continue
        rights = rights if os.path.isdir(path) else rights & read_file  # noqa: PTH112
        _syscall(add_rule, rules, 1, struct.pack("=Qi", rights, opened), 0)
        os.close(opened)
    no_new_privileges()
    _syscall(restrict, rules, 0)
    os.close(rules)


def forbid_network() -> None:
    """From here on, no socket can be made, and no other process looked into: the system calls fail."""
    machines = {
        "x86_64": (0xC000003E, [41, 42, 53, 101, 310, 311, 425]),
        "aarch64": (0xC00000B7, [198, 203, 199, 117, 270, 271, 425]),
    }  # socket, connect, socketpair, ptrace, process_vm_readv, process_vm_writev, io_uring_setup
    if platform.machine() not in machines:
        raise OSError(0, f"the numbers of the system calls of {platform.machine()} are not known")
    architecture, numbers = machines[platform.machine()]
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | 13  # EACCES
    last = len(numbers) + 1  # how far the refusal is behind the first comparison of numbers
    program = [
        (load, 0, 0, 4),
        (equal, 0, last + 2, architecture),
        (load, 0, 0, 0),
        (at_least, last, 0, 0x40000000),  # another way to number the same calls
        *((equal, last - 1 - place, 0, number) for place, number in enumerate(numbers)),
        (give, 0, 0, allow),
        (give, 0, 0, refuse),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    filtered = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    no_new_privileges()
    _call("prctl", 22, ctypes.c_ulong(2), filtered, 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def _show(path: str, root: str, flags: int) -> None:
    """Let a file or folder be seen under `root`, where it is now, read-only. A link stays a link."""
    target = root + path
    if not os.path.lexists(path) or os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
    if os.path.islink(path):  # noqa: PTH114
        os.symlink(os.readlink(path), target)  # noqa: PTH115, PTH211
        return
    if os.path.isdir(path):  # noqa: PTH112
        os.mkdir(target)  # noqa: PTH102
    else:
        os.close(os.open(target, os.O_CREAT, 0o444))
    _mount(path, target, "", _BIND | _REC)
    kept = os.statvfs(path).f_flag & (_NOSUID | _NODEV | _NOEXEC)
    _mount("none", target, "", _REMOUNT | _BIND | _RDONLY | _NOSUID | flags | kept)


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    _call("mount", source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode())


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _call("prctl", option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def _call(name: str, *arguments: object) -> int:
    function = getattr(_libc, name, None)
    if function is None:
        raise OSError(0, f"this system has no {name}")
    if (result := function(*arguments)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def _syscall(number: int, *arguments: object) -> int:
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    if (result := _libc.syscall(ctypes.c_long(number), *wide)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"landlock: {os.strerror(number)}")
    return result


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:  # noqa: PTH123
        file.write(text)
