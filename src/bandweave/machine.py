"""What this process may use of the machine: cores, threads, memory.

A container, a batch system or an administrator may give a process less than the machine has.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MOST_AT_ONCE = 8
"""More threads hold more blocks at a time, and the disk is the limit long before."""

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_OWN_FILES = Path("/proc/self/maps")

_ALGEBRA = "OPENBLAS_NUM_THREADS"
_SETTERS = tuple(
    f"{before}openblas_set_num_threads{behind}"
    for before in ("scipy_", "")
    for behind in ("64_", "")
)
"""Names of one function of OpenBLAS in NumPy's wheels and elsewhere."""


def usable_cores() -> int:
    """Return the number of cores this process may use, by its affinity and its control groups."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min([cores, *_shares_of_time()])


def available_cores() -> int:
    """Return the number of cores this process may use, eight at most."""
    return min(usable_cores(), _MOST_AT_ONCE)


def usable_threads() -> int:
    """Return `usable_cores`, or fewer where OMP_NUM_THREADS asks for that."""
    # One number, or one for each level of parallel parts within each other.
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    cores = usable_cores()
    return min(cores, int(asked) or cores) if asked.isdecimal() else cores


def available_threads() -> int:
    """Return `usable_threads`, eight at most: what a run uses that was not told."""
    return min(usable_threads(), _MOST_AT_ONCE)


def keep_algebra_in_its_thread() -> None:
    """Let NumPy's linear algebra compute in the thread that calls it.

    The work is shared among our own threads. If each of them called for more, these would wait for
    each other in loops, which makes fast methods several times slower. Concerns the whole process,
    so it is for programs to call, best before NumPy is loaded. What the user has set stays.
    """
    if _ALGEBRA in os.environ:
        return
    os.environ[_ALGEBRA] = "1"  # read once, on loading
    for library in _loaded_algebra():
        for name in _SETTERS:
            if hasattr(library, name):
                getattr(library, name)(1)


def _loaded_algebra() -> Iterator[ctypes.CDLL]:
    """Yield each OpenBLAS that is loaded already, as where another program calls ours (Linux)."""
    try:
        lines = _OWN_FILES.read_text().splitlines() if "numpy" in sys.modules else []
    except OSError:
        return
    for path in {line.split(maxsplit=5)[-1] for line in lines if "openblas" in line}:
        with suppress(OSError):
            yield ctypes.CDLL(path)


def usable_memory() -> int | None:
    """Return the bytes of memory that this process may use; None where the system does not tell.

    That is the machine's, or the least of what its control groups allow.
    """
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = (_numbers(group, "memory.max", "memory.limit_in_bytes") for group in _groups("memory"))
    return min([machine, *(limit[0] for limit in limits if limit)])


def _shares_of_time() -> Iterator[int]:
    """Yield the cores whose time each control group may use, in whole cores."""
    for group in _groups("cpu"):
        share = _numbers(group, "cpu.max") or [
            *_numbers(group, "cpu.cfs_quota_us"),
            *_numbers(group, "cpu.cfs_period_us"),
        ]
        if len(share) == 2:
            quota, period = share
            yield max(-(-quota // period), 1)


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in, with those above.

    In a container the top one may be its own, whatever the system calls it.
    """
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:  # another system than Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # One hierarchy for all in version 2, one for each controller in version 1.
        top = _GROUPS / controller if controllers else _GROUPS
        own = top / path.lstrip("/")
        yield own
        yield from (above for above in own.parents if above.is_relative_to(top))


def _numbers(group: Path, *names: str) -> list[int]:
    """Return the numbers in the first of these files that is there; none for no limit."""
    for name in names:
        try:
            words = (group / name).read_text().split()
        except OSError:
            continue
        return [int(word) for word in words] if all(word.isdecimal() for word in words) else []
    return []
