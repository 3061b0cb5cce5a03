"""Reference numbers of the MATLAB toolbox: every metric, both sensors, seven methods' images."""

from __future__ import annotations

import csv
import json

import h5py
import numpy as np
import pytest
from scipy.io import loadmat

from bandweave.datasets.cave import cave_pair, hsi_up
from bandweave.degrade.sampling import interpolate
from bandweave.metrics import evaluate_fr, evaluate_rr
from bandweave.metrics.q2n import q2n_map

pytestmark = pytest.mark.golden

METHODS = ["EXP", "BT-H", "TV", "MTF-GLP-HPM", "MTF-GLP-HPM-R", "MTF-GLP-FS", "BDSD-PC"]
RR_COLUMNS = {
    "q2n": "Q2n", "uqi": "Q", "sam": "SAM", "ergas": "ERGAS", "scc": "SCC", "psnr": "PSNR",
    "ssim": "SSIM",
}  # fmt: skip
FR_COLUMNS = {
    "d_lambda": "D_lambda", "d_s": "D_s", "qnr": "QNR", "d_lambda_k": "D_lambda_K", "hqnr": "HQNR",
}  # fmt: skip
GAINS = {
    "wv3_8b": (0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315),
    "qb_4b": (0.34, 0.32, 0.30, 0.22),
}
TOLERANCE = 1e-10


def channels_first(array):
    return np.ascontiguousarray(array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0))


def scene(shared, name):
    stored = loadmat(shared(f"golden/classical/{name}_input.mat"))
    return {key: channels_first(stored[key]) for key in ("gt", "pan", "ms", "lms")}


def fused(shared, name, method):
    return channels_first(loadmat(shared(f"golden/classical/{name}_{method}.mat"))["fused"])


def golden_row(shared, name, method, table):
    """Return one method's reference values by column name, in full precision."""
    stored = loadmat(shared(f"golden/classical/{name}_metrics.mat"))
    row = [str(entry[0]) for entry in stored["methods"][0]].index(method)
    names = [str(entry[0]) for entry in stored["fr_names" if table == "fr" else "rr_names"][0]]
    return dict(zip(names, stored[table][row], strict=True))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", GAINS)
@pytest.mark.parametrize(
    ("protocol", "table"), [("dlpan-rr", "rr"), ("dlpan-rr-uncut", "rr_nocut")]
)
@pytest.mark.usefixtures("either_way")
def test_reduced_resolution(shared, name, method, protocol, table):
    expected = golden_row(shared, name, method, table)
    scores = evaluate_rr(
        fused(shared, name, method),
        scene(shared, name)["gt"],
        ratio=4,
        full_scale=2047,
        protocol=protocol,
    )
    for metric, column in RR_COLUMNS.items():
        assert scores.values[metric] == pytest.approx(expected[column], abs=TOLERANCE), metric


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", GAINS)
def test_full_resolution(shared, name, method):
    expected = golden_row(shared, name, method, "fr")
    images = scene(shared, name)
    image = fused(shared, name, method)
    scores = evaluate_fr(image, images["pan"], images["ms"], ratio=4, gains=GAINS[name])
    for metric, column in FR_COLUMNS.items():
        assert scores.values[metric] == pytest.approx(expected[column], abs=TOLERANCE), metric


@pytest.mark.parametrize("name", GAINS)
@pytest.mark.usefixtures("either_way")
def test_q2n_block_by_block(shared, name):
    images = scene(shared, name)
    stored = loadmat(shared(f"golden/classical/{name}_components.mat"))
    ours = q2n_map(images["lms"], images["gt"])
    np.testing.assert_allclose(ours, stored["q2n_exp_map"], atol=TOLERANCE)
    assert ours.mean() == pytest.approx(stored["q2n_exp"].item(), abs=TOLERANCE)


def table_row(path, method):
    with path.open(encoding="utf-8") as file:
        return next(row for row in csv.DictReader(file) if row["method"] == method)


def compare_with_table(values, row, columns, suffix=""):
    """The tables hold ten significant digits."""
    for metric, column in columns.items():
        expected = float(row[column + suffix])
        assert values[metric] == pytest.approx(expected, rel=2e-9, abs=1e-10), metric


def test_real_worldview_3(shared):
    """EXP on a real image: both borders, and the metrics without reference."""
    stored = loadmat(shared("data/pan/wv3_cdif_rr.mat"))
    by_size = sorted(
        (
            channels_first(value) * 2047
            for value in stored.values()
            if isinstance(value, np.ndarray) and value.size > 100
        ),
        key=lambda image: (image.shape[1], image.shape[0]),
    )
    lrms, pan, gt = by_size
    ms_up = interpolate(lrms, 4, (2, 2), border="circular")
    row = table_row(shared("golden/classical/wv3_cdif_rr_metrics.csv"), "EXP")
    for protocol, suffix in (("dlpan-rr", ""), ("dlpan-rr-uncut", "_nocut")):
        scores = evaluate_rr(ms_up, gt, ratio=4, full_scale=2047, protocol=protocol)
        compare_with_table(scores.values, row, RR_COLUMNS, suffix)
    scores = evaluate_fr(ms_up, pan, lrms, ratio=4, gains=GAINS["wv3_8b"])
    compare_with_table(scores.values, row, FR_COLUMNS)


@pytest.mark.parametrize("k", [0, 4, 9])
def test_real_gaofen_2(shared, k):
    with h5py.File(shared("data/pan/gf2_pancollection_rr_0to9.h5")) as file:
        gt, lrms, pan = (file[key][k].astype(np.float64) for key in ("gt", "ms", "pan"))
    row = table_row(
        shared(f"golden/classical/gf2_pancollection_rr/image_{k:02d}_metrics.csv"), "EXP"
    )
    ms_up = interpolate(lrms, 4, (2, 2), border="circular")
    scores = evaluate_rr(ms_up, gt, ratio=4, full_scale=1023)
    compare_with_table(scores.values, row, RR_COLUMNS)
    scores = evaluate_fr(ms_up, pan, lrms, ratio=4, gains=(0.3,) * 4)
    compare_with_table(scores.values, row, FR_COLUMNS)


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [4, 8])
@pytest.mark.parametrize("name", ["chart_and_stuffed_toy", "fake_and_real_tomatoes", "flowers"])
def test_cave_bicubic(shared, name, ratio):
    """The published bicubic row of the CAVE tables, per scene; it was not clipped."""
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    gt = tifffile.imread(shared(f"data/cave/test/{name}.tif")).astype(np.float64) / 65535
    reference = json.loads(
        shared("golden/cave11_bicubic_reference.json").read_text(encoding="utf-8")
    )[f"x{ratio}"]["scenes"][name]
    scores = evaluate_rr(hsi_up(cave_pair(gt, ratio)), gt, ratio=ratio, protocol="cave-unclipped")
    keys = {
        "psnr": "psnr", "sam": "sam", "ergas": "ergas_gtmean", "ergas_estimate": "ergas_estmean",
        "ssim": "ssim",
    }  # fmt: skip
    for metric, key in keys.items():
        assert scores.values[metric] == pytest.approx(reference[key], abs=1e-6), metric
