"""The demo: a scene is made, fused, scored against its truth, and shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandweave.datasets.synthetic.scene import synthetic_scene
from bandweave.errors import OutputError, OutputExistsError
from bandweave.metrics.ergas import ergas
from bandweave.metrics.psnr import psnr
from bandweave.metrics.sam import sam
from bandweave.mosaic.fuse import fuse
from bandweave.radiometry import Image
from bandweave.raster.reader import open_image
from bandweave.report.quicklook import (
    Panel,
    Stretch,
    error_map,
    framed,
    natural_colour,
    write_sheet,
    zoomed,
)
from bandweave.window import Window

SEED = 3
"""Seed of the scene; neither trained on nor validated with."""
METHODS = {"exp": "interpolation", "bt_h": "BT-H, classical", "u2net_ensemble": "U2Net-L, shipped"}
_WEIGHTS = "u2net-l-wv"
_SHOWN = 300  # pixels per side of a panel
_ZOOM = 60  # pixels per side of the enlarged part
_ERROR_FULL = 200.0  # DN shown white in the error maps


@dataclass(frozen=True, slots=True)
class Row:
    """Scores of one method against the truth."""

    method: str
    name: str
    psnr: float
    """dB, peak 2047, mean over the bands."""
    sam: float
    """Degrees."""
    ergas: float
    seconds: float


def run_demo(
    folder: Path,
    *,
    size: int = 512,
    overwrite: bool = False,
    tell: Callable[[str], None] | None = None,
) -> list[Row]:
    """Make a synthetic WorldView-3 scene, fuse it three ways, and leave what one wants to see.

    Writes `pan.tif`, `ms.tif`, `truth.tif`, one fused GeoTIFF per method and `demo.png`.

    Args:
        folder: Made if it does not exist.
        size: PAN pixels per side, a multiple of 4, 128 or more.
        overwrite: Replace the files of an earlier demo.
        tell: Receives what happens, a sentence at a time.

    Returns:
        One row of scores per method, over the whole image.
    """
    sheet = folder / "demo.png"
    if sheet.exists() and not overwrite:
        raise OutputExistsError(f"{sheet} exists; give another --out, or --overwrite.")
    scene = synthetic_scene(SEED, (size, size))
    try:
        pan, ms, _ = scene.write_geotiff_pair(folder)
    except OSError as error:
        raise OutputError(f"The folder {folder} could not be written: {error}.") from error
    rows, images = [], {}
    for method, name in METHODS.items():
        out = folder / f"fused_{method}.tif"
        report = fuse(
            pan,
            ms,
            out,
            method=method,
            weights=_WEIGHTS if method == "u2net_ensemble" else None,
            sensor="wv3",
            overwrite=True,
            tell=tell,
        )
        with open_image(out) as image:
            hrms = image.read(Window.whole(image.grid.shape), np.float64)[0]
        images[name] = hrms
        truth = scene.gt.astype(np.float64)
        rows.append(
            Row(
                method=method,
                name=name,
                psnr=psnr(hrms, truth, peak=2047.0),
                sam=sam(hrms, truth),
                ergas=ergas(hrms, truth, ratio=4),
                seconds=report.seconds or 0.0,
            )
        )
    _show(sheet, scene.pair.spatial, scene.pair.spectral, scene.gt, images)
    return rows


def _show(sheet: Path, pan: Image, lrms: Image, truth: Image, fused: dict[str, Image]) -> None:
    """Draw the input, the results and the truth; below each the enlarged part and the error."""
    bands = list(natural_colour(len(truth)))
    stretch, grey = Stretch.of(truth[bands]), Stretch.of(pan)
    side = min(_SHOWN, truth.shape[1])
    part = _liveliest(truth, side)
    zoom = _liveliest(truth[(slice(None), *part.slices)], min(_ZOOM, side))
    coarse = lrms.repeat(4, axis=1).repeat(4, axis=2)

    def cut(image: Image) -> Image:
        return image[(slice(None), *part.slices)]

    shown = {"PAN": grey.applied(cut(pan)), "MS": stretch.applied(cut(coarse)[bands])}
    shown |= {name: stretch.applied(cut(image)[bands]) for name, image in fused.items()}
    shown["truth"] = stretch.applied(cut(truth)[bands])
    above = [Panel(name, framed(pixels, zoom)) for name, pixels in shown.items()]
    middle = [Panel("", zoomed(pixels, zoom, side)) for pixels in shown.values()]
    blank = np.full((side, side, 3), 250, np.uint8)
    errors = {
        name: Panel(f"|{name} - truth|", error_map(cut(image), cut(truth), _ERROR_FULL))
        for name, image in fused.items()
    }
    below = [errors.get(name, Panel("", blank)) for name in shown]
    write_sheet(
        sheet,
        [above, middle, below],
        "bandweave demo: a synthetic WorldView-3 scene, 0.3 m PAN and 1.2 m MS",
        f"Natural colour (bands red, green, blue); {stretch.in_words()}; one stretch for all "
        f"colour panels.\nError: mean over the eight bands, black 0, white {_ERROR_FULL:g} DN.",
    )


def _liveliest(image: Image, side: int) -> Window:
    """Return the square in which the bands vary most."""
    step = max(side // 4, 4) // 4 * 4
    windows = [
        Window(row, col, side, side)
        for row in range(0, image.shape[1] - side + 1, step)
        for col in range(0, image.shape[2] - side + 1, step)
    ]
    return max(windows, key=lambda w: float(image[(slice(None), *w.slices)].std(axis=(1, 2)).sum()))
