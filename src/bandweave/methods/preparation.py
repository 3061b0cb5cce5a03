"""What is done to a pair before a network sees it: phase, PAN sharpness, image to start from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from bandweave.degrade.sampling import blur_gaussian, interpolate, interpolation_apron
from bandweave.errors import ConfigError
from bandweave.methods.base import Fitted, Local, Method, NetworkTile, fuse_part
from bandweave.methods.consistency import Consistency
from bandweave.methods.convention import require_blur
from bandweave.methods.statistics import Measurement, SceneStatistics
from bandweave.methods.table import find_method
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image
from bandweave.window import Window

if TYPE_CHECKING:
    from bandweave.methods.nets.checkpoint import Weights

# Blocks in which a base is computed for networks with a tile of their own: many tiles share one.
# The context of a block is computed anew with each of its neighbours, hence the larger the better;
# but whole rows of blocks are held, so that wide scenes get flatter ones.
_BLOCK_COLS = _MOST_ROWS = 512
_FEWEST_ROWS = 64
_BYTES_HELD = 2**26


@dataclass(frozen=True, slots=True, eq=False)
class FittedBase:
    """A closed form, fitted to the scene, whose result a network starts from."""

    fitted: Fitted
    precision: type[np.float32 | np.float64]
    """Type in which the method computes."""
    consistency: Consistency | None
    """The step behind the method, for networks that were trained to change only what it leaves."""
    pan_sigma: float
    """Width of the Gaussian over the PAN, fine pixels: the base sees what the network sees."""
    members: int
    """Estimates M that the network is handed one by one; 1 for the method's result."""
    reach: Local
    """Of all three."""

    def fuse(self, pair: ImagePair) -> Image:
        """Return what the network starts from `(M C, H, W)`, physical values, float32."""
        return self.fuse_core(pair, Window.whole(pair.shape))

    def fuse_core(self, pair: ImagePair, core: Window) -> Image:
        """Return the same of a part."""
        pair = soften(pair, self.pan_sigma)
        if pair.spatial.dtype != self.precision:
            pair = pair.replace(
                spatial=pair.spatial.astype(self.precision),
                spectral=pair.spectral.astype(self.precision),
            )
        start = estimates(self.fitted, pair, core, self.members, self.consistency)
        return start.astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True, eq=False)
class Preparation:
    """Bring pairs to what the weights know.

    The coarse image is resampled by the difference of the phases and the PAN is blurred; the PAN is
    never moved. The base sees the blurred PAN and the coarse image as it lies, since it knows
    phases itself.
    """

    ratio: int
    shift: tuple[float, float]
    """Coarse pixels (rows, columns) by which the pair's samples lie behind those trained with."""
    pan_sigma: float
    """Width of the Gaussian over the PAN, fine pixels."""
    base: FittedBase | None

    @property
    def apron(self) -> int:
        """Return the fine pixels of context that make the result exact, a multiple of the ratio."""
        return max(self.apron_beside_base, 0 if self.base is None else self.base.reach.apron)

    @property
    def apron_beside_base(self) -> int:
        """Return the same where what the network starts from is given."""
        moved = 0
        if any(self.shift):
            moved = interpolation_apron(1) + int(max(abs(s) for s in self.shift))
        return max(self.ratio * moved, blur_apron(self.pan_sigma, self.ratio))

    def __call__(self, pair: ImagePair, start: Image | None = None) -> NetworkTile:
        """Return what the network is given, of the extent of the pair.

        Args:
            pair: A part of the scene.
            start: `(M C, H, W)`, what the base makes of the part within the scene; computed from
                the pair alone where it is not given.
        """
        if self.base is not None and start is None:
            start = self.base.fuse(pair)
        spectral = pair.spectral
        if any(self.shift):
            spectral = interpolate(pair.spectral, 1, self.shift, border="symmetric")
        return NetworkTile(soften(pair, self.pan_sigma).spatial, spectral, start)


@runtime_checkable
class Ensemble(Protocol):
    """A fitted method whose result is the mean of several estimates."""

    @property
    def count(self) -> int:
        """Return the number M of estimates."""
        ...

    def members(self, pair: ImagePair, core: Window) -> Iterable[Image]:
        """Return the estimates of a part of a pair, `(C, core.height, core.width)` each.

        Args:
            pair: The part with its apron, less where the scene ends.
            core: The part, relative to the pair.
        """
        ...


def estimates(
    fitted: Fitted, pair: ImagePair, core: Window, members: int, consistency: Consistency | None
) -> Image:
    """Return the result of a base, or the estimates it is the mean of, on a part of a pair.

    Args:
        fitted: The base.
        pair: The part with the context of the base and of the step, less where the scene ends.
        core: The part, relative to the pair.
        members: M; 1 for the result.
        consistency: The step behind each estimate, or None.

    Returns:
        `(M C, core.height, core.width)`.

    Raises:
        ConfigError: The base is the mean of another number of estimates, or of none.
    """
    wide = core
    if consistency is not None:
        apron = consistency.apron(pair.ratio, pair.phase)
        wide = core.padded(apron).intersection(Window.whole(pair.shape))
    part, inside = pair.crop(wide), core.relative_to(wide)
    bands = pair.spectral.shape[0]
    stacked = np.empty((members * bands, *core.shape), pair.spectral.dtype)
    for k, image in enumerate(_single_estimates(fitted, pair, wide, members)):
        known = image if consistency is None else consistency.apply(image, part)
        stacked[k * bands : (k + 1) * bands] = inside.cut(known)
    return stacked


def _single_estimates(
    fitted: Fitted, pair: ImagePair, core: Window, members: int
) -> Iterable[Image]:
    if members == 1:
        return (fuse_part(fitted, pair, core),)
    count = fitted.count if isinstance(fitted, Ensemble) else 1
    if count != members:
        raise ConfigError(
            f"The network is made for {members} estimates, its base makes {count}; the card was "
            "written by hand or for another version."
        )
    assert isinstance(fitted, Ensemble)
    return fitted.members(pair, core)


def make_base(name: str) -> Method:
    """Return the closed form of a network, not yet fitted.

    Raises:
        UnknownMethodError: There is no such method.
        ConfigError: It is learned itself.
    """
    entry = find_method(name)
    if entry.create is None:
        raise ConfigError(
            f"A network starts from a method without weights, not from {name!r}; its card was "
            "written by hand."
        )
    return entry.create()


def base_measurement(base: Method, profile: PairProfile, pan_sigma: float) -> Measurement | None:
    """Return what the base has to measure, of pairs whose PAN is blurred first."""
    own = base.measurement(profile)
    if own is None or not pan_sigma:
        return own
    return Measurement(
        lambda pair, core: own.features(soften(pair, pan_sigma), core),
        own.apron + blur_apron(pan_sigma, profile.ratio),
    )


def fitted_base(
    base: Method,
    profile: PairProfile,
    statistics: SceneStatistics | None,
    weights: Weights,
    pan_sigma: float,
) -> FittedBase:
    """Fit the closed form that a network starts from.

    Args:
        base: The closed form.
        profile: The pair.
        statistics: What `base_measurement` asked for.
        weights: Say how many of the base's estimates the network is handed; of a network trained
            with the consistency step, the base passes it too.
        pan_sigma: Blur of the PAN, fine pixels.

    Raises:
        ConfigError: The base needs the whole scene at once.
        FusionError: The pair does not suit the base, or the step: its sensor model is not known.
    """
    fitted, ratio, card = base.fit(profile, statistics), profile.ratio, weights.card
    if not isinstance(fitted.reach, Local):
        raise ConfigError(
            f"The weights {card.name} start from {base.id}, which needs the whole scene at once: "
            "tiles of a network cannot start from it."
        )
    step = None
    apron = fitted.reach.apron + blur_apron(pan_sigma, ratio)
    if card.consistent:
        blur = require_blur(profile, f"The base of the weights {card.name}")
        response = None if profile.sensor is None else profile.sensor.response
        step = Consistency(blur, card.consistency_noise, response)
        apron += step.apron(ratio, profile.phase)
    members = weights.model.members
    reach = Local(-(-apron // ratio) * ratio, _block(profile, members))
    return FittedBase(fitted, base.precision, step, pan_sigma, members, reach)


def _block(profile: PairProfile, members: int) -> tuple[int, int]:
    """Return rows and columns of the blocks of a scene, multiples of the ratio."""
    bytes_per_row = 4 * members * profile.bands * profile.shape[1]
    rows = min(max(_BYTES_HELD // bytes_per_row, _FEWEST_ROWS), _MOST_ROWS)
    height, width = (max(side // profile.ratio, 1) * profile.ratio for side in (rows, _BLOCK_COLS))
    return height, width


def soften(pair: ImagePair, sigma: float) -> ImagePair:
    """Blur the spatial image with a Gaussian of `sigma` fine pixels; 0 leaves the pair alone."""
    return pair.replace(spatial=blur_gaussian(pair.spatial, sigma)) if sigma else pair


def blur_apron(sigma: float, ratio: int) -> int:
    """Return the fine pixels of context that the Gaussian needs, a multiple of the ratio."""
    # It is cut at 4 σ, rounded.
    return ratio * math.ceil(int(4 * sigma + 0.5) / ratio)
