"""Reduced scenes, read by window: what sets and files of simulated pairs are written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bandweave.degrade.noise import Noise, noise_sigma
from bandweave.degrade.sampling import interpolate, interpolation_apron
from bandweave.degrade.wald import ReducedPair, WaldProtocol, wald_window
from bandweave.radiometry import Image
from bandweave.source import PairSource
from bandweave.window import Window

_STRIP_PIXELS = 2**20  # about, of the strips in which a whole scene is read


class ReducedScene(Protocol):
    """A scene that gives reduced pairs by window."""

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns of the reduced fine grid, multiples of the ratio."""
        ...

    @property
    def ratio(self) -> int:
        """Return the fine pixels per coarse pixel."""
        ...

    def reduced(self, window: Window) -> ReducedPair:
        """Return the part of the reduced scene within `window`, edges on multiples of the ratio."""
        ...

    def interpolated(self, window: Window) -> tuple[ReducedPair, Image]:
        """Return the same part, and the spectral image interpolated to its fine grid."""
        ...


@dataclass(frozen=True, slots=True)
class WaldScene:
    """A native pair, reduced by Wald's protocol where it is read; memory stays with the window."""

    source: PairSource
    protocol: WaldProtocol

    @property
    def ratio(self) -> int:
        """Return the fine pixels per coarse pixel."""
        return self.source.profile.ratio

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns of the reduced fine grid, multiples of the ratio."""
        rows, cols = (n // self.ratio**2 * self.ratio for n in self.source.profile.shape)
        return rows, cols

    def reduced(self, window: Window) -> ReducedPair:
        """Return the part of the reduced scene within `window`."""
        return wald_window(self.source, window, self.protocol)

    def interpolated(self, window: Window) -> tuple[ReducedPair, Image]:
        """Interpolate by the 23-tap kernel with context, as if from the whole scene.

        At the scene's edge the image is mirrored.
        """
        apron = interpolation_apron(self.ratio)
        read = window.padded(apron).intersection(Window.whole(self.shape))
        wide = self.reduced(read)
        pair = wide.pair
        up = interpolate(pair.spectral, pair.ratio, pair.phase, border="symmetric")
        inner = window.relative_to(read)
        rows, cols = inner.slices
        return wide.crop(inner), up[:, rows, cols]


@dataclass(frozen=True, slots=True, eq=False)
class MadeScene:
    """A reduced pair that lies in memory, such as one made from a hyperspectral image."""

    whole: ReducedPair
    up: Image
    """`(C, H, W)`, the whole spectral image interpolated to the fine grid."""

    @property
    def ratio(self) -> int:
        """Return the fine pixels per coarse pixel."""
        return self.whole.pair.ratio

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns of the reduced fine grid."""
        return self.whole.pair.shape

    def reduced(self, window: Window) -> ReducedPair:
        """Return the part of the reduced scene within `window`."""
        return self.whole.crop(window)

    def interpolated(self, window: Window) -> tuple[ReducedPair, Image]:
        """Return the same part, and that of the interpolated image."""
        rows, cols = window.slices
        return self.whole.crop(window), self.up[:, rows, cols]


def strips(shape: tuple[int, int], ratio: int) -> list[Window]:
    """Cut a scene into full-width windows of about a megapixel, on multiples of the ratio."""
    height = max(_STRIP_PIXELS // max(shape[1], 1) // ratio, 8) * ratio
    whole = Window.whole(shape)
    return [
        Window(row, 0, height, shape[1]).intersection(whole) for row in range(0, shape[0], height)
    ]


def scene_noise(source: PairSource, snr_db: float, seed: int) -> Noise:
    """Return noise of a stated ratio to the mean square of the native images, in one pass."""
    profile = source.profile
    sums = [np.zeros(profile.spatial_bands), np.zeros(profile.bands)]
    counts = [0, 0]
    for window in strips(profile.shape, profile.ratio):
        pair = source.read(window, np.float64)
        coarse_valid, fine_valid = pair.coarse_valid, pair.valid
        for k, (image, valid) in enumerate(
            ((pair.spatial, fine_valid), (pair.spectral, coarse_valid))
        ):
            pixels = image.reshape(image.shape[0], -1) if valid is None else image[:, valid]
            sums[k] += np.square(pixels).sum(axis=1)
            counts[k] += pixels.shape[1]
    spatial, spectral = (
        noise_sigma(total / max(count, 1), snr_db)
        for total, count in zip(sums, counts, strict=True)
    )
    return Noise(spatial, spectral, seed)
