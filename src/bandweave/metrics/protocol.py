"""How published numbers were computed: one frozen value per convention."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from bandweave.errors import ShapeError, UnknownNameError
from bandweave.metrics.ssim import SsimBorder
from bandweave.window import Window

Border = Literal["toolbox21", "none"]
Kind = Literal["rr", "fr", "reprojection"]
Scaling = Literal["dn", "unit"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """Everything that decides a number besides the images."""

    id: str
    """Key in PROTOCOLS; stands beside every number."""
    kind: Kind
    """`rr`: against a reference; `fr`: without one; `reprojection`: against the coarse image."""
    metrics: tuple[str, ...]
    """Metric ids in the order of the published tables."""
    source: str
    """Whose convention this is."""
    border: Border = "none"
    """Pixels left out: `toolbox21` scores rows and columns [20, N − 21)."""
    scaling: Scaling = "dn"
    """`dn`: physical values as they are, peak = full scale; `unit`: both images are divided by the
    full scale, peak = 1."""
    is_clipped: bool = False
    """Whether the estimate is clipped to [0, 1] first (scaling `unit`)."""
    ssim_border: SsimBorder = "valid"
    block: int = 32
    """Pixels per side of the blocks of Q2n and of the block UQI."""
    shift: int = 32
    """Pixels between blocks."""
    window: int = 32
    """Pixels per side of the sliding window of UQI."""
    quantisation: str = "Q2n alone: rounded half away from zero to uint16, saturating"
    scale_side: Literal["ms_up", "lrms"] = "ms_up"
    """What D_lambda and D_s compare with: `ms_up` on the fine grid, or `lrms` on its own grid with
    blocks of block / ratio."""
    std: str = "n - 1 (images, blocks)"

    def region(self, shape: tuple[int, int]) -> Window:
        """Return the part of an image that is scored.

        Raises:
            ShapeError: The border leaves nothing.
        """
        if self.border == "none":
            return Window.whole(shape)
        # MATLAB's 21:end-21 counts from 1 and ends inclusively: not symmetric.
        height, width = shape[0] - 41, shape[1] - 41
        if height < 1 or width < 1:
            raise ShapeError(
                f"Protocol {self.id} leaves out 20 and 21 pixels per side and needs more than "
                f"41 x 41, got {shape[0]} x {shape[1]}; use one without border."
            )
        return Window(20, 20, height, width)

    def record(self) -> dict[str, Any]:
        """Return the protocol as it is written into records."""
        return asdict(self)


_RR_METRICS = ("q2n", "uqi", "sam", "ergas", "scc", "psnr", "ssim", "rmse", "cc")
_CAVE_METRICS = ("psnr", "sam", "ergas", "ergas_estimate", "ssim")
_CAVE = "CAVE tables of the fusion literature (294coder/Efficient-MIF and relatives)"
_TOOLBOX = "DLPan-Toolbox (Deng et al. 2022), MATLAB part"

PROTOCOLS: dict[str, Protocol] = {
    protocol.id: protocol
    for protocol in (
        Protocol("dlpan-rr", "rr", _RR_METRICS, _TOOLBOX, border="toolbox21"),
        Protocol("dlpan-rr-uncut", "rr", _RR_METRICS, f"{_TOOLBOX}, without its border"),
        Protocol(
            "cave", "rr", _CAVE_METRICS, _CAVE, scaling="unit", is_clipped=True, ssim_border="same"
        ),
        Protocol(
            "cave-unclipped",
            "rr",
            _CAVE_METRICS,
            f"{_CAVE}, estimates as they are",
            scaling="unit",
            ssim_border="same",
        ),
        Protocol(
            "dlpan-fr",
            "fr",
            ("d_lambda_k", "d_s", "hqnr", "d_lambda", "qnr"),
            f"{_TOOLBOX}; HQNR is what its tables call QNR",
        ),
        Protocol(
            "original-qnr",
            "fr",
            ("d_lambda", "d_s", "qnr"),
            "Alparone et al. 2008: compared with the coarse images themselves",
            scale_side="lrms",
        ),
        Protocol(
            "reprojection",
            "reprojection",
            ("r_q2n", "r_uqi", "r_sam", "r_ergas", "d_rho"),
            "Scarpa and Ciotola 2022",
        ),
    )
}


def find_protocol(name: str) -> Protocol:
    """Return a protocol by its id.

    Raises:
        UnknownNameError: No such protocol; the message lists the valid ones.
    """
    if name not in PROTOCOLS:
        raise UnknownNameError(
            f"There is no protocol {name!r}; known protocols are {', '.join(PROTOCOLS)}."
        )
    return PROTOCOLS[name]
