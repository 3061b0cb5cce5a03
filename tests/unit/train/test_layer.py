"""The layer against the scene's own consistency step, and its two defining properties."""

from __future__ import annotations

import numpy as np
import torch

from bandweave.degrade.instrument import Instrument
from bandweave.instruments import PointSpread
from bandweave.methods.consistency import Consistency
from bandweave.pair import ImagePair
from bandweave.sensors import Band, Sensor
from bandweave.train.layer import ConsistencyLayer, TileOperator

TILE, BANDS = 32, 5
RESPONSE = ((0.5, 0.3, 0.2, 0.0, 0.0), (0.0, 0.1, 0.2, 0.3, 0.4))
POINT_SPREAD = PointSpread(
    tuple(tuple(row) for row in np.outer([0.1, 0.8, 0.1], [0.2, 0.6, 0.2])), (1, 1), "test"
)


def layered(sensor: Sensor, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    operator = TileOperator.of_sensor(sensor, BANDS, 4, (2.0, 2.0))
    layer = ConsistencyLayer([operator], TILE, noise).double()
    start = rng.uniform(0.2, 0.8, (2, BANDS, TILE, TILE))
    fused = start + 0.1 * rng.standard_normal(start.shape)
    index = torch.zeros(2, dtype=torch.long)
    result = layer(torch.from_numpy(fused), torch.from_numpy(start), index)
    return start, fused, result.numpy(), operator.matrix(TILE)


def test_nothing_that_the_sensors_see_changes(rng: np.random.Generator) -> None:
    sensor = Sensor("s", "s", (), psf=POINT_SPREAD, response=RESPONSE)
    start, fused, result, seen = layered(sensor, 0.0, rng)
    change = (result - start).reshape(2, BANDS, -1)
    assert np.abs(np.einsum("kp,bcp->bck", seen[0], change)).max() < 1e-6
    assert np.abs(np.einsum("ij,bjp->bip", np.array(RESPONSE), change)).max() < 1e-6
    # What is removed is no more than needed: the rest is orthogonal to what is kept.
    removed = (fused - result).reshape(2, BANDS, -1)
    assert abs((removed * change).sum()) < 1e-6 * (change**2).sum()


def test_inside_a_scene_it_is_the_consistency_step(rng: np.random.Generator) -> None:
    """Put the changed tile into a scene that is consistent: both give the same image."""
    bands = tuple(
        Band(f"b{k}", mtf_gain=gain) for k, gain in enumerate((0.3, 0.35, 0.3, 0.4, 0.45))
    )
    sensor = Sensor("s", "s", bands)
    start, fused, result, _ = layered(sensor, 1e-3, rng)
    pad = 48
    around = [(0, 0), (pad, pad), (pad, pad)]
    x0 = np.pad(start[0], around, mode="reflect")
    gains = sensor.mtf_gains(BANDS)
    assert gains is not None
    lrms = Instrument(gains, 4, (2.0, 2.0)).observe(x0)
    changed = x0.copy()
    changed[:, pad:-pad, pad:-pad] = fused[0]
    pair = ImagePair(changed[:1], lrms, 4, (2.0, 2.0))
    whole = Consistency(gains, 1e-3).apply(changed, pair)
    inside = (slice(None), slice(pad + 12, -pad - 12), slice(pad + 12, -pad - 12))
    own = (slice(None), slice(12, -12), slice(12, -12))
    # The scene's step corrects beyond the tile as well, the layer within it alone.
    assert np.abs(whole[inside] - result[0][own]).max() < 5e-3
    assert np.abs(whole[inside] - result[0][own]).max() < 0.1 * np.abs(fused - result).max()


def test_operators_are_told_apart() -> None:
    sensor = Sensor("s", "s", (), psf=POINT_SPREAD)
    one, other = (TileOperator.of_sensor(sensor, BANDS, 4, (2.0, 2.0)) for _ in range(2))
    assert one.same_as(other)
    with_response = Sensor("s", "s", (), psf=POINT_SPREAD, response=RESPONSE)
    assert not one.same_as(TileOperator.of_sensor(with_response, BANDS, 4, (2.0, 2.0)))


def test_mixed_precision_leaves_the_layer_exact(rng: np.random.Generator) -> None:
    sensor = Sensor("s", "s", (), psf=POINT_SPREAD, response=RESPONSE)
    operator = TileOperator.of_sensor(sensor, BANDS, 4, (2.0, 2.0))
    layer = ConsistencyLayer([operator], TILE, 1e-3)
    fused, start = (torch.from_numpy(rng.random((2, BANDS, TILE, TILE), np.float32)) for _ in "fs")
    index = torch.zeros(2, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(fused, start, index)
    assert torch.equal(mixed, layer(fused, start, index))
