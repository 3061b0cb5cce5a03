"""What BT-H should take for the haze of a band: gain over interpolation, mean of the bands, in dB.

    python benchmarks/bench_haze.py FOLDER

Pairs are reduced as in bench_uncovered.py. Columns: percentiles of the band that stand for its
minimum, no haze at all (what one black pixel makes of a minimum), and for four bands the shares of
blue, green, red and near infrared in this order. The last column is the worst band without haze.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
from bench_uncovered import error, read, reduced, row

from bandweave.errors import BandweaveWarning
from bandweave.methods.substitution.bt_h import HAZE_SHARES, BtH

PAIRS = (
    "wv2_grip_fr.mat",
    "wv2_miami_urban_halfscale",
    "wv3_munich_urban_halfscale",
    "wv3_munich_natural_halfscale",
    "wv3_spacenet_shanghai",
    "ikonos_grip_fr.mat",
    "train4/spot6_cropland",
    "train4/spot6_vegetation",
    "train4/pleiades_urban",
    "train4/pairmax_ge_lond_urb",
    "train4/pairmax_w4_mexi_nat",
    "train4/gf2_psdata3_fr1",
    "train4/qb_abf_fr",
)
PERCENT = (0.0, 0.01, 0.1, 1.0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="Folder with the pairs.")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", BandweaveWarning)
    print(time.strftime("%Y-%m-%d"))
    row("scene", *(f"{p:g} %" for p in PERCENT), "none", "B, G, R, NIR", "worst without")
    row(*["---"] * (len(PERCENT) + 4))
    for name in PAIRS:
        pair, truth = reduced(read(options.folder / name))
        bands = len(truth)
        interpolated = error("exp", pair, truth)
        flat = pair.spectral.reshape(bands, -1)

        def gain(haze: np.ndarray) -> np.ndarray:
            with patch.object(BtH, "_haze", lambda *_: haze):
                return 20 * np.log10(interpolated / error("bt_h", pair, truth))  # noqa: B023

        cells = [gain(np.percentile(flat, p, axis=1)).mean() for p in PERCENT]
        without = gain(np.zeros(bands))
        shares = "-"
        if bands == len(HAZE_SHARES):
            found = gain(np.percentile(flat, 1, axis=1) * list(HAZE_SHARES.values()))
            shares = f"{found.mean():+.2f}"
        shown = (f"{cell:+.2f}" for cell in (*cells, without.mean()))
        row(Path(name).stem, *shown, shares, f"{without.min():+.2f}")


if __name__ == "__main__":
    main()
