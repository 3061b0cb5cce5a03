"""Published checkpoints, and U2Net's parameter names -> ours; the others are `published_names`.

The published WorldView-3 checkpoint (PSRben/U2Net, `200000_iter.pth`) is an ordered dictionary of
tensors saved on a GPU. Twenty of its 135 tensors belong to layers that the released forward pass
never uses; they are dropped by name, and any other unknown or missing name is an error.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from bandweave.errors import CheckpointMismatchError, OutputExistsError
from bandweave.methods.nets import published_names
from bandweave.methods.nets.card import PUBLISHED_WV3, WeightCard, file_sha256
from bandweave.methods.nets.checkpoint import Weights, save_weights
from bandweave.methods.nets.u2net import U2Net
from bandweave.methods.nets.u2net_config import U2NetConfig

_S2BLOCK = {
    "layers.0.0.fn.norm.weight": "norm_attention.weight",
    "layers.0.0.fn.norm.bias": "norm_attention.bias",
    "layers.0.0.fn.fn.sa1.weight": "attention.w_a.weight",
    "layers.0.0.fn.fn.sa2.weight": "attention.w_b.weight",
    "layers.0.0.fn.fn.se1.weight": "attention.w_c.weight",
    "layers.0.0.fn.fn.se2.weight": "attention.w_d.weight",
    "layers.0.0.fn.fn.to_out.0.weight": "attention.output.weight",
    "layers.0.0.fn.fn.to_out.0.bias": "attention.output.bias",
    "layers.0.1.fn.norm.weight": "norm_mlp.weight",
    "layers.0.1.fn.norm.bias": "norm_mlp.bias",
    "layers.0.1.fn.fn.net.0.weight": "mlp.0.weight",
    "layers.0.1.fn.fn.net.0.bias": "mlp.0.bias",
    "layers.0.1.fn.fn.net.3.weight": "mlp.2.weight",
    "layers.0.1.fn.fn.net.3.bias": "mlp.2.bias",
}

# Published layer -> our layer; each has a weight and a bias.
_LAYERS = (
    {
        "raise_ms_dim.0": "spectral_input",
        "raise_pan_dim.0": "spatial_input",
        "to_hrms.0": "head.0",
        "to_hrms.2": "head.2",
    }
    | {f"resblock{j}.conv{i}": f"resblocks.{j}.{n}"
       for j in range(4) for i, n in enumerate(("narrow", "widen"))}
    | {f"down{j}.conv.{i}": f"down{j + 1}.{n}"
       for j in range(2) for i, n in ((0, "halve"), (2, "widen"), (3, "depthwise"))}
    | {f"up{j}.{i}": f"up{j + 1}.{n}"
       for j in range(2) for i, n in (("up1.0", "enlarge"), ("conv", "merge"))}
)  # fmt: skip

PUBLISHED_NAMES: dict[str, str] = (
    # The authors' spelling.
    {"upsample.upsamle.0.weight": "upsample.conv.weight"}
    | {f"{theirs}.{p}": f"{ours}.{p}"
       for theirs, ours in _LAYERS.items() for p in ("weight", "bias")}
    | {f"s2block{k}.{theirs}": f"s2blocks.{k}.{ours}"
       for k in range(5) for theirs, ours in _S2BLOCK.items()}
)  # fmt: skip
"""Published name -> ours, for the 115 tensors that take part."""

UNUSED_NAMES: frozenset[str] = frozenset(
    f"{layer}.{parameter}"
    for j in range(2)
    for layer in (
        f"down{j}.maxpool_conv.1", f"down{j}.maxpool_conv.2",
        f"up{j}.up0.0", f"up{j}.up0.2", f"up{j}.up0.3",
    )
    for parameter in ("weight", "bias")
)  # fmt: skip
"""Names of the 20 tensors that the released forward pass never uses."""


# SHA-256 of the float32 numbers of the 115 used tensors, in the order of PUBLISHED_NAMES. It
# names the weights and not the file, so that a checkpoint saved anew is still known.
PUBLISHED_WV3_DIGEST = "9ad0c242f00151628f7bec0bc381787107004739a205b5a844769825e78d79b7"


def load_published_wv3(path: Path) -> Weights:
    """Read the checkpoint published for WorldView-3, with the card that belongs to it.

    Raises:
        CheckpointMismatchError: As `load_published`; or the network is another one, so that its
            bands, scale and sensor are not known.
    """
    model = load_published(path)
    if weights_digest(model) != PUBLISHED_WV3_DIGEST:
        raise CheckpointMismatchError(
            f"{path} is a U2Net for {model.config.bands} bands, but not the one published for "
            "WorldView-3: its bands, scale and sensor are not known. Write a card for it and use "
            f"`bandweave weights {path} --convert OUT.safetensors --card CARD.json`."
        )
    return Weights(model, PUBLISHED_WV3, file_sha256(path))


def convert_published(
    path: Path, out: Path, *, card: WeightCard | None = None, overwrite: bool = False
) -> None:
    """Write a published checkpoint as a weight file of ours.

    Args:
        path: A `.pth` file of tensors: U2Net's, or that of a network in `published_names`.
        out: The safetensors file to write.
        card: What is known of the weights, which network they are for included; None for the
            U2Net published for WorldView-3.
        overwrite: Replace an existing file.

    Raises:
        CheckpointMismatchError: The file is no checkpoint, or its names or shapes are not those
            of the network on the card; or, without a card, as `load_published_wv3`.
        OutputExistsError: `out` exists.
        OutputError: `out` could not be written.
    """
    if out.exists() and not overwrite:
        raise OutputExistsError(f"{out} exists; use --overwrite to replace it.")
    if card is None:
        weights = load_published_wv3(path)
        save_weights(out, weights.model, weights.card)
    elif card.architecture == "u2net":
        save_weights(out, load_published(path), card)
    else:
        model = published_names.from_published(
            card.architecture, _read_tensors(path), card.config, source=str(path)
        )
        save_weights(out, model, card)


def weights_digest(model: U2Net) -> str:
    """Return the SHA-256 of a network's numbers, whatever file they came from."""
    state = model.state_dict()
    digest = hashlib.sha256()
    for name in PUBLISHED_NAMES.values():
        digest.update(state[name].numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def load_published(path: Path) -> U2Net:
    """Read a checkpoint of the released program, on the CPU.

    Widths and band counts follow from the tensors. Only tensors are unpickled: a file that would
    run code is refused.

    Raises:
        CheckpointMismatchError: The file is no checkpoint, holds more than tensors, or its names
            or shapes are not those of the released network.
    """
    return from_published(_read_tensors(path), source=str(path))


def from_published(tensors: Mapping[str, Tensor], *, source: str = "The checkpoint") -> U2Net:
    """Build a network from tensors under their published names.

    Args:
        tensors: Name -> tensor, any floating type; converted to float32.
        source: What error messages call the tensors.

    Raises:
        CheckpointMismatchError: A name is unknown or missing, or a shape does not fit.
    """
    missing = sorted(PUBLISHED_NAMES.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - PUBLISHED_NAMES.keys() - UNUSED_NAMES)
    for names, verb in ((missing, "lacks"), (unknown, "holds unknown")):
        if names:
            raise CheckpointMismatchError(
                f"{source} {verb} {len(names)} of the released U2Net's tensors, "
                f"the first is {names[0]!r}: it belongs to another network."
            )
    head = tensors["to_hrms.2.weight"]
    pan = tensors["raise_pan_dim.0.weight"]
    try:
        model = U2Net(U2NetConfig(bands=len(head), spatial_bands=pan.shape[1], width=len(pan)))
        state = {ours: tensors[theirs].float() for theirs, ours in PUBLISHED_NAMES.items()}
        model.load_state_dict(state)
    except (RuntimeError, ValueError, IndexError) as error:
        raise CheckpointMismatchError(
            f"{source} has the names of the released U2Net, but not its shapes: "
            f"{' '.join(str(error).split())}"
        ) from error
    return model.eval()


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Unpickle a dictionary of tensors and nothing else."""
    try:
        with warnings.catch_warnings():
            # torch warns of unusual pickle protocols; whether the file loads is what counts.
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointMismatchError(f"There is no weight file {path}.") from None
    except pickle.UnpicklingError as error:
        raise CheckpointMismatchError(
            f"{path} holds more than tensors or is damaged; it was not loaded, "
            "because unpickling it could run code."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointMismatchError(f"{path} is no readable PyTorch checkpoint.") from error
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise CheckpointMismatchError(
            f"{path} must hold a dictionary of tensors, as the released files do."
        )
    return content
