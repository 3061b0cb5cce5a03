"""From the sources of a configuration to scenes: reduce, blur, displace, add noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.ndimage

from bandweave.datasets.cave import cave_model, cave_pair, read_scene
from bandweave.datasets.synthetic.scene import Instrument, synthetic_scene
from bandweave.degrade.noise import Noise
from bandweave.degrade.operators import Imresize, MtfFilter
from bandweave.degrade.wald import ReducedPair, WaldProtocol, usable_cells, wald_pair
from bandweave.errors import SensorModelError
from bandweave.pair import ImagePair, Mask, PairProfile
from bandweave.radiometry import Image
from bandweave.sensors import Sensor, find_sensor
from bandweave.train.config import (
    Augmentation,
    CaveSource,
    DataConfig,
    FolderSource,
    SceneSource,
    SyntheticSource,
)
from bandweave.train.scene_files import folder_pairs, scene_pair, with_bands

Maker = Callable[[np.random.Generator], ReducedPair]
"""Makes a version of a scene, physical values; the same generator state gives the same version."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneMaker:
    """One scene of which versions can be made."""

    name: str
    make: Maker
    profile: PairProfile
    """What every version is, but for the sensor."""
    is_varied: bool
    """Whether versions differ at all."""

    @property
    def pixels(self) -> int:
        """Return the fine pixels: how often it is drawn relative to the source's other scenes."""
        return self.profile.shape[0] * self.profile.shape[1]


def scene_makers(
    source: SceneSource | FolderSource | CaveSource | SyntheticSource, data: DataConfig
) -> list[SceneMaker]:
    """Open a source.

    Raises:
        FusionError: A file is missing or unreadable, or does not fit what the source says.
    """
    root = Path(data.root)
    if isinstance(source, CaveSource):
        return [_cave(root / source.path, name, source) for name in source.scenes]
    if isinstance(source, SyntheticSource):
        return [_synthetic(seed, source, data) for seed in range(*source.seeds)]
    if isinstance(source, FolderSource):
        return [_scene(*found, source, data) for found in folder_pairs(root, source)]
    pair, is_reduced = scene_pair(root, source)
    return [_scene(source.spatial, pair, source, data, is_reduced=is_reduced)]


def _cave(folder: Path, name: str, source: CaveSource) -> SceneMaker:
    gt = read_scene(folder, name, dtype=np.float32)
    size = gt.shape[1]
    side = int(size * source.part) // source.ratio * source.ratio
    first = (size - side) // 2 // source.ratio * source.ratio
    gt = gt[:, first : first + side, first : first + side]

    model = cave_model(source.ratio)
    sensor = Sensor("cave", "CAVE's protocol", (), psf=model.psf, response=model.response)

    def make(generator: np.random.Generator) -> ReducedPair:
        del generator
        reduced = cave_pair(gt.astype(np.float64), source.ratio)
        return replace(reduced, pair=reduced.pair.replace(sensor=sensor))

    profile = PairProfile((side, side), 3, len(gt), source.ratio, model.phase)
    return SceneMaker(name, make, profile, is_varied=False)


def _synthetic(seed: int, source: SyntheticSource, data: DataConfig) -> SceneMaker:
    phase = data.phase or (2.0, 2.0)

    def make(generator: np.random.Generator) -> ReducedPair:
        instrument = Instrument(phase=phase)
        if source.is_varied:
            gains = np.array(find_sensor("wv3").mtf_gains(8))
            instrument = Instrument(
                phase=phase,
                mtf_gains=tuple(gains * generator.uniform(0.85, 1.1)),
                pan_blur=float(generator.uniform(0.3, 0.8)),
                pan_noise=float(generator.uniform(0.5, 5)),
                spectral_noise=float(generator.uniform(0.5, 3)),
            )
        scene = synthetic_scene(seed, (source.size, source.size), instrument=instrument)
        pair, gt = scene.pair, scene.gt
        if source.bands is not None:
            taken = [band - 1 for band in source.bands]
            pair, gt = with_bands(pair, taken), gt[taken]
        protocol = WaldProtocol(MtfFilter(instrument.mtf_gains or (0.3,)), phase=phase)
        return ReducedPair(pair, gt, protocol.record(pair.profile))

    bands = 8 if source.bands is None else len(source.bands)
    profile = PairProfile((source.size, source.size), 1, bands, 4, phase)
    return SceneMaker(f"synthetic {seed}", make, profile, source.is_varied)


def _scene(
    name: str,
    pair: ImagePair,
    source: SceneSource | FolderSource,
    data: DataConfig,
    *,
    is_reduced: bool = False,
) -> SceneMaker:
    augmentation, phase = data.augmentation, data.phase
    gains = None if pair.sensor is None else pair.sensor.mtf_gains(pair.spectral.shape[0])
    if gains is None:
        raise SensorModelError(
            f"The sensor {source.sensor!r} of {name} has no MTF gains for "
            f"{pair.spectral.shape[0]} bands; name another sensor, or choose other bands."
        )

    def make(generator: np.random.Generator) -> ReducedPair:
        protocol = drawn_protocol(augmentation, gains, pair, phase, generator)
        if not is_reduced:
            return wald_pair(_displaced(pair, augmentation, generator), protocol)
        # The PAN is reduced already: `spectral` is the reference, on the PAN's grid.
        at = protocol.phase_at(4)
        lrms = protocol.spectral.apply(pair.spectral, 4, at)
        pan = _with_detail(pair.spatial, augmentation, generator)
        reduced = pair.replace(
            spatial=pan, spectral=lrms, ratio=4, phase=at, valid=_usable(pair, 4)
        )
        return ReducedPair(reduced, pair.spectral, protocol.record(reduced.profile))

    height, width = pair.spectral.shape[1:]
    ratio = 4 if is_reduced else pair.ratio
    at = phase or (ratio / 2, ratio / 2)
    profile = PairProfile((height, width), pair.spatial.shape[0], pair.spectral.shape[0], ratio, at)
    return SceneMaker(name, make, profile, augmentation.refresh > 0)


def drawn_protocol(
    augmentation: Augmentation,
    gains: tuple[float, ...],
    pair: ImagePair,
    phase: tuple[float, float] | None,
    generator: np.random.Generator,
) -> WaldProtocol:
    """Draw one recipe of simulation within the configured ranges."""
    factor = generator.uniform(*augmentation.gain_factor)
    is_bicubic = generator.uniform() < augmentation.bicubic_share
    pan_gain = None
    if augmentation.pan_gain is not None:
        pan_gain = float(generator.uniform(*augmentation.pan_gain))
    spatial = Imresize() if pan_gain is None or is_bicubic else MtfFilter((pan_gain,), True)
    scale = pair.full_scale or 1.0
    sigma = float(generator.uniform(*augmentation.noise)) * scale
    seed = int(generator.integers(2**31))
    noise = None
    if sigma > 0:
        bands = pair.spatial.shape[0], pair.spectral.shape[0]
        noise = Noise((sigma,) * bands[0], (sigma,) * bands[1], seed)
    # A gain of 1 or more has no Gaussian.
    varied = tuple(min(gain * factor, 0.95) for gain in gains)
    return WaldProtocol(MtfFilter(varied), spatial, phase, noise)


def _with_detail(pan: Image, augmentation: Augmentation, generator: np.random.Generator) -> Image:
    """Soften or sharpen a PAN, so that nothing depends on how its file was made."""
    low, high = augmentation.pan_detail
    if low == high == 1:
        return pan
    soft = scipy.ndimage.gaussian_filter(pan, (0, 1, 1), mode="nearest")
    sharpened: Image = soft + generator.uniform(low, high) * (pan - soft)
    return sharpened


def _displaced(
    pair: ImagePair, augmentation: Augmentation, generator: np.random.Generator
) -> ImagePair:
    """Move the PAN's samples against the bands by up to `displacement` reduced pixels.

    The pair's phase says where the PAN is sampled when it is reduced, so the displacement is one of
    the phase and nothing is resampled twice.
    """
    most = augmentation.displacement * pair.ratio
    if not most:
        return pair
    rows, columns = generator.uniform(-most, most, size=2)
    return pair.replace(phase=(pair.phase[0] + float(rows), pair.phase[1] + float(columns)))


def _usable(pair: ImagePair, ratio: int) -> Mask | None:
    return None if pair.valid is None else usable_cells(pair.valid, ratio)
