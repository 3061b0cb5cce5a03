"""What knowing the sensor model is worth: noise, a wrong point spread, a wrong response.

    python benchmarks/bench_sensor_model.py --scenes FOLDER [--scene NAME ...] [--part NAME ...]

`--scenes` is a folder of CAVE scenes as the archive unpacks. Pairs are made by the CAVE protocol at
ratio 4. The tables of docs/hyperspectral.md come from the open test scenes; the network's are of
their middle quarters.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from conditions import conditions, spread

from bandweave.config import FuseConfig
from bandweave.datasets.cave import cave_model, cave_pair, read_scene
from bandweave.degrade.identify import InstrumentEstimate, identify_instruments
from bandweave.degrade.noise import mean_power, noise_sigma
from bandweave.degrade.psf import gaussian_spread
from bandweave.instruments import HyperspectralModel
from bandweave.methods.consistency import Consistency
from bandweave.methods.learned import LearnedMethod
from bandweave.methods.local_affine import Box, Gaussian
from bandweave.methods.local_regression import (
    ENSEMBLE_VARIANTS,
    HYPERSPECTRAL_VARIANTS,
    Guides,
    LocalRegression,
    Variant,
)
from bandweave.methods.nets.zoo import load_named
from bandweave.metrics.reduced import evaluate_rr
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink, RunLimits, fit_method, run_scene
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.sensors import Sensor
from bandweave.source import ArraySource
from bandweave.window import Window

OPEN_TEST_SCENES = ("chart_and_stuffed_toy", "fake_and_real_tomatoes", "flowers")
NETWORK = "u2net-cave"
METRICS = ("psnr", "sam", "ergas")
TRUE = cave_model(4)
Case = tuple[ImagePair, Image]


def row(*cells: object) -> None:
    shown = (f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells)
    print("| " + " | ".join(shown) + " |", flush=True)


def head(*cells: str) -> None:
    print()
    row(*cells)
    row(*("---" for _ in cells))


def scores(hrms: Image, gt: Image) -> list[float]:
    found = evaluate_rr(hrms, gt, ratio=4, full_scale=1.0, protocol="cave", metrics=METRICS)
    return [found.values[name] for name in METRICS]


def in_words(values: Sequence[Sequence[float]]) -> str:
    psnr, sam, ergas = np.mean(values, axis=0)
    return f"{psnr:.2f} / {sam:.3f} / {ergas:.3f}"


def known(pair: ImagePair, model: HyperspectralModel) -> ImagePair:
    """Return the pair as somebody sees it who takes `model` for true."""
    sensor = Sensor("model", "a model", (), psf=model.psf, response=model.response)
    return pair.replace(sensor=sensor, phase=model.phase)


def noisy(case: Case, snr_db: float, seed: int = 0) -> ImagePair:
    """Return the pair with white noise in both images, of one ratio to each band's power."""
    pair, gt = case
    rng = np.random.default_rng(seed)
    powers = (mean_power(pair.spatial), mean_power(gt))
    images = []
    for image, power in zip((pair.spatial, pair.spectral), powers, strict=True):
        sigma = np.array(noise_sigma(power, snr_db))[:, None, None]
        images.append(image + sigma * rng.standard_normal(image.shape))
    return pair.replace(spatial=images[0], spectral=images[1])


def regress(pair: ImagePair, variants: Sequence[Variant] = HYPERSPECTRAL_VARIANTS) -> Image:
    return LocalRegression(tuple(variants)).fit(pair.profile, None).fuse(pair)


def step(pair: ImagePair, noise: float = 0.0) -> Consistency:
    assert pair.sensor is not None
    assert pair.sensor.psf is not None
    return Consistency(pair.sensor.psf, noise, pair.sensor.response)


def bar_table(cases: dict[str, Case]) -> None:
    """Variants with the true model, and everything found from the pair by the program itself."""
    variants: dict[str, Sequence[Variant]] = {
        "window 5": [Variant(Box(5), False)],
        "window 5, residual": [Variant(Box(5), True)],
        "window 3": [Variant(Box(3), False)],
        "Gaussian 0.8": [Variant(Gaussian(0.8), False)],
        "mean of six": HYPERSPECTRAL_VARIANTS,
        "window 7, squares": [Variant(Box(7), False, Guides.SQUARES)],
        "window 5, roots": [Variant(Box(5), False, Guides.ROOTS)],
        "window 7, roots": [Variant(Box(7), False, Guides.ROOTS)],
        "regression_ensemble": ENSEMBLE_VARIANTS,
    }
    head("consistent, PSNR / SAM / ERGAS", *cases, "mean")
    for name, some in variants.items():
        found = []
        for pair, gt in cases.values():
            seen = known(pair, TRUE)
            found.append(scores(step(seen).apply(regress(seen, some), seen), gt))
        row(name, *(in_words([each]) for each in found), in_words(found))
    found, seconds = [], []
    for pair, gt in cases.values():
        start = time.process_time()
        job = prepare_job(
            ArrayScene(pair),
            FuseConfig.checked(align="off", method="local_regression", consistent=True, workers=1),
        )
        sink = ArraySink()
        job.run(sink, quiet=True)
        seconds.append(time.process_time() - start)
        found.append(scores(sink.hrms, gt))
    row("mean of six, all found", *(in_words([each]) for each in found), in_words(found))
    print(f"\nSeconds of processor time a scene, all found: {spread(seconds, '.1f')}")


def predicted(found: InstrumentEstimate, case: Case) -> float:
    """Return how well the response found predicts the MSI without noise from the truth, in dB."""
    pair, gt = case
    mixed = np.tensordot(np.array(found.model.response), gt, axes=1)
    error = float(np.sqrt(np.mean((mixed - pair.spatial) ** 2)))
    return -20 * float(np.log10(max(error, 1e-16)))


def estimate_table(cases: dict[str, Case]) -> None:
    """What is found at every noise."""
    head("noise", "scene", "width", "phase", "confidence", "noise found", "MSI predicted (dB)")
    for snr in (None, 40.0, 35.0, 30.0):
        for name, case in cases.items():
            found = identify_instruments([case[0] if snr is None else noisy(case, snr)])
            row(
                "none" if snr is None else f"{snr:g} dB",
                name,
                f"{found.model.psf.shape[0]} x {found.model.psf.shape[1]}, {found.sigma:.6f}",
                ", ".join(f"{p:.5f}" for p in found.model.phase),
                f"{found.confidence:.3f}",
                f"{found.noise:.2g}",
                f"{predicted(found, case):.0f}",
            )


def wrong_models() -> dict[str, HyperspectralModel]:
    """Return the true model and ways to be wrong about it."""
    phase, response = TRUE.phase, np.array(TRUE.response)
    half = (phase[0] - 0.5, phase[1] - 0.5)

    def mixed(weights: Image) -> HyperspectralModel:
        rows = weights / weights.sum(axis=1, keepdims=True)
        return replace(TRUE, response=tuple(tuple(map(float, row)) for row in rows))

    rng = np.random.default_rng(0)
    shifted = np.pad(response, ((0, 0), (1, 0)), mode="edge")[:, :-1]
    return {
        "true": TRUE,
        "width 0.6 for 0.5": replace(TRUE, psf=gaussian_spread(0.6, 3, phase)),
        "width 0.4 for 0.5": replace(TRUE, psf=gaussian_spread(0.4, 3, phase)),
        "phase 1.5 for 2": replace(TRUE, psf=gaussian_spread(0.5, 3, half), phase=half),
        "response off by 5 %": mixed(response * (1 + 0.05 * rng.standard_normal(response.shape))),
        "response off by 20 %": mixed(response * (1 + 0.2 * rng.standard_normal(response.shape))),
        "response 10 nm off": mixed(shifted),
    }


def wrong_table(cases: dict[str, Case]) -> None:
    """No noise, but a model that is wrong."""
    head("model taken for true", "local_regression", "with both steps", "spatial step alone")
    for name, model in wrong_models().items():
        results: list[list[list[float]]] = [[], [], []]
        for pair, gt in cases.values():
            seen = known(pair, model)
            x0 = regress(seen)
            both = step(seen)
            images = (x0, both.apply(x0, seen), replace(both, response=None).apply(x0, seen))
            for result, image in zip(results, images, strict=True):
                result.append(scores(image, gt))
        row(name, *(in_words(result) for result in results))


def noise_table(cases: dict[str, Case]) -> None:
    """Noise in both images, with the true model and with what is found."""
    head("noise", "local_regression", "exact step", "step weighed by the noise found", "λ")
    for snr in (60.0, 50.0, 45.0, 40.0, 35.0, 30.0):
        for label, is_true in (("true model", True), ("all found", False)):
            results: list[list[list[float]]] = [[], [], []]
            lambdas = []
            for case in cases.values():
                pair = noisy(case, snr)
                found = identify_instruments([pair])
                seen = known(pair, TRUE if is_true else found.model)
                x0 = regress(seen)
                lambdas.append((found.noise / 0.015) ** 2)
                images = (x0, step(seen).apply(x0, seen), step(seen, lambdas[-1]).apply(x0, seen))
                for result, image in zip(results, images, strict=True):
                    result.append(scores(image, case[1]))
            cells = [in_words(result) for result in results]
            row(f"{snr:g} dB, {label}", *cells, float(np.mean(lambdas)))


def choice_table(cases: dict[str, Case]) -> None:
    """The best means of some of eight candidates, by the mean PSNR of the scenes given."""
    windows = {"3": Box(3), "5": Box(5), "7": Box(7), "0.8": Gaussian(0.8)}
    candidates = {
        "3": Variant(windows["3"], False),
        "5": Variant(windows["5"], False),
        "5 residual": Variant(windows["5"], True),
        "0.8": Variant(windows["0.8"], False),
        "5 squares": Variant(windows["5"], False, Guides.SQUARES),
        "7 squares": Variant(windows["7"], False, Guides.SQUARES),
        "5 roots": Variant(windows["5"], False, Guides.ROOTS),
        "7 roots": Variant(windows["7"], False, Guides.ROOTS),
    }
    products = []  # per scene (C, 8, 8): mean products of the candidates' errors
    for pair, gt in cases.values():
        seen = known(pair, TRUE)
        errors = np.stack(
            [step(seen).apply(regress(seen, [v]), seen) - gt for v in candidates.values()], axis=1
        )
        products.append(np.einsum("bkhw,blhw->bkl", errors, errors) / gt[0].size)
    head("members", "mean of", "PSNR")
    for size in range(1, len(candidates) + 1):
        found = {}
        for members in combinations(range(len(candidates)), size):
            part = np.ix_(range(products[0].shape[0]), members, members)
            mse = [each[part].mean(axis=(1, 2)) for each in products]
            found[members] = float(np.mean([-10 * np.log10(each).mean() for each in mse]))
        best = max(found, key=lambda members: found[members])
        row(size, ", ".join(list(candidates)[k] for k in best), found[best])


def fuse_by_network(seen: ImagePair, weights: str) -> Image:
    source = ArraySource(seen)
    method = LearnedMethod(load_named(weights), device="cpu")
    sink = ArraySink()
    fitted = fit_method(method, source, RunLimits(workers=1))
    run_scene(fitted, source, sink, precision=np.float32, limits=RunLimits(workers=1))
    return sink.hrms


def network_table(cases: dict[str, Case]) -> None:
    """The network beside its estimates, with noise and with wrong models, on middle quarters."""
    middle = Window(128, 128, 256, 256)
    rows, cols = middle.slices
    parts = [(pair.crop(middle), gt[:, rows, cols]) for pair, gt in cases.values()]
    head("", "regression_ensemble", "consistent", NETWORK, "consistent")
    settings = [(f"noise of {snr:g} dB", snr, TRUE) for snr in (40.0, 35.0, 30.0)] + [
        (name, None, model) for name, model in wrong_models().items()
    ]
    for label, snr, model in settings:
        results: list[list[list[float]]] = [[], [], [], []]
        for case in parts:
            seen = known(case[0] if snr is None else noisy(case, snr), model)
            last = step(seen)
            for k, image in enumerate(
                (regress(seen, ENSEMBLE_VARIANTS), fuse_by_network(seen, NETWORK))
            ):
                results[2 * k].append(scores(image, case[1]))
                results[2 * k + 1].append(scores(last.apply(image, seen), case[1]))
        row(label, *(in_words(result) for result in results))


def whole_table(cases: dict[str, Case]) -> None:
    """The shipped network on whole scenes, consistent with the true model."""
    head("consistent, PSNR / SAM / ERGAS", *cases, "mean")
    found, seconds = [], []
    for pair, gt in cases.values():
        seen, start = known(pair, TRUE), time.process_time()
        found.append(scores(step(seen).apply(fuse_by_network(seen, NETWORK), seen), gt))
        seconds.append(time.process_time() - start)
    row(NETWORK, *(in_words([each]) for each in found), in_words(found))
    print(f"\nSeconds of processor time a scene: {spread(seconds, '.1f')}")


PARTS: dict[str, Callable[[dict[str, Case]], None]] = {
    "bar": bar_table,
    "estimate": estimate_table,
    "wrong": wrong_table,
    "noise": noise_table,
    "whole": whole_table,
    "network": network_table,
    "choice": choice_table,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", required=True, help="Folder of CAVE scenes.")
    parser.add_argument("--scene", nargs="*", default=OPEN_TEST_SCENES)
    parser.add_argument("--part", nargs="*", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    print(conditions("scipy", "torch"))
    cases = {}
    for name in arguments.scene:
        made = cave_pair(read_scene(arguments.scenes, name), 4)
        cases[name] = (made.pair, made.gt)
    for part in arguments.part:
        PARTS[part](cases)


if __name__ == "__main__":
    main()
