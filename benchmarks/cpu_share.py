"""Give processes a share of one processor, by the kernel's control groups (Linux, as root).

So two machines can be acted on one: two processes with half of the same processor each do not share
caches and arithmetic units at any moment, as two threads of one core do. A process that is alone
still has no more than its half.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PERIOD = 10_000  # microseconds; short against the work of any block

PROCESSOR = 0


@contextmanager
def held_to(share: float, *pids: int) -> Iterator[None]:
    """Hold running processes to a share of one processor each while the block runs.

    Args:
        share: Of the processor's time, for each process with all of its threads.
        pids: The processes.

    Raises:
        SystemExit: If this user may not set up control groups.
    """
    groups = [_ROOT / _controller() / f"bandweave-{pid}" for pid in pids]
    try:
        for pid, group in zip(pids, groups, strict=True):
            group.mkdir()
            _limit(group, share)
            (group / "cgroup.procs").write_text(str(pid))
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {PROCESSOR})
        yield
    except PermissionError as error:
        raise SystemExit(f"Holding processes to a share needs root on Linux: {error}") from None
    finally:
        for group in groups:
            _remove(group)


def _controller() -> str:
    """Return the folder of the groups that limit processor time: version 1 has one of its own."""
    return "cpu" if (_ROOT / "cpu").is_dir() else ""


def _limit(group: Path, share: float) -> None:
    quota = round(share * _PERIOD)
    if _controller():
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
    else:
        (group / "cpu.max").write_text(f"{quota} {_PERIOD}")


def _remove(group: Path) -> None:
    """Let the group's processes go and remove it."""
    if group.is_dir():
        for pid in (group / "cgroup.procs").read_text().split():
            (_ROOT / _controller() / "cgroup.procs").write_text(pid)
        group.rmdir()
