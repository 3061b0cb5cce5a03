"""NETWORKS: every network by name, found late, so that listing them loads no torch.

A line here makes a network a method: `fuse`, `train`, `weights` and `export` know it from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from bandweave.errors import CheckpointMismatchError, UnknownNameError

if TYPE_CHECKING:
    from bandweave.methods.nets.network import FusionNetwork, NetworkConfig

Task = Literal["pansharpening", "hyperspectral super-resolution", "both"]


@dataclass(frozen=True, slots=True)
class NetworkEntry:
    """What the table says of a network without loading it."""

    name: str
    """Display name."""
    task: Task
    """What its paper uses it for."""
    citation: str
    parity: str
    """What it was shown to equal, and how exactly."""
    ratios: str
    """Ratios its layers allow."""
    has_fixed_tile: bool
    """Whether a result belongs to the tile it was computed in (attention, global pooling)."""
    module: str
    """File in this folder, without ending."""
    network: str
    """Class in that file."""

    def load(self) -> type[FusionNetwork]:
        """Import the class; loads torch."""
        network: type[FusionNetwork] = getattr(
            import_module(f"bandweave.methods.nets.{self.module}"), self.network
        )
        return network

    def configure(self, settings: Mapping[str, Any], *, source: str) -> NetworkConfig:
        """Check settings against the network's own configuration.

        Args:
            settings: Field -> value, as JSON has them.
            source: What the error message calls them.

        Raises:
            CheckpointMismatchError: A key is unknown or missing, or a value impossible.
        """
        from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  # slow to load

        config_type = self.load().config_type
        known = [field.name for field in fields(config_type)]
        unknown = sorted(settings.keys() - set(known))
        if unknown:
            raise CheckpointMismatchError(
                f"{source} gives {self.name} a setting {unknown[0]!r} that it does not have; "
                f"it has {', '.join(known)}."
            )
        try:
            config: NetworkConfig = TypeAdapter(config_type).validate_python(dict(settings))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise CheckpointMismatchError(
                f"{source} gives {self.name} impossible settings: "
                f"{where + ': ' if where else ''}{first['msg'].removesuffix('.')}."
            ) from error
        return config

    def build(self, settings: Mapping[str, Any], *, source: str) -> FusionNetwork:
        """Make an untrained network of these settings.

        Raises:
            CheckpointMismatchError: As `configure`.
        """
        return self.load()(self.configure(settings, source=source))

    def describe(self, settings: Mapping[str, Any], *, source: str) -> dict[str, Any]:
        """Return what follows from the settings: reach, base, and the published class's count.

        Raises:
            CheckpointMismatchError: As `configure`.
        """
        model = self.build(settings, source=source)
        radius = model.receptive_radius
        used = sum(parameter.numel() for parameter in model.parameters())
        return {
            "reach": "the whole tile" if radius is None else f"{radius} pixels around each",
            "starts_from": model.base or "the bands",
            "parameters_as_published": used + model.unused_as_published,
        }


NETWORKS: dict[str, NetworkEntry] = {
    "u2net": NetworkEntry(
        name="U2Net",
        task="both",
        citation="Peng, Guo, Wu and Deng 2023, ACM MM, doi 10.1145/3581783.3612084",
        parity="released network block by block in float32",
        ratios="4 (2 with weights trained for it)",
        has_fixed_tile=True,
        module="u2net",
        network="U2Net",
    ),
    "u2net_ensemble": NetworkEntry(
        name="U2Net on an ensemble",
        task="both",
        citation="blocks of Peng, Guo, Wu and Deng 2023, ACM MM; what they work on is ours",
        parity="none published",
        ratios="any whole ratio that its base takes",
        has_fixed_tile=True,
        module="u2net_ensemble",
        network="EnsembleU2Net",
    ),
    "pnn": NetworkEntry(
        name="PNN",
        task="pansharpening",
        citation="Masi, Cozzolino, Verdoliva and Scarpa 2016, Remote Sensing 8(7), 594",
        parity="published WorldView-3 weights to 2e-5 of the unit range in float32",
        ratios="any whole ratio",
        has_fixed_tile=False,
        module="pnn",
        network="PNN",
    ),
    "pannet": NetworkEntry(
        name="PanNet",
        task="pansharpening",
        citation="Yang, Fu, Hu, Huang, Ding and Paisley 2017, ICCV, 1753-1761",
        parity="published WorldView-3 weights to 2e-5 of the unit range in float32",
        ratios="even ratios",
        has_fixed_tile=False,
        module="pannet",
        network="PanNet",
    ),
    "msdcnn": NetworkEntry(
        name="MSDCNN",
        task="pansharpening",
        citation="Wei, Yuan, Meng, Shen, Zhang and Ng 2017, IGARSS, 3413-3416",
        parity="published WorldView-3 weights to 2e-5 of the unit range in float32",
        ratios="any whole ratio",
        has_fixed_tile=False,
        module="msdcnn",
        network="MSDCNN",
    ),
    "dicnn": NetworkEntry(
        name="DiCNN",
        task="pansharpening",
        citation="He et al. 2019, IEEE JSTARS 12(4), 1188-1204",
        parity="published WorldView-3 weights to 2e-5 of the unit range in float32",
        ratios="any whole ratio",
        has_fixed_tile=False,
        module="dicnn",
        network="DiCNN",
    ),
    "bdpn": NetworkEntry(
        name="BDPN",
        task="pansharpening",
        citation="Zhang, Liu, Sun and Ou 2019, IEEE TGRS 57(8), 5549-5563",
        parity="published program at two sets of weights, to float32 rounding",
        ratios="4",
        has_fixed_tile=False,
        module="bdpn",
        network="BDPN",
    ),
    "fusionnet": NetworkEntry(
        name="FusionNet",
        task="pansharpening",
        citation="Deng, Vivone, Jin and Chanussot 2021, IEEE TGRS 59(8), 6995-7010",
        parity="published WorldView-3 weights to 2e-5 of the unit range in float32",
        ratios="any whole ratio",
        has_fixed_tile=False,
        module="fusionnet",
        network="FusionNet",
    ),
    "mucnn": NetworkEntry(
        name="MUCNN",
        task="pansharpening",
        citation="Wang, Deng, Zhang and Wu 2021, ACM MM, 4472-4480",
        parity="intended architecture at two sets of weights, to float32 rounding",
        ratios="4",
        has_fixed_tile=False,
        module="mucnn",
        network="MUCNN",
    ),
    "lagnet": NetworkEntry(
        name="LAGNet",
        task="pansharpening",
        citation="Jin, Zhang, Jiang, Vivone and Deng 2022, AAAI",
        parity="released program at two sets of weights, to float32 rounding",
        ratios="any whole ratio",
        has_fixed_tile=True,
        module="lagnet",
        network="LAGNet",
    ),
    "pmacnet": NetworkEntry(
        name="PMACNet",
        task="pansharpening",
        citation="Liang, Zhang, Mei and Wang 2022, IEEE GRSL 19, 1-5",
        parity="released program at two sets of weights, to float32 rounding",
        ratios="any whole ratio",
        has_fixed_tile=False,
        module="pmacnet",
        network="PMACNet",
    ),
    "restfnet": NetworkEntry(
        name="ResTFNet",
        task="hyperspectral super-resolution",
        citation="Liu, Liu and Wang 2020, Information Fusion 55, 1-15",
        parity="released program at two sets of weights, to float32 rounding",
        ratios="any whole ratio",
        has_fixed_tile=False,
        module="restfnet",
        network="ResTFNet",
    ),
    "ssrnet": NetworkEntry(
        name="SSRNet",
        task="hyperspectral super-resolution",
        citation="Zhang, Huang, Wang and Li 2021, IEEE TGRS 59(7), 5953-5965",
        parity="released program at two sets of weights, to float32 rounding",
        ratios="any whole ratio",
        has_fixed_tile=False,
        module="ssrnet",
        network="SSRNet",
    ),
    "fusformer": NetworkEntry(
        name="Fusformer",
        task="hyperspectral super-resolution",
        citation="Hu et al. 2022, IEEE GRSL 19, 1-5",
        parity="released program at two sets of weights, to float32 rounding",
        ratios="any whole ratio",
        has_fixed_tile=True,
        module="fusformer",
        network="Fusformer",
    ),
}
"""Id -> network. The id is also the key in METHODS and the `architecture` of weight cards."""


def find_network(name: str) -> NetworkEntry:
    """Return a network's entry by id.

    Raises:
        UnknownNameError: No such network; the message lists the valid names.
    """
    if name not in NETWORKS:
        raise UnknownNameError(
            f"There is no network {name!r}; known networks are {', '.join(NETWORKS)}."
        )
    return NETWORKS[name]


def settings_of(config: NetworkConfig) -> dict[str, Any]:
    """Write a network's configuration as JSON has it: the inverse of `NetworkEntry.configure`.

    Example:
        >>> from bandweave.methods.nets.u2net_config import U2NetConfig
        >>> settings_of(U2NetConfig(bands=8))["variant"]
        'full'
    """
    from pydantic_core import to_jsonable_python  # noqa: PLC0415  # slow to load

    settings: dict[str, Any] = to_jsonable_python(asdict(config))  # type: ignore[call-overload]
    return settings
