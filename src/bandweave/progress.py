"""Progress of long work on stderr: megapixels per second and time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
"""Called with the number of pixels that were done."""


def unseen(pixels: int) -> None:
    """Take notice of no progress: for work that nobody watches."""
    del pixels


# Seconds between two lines where stderr is no terminal (a log file, a batch queue).
_LOG_EVERY = 10.0


@contextmanager
def progress(title: str, pixels: int, *, quiet: bool = False) -> Iterator[Advance]:
    """Show the progress of `pixels` pixels of work; yield a function to call with pixels done."""
    if quiet:
        yield unseen
    elif sys.stderr.isatty():
        from bandweave.progress_bar import make_bar  # noqa: PLC0415  # slow to load, rarely seen

        with make_bar() as bar:
            task = bar.add_task(title, total=pixels)
            yield lambda done: bar.update(task, advance=done)
    else:
        yield _Log(title, pixels).advance


class _Log:
    """A line now and then."""

    def __init__(self, title: str, pixels: int) -> None:
        self._title, self._pixels, self._done = title, pixels, 0
        self._start = self._last = time.monotonic()

    def advance(self, pixels: int) -> None:
        self._done += pixels
        now = time.monotonic()
        if now - self._last < _LOG_EVERY and self._done < self._pixels:
            return
        self._last = now
        rate = self._done / max(now - self._start, 1e-9)
        left = (self._pixels - self._done) / max(rate, 1e-9)
        sys.stderr.write(
            f"{self._title}: {100 * self._done / max(self._pixels, 1):.0f} %, "
            f"{rate / 1e6:.2g} MPix/s, {left:.0f} s left\n"
        )
        sys.stderr.flush()
