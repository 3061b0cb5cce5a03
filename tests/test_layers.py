"""Imports point one way along the chain, and the package starts light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

SOURCE = Path(__file__).parents[1] / "src" / "bandweave"

VALUES = {
    "__init__", "allocation", "checks", "config", "errors", "grid", "instruments", "machine", "pair", "progress", "progress_bar", "radiometry", "run_config", "sensors", "source", "threads", "window",
}  # fmt: skip
# What each part may import besides itself. Values stand below everything.
ALLOWED: dict[str, set[str]] = {
    "raster": VALUES,
    "degrade": VALUES,
    "parallel": VALUES,
    "products": VALUES | {"raster"},
    "datasets": VALUES | {"raster", "degrade"},
    "methods": VALUES | {"degrade"},
    "metrics": VALUES | {"raster", "degrade", "datasets"},
    "mosaic": VALUES | {"raster", "degrade", "parallel", "products", "datasets", "methods"},
    "train": VALUES | {"raster", "degrade", "datasets", "methods", "metrics", "mosaic"},
    "export": VALUES | {"methods"},
    "viewer": VALUES | {"raster"},
    "report": VALUES
    | {"raster", "degrade", "parallel", "datasets", "methods", "mosaic", "metrics"},
    "bench": VALUES
    | {
        "raster",
        "degrade",
        "parallel",
        "datasets",
        "methods",
        "mosaic",
        "metrics",
        "train",
        "report",
    },
    "cli": VALUES
    | {
        "raster",
        "degrade",
        "products",
        "datasets",
        "methods",
        "mosaic",
        "metrics",
        "train",
        "report",
        "bench",
        "export",
        "viewer",
    },
    "accessor": VALUES | {"mosaic"},
    "__main__": {"cli"},
}
# The package's own front door names what it offers and looks it up late.
LATE = {"__init__": {"mosaic"}}

MODULES = sorted(SOURCE.rglob("*.py"))


def part_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0].removesuffix(".py")


def imported_parts(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            if node.module == "bandweave":
                names |= {f"bandweave.{alias.name}" for alias in node.names}
            else:
                names.add(node.module)
    parts = {name.split(".")[1] for name in names if name.startswith("bandweave.")}
    return {part if part != "__version__" else "__init__" for part in parts}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_along_the_chain(path: Path) -> None:
    part = part_of(path)
    imported = imported_parts(ast.parse(path.read_text(encoding="utf-8"))) - {part}
    allowed = VALUES | LATE.get(part, set()) if part in VALUES else ALLOWED[part]
    assert imported <= allowed, f"{part} must not import {sorted(imported - allowed)}"


HEAVY_HOMES = {
    "torch": (
        "export/",
        "methods/nets/",
        "methods/learned.py",
        "methods/official_tiling.py",
        "methods/variational/",
        "train/",
    ),
    "accelerate": ("train/",),
    "click": ("cli/",),
    "matplotlib": ("report/encoded.py", "report/figures/"),
    "dask": ("parallel/",),
    "distributed": ("parallel/",),
    "numba": ("metrics/compiled/", "metrics/compilation.py"),
    "llvmlite": ("methods/nets/attention/vector_code.py", "methods/nets/attention/compiled.py"),
    "onnxruntime": (),
    "starlette": ("viewer/",),
    "uvicorn": ("viewer/",),
}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_heavy_libraries_stay_at_home(path: Path) -> None:
    relative = path.relative_to(SOURCE).as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            homes = HEAVY_HOMES.get(name.split(".")[0])
            assert homes is None or relative.startswith(homes), f"{relative} imports {name}"


@pytest.mark.parametrize("arguments", [["-c", "import bandweave"], ["-m", "bandweave", "--help"]])
def test_start_up_loads_nothing_heavy(arguments: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True
    )
    loaded = {line.rsplit("|", 1)[-1].strip() for line in run.stderr.splitlines()}
    assert not loaded & {"torch", "matplotlib", "rasterio", "scipy", "h5py"}


# What only other inputs, options and methods need. Loading all of it takes as long as fusing a
# scene of thirty megapixels with a fast method.
NOT_FOR_A_PLAIN_FUSE = {
    "torch",
    "matplotlib",
    "scipy",
    "h5py",
    "pydantic",
    "safetensors",
    "rich",
    "jinja2",
    "xarray",
    "importlib.metadata",
    "xml.sax",
    "urllib.request",
    "bandweave.datasets",
    "bandweave.products",
    "bandweave.parallel",
    "bandweave.run_config",
    "bandweave.degrade.identify",
    "bandweave.methods.mtf_glp",
    "bandweave.methods.consistency",
    "bandweave.mosaic.consistent",
    "bandweave.mosaic.found.shift",
    "bandweave.mosaic.estimate",
}


def test_a_plain_fuse_loads_only_what_it_needs(tmp_path: Path) -> None:
    for name, size, pixel in (("pan", 64, 1.0), ("ms", 16, 4.0)):
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", driver="GTiff", dtype="uint16", count=1, height=size,
            width=size, transform=Affine(pixel, 0, 9, 0, -pixel, 9), crs="EPSG:32633",
        ) as file:  # fmt: skip
            file.write(np.full((1, size, size), 7, np.uint16))
    files = [str(tmp_path / name) for name in ("pan.tif", "ms.tif", "out.tif")]
    options = ["--method", "brovey", "--align", "off", "-q"]
    program = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules));"
        f"from bandweave.cli.main import main; main({['fuse', *files, *options]})"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    assert "bandweave.methods.substitution.brovey" in loaded
    assert loaded & NOT_FOR_A_PLAIN_FUSE == set()
