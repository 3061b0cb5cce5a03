"""What the metrics without reference compare, and what they add up on a tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandweave.errors import BandCountError
from bandweave.metrics.accumulate import MeanTally
from bandweave.metrics.blocks import block_quality
from bandweave.metrics.d_lambda import d_lambda_of
from bandweave.metrics.d_s import d_s_of
from bandweave.metrics.derived import Filtered, Interpolated, Reduced, mtf_filtered
from bandweave.metrics.hqnr import hqnr
from bandweave.metrics.images import ImageSource, both_valid
from bandweave.metrics.inputs import cleaned, matched
from bandweave.metrics.protocol import Protocol
from bandweave.metrics.q2n import q2n_tally
from bandweave.metrics.qnr import qnr
from bandweave.metrics.tiles import require_same_size
from bandweave.pair import Mask
from bandweave.radiometry import Image
from bandweave.window import Window


@dataclass(frozen=True, slots=True)
class Inputs:
    """The three images of a full-resolution evaluation."""

    hrms: ImageSource
    pan: ImageSource
    lrms: ImageSource


@dataclass(frozen=True, slots=True, eq=False)
class FullSums:
    """Block qualities of both sides and the blocks of Q2n; those of two areas add up."""

    fused: MeanTally
    coarse: MeanTally
    q2n: MeanTally
    blocks: int
    """Blocks that are wholly valid."""

    @classmethod
    def empty(cls, bands: int) -> FullSums:
        """Start from no block at all."""
        nothing = MeanTally(np.zeros((bands + 1,) * 2), np.zeros((bands + 1,) * 2))
        return cls(nothing, nothing, MeanTally(np.zeros(1), np.zeros(1)), 0)

    def merged(self, other: FullSums) -> FullSums:
        """Add another area."""
        return FullSums(
            self.fused.merged(other.fused),
            self.coarse.merged(other.coarse),
            self.q2n.merged(other.q2n),
            self.blocks + other.blocks,
        )

    def values(self) -> dict[str, float]:
        """Return the value of every metric."""
        part = slice(-1)  # the last plane is the PAN
        fused, coarse = (
            MeanTally(side.total[part, part], side.count[part, part])
            for side in (self.fused, self.coarse)
        )
        spectral, spatial = d_lambda_of(fused, coarse), d_s_of(self.fused, self.coarse)
        khan = 1.0 - self.q2n.mean()
        return {
            "d_lambda": spectral,
            "d_s": spatial,
            "qnr": qnr(spectral, spatial),
            "d_lambda_k": khan,
            "hqnr": hqnr(khan, spatial),
        }

    def flat_note(self) -> tuple[str, ...]:
        """Say how many blocks D_λ and D_s had to leave out because q is 0 / 0 there."""
        off_diagonal = ~np.eye(len(self.fused.total), dtype=bool)
        least = min(side.count[off_diagonal].min() for side in (self.fused, self.coarse))
        flat = self.blocks - int(least)
        if not flat:
            return ()
        return (f"d_lambda, d_s: up to {flat} of {self.blocks} blocks are flat and left out",)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The images that the metrics compare, as they are computed on the way."""

    hrms: ImageSource
    pan: ImageSource
    spectral: ImageSource
    """`ms_up`, or `lrms` in the original form."""
    pan_low: ImageSource
    """On the grid of `spectral`."""
    ms_up: ImageSource
    blurred: Filtered | None
    """`hrms` under the sensor's MTF, or None where that is not known."""
    protocol: Protocol
    scale: int
    """Pixels of `hrms` per pixel of `spectral`: 1 or the ratio."""

    @classmethod
    def of(
        cls,
        images: Inputs,
        protocol: Protocol,
        ratio: int,
        phase: tuple[float, float],
        gains: Sequence[float] | None,
    ) -> Comparison:
        """Derive what the protocol compares from the three images."""
        reduced = Reduced(images.pan, ratio)
        ms_up = Interpolated(images.lrms, ratio, phase)
        is_fine = protocol.scale_side == "ms_up"
        return cls(
            images.hrms,
            images.pan,
            ms_up if is_fine else images.lrms,
            Interpolated(reduced, ratio, phase) if is_fine else reduced,
            ms_up,
            mtf_filtered(images.hrms, tuple(gains), ratio) if gains else None,
            protocol,
            1 if is_fine else ratio,
        )

    def tile_sums(self, window: Window) -> FullSums | None:
        """Sum up one tile, whose edges lie on whole blocks and coarse pixels."""
        part = window if self.scale == 1 else window.coarse(self.scale)
        fine, fine_valid = _side(self.hrms, self.pan, window)
        coarse, coarse_valid = _side(self.spectral, self.pan_low, part)
        # Both sides are averaged over the same blocks: those that are whole in both.
        valid = both_valid(fine_valid, _spread(coarse_valid, self.scale))
        if valid is not None and not valid.any():
            return None
        coarse_valid = _gathered(valid, self.scale)
        block = self.protocol.block
        tallies = [
            block_quality(*cleaned(planes, role, mask), block=size)
            for planes, role, mask, size in (
                (fine, "fused image with PAN", valid, block),
                (coarse, "coarse image with PAN", coarse_valid, block // self.scale),
            )
        ]
        blocks = window.height * window.width // block**2
        if valid is not None:
            cells = valid.reshape(window.height // block, block, window.width // block, block)
            blocks = int(np.count_nonzero(cells.all(axis=(1, 3))))
        return FullSums(tallies[0], tallies[1], self._q2n(window), blocks)

    def _q2n(self, window: Window) -> MeanTally:
        nothing = MeanTally(np.zeros(1), np.zeros(1))
        if self.blurred is None:
            return nothing
        estimate, valid = self.blurred.read(window, np.float64)
        reference, reference_valid = self.ms_up.read(window, np.float64)
        usable = both_valid(valid, reference_valid)
        if usable is not None and not usable.any():
            return nothing
        images = matched(estimate, reference, usable)
        return q2n_tally(*images, block=self.protocol.block, shift=self.protocol.shift)


def _side(spectral: ImageSource, pan: ImageSource, window: Window) -> tuple[Image, Mask | None]:
    """Read the bands with the PAN as the last one."""
    bands, valid = spectral.read(window, np.float64)
    last, last_valid = pan.read(window, np.float64)
    return np.concatenate([bands, last]), both_valid(valid, last_valid)


def _spread(valid: Mask | None, scale: int) -> Mask | None:
    return None if valid is None else valid.repeat(scale, axis=0).repeat(scale, axis=1)


def _gathered(valid: Mask | None, scale: int) -> Mask | None:
    """Return the mask of coarse pixels whose fine pixels are all valid."""
    if valid is None or scale == 1:
        return valid
    height, width = valid.shape
    cells = valid.reshape(height // scale, scale, width // scale, scale)
    whole: Mask = np.all(cells, axis=(1, 3))
    return whole


def require_nesting(
    hrms: ImageSource,
    pan: ImageSource,
    lrms: ImageSource,
    ratio: int,
    gains: Sequence[float] | None,
) -> None:
    """Refuse images that do not belong together.

    Raises:
        BandCountError: The bands of the images or the gains do not fit each other.
        ShapeError: The images do not nest at this ratio.
    """
    if hrms.bands != lrms.bands or pan.bands != 1:
        raise BandCountError(
            "The fused image needs the bands of the coarse one, and the PAN a single band; got "
            f"{hrms.bands}, {lrms.bands} and {pan.bands}."
        )
    if gains is not None and len(gains) != lrms.bands:
        raise BandCountError(
            f"One MTF gain per band is needed: {lrms.bands} bands, {len(gains)} gains."
        )
    wanted = (lrms.shape[0] * ratio, lrms.shape[1] * ratio)
    require_same_size({f"lrms at ratio {ratio}": wanted, "hrms": hrms.shape, "pan": pan.shape})
