"""DATASETS: what can be read, where it comes from, and on what terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """One data set or container that bandweave reads."""

    id: str
    """Key in the table."""
    name: str
    """Display name."""
    task: Literal["pansharpening", "hyperspectral"]
    """What it is used for."""
    container: str
    """How the files are laid out."""
    content: str
    """Images, sizes and splits."""
    values: str
    """Unit and range of the stored values."""
    citation: str
    """What to cite."""
    licence: str
    """Terms as far as they are stated."""
    reader: str
    """Function that reads it."""


_PANCOLLECTION = DatasetEntry(
    id="pancollection",
    name="PanCollection (WorldView-3, WorldView-2, QuickBird, GaoFen-2)",
    task="pansharpening",
    container=".h5 with gt, lms, ms, pan of (N, C, H, W); full-resolution sets lack gt",
    content=(
        "about 10,000 to 20,000 training patches of 64 pixels per sensor, 20 reduced-resolution "
        "test images of 256 pixels, 20 full-resolution ones of 512"
    ),
    values="DN: full scale 2047, GaoFen-2 1023",
    citation=(
        "L.-J. Deng et al., Machine Learning in Pansharpening: A Benchmark, from Shallow to Deep "
        "Networks, IEEE Geoscience and Remote Sensing Magazine 10(3), 2022"
    ),
    licence="not stated; the imagery belongs to its operators",
    reader="bandweave.datasets.pancollection.open_pancollection",
)

_TOOLBOX_MAT = DatasetEntry(
    id="toolbox-mat",
    name="Toolbox pairs in MATLAB files",
    task="pansharpening",
    container=(
        ".mat v5 or v7.3, one pair: I_PAN, I_MS_LR, I_MS, I_GT (or pan, lrms, gt) of (H, W, C); "
        "shapes decide where names are ambiguous"
    ),
    content="one image",
    values="DN, or DN / full scale",
    citation=(
        "G. Vivone et al., A Critical Comparison Among Pansharpening Algorithms, IEEE TGRS 53(5), "
        "2015"
    ),
    licence="that of each file",
    reader="bandweave.datasets.matlab.read_matlab_pair",
)

_CAVE = DatasetEntry(
    id="cave",
    name="CAVE multispectral image database",
    task="hyperspectral",
    container="folders <scene>_ms/<scene>_ms with 31 PNG files of 16 bits, as the archive unpacks",
    content=(
        "32 scenes of 512 x 512 pixels, 400 to 700 nm in steps of 10 nm; published split of 20 "
        "training and 11 test scenes, watercolors (8-bit RGBA) left out"
    ),
    values="reflectance: stored value / 65535",
    citation=(
        "F. Yasuma, T. Mitsunaga, D. Iso and S. Nayar, Generalized Assorted Pixel Camera: "
        "Postcapture Control of Resolution, Dynamic Range, and Spectrum, IEEE TIP 19(9), 2010"
    ),
    licence="not stated in the files; two scenes show a person",
    reader="bandweave.datasets.cave.read_scene",
)

_HYPERSPECTRAL_SETS = DatasetEntry(
    id="hyperspectral-h5",
    name="Hyperspectral fusion sets (CAVE, Harvard, Chikusei and others)",
    task="hyperspectral",
    container=".h5 with GT, HSI_up, LRHSI, RGB of (N, C, H, W)",
    content="as simulated; `bandweave simulate cave` writes the CAVE sets",
    values="[0, 1]",
    citation="that of the images; the container is that of the group of L.-J. Deng",
    licence="that of the images",
    reader="bandweave.datasets.pancollection.open_pancollection",
)

DATASETS: dict[str, DatasetEntry] = {
    entry.id: entry for entry in (_PANCOLLECTION, _TOOLBOX_MAT, _CAVE, _HYPERSPECTRAL_SETS)
}
"""Data sets and containers by id."""
