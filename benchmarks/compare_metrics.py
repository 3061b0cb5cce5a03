"""The metrics beside other libraries and other conventions, as docs/metrics.md shows them.

    python benchmarks/compare_metrics.py            prints the tables
    python benchmarks/compare_metrics.py --write    puts them into docs/metrics.md

Needs torchmetrics and scikit-image (`pip install bandweave[test]`).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage import metrics as skimage
from torchmetrics.functional import image as torchmetrics

from bandweave.degrade.observe import observe
from bandweave.degrade.sampling import imresize, interpolate
from bandweave.metrics import METRICS, evaluate_fr, evaluate_reprojection, evaluate_rr
from bandweave.metrics.q2n import q2n

DOCUMENT = Path(__file__).parents[1] / "docs" / "metrics.md"
GAINS = (0.34, 0.32, 0.30, 0.22)
SIZE = 256
Row = tuple[str, ...]


def scene() -> dict[str, np.ndarray]:
    """Return an image of four bands with smooth and sharp parts, and what a sensor sees of it."""
    rng = np.random.default_rng(2022)
    fields = [gaussian_filter(rng.normal(size=(5, SIZE, SIZE)), (0, s, s)) for s in (12, 4, 1)]
    fields = [field / field.std(axis=(1, 2), keepdims=True) for field in fields]
    common = np.sign(fields[0][4]) + 0.4 * fields[1][4] + 0.2 * fields[2][4]
    own = 0.5 * fields[0][:4] + 0.2 * fields[1][:4]
    levels = np.array([320.0, 420.0, 380.0, 700.0])[:, None, None]
    gt = np.round(np.clip(levels * (1 + 0.22 * common + 0.15 * own), 1, 2047))
    lrms = observe(gt, GAINS, 4, (2, 2), normalised=False)
    pan = gt.mean(axis=0, keepdims=True)
    ms_up = interpolate(lrms, 4, (2, 2), border="circular")
    detail = pan - interpolate(imresize(pan, 0.25), 4, (2, 2), border="circular")
    return {"gt": gt, "lrms": lrms, "pan": pan, "ms_up": ms_up, "fused": ms_up + 0.7 * detail}


def metric_rows() -> Iterator[Row]:
    """Yield what each metric is."""
    yield "id", "name", "better", "unit", "range", "ideal", "needs", "defined by"
    needs = {
        "reference": "reference",
        "inputs": "PAN, MS",
        "metrics": "two metrics",
    }
    for key, metric in METRICS.items():
        low, high = (_number(value) for value in metric.range)
        yield (
            f"`{key}`",
            metric.name,
            metric.direction,
            metric.unit or "-",
            f"{low} to {high}",
            _number(metric.ideal),
            needs[metric.needs],
            metric.citation,
        )


def library_rows() -> Iterator[Row]:
    """Yield our values, those of other libraries, and why they differ."""
    images = scene()
    f, g = images["fused"], images["gt"]
    ours = evaluate_rr(f, g, ratio=4, full_scale=2047, protocol="dlpan-rr-uncut").values
    same = evaluate_rr(f / 2047, g / 2047, ratio=4, protocol="cave").values["ssim"]
    fr = evaluate_fr(f, images["pan"], images["lrms"], ratio=4, gains=GAINS).values
    a, b = _batch(f), _batch(g)
    yield "metric", "bandweave", "torchmetrics", "scikit-image", "why they differ"
    mse = skimage.mean_squared_error(g, f)
    yield "RMSE", _shown(ours["rmse"]), "-", _shown(math.sqrt(mse)), "they agree"
    pooled = skimage.peak_signal_noise_ratio(g, f, data_range=2047)
    theirs = torchmetrics.peak_signal_noise_ratio(a, b, data_range=2047.0)
    pool = "both pool the error of all bands; the field averages the bands' values"
    yield "PSNR, dB", _shown(ours["psnr"]), _shown(theirs), _shown(pooled), pool
    angle = math.degrees(float(torchmetrics.spectral_angle_mapper(a, b)))
    yield (
        "SAM, degrees",
        _shown(ours["sam"]),
        _shown(angle),
        "-",
        "they agree; theirs is in radians",
    )
    dark = f.copy()
    dark[:, 0, 0] = 0.0
    spoilt = float(torchmetrics.spectral_angle_mapper(_batch(dark), b))
    left = evaluate_rr(dark, g, ratio=4, protocol="dlpan-rr-uncut", metrics=("sam",)).values["sam"]
    zero = "one pixel without spectrum: left out, as in the toolboxes; nan there"
    yield "SAM, one zero pixel", _shown(left), _shown(spoilt), "-", zero
    theirs = torchmetrics.error_relative_global_dimensionless_synthesis(a, b, ratio=4)
    yield "ERGAS", _shown(ours["ergas"]), _shown(theirs), "-", "they agree"
    by_band = [
        skimage.structural_similarity(
            y, x, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=2047
        )
        for x, y in zip(f, g, strict=True)
    ]
    valid = "scikit-image with Gaussian weights and biased variances agrees"
    yield "SSIM, border valid", _shown(ours["ssim"]), "-", _shown(np.mean(by_band)), valid
    theirs = torchmetrics.structural_similarity_index_measure(a, b, data_range=2047.0)
    border = "ours repeats the edge, theirs reflects without repeating it"
    yield "SSIM, border same", _shown(same), _shown(theirs), "-", border
    theirs = torchmetrics.universal_image_quality_index(a, b)
    box = "box of 32 x 32 pixels here, Gaussian of 11 x 11 there"
    yield "UQI", _shown(ours["uqi"]), _shown(theirs), "-", box
    theirs = torchmetrics.spatial_correlation_coefficient(a, b)
    scc = "cosine of Sobel magnitudes here, windowed correlation of Laplacians there"
    yield "SCC", _shown(ours["scc"]), _shown(theirs), "-", scc
    coarse = _batch(images["lrms"])
    theirs = torchmetrics.spectral_distortion_index(a, coarse)
    gauss = "blocks of 32 x 32 here; Gaussian UQI of the fused and the coarse image there"
    yield "D_lambda", _shown(fr["d_lambda"]), _shown(theirs), "-", gauss


def convention_rows() -> Iterator[Row]:
    """Yield the same image under other conventions in circulation."""
    images = scene()
    f, g = images["fused"], images["gt"]
    options = {"ratio": 4, "full_scale": 2047}
    cut = evaluate_rr(f, g, **options).values
    uncut = evaluate_rr(f, g, **options, protocol="dlpan-rr-uncut").values
    inner = (slice(None), slice(20, -21), slice(20, -21))
    x, y = f[inner], g[inner]
    yield "metric", "convention", "value", "`dlpan-rr`"
    for name in ("psnr", "sam", "ergas", "q2n"):
        label = METRICS[name].name
        yield label, "no border", _shown(uncut[name]), _shown(cut[name])
    pooled = 10 * math.log10(2047**2 / np.mean((x - y) ** 2))
    yield "PSNR", "error of all bands pooled", _shown(pooled), _shown(cut["psnr"])
    above = 10 * np.mean(np.log10(2048**2 / np.mean((x - y) ** 2, axis=(1, 2))))
    yield "PSNR", "peak 2048 instead of 2047", _shown(above), _shown(cut["psnr"])
    own = evaluate_rr(y, x, **options, protocol="dlpan-rr-uncut", metrics=("ergas",)).values[
        "ergas"
    ]
    yield "ERGAS", "mean of the estimate (arguments exchanged)", _shown(own), _shown(cut["ergas"])
    truncated = q2n(np.floor(x), np.floor(y))
    yield "Q2n", "truncated instead of rounded", _shown(truncated), _shown(cut["q2n"])
    unit = q2n(x / 2047, y / 2047)
    yield "Q2n", "data in [0, 1], rounded to 0 and 1", _shown(unit), _shown(cut["q2n"])
    swapped = q2n(y, x)
    yield "Q2n", "arguments exchanged", _shown(swapped), _shown(cut["q2n"])
    order = [3, 0, 1, 2]
    yield "Q2n", "near infrared first", _shown(q2n(x[order], y[order])), _shown(cut["q2n"])
    yield "Q2n", "the average UQI, printed as Q4 or Q8", _shown(cut["uqi"]), _shown(cut["q2n"])


def value_rows() -> Iterator[Row]:
    """Yield every metric of the scene in ten digits, to check other implementations with."""
    images = scene()
    f, g, pan, lrms = (images[name] for name in ("fused", "gt", "pan", "lrms"))
    yield "protocol", "metric", "value"
    results = [
        *(
            evaluate_rr(f, g, ratio=4, full_scale=2047, protocol=name)
            for name in ("dlpan-rr", "dlpan-rr-uncut", "cave")
        ),
        evaluate_fr(f, pan, lrms, ratio=4, gains=GAINS),
        evaluate_fr(f, pan, lrms, ratio=4, protocol="original-qnr"),
        evaluate_reprojection(f, pan, lrms, ratio=4, gains=GAINS),
    ]
    for scores in results:
        for name, value in scores.values.items():
            yield f"`{scores.protocol.id}`", METRICS[name].name, f"{value:.10g}"


TABLES = {
    "metrics": metric_rows,
    "libraries": library_rows,
    "conventions": convention_rows,
    "values": value_rows,
}


def markdown(rows: Iterator[Row]) -> str:
    """Return a table; the first row is its head."""
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace the tables in the document")
    options = parser.parse_args()
    text = DOCUMENT.read_text(encoding="utf-8") if options.write else ""
    for name, rows in TABLES.items():
        table = markdown(rows())
        if not options.write:
            print(f"{name}\n\n{table}\n")
            continue
        start, stop = f"<!-- table: {name} -->\n", "<!-- end -->"
        before, rest = text.split(start)
        text = f"{before}{start}{table}\n{rest[rest.index(stop) :]}"
    if options.write:
        DOCUMENT.write_text(text, encoding="utf-8")


def _batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image))[None]


def _shown(value: float) -> str:
    return "nan" if math.isnan(value) else f"{float(value):.5g}"


def _number(value: float) -> str:
    return {math.inf: "∞", -math.inf: "-∞"}.get(value, f"{value:g}")


if __name__ == "__main__":
    main()
