"""The metrics: what each is called, means, and can be.

A line here brings the contract tests (tests/test_metric_contract.py) with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from bandweave.metrics.cc import cc
from bandweave.metrics.d_lambda import d_lambda
from bandweave.metrics.d_lambda_k import d_lambda_k
from bandweave.metrics.d_rho import d_rho
from bandweave.metrics.d_s import d_s
from bandweave.metrics.ergas import ergas
from bandweave.metrics.hqnr import hqnr
from bandweave.metrics.psnr import psnr
from bandweave.metrics.q2n import q2n
from bandweave.metrics.qnr import qnr
from bandweave.metrics.reprojected import r_ergas, r_q2n, r_sam, r_uqi
from bandweave.metrics.rmse import rmse
from bandweave.metrics.sam import sam
from bandweave.metrics.scc import scc
from bandweave.metrics.ssim import ssim
from bandweave.metrics.uqi import uqi

_INFINITY = float("inf")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    function: Callable[..., float]
    """Pure function on arrays, or on the values that it is made of."""
    name: str
    """Display name."""
    direction: Literal["higher", "lower"]
    """Which values are better."""
    unit: str
    """Unit, or empty where dimensionless or that of the images."""
    range: tuple[float, float]
    """Least and largest value."""
    needs: Literal["reference", "inputs", "metrics"]
    """`reference`: (estimate, reference); `inputs`: the images that were fused; `metrics`: values
    of other metrics."""
    citation: str
    """Where it was defined."""

    @property
    def ideal(self) -> float:
        """Return the value at best, that of an image against itself."""
        return self.range[1] if self.direction == "higher" else self.range[0]


METRICS: dict[str, Metric] = {
    "q2n": Metric(q2n, "Q2n", "higher", "", (0.0, 1.0), "reference", "Garzelli and Nencini 2009"),
    "uqi": Metric(uqi, "UQI", "higher", "", (-1.0, 1.0), "reference", "Wang and Bovik 2002"),
    "sam": Metric(sam, "SAM", "lower", "°", (0.0, 180.0), "reference", "Kruse et al. 1993"),
    "ergas": Metric(ergas, "ERGAS", "lower", "", (0.0, _INFINITY), "reference", "Wald 2000"),
    "ergas_estimate": Metric(
        partial(ergas, denominator="estimate"),
        "ERGAS (mean of estimate)",
        "lower",
        "",
        (0.0, _INFINITY),
        "reference",
        "argument order of published CAVE tables",
    ),
    "scc": Metric(scc, "SCC", "higher", "", (0.0, 1.0), "reference", "Zhou et al. 1998"),
    "psnr": Metric(
        psnr, "PSNR", "higher", "dB", (-_INFINITY, _INFINITY), "reference", "mean over bands"
    ),
    "ssim": Metric(ssim, "SSIM", "higher", "", (-1.0, 1.0), "reference", "Wang et al. 2004"),
    "rmse": Metric(rmse, "RMSE", "lower", "", (0.0, _INFINITY), "reference", "over all bands"),
    "cc": Metric(cc, "CC", "higher", "", (-1.0, 1.0), "reference", "Pearson, mean over bands"),
    "d_lambda_k": Metric(
        d_lambda_k, "D_lambda^K", "lower", "", (0.0, 1.0), "inputs", "Khan et al. 2009"
    ),
    "d_lambda": Metric(
        d_lambda, "D_lambda", "lower", "", (0.0, 2.0), "inputs", "Alparone et al. 2008"
    ),
    "d_s": Metric(d_s, "D_s", "lower", "", (0.0, 2.0), "inputs", "Alparone et al. 2008"),
    "hqnr": Metric(hqnr, "HQNR", "higher", "", (-1.0, 1.0), "metrics", "Aiazzi et al. 2014"),
    "qnr": Metric(qnr, "QNR", "higher", "", (-1.0, 1.0), "metrics", "Alparone et al. 2008"),
    "r_q2n": Metric(r_q2n, "R-Q2n", "higher", "", (0.0, 1.0), "inputs", "Scarpa and Ciotola 2022"),
    "r_uqi": Metric(r_uqi, "R-Q", "higher", "", (-1.0, 1.0), "inputs", "Scarpa and Ciotola 2022"),
    "r_sam": Metric(
        r_sam, "R-SAM", "lower", "°", (0.0, 180.0), "inputs", "Scarpa and Ciotola 2022"
    ),
    "r_ergas": Metric(
        r_ergas, "R-ERGAS", "lower", "", (0.0, _INFINITY), "inputs", "Scarpa and Ciotola 2022"
    ),
    "d_rho": Metric(d_rho, "D_rho", "lower", "", (0.0, 2.0), "inputs", "Scarpa and Ciotola 2022"),
}
