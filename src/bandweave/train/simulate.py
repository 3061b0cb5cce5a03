"""From the sources of a configuration to scenes: read, reduce, blur, displace, add noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.ndimage

from bandweave.datasets.cave import cave_model, cave_pair, read_scene
from bandweave.datasets.files import is_pair_file, open_pairs
from bandweave.datasets.synthetic.scene import Instrument, synthetic_scene
from bandweave.degrade.noise import Noise
from bandweave.degrade.operators import Imresize, MtfFilter
from bandweave.degrade.wald import ReducedPair, WaldProtocol, usable_cells, wald_pair
from bandweave.errors import BandCountError, SensorModelError, ShapeError
from bandweave.pair import ImagePair, Mask
from bandweave.radiometry import Image
from bandweave.raster.reader import open_image
from bandweave.sensors import Sensor, find_sensor
from bandweave.train.config import (
    Augmentation,
    CaveSource,
    DataConfig,
    SceneSource,
    SyntheticSource,
)
from bandweave.window import Window

Maker = Callable[[np.random.Generator], ReducedPair]
"""Makes a version of a scene, physical values; the same generator state gives the same version."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneMaker:
    """One scene of which versions can be made."""

    name: str
    make: Maker
    pixels: int
    """Reduced fine pixels: how often it is drawn relative to the source's other scenes."""
    is_varied: bool
    """Whether versions differ at all."""


def scene_makers(
    source: SceneSource | CaveSource | SyntheticSource, data: DataConfig
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
    return [_scene(root, source, data)]


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

    return SceneMaker(name, make, side**2, is_varied=False)


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
            pair, gt = _with_bands(pair, taken), gt[taken]
        protocol = WaldProtocol(MtfFilter(instrument.mtf_gains or (0.3,)), phase=phase)
        return ReducedPair(pair, gt, protocol.record(pair.profile))

    return SceneMaker(f"synthetic {seed}", make, source.size**2, source.is_varied)


def _scene(root: Path, source: SceneSource, data: DataConfig) -> SceneMaker:
    pair, is_reduced = _registered(_read(root, source), source)
    augmentation, phase = data.augmentation, data.phase
    gains = None if pair.sensor is None else pair.sensor.mtf_gains(pair.spectral.shape[0])
    if gains is None:
        raise SensorModelError(
            f"The sensor {source.sensor!r} of {source.spatial} has no MTF gains for "
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

    fine = pair.spectral.shape[1] * pair.spectral.shape[2]
    return SceneMaker(source.spatial, make, fine, augmentation.refresh > 0)


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


def _read(root: Path, source: SceneSource) -> tuple[ImagePair, bool]:
    """Return the pair in DN, and whether its spectral image is a reference on the PAN's grid."""
    sensor = find_sensor(source.sensor)
    path = root / source.spatial
    if is_pair_file(path):
        with open_pairs(path, full_scale=source.full_scale, sensor=sensor) as pairs:
            pair, gt = pairs.item(0)
        if gt is None:
            return pair, False
        return _reference_pair(pair.spatial, gt, pair.full_scale, sensor), True
    spatial, valid = _whole(path)
    scale = source.full_scale or sensor.full_scale
    if source.gt is not None:
        gt, gt_valid = _whole(root / source.gt)
        return _reference_pair(spatial, gt, scale, sensor, valid & gt_valid), True
    if source.spectral is None:
        raise ShapeError(f"The source {source.spatial} names neither a spectral image nor a gt.")
    spectral, coarse_valid = _whole(root / source.spectral)
    row, column = source.skip
    spatial, valid = spatial[:, row:, column:], valid[row:, column:]
    ratio = round(spatial.shape[1] / spectral.shape[1])
    rows, columns = (
        min(fine // ratio, coarse)
        for fine, coarse in zip(spatial.shape[1:], spectral.shape[1:], strict=True)
    )
    at = (ratio - 1) / 2 if source.phase is None else source.phase
    fine = (slice(rows * ratio), slice(columns * ratio))
    valid = valid[fine] & coarse_valid.repeat(ratio, axis=0).repeat(ratio, axis=1)[fine]
    pair = ImagePair(
        spatial[:, *fine], spectral[:, :rows, :columns], ratio, (at, at), scale,
        sensor=sensor, valid=None if valid.all() else valid,
    )  # fmt: skip
    return pair, False


def _reference_pair(
    spatial: np.ndarray,
    gt: np.ndarray,
    scale: float | None,
    sensor: Sensor,
    valid: Mask | None = None,
) -> ImagePair:
    height, width = (side // 4 * 4 for side in gt.shape[1:])
    pan, reference = (image[:, :height, :width] for image in (spatial, gt))
    kept = None if valid is None or valid.all() else valid[:height, :width]
    return ImagePair(pan, reference, 1, (0.0, 0.0), scale, sensor=sensor, valid=kept)


def _usable(pair: ImagePair, ratio: int) -> Mask | None:
    return None if pair.valid is None else usable_cells(pair.valid, ratio)


def _with_bands(pair: ImagePair, taken: list[int]) -> ImagePair:
    """Return some of a pair's bands, counted from 0, and what its sensor knows of them."""
    sensor = pair.sensor
    if sensor is not None and len(sensor.bands) == len(pair.spectral):
        sensor = replace(sensor, bands=tuple(sensor.bands[k] for k in taken))
    return pair.replace(spectral=pair.spectral[taken], sensor=sensor)


def _whole(path: Path) -> tuple[Image, Mask]:
    with open_image(str(path)) as image:
        pixels, valid = image.read(Window.whole(image.shape), np.float64)
    return pixels, np.ones(pixels.shape[1:], dtype=bool) if valid is None else valid


def _registered(read: tuple[ImagePair, bool], source: SceneSource) -> tuple[ImagePair, bool]:
    """Take the configured bands and part of a scene."""
    pair, is_reduced = read
    if source.bands is not None:
        if max(source.bands) > pair.spectral.shape[0]:
            raise BandCountError(
                f"Band {max(source.bands)} of {source.spectral or source.spatial} is asked for, "
                f"it has {pair.spectral.shape[0]}."
            )
        taken = [band - 1 for band in source.bands]
        pair = _with_bands(pair, taken)
    # Cut so that both levels of the reduction stay on whole pixels.
    step = 4 * pair.ratio if is_reduced else pair.ratio**2
    height, width = pair.shape
    top, bottom = (int(height * part) // step * step for part in source.rows)
    left, right = (int(width * part) // step * step for part in source.columns)
    return pair.crop(Window(top, left, bottom - top, right - left)), is_reduced
