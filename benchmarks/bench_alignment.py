"""Displacement and PAN sharpness: how exactly they are measured, and what following them is worth.

    .venv/bin/python benchmarks/bench_alignment.py [--data FOLDER --weights FILE.pth]

Prints the tables of docs/alignment.md. Without `--data` (the folder with the real pairs) only the
simulated ones are measured; without `--weights` (the published WorldView-3 checkpoint) what needs a
network is left out.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from conditions import conditions
from scipy.io import loadmat

from bandweave.degrade.observe import observe
from bandweave.degrade.sampling import imresize
from bandweave.errors import BandweaveWarning
from bandweave.methods.base import Fitted, Method
from bandweave.methods.interpolation import Interpolation
from bandweave.methods.learned import LearnedMethod
from bandweave.methods.nets.zoo import load_named
from bandweave.methods.substitution.gram_schmidt import GramSchmidtAdaptive
from bandweave.mosaic.found.relative_sharpness import measure_sharpness
from bandweave.mosaic.found.sharpness import match_sharpness
from bandweave.mosaic.found.shift import measure_displacement
from bandweave.mosaic.runner import ArraySink, RunLimits, fit_method, run_scene
from bandweave.pair import ImagePair
from bandweave.raster.reader import open_pair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource, PairSource
from bandweave.window import Window

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from oracles.two_instruments import simulate

PHASE = (2.0, 2.0)
FULL_SCALE = 2047.0
SPACENET = "wv3_spacenet_shanghai"
PAIRS = (SPACENET, "wv3_utm42", "wv3_munich_urban_halfscale", "wv3_munich_natural_halfscale",
         "wv2_miami_urban_halfscale", "train4/pleiades_urban", "train4/pleiadeslike_dgif2",
         "train4/pleiadeslike_dgif3", "train4/pleiadeslike_dgif4", "train4/spot6_cropland",
         "train4/spot6_vegetation", "train4/qb_abf_fr", "train4/gf2_psdata3_fr0",
         "train4/gf2_psdata3_frtrain4")  # fmt: skip
MATLAB = {"wv2_grip_fr": ("I_PAN", "I_MS"), "ikonos_grip_fr": ("I_PAN", "I_MS")}


def row(*cells: object) -> None:
    shown = (f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells)
    print("| " + " | ".join(shown) + " |", flush=True)


def head(*cells: str) -> None:
    print()
    row(*cells)
    row(*("---" for _ in cells))


def simulated() -> None:
    """Known displacements up to two coarse pixels, over ten scenes each."""
    cases: dict[str, dict[str, Any]] = {
        "PAN sigma 0.5, no noise": {},
        "PAN sigma 0": {"pan_sigma": 0.0},
        "PAN sigma 1.2": {"pan_sigma": 1.2},
        "PAN sigma 1.6": {"pan_sigma": 1.6},
        "noise of 20": {"noise": 20.0},
        "noise of 50": {"noise": 50.0},
        "MS gain 0.2 (0.3 assumed)": {"gain": 0.2},
        "MS gain 0.45 (0.3 assumed)": {"gain": 0.45},
        "30 % of the PAN in no band": {"foreign": 0.3},
        "ratio 2": {"ratio": 2, "shape": (148, 124), "phase": (0.5, 0.5)},
    }
    head("simulated pairs, 74 x 62 coarse pixels", "largest error", "mean", "least confidence")
    for name, options in cases.items():
        errors, confidences = [], []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            place = tuple(rng.uniform(-8, 8, 2))
            found = measure_displacement(ArraySource(simulate(rng, displacement=place, **options)))
            errors.append(float(np.hypot(found.rows - place[0], found.cols - place[1])))
            confidences.append(found.confidence)
        row(name, max(errors), float(np.mean(errors)), min(confidences))


def real_pairs(folder: Path) -> Iterator[tuple[str, PairSource]]:
    for name in PAIRS:
        with open_pair(folder / f"{name}_pan.tif", folder / f"{name}_ms.tif") as pair:
            yield name, pair
    for name, keys in MATLAB.items():
        content = loadmat(folder / f"{name}.mat")
        pan, lrms = (np.atleast_3d(content[key]).transpose(2, 0, 1) * 1.0 for key in keys)
        yield f"{name} (phase 1.5)", ArraySource(ImagePair(pan, lrms, 4, (1.5, 1.5)))
    yield "wv3_cdif_rr (phase 2)", ArraySource(cdif(folder)[0])


class Mirrored:
    """A pair whose PAN is turned upside down: the images have nothing to do with each other."""

    def __init__(self, source: PairSource) -> None:
        whole = source.read(full_window(source), np.float64)
        self._source = ArraySource(whole.replace(spatial=whole.spatial[:, ::-1].copy()))
        self.profile, self.grid, self.read = source.profile, None, self._source.read


def full_window(source: PairSource) -> Window:
    return Window.whole(source.profile.shape)


def measured(folder: Path) -> None:
    head("real pair", "rows", "columns", "confidence", "scatter", "mirrored", "seconds",
         "blur PAN to MS", "gain", "unexplained")  # fmt: skip
    for name, source in real_pairs(folder):
        start = time.perf_counter()
        found = measure_displacement(source)
        seconds = time.perf_counter() - start
        against = measure_displacement(Mirrored(source)).confidence
        sharp = measure_sharpness(source, found)
        assert sharp is not None
        row(name, found.rows, found.cols, found.confidence, max(found.scatter), against, seconds,
            sharp.blur, sharp.gain, f"{sharp.unexplained:.4f}")  # fmt: skip


def cdif(folder: Path) -> tuple[ImagePair, Any]:
    content = loadmat(folder / "wv3_cdif_rr.mat")
    pan, lrms, gt = (
        np.atleast_3d(content[key]).transpose(2, 0, 1) * FULL_SCALE for key in ("pan", "lrms", "gt")
    )
    return ImagePair(pan, lrms, 4, PHASE, FULL_SCALE, sensor=find_sensor("wv3")), gt


def wv2(folder: Path) -> tuple[ImagePair, Any]:
    content = loadmat(folder / "wv2_grip_fr.mat")
    gt = content["I_MS"][:256, :256].transpose(2, 0, 1) * 1.0
    pan = observe(content["I_PAN"][None, :1024, :1024] * 1.0, (0.11,), 4, PHASE)
    return reduced(pan, gt, "wv2"), gt


def spacenet(folder: Path, degrade: Callable[[Any], Any]) -> tuple[ImagePair, Any]:
    """Reduce the SpaceNet chip, of which the first three PAN rows are dropped."""
    with rasterio.open(folder / f"{SPACENET}_pan.tif") as file:
        native = file.read()[:, 3:1283, :1280] * 1.0
    with rasterio.open(folder / f"{SPACENET}_ms.tif") as file:
        gt = file.read()[:, :320, :320] * 1.0
    return reduced(degrade(native), gt, "wv3"), gt


def reduced(pan: Any, gt: Any, sensor: str, phase: tuple[float, float] = PHASE) -> ImagePair:
    known = find_sensor(sensor)
    gains = known.mtf_gains(len(gt))
    assert gains is not None
    return ImagePair(pan, observe(gt, gains, 4, phase), 4, phase, FULL_SCALE, sensor=known)


def fused(pair: ImagePair, method: Method) -> Any:
    source, sink = ArraySource(pair), ArraySink()
    fitted = fit_method(method, source, RunLimits())
    run_scene(fitted, source, sink, precision=method.precision)
    return sink.hrms.astype(np.float64)


def psnr(image: Any, gt: Any, border: int) -> float:
    inner = slice(border, -border or None)
    squared = (image - gt)[:, inner, inner] ** 2
    return float((10 * np.log10(FULL_SCALE**2 / squared.mean(axis=(1, 2)))).mean())


def worth_of_alignment(folder: Path, weights: str | None) -> None:
    """Displace the MS by some rows; fuse as if it were not, and with the displacement known."""
    methods: list[Method] = [Interpolation(), GramSchmidtAdaptive()]
    if weights is not None:
        methods.append(LearnedMethod(load_named(weights)))
    hows = ("as is", "corrected")
    head("PSNR, displaced by", *(f"{method.id} {how}" for method in methods for how in hows))
    pair, gt = spacenet(folder, lambda pan: observe(pan, (0.15,), 4, PHASE))
    for rows in (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0):
        known = reduced(pair.spatial, gt, "wv3", (PHASE[0] + rows, PHASE[1]))
        unknown = known.replace(phase=PHASE)
        scores = [psnr(fused(p, m), gt, 20) for m in methods for p in (unknown, known)]
        row(rows, *scores)


def worth_of_sharpness(folder: Path, weights: str) -> None:
    def mtf(gain: float) -> Callable[[Any], Any]:
        return lambda pan: observe(pan, (gain,), 4, PHASE)

    cases: dict[str, tuple[Callable[[], tuple[ImagePair, Any]], int]] = {
        "wv3_cdif_rr": (lambda: cdif(folder), 0),
        "wv2_grip_fr reduced": (lambda: wv2(folder), 0),
        "SpaceNet, imresize": (lambda: spacenet(folder, lambda pan: imresize(pan, 0.25)), 20),
        "SpaceNet, area mean": (
            lambda: spacenet(folder, lambda p: p.reshape(1, 320, 4, 320, 4).mean((2, 4))),
            20,
        ),
        "SpaceNet, MTF gain 0.30": (lambda: spacenet(folder, mtf(0.30)), 20),
        "SpaceNet, MTF gain 0.15": (lambda: spacenet(folder, mtf(0.15)), 20),
        "SpaceNet, MTF gain 0.05": (lambda: spacenet(folder, mtf(0.05)), 20),
    }
    loaded = load_named(weights)
    head("reduced pair", "fall of the error", "auto", "PSNR off", "PSNR best on", "PSNR auto")
    for name, (make, border) in cases.items():
        pair, gt = make()
        source, method = ArraySource(pair), LearnedMethod(loaded)

        def fitted_at(sigma: float, method: LearnedMethod = method,
                      source: ArraySource = source) -> Fitted:  # fmt: skip
            return replace(method, pan_sigma=sigma).fit(source.profile, None)

        match = match_sharpness(source, fitted_at)
        lowest = min(match.errors, key=lambda item: item[1])[0]
        scores = {
            sigma: psnr(fused(pair, replace(method, pan_sigma=sigma)), gt, border)
            for sigma in {0.0, lowest, match.sigma}
        }
        row(name, f"{100 * match.fall:.0f} %", match.sigma if match.acted else "off",
            scores[0.0], f"{scores[lowest]:.2f} at {lowest:g}", scores[match.sigma])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, help="Folder with the real pairs.")
    parser.add_argument("--weights", help="The published WorldView-3 checkpoint.")
    options = parser.parse_args()
    print(conditions("scipy"))
    warnings.simplefilter("ignore", BandweaveWarning)
    simulated()
    if options.data is not None:
        measured(options.data)
        worth_of_alignment(options.data, options.weights)
        if options.weights is not None:
            worth_of_sharpness(options.data, options.weights)


if __name__ == "__main__":
    main()
