"""evaluate_rr, evaluate_fr, evaluate_reprojection: tiles, threads, masks, notes, records."""

from __future__ import annotations

import json
import math
import tracemalloc

import numpy as np
import pytest

from bandweave.degrade.sampling import imresize, interpolate
from bandweave.errors import BandCountError, NodataError, ScaleError, ShapeError, UnknownNameError
from bandweave.metrics import (
    PROTOCOLS,
    Protocol,
    evaluate_fr,
    evaluate_reprojection,
    evaluate_rr,
    find_protocol,
    score_reprojection,
    score_rr,
    summarise,
    tiles,
)
from bandweave.metrics.d_lambda import d_lambda
from bandweave.metrics.d_lambda_k import d_lambda_k
from bandweave.metrics.d_rho import d_rho
from bandweave.metrics.d_s import d_s
from bandweave.metrics.images import ArrayImage
from bandweave.metrics.q2n import q2n
from bandweave.metrics.reprojected import Reprojection, r_ergas, r_q2n, r_sam, r_uqi
from bandweave.metrics.scc import scc
from bandweave.metrics.ssim import ssim
from bandweave.metrics.tiles import plan_tiles
from bandweave.metrics.uqi import uqi
from bandweave.window import Window
from oracles import toolbox_metrics as oracle

GAINS = (0.3, 0.34, 0.26)


@pytest.fixture
def images(rng):
    reference = rng.uniform(1, 2047, (3, 203, 170))
    return reference + rng.normal(0, 90, reference.shape), reference


@pytest.fixture
def inputs(rng):
    """A fused image, its PAN and its coarse image, at ratio 4."""
    pan = rng.uniform(1, 2047, (1, 192, 160))
    lrms = rng.uniform(1, 2047, (3, 48, 40))
    fused = interpolate(lrms, 4, (2, 2), border="circular") + 0.3 * (pan - 1000)
    return fused, pan, lrms


def small_tiles(monkeypatch, values=2**13):
    monkeypatch.setattr(tiles, "VALUES_PER_TILE", values)


def same(first, second, tolerance=1e-12):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value == pytest.approx(second[name], abs=tolerance, nan_ok=True), name


def test_equals_the_oracle(images):
    scores = evaluate_rr(*images, ratio=4, full_scale=2047)
    expected = oracle.score(*images, ratio=4, full_scale=2047)
    same({name: scores.values[name] for name in expected}, expected)


@pytest.mark.parametrize("name", ["dlpan-rr", "dlpan-rr-uncut", "cave"])
def test_tiles_and_threads_do_not_matter(images, monkeypatch, name):
    scale = 2048.0
    whole = evaluate_rr(*images, ratio=4, full_scale=scale, protocol=name, threads=1)
    small_tiles(monkeypatch)
    streamed = evaluate_rr(*images, ratio=4, full_scale=scale, protocol=name, threads=1)
    same(whole.values, streamed.values)
    threaded = evaluate_rr(*images, ratio=4, full_scale=scale, protocol=name, threads=3)
    assert threaded.values == streamed.values


def test_masked_tiles_equal_the_masked_whole(images, rng, monkeypatch):
    estimate, reference = images
    valid = np.ones(reference.shape[1:], bool)
    valid[120:, 100:] = False  # a tile without any valid pixel
    valid[rng.integers(0, 203, 5), rng.integers(0, 170, 5)] = False
    estimate[:, ~valid] = np.nan
    whole = evaluate_rr(*images, ratio=4, full_scale=2047, valid=valid)
    assert all(math.isfinite(value) for value in whole.values.values())
    small_tiles(monkeypatch)
    same(whole.values, evaluate_rr(*images, ratio=4, full_scale=2047, valid=valid).values)
    cut = (slice(None), slice(20, 182), slice(20, 149))
    inside = valid[cut[1:]]
    f, g = estimate[cut], reference[cut]
    assert whole.values["uqi"] == pytest.approx(uqi(f, g, valid=inside), abs=1e-12)
    assert whole.values["ssim"] == pytest.approx(ssim(f, g, peak=2047, valid=inside), abs=1e-12)
    assert whole.values["scc"] == pytest.approx(scc(f, g, valid=inside), abs=1e-12)
    assert whole.values["q2n"] == pytest.approx(q2n(f, g, valid=inside), abs=1e-12)


@pytest.mark.parametrize(
    ("shape", "unit"), [((203, 170), 32), ((31, 500), 32), ((7, 5), 32), ((64, 33), 8)]
)
def test_tiles_cover_the_region_once(shape, unit, monkeypatch):
    small_tiles(monkeypatch, 2**12)
    region = Window(20, 3, *shape)
    count = np.zeros((20 + shape[0], 3 + shape[1]), int)
    for tile in plan_tiles(region, unit, 4):
        count[tile.slices] += 1
        assert (tile.row - 20) % unit == (tile.col - 3) % unit == 0
        assert tile.height >= min(unit, shape[0])
        assert tile.width >= min(unit, shape[1])
    assert count[region.slices].min() == count.max() == 1
    assert count.sum() == shape[0] * shape[1]


def test_the_cave_protocol_scores_the_unit_range(images):
    """DN with their full scale, or the same values already divided."""
    unit = [image / 2047 for image in images]
    first = evaluate_rr(*images, ratio=4, full_scale=2047, protocol="cave")
    second = evaluate_rr(*unit, ratio=4, protocol="cave")
    same(first.values, second.values)
    clipped = np.clip(unit[0], 0, 1)
    assert second.values["psnr"] == pytest.approx(oracle.psnr(clipped, unit[1], 1.0), abs=1e-12)
    third = evaluate_rr(*unit, ratio=4, protocol="cave-unclipped")
    assert third.values["psnr"] == pytest.approx(oracle.psnr(*unit, 1.0), abs=1e-12)
    assert first.values["ergas"] != first.values["ergas_estimate"]
    with pytest.raises(ScaleError, match="give the full scale"):
        evaluate_rr(*images, ratio=4, protocol="cave")


def test_metrics_that_cannot_be_computed_are_nan_with_a_reason(rng):
    reference = rng.uniform(0, 1, (3, 25, 30))
    scores = evaluate_rr(reference, reference, ratio=4, full_scale=1.0, protocol="dlpan-rr-uncut")
    assert math.isnan(scores.values["uqi"])
    assert math.isnan(scores.values["q2n"])
    assert scores.values["ssim"] == 1.0
    assert any("uqi: needs 32 x 32 pixels, but 25 x 30" in note for note in scores.notes)
    assert any("q2n: rounds to whole numbers" in note for note in scores.notes)
    without = evaluate_rr(reference, reference, ratio=4, protocol="dlpan-rr-uncut")
    assert math.isnan(without.values["psnr"])
    assert any("psnr: needs the full scale" in note for note in without.notes)


def test_part_of_the_metrics(images):
    scores = evaluate_rr(*images, ratio=4, metrics=("sam", "ergas"))
    assert list(scores.values) == ["sam", "ergas"]
    with pytest.raises(UnknownNameError, match="has no metric 'hqnr'; it has q2n"):
        evaluate_rr(*images, ratio=4, metrics=("hqnr",))


def test_refusals(images):
    with pytest.raises(ShapeError, match="one size"):
        evaluate_rr(images[0], images[1][:, 1:], ratio=4)
    with pytest.raises(ShapeError, match="one size"):
        evaluate_rr(*images, ratio=4, valid=np.ones((3, 3), bool))
    with pytest.raises(ShapeError, match="more than 41 x 41, got 41 x 170"):
        evaluate_rr(images[0][:, :41], images[1][:, :41], ratio=4)
    with pytest.raises(NodataError, match="No pixel is valid in both"):
        evaluate_rr(*images, ratio=4, valid=np.zeros((203, 170), bool))
    with pytest.raises(UnknownNameError, match="known protocols are dlpan-rr"):
        evaluate_rr(*images, ratio=4, protocol="dlpan")
    with pytest.raises(
        UnknownNameError, match="take one of dlpan-rr, dlpan-rr-uncut, cave, cave-unc"
    ):
        evaluate_rr(*images, ratio=4, protocol="dlpan-fr")
    images[0][1, 100, 100] = np.nan
    for metrics in (None, ("uqi",), ("q2n",), ("sam",)):
        with pytest.raises(NodataError, match="band 1 of the estimate has NaN"):
            evaluate_rr(*images, ratio=4, full_scale=2047, metrics=metrics)


def test_full_resolution_equals_the_functions(inputs):
    fused, pan, lrms = inputs
    scores = evaluate_fr(fused, pan, lrms, ratio=4, gains=GAINS)
    ms_up = interpolate(lrms, 4, (2, 2), border="circular")
    low = interpolate(imresize(pan, 0.25), 4, (2, 2), border="circular")
    spectral, spatial = d_lambda(fused, ms_up), d_s(fused, pan, ms_up, low)
    khan = d_lambda_k(fused, ms_up, gains=GAINS, ratio=4)
    expected = {
        "d_lambda_k": khan,
        "d_s": spatial,
        "hqnr": (1 - khan) * (1 - spatial),
        "d_lambda": spectral,
        "qnr": (1 - spectral) * (1 - spatial),
    }
    same(scores.values, expected)
    assert scores.conditions["phase"] == [2.0, 2.0]


def test_original_form_equals_the_functions(inputs):
    fused, pan, lrms = inputs
    scores = evaluate_fr(fused, pan, lrms, ratio=4, protocol="original-qnr")
    low = imresize(pan, 0.25)
    assert scores.values["d_lambda"] == pytest.approx(
        d_lambda(fused, lrms, spectral_block=8), abs=1e-12
    )
    assert scores.values["d_s"] == pytest.approx(
        d_s(fused, pan, lrms, low, spectral_block=8), abs=1e-12
    )


@pytest.mark.parametrize("name", ["dlpan-fr", "original-qnr"])
@pytest.mark.parametrize("is_masked", [False, True])
def test_full_resolution_in_tiles(inputs, rng, monkeypatch, name, is_masked):
    valid = None
    if is_masked:
        valid = np.ones((192, 160), bool)
        valid[100:102, 70] = False
    options = {"ratio": 4, "gains": GAINS, "protocol": name, "valid": valid}
    whole = evaluate_fr(*inputs, **options)
    assert all(math.isfinite(value) for value in whole.values.values())
    small_tiles(monkeypatch, 2**12)
    same(whole.values, evaluate_fr(*inputs, **options, threads=3).values)


def test_full_resolution_under_a_mask_ignores_what_is_there(inputs):
    fused, pan, lrms = inputs
    valid = np.ones((192, 160), bool)
    valid[100:102, 70] = False
    first = evaluate_fr(fused, pan, lrms, ratio=4, gains=GAINS, valid=valid)
    for other in (1e4, np.nan):
        spoilt = np.where(valid, fused, other)
        again = evaluate_fr(spoilt, pan, lrms, ratio=4, gains=GAINS, valid=valid)
        same(first.values, again.values)


def test_full_resolution_without_gains_or_with_flat_blocks(inputs):
    fused, pan, lrms = inputs
    scores = evaluate_fr(fused, pan, lrms, ratio=4)
    assert math.isnan(scores.values["hqnr"])
    assert any("d_lambda_k: needs the sensor's MTF gains" in note for note in scores.notes)
    fused[:, :32, :32] = 5.0
    flat = evaluate_fr(fused, pan, lrms, ratio=4, gains=GAINS)
    assert "d_lambda, d_s: up to 1 of 30 blocks are flat and left out" in flat.notes


def test_full_resolution_crops_on_request(inputs):
    fused, pan, lrms = inputs
    cut = (fused[:, :180, :152], pan[:, :180, :152], lrms[:, :45, :38])
    with pytest.raises(ShapeError, match="multiples of 32, got 180 x 152"):
        evaluate_fr(*cut, ratio=4, gains=GAINS)
    scores = evaluate_fr(*cut, ratio=4, gains=GAINS, crop=True)
    assert scores.conditions["cropped"] == [20, 24]
    exact = (fused[:, :160, :128], pan[:, :160, :128], lrms[:, :40, :32])
    same(scores.values, evaluate_fr(*exact, ratio=4, gains=GAINS).values)


def test_full_resolution_refusals(inputs):
    fused, pan, lrms = inputs
    with pytest.raises(BandCountError, match="got 3, 2 and 1"):
        evaluate_fr(fused, pan, lrms[:2], ratio=4)
    with pytest.raises(BandCountError, match="3 bands, 1 gains"):
        evaluate_fr(fused, pan, lrms, ratio=4, gains=(0.3,))
    with pytest.raises(ShapeError, match="lrms at ratio 2"):
        evaluate_fr(fused, pan, lrms, ratio=2)
    with pytest.raises(ShapeError, match="use dlpan-fr"):
        evaluate_fr(
            fused[:, :, :96], pan[:, :, :96], lrms[:, ::3, :8], ratio=12, protocol="original-qnr"
        )
    with pytest.raises(NodataError, match="No block of 32 x 32"):
        evaluate_fr(fused, pan, lrms, ratio=4, gains=GAINS, valid=np.eye(192, 160, dtype=bool))


@pytest.mark.parametrize("is_masked", [False, True])
def test_reprojection(inputs, monkeypatch, is_masked):
    fused, pan, lrms = inputs
    valid = None
    if is_masked:
        valid = np.ones((192, 160), bool)
        valid[180, 150] = False
    options = {"ratio": 4, "gains": GAINS, "valid": valid}
    whole = evaluate_reprojection(fused, pan, lrms, **options)
    assert all(math.isfinite(value) for value in whole.values.values())
    if not is_masked:
        way = Reprojection.measured(pan, lrms, gains=GAINS, ratio=4)
        assert whole.conditions["offsets"] == [list(offset) for offset in way.offsets]
        expected = {
            name: function(fused, lrms, reprojection=way)
            for name, function in (
                ("r_q2n", r_q2n),
                ("r_uqi", r_uqi),
                ("r_sam", r_sam),
                ("r_ergas", r_ergas),
            )
        }
        same(whole.values, {**expected, "d_rho": d_rho(fused, pan, half_width=2)})
    if valid is not None:
        fused = np.where(valid, fused, np.nan)
    small_tiles(monkeypatch, 2**12)
    streamed = evaluate_reprojection(fused, pan, lrms, **options, threads=3)
    same(whole.values, streamed.values)
    assert whole.conditions == streamed.conditions


def test_reprojection_without_valid_surroundings(inputs):
    fused, pan, lrms = (ArrayImage(image) for image in inputs)
    nowhere = ArrayImage(pan.image, np.zeros((192, 160), bool))
    with pytest.raises(NodataError, match="offset between PAN and coarse image"):
        score_reprojection(fused, nowhere, lrms, ratio=4, gains=GAINS)


def test_every_protocol_says_how(images):
    for name, protocol in PROTOCOLS.items():
        assert find_protocol(name) is protocol
        record = json.loads(json.dumps(protocol.record()))
        assert record["id"] == name
        for key in ("border", "block", "shift", "scaling", "ssim_border", "quantisation", "std"):
            assert record[key] is not None
    scores = evaluate_rr(*images, ratio=4, full_scale=2047)
    record = json.loads(json.dumps(scores.record()))
    assert record["protocol"]["border"] == "toolbox21"
    assert record["conditions"] == {
        "ratio": 4,
        "full_scale": 2047,
        "shape": [203, 170],
        "precision": "float64",
    }


def test_own_protocol(images):
    """A protocol is a value: other blocks, other metrics."""
    own = Protocol("mine", "rr", ("q2n", "uqi"), "here", block=16, shift=16, window=16)
    scores = evaluate_rr(*images, ratio=4, protocol=own)
    expected = {"q2n": q2n(*images, block=16), "uqi": uqi(*images, window=16)}
    same(scores.values, expected)


def test_mean_and_spread_over_images(images):
    estimate, reference = images
    runs = [
        evaluate_rr(reference + step, reference, ratio=4, full_scale=2047, metrics=("rmse", "psnr"))
        for step in (3.0, 5.0, 10.0)
    ]
    spread = summarise(runs)["rmse"]
    assert spread.mean == pytest.approx(6.0, abs=1e-9)
    assert spread.std == pytest.approx(math.sqrt(13), abs=1e-9)
    assert spread.count == 3
    ideal = evaluate_rr(reference, reference, ratio=4, full_scale=2047, metrics=("rmse", "psnr"))
    assert summarise([*runs, ideal])["psnr"].mean == math.inf
    assert math.isnan(summarise([*runs, ideal])["psnr"].std)
    assert math.isnan(summarise([ideal])["rmse"].std)
    other = evaluate_rr(estimate, reference, ratio=4, protocol="dlpan-rr-uncut", metrics=("rmse",))
    with pytest.raises(ValueError, match="one protocol"):
        summarise([ideal, other])


class Endless:
    """A scene that is made up as it is read, and remembers the largest part asked for."""

    bands = 2

    def __init__(self, shape, step):
        self.shape, self.step, self.largest = shape, step, 0

    def read(self, window, dtype):
        self.largest = max(self.largest, window.height * window.width * self.bands)
        rows = np.arange(window.row, window.row_stop)[:, None]
        cols = np.arange(window.col, window.col_stop)[None, :]
        band = (rows * 7 + cols * 3) % 101 + 500.0
        return np.stack([band, 2 * band]).astype(dtype) + self.step, None


def test_memory_does_not_grow_with_the_scene(monkeypatch):
    small_tiles(monkeypatch, 2**16)
    peaks = []
    for side in (640, 2560):
        estimate, reference = Endless((side, side), 3.0), Endless((side, side), 0.0)
        tracemalloc.start()
        scores = score_rr(
            estimate, reference, ratio=4, full_scale=1023, metrics=("rmse", "sam"), threads=1
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert scores.values["rmse"] == pytest.approx(3.0, abs=1e-9)
        assert estimate.largest <= 2**16
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 16 * 8 * 2**16
