"""METHODS: every way to fuse, by name. A line here brings the contract tests with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from bandweave.errors import UnknownMethodError
from bandweave.methods.base import Method
from bandweave.methods.nets.table import NETWORKS, NetworkEntry


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
    needs_instruments: bool = False
    """Whether point spread and response of a hyperspectral pair have to be known."""
    create_toolbox: Callable[[], Method] | None = None
    """Constructor of what equals the MATLAB toolbox; None where there is no such mode."""
    is_hyperspectral: bool = False
    """Whether it takes only sharp images whose bands are mixtures of the spectral ones."""

    @property
    def is_learned(self) -> bool:
        """Tell whether the method needs a weight file."""
        return self.create is None


def _late(module: str, class_name: str, **settings: Any) -> Callable[[], Method]:
    """Return a constructor that loads the method's file when it is called, and no other method's.

    Args:
        module: File in this folder, with dots for folders and without ending.
        class_name: Class in that file.
        **settings: Fields that differ from the class's defaults.
    """

    def create() -> Method:
        method: Method = getattr(import_module(f"bandweave.methods.{module}"), class_name)(
            **settings
        )
        return method

    return create


def _learned(name: str, network: NetworkEntry) -> MethodEntry:
    """Return the line of a network."""
    return MethodEntry(
        id=name,
        name=network.name,
        family="learned",
        citation=network.citation,
        reach=(
            "fixed tile of the weights, overlapped and blended"
            if network.has_fixed_tile
            else "local, as far as the network sees"
        ),
        statistics="none, or those of the closed form that the weights start from",
        parity=network.parity,
        ratios=network.ratios,
        create=None,
    )


def _model_based(
    name: str, class_name: str, display: str, citation: str, parity: str
) -> MethodEntry:
    """Return the line of a method that inverts the sensor model of a hyperspectral pair."""
    return MethodEntry(
        id=name,
        name=display,
        family="variational",
        citation=citation,
        reach="the whole scene at once",
        statistics="none",
        parity=parity,
        ratios="any whole ratio; point spread, spectral response and full scale needed",
        create=_late(f"variational.{name}", class_name),
        needs_instruments=True,
        is_hyperspectral=True,
    )


# Shown by tests/test_parity_classical.py.
_TOOLBOX_IMAGES = "toolbox images to 1e-8 DN in toolbox mode (periodic border, kernels as they sum)"

METHODS: dict[str, MethodEntry] = {
    "exp": MethodEntry(
        id="exp",
        name="EXP",
        family="interpolation",
        citation="Aiazzi et al. 2002, IEEE TGRS 40(10), 2300-2312 (23-tap interpolator)",
        reach="local",
        statistics="none",
        parity="toolbox image to 1e-8 DN in toolbox mode (periodic border); mirrored otherwise",
        ratios="any whole ratio",
        create=_late("interpolation", "Interpolation"),
        create_toolbox=_late("interpolation", "Interpolation", toolbox=True, precision=np.float64),
    ),
    "bicubic": MethodEntry(
        id="bicubic",
        name="bicubic",
        family="interpolation",
        citation="Keys 1981, IEEE TASSP 29(6), 1153-1160, as MATLAB's imresize",
        reach="local",
        statistics="none",
        parity="published bicubic rows of CAVE; phase (ratio - 1) / 2 whatever the pair's",
        ratios="any whole ratio",
        create=_late("interpolation", "Bicubic"),
    ),
    "brovey": MethodEntry(
        id="brovey",
        name="Brovey",
        family="component substitution",
        citation="Gillespie, Kahle and Walker 1987, Remote Sens. Environ. 22(3), 343-365",
        reach="local after whole-scene statistics",
        statistics="moments of the bands and the PAN on the coarse grid; none for given weights",
        parity="definition; gdal_pansharpen's formula with given weights, `equal` its default",
        ratios="any whole ratio",
        create=_late("substitution.brovey", "Brovey"),
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
        create=_late("substitution.gram_schmidt", "GramSchmidtAdaptive"),
    ),
    "gs": MethodEntry(
        id="gs",
        name="GS",
        family="component substitution",
        citation="Laben and Brower 2000, US patent 6,011,875",
        reach="local after whole-scene statistics",
        statistics="moments of the bands and the PAN",
        parity="definition",
        ratios="any whole ratio",
        create=_late("substitution.gram_schmidt", "GramSchmidt"),
    ),
    "ihs": MethodEntry(
        id="ihs",
        name="IHS",
        family="component substitution",
        citation="Tu et al. 2001, Information Fusion 2(3), 177-186",
        reach="local after whole-scene statistics",
        statistics="moments of the bands and the PAN",
        parity="definition",
        ratios="any whole ratio",
        create=_late("substitution.ihs", "Ihs"),
    ),
    "pca": MethodEntry(
        id="pca",
        name="PCA",
        family="component substitution",
        citation="Chavez and Kwarteng 1989, Photogramm. Eng. Remote Sens. 55(3), 339-348",
        reach="local after whole-scene statistics",
        statistics="moments of the bands and the PAN",
        parity="definition",
        ratios="any whole ratio",
        create=_late("substitution.pca", "PrincipalComponent"),
    ),
    "pracs": MethodEntry(
        id="pracs",
        name="PRACS",
        family="component substitution",
        citation="Choi, Yu and Kim 2011, IEEE TGRS 49(1), 295-309",
        reach="local after whole-scene statistics",
        statistics="moments of the bands and the PAN on both grids",
        parity="definition",
        ratios="any whole ratio",
        create=_late("substitution.pracs", "Pracs"),
    ),
    "awlp": MethodEntry(
        id="awlp",
        name="AWLP",
        family="multiresolution analysis",
        citation="Otazu et al. 2005, IEEE TGRS 43(10), 2376-2385",
        reach="local after whole-scene statistics",
        statistics="moments of the bands and the PAN",
        parity="definition",
        ratios="any whole ratio; wavelet planes by the nearest power of two",
        create=_late("awlp", "Awlp"),
    ),
    "sfim": MethodEntry(
        id="sfim",
        name="SFIM",
        family="multiresolution analysis",
        citation="Liu 2000, Int. J. Remote Sensing 21(18), 3461-3472",
        reach="local",
        statistics="none",
        parity="definition",
        ratios="any whole ratio",
        create=_late("sfim", "Sfim"),
    ),
    "bt_h": MethodEntry(
        id="bt_h",
        name="BT-H",
        family="component substitution",
        citation="Lolli, Alparone, Garzelli and Vivone 2017, IEEE GRSL 14(12), 2255-2259",
        reach="local after whole-scene statistics",
        statistics="moments of the bands and the PAN, percentiles of the bands",
        parity=f"{_TOOLBOX_IMAGES}, there without the floor of the denominator",
        ratios="any whole ratio",
        create=_late("substitution.bt_h", "BtH"),
        create_toolbox=_late("substitution.bt_h", "BtH", toolbox=True),
    ),
    "bdsd_pc": MethodEntry(
        id="bdsd_pc",
        name="BDSD-PC",
        family="component substitution",
        citation="Vivone 2019, IEEE TGRS 57(9), 6421-6433",
        reach="local after whole-scene statistics",
        statistics="second moments of PAN, bands and details one scale further down",
        parity=_TOOLBOX_IMAGES,
        ratios="any whole ratio; MTF gains needed",
        create=_late("substitution.bdsd", "BdsdPc"),
        create_toolbox=_late("substitution.bdsd", "BdsdPc", toolbox=True),
    ),
    "mtf_glp_fs": MethodEntry(
        id="mtf_glp_fs",
        name="MTF-GLP-FS",
        family="multiresolution analysis",
        citation="Vivone, Restaino and Chanussot 2018, IEEE TIP 27(7), 3418-3431",
        reach="local after whole-scene statistics",
        statistics="moments of the bands, the PAN and its low-pass versions",
        parity=_TOOLBOX_IMAGES,
        ratios="any whole ratio; MTF gains needed",
        create=_late("mtf_glp", "MtfGlpFs"),
        create_toolbox=_late("mtf_glp", "MtfGlpFs", toolbox=True),
    ),
    "mtf_glp_hpm": MethodEntry(
        id="mtf_glp_hpm",
        name="MTF-GLP-HPM",
        family="multiresolution analysis",
        citation="Vivone et al. 2014, IEEE GRSL 11(5), 930-934",
        reach="local after whole-scene statistics",
        statistics="moments of the bands, the PAN and its smoothed version",
        parity=f"{_TOOLBOX_IMAGES}, there without the floor of the denominator",
        ratios="any whole ratio; MTF gains needed",
        create=_late("mtf_glp", "MtfGlpHpm"),
        create_toolbox=_late("mtf_glp", "MtfGlpHpm", toolbox=True),
    ),
    "mtf_glp_hpm_r": MethodEntry(
        id="mtf_glp_hpm_r",
        name="MTF-GLP-HPM-R",
        family="multiresolution analysis",
        citation="Vivone, Restaino and Chanussot 2018, IEEE TGRS 56(2), 984-996",
        reach="local after whole-scene statistics",
        statistics="moments of the bands, the PAN and its low-pass versions",
        parity=f"{_TOOLBOX_IMAGES}, there without the floor of the denominator",
        ratios="any whole ratio; MTF gains needed",
        create=_late("mtf_glp", "MtfGlpHpmR"),
        create_toolbox=_late("mtf_glp", "MtfGlpHpmR", toolbox=True),
    ),
    "local_regression": MethodEntry(
        id="local_regression",
        name="local regression",
        family="local regression",
        citation="after He, Sun and Tang 2013, IEEE TPAMI 35(6), 1397-1409",
        reach="local",
        statistics="largest value of the sharp image where the full scale is not known",
        parity="definition",
        ratios="any whole ratio; point spread or MTF gains needed; any number of sharp bands",
        create=_late("local_regression", "LocalRegression"),
        needs_instruments=True,
    ),
    "regression_ensemble": MethodEntry(
        id="regression_ensemble",
        name="regression ensemble",
        family="local regression",
        citation="after He, Sun and Tang 2013, IEEE TPAMI 35(6), 1397-1409; powers of guides ours",
        reach="local",
        statistics="largest value of the sharp image where the full scale is not known",
        parity="definition",
        ratios="any whole ratio; point spread or MTF gains needed; any number of sharp bands",
        create=_late("local_regression", "RegressionEnsemble"),
        needs_instruments=True,
    ),
    "classical_ensemble": MethodEntry(
        id="classical_ensemble",
        name="classical ensemble",
        family="ensemble",
        citation="mean of BT-H, MTF-GLP-HPM-R, BDSD-PC and local regression; ours",
        reach="local after whole-scene statistics",
        statistics="those of its members, in one pass",
        parity="mean of its members",
        ratios="any whole ratio; MTF gains needed",
        create=_late("classical_ensemble", "ClassicalEnsemble"),
    ),
    "tv": MethodEntry(
        id="tv",
        name="TV",
        family="variational",
        citation="Palsson, Sveinsson and Ulfarsson 2013, IEEE GRSL 11(1), 318-322",
        reach="the whole scene at once",
        statistics="none",
        parity=(
            "toolbox images to 1e-8 DN in toolbox mode, which keeps two defects of its program and "
            "its λ; corrected otherwise"
        ),
        ratios="any whole ratio; weights known for six sensors, equal ones otherwise",
        create=_late("variational.tv", "Tv"),
        create_toolbox=_late("variational.tv", "Tv", toolbox=True, precision=np.float64),
    ),
    "cstf": _model_based(
        "cstf",
        "Cstf",
        "CSTF",
        "Li, Dian, Fang and Bioucas-Dias 2018, IEEE TIP 27(8), 4118-4130",
        "published program: single steps to 1e-9, whole run to 0.05 dB from its start",
    ),
    "ltmr": _model_based(
        "ltmr",
        "Ltmr",
        "LTMR",
        "Dian and Li 2019, IEEE TIP 28(10), 5135-5146",
        "published program: whole run to 1e-9 with its groups of patches",
    ),
    "lttr": _model_based(
        "lttr",
        "Lttr",
        "LTTR",
        "Dian, Li and Fang 2019, IEEE TNNLS 30(9), 2672-2683",
        "published program: whole run to 1e-9 with its groups of patches",
    ),
    "utv": _model_based(
        "utv",
        "Utv",
        "UTV",
        "Xu, Huang, Deng, Zhao and Huang 2020, IEEE JSTARS 13, 4381-4398",
        "published program: single steps to 1e-9 in its own form, which diverges; else repaired",
    ),
    "ir_tensr": _model_based(
        "ir_tensr",
        "IrTensr",
        "IR-TenSR",
        "Xu, Huang, Deng and Yokoya 2022, IEEE TGRS 60",
        "published program: whole run to 1e-9 with its groups of patches",
    ),
    **{name: _learned(name, network) for name, network in NETWORKS.items()},
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
