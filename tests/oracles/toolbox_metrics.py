"""The reduced-resolution metrics step by step, as the protocol's text has them.

Plain vectorised NumPy in the order of the definitions: one block at a time for Q2n, one band at a
time for the window metrics, whole arrays within. Sliding sums are two one-dimensional passes,
because that is what MATLAB's `filter2` does with separable windows. Frozen before the package's
own implementation was made fast: benchmarks/bench_metrics.py measures against this file.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

EPS = 2.0**-52


def crop(image, border="toolbox21"):
    if border == "toolbox21":
        return image[:, 20 : image.shape[1] - 21, 20 : image.shape[2] - 21]
    return image


# --- pixels -------------------------------------------------------------------------------------


def psnr(f, g, peak):
    return np.mean([10 * np.log10(peak**2 / np.mean((f[b] - g[b]) ** 2)) for b in range(len(f))])


def rmse(f, g):
    return np.sqrt(np.mean((f - g) ** 2))


def cc(f, g):
    return np.mean([np.corrcoef(f[b].ravel(), g[b].ravel())[0, 1] for b in range(len(f))])


def sam(f, g):
    inner = np.sum(f * g, axis=0)
    norms = np.sqrt(np.sum(f * f, axis=0) * np.sum(g * g, axis=0))
    inner, norms = inner[norms > 0], norms[norms > 0]
    return np.mean(np.arccos(np.minimum(inner / norms, 1.0))) * 180 / np.pi


def ergas(f, g, ratio, means_of=None):
    means_of = g if means_of is None else means_of
    total = 0.0
    for b in range(len(f)):
        total += np.mean((f[b] - g[b]) ** 2) / np.mean(means_of[b]) ** 2
    return 100 / ratio * np.sqrt(total / len(f))


# --- windows ------------------------------------------------------------------------------------


def filter_valid(image, taps):
    rows = sliding_window_view(image, len(taps), axis=0) @ taps
    return sliding_window_view(rows, len(taps), axis=1) @ taps


def uqi_band(x, y, size=32):
    ones = np.ones(size)
    n = size * size
    sx, sy = filter_valid(x, ones), filter_valid(y, ones)
    sxx, syy = filter_valid(x * x, ones), filter_valid(y * y, ones)
    sxy = filter_valid(x * y, ones)
    product = sx * sy
    squares = sx * sx + sy * sy
    numerator = 4 * (n * sxy - product) * product
    first = n * (sxx + syy) - squares
    denominator = first * squares
    q = np.ones(denominator.shape)
    flat = (first == 0) & (squares != 0)
    q[flat] = 2 * product[flat] / squares[flat]
    usual = denominator != 0
    q[usual] = numerator[usual] / denominator[usual]
    return np.mean(q)


def uqi(f, g):
    return np.mean([uqi_band(f[b], g[b]) for b in range(len(f))])


def ssim_band(x, y, data_range, border):
    d = np.arange(-5, 6)
    taps = np.exp(-(d**2) / (2 * 1.5**2))
    taps = taps / taps.sum()
    if border == "same":
        x, y = np.pad(x, 5, mode="edge"), np.pad(y, 5, mode="edge")
    mx, my = filter_valid(x, taps), filter_valid(y, taps)
    vx = filter_valid(x * x, taps) - mx * mx
    vy = filter_valid(y * y, taps) - my * my
    vxy = filter_valid(x * y, taps) - mx * my
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    s = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return np.mean(s)


def ssim(f, g, data_range, border="valid"):
    return np.mean([ssim_band(f[b], g[b], data_range, border) for b in range(len(f))])


def sobel_magnitude(image):
    p = np.pad(image, 1)
    down = np.zeros(image.shape)
    right = np.zeros(image.shape)
    height, width = image.shape
    for k, weight in enumerate((1, 2, 1)):
        down += weight * (p[0:height, k : k + width] - p[2 : 2 + height, k : k + width])
        right += weight * (p[k : k + height, 0:width] - p[k : k + height, 2 : 2 + width])
    return np.sqrt(down**2 + right**2)


def scc(f, g):
    a = np.stack([sobel_magnitude(band[1:-1, 1:-1]) for band in f])
    b = np.stack([sobel_magnitude(band[1:-1, 1:-1]) for band in g])
    return np.sum(a * b) / np.sqrt(np.sum(a**2) * np.sum(b**2))


# --- Q2n ----------------------------------------------------------------------------------------


def conjugate(z):
    return np.concatenate([z[:1], -z[1:]])


def product(x, y):
    """Multiply hypercomplex arrays of n planes (Cayley-Dickson)."""
    n = len(x)
    if n == 1:
        return x * y
    a, b, c, d = x[: n // 2], x[n // 2 :], y[: n // 2], y[n // 2 :]
    if n == 2:
        return np.concatenate([a * c - d * b, a * d + c * b])
    return np.concatenate(
        [
            product(a, c) - product(conjugate(d), b),
            product(conjugate(a), conjugate(d)) + product(c, conjugate(b)),
        ]
    )


def to_uint16(image):
    return np.clip(np.floor(image + 0.5), 0, 65535)


def normalised(f, g):
    f, g = f.copy(), g.copy()
    for b in range(len(g)):
        mean, std = np.mean(g[b]), np.std(g[b], ddof=1)
        std = EPS if std == 0 else std
        g[b] = (g[b] - mean) / std + 1
        f[b] = f[b] - mean + 1 if mean == 0 else (f[b] - mean) / std + 1
    return f, g


def q2n_block(f, g):
    """Return the hypercomplex quality vector of one block, planes already a power of two."""
    pixels = g.shape[1] * g.shape[2]
    f, g = normalised(f, g)
    f = conjugate(f)
    mf, mg = f.mean(axis=(1, 2)), g.mean(axis=(1, 2))
    nf, ng = np.sum(mf**2), np.sum(mg**2)
    power = np.mean(np.sum(f**2, axis=0)) + np.mean(np.sum(g**2, axis=0))
    k = pixels / (pixels - 1)
    luminance = 2 * np.sqrt(nf) * np.sqrt(ng) / (nf + ng)
    spread = k * (power - nf - ng)
    if spread == 0:
        quality = np.zeros(len(g))
        quality[-1] = luminance
        return quality
    means = product(mg[:, None, None], mf[:, None, None])[:, 0, 0]
    covariance = k * (product(g, f).mean(axis=(1, 2)) - means)
    return covariance * luminance * 2 / spread


def q2n_map(f, g, block=32, shift=32):
    bands, height, width = g.shape
    bottom, right = -height % shift, -width % shift
    planes = 1
    while planes < bands:
        planes *= 2
    pad = ((0, 0), (0, bottom), (0, right))
    f, g = (to_uint16(np.pad(image, pad, mode="symmetric")) for image in (f, g))
    extra = ((0, planes - bands), (0, 0), (0, 0))
    f, g = np.pad(f, extra), np.pad(g, extra)
    rows = (height + bottom - block) // shift + 1
    cols = (width + right - block) // shift + 1
    values = np.empty((rows, cols))
    for i in range(rows):
        for j in range(cols):
            window = (
                slice(None),
                slice(i * shift, i * shift + block),
                slice(j * shift, j * shift + block),
            )
            values[i, j] = np.linalg.norm(q2n_block(f[window], g[window]))
    return values


def q2n(f, g, block=32, shift=32):
    return q2n_map(f, g, block, shift).mean()


# --- the set ------------------------------------------------------------------------------------


def score(estimate, reference, *, ratio, full_scale, border="toolbox21"):
    """Return the toolbox's reduced-resolution set, by metric id."""
    f, g = crop(estimate, border), crop(reference, border)
    scale = 255 / full_scale
    return {
        "q2n": q2n(f, g),
        "uqi": uqi(f, g),
        "sam": sam(f, g),
        "ergas": ergas(f, g, ratio),
        "scc": scc(f, g),
        "psnr": psnr(f, g, full_scale),
        "ssim": ssim(f * scale, g * scale, 255),
    }
