"""All classical methods on real pairs at full resolution: indexes, colour cast, and pictures.

    python benchmarks/bench_full_resolution.py FOLDER [PAIR ...] --out runs/full_resolution

FOLDER holds the pairs listed in PAIRS, as `<name>_pan.tif` and `<name>_ms.tif`. Each is aligned as
`bandweave fuse --align auto` does, and its middle (at most 512 x 512 pixels) is fused by every
method. For each it prints HQNR and its parts, the reprojection error, D_rho, the share of values
below zero, the colour cast: the mean of A x - y for each band, A x being the fused image behind the
MS's MTF and sampling, in DN, and the largest against the band's mean; and the level of each band,
its mean over that of the interpolated MS. With `--out` it also writes three pictures per pair, all
methods side by side in natural colour at twice the size: where the bands vary most, the darkest
place, and the brightest.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bandweave.config import FuseConfig
from bandweave.degrade.observe import observe
from bandweave.errors import BandweaveWarning
from bandweave.methods.convention import SCENE
from bandweave.methods.table import METHODS
from bandweave.metrics import evaluate_fr, evaluate_reprojection
from bandweave.mosaic.found.alignment import open_aligned
from bandweave.mosaic.found.sensor_model import with_mtf_gains
from bandweave.mosaic.georeferenced import RasterScene
from bandweave.mosaic.runner import RunLimits, fit_method
from bandweave.pair import ImagePair
from bandweave.radiometry import Image
from bandweave.report.quicklook import Panel, Stretch, natural_colour, write_sheet, zoomed
from bandweave.source import ArraySource
from bandweave.window import Window

# Side of what is shown, in PAN pixels, its enlargement, and panels per row.
_SIDE, _ZOOM, _ROW = 128, 2, 6
# Largest side of what is fused.
_LARGEST = 512


@dataclass(frozen=True, slots=True)
class Case:
    """A pair of files and what is known of it."""

    name: str
    sensor: str
    gain: float | None = None
    """MTF gain where the sensor's is not known."""


# Every pair with a PAN and an MS as delivered, or one step down their pyramid (`halfscale`,
# `pairmax`). The gain 0.30 is the field's convention for unknown sensors.
PAIRS = (
    Case("wv3_spacenet_shanghai", "wv3"),
    Case("wv3_utm42", "wv3"),
    Case("wv3_munich_urban_halfscale", "wv3"),
    Case("wv2_miami_urban_halfscale", "wv2"),
    Case("train4/pairmax_ge_lond_urb", "ge1"),
    Case("train4/pairmax_w4_mexi_nat", "wv4"),
    Case("train4/pleiades_urban", "pleiades", 0.30),
    Case("train4/spot6_vegetation", "spot6", 0.30),
    Case("train4/qb_abf_fr", "qb"),
    Case("train4/gf2_psdata3_fr1", "gf2"),
)
COLUMNS = ("hqnr", "d_lambda_k", "d_s", "r_q2n", "r_ergas", "d_rho")


def classical() -> list[str]:
    return [
        name for name, entry in METHODS.items() if not (entry.is_learned or entry.is_hyperspectral)
    ]


def opened(folder: Path, case: Case) -> tuple[ImagePair, str]:
    """Return the middle of a pair, aligned, and the displacement that was corrected."""
    config = FuseConfig(sensor=case.sensor)
    files = (folder / f"{case.name}_{role}.tif" for role in ("pan", "ms"))
    with closing(RasterScene(*files, config)) as scene:
        source, displacement = open_aligned(scene, "auto", lambda _: None)
        if case.gain is not None:
            source = with_mtf_gains(source, (case.gain,))
        rows, cols = (min(n // 32 * 32, _LARGEST) for n in source.profile.shape)
        ratio = source.profile.ratio
        row, col = (
            (n - m) // 2 // ratio * ratio
            for n, m in zip(source.profile.shape, (rows, cols), strict=True)
        )
        pair = source.read(Window(row, col, rows, cols), np.float64)
    moved = displacement or (0.0, 0.0)
    return pair, f"{moved[0]:.1f} rows, {moved[1]:.1f} columns"


def fused(pair: ImagePair, method: str) -> Image:
    create = METHODS[method].create
    assert create is not None
    return fit_method(create(), ArraySource(pair), RunLimits()).fuse(pair)


def cast(pair: ImagePair, hrms: Image) -> np.ndarray:
    """Return the mean over the scene of A x - y for each band, DN."""
    left = observe(hrms, gains_of(pair), pair.ratio, pair.phase) - pair.spectral
    valid = pair.coarse_valid
    inside = np.ones(left.shape[1:], dtype=bool) if valid is None else valid.copy()
    # The instrument saw more than the scene holds: its border says nothing.
    inside[:6] = inside[-6:] = inside[:, :6] = inside[:, -6:] = False
    return left[:, inside].mean(axis=1)


def level(pair: ImagePair, hrms: Image) -> np.ndarray:
    """Return the mean of each band over that of the interpolated MS, on valid pixels."""
    valid = np.ones(pair.shape, dtype=bool) if pair.valid is None else pair.valid
    means = (image[:, valid].mean(axis=1) for image in (hrms, SCENE.upsample(pair)))
    return next(means) / next(means)


def gains_of(pair: ImagePair) -> tuple[float, ...]:
    assert pair.sensor is not None
    gains = pair.sensor.mtf_gains(len(pair.spectral))
    assert gains is not None
    return gains


def indexes(pair: ImagePair, hrms: Image) -> dict[str, float]:
    known: dict[str, Any] = {"ratio": pair.ratio, "gains": gains_of(pair), "valid": pair.valid}
    images = (hrms, pair.spatial, pair.spectral)
    found = evaluate_fr(*images, phase=pair.phase, metrics=COLUMNS[:3], **known).values
    return found | evaluate_reprojection(*images, metrics=COLUMNS[3:], **known).values


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def places(image: Image, valid: np.ndarray | None) -> Iterator[tuple[str, Window]]:
    """Yield the squares where the bands vary most, and are darkest and brightest, if all valid."""
    step = _SIDE // 4
    windows = [
        Window(r, c, _SIDE, _SIDE)
        for r in range(0, image.shape[1] - _SIDE + 1, step)
        for c in range(0, image.shape[2] - _SIDE + 1, step)
        if valid is None or valid[r : r + _SIDE, c : c + _SIDE].all()
    ]
    parts = {w: image[(slice(None), *w.slices)] for w in windows}
    yield "liveliest", max(windows, key=lambda w: float(parts[w].std(axis=(1, 2)).sum()))
    yield "darkest", min(windows, key=lambda w: float(np.percentile(parts[w], 5)))
    yield "brightest", max(windows, key=lambda w: float(np.percentile(parts[w], 99)))


def draw(out: Path, case: Case, pair: ImagePair, images: dict[str, Image]) -> None:
    """Write the three pictures of a pair."""
    colours = list(natural_colour(len(pair.spectral)))
    ms_up = SCENE.upsample(pair)
    for label, window in places(ms_up, pair.valid):
        cut = (slice(None), *window.slices)
        stretch = Stretch.of(ms_up[cut][colours])
        shown = {"PAN": Stretch.of(pair.spatial[cut]).applied(pair.spatial[cut])}
        shown |= {name: stretch.applied(image[cut][colours]) for name, image in images.items()}
        panels = [
            Panel(name, zoomed(pixels, Window.whole(window.shape), _SIDE * _ZOOM))
            for name, pixels in shown.items()
        ]
        rows = [panels[k : k + _ROW] for k in range(0, len(panels), _ROW)]
        name = case.name.rsplit("/", 1)[-1]
        write_sheet(
            out / f"{name}_{label}.png",
            rows,
            f"{name}, {label} place: row {window.row}, column {window.col}",
            f"Natural colour (bands {', '.join(str(k + 1) for k in colours)}), "
            f"{stretch.in_words()}, by the interpolated MS here; one stretch for all.",
        )


def run(folder: Path, case: Case, out: Path | None) -> None:
    pair, displacement = opened(folder, case)
    print(f"\n### {case.name} ({case.sensor}), displacement corrected: {displacement}\n")
    row("method", *COLUMNS, "below 0", "cast per band, DN", "largest", "level per band, %")
    row(*["---"] * (len(COLUMNS) + 5))
    images: dict[str, Image] = {}
    for method in classical():
        images[method] = hrms = fused(pair, method)
        scores, off = indexes(pair, hrms), cast(pair, hrms)
        share = np.abs(off) / np.abs(pair.spectral.mean(axis=(1, 2)))
        row(
            method,
            *(f"{scores[name]:.4f}" for name in COLUMNS),
            f"{100 * (hrms < 0).mean():.3f} %",
            " ".join(f"{value:+.2f}" for value in off),
            f"{100 * share.max():.2f} %",
            " ".join(f"{100 * value:.1f}" for value in level(pair, hrms)),
        )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(out, case, pair, images)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="Folder with the pairs.")
    parser.add_argument("pairs", nargs="*", help="Names of pairs; all by default.")
    parser.add_argument("--out", type=Path, help="Folder for the pictures.")
    options = parser.parse_args(arguments)
    known = {case.name.rsplit("/", 1)[-1]: case for case in PAIRS}
    if unknown := set(options.pairs) - set(known):
        parser.error(f"no pair {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    warnings.simplefilter("ignore", BandweaveWarning)
    print(time.strftime("%Y-%m-%d"))
    for name, case in known.items():
        if not options.pairs or name in options.pairs:
            run(options.folder, case, options.out)


if __name__ == "__main__":
    main()
