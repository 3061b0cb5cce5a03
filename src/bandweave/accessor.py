"""`lrms.bandweave.fuse(pan)` on xarray DataArrays, once this module has been imported.

import bandweave.accessor

fused = lrms.bandweave.fuse(pan, method="gsa")
"""

from __future__ import annotations

from typing import Any

from bandweave.config import FuseConfig
from bandweave.errors import MissingExtraError
from bandweave.mosaic.dataarrays import fuse_dataarrays
from bandweave.mosaic.job import Tell

try:
    import xarray
except ImportError as error:
    raise MissingExtraError(
        "bandweave.accessor needs xarray, which is not installed: pip install 'bandweave[xarray]'."
    ) from error


@xarray.register_dataarray_accessor("bandweave")  # type: ignore[no-untyped-call]
class BandweaveAccessor:
    """What bandweave does with a spectral DataArray `(band, y, x)`."""

    def __init__(self, spectral: xarray.DataArray) -> None:
        self._spectral = spectral

    def fuse(
        self, spatial: xarray.DataArray, *, tell: Tell | None = None, **options: Any
    ) -> xarray.DataArray:
        """Sharpen this array with a spatial one; see `bandweave.fuse`.

        Args:
            spatial: `(y, x)` or `(band, y, x)`, with smaller pixels.
            tell: Receives each decision as one sentence; also turns the progress on stderr on.
            **options: As those of `bandweave.fuse`.

        Raises:
            FusionError: One sentence: what was required, what was found, what to do.
        """
        return fuse_dataarrays(spatial, self._spectral, FuseConfig.checked(**options), tell)
