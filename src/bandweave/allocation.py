"""How the program's memory is handed back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of mallopt in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT = 2**25  # bytes of a block; the most that glibc takes
_MOST_KEPT = 2**30


def keep_freed_blocks() -> None:
    """Let the C library keep freed blocks of up to 32 MiB for the next one of their size.

    Tiles come and go by the thousand with blocks of some MiB. Handed back, each would be fetched
    and cleared again by the system, which takes a third of the time of a fast method. Concerns the
    whole process, so it is for programs to call and not for libraries; elsewhere than with glibc
    nothing happens.
    """
    try:
        adjust = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    adjust(_MMAP_THRESHOLD, _LARGEST_KEPT)
    adjust(_TRIM_THRESHOLD, _MOST_KEPT)


@contextmanager
def code_that_stays() -> Iterator[None]:
    """Load code without the garbage collector looking through it, then or at the end.

    That takes a seventh of the time in which a program starts and ends. What is there afterwards is
    never collected, so it is for programs to call once; where nothing was left to load, nothing
    happens.
    """
    loaded = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > loaded:
            gc.freeze()
        gc.enable()
