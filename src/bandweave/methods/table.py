"""METHODS: every way to fuse, by name. A line here brings the contract tests with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bandweave.errors import UnknownMethodError
from bandweave.methods.base import Method
from bandweave.methods.interpolation import Interpolation
from bandweave.methods.substitution.brovey import Brovey
from bandweave.methods.substitution.gram_schmidt import GramSchmidtAdaptive


@dataclass(frozen=True, slots=True)
class MethodEntry:
    """What the table says of a method."""

    id: str
    name: str
    """Display name."""
    family: str
    """`interpolation`, `component substitution`, ..., or `learned`."""
    citation: str
    reach: str
    """In words: what a pixel depends on."""
    statistics: str
    """What is gathered over the whole scene first."""
    parity: str
    """What it was shown to equal, and how exactly."""
    ratios: str
    """Ratios the mathematics allows."""
    create: Callable[[], Method] | None
    """Constructor with the defaults; None where weights are needed (learned methods)."""

    @property
    def is_learned(self) -> bool:
        """Tell whether the method needs a weight file."""
        return self.create is None


METHODS: dict[str, MethodEntry] = {
    "exp": MethodEntry(
        id="exp",
        name="EXP",
        family="interpolation",
        citation="Aiazzi et al. 2002, IEEE TGRS 40(10), 2300-2312 (23-tap interpolator)",
        reach="local",
        statistics="none",
        parity="toolbox EXP away from the border (mirrored here, periodic there)",
        ratios="any whole ratio",
        create=Interpolation,
    ),
    "brovey": MethodEntry(
        id="brovey",
        name="Brovey",
        family="component substitution",
        citation="Gillespie, Kahle and Walker 1987, Remote Sens. Environ. 22(3), 343-365",
        reach="local",
        statistics="none",
        parity="definition; equal weights as gdal_pansharpen",
        ratios="any whole ratio",
        create=Brovey,
    ),
    "gsa": MethodEntry(
        id="gsa",
        name="GSA",
        family="component substitution",
        citation="Aiazzi, Baronti and Selva 2007, IEEE TGRS 45(10), 3230-3239",
        reach="local after whole-scene statistics",
        statistics="moments of the bands and the PAN on both grids",
        parity="definition (Gaussian instead of the toolbox's wavelet filter)",
        ratios="any whole ratio",
        create=GramSchmidtAdaptive,
    ),
    "u2net": MethodEntry(
        id="u2net",
        name="U2Net",
        family="learned",
        citation="Peng, Guo, Wu and Deng 2023, ACM MM, doi 10.1145/3581783.3612084",
        reach="fixed tile of the weights, overlapped and blended",
        statistics="none",
        parity="released network block by block in float32",
        ratios="4 (2 with weights trained for it)",
        create=None,
    ),
}


def find_method(name: str) -> MethodEntry:
    """Return a method's entry by id.

    Raises:
        UnknownMethodError: No such method; the message lists the valid names.
    """
    entry = METHODS.get(name.strip().lower().replace("-", "_"))
    if entry is None:
        raise UnknownMethodError(
            f"There is no method {name!r}; known methods are {', '.join(METHODS)}."
        )
    return entry
