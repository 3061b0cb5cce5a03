"""What all parts share: a device, how much is measured on it, clocks and rows of results."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from bandweave.methods.nets.attention.layer import Precision
from bandweave.methods.nets.recording import recorded

FULL_SCALE, BANDS, TILE = 2047.0, 8, 64
PRECISIONS: tuple[Precision, Precision] = ("fp32", "bf16")
Call = Callable[[], object]
Row = dict[str, Any]
"""What is told of one call, by name: seconds, rates, or why it failed."""
Rows = Iterator[dict[str, Row]]


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    calls: int
    """Calls in a row between two looks at the clock."""
    maps: tuple[tuple[int, int, int], ...]
    """Tiles, heads and pixels of the attention's maps."""
    scene: int
    released: int
    """Side of the scene that the released way fuses."""
    batches: tuple[int, ...]
    training_batch: int
    training_tile: int
    patches: int


FULL = Size(
    rounds=7,
    calls=10,
    maps=((32, 2, 4096), (32, 4, 1024), (32, 8, 256)),
    scene=4096,
    released=512,
    # A row of this scene has 85 tiles: the usual batch, and those that divide it evenly.
    batches=(32, 43, 85),
    training_batch=16,
    training_tile=TILE,
    patches=512,
)
TINY = Size(
    rounds=1,
    calls=1,
    maps=((1, 1, 64),),
    scene=96,
    released=64,
    batches=(2,),
    training_batch=2,
    training_tile=16,
    patches=4,
)


@dataclass(frozen=True)
class Bench:
    """A device and what to measure on it."""

    device: torch.device
    size: Size
    options: argparse.Namespace

    @property
    def is_cuda(self) -> bool:
        """Tell whether this is the real thing."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Wait for the device."""
        if self.is_cuda:
            torch.cuda.synchronize()

    def compared(
        self, calls: dict[str, Call], *, each: int | None = None, times: int = 1
    ) -> dict[str, Row]:
        """Time calls in turn, several rounds; what fails is named with its reason.

        Args:
            calls: What to call by its name.
            each: Calls in a row, None for the usual number.
            times: How often each call does what is timed.
        """
        seconds: dict[str, list[float]] = {}
        failed: dict[str, Row] = {}
        for name, call in calls.items():
            try:
                call()
                self.wait()
                seconds[name] = []
            except Exception as error:  # noqa: BLE001  # a backend may refuse in any way
                failed[name] = {"failed": reason(error)}
        count = each or self.size.calls
        for _ in range(self.size.rounds):
            for name, taken in seconds.items():
                start = time.perf_counter()
                for _ in range(count):
                    calls[name]()
                self.wait()
                taken.append((time.perf_counter() - start) / (count * times))
        return {name: _spread(taken) for name, taken in seconds.items()} | failed

    def replayed(self, call: Callable[[], torch.Tensor], times: int) -> Call:
        """Return what does a call so often as one recorded graph."""

        def work() -> torch.Tensor:
            for _ in range(times - 1):
                call()
            return call()

        if not self.is_cuda:
            return recorded(work, None)
        stream = torch.cuda.Stream()
        # What the call reads was made on the stream before.
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):  # kernels are compiled and chosen before they are recorded
                call()
            return recorded(work, stream)


def later(make: Callable[[], Call]) -> Call:
    """Put off what a call needs to its first time, where a failure costs no other row."""
    made: list[Call] = []

    def call() -> object:
        if not made:
            made.append(make())
        return made[0]()

    return call


def reason(error: Exception) -> str:
    """Return the first line of what an error says."""
    return (str(error) or repr(error)).splitlines()[0][:200]


def _spread(seconds: list[float]) -> Row:
    return {
        "seconds": statistics.median(seconds),
        "best": min(seconds),
        "worst": max(seconds),
    }


def environment(bench: Bench) -> Row:
    """Return what the figures depend on."""
    found: Row = {
        "date": time.strftime("%Y-%m-%d"),
        "device": platform.processor() or platform.machine(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "python": platform.python_version(),
        "rehearsal": not bench.is_cuda,
    }
    try:
        import triton  # noqa: PLC0415

        found["triton"] = triton.__version__
    except ModuleNotFoundError:
        found["triton"] = None
    if bench.is_cuda:
        properties = torch.cuda.get_device_properties(bench.device)
        found |= {
            "device": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "memory GiB": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
        }
    return found
