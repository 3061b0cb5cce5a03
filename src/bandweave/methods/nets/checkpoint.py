"""Weight files: safetensors with a card in the header, checked on load, saved all or nothing."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from bandweave.errors import CheckpointMismatchError, OutputError
from bandweave.methods.nets.card import HEADER_KEY, WeightCard, file_sha256, read_card
from bandweave.methods.nets.network import FusionNetwork
from bandweave.methods.nets.table import NETWORKS


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A network ready to run, with what is known of it."""

    model: FusionNetwork
    """On the CPU, float32, in evaluation mode."""
    card: WeightCard
    """What the file says of itself."""
    sha256: str
    """SHA-256 of the file the weights came from."""


def save_weights(
    path: Path, model: FusionNetwork, card: WeightCard, *, dtype: torch.dtype = torch.float32
) -> None:
    """Write a weight file: first beside its final name, then moved there.

    Equal weights and cards give equal bytes.

    Args:
        path: Ends in `.safetensors` by convention; an existing file is replaced.
        model: Of the card's architecture and configuration.
        card: Goes into the header as JSON.
        dtype: `torch.float16` halves the file; `load_weights` returns float32 either way.

    Raises:
        CheckpointMismatchError: Card and model differ, or a weight is not finite in `dtype`.
        OutputError: The file could not be written.
    """
    entry = NETWORKS[card.architecture]
    described = entry.configure(card.config, source="The card")
    if type(model) is not entry.load() or model.config != described:
        raise CheckpointMismatchError(
            f"The card describes {entry.name} with {described}, the network to be saved is "
            f"{type(model).__name__} with {model.config}."
        )
    tensors = {
        name: tensor.detach().cpu().to(dtype).contiguous()
        for name, tensor in model.state_dict().items()
    }
    _require_finite(tensors, f"The network to be saved to {path}")
    content = save(tensors, metadata={HEADER_KEY: card.model_dump_json()})
    write_whole(path, content)


def load_weights(path: Path) -> Weights:
    """Read a weight file that `save_weights` wrote.

    Raises:
        CheckpointMismatchError: The file is damaged or foreign, or its tensors are not those of
            the network that its card describes.
    """
    card = read_card(path)
    try:
        tensors = load_file(path, device="cpu")
    except (SafetensorError, OSError) as error:
        raise CheckpointMismatchError(f"{path} is damaged ({error}); fetch it again.") from error
    model = NETWORKS[card.architecture].build(card.config, source=f"The card of {path}")
    if card.tile % model.stride:
        raise CheckpointMismatchError(
            f"The card of {path} gives a tile of {card.tile} pixels, but the network needs a "
            f"multiple of {model.stride}."
        )
    expected = model.state_dict()
    for names, verb in (
        (sorted(expected.keys() - tensors.keys()), "lacks"),
        (sorted(tensors.keys() - expected.keys()), "also holds"),
    ):
        if names:
            raise CheckpointMismatchError(
                f"{path} {verb} {len(names)} tensors against the network on its card, "
                f"the first is {names[0]!r}."
            )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or not tensor.is_floating_point():
            raise CheckpointMismatchError(
                f"Tensor {name!r} of {path} should be {tuple(expected[name].shape)} floating "
                f"numbers, it is {tuple(tensor.shape)} of type {tensor.dtype}."
            )
    _require_finite(tensors, str(path))
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return Weights(model.eval(), card, file_sha256(path))


def _require_finite(tensors: dict[str, Tensor], owner: str) -> None:
    """Refuse weights that would turn every pixel into NaN."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointMismatchError(
                f"{owner} holds values in tensor {name!r} that are no finite {tensor.dtype} "
                "numbers: the training diverged, or the file is damaged."
            )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file all or nothing: no reader ever sees half of it under its final name.

    Raises:
        OutputError: The file could not be written; an older one is left as it was.
    """
    try:
        _write_beside_and_move(path, content)
    except OSError as error:
        raise OutputError(f"The file {path} could not be written: {error.strerror}.") from error


def _write_beside_and_move(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp allows the owner only; weights are as readable as any new file.
        beside.chmod(0o644)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
