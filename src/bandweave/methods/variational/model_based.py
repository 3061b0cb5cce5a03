"""What the model-based methods share: the observations, the checks, the way in and out.

They estimate the scene Z `(C, H, W)` from X = H Z, the hyperspectral image (blurred with the point
spread and decimated), and Y = R Z, the sharp image (mixed by the spectral response).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bandweave.degrade.sampling import imresize
from bandweave.errors import BandCountError, ScaleError, SensorModelError
from bandweave.instruments import PointSpread, ResponseMatrix
from bandweave.methods.base import WholeScene
from bandweave.methods.nets.inference import Device, chosen_devices
from bandweave.methods.statistics import Measurement, SceneStatistics
from bandweave.methods.variational.iterations import Monitor, Progress
from bandweave.methods.variational.periodic import PeriodicView
from bandweave.pair import ImagePair, PairProfile
from bandweave.radiometry import Image, from_unit, to_unit


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """A pair in the unit range, float64, on the device that computes."""

    hsi: Tensor
    """X `(C, h, w)`."""
    msi: Tensor
    """Y `(c, H, W)`."""
    response: Tensor
    """R `(c, C)`."""
    view: PeriodicView
    """H."""

    @classmethod
    def of(
        cls,
        pair: ImagePair,
        psf: PointSpread,
        response: ResponseMatrix,
        full_scale: float,
        device: torch.device,
    ) -> Observations:
        """Scale a pair and put it on a device."""
        hsi, msi = (
            torch.from_numpy(to_unit(np.asarray(image, np.float64), full_scale)).to(device)
            for image in (pair.spectral, pair.spatial)
        )
        mixing = torch.tensor(response, dtype=torch.float64, device=device)
        return cls(hsi, msi, mixing, PeriodicView.of(psf, pair.ratio, pair.shape, device))

    def enlarged(self, image: Tensor) -> Tensor:
        """Interpolate `(bands, h, w)` to the fine grid by bicubic `imresize`, as the start.

        Its samples lie at phase (ratio − 1) / 2 whatever the pair's; the published programs start
        so, and the first iteration moves the image to its place.
        """
        fine = imresize(image.cpu().numpy(), (self.msi.shape[1], self.msi.shape[2]))
        return torch.from_numpy(fine).to(image.device)

    def back_projected(self) -> Tensor:
        """Return Rᵀ Y + Hᵀ X `(C, H, W)`."""
        spread: Tensor = torch.tensordot(self.response.mT, self.msi, dims=1)
        return spread + self.view.adjoint(self.hsi)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBased(ABC):
    """A method that inverts the sensor model of a hyperspectral pair under a prior.

    Everything is computed in float64 in the unit range: values / `full_scale`. The result is not
    clipped. The grid is continued periodically, so that a few pixels along the border see the
    opposite side where the point spread reaches beyond it.
    """

    psf: PointSpread | None = None
    """What a hyperspectral pixel is a mean of, its place included; None for the pair's sensor's."""
    response: ResponseMatrix | None = None
    """How the sharp bands are made of the others; None for the response of the pair's sensor."""
    seed: int = 0
    """Of everything that is drawn at random."""
    tolerance: float = 1e-4
    """Relative change of the estimate below which the outer iterations end; 0 runs them all."""
    device: Device = "auto"
    """Where to compute; `auto` takes a CUDA device where there is one."""
    progress: Progress | None = None
    """Called after every outer iteration."""
    id: ClassVar[str]
    planes: ClassVar[int]
    """Float64 values per fine pixel and spectral band at the peak, for the memory check: what the
    process grew by on 31 bands of 256 x 256 pixels, rounded up."""

    @property
    def precision(self) -> type[np.float32 | np.float64]:
        """Return the type in which pairs are handed over."""
        return np.float64

    def measurement(self, profile: PairProfile) -> Measurement | None:
        """Everything happens at once."""
        del profile
        return None

    def fit(self, profile: PairProfile, statistics: SceneStatistics | None) -> FittedModelBased:
        """Settle the sensor model and check that it suits the pair.

        Raises:
            SensorModelError: The point spread or the response is not known.
            BandCountError: The response is for other numbers of bands.
            ScaleError: The pair's full scale is not known; the weights of the priors have a unit.
        """
        del statistics
        sensor = profile.sensor
        psf = self.psf or (None if sensor is None else sensor.psf)
        response = self.response or (None if sensor is None else sensor.response)
        if psf is None or response is None:
            raise SensorModelError(
                f"{self.id} fuses a hyperspectral image with a sharp one that sees mixtures of its "
                "bands, and needs to know the point spread of the one and the spectral response "
                "of the other; give or estimate both (--psf, --srf)."
            )
        found, wanted = (profile.spatial_bands, profile.bands), (len(response), len(response[0]))
        if found != wanted:
            raise BandCountError(
                f"{self.id} has a spectral response of {wanted[0]} broad and {wanted[1]} narrow "
                f"bands, the images have {found[0]} and {found[1]}; are they swapped?"
            )
        if profile.full_scale is None:
            raise ScaleError(
                f"{self.id} needs the value that maps to 1.0, which is not known for this pair; "
                "give --full-scale (1 for reflectance)."
            )
        reach = WholeScene(8 * self.planes * profile.bands)
        return FittedModelBased(reach, self, psf, response, profile.full_scale)

    @abstractmethod
    def solve(self, seen: Observations, rng: np.random.Generator, monitor: Monitor) -> Tensor:
        """Return Z `(C, H, W)` in the unit range."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedModelBased:
    """A model-based method ready to fuse."""

    reach: WholeScene
    method: ModelBased
    psf: PointSpread
    response: ResponseMatrix
    full_scale: float

    def fuse(self, pair: ImagePair) -> Image:
        """Estimate the scene, see the method."""
        method = self.method
        device = torch.device(chosen_devices(method.device)[0])
        with torch.inference_mode():
            seen = Observations.of(pair, self.psf, self.response, self.full_scale, device)
            monitor = Monitor(method.tolerance, method.progress)
            fused = method.solve(seen, np.random.default_rng(method.seed), monitor)
            estimate: Image = fused.cpu().numpy().astype(pair.spectral.dtype)
        return from_unit(estimate, self.full_scale)
