"""What a task cost, and on what: time, memory, versions, hardware."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bandweave import __version__
from bandweave.machine import usable_cores, usable_memory

_LIBRARIES = ("numpy", "scipy", "torch")
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(slots=True)
class Cost:
    """Filled when the block of `measured` ends."""

    seconds: float = 0.0
    """Wall time."""
    peak_mib: float | None = None
    """Largest resident memory of this process within the block; None where the system does not
    tell (everywhere but on Linux)."""

    def behind(self, before: Cost) -> Cost:
        """Return the cost of this block and of the one it took up."""
        peaks = [cost.peak_mib for cost in (before, self) if cost.peak_mib is not None]
        return Cost(before.seconds + self.seconds, max(peaks, default=None))


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure a block: wall time, and the peak of this process's resident memory within it.

    Example:
        >>> with measured() as cost:
        ...     _ = sum(range(1000))
        >>> cost.seconds >= 0
        True
    """
    cost = Cost()
    is_reset = _reset_peak()
    start = time.perf_counter()
    yield cost
    cost.seconds = time.perf_counter() - start
    cost.peak_mib = _peak_mib() if is_reset else None


def _reset_peak() -> bool:
    """Let the kernel's high-water mark begin at the present size; tell whether it could."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _peak_mib() -> float | None:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return None


def versions() -> dict[str, str]:
    """Return the versions that numbers depend on; nothing is imported for it."""
    found = {"bandweave": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware(*, threads: int, processes: int) -> dict[str, Any]:
    """Return what times depend on.

    Args:
        threads: That a task may use.
        processes: Tasks under way at the same time.
    """
    memory = usable_memory()
    return {
        "processor": processor_name(),
        "cores": usable_cores(),
        "memory_gib": None if memory is None else round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": threads,
        "processes": processes,
    }


def processor_name() -> str:
    """Return what the system calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
