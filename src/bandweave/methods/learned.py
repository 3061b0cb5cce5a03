"""A trained network as a Method: checks, phase and sharpness, scaling in and out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandweave.degrade.sampling import blur_gaussian, interpolate, interpolation_apron
from bandweave.errors import BandCountError, GridMismatchError, ScaleError, ShapeError
from bandweave.methods.base import FixedTile
from bandweave.methods.nets.card import WeightCard
from bandweave.methods.nets.checkpoint import Weights
from bandweave.methods.nets.inference import Device, TileRunner, make_runner
from bandweave.methods.statistics import Measurement, SceneStatistics
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image, from_unit, to_unit
from bandweave.window import Window

# Fine pixels that neighbouring tiles share: a quarter of the usual tile. Attention spans the tile,
# so neighbours disagree a little everywhere, and more where convolutions see the zero padding.
OVERLAP = 16


@dataclass(frozen=True, slots=True, eq=False)
class LearnedMethod:
    """U2Net with given weights, run tile by tile at the size it was trained for.

    The pair is brought to what the weights know before it is fused: the coarse image is resampled
    by the difference of the phases, and the PAN is blurred by `pan_sigma`. The PAN is never moved.
    """

    weights: Weights
    device: Device = "auto"
    """Where to compute; `auto` takes a CUDA device where there is one."""
    pan_sigma: float = 0.0
    """Width in fine pixels of the Gaussian that brings this PAN to the sharpness trained with."""
    threads: int | None = None
    """Tiles computed side by side on the CPU; None for as many as torch would use."""

    @property
    def id(self) -> str:
        """Return the key in METHODS."""
        return self.weights.card.architecture

    @property
    def precision(self) -> type[np.float32 | np.float64]:
        """Return the type in which pairs are handed over."""
        return np.float32

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Nothing of the whole scene is needed."""
        del profile
        return None

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedLearned:
        """Check that the weights suit the pair, and put the network on its device.

        Raises:
            BandCountError: The pair has other band counts than the network.
            GridMismatchError: The pair has another ratio than the network.
            ScaleError: The pair's full scale is not known.
        """
        del statistics
        card = self.weights.card
        full_scale = require_fit(card, profile)
        shift = tuple(
            (here - trained) / profile.ratio
            for here, trained in zip(profile.phase, card.phase, strict=True)
        )
        runner = make_runner(self.weights.model, self.device, self.threads)
        return FittedLearned(
            card=card,
            full_scale=full_scale,
            shift=(shift[0], shift[1]),
            pan_sigma=self.pan_sigma,
            runner=runner,
            reach=FixedTile(
                size=card.tile,
                overlap=OVERLAP,
                apron=_apron(profile.ratio, shift, self.pan_sigma),
                batch=runner.batch,
            ),
        )


@dataclass(frozen=True, slots=True, eq=False)
class FittedLearned:
    """A network ready to fuse tiles of one kind of pair."""

    card: WeightCard
    full_scale: float
    """Value of the pair that maps to 1.0."""
    shift: tuple[float, float]
    """Coarse pixels (rows, columns) by which the pair's samples lie behind those trained with."""
    pan_sigma: float
    """Width of the Gaussian over the PAN, fine pixels."""
    runner: TileRunner
    reach: FixedTile

    def fuse(self, pair: ImagePair) -> Image:
        """Return `hrms` `(C, size, size)` of one tile with its apron, physical values.

        Raises:
            ShapeError: The pair is not a tile with its apron.
        """
        return self.fuse_batch([self.prepare(pair)])[0]

    def prepare(self, pair: ImagePair) -> ImagePair:
        """Bring a tile with its apron to the phase and sharpness trained with; cut the apron.

        Raises:
            ShapeError: The pair is not a tile with its apron.
        """
        size, apron = self.reach.size, self.reach.apron
        if pair.shape != (size + 2 * apron, size + 2 * apron):
            raise ShapeError(
                f"The weights {self.card.name} fuse tiles of {size} pixels with {apron} pixels of "
                f"context per side, got a pair of {pair.shape[0]} x {pair.shape[1]} pixels; fuse "
                "larger images with `bandweave.fuse`."
            )
        if any(self.shift):
            spectral = interpolate(pair.spectral, 1, self.shift, border="symmetric")
            pair = pair.replace(spectral=spectral, phase=self.card.phase)
        if self.pan_sigma:
            pair = pair.replace(spatial=blur_gaussian(pair.spatial, self.pan_sigma))
        return pair.crop(Window(apron, apron, size, size)) if apron else pair

    def fuse_batch(self, tiles: Sequence[ImagePair]) -> list[Image]:
        """Fuse prepared tiles; each result is the same whatever else is in the batch.

        Returns:
            One `hrms` `(C, size, size)` per tile, physical values in [0, full_scale], float32.
        """
        spatial, spectral = (
            np.stack([to_unit(np.asarray(image, np.float32), self.full_scale) for image in images])
            for images in ([t.spatial for t in tiles], [t.spectral for t in tiles])
        )
        return list(from_unit(self.runner(spatial, spectral), self.full_scale))


def require_fit(card: WeightCard, profile: PairProfile) -> float:
    """Return the pair's full scale, after checking that the weights suit the pair.

    Raises:
        BandCountError: The pair has other band counts than the network.
        GridMismatchError: The pair has another ratio than the network.
        ScaleError: The pair's full scale is not known.
    """
    config = card.config
    if profile.bands != config.bands:
        raise BandCountError(
            f"The weights {card.name} fuse {config.bands} spectral bands "
            f"({', '.join(card.band_names)}), the spectral image has {profile.bands}; select and "
            "order its bands, or use other weights or a classical method."
        )
    if profile.spatial_bands != config.spatial_bands:
        raise BandCountError(
            f"The weights {card.name} need a spatial image of {config.spatial_bands} band(s), "
            f"got {profile.spatial_bands}; are the two images swapped?"
        )
    if profile.ratio != config.ratio:
        raise GridMismatchError(
            f"The weights {card.name} were trained for ratio {config.ratio}, the pair has ratio "
            f"{profile.ratio}; use other weights or a classical method."
        )
    if profile.full_scale is None:
        raise ScaleError(
            f"The weights {card.name} need the value that maps to 1.0, which is not known for this "
            f"pair (it was {card.full_scale:g} in training); give --full-scale or --sensor."
        )
    return profile.full_scale


def _apron(ratio: int, shift: Sequence[float], pan_sigma: float) -> int:
    """Return the fine pixels of context that make `prepare` exact, a multiple of the ratio."""
    coarse = 0
    if any(shift):
        coarse = interpolation_apron(1) + int(max(abs(s) for s in shift))
    # The Gaussian is cut at 4 σ, rounded.
    blur = math.ceil(int(4 * pan_sigma + 0.5) / ratio)
    return ratio * max(coarse, blur)
