"""Small images and folders under the names that the documents use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from PIL import Image as PillowImage
from scipy.io import savemat

from bandweave.cli.main import main
from bandweave.datasets.cave import TEST_SCENES, TRAIN_SCENES
from bandweave.degrade.observe import observe
from bandweave.degrade.operators import gaussian_psf
from bandweave.degrade.srf import nikon_d700
from bandweave.methods.nets.zoo import find_file
from deliveries import maxar, plain
from documented_commands import ROOT, Documented
from scenes import smooth_truth, write_pair, write_tif
from training import write_patches

ROWS, COLUMNS = 64, 96
"""Of the PAN."""
WIDE = (128, 512)
"""The same where a part has to be held out."""
FINE, COARSE = Affine(0.5, 0, 4e5, 0, -0.5, 5e6), Affine(2, 0, 4e5, 0, -2, 5e6)
CUBE = 80
"""Sharp pixels per side of the hyperspectral scene."""

Maker = Callable[[Path], object]
"""Writes a file or folder, and what belongs to it, below or beside the path."""


def program(*arguments: object) -> None:
    """Run the program to its end."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert not left.value.code, arguments


def _truth(shape: tuple[int, int] = (ROWS, COLUMNS)) -> np.ndarray:
    return smooth_truth(8, *shape)


def _truth_tif(path: Path) -> None:
    write_tif(path, np.rint(_truth()).astype("uint16"), FINE)


def _pan(path: Path, shape: tuple[int, int] = (ROWS, COLUMNS)) -> None:
    write_tif(path, np.rint(_truth(shape).mean(axis=0, keepdims=True)).astype("uint16"), FINE)


def _ms(path: Path, shape: tuple[int, int] = (ROWS, COLUMNS)) -> None:
    lrms = observe(_truth(shape), [0.33], 4, (1.5, 1.5))
    write_tif(path, np.rint(lrms).astype("uint16"), COARSE)


def _wide_pan(path: Path) -> None:
    _pan(path, WIDE)


def _bgrn(path: Path) -> None:
    lrms = observe(_truth()[[1, 2, 4, 6]] / 2, [0.3], 4, (1.5, 1.5))
    write_tif(path, np.rint(lrms).astype("uint16"), COARSE)


def _wide_ms(path: Path) -> None:
    _ms(path, WIDE)


def _fused(path: Path) -> None:
    noise = np.random.default_rng(3).normal(0, 8, (8, ROWS, COLUMNS))
    write_tif(path, np.rint(_truth() + noise).astype("uint16"), FINE)


def _pair_mat(path: Path) -> None:
    truth = _truth()
    pair = {
        "I_GT": truth,
        "I_PAN": truth.mean(axis=0, keepdims=True),
        "I_MS_LR": observe(truth, [0.33], 4, (2, 2)),
    }
    savemat(path, {key: image.transpose(1, 2, 0).squeeze() for key, image in pair.items()})


def _set(bands: int) -> Maker:
    return lambda path: write_patches(path, count=2, tile=96, bands=bands)


def _results(path: Path) -> None:
    source = path.parent / "of.h5"
    _set(8)(source)
    program("fuse", source, path, "--method", "exp", "-q")
    source.unlink()


def _delivery(path: Path) -> None:
    maxar(path)


def _as_product(name: str) -> Maker:
    """Return what writes a Maxar image of two tiles under one of the names of a pair."""

    def make(path: Path) -> None:
        pan, ms = maxar(path.parent / "delivered")
        source = pan if name == "PAN" else ms
        for file in source.parent.iterdir():
            new = path.with_suffix(file.suffix) if file.stem == source.stem else None
            shutil.move(file, new or path.parent / file.name)
        shutil.rmtree(path.parent / "delivered")

    return make


def _whole_product(path: Path) -> None:
    pan, _ = maxar(path.parent / "delivered")
    for file in [*pan.parent.iterdir(), *next(path.parent.glob("delivered/*MUL")).iterdir()]:
        shutil.move(file, path.parent / file.name)
    shutil.rmtree(path.parent / "delivered")


def _products(path: Path) -> None:
    for names in (
        ("town_pan.tif", "town_ms.tif"),
        ("sharp_town.tif", "colour_town.tif"),
        ("P/village.tif", "XS/village.tif"),
    ):
        plain(path, names)


def _scenes(path: Path) -> None:
    path.mkdir()
    write_pair(path, bands=4, coarse=(120, 96))
    (path / "pan.tif").rename(path / "town_pan.tif")
    (path / "ms.tif").rename(path / "town_ms.tif")


def _cave(path: Path) -> None:
    """Write two of the scenes, of 96 pixels per side."""
    rng = np.random.default_rng(5)
    for scene in (TRAIN_SCENES[0], TEST_SCENES[0]):
        inner = path / f"{scene}_ms" / f"{scene}_ms"
        inner.mkdir(parents=True)
        for number in range(1, 32):
            band = rng.integers(0, 65536, (96, 96)).astype(np.uint16)
            PillowImage.fromarray(band).save(inner / f"{scene}_ms_{number:02d}.png")


def _cube() -> np.ndarray:
    """Return 31 bands in the unit range, smooth along the spectrum."""
    fields = smooth_truth(4, CUBE, CUBE, seed=2) / 1000
    mixture = np.exp(-(((np.arange(31)[:, None] - [4, 12, 20, 27]) / 6) ** 2))
    return np.tensordot(mixture, fields, axes=1) / 2


def _hyperspectral() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth, RGB and coarse cube as the CAVE protocol links them."""
    truth = _cube()
    rgb = np.tensordot(nikon_d700().weights, truth, axes=1)
    return truth, rgb, gaussian_psf(0.5, 3).apply(truth, 4, (2, 2))


def _hyper_mat(path: Path) -> None:
    truth, rgb, coarse = _hyperspectral()
    images = {"GT": truth, "RGB": rgb, "LRHSI": coarse, "HSI_up": coarse.repeat(4, 1).repeat(4, 2)}
    savemat(path, {key: image.transpose(1, 2, 0) for key, image in images.items()})


def _sharp(scale: float) -> Maker:
    transform = Affine(1, 0, 5e5, 0, -1, 5e6)
    return lambda path: write_tif(path, (_hyperspectral()[1] * scale).astype("float32"), transform)


def _coarse(scale: float) -> Maker:
    # Sample k lies at fine index 4 k + 2: half a pixel behind the corners.
    transform = Affine(4, 0, 5e5 + 0.5, 0, -4, 5e6 - 0.5)
    return lambda path: write_tif(path, (_hyperspectral()[2] * scale).astype("float32"), transform)


def _hyper_truth(path: Path) -> None:
    write_tif(path, _hyperspectral()[0].astype("float32"), Affine(1, 0, 5e5, 0, -1, 5e6))


def _response(path: Path) -> None:
    rows = zip("RGB", nikon_d700().weights, strict=True)
    path.write_text("\n".join(",".join([name, *map(str, row)]) for name, row in rows))


def _spectrometer(path: Path) -> None:
    """Write an ENVI cube with wavelengths, large enough to be cut by region."""
    (smooth_truth(12, 192, 160, seed=4).astype("float32") * 10).tofile(path)
    wavelengths = ", ".join(str(440 + 40 * k) for k in range(12))
    path.with_suffix(".hdr").write_text(
        "ENVI\nsamples = 160\nlines = 192\nbands = 12\nheader offset = 0\ndata type = 4\n"
        "interleave = bsq\nbyte order = 0\nwavelength units = Nanometers\n"
        f"wavelength = {{{wavelengths}}}\n"
    )


def _fusionnet(path: Path) -> None:
    from bandweave.methods.nets.checkpoint import save_weights
    from bandweave.methods.nets.table import NETWORKS
    from cards import untrained_card

    network = NETWORKS["fusionnet"]
    config = network.configure({"bands": 8, "spatial_bands": 1, "ratio": 4}, source="a test")
    card = untrained_card(config, architecture="fusionnet", full_scale=2047, phase=(2, 2), tile=64)
    save_weights(path, network.load()(config), card)


def _light(path: Path) -> None:
    shutil.copy(find_file("u2net-l-wv"), path)


def _fused_mat(path: Path) -> None:
    source = path.with_name("of.mat")
    _pair_mat(source)
    program("fuse", source, path, "--method", "exp", "-q")
    source.unlink()


def _run(path: Path) -> None:
    """Benchmark two methods on a made-up scene."""
    suite = path.parent / "tiny.toml"
    suite.parent.mkdir(parents=True, exist_ok=True)
    suite.write_text(
        'name = "tiny"\nabout = "a test"\nmethods = [{ method = "exp" }, { method = "gsa" }]\n'
        '[[data]]\nid = "rr"\ntitle = "made up"\nprotocol = "dlpan-rr"\nmetrics = ["psnr", "sam"]\n'
        'sources = [{ kind = "synthetic", seeds = [90, 91], size = 128, is_varied = false }]\n'
    )
    program("benchmark", suite, "--out", path, "-j", "1", "-q")
    suite.unlink()


def _kept(path: Path) -> None:
    for name in ("exp", "gsa"):
        _fused(path.with_name(f"{name}.tif"))


def _pancollection(path: Path) -> None:
    path.mkdir()
    for name in ("wv3_multiExm1", "wv3_OrigScale_multiExm1", "wv2_multiExm1"):
        write_patches(path / f"test_{name}.h5", count=1, tile=32, bands=8)


def _empty(path: Path) -> None:
    path.mkdir(parents=True)


def _recipe(path: Path) -> None:
    """Write the settings that the page shows."""
    page = (ROOT / "docs" / "adapting.md").read_text(encoding="utf-8")
    path.write_text(page.split("```toml\n")[1].split("```")[0], encoding="utf-8")


FILES: dict[str, Maker] = {
    "PAN.tif": _pan,
    "MS.tif": _ms,
    "BGRN.tif": _bgrn,
    "OUT.tif": _fused,
    "FUSED.tif": _fused,
    "SCENE.tif": _truth_tif,
    "TRUTH.tif": _truth_tif,
    "GT.tif": _truth_tif,
    "PAIR.mat": _pair_mat,
    "city.mat": _pair_mat,
    "fused.mat": _fused_mat,
    "SET.h5": _set(8),
    "RESULTS": _results,
    "DELIVERY": _delivery,
    "15APR10101010-P2AS-054112345010_01_P001.TIL": _whole_product,
    "PAN.TIL": _as_product("PAN"),
    "MS.TIL": _as_product("MS"),
    "FOLDER": _products,
    "SCENES": _scenes,
    "CAVE_FOLDER": _cave,
    "CAVE": _cave,
    "CAVE_SETS": _empty,
    "PANCOLLECTION": _pancollection,
    "SETS": _empty,
    "WEIGHTS": _empty,
    "HYPERSPECTRAL.dat": _spectrometer,
    "MSI.tif": _sharp(1),
    "HSI.img": _coarse(1),
    "MSI": _sharp(65535),
    "HSI": _coarse(65535),
    "camera.csv": _response,
    "FILE": _light,
    "scene.safetensors": _light,
    "fusionnet-wv3.safetensors": _fusionnet,
    "scenes.toml": _recipe,
    "card.json": lambda path: path.write_text("{}"),
    "runs/smoke": _run,
    "runs/table1": _run,
    "runs/table4": _run,
    "runs/smoke/images/rr/synthetic-90-c3ea83/*.tif": _kept,
}
"""Name in the documents -> what makes it."""

SPECIAL: dict[tuple[str, str], Maker] = {
    ("adapt", "PAN.tif"): _wide_pan,
    ("adapt", "MS.tif"): _wide_ms,
    ("simulate pair", "PAN.tif"): _wide_pan,
    ("simulate pair", "MS.tif"): _wide_ms,
    ("docs/hyperspectral.md", "PAIR.mat"): _hyper_mat,
    ("docs/hyperspectral.md", "OUT.tif"): _hyper_truth,
    ("docs/hyperspectral.md", "GT.tif"): _hyper_truth,
    ("docs/benchmarks.md", "SET.h5"): _set(4),
}
"""Page or command, and name -> what makes it there, where these are about other images."""


class Shelf:
    """Makes each file once, and lends it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[Maker, tuple[Path, str]] = {}

    def lend(self, command: Documented, name: str, place: Path) -> None:
        """Put a file that a command reads, and what belongs to it, into a folder, as links."""
        by_verb = SPECIAL.get((command.verb, name), FILES[name])
        make = SPECIAL.get((command.page, name), by_verb)
        if make not in self._made:
            home = self._folder / str(len(self._made))
            (home / name).parent.mkdir(parents=True)
            make(home / name)
            self._made[make] = (home, name)
        home, first = self._made[make]
        if name == first:
            shutil.copytree(home, place, copy_function=os.link, dirs_exist_ok=True)
        elif (home / first).is_dir():
            shutil.copytree(home / first, place / name, copy_function=os.link)
        else:
            os.link(home / first, place / name)
