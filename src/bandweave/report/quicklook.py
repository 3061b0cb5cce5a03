"""A labelled picture of images side by side: natural colour, zoom, error, one stretch for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from bandweave.radiometry import Image
from bandweave.window import Window

Pixels = NDArray[np.uint8]

_GAP, _TEXT, _MARGIN = 10, 17, 24
_PAPER, _INK, _FRAME = (250, 250, 248), (30, 30, 34), (255, 196, 0)
QUANTILES = (0.5, 99.5)
"""Percent of the reference's pixels that a stretch spans."""
GAMMA = 0.8
"""Exponent of the stretched values: below 1 it opens the shadows."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """How physical values become grey levels; the same for all panels of a picture."""

    low: tuple[float, ...]
    """Value shown black, one per displayed band."""
    high: tuple[float, ...]
    """Value shown at full brightness."""

    @classmethod
    def of(cls, reference: Image) -> Stretch:
        """Span the 0.5 to 99.5 % quantiles of each band of `reference` `(n, H, W)`."""
        low, high = np.nanpercentile(reference, QUANTILES, axis=(1, 2))
        high = np.maximum(high, low + 1e-9)
        return cls(tuple(map(float, low)), tuple(map(float, high)))

    def applied(self, image: Image) -> Pixels:
        """Return `(H, W, 3)` from `(3, H, W)` or `(1, H, W)`; pixels without value are black."""
        low, high = (np.array(v)[:, None, None] for v in (self.low, self.high))
        unit = np.clip((np.nan_to_num(image) - low) / (high - low), 0, 1) ** GAMMA
        levels: Pixels = np.rint(255 * unit).astype(np.uint8).transpose(1, 2, 0)
        return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))

    def in_words(self) -> str:
        """Return the spans for a caption."""
        spans = ", ".join(f"{a:.0f} to {b:.0f}" for a, b in zip(self.low, self.high, strict=True))
        return f"shown values {spans}, gamma {GAMMA:g}"


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One image of the picture with its title."""

    title: str
    pixels: Pixels
    """`(H, W, 3)`."""


def natural_colour(bands: int) -> tuple[int, int, int]:
    """Return the bands (from 0) shown as red, green and blue: 4, 2, 1 of eight, 2, 1, 0 of four."""
    if bands >= 8:
        return 4, 2, 1
    return (2, 1, 0) if bands >= 3 else (0, 0, 0)


def error_map(hrms: Image, truth: Image, full: float) -> Pixels:
    """Return the mean absolute error over the bands, black at 0 and white from `full` on."""
    unit = np.clip(np.abs(hrms - truth).mean(axis=0) / full, 0, 1)
    # Black, violet, orange, white: monotonous in brightness.
    stops = np.array([[10, 10, 30], [110, 25, 110], [235, 110, 40], [255, 250, 225]], float)
    place = unit * (len(stops) - 1)
    lower = np.minimum(place.astype(int), len(stops) - 2)
    share = (place - lower)[..., None]
    mixed: Pixels = np.rint(stops[lower] * (1 - share) + stops[lower + 1] * share).astype(np.uint8)
    return mixed


def zoomed(pixels: Pixels, window: Window, size: int) -> Pixels:
    """Cut a window out and enlarge it to about `size` pixels, pixel by pixel."""
    rows, cols = window.slices
    factor = max(size // max(window.shape), 1)
    return pixels[rows, cols].repeat(factor, axis=0).repeat(factor, axis=1)


def framed(pixels: Pixels, window: Window) -> Pixels:
    """Mark a window with a frame."""
    picture = Picture.fromarray(pixels)
    box = (window.col, window.row, window.col_stop - 1, window.row_stop - 1)
    ImageDraw.Draw(picture).rectangle(box, outline=_FRAME, width=2)
    return np.asarray(picture)


def write_sheet(path: Path, rows: Sequence[Sequence[Panel]], title: str, caption: str) -> None:
    """Lay panels out in rows under a title, with a caption below, and write a PNG."""
    big, small = (ImageFont.load_default(size=size) for size in (18, 13))
    widths = [sum(p.pixels.shape[1] + _GAP for p in row) - _GAP for row in rows]
    heights = [max(p.pixels.shape[0] for p in row) + _TEXT + _GAP for row in rows]
    lines = caption.split("\n")
    size = (
        max(widths) + 2 * _MARGIN,
        sum(heights) + 2 * _MARGIN + 34 + 18 * len(lines),
    )
    sheet = Picture.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN - 6), title, fill=_INK, font=big)
    y = _MARGIN + 30
    for row, height in zip(rows, heights, strict=True):
        x = _MARGIN
        for panel in row:
            draw.text((x, y - 2), panel.title, fill=_INK, font=small)
            sheet.paste(Picture.fromarray(panel.pixels), (x, y + _TEXT))
            x += panel.pixels.shape[1] + _GAP
        y += height
    for k, line in enumerate(lines):
        draw.text((_MARGIN, y + 18 * k), line, fill=_INK, font=small)
    _save(sheet, path)


def _save(sheet: Any, path: Path) -> None:
    beside = path.with_name(f".{path.name}.partial")
    try:
        sheet.save(beside, format="PNG", optimize=True)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
