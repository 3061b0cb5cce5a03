"""The consistency step as a network's last layer, exact on one tile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bandweave.degrade.observe import observation_kernels
from bandweave.errors import SensorModelError, ShapeError
from bandweave.sensors import Sensor


@dataclass(frozen=True, slots=True, eq=False)
class TileOperator:
    """How the instruments see a pair: what the layer needs of a sensor model."""

    kernels: NDArray[np.float64]
    """`(C, K, L)` or `(1, K, L)`: point spread per spectral band."""
    start: tuple[int, int]
    """Fine index of the first tap at coarse sample 0."""
    ratio: int
    response: NDArray[np.float64] | None = None
    """`(c, C)`: spectral response of the spatial image, where it is an exact mixture."""

    @classmethod
    def of_sensor(
        cls, sensor: Sensor | None, bands: int, ratio: int, phase: tuple[float, float]
    ) -> TileOperator:
        """Take a sensor's point spread, else its MTF gains.

        Raises:
            SensorModelError: Neither is known.
        """
        response = None if sensor is None or sensor.response is None else np.array(sensor.response)
        if sensor is not None and sensor.psf is not None:
            return cls(sensor.psf.kernel[None], sensor.psf.start, ratio, response)
        gains = None if sensor is None else sensor.mtf_gains(bands)
        if gains is None:
            raise SensorModelError(
                f"The consistency layer needs the point spread or the MTF gains of {bands} bands, "
                f"and {'no sensor is known' if sensor is None else sensor.name + ' has none'}; "
                "name a sensor, or train without the layer (consistent=false)."
            )
        shared = gains[:1] if len(set(gains)) == 1 else gains
        kernels, middle = observation_kernels(shared, ratio, phase)
        radius = kernels.shape[1] // 2
        return cls(kernels, (middle[0] - radius, middle[1] - radius), ratio, response)

    def same_as(self, other: TileOperator) -> bool:
        """Tell whether both describe the same instruments."""
        mine, theirs = self.response, other.response
        if (self.start, self.ratio, mine is None) != (other.start, other.ratio, theirs is None):
            return False
        same_response = mine is None or theirs is None or np.array_equal(mine, theirs)
        return same_response and np.array_equal(self.kernels, other.kernels)

    def matrix(self, tile: int) -> NDArray[np.float64]:
        """Return A as `(C or 1, h w, H W)` on a tile beyond which everything is zero."""
        count = tile // self.ratio
        dense = np.zeros((len(self.kernels), count, count, tile, tile))
        taps = self.kernels.shape[1:]
        for row in range(count):
            for column in range(count):
                first = [s + self.ratio * k for s, k in zip(self.start, (row, column), strict=True)]
                low = [max(f, 0) for f in first]
                high = [min(f + n, tile) for f, n in zip(first, taps, strict=True)]
                inside = [slice(a - f, b - f) for a, b, f in zip(low, high, first, strict=True)]
                target = dense[:, row, column, low[0] : high[0], low[1] : high[1]]
                target[...] = self.kernels[:, inside[0], inside[1]]
        return dense.reshape(len(self.kernels), count**2, tile**2)


class ConsistencyLayer(nn.Module):
    """Keep of a network's change what the sensors cannot see.

    With a base x0 that is consistent already and the network's output f, the result is
    x0 + N (f − x0), where N = I − Aᵀ (A Aᵀ + λI)⁻¹ A removes what A sees, and likewise for the
    spectral response where there is one (both commute where all bands share one kernel). Beyond
    the tile the change counts as zero, so the result is consistent in a scene in which only this
    tile was changed. No parameters.
    """

    def __init__(self, operators: list[TileOperator], tile: int, noise: float) -> None:
        super().__init__()
        self.tile = tile
        for k, operator in enumerate(operators):
            seen = operator.matrix(tile)
            gram = seen @ seen.transpose(0, 2, 1)
            gram += noise * np.eye(gram.shape[1])
            back = np.linalg.solve(gram, seen).transpose(0, 2, 1)
            self.register_buffer(f"seen_{k}", torch.from_numpy(seen).float(), persistent=False)
            self.register_buffer(f"back_{k}", torch.from_numpy(back).float(), persistent=False)
            hidden = None if operator.response is None else _null_space(operator.response)
            self.register_buffer(f"hidden_{k}", hidden, persistent=False)

    def forward(self, fused: Tensor, start: Tensor, operator: Tensor) -> Tensor:
        """Return the consistent images `(B, C, H, W)`.

        Args:
            fused: `(B, C, H, W)`: output of the network.
            start: `(B, C, H, W)`: its base, consistent.
            operator: `(B,)`: index of each pair's operator.

        Raises:
            ShapeError: The tile is not the layer's.
        """
        if fused.shape[2:] != (self.tile, self.tile):
            raise ShapeError(
                f"This consistency layer is for tiles of {self.tile}, got {tuple(fused.shape[2:])}."
            )
        change = fused - start
        # In bfloat16 the products would leave some of what the sensors see.
        with torch.autocast(change.device.type, enabled=False):
            kept = [
                self._hidden_part(change[k], int(index))
                for k, index in enumerate(operator.tolist())
            ]
        return start + torch.stack(kept)

    def _hidden_part(self, change: Tensor, k: int) -> Tensor:
        seen, back = self.get_buffer(f"seen_{k}"), self.get_buffer(f"back_{k}")
        columns = change.flatten(1)[..., None]
        left: Tensor = columns - back @ (seen @ columns)
        left = left.reshape(change.shape)
        hidden = getattr(self, f"hidden_{k}")
        return left if hidden is None else torch.einsum("ij,jhw->ihw", hidden, left)


def _null_space(response: NDArray[np.float64]) -> Tensor:
    """Return I − Pᵀ (P Pᵀ)⁻¹ P, `(C, C)`."""
    seen = response.T @ np.linalg.solve(response @ response.T, response)
    return torch.from_numpy(np.eye(len(seen)) - seen).float()
