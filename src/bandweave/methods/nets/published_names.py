"""The authors' parameter names -> ours, network by network, so that published weights load.

U2Net's names stand in `compat`. Each table maps layers: `conv1` -> `first` carries `conv1.weight`
and `conv1.bias` along. Published files also hold layers that their forward pass never uses, and
copies of layers under a second name; those are listed and dropped, and any other unknown or
missing name is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from bandweave.errors import CheckpointMismatchError, UnknownNameError
from bandweave.methods.nets.table import find_network

if TYPE_CHECKING:
    from torch import Tensor

    from bandweave.methods.nets.network import FusionNetwork


@dataclass(frozen=True, slots=True)
class PublishedNames:
    """How the tensors of one published network are called."""

    layers: Mapping[str, str]
    """Published layer (or tensor) -> ours; what follows behind a dot is kept."""
    unused: tuple[str, ...] = ()
    """Patterns (`backbone.*`) of published tensors that no forward pass needs."""

    def translate(self, tensors: Mapping[str, Tensor], *, source: str) -> dict[str, Tensor]:
        """Return the tensors under our names.

        Raises:
            CheckpointMismatchError: A name stands in neither table.
        """
        translated: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            if any(fnmatchcase(name, pattern) for pattern in self.unused):
                continue
            translated[self._ours(name, source)] = tensor
        return translated

    def _ours(self, name: str, source: str) -> str:
        """Follow the longest published layer that the name begins with."""
        layer, parameter = name, ""
        while layer not in self.layers:
            layer, dot, last = layer.rpartition(".")
            if not dot:
                raise CheckpointMismatchError(
                    f"{source} holds a tensor {name!r} that this network does not know: it belongs "
                    "to another network."
                )
            parameter = f".{last}{parameter}"
        return self.layers[layer] + parameter


_CHAIN = {"conv1": "layers.0", "conv2": "layers.2", "conv3": "layers.4"}
_TRUNK = (
    {"conv1": "trunk.0", "conv3": "trunk.6"}
    | {f"res{n}.conv20": f"trunk.{n + 1}.layers.0" for n in range(1, 5)}
    | {f"res{n}.conv21": f"trunk.{n + 1}.layers.2" for n in range(1, 5)}
)
_LAGCONVS = {"head_conv.0": "layers.0", "tail_conv": "layers.7"} | {
    f"RB{n}.conv{k + 1}": f"layers.{n + 1}.layers.{2 * k}" for n in range(1, 6) for k in range(2)
}
_PMACNET_BRANCH = {"0": "0", "3": "3"} | {
    f"{n}.{layer}": f"{n}.layers.0.{name}"
    for n in (1, 2)
    for layer, name in (
        ("conv1", "parallel.0"),
        ("conv1_1", "parallel.1"),
        ("conv1_2", "parallel.2"),
        ("conv1_3", "parallel.3"),
        ("ln", "norm"),
        ("conv2", "mlp.0"),
        ("conv3", "mlp.2"),
    )
}
_FUSFORMER_ATTENTION = (
    ("norm", "0"),
    ("fn.to_qkv", "1.query_key_value"),
    ("fn.to_out.0", "1.output"),
)
_FUSFORMER_MLP = (("norm", "0"), ("fn.net.0", "1"), ("fn.net.3", "3"))

PUBLISHED: dict[str, PublishedNames] = {
    "pnn": PublishedNames(_CHAIN),
    "pannet": PublishedNames(_TRUNK | {"deconv": "up"}, unused=("backbone.*",)),
    "msdcnn": PublishedNames(
        {"conv1": "deep.0", "conv3": "deep.4", "conv5": "deep.8"}
        | {f"conv2_{k + 1}": f"deep.2.layers.0.branches.{k}" for k in range(3)}
        | {f"conv4_{k + 1}": f"deep.6.layers.0.branches.{k}" for k in range(3)}
        | {f"shallow{k + 1}": f"shallow.{2 * k}" for k in range(3)}
    ),
    "dicnn": PublishedNames(_CHAIN),
    "fusionnet": PublishedNames(_TRUNK, unused=("backbone.*",)),
    "bdpn": PublishedNames(
        {
            "conv1": "features",
            "conv3": "details",
            "conv4": "up_to_half.0",
            "conv5": "up_to_full.0",
        }
        | {
            f"{theirs}{n + 1}.{layer}": f"{ours}.layers.{n}.layers.{index}"
            for theirs, ours in (("res", "fine_blocks"), ("rres", "half_blocks"))
            for n in range(10)
            for index, layer in enumerate(("conv20", "prelu", "conv21"))
        },
        unused=("backbone.*", "backbone2.*", "prelu.*"),
    ),
    "mucnn": PublishedNames(
        {
            "conv_up1.conv_up1": "spectral_half.0",
            "conv_up2.conv_up1": "spectral_full.0",
            "pan_down.conv_down1": "spatial_half",
            "pan_down.conv_down2": "spatial_quarter",
            "conv1.conv.0": "encode_full",
            "conv2.conv.0": "encode_half",
            "conv3.conv.0": "encode_quarter",
            "conv4.conv.0": "decode_half",
            "conv5.conv.0": "decode_full",
            "up1.conv_up1": "up_half.0",
            "up2.conv_up1": "up_full.0",
            "O_conv3.conv": "head_quarter",
            "O_conv4.conv": "head_half",
            "O_conv5.conv": "head_full",
        }
    ),
    "lagnet": PublishedNames(
        {
            f"{theirs}.{part}": f"{ours}.{name}"
            for theirs, ours in _LAGCONVS.items()
            for part, name in (
                ("weight", "weight"),
                ("attention1", "tap_weights"),
                ("attention3", "bias"),
            )
        }
    ),
    "pmacnet": PublishedNames(
        {
            f"Det_Reg.{theirs}.{layer}": f"{ours}.{name}"
            for theirs, ours in (("detail_reg", "spectral_branch"), ("roi_reg", "detail_branch"))
            for layer, name in _PMACNET_BRANCH.items()
        }
    ),
    "restfnet": PublishedNames(
        {
            f"{theirs}_{layer}": f"{ours}_encoder.{name}"
            for theirs, ours in (("lr", "spectral"), ("hr", "spatial"))
            for layer, name in (("conv1", "first"), ("conv2", "second"), ("down_conv", "down"))
        }
        | {
            "fusion_conv1": "fuse_half.layers",
            "fusion_conv2": "down",
            "fusion_conv3": "fuse_quarter.layers",
            "fusion_conv4": "up_half",
            "recons_conv1.0": "merge_half",
            "recons_conv2": "restore_half.layers",
            "recons_conv3": "up_full",
            "recons_conv4.0": "merge_full",
            "recons_conv5": "restore_full.layers",
            "recons_conv6": "head",
        }
    ),
    "ssrnet": PublishedNames(
        {
            "conv_fus.0": "fusion",
            "conv_spat.0": "spatial_reconstruction",
            "conv_spec.0": "spectral_reconstruction",
        },
        unused=("weight",),
    ),
    "fusformer": PublishedNames(
        {"Embedding.0": "embedding", "refine": "head"}
        | {
            f"{theirs}.layers.{k}.{part}.fn.{layer}": f"layers.{first + k}.{part}.layers.{name}"
            for theirs, first, attentions in (("T_E", 0, 1), ("T_D", 2, 2))
            for k in range(2)
            for part in range(attentions + 1)
            for layer, name in (_FUSFORMER_MLP if part == attentions else _FUSFORMER_ATTENTION)
        },
        unused=("T_E.pos_embedding", "T_D.pos_embedding"),
    ),
}
"""Key in NETWORKS -> names."""


def from_published(
    network: str,
    tensors: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    *,
    source: str = "The checkpoint",
) -> FusionNetwork:
    """Build a network from tensors under their published names.

    Args:
        network: Key in PUBLISHED.
        tensors: Name -> tensor, any floating type; converted to float32.
        settings: Fields of the network's configuration.
        source: What error messages call the tensors.

    Returns:
        The network in evaluation mode.

    Raises:
        UnknownNameError: No published names are known for this network.
        CheckpointMismatchError: A name is unknown or missing, or a shape does not fit.
    """
    if network not in PUBLISHED:
        raise UnknownNameError(
            f"No published names are known for {network!r}; they are for {', '.join(PUBLISHED)}."
        )
    model = find_network(network).build(settings, source=source)
    state = PUBLISHED[network].translate(tensors, source=source)
    missing = sorted(model.state_dict().keys() - state.keys())
    if missing:
        raise CheckpointMismatchError(
            f"{source} lacks {len(missing)} of the network's tensors, the first is our "
            f"{missing[0]!r}."
        )
    try:
        model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    except RuntimeError as error:
        raise CheckpointMismatchError(
            f"{source} has the names of {network}, but not its shapes: "
            f"{' '.join(str(error).split())}"
        ) from error
    return model.eval()
