"""What a benchmark was run on, and how its times are told."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Sequence
from importlib.metadata import version

from bandweave.bench.cost import processor_name
from bandweave.machine import usable_cores


def conditions(*packages: str) -> str:
    """Return date, processor, load and versions in one line."""
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", *packages))
    return (
        f"{time.strftime('%Y-%m-%d')}, {processor_name()}, {usable_cores()} cores, load "
        f"{os.getloadavg()[0]:.1f}, OMP_NUM_THREADS {threads}; Python "
        f"{platform.python_version()}, {versions}"
    )


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Return the median, with least and greatest in brackets."""
    least, middle, most = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({least:{form}} to {most:{form}})"
