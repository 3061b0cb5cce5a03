"""Write a network as an ONNX graph, run it with ONNX Runtime, and say how far the two differ."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim

from bandweave.errors import ExportError, MissingExtraError, OutputExistsError
from bandweave.methods.nets.card import HEADER_KEY
from bandweave.methods.nets.checkpoint import Weights, write_whole
from bandweave.methods.nets.network import FusionNetwork
from bandweave.methods.nets.zoo import load_named

NAMES = ("spatial", "spectral", "start")
"""Inputs of the graph, as those of the network; `start` only where it starts from a closed form."""

TOLERANCE = 1e-4
"""Of the unit range: float32 in another order, up to the depth of the largest networks."""

# Sizes that the graph is traced with, and others that it is then run with, in smallest units.
_TRACED = (3, 16, 12)
_CHECKED = (2, 11, 9)
# Units per side that a size may have at most: 4096 units of 4 are a scene of 16,384 pixels.
_MOST_UNITS = 4096
_LARGEST_BATCH = 4096


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written, and how well it agrees."""

    path: str
    inputs: dict[str, tuple[str, ...]]
    """Name -> extent in each direction; a word where it is free."""
    difference: float
    """Largest |graph − network| on random images, of the unit range."""
    tolerance: float = TOLERANCE


def export_onnx(weights: str, out: Path, *, overwrite: bool = False) -> ExportReport:
    """Write the network of a weight file as an ONNX graph with its card as metadata.

    The graph takes and gives images of the unit range, not clamped: phase, PAN sharpness, scaling,
    the closed form that `start` holds and tiling are left to the program that runs it. The batch is
    free; rows and columns are where the network is local, otherwise they are those of the tile.

    Args:
        weights: Name of shipped weights, or a file.
        out: Ends in `.onnx` by convention.
        overwrite: Replace an existing file.

    Raises:
        MissingExtraError: The extra `onnx` is not installed.
        OutputExistsError: `out` exists.
        ExportError: The graph differs from the network by more than `TOLERANCE`.
        OutputError: `out` could not be written.
    """
    runtime = _require("onnxruntime")
    for needed in ("onnx", "onnxscript"):
        _require(needed)
    if out.exists() and not overwrite:
        raise OutputExistsError(f"{out} exists; use --overwrite to replace it.")
    loaded = load_named(weights)
    content = onnx_graph(loaded)
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    difference = _difference(session, loaded)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"The graph of {loaded.card.name} differs from the network by {difference:.2g} of the "
            f"unit range, more than {TOLERANCE:g}; nothing was written. Please report it."
        )
    write_whole(out, content)
    inputs = {put.name: tuple(str(side) for side in put.shape) for put in session.get_inputs()}
    return ExportReport(str(out), inputs, difference)


def onnx_graph(weights: Weights) -> bytes:
    """Return the graph of a network, with its card as metadata, as the content of a file."""
    model, tile = weights.model, weights.card.tile
    images = _random_images(model, tile, *_TRACED)
    with _quiet_exporter():
        program = torch.onnx.export(
            model,
            tuple(images),
            dynamo=True,
            verbose=False,
            input_names=NAMES[: len(images)],
            output_names=("fused",),
            dynamic_shapes=_free_sides(model),
        )
    assert program is not None
    program.model.metadata_props[HEADER_KEY] = weights.card.model_dump_json()
    content: bytes = program.model_proto.SerializeToString()
    return content


def _difference(session: Any, weights: Weights) -> float:
    """Run graph and network on random images of another size, where sizes are free."""
    images = _random_images(weights.model, weights.card.tile, *_CHECKED)
    named = zip((put.name for put in session.get_inputs()), images, strict=True)
    with torch.inference_mode():
        expected = weights.model(*images).numpy()
    actual = session.run(None, {name: image.numpy() for name, image in named})[0]
    return float(np.abs(actual - expected).max())


def _random_images(
    model: FusionNetwork, tile: int, batch: int, rows: int, cols: int
) -> list[Tensor]:
    """Return inputs of `rows` x `cols` units, or of the tile where that is fixed."""
    config, unit = model.config, _unit(model)
    is_fixed = model.receptive_radius is None
    height, width = (tile, tile) if is_fixed else (rows * unit, cols * unit)
    generator = torch.Generator().manual_seed(0)

    def image(bands: int, ratio: int) -> Tensor:
        return torch.rand(batch, bands, height // ratio, width // ratio, generator=generator)

    images = [image(config.spatial_bands, 1), image(config.bands, config.ratio)]
    return images if model.base is None else [*images, image(config.bands * model.members, 1)]


def _free_sides(model: FusionNetwork) -> tuple[dict[int, Any], ...]:
    """Name the extents that a user may choose, and how fine and coarse ones depend."""
    batch = Dim("batch", min=1, max=_LARGEST_BATCH)
    fine: dict[int, Any] = {0: batch}
    coarse: dict[int, Any] = {0: batch}
    if model.receptive_radius is not None:
        unit = _unit(model)
        sides = {2: Dim("rows", min=2, max=_MOST_UNITS), 3: Dim("cols", min=2, max=_MOST_UNITS)}
        fine |= {axis: unit * units for axis, units in sides.items()}
        coarse |= {axis: unit // model.config.ratio * units for axis, units in sides.items()}
    return (fine, coarse) if model.base is None else (fine, coarse, fine)


def _unit(model: FusionNetwork) -> int:
    """Return what rows and columns are multiples of."""
    return math.lcm(model.config.ratio, model.stride)


def _require(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"Exporting needs {name}: install it with `pip install 'bandweave[onnx]'`."
        ) from error


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep warnings to ourselves that are about the exporter's own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # `start` shares its extents with `spatial`: torch says so once per axis.
        warnings.filterwarnings("ignore", "# The axis name: .* will not be used", UserWarning)
        # torch calls its own deprecated functions.
        warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated", FutureWarning)
        try:
            yield
        finally:
            logger.setLevel(level)
