"""Speed of the simulation operators against the ways they replace, side by side in one process.

    python benchmarks/bench_simulate.py [--size 1024] [--bands 8] [--repeats 5]

Each pair computes the same numbers; the largest difference is printed beside the times.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from conditions import conditions, spread
from scipy import ndimage, signal

from bandweave.degrade.mtf import mtf_kernel
from bandweave.degrade.observe import observe
from bandweave.degrade.sampling import decimate, imresize, interpolate

RATIO = 4
GAINS = (0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315)
HALF_BAND = (0.5, 0.305334091185, 0, -0.072698593239, 0, 0.021809577942, 0, -0.005192756653, 0,
             0.000807762146, 0, -0.000060081482)  # fmt: skip


def filtered_by_fft(image: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """Filter every pixel by overlap-add FFT, then decimate."""
    wide = np.pad(image, [(0, 0), (20, 20), (20, 20)], mode="edge")
    full = signal.oaconvolve(wide, kernels[:, ::-1, ::-1], mode="valid", axes=(1, 2))
    return decimate(full, RATIO, (2, 2))


def filtered_directly(image: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """Filter every pixel by the 41 x 41 sums, then decimate, as the toolboxes do."""
    bands = [
        ndimage.correlate(band, kernel, mode="nearest")
        for band, kernel in zip(image, kernels, strict=True)
    ]
    return decimate(np.stack(bands), RATIO, (2, 2))


def doubled_twice(image: np.ndarray) -> np.ndarray:
    """Interpolate by the cascade: insert zeros and filter, twice."""
    taps = 2 * np.array([*HALF_BAND[:0:-1], *HALF_BAND])
    for first in (1, 0):
        spread = np.zeros((image.shape[0], 2 * image.shape[1], 2 * image.shape[2]), image.dtype)
        spread[:, first::2, first::2] = image
        for axis in (1, 2):
            spread = ndimage.convolve1d(spread, taps, axis=axis, mode="wrap")
        image = spread
    return image


def timed(function: Callable[[], np.ndarray], repeats: int) -> tuple[list[float], np.ndarray]:
    """Return times in milliseconds, and the result."""
    result = function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return times, result


def report(name: str, ours: Callable[[], np.ndarray], others: dict, repeats: int) -> None:
    """Print one line per way: the median, least and greatest, and how much longer it takes."""
    own, expected = timed(ours, repeats)
    print(f"{name:34}{spread(own, '.1f'):>30} ms")
    for label, function in others.items():
        theirs, result = timed(function, max(repeats // 3, 1))
        gap = np.abs(result - expected).max()
        longer = statistics.median(theirs) / statistics.median(own)
        print(f"    {label:30}{spread(theirs, '.1f'):>30} ms{longer:9.1f} x   differs {gap:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--bands", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    gains = [GAINS[k % 8] for k in range(options.bands)]
    kernels = np.stack([mtf_kernel(gain, RATIO) for gain in gains])
    generator = np.random.default_rng(0)
    print(conditions("scipy"))
    for dtype in (np.float32, np.float64):
        fine = generator.uniform(0, 2047, (options.bands, options.size, options.size)).astype(dtype)
        coarse = np.ascontiguousarray(fine[:, ::RATIO, ::RATIO])
        typed = kernels.astype(dtype)
        print(f"{options.bands} bands of {options.size} x {options.size}, {np.dtype(dtype).name}")
        report(
            "observe (MTF and decimation)",
            lambda: observe(fine, gains, RATIO, (2, 2), normalised=False),  # noqa: B023 - run at once
            {
                "FFT, then decimate": lambda: filtered_by_fft(fine, typed),  # noqa: B023
                "41 x 41 sums, then decimate": lambda: filtered_directly(fine, typed),  # noqa: B023
            },
            options.repeats,
        )
        report(
            "interpolate (23 taps, ratio 4)",
            lambda: interpolate(coarse, RATIO, (2.0, 2.0), border="circular"),  # noqa: B023
            {"cascade of zeros and filters": lambda: doubled_twice(coarse)},  # noqa: B023
            options.repeats,
        )
        report("imresize 1/4 bicubic", lambda: imresize(fine, 1 / RATIO), {}, options.repeats)  # noqa: B023


if __name__ == "__main__":
    main()
