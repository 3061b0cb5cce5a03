"""What the consistency step gives: quality, sensitivity to the sensor model, borders, masks, speed.

    python benchmarks/bench_consistency.py --set gf2_rr.h5 --data FOLDER --weights wv3.pth

`--set` is a GaoFen-2 set of the PanCollection with references (gain 0.30). `--data` is a folder
with `wv3_cdif_rr.mat` and `wv2_grip_fr.mat`, `--weights` the published WorldView-3 checkpoint. Each
table is printed where its data are given; the last one needs none.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from conditions import conditions, spread
from scipy import ndimage
from scipy.io import loadmat

from bandweave.config import FuseConfig
from bandweave.datasets.files import open_pairs
from bandweave.degrade.observe import observe, observe_adjoint
from bandweave.degrade.sampling import correlate
from bandweave.errors import BandweaveWarning
from bandweave.methods import consistency
from bandweave.methods.consistency import Consistency
from bandweave.methods.table import METHODS
from bandweave.metrics.reduced import evaluate_rr
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink
from bandweave.pair import ImagePair, Mask
from bandweave.radiometry import Image
from bandweave.sensors import find_sensor

METRICS = ("psnr", "sam", "ergas")
Case = tuple[ImagePair, Image]


def row(*cells: object) -> None:
    shown = (f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells)
    print("| " + " | ".join(shown) + " |", flush=True)


def head(*cells: str) -> None:
    print()
    row(*cells)
    row(*("---" for _ in cells))


def fused(pair: ImagePair, **options: Any) -> Image:
    """Fuse as `bandweave fuse` does, without the step."""
    job = prepare_job(ArrayScene(pair), FuseConfig.checked(align="off", workers=1, **options))
    sink = ArraySink()
    job.run(sink, quiet=True)
    return sink.hrms.astype(np.float64)


def step_for(pair: ImagePair, noise: float = consistency.DEFAULT_NOISE) -> Consistency:
    assert pair.sensor is not None
    gains = pair.sensor.mtf_gains(len(pair.spectral))
    assert gains is not None
    return Consistency(gains, noise)


def scores(
    images: Iterable[Image], cases: Sequence[Case], protocol: str = "dlpan-rr"
) -> list[float]:
    """Return the mean PSNR, SAM and ERGAS over cases."""
    each = [
        evaluate_rr(hrms, gt, ratio=pair.ratio, full_scale=pair.full_scale, protocol=protocol,
                    metrics=METRICS).values
        for hrms, (pair, gt) in zip(images, cases, strict=True)
    ]  # fmt: skip
    return [float(np.mean([values[name] for values in each])) for name in METRICS]


def psnr(images: Iterable[Image], cases: Sequence[Case], parts: Sequence[Mask]) -> float:
    """Return the mean PSNR over a part of the images."""
    values = []
    for hrms, (pair, gt), part in zip(images, cases, parts, strict=True):
        assert pair.full_scale is not None
        mse = np.square(hrms - gt)[:, part].mean(axis=1)
        values.append(np.mean(10 * np.log10(pair.full_scale**2 / mse)))
    return float(np.mean(values))


def in_words(values: Sequence[float]) -> str:
    return f"{values[0]:.2f} / {values[1]:.3f} / {values[2]:.3f}"


def classical() -> list[str]:
    return [n for n, entry in METHODS.items() if not (entry.is_learned or entry.is_hyperspectral)]


def quality(cases: Sequence[Case]) -> None:
    """All classical methods on the GaoFen-2 set, without and with the step."""
    head(
        f"{len(cases)} images, PSNR / SAM / ERGAS",
        "without",
        "consistent",
        "exact (noise 0)",
        "gain",
    )
    for name in classical():
        plain = [fused(pair, method=name) for pair, _ in cases]
        results = [scores(plain, cases)]
        for noise in (consistency.DEFAULT_NOISE, 0.0):
            moved = [step_for(p, noise).apply(x, p) for x, (p, _) in zip(plain, cases, strict=True)]
            results.append(scores(moved, cases))
        row(name, *(in_words(r) for r in results), f"{results[1][0] - results[0][0]:+.2f} dB")


def sensitivity(cases: Sequence[Case], method: str) -> None:
    """Wrong gains and noise: PSNR where 0.30 is true."""
    rng = np.random.default_rng(0)
    gains, noises = (0.20, 0.25, 0.30, 0.35, 0.40), (1e-2, 1e-3, 1e-4, 0.0)
    columns = [*(f"gain {gain:.2f}" for gain in gains), *(f"noise {n:g}" for n in noises)]
    head(f"{method}, {len(cases)} images, PSNR", "without", *columns)
    for dn in (0.0, 2.0, 5.0):
        noisy = [
            pair.replace(spectral=pair.spectral + rng.normal(0, dn, pair.spectral.shape))
            for pair, _ in cases
        ]
        plain = [fused(pair, method=method) for pair in noisy]
        steps = [
            *(Consistency((gain,)) for gain in gains),
            *(Consistency((0.30,), n) for n in noises),
        ]
        shown = [
            scores([step.apply(x, p) for x, p in zip(plain, noisy, strict=True)], cases)[0]
            for step in steps
        ]
        label = "clean MS" if dn == 0 else f"noise of {dn:g} DN"
        row(label, scores(plain, cases)[0], *shown)


def with_folded_border(step: Consistency, hrms: Image, pair: ImagePair) -> Image:
    """Take the border as A has it: its transpose adds what lies outside to the edge pixels."""
    filters = consistency.inverse_filters(step.blur, pair.ratio, pair.phase, step.noise)
    radius = filters.shape[-1] // 2
    residual = np.pad(step.residual(hrms, pair), [(0, 0), *[(radius, radius)] * 2])
    filtered = correlate(residual, filters)[:, radius:-radius, radius:-radius]
    return hrms + observe_adjoint(filtered, step.blur, pair.ratio, pair.phase)


def borders_and_masks(cases: Sequence[Case], method: str) -> None:
    """The outermost pixels, and those beside a mask, where less is known."""
    plain = [fused(pair, method=method) for pair, _ in cases]
    shape = cases[0][0].shape
    border = np.ones(shape, dtype=bool)
    border[12:-12, 12:-12] = False
    moved = [step_for(p).apply(x, p) for x, (p, _) in zip(plain, cases, strict=True)]
    whole = [border] * len(cases)
    head(f"{method}, PSNR of", "without", "consistent")
    row("12 pixels along the border", *(psnr(x, cases, whole) for x in (plain, moved)))
    folded = [with_folded_border(step_for(p), x, p) for x, (p, _) in zip(plain, cases, strict=True)]
    row("the same with the transpose of the border rule", "", psnr(folded, cases, whole))
    rows, cols = np.indices(shape)
    valid = rows + 0.3 * cols < 0.66 * shape[0]
    beside = valid & (ndimage.distance_transform_edt(valid) <= 12) & ~border
    masks = [beside] * len(cases)
    masked = [pair.replace(valid=valid) for pair, _ in cases]
    row("12 pixels beside a slanting mask", psnr(plain, cases, masks), "")
    for share in (0.6, 0.7, 0.8, 0.9, 0.99):
        with patch.object(consistency, "_SEEN", share):
            moved = [step_for(p).apply(x, p) for x, p in zip(plain, masked, strict=True)]
        row(f"the same, {share:g} of the kernel on valid pixels", "", psnr(moved, cases, masks))


def exactness(cases: Sequence[Case], method: str) -> None:
    """How far the inverse filter has to reach."""
    plain = [fused(pair, method=method) for pair, _ in cases]
    head(f"tolerance ({method}, noise 0)", "radius", "largest misfit to the MS, DN", "PSNR")
    for tolerance in (0.2, 3e-2, 1e-2, 1e-3, 1e-4):
        with patch.object(consistency, "_TOLERANCE", tolerance):
            consistency.inverse_filters.cache_clear()
            steps = [step_for(pair, 0.0) for pair, _ in cases]
            moved = [s.apply(x, p) for s, x, (p, _) in zip(steps, plain, cases, strict=True)]
            first = cases[0][0]
            taps = consistency.inverse_filters(steps[0].blur, first.ratio, first.phase, 0.0)
        left = max(
            float(np.abs(s.residual(x, p))[s.comparable(p)].max())
            for s, x, (p, _) in zip(steps, moved, cases, strict=True)
        )
        row(f"{tolerance:g}", taps.shape[-1] // 2, f"{left:.4f}", scores(moved, cases)[0])
    consistency.inverse_filters.cache_clear()


def worldview(folder: Path, weights: str | None) -> None:
    """Two 8-band pairs, whole images; U2Net with the PAN matched to its weights."""
    with open_pairs(
        folder / "wv3_cdif_rr.mat", sensor=find_sensor("wv3"), full_scale=2047
    ) as pairs:
        pair, gt = pairs.item(0)
    assert gt is not None
    content = loadmat(folder / "wv2_grip_fr.mat")
    truth = content["I_MS"][:256, :256].transpose(2, 0, 1) * 1.0
    pan = observe(content["I_PAN"][None, :1024, :1024] * 1.0, (0.11,), 4, (2.0, 2.0))
    sensor = find_sensor("wv2")
    gains = sensor.mtf_gains(8)
    assert gains is not None
    lrms = observe(truth, gains, 4, (2.0, 2.0), normalised=False)
    cases = {
        "wv3_cdif_rr": (pair, gt),
        "wv2_grip_fr reduced": (ImagePair(pan, lrms, 4, (2.0, 2.0), 2047, sensor=sensor), truth),
    }
    runs: list[tuple[str, dict[str, Any]]] = [(name, {"method": name}) for name in classical()]
    if weights is not None:
        runs.append(("u2net, published weights", {"weights": weights}))
    for name, case in cases.items():
        everywhere = [np.ones(case[0].shape, dtype=bool)]
        head(f"{name}, whole image, PSNR", "without", "consistent", "gain")
        for label, options in runs:
            plain = fused(case[0], **options)
            moved = step_for(case[0]).apply(plain, case[0])
            before, after = (psnr([x], [case], everywhere) for x in (plain, moved))
            row(label, before, after, f"{after - before:+.2f} dB")


def speed() -> None:
    """One block of a scene with its context, 8 bands of float32."""
    head("bands, ratio", "context, PAN pixels", "megapixels per second, median and extremes")
    rng = np.random.default_rng(0)
    gains = (0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315)
    for bands, ratio in ((4, 4), (8, 4), (6, 2)):
        step, phase = Consistency(gains[:bands]), ((ratio - 1) / 2, (ratio - 1) / 2)
        apron = step.apron(ratio, phase)
        shape = (256 + 2 * apron, 1024 + 2 * apron)
        coarse = (shape[0] // ratio, shape[1] // ratio)
        image = rng.uniform(0, 2047, (bands, *shape)).astype(np.float32)
        lrms = rng.uniform(0, 2047, (bands, *coarse)).astype(np.float32)
        pair = ImagePair(np.zeros((1, *shape), np.float32), lrms, ratio, phase)
        taken = []
        for _ in range(6):
            start = time.perf_counter()
            step.apply(image, pair)
            taken.append(time.perf_counter() - start)
        row(f"{bands}, {ratio}", apron, spread([256 * 1024 / 1e6 / one for one in taken], ".1f"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--set", type=Path, help="GaoFen-2 set with references (.h5).")
    parser.add_argument("--data", type=Path, help="Folder with the WorldView pairs.")
    parser.add_argument("--weights", help="The published WorldView-3 checkpoint.")
    options = parser.parse_args()
    warnings.simplefilter("ignore", BandweaveWarning)
    print(conditions("scipy"))
    if options.set is not None:
        with open_pairs(options.set, sensor=find_sensor("gf2"), full_scale=1023) as pairs:
            cases = [
                (pair, gt) for pair, gt in map(pairs.item, range(len(pairs))) if gt is not None
            ]
        quality(cases)
        sensitivity(cases[:4], "bt_h")
        borders_and_masks(cases, "bt_h")
        exactness(cases, "bt_h")
    if options.data is not None:
        worldview(options.data, options.weights)
    speed()


if __name__ == "__main__":
    main()
