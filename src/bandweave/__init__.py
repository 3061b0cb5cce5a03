"""bandweave: join a sharp image with few bands to a coarse image with many.

Importing the package loads neither torch nor matplotlib: the public names are looked up late.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bandweave.grid import Grid
    from bandweave.mosaic.fuse import fuse
    from bandweave.pair import ImagePair
    from bandweave.window import Window

_HOMES = {
    "Grid": "bandweave.grid",
    "ImagePair": "bandweave.pair",
    "Window": "bandweave.window",
    "fuse": "bandweave.mosaic.fuse",
}

__all__ = ["Grid", "ImagePair", "Window", "__version__", "fuse"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bandweave' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
