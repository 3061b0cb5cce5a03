"""The classical methods in toolbox mode against the toolbox's own images and scores."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import loadmat

from bandweave.cli.main import cli
from bandweave.methods.base import Method
from bandweave.methods.interpolation import Interpolation
from bandweave.methods.mtf_glp import MtfGlpFs, MtfGlpHpm, MtfGlpHpmR
from bandweave.methods.substitution.bdsd import BdsdPc
from bandweave.methods.substitution.bt_h import BtH
from bandweave.methods.variational.tv import Tv
from bandweave.metrics import evaluate_fr, evaluate_rr
from bandweave.pair import ImagePair
from toolbox_golden import (
    FOLDER,
    SCENES,
    gaofen_pair,
    golden_image,
    golden_pair,
    golden_scores,
    listed_scores,
    real_pair,
)

pytestmark = pytest.mark.golden

METHODS: dict[str, Method] = {
    "EXP": Interpolation(toolbox=True),
    "BT-H": BtH(toolbox=True),
    "BDSD-PC": BdsdPc(toolbox=True),
    "TV": Tv(toolbox=True),
    "MTF-GLP-FS": MtfGlpFs(toolbox=True),
    "MTF-GLP-HPM": MtfGlpHpm(toolbox=True),
    "MTF-GLP-HPM-R": MtfGlpHpmR(toolbox=True),
}
# DN in float64.
TOLERANCE = dict.fromkeys(METHODS, 1e-8)


def fuse(name: str, pair: ImagePair) -> np.ndarray:
    return METHODS[name].fit(pair.profile, None).fuse(pair)


def assert_close(scores: dict[str, float], expected: dict[str, float], tolerance: float) -> None:
    assert {k: scores[k] for k in expected} == pytest.approx(expected, rel=0, abs=tolerance)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("name", METHODS)
def test_images_are_the_toolbox_s(shared, name, scene):
    pair, _ = golden_pair(shared, scene)
    fused = fuse(name, pair)
    assert np.abs(fused - golden_image(shared, scene, name)).max() <= TOLERANCE[name]


@pytest.mark.parametrize("name", ["EXP", "BT-H", "MTF-GLP-HPM-R"])
def test_the_command_gives_the_toolbox_s_images(shared, tmp_path, name):
    source, out = shared(f"{FOLDER}/wv3_8b_input.mat"), tmp_path / "out.mat"
    options = ["--sensor", "wv3", "--method", METHODS[name].id, "--convention", "toolbox"]
    result = CliRunner().invoke(
        cli, ["fuse", str(source), str(out), *options], catch_exceptions=False
    )
    assert "for comparison with published numbers" in result.stderr
    fused = loadmat(out)["sr"].transpose(2, 0, 1)
    assert np.abs(fused - golden_image(shared, "wv3_8b", name)).max() <= TOLERANCE[name]


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("name", METHODS)
def test_scores_are_the_toolbox_s(shared, name, scene):
    pair, gt = golden_pair(shared, scene)
    assert pair.sensor is not None
    fused = fuse(name, pair)
    expected = golden_scores(shared, scene, name)
    for block, protocol in (("rr", "dlpan-rr"), ("rr_nocut", "dlpan-rr-uncut")):
        scores = evaluate_rr(fused, gt, ratio=4, full_scale=2047, protocol=protocol)
        assert_close(scores.values, expected[block], 1e-10)
    gains = pair.sensor.mtf_gains(gt.shape[0])
    scores = evaluate_fr(fused, pair.spatial, pair.spectral, ratio=4, gains=gains)
    assert_close(scores.values, expected["fr"], 1e-10)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name == "TV" else name for name in METHODS],
)
def test_scores_of_a_real_pair_are_the_toolbox_s(shared, name):
    pair, gt = real_pair(shared)
    scores = evaluate_rr(fuse(name, pair), gt, ratio=4, full_scale=2047)
    expected = listed_scores(shared(f"{FOLDER}/wv3_cdif_rr_metrics.csv"), name)
    assert_close(scores.values, expected, 1e-6)


@pytest.mark.parametrize(
    "image", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in range(1, 10))]
)
@pytest.mark.parametrize("name", METHODS)
def test_scores_of_the_gaofen_set_are_the_toolbox_s(shared, name, image):
    pair, gt = gaofen_pair(shared, image)
    scores = evaluate_rr(fuse(name, pair), gt, ratio=4, full_scale=1023)
    table = shared(f"{FOLDER}/gf2_pancollection_rr/image_{image:02d}_metrics.csv")
    assert_close(scores.values, listed_scores(table, name), 1e-6)
