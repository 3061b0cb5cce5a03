"""Whether the metrics' inner loops run as machine code or as passes of NumPy."""

from __future__ import annotations

from functools import cache


@cache
def is_compiled() -> bool:
    """Tell whether numba can be imported (extra `fast`).

    Both ways compute the same in double precision. What is compiled is kept on the machine.
    """
    try:
        import numba  # noqa: F401, PLC0415  # an extra, and slow to load
    except ImportError:  # absent, or not made for this NumPy
        return False
    return True
