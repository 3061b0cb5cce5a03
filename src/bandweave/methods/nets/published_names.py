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
