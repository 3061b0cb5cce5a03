"""One image of a run as pictures: one stretch, one error scale, the same pixels in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandweave.radiometry import Image
from bandweave.report.colours import Colours
from bandweave.report.kept import KeptImages, KeptScene
from bandweave.report.pixels import busiest, typical_pixels
from bandweave.report.quicklook import GAMMA, QUANTILES, Pixels, Stretch
from bandweave.report.records import Record
from bandweave.window import Window

LARGEST_SIDE = 512
"""Pixels per side shown of an image; of a larger one the part in which it varies most."""
_ERROR_QUANTILE = 99.5
"""Percent of a method's pixels whose error the scale of that method alone would span."""
ERROR_GAMMA = 0.5
"""Exponent of the errors' scale: its square root shows what good and bad methods leave alike."""

Errors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A picture of an image: of a method, of the reference or of an input."""

    id: str
    """Id of the row; `reference`, `spatial`, `spectral` otherwise."""
    name: str
    pixels: Pixels
    """`(H, W, 3)`, natural colour."""
    spectra: NDArray[np.float32]
    """`(n, C)` at the picked pixels; empty for the spatial image."""
    errors: Errors | None = None
    """`(H, W)`: absolute difference from the reference, mean over the bands."""
    seconds: float | None = None
    values: dict[str, float] | None = None
    """Scores of this image by metric id."""


@dataclass(frozen=True, slots=True, eq=False)
class ShownImage:
    """One image and what every method made of it."""

    scene: KeptScene
    window: Window
    """Part of the whole image that is shown."""
    inputs: tuple[Layer, ...]
    """Spatial and spectral image, the latter pixel by pixel."""
    reference: Layer | None
    methods: tuple[Layer, ...]
    """In the order of the table."""
    colours: Colours
    """What is shown as red, green and blue."""
    stretch: Stretch
    error_full: float | None
    """Error at the upper end of the scale; None without reference."""
    zoom: Window
    """Enlarged part, within the shown one."""
    picked: tuple[tuple[int, int], ...]
    """Row and column, within the shown part, of the pixels whose spectra are drawn."""

    @property
    def title(self) -> str:
        """Return the image's name for headings."""
        return self.scene.image

    @property
    def stretch_in_words(self) -> str:
        """Say what is shown, and which values span black to white, in all panels."""
        spans = zip(self.colours.names, self.stretch.low, self.stretch.high, strict=True)
        names = ", ".join(f"{name} {low:.4g} to {high:.4g}" for name, low, high in spans)
        origin = "reference" if self.reference is not None else "MS"
        return (
            f"One stretch for all pictures, the {QUANTILES[0]:g} to {QUANTILES[1]:g} % quantiles "
            f"of the {origin} in red, green, blue: {names} {self.scene.unit}; gamma {GAMMA:g}. The "
            f"{self.inputs[0].name} has its own."
        )

    @property
    def errors_in_words(self) -> str:
        """Say what the error maps show."""
        assert self.error_full is not None
        return (
            "Absolute difference from the reference, mean over the "
            f"{len(self.scene.bands)} bands; one scale for all maps, by square roots up to "
            f"{self.error_full:.3g} {self.scene.unit} (larger ones have its colour), the median "
            f"over the methods of their {_ERROR_QUANTILE:g} % quantiles."
        )

    def pixel_in_image(self, pixel: tuple[int, int]) -> tuple[int, int]:
        """Return row and column of a shown pixel in the whole image."""
        return pixel[0] + self.window.row, pixel[1] + self.window.col


def shown_images(
    kept: KeptImages,
    records: Sequence[Record],
    *,
    pixels: Sequence[tuple[int, int]] = (),
) -> list[ShownImage]:
    """Return the pictures of every image of which a result is kept, in the records' order.

    Args:
        kept: The run's images.
        records: Of all data; those whose image is not kept, or of another digest, are passed over.
        pixels: Row and column in the whole image of the pixels whose spectra are drawn; none for
            three that are picked by their spectra. Those outside the part that is shown are left
            out.

    Raises:
        FileFormatError: A kept image is missing or damaged.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.state == "done" and kept.has(*_place(record), record.digest):
            groups.setdefault((record.data, record.image), []).append(record)
    scenes = {(scene.data, scene.image): scene for scene in kept.scenes()}
    return [_shown(kept, scenes[key], own, pixels) for key, own in groups.items()]


def _place(record: Record) -> tuple[str, str, str]:
    return record.data, record.image, record.row


def _shown(
    kept: KeptImages,
    scene: KeptScene,
    records: Sequence[Record],
    pixels: Sequence[tuple[int, int]],
) -> ShownImage:
    place = scene.data, scene.image
    spectral = _enlarged(kept.read(*place, "spectral"), scene.ratio)
    truth = kept.read(*place, "reference") if scene.has_reference else None
    best = spectral if truth is None else truth
    part = busiest(best, LARGEST_SIDE, step=scene.ratio)
    best, spectral = _cut(best, part), _cut(spectral, part)
    truth = None if truth is None else best
    colours = Colours.of_scene(scene)
    stretch = Stretch.of(colours.of(best))
    window = Window(
        scene.window.row + part.row, scene.window.col + part.col, part.height, part.width
    )
    picked = _within(pixels, window) if pixels else typical_pixels(best)
    close = max(min(part.shape) // 5, 8)

    def layer(id: str, name: str, image: Image, record: Record | None = None) -> Layer:  # noqa: A002
        return Layer(
            id,
            name,
            stretch.applied(colours.of(image)),
            np.array([image[:, r, c] for r, c in picked], np.float32).reshape(-1, len(image)),
            None if record is None or truth is None else np.abs(image - truth).mean(axis=0),
            None if record is None else record.seconds,
            None if record is None else record.values,
        )

    methods = tuple(
        layer(one.row, one.name, _cut(kept.read(*_place(one)), part), one) for one in records
    )
    return ShownImage(
        scene=scene,
        window=window,
        inputs=(
            _spatial_layer(_cut(kept.read(*place, "spatial"), part)),
            layer("spectral", "HS" if len(scene.bands) > 16 else "MS", spectral),
        ),
        reference=None if truth is None else layer("reference", "reference", truth),
        methods=methods,
        colours=colours,
        stretch=stretch,
        error_full=None if truth is None else _error_scale(methods),
        zoom=busiest(best, close),
        picked=tuple(picked),
    )


def _spatial_layer(image: Image) -> Layer:
    """Show the sharp image in its own stretch: it is no band of the others."""
    bands = image if len(image) == 3 else image[:1]
    return Layer(
        "spatial",
        "PAN" if len(image) == 1 else "MSI",
        Stretch.of(bands).applied(bands),
        np.empty((0, len(image)), np.float32),
    )


def _error_scale(methods: Sequence[Layer]) -> float:
    ends = [
        np.nanpercentile(one.errors, _ERROR_QUANTILE) for one in methods if one.errors is not None
    ]
    return float(np.median(ends)) or 1.0


def _enlarged(image: Image, ratio: int) -> Image:
    return image.repeat(ratio, axis=1).repeat(ratio, axis=2)


def _cut(image: Image, window: Window) -> Image:
    return image[(slice(None), *window.slices)]


def _within(pixels: Sequence[tuple[int, int]], window: Window) -> list[tuple[int, int]]:
    moved = [(row - window.row, col - window.col) for row, col in pixels]
    return [(r, c) for r, c in moved if 0 <= r < window.height and 0 <= c < window.width]
