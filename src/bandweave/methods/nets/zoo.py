"""WEIGHTS: named weight files shipped in the package, and how a name or file becomes weights.

A preset of the same name is the recipe that makes the file. Nothing is downloaded.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from bandweave.errors import UnknownNameError
from bandweave.methods.nets.card import WeightCard, count_numbers, read_card

if TYPE_CHECKING:
    from bandweave.methods.nets.checkpoint import Weights

WEIGHTS: dict[str, str] = {
    "u2net-l-wv": "u2net-l-wv.safetensors",
    "u2net-l-4band": "u2net-l-4band.safetensors",
    "u2net-wv": "u2net-wv.safetensors",
    "u2net-4band": "u2net-4band.safetensors",
    "u2net-cave": "u2net-cave.safetensors",
}
"""Name -> file in the package's folder `weights`."""


def load_named(name_or_file: str) -> Weights:
    """Load weights by name in WEIGHTS, or from a file.

    A `.pth` file is taken for the checkpoint that was published for WorldView-3.

    Raises:
        UnknownNameError: Neither a name nor a file; the message lists the names.
        CheckpointMismatchError: The file is damaged or belongs to another network.
    """
    # Late, so that names and cards can be listed without torch.
    from bandweave.methods.nets.checkpoint import load_weights  # noqa: PLC0415
    from bandweave.methods.nets.compat import load_published_wv3  # noqa: PLC0415

    path = find_file(name_or_file)
    if path.suffix == ".pth":
        return load_published_wv3(path)
    return load_weights(path)


def card_of(name_or_file: str) -> WeightCard:
    """Return the card of weights by name or file; of our own files no tensor is loaded.

    Raises:
        UnknownNameError: Neither a name nor a file; the message lists the names.
        CheckpointMismatchError: The file has no valid card.
    """
    path = find_file(name_or_file)
    return load_named(name_or_file).card if path.suffix == ".pth" else read_card(path)


def count_parameters(name_or_file: str) -> int:
    """Return how many numbers a weight file holds; of our own files only the header is read.

    Raises:
        UnknownNameError: Neither a name nor a file; the message lists the names.
        CheckpointMismatchError: The file is damaged or foreign.
    """
    path = find_file(name_or_file)
    if path.suffix == ".pth":
        return sum(p.numel() for p in load_named(name_or_file).model.parameters())
    return count_numbers(path)


def find_file(name_or_file: str) -> Path:
    """Return the file of a name in WEIGHTS, or the file itself.

    Raises:
        UnknownNameError: Neither a name nor a file; the message lists the names.
    """
    if name_or_file in WEIGHTS:
        return Path(str(files("bandweave").joinpath("weights", WEIGHTS[name_or_file])))
    path = Path(name_or_file)
    if path.is_file():
        return path
    raise UnknownNameError(
        f"There are no weights {name_or_file!r}: it is no file, and the shipped weights are "
        f"{', '.join(WEIGHTS) or 'none'}."
    )
