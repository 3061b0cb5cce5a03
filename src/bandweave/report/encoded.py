"""Pictures as text that stands in a page: nothing is fetched from anywhere."""

from __future__ import annotations

import io
from base64 import b64encode

import matplotlib as mpl
import numpy as np
from PIL import Image as Picture

from bandweave.report.figures.style import ERROR_MAP
from bandweave.report.quicklook import Pixels
from bandweave.report.shown import ERROR_GAMMA, Errors

_STOPS = 9  # of the colour bar's gradient


def picture(pixels: Pixels) -> str:
    """Return a lossless picture `(H, W, 3)` as a data URI: comparing needs every pixel as it is."""
    stream = io.BytesIO()
    Picture.fromarray(pixels).save(stream, format="WEBP", lossless=True, quality=40)
    return _uri("image/webp", stream.getvalue())


def error_picture(errors: Errors, full: float) -> str:
    """Return an error map `(H, W)` in the figures' colours as a data URI."""
    level = np.clip(np.nan_to_num(errors) / full, 0, 1) ** ERROR_GAMMA
    colours = mpl.colormaps[ERROR_MAP](level, bytes=True)
    return picture(np.ascontiguousarray(colours[..., :3]))


def drawing(svg: str) -> str:
    """Return an SVG as a data URI, so that its ids stay its own."""
    return _uri("image/svg+xml", svg.encode())


def error_gradient() -> str:
    """Return the error maps' colours as a CSS gradient from left to right."""
    stops = mpl.colormaps[ERROR_MAP](np.linspace(0, 1, _STOPS), bytes=True)
    return f"linear-gradient(to right, {', '.join(f'rgb({r} {g} {b})' for r, g, b, _ in stops)})"


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
