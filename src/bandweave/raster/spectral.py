"""Where bands lie in the spectrum, as files state it.

GDAL reads ENVI headers into the bands' own tags (`wavelength`, `wavelength_units`, `fwhm`). Since
version 3.10 it has a place for all formats as well: `CENTRAL_WAVELENGTH_UM` and `FWHM_UM` of the
IMAGERY namespace, in micrometres. GeoTIFFs may have either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

_NANOMETRES = dict.fromkeys(("nanometers", "nanometer", "nanometres", "nm"), 1.0)
_NANOMETRES |= dict.fromkeys(("micrometers", "micrometer", "micrometres", "microns"), 1e3)
_NANOMETRES |= dict.fromkeys(("um", "µm"), 1e3)


def spectral_tags(tags: Mapping[str, str], imagery: Mapping[str, str]) -> dict[str, str]:
    """Return a band's tags, with its wavelength where only the IMAGERY namespace has it.

    Args:
        tags: The band's own tags.
        imagery: Those of its IMAGERY namespace.
    """
    found = dict(tags)
    centre, width = imagery.get("CENTRAL_WAVELENGTH_UM"), imagery.get("FWHM_UM")
    if "wavelength" in found or centre is None:
        return found
    found |= {"wavelength": centre, "wavelength_units": "Micrometers"}
    if width is not None:
        found["fwhm"] = width
    return found


def centre_wavelength(tags: Mapping[str, str]) -> float | None:
    """Return a band's centre in nanometres, None where its tags do not state it.

    A number without a unit is taken as nanometres.
    """
    factor = _NANOMETRES.get(tags.get("wavelength_units", "nm").strip().lower(), math.nan)
    try:
        centre = float(tags["wavelength"]) * factor
    except (KeyError, ValueError):
        return None
    return centre if math.isfinite(centre) else None
