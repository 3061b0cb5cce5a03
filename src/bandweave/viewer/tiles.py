"""One tile: read, stretched, coloured, encoded."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from bandweave.errors import ConfigError
from bandweave.pair import Mask
from bandweave.viewer.layers import Layer
from bandweave.viewer.stretch import Limits, to_grey

MEDIA_TYPE = "image/webp"
PALETTES = ("grey", "heat")
"""How one band is coloured; three bands are red, green and blue."""

# Black, violet, orange, white: monotonous in brightness.
_HEAT = np.array([[10, 10, 30], [110, 25, 110], [235, 110, 40], [255, 250, 225]], float)


@dataclass(frozen=True, slots=True)
class Look:
    """How a layer is shown: bands, their limits, the palette of a single band."""

    bands: tuple[int, ...]
    limits: tuple[Limits, ...]
    palette: str = "grey"

    @classmethod
    def parse(cls, query: Mapping[str, str], layer: Layer) -> Look:
        """Read `bands=5,3,2&limits=low:high,low:high,low:high&palette=grey`.

        Raises:
            ConfigError: A part is missing or impossible; the sentence says which.
        """
        bands = parse_bands(query, layer)
        try:
            limits = tuple(
                (float(low), float(high))
                for low, high in (pair.split(":") for pair in query.get("limits", "").split(","))
            )
        except ValueError:
            limits = ()
        is_possible = all(math.isfinite(a) and math.isfinite(b) and a < b for a, b in limits)
        if len(limits) != len(bands) or not is_possible:
            raise ConfigError(
                f"`limits` must hold low:high for each of {len(bands)} bands, with low below "
                f"high, got {query.get('limits', 'none')}."
            )
        palette = query.get("palette", PALETTES[0])
        if palette not in PALETTES:
            raise ConfigError(f"`palette` must be one of {', '.join(PALETTES)}, got {palette}.")
        return cls(bands, limits, palette)


def parse_bands(query: Mapping[str, str], layer: Layer) -> tuple[int, ...]:
    """Read `bands=5,3,2`: one band, or three.

    Raises:
        ConfigError: Another number of bands, or one that the layer has not.
    """
    text = query.get("bands", "")
    bands = tuple(int(part) for part in text.split(",") if part.isdecimal())
    if len(bands) not in (1, 3) or any(band not in layer.bands for band in bands):
        raise ConfigError(
            f"`bands` must name one band or three of {layer.bands.start} to "
            f"{layer.bands.stop - 1}, got {text or 'none'}."
        )
    return bands


def render_tile(layer: Layer, level: int, row: int, col: int, look: Look) -> bytes | None:
    """Return a tile as WebP without loss, pixels without data transparent; None beyond the image.

    Lossless, since the page is for judging pixels; of the lossless ways the fastest measured
    (`benchmarks/bench_viewer.py`).
    """
    window = layer.pyramid.tile(level, row, col)
    if window is None:
        return None
    values, valid = layer.read(look.bands, level, window)
    grey = to_grey(values, look.limits)
    if look.palette == "heat" and len(grey) == 1:
        return encode(_heat_table()[grey[0]].transpose(2, 0, 1), valid)
    return encode(np.broadcast_to(grey, (3, *window.shape)), valid)


def encode(colours: NDArray[np.uint8], valid: Mask) -> bytes:
    """Encode `(3, H, W)` and a mask `(H, W)`."""
    planes = colours if valid.all() else np.concatenate([colours, 255 * valid[None].astype("u1")])
    picture = Picture.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))
    stream = io.BytesIO()
    # Least effort: the tile travels inside one machine.
    picture.save(stream, "WEBP", lossless=True, quality=0, method=0)
    return stream.getvalue()


def _heat_table() -> NDArray[np.uint8]:
    """Return 256 colours `(256, 3)`."""
    place = np.linspace(0, len(_HEAT) - 1, 256)
    lower = np.minimum(place.astype(int), len(_HEAT) - 2)
    share = (place - lower)[:, None]
    mixed = _HEAT[lower] * (1 - share) + _HEAT[lower + 1] * share
    table: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return table
