"""Every classical method of METHODS against the properties it declares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bandweave.degrade.observe import observe
from bandweave.errors import BandCountError, FusionError
from bandweave.methods.base import Fitted, Local, Method, WholeScene
from bandweave.methods.consistency import Consistency
from bandweave.methods.convention import SCENE
from bandweave.methods.table import METHODS
from bandweave.mosaic import plan as plan_module
from bandweave.mosaic.runner import ArraySink, RunLimits, fit_method, measure_scene, run_scene
from bandweave.pair import ImagePair
from bandweave.sensors import find_sensor
from bandweave.source import ArraySource
from bandweave.window import Window
from scenes import smooth_truth

CLASSICAL = [
    name
    for name, entry in METHODS.items()
    if entry.create is not None and not entry.is_hyperspectral
]
SUBSTITUTION = [name for name in CLASSICAL if METHODS[name].family == "component substitution"]
# Fitted from the scene's sums, then local.
LOCAL = [name for name in CLASSICAL if METHODS[name].reach.startswith("local")]

# Adds something in proportion to P - P_L: a flat PAN changes nothing.
DETAIL_ONLY = {"exp", "awlp", "sfim", "mtf_glp_fs", "mtf_glp_hpm", "mtf_glp_hpm_r"}
# f(a·x) = a·f(x); the regularisation of TV has a unit.
SCALING = set(CLASSICAL) - {"tv"}
# A scene whose PAN is the same everywhere holds nothing to fit or to inject.
TAKES_SEVERAL_SHARP_BANDS = {"exp", "bicubic", "local_regression", "regression_ensemble"}
TAKES_A_CONSTANT_PAN = {
    "exp",
    "bicubic",
    "brovey",
    "sfim",
    "tv",
    "local_regression",
    "regression_ensemble",
}

# Sums over the scene that `fuse` gathers in single precision.
PRECISE = {
    "gsa",
    "bt_h",
    "mtf_glp_fs",
    "mtf_glp_hpm",
    "mtf_glp_hpm_r",
    "bdsd_pc",
    "classical_ensemble",
}

# Largest difference between tiles and the whole. A guide and its square or root are nearly
# dependent: what a window's running sums round is enlarged by up to 1 / ε = 1e7.
TILED_DN = {"regression_ensemble": 1e-7}

RATIOS = (2, 3, 4, 6)

# Root mean square of A x - y, A being what the MS instrument does, over that of interpolation.
# Component substitution may add what the bands never had; methods that know the MTF may not.
REPROJECTED = dict.fromkeys(CLASSICAL, 4 / 3) | dict.fromkeys(
    ("mtf_glp_fs", "mtf_glp_hpm", "mtf_glp_hpm_r", "local_regression"), 0.6
)
GAIN = 0.3


def create(name: str) -> Method:
    entry = METHODS[name]
    assert entry.create is not None
    return entry.create()


def make_pair(ratio: int = 4, shape: tuple[int, int] = (37, 31), bands: int = 3) -> ImagePair:
    """Return a corner-registered pair whose PAN and bands are related but not equal."""
    height, width = shape[0] * ratio, shape[1] * ratio
    truth = smooth_truth(bands, height, width, seed=ratio)
    cells = truth.reshape(bands, shape[0], ratio, shape[1], ratio).mean(axis=(2, 4))
    noise = np.random.default_rng(ratio).normal(0, 3, cells.shape)
    phase = (ratio - 1) / 2
    return ImagePair(
        spatial=truth.mean(axis=0, keepdims=True),
        spectral=cells + noise,
        ratio=ratio,
        phase=(phase, phase),
        sensor=find_sensor("none"),
    )


def fit(name: str, pair: ImagePair) -> Fitted:
    return fit_method(create(name), ArraySource(pair), RunLimits())


def fuse(name: str, pair: ImagePair) -> np.ndarray:
    return fit(name, pair).fuse(pair)


def run(fitted: Fitted, pair: ImagePair, window: Window | None = None) -> np.ndarray:
    sink = ArraySink()
    run_scene(fitted, ArraySource(pair), sink, precision=np.float64, window=window)
    return sink.hrms


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", CLASSICAL)
def test_any_ratio_gives_a_finite_image_near_the_bands(name, ratio):
    pair = make_pair(ratio)
    fused = fuse(name, pair)
    assert fused.shape == (3, *pair.shape)
    assert np.isfinite(fused).all()
    # Fusion sharpens: the bands' own variation is far larger than what is changed.
    change = np.sqrt(np.mean((fused - SCENE.upsample(pair)) ** 2))
    assert change < SCENE.upsample(pair).std()


@pytest.mark.parametrize("name", CLASSICAL)
def test_inputs_are_left_alone_and_the_type_is_kept(name):
    pair = make_pair()
    for dtype, tolerance in ((np.float64, 0), (np.float32, 0.02)):
        typed = pair.replace(
            spatial=pair.spatial.astype(dtype), spectral=pair.spectral.astype(dtype)
        )
        before = typed.spatial.copy(), typed.spectral.copy()
        fused = fit(name, pair).fuse(typed)
        assert fused.dtype == dtype
        assert np.array_equal(typed.spatial, before[0])
        assert np.array_equal(typed.spectral, before[1])
        assert np.abs(fused - fuse(name, pair)).max() <= tolerance


@pytest.mark.parametrize("name", sorted(SCALING))
def test_scaling_both_images_scales_the_result(name):
    pair = make_pair()
    scaled = pair.replace(spatial=0.01 * pair.spatial, spectral=0.01 * pair.spectral)
    np.testing.assert_allclose(fuse(name, scaled), 0.01 * fuse(name, pair), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", CLASSICAL)
def test_bands_permute_with_the_input(name):
    pair = make_pair()
    turned = pair.replace(spectral=pair.spectral[[2, 0, 1]])
    np.testing.assert_allclose(fuse(name, turned), fuse(name, pair)[[2, 0, 1]], rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", LOCAL)
def test_flat_images_give_a_flat_result(name):
    pair = make_pair()
    flat = pair.replace(
        spatial=np.full_like(pair.spatial, 400.0),
        spectral=np.broadcast_to(np.array([300.0, 500, 420])[:, None, None], (3, 37, 31)).copy(),
    )
    fused = fit(name, pair).fuse(flat)
    assert np.ptp(fused, axis=(1, 2)).max() < 1e-5


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", sorted(DETAIL_ONLY))
def test_a_pan_without_detail_gives_the_interpolated_bands(name, ratio):
    pair = make_pair(ratio)
    flat = pair.replace(spatial=np.full_like(pair.spatial, 400.0))
    np.testing.assert_allclose(fit(name, pair).fuse(flat), SCENE.upsample(pair), rtol=0, atol=1e-5)


@pytest.mark.parametrize("gain", [0.5, 1.15])
@pytest.mark.parametrize("name", SUBSTITUTION)
def test_a_brighter_pan_casts_no_colour_and_no_light(name, gain):
    pair = make_pair()
    fused = fuse(name, pair.replace(spatial=gain * pair.spatial))
    level = fused.mean(axis=(1, 2)) / SCENE.upsample(pair).mean(axis=(1, 2))
    np.testing.assert_allclose(level, 1, rtol=0, atol=0.005)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", CLASSICAL)
def test_the_reprojection_error_is_bounded(name, ratio):
    pair = make_pair(ratio)
    errors = [
        np.sqrt(np.mean((observe(x, (GAIN,), ratio, pair.phase) - pair.spectral) ** 2))
        for x in (fuse(name, pair), fuse("exp", pair))
    ]
    assert errors[0] <= REPROJECTED[name] * errors[1]


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", CLASSICAL)
def test_made_consistent_it_gives_back_the_ms(name, ratio):
    pair = make_pair(ratio)
    step = Consistency((GAIN,), noise=0.0)
    seen = observe(step.apply(fuse(name, pair), pair), (GAIN,), ratio, pair.phase)
    assert np.abs(seen - pair.spectral)[step.comparable(pair)].max() < 0.01


@pytest.mark.parametrize("name", LOCAL)
def test_statistics_ignore_masked_pixels(name):
    pair = make_pair()
    valid = np.ones(pair.shape, dtype=bool)
    valid[:, 60:] = False
    spoilt_pan, spoilt_bands = pair.spatial.copy(), pair.spectral.copy()
    # Beyond the reach of every filter, so that only statistics could let it through.
    spoilt_pan[:, :, 100:] = 30_000
    spoilt_bands[:, :, 28:] = 0
    masked = fuse(name, pair.replace(spatial=spoilt_pan, spectral=spoilt_bands, valid=valid))
    clean = fuse(name, pair.replace(valid=valid))
    assert np.abs(masked - clean)[:, :, :40].max() < 1e-6


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", LOCAL)
def test_tiled_is_whole_and_a_window_is_its_part(name, ratio, monkeypatch):
    monkeypatch.setattr(plan_module, "LOCAL_BLOCK", (96, 120))
    monkeypatch.setattr(plan_module, "ROW_BLOCK", (96, 120))
    # Four bands by their names: BT-H takes its haze from percentiles, which stream as well.
    is_ranked = name in {"bt_h", "classical_ensemble"} and ratio == 4
    shape = (41, 53) if ratio == 6 else (59, 83)
    pair = make_pair(ratio, shape, bands=4 if is_ranked else 3)
    valid = np.ones(pair.shape, dtype=bool)
    valid[20:31, 40:57] = False
    pair = pair.replace(valid=valid, sensor=find_sensor("gf2") if is_ranked else pair.sensor)
    tiled_fit = fit(name, pair)
    tiled = run(tiled_fit, pair)
    monkeypatch.undo()
    whole = fit(name, pair).fuse(pair)
    assert np.abs(tiled - whole)[:, valid].max() <= TILED_DN.get(name, 1e-9)
    window = Window(13, 7, 50, 61)
    part = run(tiled_fit, pair, window)
    inside = (slice(None), *window.slices)
    assert np.abs(part - np.where(valid, whole, 0)[inside]).max() <= 1e-9


@pytest.mark.parametrize("name", LOCAL)
def test_the_declared_reach_is_true(name):
    pair = make_pair(shape=(61, 57))
    fitted = fit(name, pair)
    if isinstance(fitted.reach, WholeScene):
        pytest.skip("declares the whole scene")
    assert isinstance(fitted.reach, Local)
    assert fitted.reach.apron % pair.ratio == 0
    far = fitted.reach.apron + pair.ratio
    changed = pair.replace(spatial=pair.spatial.copy(), spectral=pair.spectral.copy())
    changed.spatial[:, :, far:] += 500
    changed.spectral[:, :, far // pair.ratio :] *= 2
    difference = fitted.fuse(changed) - fitted.fuse(pair)
    assert np.abs(difference[:, :, 0]).max() <= 1e-9


def assert_defined(attempt: Callable[[], np.ndarray]) -> None:
    """A finite image, or one sentence that ends in a full stop."""
    try:
        fused = attempt()
    except FusionError as error:
        sentence = str(error)
    else:
        assert np.isfinite(fused).all()
        return
    assert sentence.endswith(".")
    assert "\n" not in sentence


def with_third_band(pair: ImagePair, band: np.ndarray) -> ImagePair:
    return pair.replace(spectral=np.stack([*pair.spectral[:2], band]))


def apart(shape: tuple[int, int]) -> np.ndarray:
    """Return a mask of ten single pixels."""
    valid = np.zeros(shape, dtype=bool)
    valid.flat[np.linspace(0, valid.size - 1, 10).astype(int)] = True
    return valid


def corner(shape: tuple[int, int]) -> np.ndarray:
    rows, cols = np.indices(shape)
    return ((rows < 20) & (cols < 20))[None]


BAD_INPUT: dict[str, Callable[[ImagePair], ImagePair]] = {
    "band of zeros": lambda p: p.replace(spectral=np.stack([*p.spectral[:2], p.spectral[2] * 0])),
    "constant band": lambda p: with_third_band(p, np.full_like(p.spectral[2], 400)),
    "equal bands": lambda p: p.replace(spectral=np.stack([p.spectral[0]] * 3)),
    "dependent bands": lambda p: with_third_band(p, 2 * p.spectral[0] - p.spectral[1]),
    "PAN with zeros": lambda p: p.replace(spatial=np.maximum(p.spatial - 400, 0)),
    "black PAN but for a corner": lambda p: p.replace(spatial=corner(p.shape) * p.spatial),
    "bands of zeros": lambda p: p.replace(spectral=p.spectral * 0),
    "negative bands": lambda p: p.replace(spectral=p.spectral - 600),
    "PAN against the bands": lambda p: p.replace(spatial=1000 - p.spatial),
    "ten pixels": lambda p: p.replace(valid=np.arange(p.spatial.size).reshape(p.shape) < 10),
    "ten pixels far apart": lambda p: p.replace(valid=apart(p.shape)),
    "one pixel": lambda p: p.replace(valid=np.arange(p.spatial.size).reshape(p.shape) < 1),
    "a tiny scene": lambda p: p.crop(Window(0, 0, 4, 8)),
}


@pytest.mark.parametrize("case", BAD_INPUT)
@pytest.mark.parametrize("name", CLASSICAL)
def test_bad_input_gives_a_defined_result_or_a_sentence(name, case):
    pair = BAD_INPUT[case](make_pair())
    assert_defined(lambda: fuse(name, pair))


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_constant_pan_is_taken_or_refused_in_words(name):
    pair = make_pair()
    constant = pair.replace(spatial=np.full_like(pair.spatial, 400.0))
    if name in TAKES_A_CONSTANT_PAN:
        assert np.isfinite(fuse(name, constant)).all()
        return
    with pytest.raises(FusionError, match="PAN"):
        fuse(name, constant)


@pytest.mark.parametrize("name", sorted(set(CLASSICAL) - TAKES_SEVERAL_SHARP_BANDS))
def test_several_spatial_bands_are_refused(name):
    pair = make_pair()
    rgb = pair.replace(spatial=np.concatenate([pair.spatial] * 3))
    with pytest.raises(BandCountError, match="found 3 bands"):
        fuse(name, rgb)


@pytest.mark.parametrize("name", CLASSICAL)
def test_the_entry_is_complete(name):
    entry = METHODS[name]
    assert entry.id == name == create(name).id
    assert all((entry.name, entry.citation, entry.reach, entry.statistics, entry.parity))


@pytest.mark.parametrize("name", [name for name in LOCAL if name in PRECISE])
def test_sums_in_single_precision_change_hundredths_of_a_dn(name):
    """What `fuse` measures scenes in, against the sums in double precision."""
    pair, method = make_pair(), create(name)
    source = ArraySource(pair)
    results = [
        method.fit(
            pair.profile, measure_scene(method, source, RunLimits(), precision=precision)
        ).fuse(pair)
        for precision in (np.float32, np.float64)
    ]
    assert np.abs(results[0] - results[1]).max() < 0.02
