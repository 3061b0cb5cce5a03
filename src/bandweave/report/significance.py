"""Whether one method is better than another over the images: ranks and paired tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bandweave.report.table import ScoreTable, badness


def paired_p_values(table: ScoreTable) -> dict[tuple[str, str], float]:
    """Return (row, metric) -> p of the Wilcoxon signed-rank test against the best row.

    Two-sided, over the images, exact where SciPy can; F. Wilcoxon 1945, Biometrics Bulletin 1(6),
    80-83. Rows without difference on any image have p = 1. The best row of each metric, and those
    that lack an image or a value, are absent. The values are not corrected for the number of rows.

    With n images p cannot fall below 2 / 2ⁿ: 0.25 for three, 0.031 for six.
    """
    marks = table.marks()
    result: dict[tuple[str, str], float] = {}
    for metric in table.metrics:
        values = _values(table, metric)
        best = next((row for row in values if marks.get((row, metric)) == "best"), None)
        if best is None:
            continue
        for row, own in values.items():
            if row != best:
                result[row, metric] = _wilcoxon(own - values[best])
    return result


def mean_ranks(table: ScoreTable) -> dict[tuple[str, str], float]:
    """Return (row, metric) -> mean over the images of the row's rank, 1 for the best.

    Equal values share the mean of their ranks. Only rows with a value on every image are ranked.
    """
    result: dict[tuple[str, str], float] = {}
    for metric in table.metrics:
        values = _values(table, metric)
        if not values:
            continue
        ranks = stats.rankdata(np.stack(list(values.values())), axis=0)
        for row, own in zip(values, ranks, strict=True):
            result[row, metric] = float(own.mean())
    return result


def _values(table: ScoreTable, metric: str) -> dict[str, NDArray[np.float64]]:
    """Return row -> values over the images, smaller is better; only what can be compared."""
    result = {}
    for row in table.compared:
        cell = row.cells.get(metric)
        if cell is None or cell.count < len(table.images) or cell.is_meaningless:
            continue
        own = [badness(metric, row.images[image][metric]) for image in table.images]
        result[row.id] = np.array(own)
    return result


def _wilcoxon(differences: NDArray[np.float64]) -> float:
    # Infinite PSNR on both sides leaves no difference.
    differences = np.nan_to_num(differences, nan=0.0)
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)
