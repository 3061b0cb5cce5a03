"""Open raster files without the warning that a file lacks georeference."""

from __future__ import annotations

import os
import threading
import warnings
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning

# Python's warning filters are shared by all threads: only one at a time may bend them.
_OPENING = threading.Lock()


def quiet_open(path: str | os.PathLike[str], mode: str = "r", **options: Any) -> Any:
    """Open a dataset as `rasterio.open` does; our own AlignmentWarning tells what matters."""
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, mode, **options)
