"""Compiled loops against NumPy's passes and the oracle: shapes, masks, flat windows, threads."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bandweave.errors import NodataError
from bandweave.metrics import compilation, evaluate_rr
from bandweave.metrics.q2n import q2n_map
from bandweave.metrics.scc import scc_tally
from bandweave.metrics.sliding import sliding_tallies
from bandweave.metrics.ssim import ssim, ssim_constants, ssim_tally
from bandweave.metrics.uqi import uqi, uqi_tally
from oracles import toolbox_metrics as oracle

pytest.importorskip("numba")

CLOSE = {"rtol": 1e-12, "atol": 1e-13}
ALL = ("q2n", "uqi", "sam", "ergas", "scc", "psnr", "ssim", "rmse", "cc")


def noise(rng, *shape):
    reference = rng.uniform(0, 2047, shape)
    return reference + rng.normal(0, 80, shape), reference


def both_ways(monkeypatch, compute):
    """Return what a function returns compiled, and by passes of NumPy."""
    assert compilation.is_compiled()
    compiled = compute()
    with monkeypatch.context() as patch:
        patch.setattr(compilation, "is_compiled", lambda: False)
        return compiled, compute()


# A single window, columns that do not fill the four lines, as many windows as the lines hold (256
# of either metric), one more, and several lines' worth.
WIDTHS = [32, 33, 34, 37, 63, 64, 266, 267, 286, 287, 288, 600]


@pytest.mark.parametrize("width", WIDTHS)
def test_windows_of_any_width(rng, monkeypatch, width):
    f, g = noise(rng, 2, 45, width)
    for tally in (
        lambda: uqi_tally(f, g, None).total,
        lambda: ssim_tally(f, g, None, peak=2047, margins=((0, 0), (0, 0))).total,
        lambda: scc_tally(f, g, None, margins=((1, 0), (0, 1))).cross,
    ):
        np.testing.assert_allclose(*both_ways(monkeypatch, tally), **CLOSE)
    assert uqi(f, g) == pytest.approx(oracle.uqi(f, g), abs=1e-13)
    assert ssim(f, g, peak=2047) == pytest.approx(oracle.ssim(f, g, 2047), abs=1e-13)


@pytest.mark.parametrize("height", [11, 12, 31, 32, 42, 43, 44, 63, 64, 65, 97, 200])
def test_windows_of_any_height(rng, height):
    f, g = noise(rng, 1, height, 40)
    assert ssim(f, g, peak=2047) == pytest.approx(oracle.ssim(f, g, 2047), abs=1e-13)
    if height >= 32:
        assert uqi(f, g) == pytest.approx(oracle.uqi(f, g), abs=1e-13)


@pytest.mark.parametrize("shape", [(45, 37), (42, 260), (75, 300)])
@pytest.mark.parametrize("is_masked", [False, True])
def test_both_window_metrics_in_one_pass(rng, shape, is_masked):
    """UQI and SSIM share rows, and are what they are by themselves.

    To the last bit, but for wide images, whose columns they then add up in other portions.
    """
    f, g = noise(rng, 3, *shape)
    valid = rng.random(shape) > 0.001 if is_masked else None
    boxes, gaussians = ((shape[0] - n, shape[1] - n) for n in (31, 10))
    constants = ssim_constants(2047)
    both = sliding_tallies(f, g, valid, boxes=boxes, gaussians=gaussians, constants=constants)
    alone = (
        uqi_tally(f, g, valid),
        ssim_tally(f, g, valid, peak=2047, margins=((0, 0), (0, 0))),
    )
    for one, other in zip(both, alone, strict=True):
        np.testing.assert_allclose(one.total, other.total, rtol=1e-14 if shape[1] > 266 else 0)
        assert np.array_equal(one.count, other.count)


def test_kept_memory_leaves_no_trace(rng):
    """What an earlier image left in the memory, even nan and infinity, changes no bit."""
    f, g = noise(rng, 3, 77, 75)
    score = partial(evaluate_rr, ratio=4, full_scale=2047, protocol="dlpan-rr-uncut")
    first = score(f, g).values
    wild = np.full((7, 300, 300), np.inf)
    wild[::2, ::3] = np.nan
    with pytest.raises(NodataError):
        score(wild, wild)
    assert score(f, g).values == first


@pytest.mark.parametrize("window", [2, 4, 8, 16, 32, 64, 128, 256])
def test_windows_of_any_size(rng, window):
    f, g = noise(rng, 1, window + 9, window + 14)
    expected = oracle.uqi_band(f[0], g[0], window)
    assert uqi(f, g, window=window) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("value", [0.1 + 0.2, 7.0, 0.0])
def test_flat_parts_are_told_from_nearly_flat_ones(rng, monkeypatch, value):
    """Sums of a value without short binary fraction leave rounding where nothing varies."""
    f, g = noise(rng, 3, 90, 80)
    f[1:, :60, :50] = g[1:, :60, :50] = value
    g[2, 40:] = 3 * value
    ours, passes = both_ways(monkeypatch, lambda: uqi_tally(f, g, None).total)
    np.testing.assert_allclose(ours, passes, **CLOSE)
    assert uqi(np.full((1, 40, 40), value), np.full((1, 40, 40), value)) == 1.0


def test_dark_windows_beside_bright_ones(rng, monkeypatch):
    """What a window does not hold leaves no trace in its sums."""
    f, g = noise(rng, 1, 100, 90)
    f[:, :50] *= 1e7
    g[:, :50] *= 1e7
    ours, passes = both_ways(monkeypatch, lambda: uqi_tally(f, g, None).total)
    np.testing.assert_allclose(ours, passes, rtol=1e-9)
    dark = (slice(None), slice(50, None))
    assert uqi(f[dark], g[dark]) == pytest.approx(oracle.uqi(f[dark], g[dark]), abs=1e-12)


@pytest.mark.parametrize("protocol", ["dlpan-rr", "dlpan-rr-uncut", "cave-unclipped"])
@pytest.mark.parametrize("is_masked", [False, True])
def test_evaluations_equal_those_of_numpy(rng, monkeypatch, protocol, is_masked):
    f, g = noise(rng, 5, 151, 307)
    valid = None
    if is_masked:
        valid = rng.random(g.shape[1:]) > 0.0002
        f[:, ~valid], g[:, ~valid] = np.nan, -5000.0

    def score():
        return evaluate_rr(f, g, ratio=4, full_scale=4096, protocol=protocol, valid=valid).values

    ours, passes = both_ways(monkeypatch, score)
    assert ours.keys() == passes.keys()
    for name, value in passes.items():
        assert ours[name] == pytest.approx(value, rel=1e-11, abs=1e-12), name


@pytest.mark.parametrize("layout", ["part", "bands last", "reversed", "read only", "float32"])
def test_images_however_they_lie_in_memory(rng, layout):
    f, g = noise(rng, 3, 70, 66)
    expected = evaluate_rr(f, g, ratio=4, full_scale=2047, protocol="dlpan-rr-uncut").values
    if layout == "part":
        wide = np.full((6, 80, 99), np.nan)
        wide[::2, 5:75, 9:75] = f
        f = wide[::2, 5:75, 9:75]
    elif layout == "bands last":
        f, g = (np.ascontiguousarray(x.transpose(1, 2, 0)).transpose(2, 0, 1) for x in (f, g))
    elif layout == "reversed":
        f, g = (np.ascontiguousarray(x[:, ::-1, ::-1])[:, ::-1, ::-1] for x in (f, g))
    elif layout == "read only":
        f.flags.writeable = g.flags.writeable = False
    else:
        f, g = (np.rint(x).astype(np.float32) for x in (f, g))
        expected = evaluate_rr(
            f.astype(float), g.astype(float), ratio=4, full_scale=2047, protocol="dlpan-rr-uncut"
        ).values
    values = evaluate_rr(f, g, ratio=4, full_scale=2047, protocol="dlpan-rr-uncut").values
    assert values == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(("block", "step"), [(32, 32), (32, 7), (8, 8), (64, 64)])
@pytest.mark.parametrize("shape", [(1, 70, 61), (5, 33, 31), (3, 5, 7), (2, 128, 130)])
def test_blocks(rng, monkeypatch, shape, block, step):
    f, g = noise(rng, *shape)
    g[0, :40, :40] = 7.4
    f[0, :2, :3] = [[-4.0, 70_000.0, 0.5], [1e18, -1e18, 2.49999]]
    ours, passes = both_ways(monkeypatch, lambda: q2n_map(f, g, block=block, shift=step))
    np.testing.assert_allclose(ours, passes, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("protocol", ["dlpan-rr", "cave"])
def test_threads_do_not_change_a_bit(rng, protocol):
    f, g = noise(rng, 7, 150, 133)
    runs = [
        evaluate_rr(f, g, ratio=4, full_scale=4095, protocol=protocol, threads=threads).values
        for threads in (1, 2, 5)
    ]
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("metrics", [ALL, ("uqi", "q2n")])
def test_values_that_are_not_finite_are_refused(rng, bad, metrics):
    f, g = noise(rng, 3, 70, 66)
    f[1, 8, 8], f[1, 8, 16] = bad, -bad
    with pytest.raises(NodataError, match="band 1 of the estimate has NaN or infinity at 2 of"):
        evaluate_rr(
            f, g, ratio=4, full_scale=2047, metrics=metrics, protocol="dlpan-rr-uncut", threads=2
        )


def test_fast_is_double_precision_where_that_is_fast(rng):
    f, g = noise(rng, 2, 80, 70)
    fast, plain = (
        evaluate_rr(f, g, ratio=4, full_scale=2047, is_fast=is_fast) for is_fast in (True, False)
    )
    assert fast.conditions["precision"] == "float64"
    assert fast.values == plain.values


def test_without_numba_numpy_computes(tmp_path):
    """A process in which numba cannot be imported scores all the same."""
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np\n"
        "from bandweave.metrics import compilation, evaluate_rr\n"
        "image = np.random.default_rng(1).uniform(1, 2047, (2, 80, 80))\n"
        "print(compilation.is_compiled(), evaluate_rr(image, image, ratio=4).values['uqi'])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert run.stdout.split() == ["False", "1.0"]


HELPERS = ("box_windows", "dealt_rows", "gaussian_windows")


def test_kept_code_is_made_anew_with_its_helpers():
    """Numba compares the file that holds the entry only: a hash there stands for the others."""
    from bandweave.metrics.compiled import similarity

    folder = Path(similarity.__file__).parent
    source = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in HELPERS)
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == similarity.HELPERS


def test_only_similarity_has_helpers_in_other_files():
    folder = Path(compilation.__file__).parent / "compiled"
    takes = {
        path.stem: set(re.findall(r"^from bandweave.metrics.compiled.(\w+)", text, re.MULTILINE))
        for path in folder.glob("*.py")
        if "@entry" in (text := path.read_text(encoding="utf-8"))
    }
    assert takes.pop("similarity") == {"jit", *HELPERS}
    assert takes
    assert all(taken == {"jit"} for taken in takes.values())


@pytest.mark.slow
def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(tmp_path):
    script = (
        "from numba.core.caching import CacheImpl; CacheImpl._locator_classes = []\n"
        "import numpy as np\n"
        "from bandweave.metrics.cc import cc\n"
        "image = np.random.default_rng(1).uniform(1, 2047, (2, 80, 80))\n"
        "print(cc(image, image))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert float(run.stdout) == pytest.approx(1.0)


@pytest.mark.parametrize("module", ["bandweave.metrics", "bandweave.cli.evaluate"])
def test_numba_is_loaded_late(module):
    script = f"import sys, {module}; print('numba' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
