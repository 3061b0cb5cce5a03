"""What the consistency step has to give on real images: the prototype's figures, or better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.io import loadmat

from bandweave.config import FuseConfig
from bandweave.datasets.files import open_pairs
from bandweave.degrade.observe import observe
from bandweave.methods.consistency import Consistency
from bandweave.metrics.reduced import evaluate_rr
from bandweave.mosaic.in_memory import ArrayScene
from bandweave.mosaic.prepare import prepare_job
from bandweave.mosaic.runner import ArraySink
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from hisr_golden import case, load

pytestmark = pytest.mark.golden

METRICS = ("psnr", "sam", "ergas")
# PSNR, SAM and ERGAS of the prototype, and the gain in dB that is asked for.
GAOFEN2 = {
    "exp": (35.28, 1.358, 1.668, 1.5),
    "bt_h": (39.29, 1.214, 1.078, 1.5),
    "mtf_glp_fs": (38.20, 1.245, 1.187, 1.5),
    "mtf_glp_hpm_r": (38.30, 1.225, 1.177, 1.5),
}


def fused(pair: ImagePair, **options: object) -> np.ndarray:
    job = prepare_job(ArrayScene(pair), FuseConfig.checked(align="off", **options))
    sink = ArraySink()
    job.run(sink, quiet=True)
    return sink.hrms.astype(np.float64)


@pytest.mark.parametrize("method", list(GAOFEN2))
def test_gaofen2_gains_what_the_prototype_gained(shared, method) -> None:
    path = shared("data/pan/gf2_pancollection_rr_0to9.h5")
    values = []
    with open_pairs(path, sensor=find_sensor("gf2"), full_scale=1023) as pairs:
        for k in range(len(pairs)):
            pair, gt = pairs.item(k)
            for is_consistent in (False, True):
                hrms = fused(pair, method=method, consistent=is_consistent)
                scores = evaluate_rr(
                    hrms, gt, ratio=4, full_scale=1023, protocol="dlpan-rr", metrics=METRICS
                ).values
                values.append([scores[name] for name in METRICS])
    before, after = np.array(values).reshape(-1, 2, 3).mean(axis=0)
    psnr, sam, ergas, gain = GAOFEN2[method]
    assert after[0] >= psnr
    assert after[1] <= sam
    assert after[2] <= ergas
    assert after[0] - before[0] >= gain


def test_gaofen2_seen_again_is_the_ms(shared) -> None:
    path = shared("data/pan/gf2_pancollection_rr_0to9.h5")
    with open_pairs(path, sensor=find_sensor("gf2"), full_scale=1023) as pairs:
        pair, _ = pairs.item(3)
    hrms = fused(pair, method="gsa", consistent=True, consistency_noise=0)
    seen = observe(hrms, (0.30,), 4, pair.phase)
    assert np.abs(seen - pair.spectral)[:, 6:-6, 6:-6].max() < 0.01


@pytest.mark.slow
def test_published_weights_gain_on_worldview2(shared) -> None:
    content = loadmat(shared("data/pan/wv2_grip_fr.mat"))
    gt = content["I_MS"][:256, :256].transpose(2, 0, 1) * 1.0
    pan = observe(content["I_PAN"][None, :1024, :1024] * 1.0, (0.11,), 4, (2.0, 2.0))
    sensor = find_sensor("wv2")
    gains = sensor.mtf_gains(8)
    assert gains is not None
    lrms = observe(gt, gains, 4, (2.0, 2.0), normalised=False)
    pair = ImagePair(pan, lrms, 4, (2.0, 2.0), 2047, sensor=sensor)
    weights = shared("weights/u2net_wv3_200000_iter.pth")
    x0 = fused(pair, weights=str(weights))
    values = [
        evaluate_rr(x, gt, ratio=4, full_scale=2047, protocol="dlpan-rr", metrics=("psnr",))
        for x in (x0, Consistency(gains).apply(x0, pair))
    ]
    assert values[1].values["psnr"] - values[0].values["psnr"] >= 0.4


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("A", "cstf/case_A"),
        ("A", "ltmr/case_A"),
        ("A", "lttr/case_A"),
        ("A", "utv/case_A"),
        ("A", "utv/case_A_repaired_inner_solver"),
        ("A", "ir_tensr/case_A"),
        ("A", "ir_tensr/case_A_pavia_lambda5e-5"),
        ("B", "ltmr/case_B"),
        ("B", "lttr/case_B"),
    ],
)
def test_what_the_published_programs_give_gains(shared, name, file) -> None:
    pair, psf, response, gt = case(shared, name)
    x0 = load(shared, file)["output"]
    plain = Consistency(psf, 0.0, response)
    images = (x0, plain.apply(x0, pair), replace(plain, is_nonnegative=True).apply(x0, pair))
    before, plainly, raised = (
        evaluate_rr(x, gt, ratio=4, full_scale=1.0, protocol="cave", metrics=METRICS).values["psnr"]
        for x in images
    )
    assert raised > before
    # Of estimates that hardly fall below 0 nothing is raised.
    assert raised >= plainly - 1e-6
